"""What a tool is, what it returns, and the little of a session that it may see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal, Protocol

from agent.light_dataclass import dataclass
from agent.protocol.compute import ComputeDesk
from agent.protocol.events import Payload
from agent.protocol.wire import WireObject


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool call. `output` is for the model; `display`, where it differs, for the person (a diff).

    `cost_usd` is what a call with an estimated cost really cost, where that is known by now. `source` tells where
    `output` comes from (an address, a name) when other people have written it, or a part of it: the model is shown it
    as data, and `advice`, which is the tool's own word, after it.
    """

    output: str
    ok: bool = True
    display: str | None = None
    cost_usd: float | None = None
    source: str | None = None
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Brief:
    """What a sub-agent is to find out. `context` is what it should know of the work that this is for."""

    task: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a sub-agent has found. `is_complete` False: it was cut short (`ended` says by what), and this is how far it
    got. `cost_usd` None: not known."""

    text: str
    is_complete: bool
    ended: str
    model_calls: int = 0
    tool_calls: int = 0
    tokens: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class FileFingerprint:
    """What a file was when the agent last saw it: size and SHA-256 of the whole content, in hex."""

    size_bytes: int
    sha256: str


class ToolSession(Protocol):
    """What a tool may see and do: no history, no model, no queue."""

    @property
    def session_id(self) -> str: ...

    @property
    def workspace(self) -> Path:
        """Absolute directory that relative paths start from."""

    @property
    def spill_dir(self) -> Path:
        """Private directory for output too long for the model; made on first use by whoever writes there."""

    @property
    def child_env(self) -> Mapping[str, str]:
        """Environment for child processes: the person's own, without secrets."""

    @property
    def known_files(self) -> dict[Path, FileFingerprint]:
        """Files whose current content the agent has read or written in this session, by resolved path."""

    @property
    def compute(self) -> ComputeDesk:
        """Where work is handed in that runs outside of this program."""

    def scrub(self, text: str) -> str:
        """`text` without the secrets this program holds."""

    def keep_partial(self, tool_call_id: str, output: str) -> None:
        """For a tool that is being cancelled: what it has got so far, to become a part of the call's result."""

    async def emit(self, payload: Payload) -> None:
        """Send an event (a log line, a changed plan)."""

    async def delegate(self, brief: Brief, tool_call_id: str) -> Findings:
        """Let a sub-agent, which may only look, work on `brief`. Never raises but for cancellation."""

    async def leave_plan_mode(self) -> bool:
        """The person has accepted a plan: go back to the mode before. False if plan mode is not on."""


Handler = Callable[[dict[str, Any], ToolSession, str], Awaitable[ToolResult]]
"""`await handler(arguments, session, tool_call_id)`; arguments have passed the tool's schema."""


@dataclass(frozen=True, slots=True)
class ApprovalContext:
    """What a tool's approval rule may take into account."""

    workspace: Path
    confirm_cpu_jobs: bool = True
    auto_file_upload: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalNeed:
    """What a tool's own rule says of one call.

    `kind`: `free` runs at once; `ask` wants the person's yes, which yolo and headless give by themselves; `human` is
    never approved automatically. `reason` is shown to the person. `always_rule` is the permission rule that "always
    allow this" would add, None where that would be unwise. `billable`: it can cost money. `hints` point out what a
    careful person would look at, in a few words each.
    """

    kind: Literal["free", "ask", "human"]
    reason: str = ""
    always_rule: str | None = None
    billable: bool = False
    hints: tuple[str, ...] = ()


FREE = ApprovalNeed("free")

ApprovalRule = Callable[[Mapping[str, Any], ApprovalContext], ApprovalNeed]
"""Pure and quick: no file is written, no process started."""

Preview = Callable[[Mapping[str, Any], ToolSession], str | None]
"""What the person should read before approving: for an edit, the unified diff it would make. None if it would fail."""


Check = Callable[[Mapping[str, Any], ToolSession], str | None]
"""Why a call would fail if it ran now, as its result would say it; None if nothing is known against it. It changes
nothing, but may read files: it is called in a thread, before the person is asked."""


Changes = Callable[[Mapping[str, Any], Path], tuple[Path, ...] | None]
"""Files that a call is about to change, given its arguments and the workspace; None: anything in the workspace may."""


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """The most that a call can cost. `usd` None: something, but nobody knows how much. `what` says what it is for."""

    usd: float | None
    what: str = ""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What looking ahead has found of a call, before anybody is asked about it.

    `problem` is why it would fail: it is not run, and this is its result. `estimate` takes the place of the one that
    `ToolSpec.estimate_cost` makes from the arguments alone. `facts` are shown to the person, a label and its text each,
    `hints` point out what to be careful about. `pinned` are the arguments with which the call runs, where what they
    refer to (a script's file) was read: what is approved is what runs.
    """

    problem: str | None = None
    estimate: CostEstimate | None = None
    facts: tuple[tuple[str, str], ...] = ()
    hints: tuple[str, ...] = ()
    pinned: Mapping[str, Any] | None = None


LookAhead = Callable[[Mapping[str, Any], ToolSession], Awaitable[Preflight]]
"""Asks whoever knows (a catalogue, an account) before a call is decided on. It changes nothing anywhere, takes a few
seconds at most, and says in its facts what it could not find out."""


def changes_nothing(_arguments: Mapping[str, Any], _workspace: Path) -> tuple[Path, ...]:
    """For tools that write no file of the person."""
    return ()


def always_looks(_arguments: Mapping[str, Any], _workspace: Path) -> bool:
    """For tools that change nothing at all, here or elsewhere."""
    return True


def never_asks(_arguments: Mapping[str, Any], _context: ApprovalContext) -> ApprovalNeed:
    """The approval rule of tools that change nothing."""
    return FREE


async def always_ready() -> None:
    """For tools that need nothing loaded to be asked about a call."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A registered tool. Whatever the loop must know of a tool is a field here; nothing is decided by its name.

    `parameters` is a JSON schema of type object. `is_poll` tells whether a call only asks how something is going, which
    the doom-loop guard tolerates longer. `subject(arguments, workspace)` gives the text that permission rules match
    against, `subject_kind` how: a shell command by its parts, an absolute path by its segments, other text by words.
    `only_looks` tells that a call changes nothing anywhere: only that runs in plan mode. `changes` names the files to
    keep a copy of before the call, `estimate_cost` the most it can cost (None: nothing). `editable` names the
    text argument that the person may change when asked for approval (a command, a script). Nobody is asked about a call
    that its `check` says would fail. `preflight`, where a call has one, looks ahead before the call is decided on.
    `is_charged_by_work`: what a call costs is what the work costs that it starts (`ToolSession.compute`), and it costs
    nothing if it starts none. `in_research`: a research sub-agent has it too, for the calls of it that only look.
    `load` imports what its first call would, blocking: it is called in a thread, when there is time for it.
    `ready` is awaited before anything is asked about a call, and loads what the answers take, off the event loop.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    handler: Handler
    approval: ApprovalRule = never_asks
    preview: Preview | None = None
    check: Check | None = None
    is_poll: Callable[[Mapping[str, Any]], bool] = field(default=lambda _arguments: False)
    subject: Callable[[Mapping[str, Any], Path], str] = field(default=lambda _arguments, _workspace: "")
    subject_kind: Literal["command", "path", "text"] = "text"
    only_looks: Callable[[Mapping[str, Any], Path], bool] = field(default=lambda _arguments, _workspace: False)
    changes: Changes = changes_nothing
    estimate_cost: Callable[[Mapping[str, Any]], CostEstimate | None] = field(default=lambda _arguments: None)
    editable: str | None = None
    preflight: LookAhead | None = None
    is_charged_by_work: bool = False
    in_research: bool = False
    load: Callable[[], None] | None = None
    ready: Callable[[], Awaitable[None]] = always_ready

    def to_wire(self) -> WireObject:
        """The OpenAI function form sent to a provider."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return WireObject(type="function", function=function)
