"""The session's side of work elsewhere: where tools hand it in, and what becomes of it while nobody looks.

    submit: lease on disk ─> its place ─> lease with a name ─> followed (work_following) ─> over, charged, lease gone

The lease comes first, so that nothing can run that is not known of, whenever this program ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from agent.budget.money import in_usd
from agent.compute.leases import Lease, LeaseStore, new_lease, this_process
from agent.context_manager.prompts import render
from agent.core.work_costs import TOOL_OF, Bill, Hold, most_usd
from agent.core.work_entry import Entry, Waiter
from agent.core.work_following import Follower
from agent.core.work_leftovers import take_rest
from agent.core.work_log import WorkLog
from agent.core.work_making import Maker, facts_of
from agent.core.work_news import News, shown
from agent.core.work_records import Records
from agent.core.work_side import Now, SessionSide, Sleep, at_most
from agent.core.work_taking import found_line, take_state
from agent.protocol.compute import ComputeBackend, ComputeError, Ending, Price, Running, Work
from agent.protocol.events import ToolProgress, WorkItem, WorkStatus

logger = logging.getLogger(__name__)

GIVE_UP_S: Final = 30.0
"""So long a place may go on making what a stopped call has asked for, before it is stopped as well."""
FIRST_LOOK_S: Final = 5.0
PROGRESS_EVERY_S: Final = 0.25
PROGRESS_LINES: Final = 8
CLOSE_PATIENCE_S: Final = 15.0
STUCK_S: Final = 1.0


class RemoteWork:
    """The `ComputeDesk` of a session. One for a run of the program: what it follows outlives /new and /resume."""

    def __init__(
        self,
        side: SessionSide,
        store: LeaseStore,
        backends: Mapping[str, ComputeBackend],
        *,
        sleep: Sleep = asyncio.sleep,
        now: Now,
    ) -> None:
        self._side = side
        self._store = store
        self._backends = backends
        self._sleep = sleep
        self._now = now
        self._news = News(side, now)
        self._records = Records(store)
        self._follower = Follower(side, self._records, self._news, self._announce, sleep=sleep, now=now)
        self._maker = Maker(self._records, self._follower, self._follow, sleep)
        self._entries: dict[str, Entry] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_leaving = False
        self._is_closing = False
        self._is_closed = False

    # --- looking ----------------------------------------------------------------------------------------------------

    @property
    def running(self) -> tuple[Running, ...]:
        """What runs for this session, oldest first."""
        return tuple(entry.view() for entry in self._of_session() if not entry.is_over)

    @property
    def items(self) -> tuple[WorkItem, ...]:
        """The same, as events tell of it."""
        return tuple(entry.item() for entry in self._of_session() if not entry.is_over)

    def find(self, wanted: str) -> Running | None:
        """By lease id, by the place's id, or by an unambiguous beginning of either; also what has ended in this run."""
        names = {entry: (entry.id, entry.handle.id if entry.handle is not None else "") for entry in self._ordered()}
        exact = [entry for entry, ids in names.items() if wanted in ids]
        near = exact or [entry for entry, ids in names.items() if any(name.startswith(wanted) for name in ids)]
        return near[0].view() if wanted and len(near) == 1 else None

    async def price(self, backend: str, flavor: str) -> Price:
        """What an hour costs. Raises ComputeError."""
        return await self._place(backend).price(flavor)

    async def log_tail(self, lease_id: str, lines: int) -> str:
        """The last lines of its output so far. KeyError for what is not known here."""
        return await self._entries[lease_id].log.tail(lines)

    # --- starting ---------------------------------------------------------------------------------------------------

    async def submit(self, backend: str, work: Work, tool_call_id: str) -> Running:
        """Start `work`. What was held in the budget for this call is charged when the work is over (see `adopt`).

        Cancelled while it is being made: this ends at once, and what is made nevertheless is ended behind the scenes.
        Raises ComputeError. Where that is not sure that nothing was started, the lease stays, and what is found later
        is ended.
        """
        place = self._place(backend)
        price = await place.price(work.flavor)
        try:
            account = await place.account()
        except ComputeError as error:
            error.nothing_started = True
            raise
        if self._is_closing or self._is_leaving:
            raise ComputeError("Nothing was started: the program is ending.", "unsupported", nothing_started=True)
        entry = self._new_entry(place, work, price, tool_call_id, account)
        self._entries[entry.id] = entry
        making = self._own(self._maker.make(entry, replace(work, progress=self._progress_of(entry))))
        try:
            await asyncio.shield(making)
        except asyncio.CancelledError:
            if not self._is_leaving or place.kind == "sandbox":
                self._own(self._give_up(entry, making))
            raise
        except ComputeError as error:
            if error.nothing_started:
                del self._entries[entry.id]
            raise
        return entry.view()

    def _new_entry(self, place: ComputeBackend, work: Work, price: Price, tool_call_id: str, account: str) -> Entry:
        lease = new_lease(
            place.kind,
            place.name,
            name=self._side.scrub(work.name),
            session_id=self._side.session_id,
            tool_call_id=tool_call_id,
            flavor=work.flavor,
            namespace=work.namespace,
            usd_per_hour=price.usd_per_hour,
            timeout_s=work.timeout_s,
            account=account,
            has_command=bool(work.command),
            price_source=price.source,
            notes=facts_of(work),
            now=self._now(),
        )
        entry = self._entry(lease, place)
        entry.is_recognised = True
        entry.bill.awaits_hold_in = None if entry.bill.is_free else self._side.ledger
        return entry

    def _progress_of(self, entry: Entry) -> Callable[[str], None]:
        """Shows what its place says while it makes it: the latest step, as the progress of the call that wants it."""

        def show(text: str) -> None:
            if not entry.is_unwanted:
                progress = ToolProgress(entry.tool, entry.lease.tool_call_id, self._side.scrub(text))
                self._own(self._side.emit(progress))

        return show

    async def _give_up(self, entry: Entry, making: asyncio.Task[None]) -> None:
        """The call that wanted it was stopped: let its place finish what it is doing, then end what was made."""
        await self._records.remember_unwanted(entry)
        await self._announce(entry)
        await at_most(self._sleep, GIVE_UP_S, {making})
        if not making.done():
            making.cancel()
        with contextlib.suppress(asyncio.CancelledError, ComputeError):
            await making
        if entry.is_over:
            await self._announce(entry)
            return
        self._follow(entry)
        await self._records.whole(self._follower.order_end(entry))

    # --- waiting, ending --------------------------------------------------------------------------------------------

    async def wait(
        self,
        lease_id: str,
        *,
        tool_call_id: str,
        timeout_s: float | None = None,
        until: Callable[[str], bool] | None = None,
    ) -> Running:
        """Wait until it is over, `timeout_s` has passed, or a new line of output satisfies `until`; see ComputeDesk.

        Raises what `until` raises.
        """
        entry = self._entries[lease_id]
        if entry.is_over:
            return entry.view()
        waiter = Waiter(tool_call_id, until)
        entry.waiters.add(waiter)
        showing = asyncio.ensure_future(self._show(entry, waiter))
        waking = asyncio.ensure_future(waiter.woken.wait())
        try:
            await at_most(self._sleep, timeout_s, {waking})
        finally:
            entry.waiters.discard(waiter)
            showing.cancel()
            waking.cancel()
            if not entry.waiters and not entry.is_over:
                self._news.unwaited(entry)
        if waiter.error is not None:
            raise waiter.error
        return entry.view()

    async def _show(self, entry: Entry, waiter: Waiter) -> None:
        """Show the latest output as the progress of the call that waits, four times a second at most."""
        while True:
            await waiter.fresh.wait()
            waiter.fresh.clear()
            text = "\n".join(shown(entry.log.last(PROGRESS_LINES)))
            await self._side.emit(ToolProgress(entry.tool, waiter.tool_call_id, text))
            await self._sleep(PROGRESS_EVERY_S)

    async def cancel(self, lease_id: str) -> Ending:
        """End it: a job is cancelled, a sandbox deleted. Goes on when the caller is stopped; what cannot be ended now
        is ended behind the scenes, by the next start, or by `ml-intern gc`. Raises as ComputeDesk."""
        entry = self._entries[lease_id]
        if self._is_leaving and not entry.is_over and entry.lease.kind != "sandbox":
            return Ending(False, f"The program is ending; {entry.label} goes on.")
        ending: Ending = await self._records.whole(self._follower.order_end(entry))
        return ending

    def leave_running(self) -> None:
        """The program is ending against its person's will (a closed terminal): from now on nothing starts any more, and
        calls that are stopped do not take the jobs and processes with them that they wait for."""
        self._is_leaving = True

    # --- money ------------------------------------------------------------------------------------------------------

    async def adopt(self, hold: Hold) -> bool:
        """Take over what is held for a call: it is charged when the work that the call has started is over.

        False if nothing was started by it: the hold stays the caller's.
        """
        made = [entry for entry in self._ordered() if entry.lease.tool_call_id == hold.reservation.id]
        made = [entry for entry in made if entry.bill.awaits_hold_in is hold.ledger]
        if not made:
            return False
        first, *more = made
        first.bill.take(self._side, hold)
        for entry in more:
            entry.bill.awaits_hold_in = None
            entry.bill.reserve(self._side)
        for entry in made:
            await self._follower.charge(entry)
        return True

    # --- changing conversations -------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def changing_session(self) -> AsyncIterator[None]:
        """Around the change to another conversation: nothing is charged between the old ledger and the new one.

        Leave it when the new conversation's journal takes events, and call `take_up` for one that was resumed. The work
        of other conversations goes on, and counts in the new ledger if its cap is the run's.
        """
        async with self._follower.money:
            yield
            self.rehold()

    def rehold(self) -> None:
        """Hold in the ledger of the conversation that is on what others' work can cost, if its cap is the run's."""
        for entry in self._ordered():
            bill = entry.bill
            if entry.is_over or bill.awaits_hold_in is not None or bill.session_id == self._side.session_id:
                continue
            held_usd = in_usd(bill.hold.reservation.amount_micro) if bill.hold is not None else None
            bill.reserve(self._side, held_usd)

    async def take_up(self, session_id: str, *, charged: Mapping[str, float] | None = None) -> list[str]:
        """Go on with what the session `session_id`, which is the one that is on, has left running; one line each for
        the person. The model is told as well.

        `charged`: what was charged for work elsewhere, in US dollars by lease id, as the journal of that session has
        it (this program may have been killed just after). What another living process looks after, or another account
        has made, is left alone.
        """
        all_leases = await asyncio.to_thread(self._store.all)
        taken = [await self._take(lease, charged or {}) for lease in all_leases if lease.session_id == session_id]
        found = [entry for entry in taken if isinstance(entry, Entry)]
        async with self._follower.money:
            for entry in found:
                if not entry.is_over:
                    entry.bill.hold_again(self._side)
        for entry in found:
            await self._follower.charge(entry)
            if not entry.is_over:
                self._follow(entry)
        await self._first_look(found)
        lines = [found_line(each) if isinstance(each, Entry) else each for each in taken if each is not None]
        if not lines:
            return []
        await self._side.emit(WorkStatus(self.items))
        await self._side.report_spending(None)
        lines = [self._side.scrub(line) for line in lines]
        self._side.note(render("work/taken_up", lines=shown(lines)))
        return lines

    async def _take(self, lease: Lease, charged: Mapping[str, float]) -> Entry | str | None:
        """What has become of a lease: it is looked after here now, cannot be (why), or need not be."""
        if (entry := self._entries.get(lease.id)) is not None:
            return None if entry.is_dropped else entry
        place = self._backends.get(lease.backend)
        is_anothers = lease.state != "ended" and lease.owner.is_alive and lease.owner != this_process()
        if place is None or is_anothers:
            return None
        entry = self._entry(lease, place)
        take_state(entry, charged)
        if not entry.is_over:
            try:
                await self._follower.recognise(entry)
            except ComputeError as error:
                if error.kind == "forbidden":
                    return f"{entry.label}, lease {entry.id}: {error}"
        self._entries[lease.id] = entry
        await self._records.update(entry, owner=this_process())
        await entry.log.open()
        if entry.is_over:
            await take_rest(entry, self._news)
        return entry

    async def _first_look(self, entries: Iterable[Entry]) -> None:
        """Wait a little until their places have said how they stand. The lines that tell of it are news enough."""
        waiting = {entry: Waiter(entry.lease.tool_call_id, None) for entry in entries if not entry.is_over}
        for entry, waiter in waiting.items():
            entry.waiters.add(waiter)
        looks = {asyncio.ensure_future(entry.is_seen.wait()) for entry in waiting}
        try:
            if looks:
                await at_most(self._sleep, FIRST_LOOK_S, looks, all_of_them=True)
        finally:
            for look in looks:
                look.cancel()
            for entry, waiter in waiting.items():
                entry.waiters.discard(waiter)
                if not entry.is_over:
                    self._news.unwaited(entry)

    async def close(self, patience_s: float = CLOSE_PATIENCE_S) -> tuple[WorkItem, ...]:
        """The program ends: sandboxes are deleted, jobs and processes go on. Returns what still runs, oldest first.

        Whatever could not be ended keeps its lease.
        """
        self._is_closing = True
        leaving = [entry for entry in self._ordered() if not entry.is_over]
        stopping = [task for entry in leaving if not entry.is_unwanted if (task := self._following.get(entry.id))]
        for task in stopping:
            task.cancel()
        for entry in leaving:
            if entry.handle is not None and entry.lease.kind == "sandbox":
                self._own(self._end_sandbox(entry))
            elif entry.handle is not None and entry.is_unwanted:
                self._own(self._last_look(entry))
        timer = asyncio.ensure_future(self._sleep(patience_s))
        while not timer.done() and (rest := self._unfinished()):
            await asyncio.wait({timer, *rest}, return_when=asyncio.FIRST_COMPLETED)
        self._is_closed = True
        everything = {timer, *stopping, *self._unfinished()}
        for task in everything:
            task.cancel()
        await at_most(self._sleep, STUCK_S, everything, all_of_them=True)
        for entry in self._ordered():
            await entry.log.close()
            if entry.is_dropped:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(entry.log.path.unlink, missing_ok=True)
        return tuple(entry.item() for entry in self._ordered() if not entry.is_over)

    def _unfinished(self) -> set[asyncio.Task[Any]]:
        """What has to come to its end before the program may: things being made or ended, leases being written."""
        unwanted = {entry.id for entry in self._ordered() if entry.is_unwanted and not entry.is_over}
        following = {task for lease_id, task in self._following.items() if lease_id in unwanted}
        pressing = {entry.pressing for entry in self._ordered() if entry.pressing is not None}
        return {task for task in self._tasks | self._records.unbroken | following | pressing if not task.done()}

    async def _end_sandbox(self, entry: Entry) -> None:
        for pause_s in (1.0, 2.0, 4.0, 8.0):
            try:
                await self._records.whole(self._follower.end(entry))
            except ComputeError as error:
                logger.info("the sandbox %s is not deleted yet: %s", entry.id, error)
                await self._sleep(pause_s)
            else:
                return

    async def _last_look(self, entry: Entry) -> None:
        """A job that was cancelled a moment ago: if it is over by now, that need not wait for the next start."""
        if entry.handle is None:
            return
        with contextlib.suppress(ComputeError):
            status = await entry.backend.status(entry.handle)
            if status.is_over:
                await self._records.whole(self._follower.finish(entry, status))

    # --- small things -----------------------------------------------------------------------------------------------

    def _place(self, name: str) -> ComputeBackend:
        if name not in self._backends:
            known = ", ".join(self._backends) or "none"
            text = f"There is no place named {name!r} to run things; known are: {known}."
            raise ComputeError(text, "bad_request", nothing_started=True)
        return self._backends[name]

    def _entry(self, lease: Lease, place: ComputeBackend) -> Entry:
        bill = Bill(
            session_id=lease.session_id,
            tool_call_id=lease.tool_call_id,
            lease_id=lease.id,
            tool="hf_jobs" if lease.has_command else TOOL_OF[lease.kind],
            usd_per_hour=lease.usd_per_hour,
            most_usd=most_usd(lease.usd_per_hour, lease.timeout_s),
        )
        return Entry(lease, place, bill, WorkLog(self._store.log_path(lease.id), self._side.scrub, self._sleep))

    def _ordered(self) -> list[Entry]:
        return sorted(self._entries.values(), key=lambda entry: entry.lease.created_at)

    def _of_session(self) -> list[Entry]:
        return [entry for entry in self._ordered() if entry.lease.session_id == self._side.session_id]

    async def _announce(self, changed: Entry) -> None:
        """Send what runs, with what has just ended."""
        told = [entry for entry in self._of_session() if not entry.is_over or entry is changed]
        await self._side.emit(WorkStatus(tuple(entry.item() for entry in told)))

    def _follow(self, entry: Entry) -> None:
        task = self._following.get(entry.id)
        if not self._is_closed and (task is None or task.done()):
            name = f"following {entry.id}"
            self._following[entry.id] = asyncio.create_task(self._follower.run(entry), name=name)

    def _own(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
