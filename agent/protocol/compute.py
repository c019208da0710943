"""Work that runs outside of this program: the words that backends, leases, tools and the session share.

A backend (agent/compute/) is a place that takes work: Hugging Face Jobs, a sandbox, a detached process here. A new one
(docker, ssh, Slurm) is one file that implements `ComputeBackend`, and a word in `agent/core/services.py`. It knows
nothing of budgets, leases or models: the session's `ComputeDesk` adds those.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from agent.light_dataclass import dataclass

Stage = Literal["creating", "queued", "running", "paused", "completed", "failed", "canceled", "gone"]
"""`creating`: asked for, and not yet known to exist. `gone`: the place does not know it (any more)."""

TERMINAL_STAGES: frozenset[Stage] = frozenset({"completed", "failed", "canceled", "gone"})

Kind = Literal["job", "sandbox", "process"]
"""`job`: ends by itself, at its time limit at the latest. `sandbox`: a machine that is there until it is ended.
`process`: on this machine, free."""

LEASE_LABEL = "ml-intern-lease"
"""The label (or the mark, where a place has no labels) by which a place finds again what was made under a lease."""

FailureKind = Literal[
    "no_token",  # nothing to sign in with
    "auth",  # 401: the token is not accepted
    "forbidden",  # 403: it is, but may not do this
    "payment",  # 402, or words to that effect: no credit
    "not_found",
    "gated",  # somebody has to grant access first
    "conflict",  # 409: it exists already, or has changed meanwhile
    "bad_request",
    "rate_limited",
    "server",  # 5xx
    "network",  # no answer at all
    "unsupported",
]


class ComputeError(Exception):
    """A place could not do what it was asked. The message is for person and model: cause and next step.

    `nothing_started` is true only where it is certain that nothing was made, so that no lease has to be kept for it.
    """

    def __init__(self, text: str, kind: FailureKind, *, nothing_started: bool = False) -> None:
        super().__init__(text)
        self.kind: FailureKind = kind
        self.nothing_started = nothing_started


@dataclass(frozen=True, slots=True)
class Work:
    """What is to run, and where.

    `name` is a few words for people. `command` is an argv; empty for a sandbox: just the machine. `timeout_s` None:
    until somebody ends it (no job may have that). `secrets` reach the work as environment variables, and nothing else.
    `work_dir` is for work on this machine. `facts` are for the record of it, nothing else: `job_type` (python, docker),
    `push_to_hub` (yes, no); what is not known is left out. `progress` gets a line for people at each step of what
    takes a while to make; the desk sets it.
    """

    name: str
    command: tuple[str, ...] = ()
    image: str = ""
    flavor: str = "cpu-basic"
    timeout_s: float | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    work_dir: Path | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    progress: Callable[[str], None] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Handle:
    """What finds the work again, from any process. `private` is what it takes to reach it: never shown, only kept in
    the lease."""

    backend: str
    id: str
    namespace: str | None = None
    url: str | None = None
    private: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Status:
    """How the work stands. `word` is the place's own word for it. `billed_s` is the time that is charged so far, None
    where the place does not say."""

    stage: Stage
    word: str = ""
    message: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    billed_s: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.stage in TERMINAL_STAGES


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of output, without its line end; `at` is the place's own time stamp, if it gives one."""

    text: str
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per hour, None if nobody knows. `source`: the place's own list, a table in this program, or free."""

    usd_per_hour: float | None
    source: Literal["live", "table", "free", "unknown"]


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of an order to end something: whether it is over now, and that in words."""

    worked: bool
    text: str


class ComputeBackend(Protocol):
    """A place that takes work. All methods raise `ComputeError`, and end soon when cancelled."""

    @property
    def name(self) -> str:
        """The word by which leases and arguments name it."""

    @property
    def kind(self) -> Kind:
        """What it makes."""

    async def account(self) -> str:
        """The name of the account that work is made in, asked before anything is: what an account has made, another
        account's token cannot see, and must not take for gone. "" where there are no accounts."""

    async def price(self, flavor: str) -> Price:
        """What an hour on `flavor` costs. An unknown flavour is `bad_request`, naming near ones."""

    async def submit(self, work: Work, lease_id: str) -> Handle:
        """Start `work`, marked with `lease_id` so that `find` knows it. Whatever fails leaves nothing behind that runs;
        where that cannot be made sure, the error's `nothing_started` is false."""

    async def find(self, lease_id: str, namespace: str | None) -> Handle | None:
        """What was made under this lease: a program can end between making a thing and writing down its id."""

    async def status(self, handle: Handle) -> Status:
        """How it stands. What the place does not know is `gone`, not an error."""

    def logs(self, handle: Handle, *, skip: int = 0) -> AsyncIterator[LogLine]:
        """Its output from line `skip` on, as it comes, each line once and in order, until it is over.

        Outlasts cuts, restarts of the stream and a queue of any length; ends only when the work is over and all of its
        output was given. Raises when the place refuses for good."""

    async def cancel(self, handle: Handle) -> Ending:
        """Stop the work. Whether it worked is found out, not assumed; what is over already counts as stopped."""

    async def teardown(self, handle: Handle) -> None:
        """Remove what is left of it (a sandbox's machine, files). Stops it first where it still runs. Tries again where
        that may help; harmless for what is gone."""


@dataclass(frozen=True, slots=True)
class Running:
    """Something that runs, or has just ended, as the session knows it.

    `seen_lines` counts the lines of output so far; all of them are in the file `log_path`. `metrics` are the latest
    figures found in them. `cost_usd` is set when it is over and known.
    """

    lease_id: str
    kind: Kind
    name: str
    flavor: str
    handle: Handle
    status: Status
    created_at: datetime
    session_id: str
    tool_call_id: str
    usd_per_hour: float | None
    timeout_s: float | None = None
    seen_lines: int = 0
    last_line: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    log_path: Path | None = None
    cost_usd: float | None = None


class ComputeDesk(Protocol):
    """Where tools hand in work. It writes a lease before anything is made, follows what runs, holds and charges what it
    costs, and tells the conversation of what happens while the model does something else."""

    @property
    def running(self) -> tuple[Running, ...]:
        """What runs for this session, oldest first."""

    def find(self, wanted: str) -> Running | None:
        """By lease id, by the place's id, or by an unambiguous beginning of either; also what has ended in this run."""

    async def price(self, backend: str, flavor: str) -> Price:
        """What an hour costs. Raises ComputeError."""

    async def submit(self, backend: str, work: Work, tool_call_id: str) -> Running:
        """Start `work`. What was held in the budget for this call is charged when the work is over. Cancelled while it
        is being made: what is made nevertheless is ended. Raises ComputeError."""

    async def wait(
        self,
        lease_id: str,
        *,
        tool_call_id: str,
        timeout_s: float | None = None,
        until: Callable[[str], bool] | None = None,
    ) -> Running:
        """Wait, at no cost, until it is over, `timeout_s` has passed, or a new line of output satisfies `until`. The
        latest output is shown as this call's progress meanwhile. KeyError for what is not known here."""

    async def cancel(self, lease_id: str) -> Ending:
        """End it: a job is cancelled, a sandbox deleted. Raises ComputeError, KeyError."""

    async def log_tail(self, lease_id: str, lines: int) -> str:
        """The last lines of its output so far. KeyError for what is not known here."""
