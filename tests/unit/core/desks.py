"""A desk for tests: the session's side of it, its state on disk, and the place that it works with."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from agent.budget.ledger import Ledger
from agent.budget.thresholds import BudgetWarning
from agent.compute.leases import Lease, LeaseStore
from agent.core.remote_work import RemoteWork
from agent.core.work_costs import Hold
from agent.protocol.compute import ComputeBackend, Work
from agent.protocol.events import Payload, ToolCharge, ToolLog
from tests.fakes.place import FakeTime, Place, Thing

P = TypeVar("P")
WORK = Work("train.py", ("python", "train.py"), image="img", flavor="a10g-small", timeout_s=7200.0, namespace="me")
BOX = Work("box", flavor="t4-small")


@dataclass
class Side:
    """A session, as the desk sees it."""

    session_id: str = "s1"
    ledger: Ledger = field(default_factory=lambda: Ledger(100.0))
    cap_is_of_run: bool = True
    events: list[Payload] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    others: list[tuple[str, float]] = field(default_factory=list)
    warnings: list[BudgetWarning] = field(default_factory=list)

    def scrub(self, text: str) -> str:
        return text.replace("hf_secret_value", "[REDACTED]")

    async def emit(self, payload: Payload) -> None:
        self.events.append(payload)

    def note(self, text: str) -> None:
        self.notes.append(text)

    async def report_spending(self, warning: BudgetWarning | None) -> None:
        if warning is not None:
            self.warnings.append(warning)

    def charge_other(self, session_id: str, usd: float) -> None:
        self.others.append((session_id, usd))
        self.ledger.charge_elsewhere(usd)

    def of(self, kind: type[P]) -> list[P]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def told(self) -> list[str]:
        return [event.log for event in self.of(ToolLog)]

    @property
    def charges(self) -> list[ToolCharge]:
        """What was charged, without the lease, whose id is a chance one."""
        return [replace(event, lease_id=None) for event in self.of(ToolCharge)]

    @property
    def charged_leases(self) -> dict[str, float]:
        """As the journal has it: US dollars by lease id."""
        sums: dict[str, float] = {}
        for event in self.of(ToolCharge):
            sums[event.lease_id or ""] = sums.get(event.lease_id or "", 0.0) + event.charged_usd
        return sums

    @property
    def charged(self) -> list[float]:
        return [event.charged_usd for event in self.of(ToolCharge)]


class Disk(LeaseStore):
    """The leases, as one program sees them: a killed one changes nothing any more."""

    is_dead = False

    def write(self, lease: Lease) -> Lease:
        self._check()
        return super().write(lease)

    def drop(self, lease_id: str) -> None:
        self._check()
        super().drop(lease_id)

    def _check(self) -> None:
        if self.is_dead:
            raise OSError("this program was killed, or its disk takes nothing")


@dataclass
class Bench:
    """Everything of one test. `desk` can be killed and begun anew over the same state."""

    state_dir: Path
    time: FakeTime = field(default_factory=FakeTime)
    side: Side = field(default_factory=Side)
    places: dict[str, Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.place = self.add_place(Place(self.time))
        self.store = LeaseStore(self.state_dir)
        self.desk = self.new_desk()

    def add_place(self, place: Place) -> Place:
        self.places[place.name] = place
        return place

    def new_desk(self) -> RemoteWork:
        backends: Mapping[str, ComputeBackend] = self.places
        self.disk = Disk(self.state_dir)
        return RemoteWork(self.side, self.disk, backends, sleep=self.time.sleep, now=self.time.now)

    async def kill(self) -> None:
        """End the desk as kill -9 would: nothing that it was about to do is done."""
        self.disk.is_dead = True
        await end_of_process()
        self.side = Side(self.side.session_id)
        self.desk = self.new_desk()

    def hold(self, call_id: str = "call1", usd: float | None = 2.0) -> Hold:
        reservation = self.side.ledger.reserve("hf_jobs", usd, worst_usd=80.0, must_fit=False, reservation_id=call_id)
        return Hold(self.side.ledger, reservation)

    async def run(self, call_id: str = "call1", *, place: str = "hf_jobs", work: Work = WORK) -> Thing:
        """Submit, and hand over what was held, as a call with wait=false does."""
        hold = self.hold(call_id)
        running = await self.desk.submit(place, work, call_id)
        assert await self.desk.adopt(hold) is (running.usd_per_hour != 0.0)
        return self.places[place].things[running.lease_id]

    @property
    def leases(self) -> list[Lease]:
        return self.store.all()

    async def until_over(self, thing: Thing) -> None:
        def is_over() -> bool:
            lease = self.store.get(thing.lease_id)
            return lease is None or lease.state == "ended"

        await self.time.until(is_over, "the end of the work", advancing=1.0)

    async def until_dropped(self, thing: Thing) -> None:
        def is_dropped() -> bool:
            aside = self.store.log_path(thing.lease_id).with_suffix(".log.kept")
            return self.store.get(thing.lease_id) is None and not aside.exists()

        await self.time.until(is_dropped, "the lease going", advancing=1.0)


async def end_of_process() -> None:
    """Make everything vanish that runs beside the test, as the end of a process would."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    while others := asyncio.all_tasks() - {this}:
        for task in others:
            task.cancel()
        await asyncio.wait(others, timeout=5)
    threads = ThreadPoolExecutor(2)
    old: ThreadPoolExecutor | None = getattr(loop, "_default_executor", None)
    loop.set_default_executor(threads)
    if old is not None:
        old.shutdown(wait=True)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory() as state_dir:
        made = Bench(Path(state_dir))
        try:
            yield made
        finally:
            await end_of_process()
