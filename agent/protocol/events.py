"""What a session says: typed events, put on the event queue for a renderer, a journal or a peer program.

Each event is an `Event` around one frozen payload. The payload's class is the event's meaning, its `event_type` the
word used in JSON. To add an event: write its payload class and add it to `Payload`; every renderer then fails the type
check until it handles the new one.
"""

from __future__ import annotations

from dataclasses import field, fields, is_dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal

from agent.light_dataclass import dataclass
from agent.protocol.messages import utc_now, utc_stamp
from agent.protocol.modes import Mode

ToolState = str
"""approved, rejected, running, cancelled, abandoned, billing_required, or a lower-cased HF job stage."""


StopReason = Literal["done", "iteration_limit", "budget", "time_limit"]


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One step of the agent's plan."""

    id: str
    content: str
    status: Literal["pending", "in_progress", "completed"]


@dataclass(frozen=True, slots=True)
class ApprovalItem:
    """One tool call that waits for the person.

    `reason` says why it asks, `hints` what else a careful person would want pointed out; `preview` is what to read
    before deciding (a unified diff, a script), `always_rule` the permission rule that "always allow" would add, or None
    where that is not offered. `editable` names the argument that the person may change, None: there is none.
    """

    tool: str
    arguments: dict[str, Any]
    tool_call_id: str
    reason: str = ""
    preview: str | None = None
    always_rule: str | None = None
    needs_human: bool = False
    auto_approval_blocked: bool = False
    block_reason: str | None = None
    estimated_cost_usd: float | None = None
    remaining_cap_usd: float | None = None
    hints: tuple[str, ...] = ()
    editable: str | None = None
    facts: tuple[tuple[str, str], ...] = ()
    """What looking ahead has found (a price, a namespace): a label and its text each."""


@dataclass(frozen=True, slots=True)
class WorkItem:
    """Something that runs outside of this program, or has just ended.

    `kind`: job, sandbox or process; `id` is our lease's, `place_id` the one that the place gave it. `usd_per_hour` None
    is unknown. `log_path` is the file with its output so far. Times are ISO 8601, UTC.
    """

    id: str
    kind: str
    name: str
    backend: str
    place_id: str
    flavor: str
    stage: str
    is_over: bool
    created_at: str
    usd_per_hour: float | None
    url: str | None = None
    namespace: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    cost_usd: float | None = None
    last_line: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    log_path: str | None = None


@dataclass(frozen=True, slots=True)
class ToolInfo:
    """A tool that the model has: its name, the first sentence of its description, the tokens it takes."""

    name: str
    summary: str
    tokens: int


# --- the life of a session -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The very first event: the session takes submissions."""

    event_type: ClassVar[str] = "ready"
    message: str
    tool_count: int
    session_id: str
    model_name: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The last event: the session has ended and is saved."""

    event_type: ClassVar[str] = "shutdown"


@dataclass(frozen=True, slots=True)
class SessionTerminated:
    """The session cannot go on at all. A word of old traces: our own sessions end with `error` and stay usable."""

    event_type: ClassVar[str] = "session_terminated"
    reason: str
    user_message: str
    error: str = ""
    context_usage: int = 0
    context_threshold: int = 0


@dataclass(frozen=True, slots=True)
class ResumedFrom:
    """A marker in the journal: this session goes on from another one."""

    event_type: ClassVar[str] = "resumed_from"
    path: str
    original_session_id: str
    original_event_count: int
    forked: bool


# --- a turn ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Processing:
    """A turn starts, or goes on after an approval."""

    event_type: ClassVar[str] = "processing"
    message: str = ""


@dataclass(frozen=True, slots=True)
class AssistantChunk:
    """A piece of streamed answer text."""

    event_type: ClassVar[str] = "assistant_chunk"
    content: str


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """The whole text of one answer, when not streaming."""

    event_type: ClassVar[str] = "assistant_message"
    content: str


@dataclass(frozen=True, slots=True)
class AssistantStreamEnd:
    """One streamed model response is over, however it ended."""

    event_type: ClassVar[str] = "assistant_stream_end"


@dataclass(frozen=True, slots=True)
class LLMCall:
    """One model call was answered. `cost_usd` is None when the price is unknown; it is never a made-up 0.

    `kind`: main, compaction, effort_probe, research. `charged_usd` is what the budget counts for it: the cost, or where
    that is unknown the most it can have been. `window_tokens` is the context window that it had to fit into,
    `context_tokens` what the conversation takes of it by our own count.
    """

    event_type: ClassVar[str] = "llm_call"
    model: str
    kind: str
    latency_ms: int
    finish_reason: str | None
    cost_usd: float | None
    cost_known: bool
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    reasoning_tokens: int = 0
    charged_usd: float = 0.0
    window_tokens: int = 0
    context_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Steered:
    """What the person typed while the turn was running has become part of it."""

    event_type: ClassVar[str] = "steered"
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """A tool call is about to run. Of calls that waited for approval only those say so that the person has changed."""

    event_type: ClassVar[str] = "tool_call"
    tool: str
    arguments: dict[str, Any]
    tool_call_id: str


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """A tool call has its result. `output` is what the model reads; `display`, if any, is for the person instead."""

    event_type: ClassVar[str] = "tool_output"
    tool: str
    tool_call_id: str
    output: str
    success: bool
    display: str | None = None
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ToolLog:
    """Progress of a tool; `tool="system"` for notices of the loop itself (retries, guards, limits)."""

    event_type: ClassVar[str] = "tool_log"
    tool: str
    log: str
    agent_id: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """How a running call stands right now: a later one replaces it, and none is kept.

    `text` are the last lines that it has printed. `done` of `total` (None: unknown) in `unit` is for what can be
    measured (bytes, files, steps); `label` says what of.
    """

    event_type: ClassVar[str] = "tool_progress"
    tool: str
    tool_call_id: str
    text: str = ""
    done: float | None = None
    total: float | None = None
    unit: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class ToolStateChange:
    """A tool call changed state. The camel-case field names are the reference's, read by its web page."""

    event_type: ClassVar[str] = "tool_state_change"
    tool_call_id: str
    tool: str
    state: ToolState
    jobUrl: str | None = None
    namespace: str | None = None
    trackioSpaceId: str | None = None
    trackioProject: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovalRequired:
    """The turn waits for an `exec_approval` operation. Nothing else happens until it comes."""

    event_type: ClassVar[str] = "approval_required"
    tools: tuple[ApprovalItem, ...]
    count: int


@dataclass(frozen=True, slots=True)
class PlanUpdate:
    """The agent changed its plan."""

    event_type: ClassVar[str] = "plan_update"
    plan: tuple[PlanItem, ...]


@dataclass(frozen=True, slots=True)
class TurnComplete:
    """The normal end of a turn. `stop_reason` tells when a limit ended it before the work was done."""

    event_type: ClassVar[str] = "turn_complete"
    history_size: int
    final_response: str | None
    stop_reason: StopReason = "done"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The turn was stopped by the person."""

    event_type: ClassVar[str] = "interrupted"


@dataclass(frozen=True, slots=True)
class ErrorRaised:
    """The turn or another operation failed. `error` names cause and remedy; `kind` is one of agent/llm/failures.py."""

    event_type: ClassVar[str] = "error"
    error: str
    kind: str = "internal"


# --- other operations ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compacted:
    """A compaction is over; equal numbers mean that nothing could or had to be shortened.

    `summarised` counts the messages that a summary stands for now, 0 when none was made.
    """

    event_type: ClassVar[str] = "compacted"
    old_tokens: int
    new_tokens: int
    summarised: int = 0


@dataclass(frozen=True, slots=True)
class UndoComplete:
    """Turns were taken back (undo, rewind): from the conversation, from the files, or both.

    `removed_messages` is 0 when there was nothing to take back or only files were wanted. `prompt` is what the person
    had asked in the earliest of those turns. `restored_files` were brought back to what they were (or removed, when
    they were new), `kept_files` not, as somebody has changed them since; `not_covered` says what no checkpoint holds.
    """

    event_type: ClassVar[str] = "undo_complete"
    removed_messages: int = 0
    removed_turns: int = 0
    prompt: str | None = None
    restored_files: tuple[str, ...] = ()
    kept_files: tuple[str, ...] = ()
    not_covered: str | None = None


@dataclass(frozen=True, slots=True)
class NewComplete:
    """A new conversation has begun in place of the old one."""

    event_type: ClassVar[str] = "new_complete"
    session_id: str
    previous_session_id: str
    previous_turn_count: int
    previous_message_count: int
    saved_path: str | None
    clear_screen: bool


@dataclass(frozen=True, slots=True)
class ResumeComplete:
    """A saved conversation was taken up again.

    `restored_count` messages are back; `dropped_count` records could not be read. `unfinished` names tool calls that
    were running when the session ended: what became of them is unknown. `cwd` is where the session ran, if not here.
    `prompts` has the beginning of what the person asked for in each turn. `is_open_elsewhere`: another ml-intern is at
    work on it, which is why this is a copy. `still_running` are processes that its commands have left. `last_prompt` is
    what the person asked for last (at most 2,000 characters), `last_answer` the model's last words after it (4,000);
    `window_tokens` is the model's context window, as far as it is known by now.
    """

    event_type: ClassVar[str] = "resume_complete"
    path: str
    restored_count: int
    dropped_count: int
    model_name: str
    invalid_saved_model: str | None
    forked: bool
    had_redacted_content: bool
    session_id: str = ""
    title: str = ""
    prompts: tuple[str, ...] = ()
    prompt_tokens: int = 0
    cost_usd: float = 0.0
    cost_known: bool = True
    unfinished: tuple[str, ...] = ()
    cwd: str | None = None
    reasoning_effort: str | None = None
    is_open_elsewhere: bool = False
    still_running: tuple[str, ...] = ()
    work: tuple[str, ...] = ()
    """What it had started elsewhere, a sentence each."""
    last_prompt: str = ""
    last_answer: str = ""
    window_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Renamed:
    """The session has a new title."""

    event_type: ClassVar[str] = "renamed"
    title: str


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """What has been spent and what may be. Sent after every charge, and in answer to a changed cap.

    `unknown_usd` is the part of `spent_usd` that is a worst case because no price is known. `cap_usd` None: no cap.
    `elsewhere_usd` is what this run has spent in other conversations: it counts against the cap too.
    """

    event_type: ClassVar[str] = "budget_status"
    spent_usd: float
    unknown_usd: float
    reserved_usd: float
    cap_usd: float | None
    elsewhere_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class ToolCharge:
    """A tool call has cost money. `cost_usd` None: nobody knows how much; `charged_usd` is then the most it can be.

    `lease_id`: for work elsewhere; all of its charges together are what was charged for it.
    """

    event_type: ClassVar[str] = "tool_charge"
    tool: str
    tool_call_id: str
    cost_usd: float | None
    charged_usd: float
    cost_known: bool
    lease_id: str | None = None


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """Settings were changed, by a `configure` operation or an accepted plan; these are the settings now.

    `changed` names what was asked for; `mode` is one of agent/protocol/modes.py.
    """

    event_type: ClassVar[str] = "settings_changed"
    model_name: str
    yolo_mode: bool
    reasoning_effort: str | None = None
    changed: tuple[str, ...] = ()
    mode: Mode = "ask"


@dataclass(frozen=True, slots=True)
class ContextReport:
    """What fills the model's window, in answer to a `context` operation. All figures but the count are tokens."""

    event_type: ClassVar[str] = "context_report"
    window_tokens: int
    threshold_tokens: int
    used_tokens: int
    system_tokens: int
    tools_tokens: int
    messages_tokens: int
    message_count: int
    tools: tuple[ToolInfo, ...] = ()
    memory_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkspaceDiff:
    """What the session has changed in files so far: a unified diff, empty if nothing; `not_covered` has no copy."""

    event_type: ClassVar[str] = "workspace_diff"
    diff: str
    not_covered: str | None = None


@dataclass(frozen=True, slots=True)
class CommandRun:
    """The end of a command that the person ran themselves (`!command`); the model reads it with the next turn."""

    event_type: ClassVar[str] = "command_run"
    command: str
    output: str
    success: bool


@dataclass(frozen=True, slots=True)
class WorkStatus:
    """All that runs outside of this program for this session, sent whenever that changes. Not kept."""

    event_type: ClassVar[str] = "work_status"
    items: tuple[WorkItem, ...]


@dataclass(frozen=True, slots=True)
class DesktopNotice:
    """A word to a person who does not look at the terminal. Not kept."""

    event_type: ClassVar[str] = "desktop_notice"
    title: str
    message: str


# --- telemetry of compute: local records for the journal and /cost; nothing leaves the machine ------------------------


@dataclass(frozen=True, slots=True)
class HfJobSubmit:
    """A job was submitted. `push_to_hub` None: nobody knows whether it saves what it makes."""

    event_type: ClassVar[str] = "hf_job_submit"
    job_id: str
    job_url: str
    flavor: str
    timeout: str
    job_type: str
    image: str
    namespace: str
    push_to_hub: bool | None


@dataclass(frozen=True, slots=True)
class HfJobComplete:
    """A job ended; an unknown price is None."""

    event_type: ClassVar[str] = "hf_job_complete"
    job_id: str
    flavor: str
    final_status: str
    wall_time_s: float
    billable_seconds_estimate: float
    price_usd_per_hour: float | None
    estimated_cost_usd: float | None
    cost_estimate_source: str


@dataclass(frozen=True, slots=True)
class SandboxCreate:
    """A sandbox is up."""

    event_type: ClassVar[str] = "sandbox_create"
    sandbox_id: str
    hardware: str
    create_latency_s: float


@dataclass(frozen=True, slots=True)
class SandboxDestroy:
    """A sandbox is gone."""

    event_type: ClassVar[str] = "sandbox_destroy"
    sandbox_id: str
    hardware: str
    lifetime_s: float
    estimated_cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Feedback:
    """The person rated an answer."""

    event_type: ClassVar[str] = "feedback"
    rating: Literal["up", "down", "outcome_success", "outcome_fail"]
    turn_index: int | None = None
    message_id: str | None = None
    comment: str = ""


Payload = (
    Ready
    | Shutdown
    | SessionTerminated
    | ResumedFrom
    | Processing
    | AssistantChunk
    | AssistantMessage
    | AssistantStreamEnd
    | LLMCall
    | Steered
    | ToolCallStarted
    | ToolOutput
    | ToolLog
    | ToolProgress
    | ToolStateChange
    | ApprovalRequired
    | PlanUpdate
    | TurnComplete
    | Interrupted
    | ErrorRaised
    | Compacted
    | UndoComplete
    | NewComplete
    | ResumeComplete
    | Renamed
    | BudgetStatus
    | ToolCharge
    | SettingsChanged
    | ContextReport
    | WorkspaceDiff
    | CommandRun
    | WorkStatus
    | DesktopNotice
    | HfJobSubmit
    | HfJobComplete
    | SandboxCreate
    | SandboxDestroy
    | Feedback
)

TURN_ENDS = (TurnComplete, Interrupted, ErrorRaised)
"""Exactly one of these ends a turn; `ApprovalRequired` leaves it open."""

OPERATION_ENDS = (
    *TURN_ENDS,
    ApprovalRequired,
    Compacted,
    UndoComplete,
    NewComplete,
    ResumeComplete,
    Renamed,
    SettingsChanged,
    ContextReport,
    WorkspaceDiff,
    CommandRun,
    Feedback,
    Shutdown,
)
"""After one of these a user interface may ask the person again. (`Compacted` also occurs inside a turn.)"""


def to_data(value: Any) -> Any:
    """JSON-ready form of a payload or a part of one; fields that are None are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in fields(value))
        return {name: to_data(item) for name, item in pairs if item is not None or name in _KEEP_NONE}
    if isinstance(value, (list, tuple)):
        return [to_data(item) for item in value]
    return value


_KEEP_NONE = frozenset({"final_response", "cost_usd", "finish_reason"})
"""Fields whose None says something: an unknown cost is not the same as no cost."""


@dataclass(frozen=True, slots=True)
class Event:
    """A payload with its place in the session: `seq` counts from 1, `timestamp` is aware UTC."""

    payload: Payload
    seq: int = 0
    timestamp: datetime = field(default_factory=utc_now)

    @property
    def event_type(self) -> str:
        """The word for this event in JSON."""
        return self.payload.event_type

    @property
    def data(self) -> dict[str, Any]:
        """The payload as JSON-ready data."""
        data: dict[str, Any] = to_data(self.payload)
        return data

    def to_dict(self) -> dict[str, Any]:
        """The event as one JSON object: seq, timestamp (UTC, milliseconds, Z), event_type, data."""
        return {
            "seq": self.seq,
            "timestamp": utc_stamp(self.timestamp),
            "event_type": self.event_type,
            "data": self.data,
        }
