"""A random course of events around remote work, acted out against the loopback Hub with the real client and backends.

What must hold whenever the dust has settled: everything that runs at the Hub has a lease on disk. Time passes only when
the course moves it; the Hub answers in its own thread, at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import re
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agent.budget.ledger import Ledger
from agent.cli.gc_command import run_gc
from agent.compute.hf_jobs import HfJobs
from agent.compute.hf_sandbox import HfSandbox
from agent.compute.leases import LeaseStore
from agent.compute.local import LocalProcesses
from agent.compute.sandbox.space import TEMPLATE_SPACE
from agent.core.remote_work import RemoteWork
from agent.core.work_costs import Hold
from agent.hub.account import HubAccount
from agent.protocol.compute import LEASE_LABEL, ComputeBackend, ComputeError, Work
from agent.protocol.events import ToolCharge
from tests.fakes.http_base import Exchange, HttpFake
from tests.fakes.hub import FakeHub
from tests.fakes.hub_jobs import Job
from tests.fakes.place import FakeTime
from tests.unit.core.desks import Disk, Side

SESSION = "s1"
JOB = Work("train.py", ("python", "train.py"), image="img", flavor="cpu-upgrade", timeout_s=3600.0)
SPACE = Work("sandbox", flavor="cpu-upgrade")
PLACES: dict[str, Work] = {"hf_jobs": JOB, "hf_sandbox": SPACE}

TARGETS = {
    "hf_jobs": (("POST", "/api/jobs/[^/]+$"), ("GET", "/api/jobs/"), ("POST", "/cancel$")),
    "hf_sandbox": (
        ("POST", "/repos/create$"),
        ("POST", "/commit/"),
        ("GET", "/api/spaces/"),
        ("DELETE", "/api/repos/"),
    ),
}
"""Where faults hit: what changes something at a place, and what asks about it."""
_ASKED = {"hf_jobs": "/api/jobs/", "hf_sandbox": "/api/spaces/"}
FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 402},
    {"status": 429, "headers": {"Retry-After": "1"}},
    {"status": 503},
    {"status": 500},
    {"kind": "cut"},
    {"kind": "after"},
    {"kind": "stall"},
)
_NOWHERE = "http://127.0.0.1:9"
_POLL_S = 0.002
_STEP_S = 0.5
_STEPS_UNTIL_RESUMED = 40
_LIMIT_S = 20.0


class AllSpaces(HttpFake):
    """The address of every Space: a server of the build that was committed last answers there."""

    build = ""

    async def respond(self, exchange: Exchange) -> None:
        await exchange.json(200, {"status": "ok", "build": self.build})


class Course:
    """One sequence. `store` is the disk; `desk` is what a program has in memory, and goes with it."""

    def __init__(self, state_dir: Path, hub: FakeHub, spaces: AllSpaces, seed: int) -> None:
        self.rng = random.Random(seed)
        self.hub, self.state_dir, self.store = hub, state_dir, LeaseStore(state_dir)
        self.time = FakeTime()
        self.charges: list[str] = []
        self.charged: dict[str, float] = {}
        self.job_calls: set[str] = set()
        self.told: list[str] = []
        hub.now = self.time.now
        hub.jobs.holds_open = False
        hub.jobs.on_submit = self._check_lease
        hub.spaces.stages = ["RUNNING"]
        hub.spaces.host_url = spaces.url
        hub.repos.create(TEMPLATE_SPACE, "space", {"Dockerfile": "FROM scratch"}, private=False, sdk="docker")

        def built(repo: Any, _ref: str) -> None:
            found = re.search(rb"SANDBOX_BUILD=(\w+)", hub.repos.files(repo.repo_id, "space")["Dockerfile"])
            spaces.build = found[1].decode() if found else ""

        hub.repos.on_commit.append(built)
        self._number = 0
        self._is_resumed = False
        self._begin()

    def _check_lease(self, job: Job) -> None:
        assert self.store.get(job.labels[LEASE_LABEL]) is not None, "a job came before its lease"

    def _begin(self) -> None:
        """A program starts."""
        self.environ = environ = {"HF_ENDPOINT": self.hub.url, "OPENID_PROVIDER_URL": self.hub.url}
        account = HubAccount(self.hub.token, environ, sleep=self.time.sleep)
        jobs = HfJobs(account, sleep=self.time.sleep, clock=self.time.now, patience_s=1.0)
        sandbox = HfSandbox(account, environ=environ, sleep=self.time.sleep, now=self.time.now)
        local = LocalProcesses(self.state_dir, {})
        places: tuple[ComputeBackend, ...] = (jobs, sandbox, local)
        self.backends = {place.name: place for place in places}
        self.side = Side(SESSION, Ledger())
        self.disk = Disk(self.state_dir)
        self._threads = ThreadPoolExecutor(2)
        asyncio.get_running_loop().set_default_executor(self._threads)
        self.desk = RemoteWork(self.side, self.disk, self.backends, sleep=self.time.sleep, now=self.time.now)

    # --- time --------------------------------------------------------------------------------------------------------

    async def drive(self, work: Awaitable[Any]) -> Any:
        """Let `work` come to its end; what the Hub holds back is let go after a while."""
        task = asyncio.ensure_future(work)
        deadline, steps = asyncio.get_running_loop().time() + _LIMIT_S, 0
        while not task.done():
            steps += 1
            if steps == _STEPS_UNTIL_RESUMED:
                self._resume()
            assert asyncio.get_running_loop().time() < deadline, f"{work} hangs; {self.told}"
            await self._step()
        return await task

    async def _step(self) -> None:
        """A moment passes; not while the Hub answers: its thread has its own time."""
        await asyncio.sleep(_POLL_S)
        if not _is_asking() or (self.hub._stalled and not self._is_resumed):
            self.time.advance(_STEP_S)

    def _resume(self) -> None:
        """What the Hub holds back is let go; from now on it cuts instead."""
        self._is_resumed = True
        self.hub.resume()

    async def quiet(self) -> None:
        """Nothing is under way to the Hub any more."""
        self._resume()
        deadline = asyncio.get_running_loop().time() + _LIMIT_S
        while _is_asking():
            assert asyncio.get_running_loop().time() < deadline, f"a request hangs; {self.told}"
            await asyncio.sleep(_POLL_S)

    # --- what happens ------------------------------------------------------------------------------------------------

    async def act(self) -> None:
        """Something happens."""
        acts: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (6, self.submit),
            (4, self.stop),
            (3, self.cancel),
            (2, self.end),
            (3, self.kill),
            (1, self.restart),
            (2, self.collect_garbage),
            (1, self.pass_time),
        ]
        (act,) = self.rng.choices([act for _, act in acts], [weight for weight, _ in acts])
        self.told.append(act.__name__)
        await act()
        self.hub.faults.clear()
        await self.quiet()
        self.check()

    def _place(self) -> str:
        return "hf_jobs" if self.rng.random() < 0.9 else "hf_sandbox"

    def _faulty(self, place: str, likely: float) -> None:
        """Perhaps, something will go wrong; or everything: it is made, the answer is lost, and nobody tells."""
        if self.rng.random() < likely / 5:
            self.told.append(f"blackout of {place}")
            (method, pattern), asked = TARGETS[place][0], _ASKED[place]
            self.hub.fail(method, pattern, kind="after")
            self.hub.fail("GET", asked, status=403, times=20)
            return
        while self.rng.random() < likely:
            (method, pattern), fault = self.rng.choice(TARGETS[place]), self.rng.choice(FAULTS)
            times, skip = self.rng.choice([1, 1, 2, 9]), self.rng.choice([0, 0, 1])
            self.told.append(f"{method} {pattern}: {fault} x{times} after {skip}")
            self.hub.fail(method, pattern, **fault, times=times, skip=skip)
            likely /= 2

    def _call(self, place: str) -> tuple[str, Hold]:
        self._number += 1
        call_id = f"call{self._number}"
        if place == "hf_jobs":
            self.job_calls.add(call_id)
        ledger = self.side.ledger
        return call_id, Hold(ledger, ledger.reserve("hf_jobs", 1.0, must_fit=False, reservation_id=call_id))

    async def submit(self) -> None:
        """A call starts work."""
        place = self._place()
        self._faulty(place, 0.6)
        call_id, hold = self._call(place)
        with contextlib.suppress(ComputeError):
            await self.drive(self.desk.submit(place, PLACES[place], call_id))
        await self._hand_over(hold)

    async def stop(self) -> None:
        """A call starts work and is stopped on the way."""
        place = self._place()
        self._faulty(place, 0.4)
        call_id, hold = self._call(place)
        task = asyncio.create_task(self.desk.submit(place, PLACES[place], call_id))
        enough = len(self.hub.requests) + self.rng.randint(0, 7)
        for _ in range(self.rng.randint(0, 60)):
            if task.done() or len(self.hub.requests) >= enough:
                break
            await self._step()
        task.cancel()
        with contextlib.suppress(ComputeError, asyncio.CancelledError):
            await self.drive(task)
        await self._hand_over(hold)

    async def _hand_over(self, hold: Hold) -> None:
        if not await self.drive(self.desk.adopt(hold)):
            hold.ledger.release(hold.reservation)

    async def cancel(self) -> None:
        """The person ends something."""
        if not (running := self.desk.running):
            return
        chosen = self.rng.choice(running)
        self._faulty("hf_jobs" if chosen.kind == "job" else "hf_sandbox", 0.6)
        with contextlib.suppress(ComputeError):
            await self.drive(self.desk.cancel(chosen.lease_id))

    async def end(self) -> None:
        """Something comes to its end by itself, or is ended by somebody else."""
        if jobs := self.hub.jobs.running():
            job = self.rng.choice(jobs)
            job.start()
            job.print("a line")
            self.time.advance(30.0)
            job.end(self.rng.choice(["COMPLETED", "ERROR"]))
        elif spaces := self.hub.spaces.of():
            self.hub.repos.delete(self.rng.choice(spaces).repo_id, "space")
        self.time.advance(2.0)

    async def kill(self) -> None:
        """`kill -9`, often while something is being started; then the session is taken up by another program."""
        if self.rng.random() < 0.7:
            place = self._place()
            self._faulty(place, 0.4)
            call_id, _ = self._call(place)
            task = asyncio.create_task(self.desk.submit(place, PLACES[place], call_id))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody is there to hear of it
            enough = len(self.hub.requests) + self.rng.randint(0, 7)
            for _ in range(self.rng.randint(0, 40)):
                if task.done() or len(self.hub.requests) >= enough:
                    break
                await self._step()
        await self._die()
        if self.rng.random() < 0.7:
            self._faulty(self._place(), 0.3)
            await self._take_up()

    async def _die(self) -> None:
        """Everything of the program ends. What it does on being cancelled gets nowhere: a killed one does nothing."""
        self.disk.is_dead = True
        self.environ.update(dict.fromkeys(self.environ, _NOWHERE))
        await _end_all_tasks()
        self._threads.shutdown()  # what is being written to the disk is written
        await self.quiet()  # what was on its way to the Hub arrives
        self._end_of_program()
        self._begin()

    def _end_of_program(self) -> None:
        self.charges += [event.tool_call_id for event in self.side.of(ToolCharge)]
        for lease_id, usd in self.side.charged_leases.items():
            self.charged[lease_id] = self.charged.get(lease_id, 0.0) + usd
        self.side.events.clear()

    async def _take_up(self) -> None:
        self._end_of_program()
        await self.drive(self.desk.take_up(SESSION, charged=self.charged))

    async def restart(self) -> None:
        """The program ends in good order, and another one takes the session up."""
        self._faulty("hf_sandbox", 0.4)
        await self.drive(self.desk.close())
        await self._die()
        await self._take_up()

    async def collect_garbage(self) -> None:
        """`ml-intern gc` in another terminal, of everything or of what has run out."""
        self._faulty(self._place(), 0.4)
        await self._gc(everything=self.rng.random() < 0.3, now=self.time.now())

    async def _gc(self, *, everything: bool, now: datetime) -> str:
        out = io.StringIO()
        gc = run_gc(
            self.state_dir,
            self.backends,
            out,
            ids=(),
            everything=everything,
            dry_run=False,
            as_json=False,
            now=now,
            sleep=self.time.sleep,
        )
        await self.drive(gc)
        return out.getvalue()

    async def pass_time(self) -> None:
        """Nothing happens, for a while or for long."""
        for _ in range(4):
            self.time.advance(self.rng.choice([1.0, 60.0, 700.0]))
            await self.quiet()

    # --- what must hold ----------------------------------------------------------------------------------------------

    def exists(self) -> list[str]:
        """The beginnings of the leases of all that runs at the Hub."""
        jobs = [job.labels[LEASE_LABEL] for job in self.hub.jobs.running()]
        return jobs + [space.repo_id.rpartition("-")[2] for space in self.hub.spaces.of()]

    def check(self) -> None:
        """Everything that exists has a lease."""
        leases = [lease.id for lease in self.store.all()]
        assert self.store.unreadable() == []
        for name in self.exists():
            assert any(lease.startswith(name) for lease in leases), f"{name} has no lease: {self.told}"
        self.hub.check()

    async def finish(self) -> None:
        """All programs are gone and the Hub is well: `gc --all` ends everything; the session pays for what it owes."""
        await self._die()
        self.hub.faults.clear()
        self.check()
        said = await self._gc(everything=True, now=self.time.now() + timedelta(minutes=11))
        assert self.exists() == [], f"{said}; {self.told}"
        left = [lease for lease in self.store.all() if lease.state != "ended"]
        assert left == [], f"{said}; {self.told}"
        await self._take_up()
        await self.quiet()
        assert self.store.all() == [], f"{self.store.all()}; {said}; {self.told}"
        self._end_of_program()
        jobs = [call_id for call_id in self.charges if call_id in self.job_calls]
        assert len(jobs) == len(set(jobs)), f"charged twice: {jobs}; {self.told}"


@asynccontextmanager
async def course(seed: int) -> AsyncIterator[Course]:
    """A course with a Hub and a disk of its own."""
    with tempfile.TemporaryDirectory() as state_dir, FakeHub() as hub, AllSpaces() as spaces:
        made = Course(Path(state_dir), hub, spaces, seed)
        try:
            yield made
        finally:
            hub.resume()
            await _end_all_tasks()


async def _end_all_tasks() -> None:
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:
            task.cancel()
        await asyncio.wait(others, timeout=0.02)  # some begin another one before they end


def _asking() -> Iterator[threading.Thread]:
    return (thread for thread in threading.enumerate() if thread.name == "hub-call")


def _is_asking() -> bool:
    return any(True for _ in _asking())
