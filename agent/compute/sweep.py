"""What became of the leases: ending what nobody looks after any more, and telling what runs.

Nothing is forgotten on doubt: a lease goes only when the place itself says that nothing was made under it, or that what
was made is over and nothing is left to charge.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Literal

from agent.compute.leases import Lease, LeaseStore, expiry, this_process
from agent.light_dataclass import dataclass
from agent.protocol.compute import ComputeBackend, ComputeError, Handle, Status
from agent.protocol.money import format_usd

logger = logging.getLogger(__name__)

Action = Literal["ended", "deleted", "kept", "dropped", "would be ended", "would be dropped"]

AT_ONCE = 8
EACH_S = 20.0
ASKED_S = 5.0
APPEARS_WITHIN = timedelta(minutes=10)
"""What was asked for and cannot be found may still appear for so long."""
BEING_MADE = timedelta(minutes=2)
"""So long a program that lives may take to make something: not even a person's order forgets it before."""
LOOK_AGAIN_S = 5.0
GONE_PAUSE_S = 2.0
"""A place that does not know a thing is asked again after this: it may not know everything everywhere at once."""
QUEUED_AT_MOST = timedelta(hours=24)
"""A job's time limit begins when it runs; one that waits for so long is given up."""
STRAYS_AFTER = timedelta(hours=1)
ENDED_KEPT = timedelta(days=30)
"""How long a lease on what is over waits for its session to come back, to be charged and told."""
_LOCK_STEP_S = 0.2


@dataclass(frozen=True, slots=True)
class Swept:
    """What was done about a lease, or would be. `kept`: it could not be ended, or may not be yet; `text` says why, or
    what happened. `dropped`: forgotten, as nothing is there."""

    lease: Lease
    action: Action
    text: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a lease stands. `status` None: `problem` says why it is not known. `so_far_usd` None: nobody knows.
    `is_orphan`: its program is gone."""

    lease: Lease
    handle: Handle | None
    status: Status | None
    problem: str | None
    so_far_usd: float | None
    is_orphan: bool
    is_expired: bool

    @property
    def may_run(self) -> bool:
        """Whether it runs, as far as is known."""
        return self.status is None or not self.status.is_over


# --- ending ----------------------------------------------------------------------------------------------------------


async def sweep(
    store: LeaseStore,
    backends: Mapping[str, ComputeBackend],
    *,
    now: datetime,
    only: Collection[str] | None = None,
    keep_sessions: Collection[str] = (),
    force: bool = False,
    dry_run: bool = False,
    is_followed: Callable[[str], bool] = lambda _lease_id: False,
    patience_s: float = 0.0,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[Swept]:
    """End what runs under expired leases whose program is gone, and forget what is done with.

    `only` these leases; `force`: whether expired or not, and whoever looks after them; not those of `keep_sessions`,
    nor those that this program itself follows (`is_followed`, of a lease's id). `dry_run` only says what would be done.
    Another sweep under way: waits `patience_s` for it, and then leaves the work to it ([]; with patience:
    ComputeError). What killed programs have left beside the leases is removed. Raises OSError.
    """

    def is_due(lease: Lease) -> bool:
        is_kept = lease.session_id in keep_sessions or is_followed(lease.id)
        return not is_kept and (force or _is_due(lease, now))

    def due() -> list[Lease]:
        return [lease for lease in store.all() if (only is None or lease.id in only) and is_due(lease)]

    if only is None and not dry_run:
        await asyncio.to_thread(store.remove_strays, now - STRAYS_AFTER)
    if not await asyncio.to_thread(due):
        return []
    async with _lock(store, patience_s, sleep) as is_ours:
        slots = asyncio.Semaphore(AT_ONCE)

        async def see_to(lease: Lease) -> Swept | None:
            async with slots:
                backend = backends.get(lease.backend)
                return await _Case(store, lease, backend, now, force, dry_run, is_due, sleep).see_to_it()

        leases = await asyncio.to_thread(due) if is_ours else []  # again: another sweep may have been at it
        done = await asyncio.gather(*map(see_to, leases))
        return [swept for swept in done if swept is not None]


@contextlib.asynccontextmanager
async def _lock(store: LeaseStore, patience_s: float, sleep: Callable[[float], Awaitable[None]]) -> AsyncIterator[bool]:
    waited_s = 0.0
    while (lock := await asyncio.to_thread(store.try_lock)) is None and waited_s < patience_s:
        await sleep(_LOCK_STEP_S)
        waited_s += _LOCK_STEP_S
    if lock is None and patience_s:
        raise ComputeError("Another ml-intern is cleaning up right now. Try again in a minute.", "conflict")
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.close()


def _is_due(lease: Lease, now: datetime) -> bool:
    if _is_looked_after(lease, now) and lease.owner != this_process():
        return False
    return lease.state == "ended" or lease.is_expired(now) or lease.is_unwanted


def _is_looked_after(lease: Lease, now: datetime) -> bool:
    """Whether its program lives. Nobody here can tell of another machine's; but one that lives renews its leases."""
    is_elsewhere = lease.owner.host != this_process().host
    return not lease.is_expired(now) if is_elsewhere else lease.owner.is_alive


def runs_out_at(lease: Lease, status: Status) -> datetime:
    """When nobody can be relying on it any more. A job's time limit begins when it starts to run."""
    if lease.kind != "job":
        return lease.expires_at
    if status.stage in ("creating", "queued"):
        return max(lease.expires_at, lease.created_at + QUEUED_AT_MOST)
    if status.started_at is None:
        return lease.expires_at
    return max(lease.expires_at, expiry("job", status.started_at, lease.timeout_s))


async def _require_account(lease: Lease, backend: ComputeBackend) -> None:
    """Raises ComputeError for what another account has made: to this one, the place may tell of nothing there."""
    if lease.account and (signed_in := await backend.account()) != lease.account:
        now = f"you are signed in as {signed_in}" if signed_in else "nobody is signed in"
        text = f"The account {lease.account} has made it, and {now}: only {lease.account} can look at it and end it"
        raise ComputeError(f"{text} (`hf auth login`, or HF_TOKEN).", "forbidden")


@dataclass(slots=True)
class _Case:
    """One lease, and what to do about it."""

    store: LeaseStore
    lease: Lease
    backend: ComputeBackend | None
    now: datetime
    force: bool
    dry_run: bool
    is_due: Callable[[Lease], bool]
    sleep: Callable[[float], Awaitable[None]]

    async def see_to_it(self) -> Swept | None:
        """None: there was nothing to do."""
        try:
            async with asyncio.timeout(EACH_S):
                return await self._decide()
        except ComputeError as error:
            return self._swept("kept", str(error))
        except TimeoutError:
            return self._swept("kept", f"No answer in {EACH_S:.0f} s. Try again later.")
        except Exception as error:
            logger.exception("the lease %s could not be seen to", self.lease.id)
            return self._swept("kept", f"{type(error).__name__}: {error}")

    async def _decide(self) -> Swept | None:
        if not await self._is_still_due():
            return None
        if self.backend is None:
            return self._swept("kept", f"There is no place called {self.lease.backend!r} in this version.")
        if self.lease.state == "ended":
            return await self._forget(self.backend)
        await _require_account(self.lease, self.backend)
        handle = self.lease.handle or await self.backend.find(self.lease.id, self.lease.namespace)
        if handle is None and self._may_appear():
            return self._swept("kept", "It was asked for a moment ago, and may still appear. Try again in 10 minutes.")
        if handle is None and not self.dry_run:
            await self.sleep(LOOK_AGAIN_S)
            handle = await self.backend.find(self.lease.id, self.lease.namespace)
        if handle is None:
            return await self._nothing_there()
        status = await self._status(self.backend, handle)
        if not (self.force or self.lease.is_unwanted or status.is_over) and self.now < runs_out_at(self.lease, status):
            await self._go_on(status)
            return None
        if self.dry_run:
            is_there = not status.is_over or self.lease.kind == "sandbox"
            return self._swept("would be ended" if is_there else "would be dropped", f"It is {status.stage}.")
        if not await self._is_still_due():  # its session may have come back for it meanwhile
            return None
        return await self._end(self.backend, handle, status)

    async def _is_still_due(self) -> bool:
        """Look at the lease again: its session, or another sweep, may have seen to it."""
        fresh = await asyncio.to_thread(self.store.get, self.lease.id)
        if fresh is None or not await asyncio.to_thread(self.is_due, fresh):
            return False
        self.lease = fresh
        return True

    async def _status(self, backend: ComputeBackend, handle: Handle) -> Status:
        status = await backend.status(handle)
        if status.stage == "gone" and not self.dry_run:
            await self.sleep(GONE_PAUSE_S)
            status = await backend.status(handle)
        return status

    async def _go_on(self, status: Status) -> None:
        """Its time limit has not begun, or began later than was known."""
        if not self.dry_run:
            expires_at = runs_out_at(self.lease, status)
            await asyncio.to_thread(lambda: self.store.update(self.lease.id, expires_at=expires_at))

    def _may_appear(self) -> bool:
        """Whether what cannot be found may only now be made. What a person names waits for nobody who is gone."""
        age = self.now - self.lease.created_at
        if not self.force:
            return age < APPEARS_WITHIN
        return age < BEING_MADE and _is_looked_after(self.lease, self.now)

    async def _nothing_there(self) -> Swept:
        if self.dry_run:
            return self._swept("would be dropped", "Nothing was made under it.")
        await asyncio.to_thread(self.store.drop, self.lease.id)
        return self._swept("dropped", "Nothing was made under it.")

    async def _end(self, backend: ComputeBackend, handle: Handle, before: Status) -> Swept:
        after = before
        if self.lease.kind == "sandbox":
            await backend.teardown(handle)  # it may cost something, even where its work is over or one look missed it
            after = await backend.status(handle)
            if not after.is_over:
                return self._swept("kept", f"It was deleted, and is still {after.stage}. Try again in a minute.")
        elif not before.is_over:
            ending = await backend.cancel(handle)
            if not ending.worked:
                return self._swept("kept", ending.text)
            after = await backend.status(handle)  # may lag behind; that it is over has been found out already
        what = f"It had ended ({before.stage})." if before.is_over else f"It was {before.stage}, and is ended now."
        cost_usd = spent_usd(self.lease, before if after.billed_s is None else after, self.now)
        await self._note_end(handle, after, cost_usd)
        action: Action = "deleted" if self.lease.kind == "sandbox" else "ended"
        return self._swept(action, what + _cost_text(self.lease, cost_usd))

    async def _note_end(self, handle: Handle, after: Status, cost_usd: float | None) -> None:
        """Keep what its session has to hear and to pay. A session that lives sees its end by itself."""
        if _is_looked_after(self.lease, self.now) and self.lease.owner != this_process():
            return
        # the output of a process is nowhere but here
        if left_to_charge(self.lease, cost_usd) == 0 and self.lease.kind != "process":
            await asyncio.to_thread(self.store.drop, self.lease.id)
            return
        stage = after.stage if after.is_over else "canceled"
        changes = {"stage": stage, "ended_at": after.ended_at or self.now, "cost_usd": cost_usd, "handle": handle}
        await asyncio.to_thread(lambda: self.store.update(self.lease.id, state="ended", **changes))

    async def _forget(self, backend: ComputeBackend) -> Swept | None:
        """For what is over already: its session has not come back for it yet."""
        lease = self.lease
        is_old = self.now - (lease.ended_at or lease.created_at) >= ENDED_KEPT
        if not is_old and (left_to_charge(lease, lease.cost_usd) != 0 or lease.kind == "process"):
            text = f"It had ended already ({lease.stage})." + _cost_text(lease, lease.cost_usd)
            return self._swept("ended", text) if self.force else None
        if self.dry_run:
            return self._swept("would be dropped", f"It had ended already ({lease.stage}).")
        if lease.handle is not None and lease.kind == "process":
            await backend.teardown(lease.handle)
        await asyncio.to_thread(self.store.drop, lease.id)
        return self._swept("dropped", f"It had ended already ({lease.stage}).")

    def _swept(self, action: Action, text: str) -> Swept:
        return Swept(self.lease, action, text)


def _cost_text(lease: Lease, cost_usd: float | None) -> str:
    left_usd = left_to_charge(lease, cost_usd)
    if left_usd == 0:
        return ""
    left = "What it cost is not known; that" if left_usd is None else format_usd(left_usd)
    return f" {left} will be charged when its session goes on."


# --- what it costs ---------------------------------------------------------------------------------------------------


def left_to_charge(lease: Lease, cost_usd: float | None) -> float | None:
    """What of its cost its session has not been charged yet; None: nobody knows."""
    if cost_usd is None:
        return None
    return max(0.0, cost_usd - lease.charged_usd)


def spent_usd(lease: Lease, status: Status, now: datetime) -> float | None:
    """All that it has cost so far: the time that the place charges, else the longest that it can have run; what was
    charged to its session already at least. None: the price is not known."""
    if lease.usd_per_hour is None or lease.usd_per_hour == 0:
        return lease.usd_per_hour
    billed_s = _longest_s(lease, status, now) if status.billed_s is None else status.billed_s
    return max(lease.usd_per_hour * billed_s / 3600, lease.charged_usd)


def _longest_s(lease: Lease, status: Status, now: datetime) -> float:
    if status.stage in ("creating", "queued"):
        return 0.0
    # what the place has forgotten or put to sleep ended at some time before: nobody kept it up beyond its lease
    has_stopped = status.is_over or (status.stage == "paused" and lease.timeout_s is None)
    end = status.ended_at or (min(now, lease.expires_at) if has_stopped else now)
    longest_s = (end - (status.started_at or lease.created_at)).total_seconds() - lease.paused_s
    longest_s = max(0.0, longest_s)
    return longest_s if lease.timeout_s is None else min(longest_s, lease.timeout_s)


# --- telling ---------------------------------------------------------------------------------------------------------


async def listing(store: LeaseStore, backends: Mapping[str, ComputeBackend], now: datetime) -> list[Standing]:
    """How everything stands that is not known to be over, oldest first. All places are asked at once, and given a few
    seconds; changes nothing. Raises OSError."""
    leases = [lease for lease in await asyncio.to_thread(store.all) if lease.state != "ended"]
    return list(await asyncio.gather(*(_standing(lease, backends.get(lease.backend), now) for lease in leases)))


async def _standing(lease: Lease, backend: ComputeBackend | None, now: datetime) -> Standing:
    handle, status, problem = lease.handle, None, None
    try:
        async with asyncio.timeout(ASKED_S):
            handle, status = await _asked(lease, backend)
    except ComputeError as error:
        problem = str(error)
    except TimeoutError:
        problem = f"{lease.backend} did not answer in {ASKED_S:.0f} s"
    except Exception as error:
        logger.exception("the lease %s could not be asked about", lease.id)
        problem = f"{type(error).__name__}: {error}"
    so_far_usd = None if status is None else spent_usd(lease, status, now)
    is_orphan = await asyncio.to_thread(lambda: not _is_looked_after(lease, now))
    expires_at = lease.expires_at if status is None else runs_out_at(lease, status)
    return Standing(lease, handle, status, problem, so_far_usd, is_orphan, now >= expires_at)


async def _asked(lease: Lease, backend: ComputeBackend | None) -> tuple[Handle | None, Status]:
    if backend is None:
        raise ComputeError(f"there is no place called {lease.backend!r} in this version", "unsupported")
    await _require_account(lease, backend)
    handle = lease.handle or await backend.find(lease.id, lease.namespace)
    return handle, Status("creating") if handle is None else await backend.status(handle)
