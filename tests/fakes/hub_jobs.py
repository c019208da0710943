"""The fake Hub's jobs: submitting, listing, logs and cancelling. Schedules and hardware have files of their own.

A job does nothing by itself; the test drives it, from any thread:

    hub.jobs.script = [stage("RUNNING"), line("hello"), polled(2), stage("COMPLETED")]   # for every job to come
    hub.jobs.on_submit = lambda job: job.print("early")                                  # or by hand, at once
    job = hub.jobs.wait_for(1)[0]
    job.start(); job.print("step 1"); job.end("COMPLETED")

Sources: huggingface_hub 1.33 (hf_api.py, _jobs_api.py), and its wire facts in the project's specification.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.fakes.http_base import Exchange
from tests.fakes.hub_hardware import HARDWARE, hardware
from tests.fakes.hub_job import STAGES, Cut, Job, Step, admit, line, polled, stage, streamed
from tests.fakes.hub_part import Part, Refused, Route, object_of, send_json, stamp
from tests.fakes.hub_schedules import Scheduled, Schedules, next_run

if TYPE_CHECKING:
    from tests.fakes.hub import FakeHub

__all__ = [
    "STAGES",
    "Cut",
    "Job",
    "Jobs",
    "Step",
    "hardware",
    "line",
    "next_run",
    "polled",
    "stage",
    "streamed",
]


class Jobs(Part):
    """Jobs, schedules and hardware. Plain attributes are settings for tests, to be set before they matter."""

    def __init__(self, hub: FakeHub) -> None:
        super().__init__(hub)
        self.no_credit: set[str] = set()
        """Namespaces that get a 402."""
        self.page_size = 100
        self.hardware: list[dict[str, Any]] = list(HARDWARE)
        self.script: list[Step] = []
        """What every job to come does."""
        self.on_submit: Callable[[Job], None] | None = None
        """Called for each new job in the server's thread, so it must not wait. The answer is SCHEDULING anyway."""
        self.on_end: list[Callable[[Job], None]] = []
        self.cuts: list[int | Cut | None] = []
        """`Job.cuts` of every job to come."""
        self.status_lag = 0
        """`Job.status_lag` of every job to come."""
        self.holds_open = True
        """Whether log streams of a job that goes on stay open, as the Hub's do (a client that does not follow reads
        until its 5 s are over); False ends them after what there is."""
        self.expose_url: str | None = None
        """Base of the addresses of exposed ports, e.g. a `SandboxServer.url`; None: `https://<id>--<port>.hf.jobs`.
        The client looks for `--<port>.` only, so that may stand in the path: `<base>/<id>--<port>.hf.jobs`."""
        self.starts_exposed = True
        """Whether jobs with exposed ports run at once (in the answer they are SCHEDULING) while `expose_url` is set."""
        self._schedules = Schedules(self)
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition()
        self._pulses: set[asyncio.Event] = set()
        self._next_number = 0

    # --- for tests ---

    @property
    def scheduled(self) -> dict[str, Scheduled]:
        """The scheduled jobs, by their ids."""
        return self._schedules.known

    def all(self) -> list[Job]:
        """All jobs, oldest first."""
        with self._changed:
            return list(self._jobs.values())

    def get(self, job_id: str) -> Job:
        """The job with this id; KeyError if there is none."""
        with self._changed:
            return self._jobs[job_id]

    def running(self) -> list[Job]:
        """Jobs that are not over: they cost money."""
        return [job for job in self.all() if not job.is_over]

    def wait(self, reached: Callable[[], bool], what: str = "the jobs", timeout_s: float = 10.0) -> None:
        """Block until `reached()` after some change of a job. Raises AssertionError on timeout."""
        with self._changed:
            assert self._changed.wait_for(reached, timeout_s), f"waited {timeout_s} s for {what}"

    def wait_for(self, count: int = 1, timeout_s: float = 10.0) -> list[Job]:
        """All jobs, once there are `count`. AssertionError on timeout."""
        self.wait(lambda: len(self._jobs) >= count, f"{count} jobs", timeout_s)
        return self.all()

    def wait_streams(self, job: Job, count: int = 1, timeout_s: float = 10.0) -> None:
        """Wait until `count` log streams of the job in all were asked for. AssertionError on timeout."""
        self.wait(lambda: job.streams >= count, f"{count} log streams", timeout_s)

    def add(self, spec: dict[str, Any] | None = None, namespace: str | None = None) -> Job:
        """A job that somebody else made: it does nothing, whatever `script` says."""
        whole = {"command": ["true"], "arguments": [], "environment": {}, "flavor": "cpu-basic"}
        whole |= {"dockerImage": "python:3.12"} | (spec or {})
        return self.new(namespace or self.hub.user, whole, self._user())

    def fire(self, scheduled_id: str) -> Job:
        """A schedule's time has come."""
        return self._schedules.run(self.scheduled[scheduled_id])

    # --- for the parts and jobs ---

    def changing(self) -> _Changing:
        """`with jobs.changing():` around every change: others wait, and who waits for a change is told."""
        return _Changing(self)

    def owner(self, namespace: str) -> dict[str, str]:
        """Whose namespace it is, as the Hub says it."""
        return {"id": f"id-{namespace}", "name": namespace, "type": "user" if namespace == self.hub.user else "org"}

    def startable(self, exchange: Exchange, namespace: str, spec: Any) -> dict[str, Any]:
        """`spec`, if a job may be made of it. Raises Refused."""
        admit(self.hub, exchange, namespace)
        if (wrong := self._wrong_with(spec)) is not None:
            raise Refused(400, wrong)
        if namespace in self.no_credit:
            raise Refused(402, f"Pre-paid credit balance of {namespace} is insufficient: add credits to run Jobs.")
        return dict(spec)

    def new(self, namespace: str, spec: dict[str, Any], initiator: dict[str, str]) -> Job:
        """A new job that does nothing yet."""
        with self.changing():
            job = Job(self, self.new_id(), namespace, spec, initiator)
            self._jobs[job.id] = job
        return job

    def new_id(self) -> str:
        """The id of a job or schedule to come."""
        self._next_number += 1
        return f"{0x687FB701029421AE55490000 + self._next_number:x}"

    def begin(self, job: Job) -> None:
        """What the test wants of a new job; nobody sees it half begun."""
        with self.changing():
            if self.on_submit is not None:
                self.on_submit(job)
            if self.expose_url and self.starts_exposed and job.spec.get("expose") and job.stage == "SCHEDULING":
                job.start()
            job.advance(*self.script)

    def exposed(self, job_id: str, port: int) -> str:
        """The address under which a port of a job is reached."""
        host = f"{job_id}--{port}.hf.jobs"
        return f"{self.expose_url}/{host}" if self.expose_url else f"https://{host}"

    def wake(self) -> None:
        """Tell everybody who waits for a change. Call it with the lock held."""
        self._changed.notify_all()
        loop: asyncio.AbstractEventLoop | None = getattr(self.hub, "_loop", None)
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._pulse)

    def _pulse(self) -> None:
        for pulse in self._pulses:
            pulse.set()

    def routes(self) -> Iterable[Route]:
        """All routes of jobs and schedules."""
        jobs, job = r"/api/jobs/(?P<namespace>[^/]+)", r"/api/jobs/(?P<namespace>[^/]+)/(?P<job_id>[^/]+)"
        return (
            Route("GET", "/api/jobs/hardware", self._list_hardware),
            Route("POST", jobs, self._submit),
            Route("GET", jobs, self._list),
            Route("GET", job, self._inspect),
            Route("GET", job + "/logs", self._logs),
            Route("POST", job + "/cancel", self._cancel),
            Route("PUT", job + "/labels", self._set_labels),
            *self._schedules.routes(),
        )

    # --- jobs ---

    async def _list_hardware(self, exchange: Exchange) -> None:
        await send_json(exchange, 200, self.hardware)

    async def _submit(self, exchange: Exchange, namespace: str) -> None:
        spec = self.startable(exchange, namespace, exchange.request.json)
        job = self.new(namespace, spec, self._user())
        answer = job.answer()
        self.begin(job)
        await send_json(exchange, 200, answer)

    def _wrong_with(self, spec: Any) -> str | None:
        if not isinstance(spec, dict) or not isinstance(spec.get("command"), list):
            return '"command" must be an array'
        if ("dockerImage" in spec) == ("spaceId" in spec):
            return 'either "dockerImage" or "spaceId" is required'
        if spec.get("flavor") not in [row["name"] for row in self.hardware]:
            return f'"flavor" must be one of the available hardware flavors, not {spec.get("flavor")!r}'
        texts = [*(spec.get("environment") or {}).values(), *(spec.get("secrets") or {}).values(), *spec["command"]]
        if not all(isinstance(text, str) for text in texts):
            return "environment, secrets and command must be strings"
        bad = [each for each in (spec.get("labels") or {}).items() if not all(_LABEL.fullmatch(part) for part in each)]
        return f"invalid label: {bad[0]}" if bad else None

    def _user(self) -> dict[str, str]:
        return {"type": "user", "id": f"id-{self.hub.user}", "name": self.hub.user}

    async def _list(self, exchange: Exchange, namespace: str) -> None:
        admit(self.hub, exchange, namespace)
        pairs = exchange.request.query_pairs
        stages = {value for name, value in pairs if name == "stage"}
        labels = dict(value.partition("=")[::2] for name, value in pairs if name == "label")
        cursor = exchange.request.query.get("cursor", "~")
        if unknown := stages - set(STAGES):
            raise Refused(400, f"invalid stage: {', '.join(sorted(unknown))}")
        found = [job for job in reversed(self.all()) if job.namespace == namespace and job.id < cursor]
        rows = [job.looked_at() for job in found if labels.items() <= job.labels.items()]
        rows = [row for row in rows if not stages or row["status"]["stage"] in stages]
        page = rows[: self.page_size]
        headers = {}
        if len(rows) > len(page):
            query = urlencode([pair for pair in pairs if pair[0] != "cursor"] + [("cursor", page[-1]["id"])])
            headers = {"Link": f'<{self.hub.url}{exchange.request.path}?{query}>; rel="next"'}
        await send_json(exchange, 200, page, headers)

    def _found(self, exchange: Exchange, namespace: str, job_id: str) -> Job:
        """The job a request is about. Raises Refused."""
        admit(self.hub, exchange, namespace)
        with self._changed:
            job = self._jobs.get(job_id)
        if job is None or job.namespace != namespace:
            raise Refused(404, "Job not found")
        return job

    async def _inspect(self, exchange: Exchange, namespace: str, job_id: str) -> None:
        await send_json(exchange, 200, self._found(exchange, namespace, job_id).looked_at())

    async def _cancel(self, exchange: Exchange, namespace: str, job_id: str) -> None:
        job = self._found(exchange, namespace, job_id)
        with self.changing():
            if job.is_over:
                raise Refused(409, f"Job is already {job.stage.lower()}")
            job.set_stage("CANCELED")
        await send_json(exchange, 200, {})

    async def _set_labels(self, exchange: Exchange, namespace: str, job_id: str) -> None:
        job = self._found(exchange, namespace, job_id)
        with self.changing():
            job.labels = dict(object_of(exchange)["labels"])
        await send_json(exchange, 200, job.answer())

    # --- logs ---

    async def _logs(self, exchange: Exchange, namespace: str, job_id: str) -> None:
        job = self._found(exchange, namespace, job_id)
        pulse = asyncio.Event()
        with self.changing():
            self._pulses.add(pulse)
            job.streams += 1
            planned = job.cuts.pop(0) if job.cuts else None
        cut = Cut(planned) if isinstance(planned, int) else planned
        try:
            await self._stream(exchange, job, cut, pulse)
        finally:
            self._pulses.discard(pulse)
            job.stream_ended()

    async def _stream(self, exchange: Exchange, job: Job, cut: Cut | None, pulse: asyncio.Event) -> None:
        await exchange.head(200, {"Content-Type": "text/event-stream"})
        await exchange.body(b": keep-alive\n\n")
        tail = exchange.request.query.get("tail")
        at = max(len(job.events) - int(tail), 0) if tail is not None else 0
        sent = 0
        while True:
            pulse.clear()
            with self._changed:
                events, goes_on = job.events[at:], self.holds_open and not job.is_over
            events = events if cut is None else events[: max(cut.after - sent, 0)]
            for text, when in events:
                event = json.dumps({"data": text, "timestamp": stamp(when)})
                await exchange.body(f"data: {event}\n\n".encode())
            at, sent = at + len(events), sent + len(events)
            if cut is not None and sent >= cut.after:
                await self._break(exchange, cut)
                return
            if not goes_on:
                await exchange.body(b"", last=True)
                return
            await pulse.wait()

    async def _break(self, exchange: Exchange, cut: Cut) -> None:
        if cut.how == "cut":
            await exchange.cut()
        elif cut.how == "end":
            await exchange.body(b"", last=True)
        else:
            await exchange.stall()


_LABEL = re.compile(r"[A-Za-z0-9._-]{0,100}")


class _Changing:
    """The lock around a change; leaving it wakes everybody who waits for one."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def __enter__(self) -> None:
        self._jobs._changed.acquire()

    def __exit__(self, *_: object) -> None:
        self._jobs.wake()
        self._jobs._changed.release()
