"""A place that takes work, in memory, and a clock that only moves when told to.

`Place` is the world outside: it outlives every desk that uses it. Tests say what it does: `start`, `print`, `end`, and
the faults it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from agent.protocol.compute import (
    TERMINAL_STAGES,
    ComputeError,
    Ending,
    Handle,
    Kind,
    LogLine,
    Price,
    Stage,
    Status,
    Work,
)

SubmitFault = Literal["refused", "lost", "vanished", "crashed"]
"""`refused`: certainly nothing made. `lost`: made, but the answer is lost. `vanished`: not made, and nobody can tell.
`crashed`: not made, and the error is of no known kind."""


class FakeTime:
    """The time for a desk: `sleep` ends when `advance` has moved far enough."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC).replace(microsecond=0)
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.moment + timedelta(seconds=seconds), waking))
        await waking

    def is_waited_for(self, seconds: float) -> bool:
        """Whether somebody sleeps until so long from now."""
        return any(at == self.moment + timedelta(seconds=seconds) for at, _waking in self._sleepers)

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        due = [waking for at, waking in self._sleepers if at <= self.moment]
        self._sleepers = [(at, waking) for at, waking in self._sleepers if at > self.moment and not waking.done()]
        for waking in due:
            if not waking.done():
                waking.set_result(None)

    async def until(self, condition: Callable[[], bool], what: str = "", *, advancing: float = 0.0) -> None:
        """Let everything else run until `condition` holds; `advancing` moves the clock meanwhile, so much each time."""
        deadline = asyncio.get_running_loop().time() + 20.0
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"this never came: {what or condition}")
            if advancing:
                self.advance(advancing)
            await asyncio.sleep(0.001)


@dataclass(eq=False)
class Thing:
    """What was made under a lease."""

    lease_id: str
    handle: Handle
    work: Work
    stage: Stage
    lines: list[str] = field(default_factory=list)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    billed_s: float | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def runs(self) -> bool:
        return self.stage not in TERMINAL_STAGES


class Place:
    """A scripted `ComputeBackend`. `fails[method] = n` makes its next n calls fail; -1: all of them."""

    def __init__(
        self, time: FakeTime, *, name: str = "hf_jobs", kind: Kind = "job", usd_per_hour: float | None = 1.0
    ) -> None:
        self.time = time
        self._name = name
        self._kind: Kind = kind
        self.usd_per_hour = usd_per_hour
        self.account_name = "me"
        """Whose token it is."""
        self.things: dict[str, Thing] = {}
        self.submit_faults: deque[SubmitFault] = deque()
        self.fails: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.skips: list[int] = []
        self.asked = asyncio.Event()
        """Set when a submit is under way."""
        self.gate = asyncio.Event()
        """A submit makes the thing only when this is set."""
        self.answer_gate = asyncio.Event()
        """A submit answers only when this is set."""
        self.gate.set()
        self.answer_gate.set()

    # --- what a test does -------------------------------------------------------------------------------------------

    @property
    def running(self) -> list[Thing]:
        return [thing for thing in self.things.values() if thing.runs]

    def only(self) -> Thing:
        (thing,) = self.things.values()
        return thing

    def start(self, thing: Thing) -> None:
        thing.stage, thing.started_at = "running", self.time.now()
        thing.changed.set()

    def print(self, thing: Thing, *lines: str) -> None:
        thing.lines.extend(lines)
        thing.changed.set()

    def end(self, thing: Thing, stage: Stage = "completed", billed_s: float | None = 1800.0) -> None:
        thing.stage, thing.billed_s, thing.ended_at = stage, billed_s, self.time.now()
        thing.changed.set()

    # --- ComputeBackend ---------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._name

    @property
    def kind(self) -> Kind:
        return self._kind

    async def account(self) -> str:
        self._check("account")
        return self.account_name

    async def price(self, flavor: str) -> Price:
        if flavor == "no-such":
            raise ComputeError("There is no hardware named no-such.", "bad_request", nothing_started=True)
        return Price(self.usd_per_hour, "table" if self.usd_per_hour is not None else "unknown")

    async def submit(self, work: Work, lease_id: str) -> Handle:
        self.calls["submit"] += 1
        self.asked.set()
        await self.gate.wait()
        fault = self.submit_faults.popleft() if self.submit_faults else None
        if fault == "refused":
            raise ComputeError("The place has no room.", "payment", nothing_started=True)
        if fault == "vanished":
            raise ComputeError("No answer.", "network")
        if fault == "crashed":
            raise RuntimeError("a bug of this place")
        number = len(self.things) + 1
        handle = Handle(self._name, f"place{number}", "me", f"https://place.invalid/{number}")
        stage: Stage = "queued" if self._kind == "job" else "running"
        started_at = None if self._kind == "job" else self.time.now()
        self.things[lease_id] = Thing(lease_id, handle, work, stage, started_at=started_at)
        await self.answer_gate.wait()
        if fault == "lost":
            raise ComputeError("No answer.", "network")
        return handle

    async def find(self, lease_id: str, namespace: str | None) -> Handle | None:
        self._check("find")
        thing = self.things.get(lease_id)
        return thing.handle if thing is not None else None

    async def status(self, handle: Handle) -> Status:
        self._check("status")
        thing = self._thing(handle)
        if thing is None or thing.stage == "gone":
            return Status("gone")
        return Status(thing.stage, thing.stage.upper(), None, thing.started_at, thing.ended_at, thing.billed_s)

    async def logs(self, handle: Handle, *, skip: int = 0) -> AsyncIterator[LogLine]:
        self._check("logs")
        self.skips.append(skip)
        thing = self._thing(handle)
        if thing is None:
            raise ComputeError("There is no such work.", "not_found")
        at = skip
        while True:
            thing.changed.clear()
            while at < len(thing.lines):
                yield LogLine(thing.lines[at])
                at += 1
            if not thing.runs:
                return
            await thing.changed.wait()

    async def cancel(self, handle: Handle) -> Ending:
        self._check("cancel")
        thing = self._thing(handle)
        if thing is not None and thing.runs:
            self.end(thing, "canceled", billed_s=360.0)
        return Ending(True, "It was stopped.")

    async def teardown(self, handle: Handle) -> None:
        self._check("teardown")
        thing = self._thing(handle)
        if thing is not None and thing.runs:
            thing.stage = "gone"
            thing.changed.set()

    def _thing(self, handle: Handle) -> Thing | None:
        return next((thing for thing in self.things.values() if thing.handle.id == handle.id), None)

    def _check(self, method: str) -> None:
        self.calls[method] += 1
        if self.fails[method]:
            self.fails[method] -= self.fails[method] > 0
            raise ComputeError(f"The place does not answer ({method}).", "server")
