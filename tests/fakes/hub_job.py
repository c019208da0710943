"""One job of the fake Hub, and what the script it goes through is made of. See `hub_jobs` for how to use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from tests.fakes.http_base import Exchange
from tests.fakes.hub_part import Refused, stamp

if TYPE_CHECKING:
    from tests.fakes.hub import FakeHub
    from tests.fakes.hub_jobs import Jobs

STAGES = ("SCHEDULING", "RUNNING", "UPDATING", "COMPLETED", "CANCELED", "ERROR", "DELETED")
OVER = ("COMPLETED", "CANCELED", "ERROR", "DELETED")


# --- what a script is made of ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens to a job, or (`waits_for`) the number of polls or log streams that come first."""

    act: Callable[[Job], None] | None = None
    waits_for: Literal["polls", "streams"] = "polls"
    count: int = 0


def stage(name: str, message: str | None = None) -> Step:
    """The job enters this stage."""
    return Step(lambda job: job.set_stage(name, message))


def line(text: str) -> Step:
    """The job prints a line."""
    return Step(lambda job: job.print(text))


def polled(count: int = 1) -> Step:
    """Go on after the job was looked at (inspected or listed) `count` more times."""
    return Step(None, "polls", count)


def streamed(count: int = 1) -> Step:
    """Go on after `count` more log streams have ended (whole, cut or hung up)."""
    return Step(None, "streams", count)


@dataclass(frozen=True, slots=True)
class Cut:
    """How a log stream breaks after `after` events (the "Job started" event counts; keep-alives don't).

    "cut" breaks the connection, "end" ends the answer properly though the job goes on, "hang" says nothing more.
    """

    after: int
    how: Literal["cut", "end", "hang"] = "cut"


# --- a job -----------------------------------------------------------------------------------------------------------


def _maybe(at: datetime | None) -> str | None:
    return None if at is None else stamp(at)


class Job:
    """One job. `spec` is what was sent, secrets included: they are in no answer. Its methods are thread-safe."""

    def __init__(self, jobs: Jobs, job_id: str, namespace: str, spec: dict[str, Any], initiator: dict[str, str]):
        self.id, self.namespace, self.spec, self.initiator = job_id, namespace, spec, initiator
        self.labels: dict[str, str] = dict(spec.get("labels") or {})
        self.stage = "SCHEDULING"
        self.message: str | None = None
        self.created_at: datetime = jobs.hub.now()
        self.started_at: datetime | None = None
        self.finished_at: datetime | None = None
        self.events: list[tuple[str, datetime]] = []
        """All log events so far, the "Job started" one included."""
        self.cuts: list[int | Cut | None] = list(jobs.cuts)
        """What becomes of the next log streams, one each; a number is a `Cut`, None leaves the stream whole."""
        self.status_lag = jobs.status_lag
        """Answers that still show the old stage after each change."""
        self.polls = 0
        self.streams = 0
        """Log streams asked for so far."""
        self.script: list[Step] = []
        self._jobs = jobs
        self._old: tuple[int, dict[str, Any]] = (0, {})
        self._streams_ended = 0
        self._due = (0, 0)
        self._is_advancing = False

    @property
    def secrets(self) -> dict[str, str]:
        """What was sent as secrets."""
        return dict(self.spec.get("secrets") or {})

    @property
    def is_over(self) -> bool:
        """Whether it has come to its end."""
        return self.stage in OVER

    @property
    def lines(self) -> list[str]:
        """What it printed so far."""
        return [text for text, _ in self.events if not text.startswith("===== Job started")]

    def start(self) -> None:
        """It runs."""
        self.set_stage("RUNNING")

    def print(self, *texts: str) -> None:
        """It prints lines; open log streams send them at once."""
        with self._jobs.changing():
            self.events += [(text, self._jobs.hub.now()) for text in texts]

    def end(self, name: str = "COMPLETED", message: str | None = None) -> None:
        """It is over; open log streams end after their last line."""
        self.set_stage(name, message)

    def set_stage(self, name: str, message: str | None = None) -> None:
        """Enter a stage; times are the Hub's clock. Answers show it only after `status_lag` more looks."""
        assert name in STAGES, f"no such stage: {name}"
        with self._jobs.changing():
            self._old = (self.status_lag, self._shown())
            now = self._jobs.hub.now()
            if name == "RUNNING" and self.started_at is None:
                self.started_at = now
                self.events.append((f"===== Job started at {now:%Y-%m-%d %H:%M:%S} =====", now))
            if name in OVER and self.finished_at is None:
                self.finished_at = now
            self.stage, self.message = name, message
        if name in OVER:
            for listener in self._jobs.on_end:
                listener(self)

    def advance(self, *steps: Step) -> None:
        """Append `steps` to the job's script, and go on with it as far as it goes without waiting."""
        with self._jobs.changing():
            self.script += steps
            if self._is_advancing:
                return
            self._is_advancing = True
            try:
                while self.script and self._is_due(self.script[0]):
                    step = self.script.pop(0)
                    if step.act is not None:
                        step.act(self)
                    self._due = (self.polls, self._streams_ended)
            finally:
                self._is_advancing = False

    def _is_due(self, step: Step) -> bool:
        seen = {"polls": self.polls - self._due[0], "streams": self._streams_ended - self._due[1]}
        return seen[step.waits_for] >= step.count

    def stream_ended(self) -> None:
        """A log stream is over, in whatever way; the script may have waited for that."""
        with self._jobs.changing():
            self._streams_ended += 1
        self.advance()

    def _shown(self) -> dict[str, Any]:
        """The part of the answer that changes, as it is now."""
        ports = (self.spec.get("expose") or {}).get("ports") or []
        status: dict[str, Any] = {"stage": self.stage, "message": self.message}
        if ports:
            status["exposeUrls"] = [self._jobs.exposed(self.id, port) for port in ports]
        if (self.spec.get("ssh") or {}).get("enabled"):
            status["sshUrl"] = f"ssh://{self.id}@ssh.hf.jobs"
        return {"status": status, "startedAt": _maybe(self.started_at), "finishedAt": _maybe(self.finished_at)}

    def answer(self) -> dict[str, Any]:
        """The JobInfo of now, as JSON."""
        now = self.finished_at or self._jobs.hub.now()
        started = self.started_at
        durations = {
            "schedulingSecs": int((started - self.created_at).total_seconds()) if started else None,
            "runningSecs": int((now - started).total_seconds()) if started else None,
            "totalSecs": int((now - self.created_at).total_seconds()),
        }
        spec = {key: value for key, value in self.spec.items() if key not in ("expose", "ssh", "secrets", "labels")}
        return {
            **spec,
            "id": self.id,
            "createdAt": stamp(self.created_at),
            "secrets": dict.fromkeys(self.secrets, ""),
            "labels": self.labels,
            "owner": self._jobs.owner(self.namespace),
            "initiator": self.initiator,
            "durations": durations,
            **self._shown(),
        }

    def looked_at(self) -> dict[str, Any]:
        """The answer to somebody who polls: it counts, may lag, and lets the script go on."""
        with self._jobs.changing():
            self.polls += 1
            left, old = self._old
            self._old = (max(left - 1, 0), old)
            answer = {**self.answer(), **(old if left > 0 else {})}
        self.advance()
        return answer


# --- who may have jobs ------------------------------------------------------------------------------------------------


def admit(hub: FakeHub, exchange: Exchange, namespace: str) -> None:
    """Raises Refused unless the request is signed in, and `namespace` is the user's own or one of their orgs'; and to
    change something, the token has to be one that may write."""
    if "authorization" not in exchange.request.headers:
        raise Refused(401, "Invalid username or password.")
    may_write = exchange.request.method == "GET" or hub.repos.may_write(namespace)
    if namespace not in (hub.user, *hub.orgs) or not may_write:
        raise Refused(403, f"You don't have the required permissions in the namespace {namespace}.")
