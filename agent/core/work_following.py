"""Following work elsewhere, from the moment it is asked for until it is over, charged, and its lease gone.

    search (where its place has not named it yet) ─> read (a job, a process) | keep (a sandbox) ─> finish ─> charge

One task per piece of work. Nothing that a place answers ends it, but that the work is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from agent.budget.ledger import BudgetExceeded
from agent.compute.leases import expiry
from agent.compute.log_facts import NOTHING, facts_in
from agent.compute.sweep import APPEARS_WITHIN
from agent.core.work_costs import billed_s, cost_usd
from agent.core.work_entry import Entry
from agent.core.work_leftovers import remove_left
from agent.core.work_looking import GONE_AFTER, Looker
from agent.core.work_news import News
from agent.core.work_records import Records
from agent.core.work_side import Now, SessionSide, Sleep, at_most, in_time
from agent.core.work_telling import destroyed, job_complete, state_change, submitted
from agent.protocol.compute import ComputeError, Ending, Handle, Kind, Status

logger = logging.getLogger(__name__)

MAX_PAUSE_S: Final = 60.0
MAX_ENDING_PAUSE_S: Final = 600.0
ORDER_S: Final[dict[Kind, float]] = {"job": 20.0, "process": 20.0, "sandbox": 60.0}
"""So long an order to end something may take."""
SAY_AFTER_S: Final = 2.0
"""An order that takes longer is told of."""
UNHEARD_LOOK_S: Final = 15.0
RUNNING_LOOKS_S: Final = (30.0,) * 10
"""Pauses between looks at what runs; then `MAX_PAUSE_S`."""
LAST_LINES_S: Final = 30.0
"""What is over and prints nothing for so long has no more to say, whatever its stream does."""
RENEW_S: Final = 600.0
WINDOW: Final = timedelta(hours=0.95)
"""A sandbox is charged when so much has passed, and the next hour is held."""
_BREATH_LINES: Final = 200
_ENDING: Final[dict[Kind, str]] = {"job": "Cancelling", "process": "Stopping", "sandbox": "Deleting"}


class Follower:
    """What happens to an entry. `announce(entry)` sends the list of what runs, `entry` with it even if it is over."""

    def __init__(
        self,
        side: SessionSide,
        records: Records,
        news: News,
        announce: Callable[[Entry], Awaitable[None]],
        *,
        sleep: Sleep,
        now: Now,
    ) -> None:
        self.money = asyncio.Lock()
        """Held while something is charged; whoever changes the conversation holds it meanwhile."""
        self._side = side
        self._records = records
        self._news = news
        self.announce = announce
        self._sleep = sleep
        self._now = now
        self._look = Looker(news, sleep, now)
        self.recognise = self._look.recognise

    async def run(self, entry: Entry) -> None:
        """Follow `entry` until it is over."""
        while not entry.is_over:
            try:
                await self._follow(entry)
            except ComputeError as error:
                entry.is_seen.set()
                await self._news.trouble(entry, str(error))
                await self._sleep(MAX_PAUSE_S)
            except Exception:
                logger.exception("following %s failed", entry.id)
                entry.is_seen.set()
                await self._news.trouble(entry, "it could not be followed for a moment (the log has the details)")
                await self._sleep(MAX_PAUSE_S)

    async def _follow(self, entry: Entry) -> None:
        await self.recognise(entry)
        if entry.handle is None and not await self._search(entry):
            return
        if entry.is_unwanted and entry.pressing is None:
            self._news.model(entry, "unwanted")
            self._press(entry)
        if entry.lease.kind != "sandbox":
            await self._records.whole(self.finish(entry, await self._read(entry)))
        elif entry.has_command:
            await self._read_in_sandbox(entry)
        else:
            await self._keep(entry)

    # --- beginning --------------------------------------------------------------------------------------------------

    async def made(self, entry: Entry, handle: Handle) -> None:
        """Its place has named it."""
        await self._records.update(entry, state="running", handle=handle)
        entry.status = Status("queued" if entry.lease.kind == "job" else "running")
        entry.is_seen.set()
        if entry.lease.session_id == self._side.session_id:
            await self._side.emit(state_change(entry))
            for payload in submitted(entry, self._now()):
                await self._side.emit(payload)
        await self.announce(entry)

    async def forget(self, entry: Entry) -> None:
        """It is certain that nothing was made."""
        entry.bill.release()
        entry.status, entry.is_over = Status("gone"), True
        await self._records.drop(entry)
        self._wake(entry)

    async def _search(self, entry: Entry) -> bool:
        """Find out whether it was made at all, and under which name."""
        pause_s = 1.0
        while True:
            try:
                handle = await entry.backend.find(entry.id, entry.lease.namespace)
            except ComputeError as error:
                await self._news.trouble(entry, str(error))
            else:
                if handle is not None:
                    await self.made(entry, handle)
                    return True
                if self._now() - entry.lease.created_at >= APPEARS_WITHIN:
                    await self._records.whole(self.forget(entry))
                    await self.announce(entry)
                    return False
            entry.is_seen.set()
            await self._sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    # --- ending on purpose ------------------------------------------------------------------------------------------

    async def order_end(self, entry: Entry) -> Ending:
        """Nobody wants it any more: that is remembered first, and it is ended now or, where that fails, behind the
        scenes. Raises ComputeError: what has kept it from being ended now."""
        if entry.is_over:
            return await self.end(entry)
        await self._records.remember_unwanted(entry)
        saying = asyncio.ensure_future(self._say_order(entry))
        try:
            ending = await self.end(entry)
        except ComputeError as error:
            await self._not_yet(entry, str(error))
            raise
        finally:
            saying.cancel()
        if not ending.worked:
            await self._not_yet(entry, ending.text)
        return ending

    async def _say_order(self, entry: Entry) -> None:
        await self._sleep(SAY_AFTER_S)
        await self._news.person(entry, f"{_ENDING[entry.lease.kind]} {entry.label}…")

    async def _not_yet(self, entry: Entry, why: str) -> None:
        if entry.handle is not None and entry.pressing is None:
            self._press(entry)
            await self._news.not_ended(entry, why)

    def _press(self, entry: Entry) -> None:
        if entry.pressing is None:
            entry.pressing = asyncio.create_task(self._end_for_good(entry), name=f"ending {entry.id}")

    async def end(self, entry: Entry, status: Status | None = None) -> Ending:
        """Stop a job or process, delete a sandbox, of which `status` says how it ended. Raises ComputeError."""
        if entry.is_over:
            what = "The sandbox is deleted" if entry.lease.kind == "sandbox" else "It was over already"
            return Ending(True, f"{what} ({entry.status.stage}).")
        if entry.handle is None:
            return Ending(False, "Its place has not named it yet. It is looked for, and ended when it is found.")
        limit_s = ORDER_S[entry.lease.kind]
        await self.recognise(entry)
        if entry.lease.kind != "sandbox":
            return await in_time(self._sleep, limit_s, entry.backend.cancel(entry.handle), "the order to end it")
        await in_time(self._sleep, limit_s, entry.backend.teardown(entry.handle), "the order to delete it")
        # what was billed when it was looked at last is not what it has cost until now
        how = status or replace(entry.status, stage="canceled", billed_s=None)
        await self.finish(entry, replace(how, started_at=entry.status.started_at, ended_at=self._now()))
        return Ending(True, "The sandbox is deleted.")

    async def _end_for_good(self, entry: Entry, status: Status | None = None) -> None:
        """Try until it has worked; `status` as for `end`."""
        pause_s = 1.0
        while not entry.is_over:
            try:
                if (ending := await self._records.whole(self.end(entry, status))).worked:
                    return
                await self._news.trouble(entry, ending.text)
            except ComputeError as error:
                await self._news.trouble(entry, str(error))
            except Exception:
                logger.exception("ending %s failed", entry.id)
            await self._sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_ENDING_PAUSE_S)

    # --- a job or a process -----------------------------------------------------------------------------------------

    async def _read(self, entry: Entry) -> Status:
        """Read its output until it is over; returns how it ended. Its stage is looked at besides, as a stream can hang
        or fail for as long as it likes."""
        reading = asyncio.ensure_future(self._read_to_end(entry))
        watching = asyncio.ensure_future(self._watch_stage(entry))
        try:
            await asyncio.wait({reading, watching}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                return reading.result()
            status = watching.result()
            await self._await_rest(entry, reading)
            if reading.done():
                return reading.result()
            await self._news.trouble(entry, "its output could not be read to its end")
            return status
        finally:
            reading.cancel()
            watching.cancel()
            await asyncio.gather(reading, watching, return_exceptions=True)

    async def _await_rest(self, entry: Entry, reading: asyncio.Task[Status]) -> None:
        """Wait for the rest of the output, while some of it comes."""
        count = -1
        while not reading.done() and entry.log.count > count:
            count = entry.log.count
            await at_most(self._sleep, LAST_LINES_S, {reading})

    async def _read_to_end(self, entry: Entry) -> Status:
        assert entry.handle is not None
        pause_s = 1.0
        while not entry.is_over:
            before = entry.log.count
            try:
                await self._take_lines(entry, entry.handle)
            except ComputeError as error:
                await self._news.trouble(entry, str(error))
            if (status := await self._look.status(entry)) is not None and status.is_over:
                return status
            entry.is_seen.set()
            pause_s = 1.0 if entry.log.count > before else min(2 * pause_s, MAX_PAUSE_S)
            await self._sleep(pause_s)
        return entry.status

    async def _take_lines(self, entry: Entry, handle: Handle) -> None:
        async for line in entry.backend.logs(handle, skip=entry.log.count):
            text = entry.log.add(line.text)
            facts = facts_in(text)
            if (facts is not NOTHING or entry.told.traceback_lines) and (told := self._news.line(entry, text, facts)):
                await self._news.person(entry, told)
            for waiter in entry.waiters:
                waiter.look(text)
            if entry.log.wants_flush:
                await entry.log.flush()
            elif entry.log.count % _BREATH_LINES == 0:
                await asyncio.sleep(0)  # many lines that are there at once must not keep everything else waiting

    async def _watch_stage(self, entry: Entry) -> Status:
        """Tell when it leaves the queue, and renew its lease; returns how it ended."""
        queue_pause_s, running = 2.0, iter(RUNNING_LOOKS_S)
        while not entry.is_over:
            status = await self._look.status(entry)
            if status is not None and status.is_over:
                return status
            entry.is_seen.set()
            if status is None:
                await self._sleep(min(queue_pause_s, UNHEARD_LOOK_S))
                continue
            await self._at_stage(entry, status)
            await self._renew(entry, status)
            if status.stage == "running":
                await self._sleep(next(running, MAX_PAUSE_S))
            else:
                await self._sleep(queue_pause_s)
                queue_pause_s = min(1.5 * queue_pause_s, 20.0)
        return entry.status

    async def _renew(self, entry: Entry, status: Status) -> None:
        """A time limit counts from when the work has begun, however long it was queued."""
        lease = entry.lease
        if lease.kind == "sandbox":
            return  # see `_keep`
        began = status.started_at if status.stage == "running" and lease.timeout_s is not None else None
        expires_at = expiry(lease.kind, began or self._now(), lease.timeout_s)
        if abs((expires_at - lease.expires_at).total_seconds()) >= RENEW_S:
            await self._records.update(entry, expires_at=expires_at)

    async def _at_stage(self, entry: Entry, status: Status) -> None:
        if entry.is_over:
            return
        before, entry.status = entry.status.stage, status
        if before == status.stage:
            return
        if entry.lease.session_id == self._side.session_id:
            await self._side.emit(state_change(entry, is_told=not entry.waiters))
        await self._news.stage(entry)
        await self.announce(entry)

    # --- a sandbox --------------------------------------------------------------------------------------------------

    async def _keep(self, entry: Entry) -> None:
        """Renew a sandbox's lease, charge it by the hour, and notice when it is gone."""
        window_began = self._now()
        is_charged = entry.is_metered and not entry.bill.is_free
        while not entry.is_over:
            due_in_s = (window_began + WINDOW - self._now()).total_seconds()
            if entry.is_seen.is_set():  # what an earlier run has left is looked at at once
                pause_s = GONE_AFTER.total_seconds() if entry.gone_since else RENEW_S
                await self._sleep(min(pause_s, max(1.0, due_in_s)) if is_charged else pause_s)
            if entry.is_over:
                return
            status = await self._look.status(entry)
            entry.see(status, self._now())
            entry.is_seen.set()
            if status is not None and status.is_over:
                if not entry.has_command:
                    await self._end_for_good(entry, status)  # what is left of it, if anything is, may cost something
                    return
            elif status is not None:
                await self._at_stage(entry, status)
            await self._records.update(entry, expires_at=expiry("sandbox", self._now(), None))
            if not is_charged or self._now() < window_began + WINDOW:
                continue
            window_began = self._now()
            if (refusal := await self._records.whole(self._next_hour(entry))) is not None:
                await self._end_for_budget(entry, refusal)

    async def _next_hour(self, entry: Entry) -> str | None:
        """Charge the past hour and hold the next one; why that does not fit, or None.

        While another conversation is on, nothing is charged: more and more is held.
        """
        async with self.money:
            if entry.is_over:
                return None
            bill, so_far_usd = entry.bill, self._cost_so_far(entry)
            held_usd = bill.most_usd
            if bill.session_id == self._side.session_id:
                await bill.settle(self._side, so_far_usd, final=False)
                await self._records.update(entry, charged_usd=bill.charged_usd)
            else:
                held_usd += max(0.0, (so_far_usd or 0.0) - bill.charged_usd)
            try:
                bill.reserve(self._side, held_usd, must_fit=True)
            except BudgetExceeded as refused:
                return str(refused)
        return None

    async def _end_for_budget(self, entry: Entry, reason: str) -> None:
        await self._news.person(entry, f"{entry.label} is being deleted. {reason}")
        self._news.model(entry, "budget_ended", reason=reason)
        await self._end_for_good(entry)

    def _cost_so_far(self, entry: Entry) -> float | None:
        since = entry.lease.created_at if entry.lease.kind == "sandbox" else None
        seconds = billed_s(entry.status, until=self._now(), since=since, paused_s=entry.lease.paused_s)
        return cost_usd(entry.lease.usd_per_hour, seconds)

    async def _read_in_sandbox(self, entry: Entry) -> None:
        """A command has a sandbox to itself: with its end the machine has no use any more, but costs what it costs."""
        keeping = asyncio.ensure_future(self._keep(entry))
        try:
            status = await self._read(entry)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        if not entry.is_over:
            await self._end_for_good(entry, status)

    # --- the end ----------------------------------------------------------------------------------------------------

    async def finish(self, entry: Entry, status: Status) -> None:
        """It is over: write that down, tell it, charge it. Once; not to be stopped half-way."""
        try:
            async with entry.ending:
                if not entry.is_over:
                    await self._finish(entry, status)
        finally:
            await self.charge(entry)

    async def _finish(self, entry: Entry, status: Status) -> None:
        started_at, ended_at = status.started_at or entry.status.started_at, status.ended_at or self._now()
        entry.status = replace(status, started_at=started_at, ended_at=ended_at)
        entry.cost_usd = self._cost_so_far(entry)
        try:
            if told := self._news.end_of_output(entry):
                await self._news.person(entry, told)
            await entry.log.close()
        finally:
            ending = {"stage": entry.status.stage, "ended_at": ended_at, "cost_usd": entry.cost_usd}
            await self._records.update(entry, state="ended", **ending)
            entry.is_over = True
            try:
                await self._tell_end(entry)
            finally:
                self._wake(entry)
        if entry.lease.kind == "process":
            await remove_left(entry)

    async def _tell_end(self, entry: Entry) -> None:
        if entry.lease.session_id == self._side.session_id:
            await self._side.emit(state_change(entry, is_told=True))
            payload = destroyed(entry) if entry.lease.kind == "sandbox" else job_complete(entry)
            if payload is not None:
                await self._side.emit(payload)
        await self.announce(entry)
        await self._news.ended(entry)

    async def charge(self, entry: Entry) -> None:
        """Charge what is over, if the call that made it has handed over what it holds; then its lease can go."""
        async with self.money:
            bill = entry.bill
            if not entry.is_over or bill.awaits_hold_in is not None:
                return
            if entry.handle is None:  # it never was: see `forget`
                bill.release()
                return
            await bill.settle(self._side, entry.cost_usd, final=True)
            if bill.is_paid and not entry.is_dropped:
                await self._records.drop(entry)

    def _wake(self, entry: Entry) -> None:
        entry.is_seen.set()
        for waiter in entry.waiters:
            waiter.woken.set()
