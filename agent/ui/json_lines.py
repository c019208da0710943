"""Machine-readable output: the event stream itself, or one object when all is over. Nothing else goes to stdout."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any, TextIO, assert_never

from agent.protocol.events import (
    ApprovalRequired,
    AssistantChunk,
    AssistantMessage,
    AssistantStreamEnd,
    BudgetStatus,
    CommandRun,
    Compacted,
    ContextReport,
    DesktopNotice,
    ErrorRaised,
    Event,
    Feedback,
    HfJobComplete,
    HfJobSubmit,
    Interrupted,
    LLMCall,
    NewComplete,
    PlanUpdate,
    Processing,
    Ready,
    Renamed,
    ResumeComplete,
    ResumedFrom,
    SandboxCreate,
    SandboxDestroy,
    SessionTerminated,
    SettingsChanged,
    Shutdown,
    Steered,
    ToolCallStarted,
    ToolCharge,
    ToolLog,
    ToolOutput,
    ToolProgress,
    ToolStateChange,
    TurnComplete,
    UndoComplete,
    WorkspaceDiff,
    WorkStatus,
)
from agent.ui.streams import TextSink

_TOKEN_FIELDS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_creation_tokens",
    "reasoning_tokens",
)


def to_json(value: Any) -> str:
    """`value` as one line of ASCII JSON. What JSON cannot hold is turned into text (NaN, infinities: null)."""
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        return json.dumps(_jsonable(value), separators=(",", ":"))


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


class StreamJsonRenderer:
    """`--output-format stream-json`: every event as one line, as it happens.

    The only renderer without a dispatch, as it treats all events alike.
    """

    def __init__(self, stdout: TextIO) -> None:
        self.out = TextSink(stdout)

    @property
    def broken_pipe(self) -> bool:
        """True once the reader has gone."""
        return self.out.broken_pipe

    def handle(self, event: Event) -> None:
        """Write one event."""
        self.out.write_line(to_json(event.to_dict()))

    def close(self) -> None:
        """Nothing is held back."""
        self.out.flush()


class JsonResultRenderer:
    """`--output-format json`: one object, printed by `close`.

    Keys: `session_id`, `model`, `result` (the final text or null), `stop_reason` (done, iteration_limit, budget,
    time_limit, interrupted, error, approval_required, or null if no turn ended), `is_error` (the exit code is not 0),
    `error`, `error_kind`, `iterations` (model calls of kind `main`), `usage` (tokens summed over all model calls),
    `cost_usd` (of this run; null when the cost of any model or tool call is unknown), `cost_known`,
    `total_cost_usd` (the same for the whole session, with what it had cost before it was resumed), `duration_s`,
    `denied_tools` (a name per rejected call), `exit_code`.
    """

    def __init__(self, stdout: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.out = TextSink(stdout)
        self._clock = clock
        self._started_s = clock()
        self._closed = False
        self._exit_code: int | None = None
        self._session_id: str | None = None
        self._model: str | None = None
        self._result: str | None = None
        self._stop_reason: str | None = None
        self._error: tuple[str, str] | None = None
        self._iterations = 0
        self._tokens = dict.fromkeys(_TOKEN_FIELDS, 0)
        self._cost_usd = 0.0
        self._cost_known = True
        self._earlier_cost_usd: float | None = 0.0
        """What a resumed session had cost before; None: unknown."""
        self._denied: list[str] = []

    @property
    def broken_pipe(self) -> bool:
        """True once the reader has gone."""
        return self.out.broken_pipe

    def finish(self, exit_code: int) -> None:
        """The exit code that the program is about to end with."""
        self._exit_code = exit_code

    def handle(self, event: Event) -> None:
        """Take note of one event."""
        match event.payload:
            case Ready() | NewComplete() | ResumeComplete() | SettingsChanged() as payload:
                self._take_session(payload)
            case TurnComplete() | Interrupted() | ErrorRaised() | SessionTerminated() | ApprovalRequired() as payload:
                self._take_stop(payload)
            case LLMCall() as payload:
                self._take_call(payload)
                self._take_cost(payload)
            case ToolCharge() as payload:
                self._take_cost(payload)
            case ToolStateChange() as payload:
                if payload.state == "rejected":
                    self._denied.append(payload.tool)
            case Processing() | AssistantChunk() | AssistantMessage() | AssistantStreamEnd() | PlanUpdate():
                pass
            case ToolCallStarted() | ToolOutput() | ToolLog() | Compacted() | UndoComplete():
                pass
            case (
                Steered()
                | Renamed()
                | BudgetStatus()
                | ToolProgress()
                | ContextReport()
                | WorkspaceDiff()
                | CommandRun()
                | WorkStatus()
                | DesktopNotice()
            ):
                pass
            case Shutdown() | ResumedFrom() | HfJobSubmit() | HfJobComplete():
                pass
            case SandboxCreate() | SandboxDestroy() | Feedback():
                pass
            case _ as never:
                assert_never(never)

    def _take_session(self, payload: Ready | NewComplete | ResumeComplete | SettingsChanged) -> None:
        if not isinstance(payload, SettingsChanged):
            self._session_id = payload.session_id or self._session_id
        if isinstance(payload, ResumeComplete):
            self._earlier_cost_usd = payload.cost_usd if payload.cost_known else None
        if not isinstance(payload, NewComplete):
            self._model = payload.model_name

    def _take_stop(
        self, payload: TurnComplete | Interrupted | ErrorRaised | SessionTerminated | ApprovalRequired
    ) -> None:
        self._error = None
        match payload:
            case TurnComplete():
                self._result, self._stop_reason = payload.final_response, payload.stop_reason
            case Interrupted():
                self._result, self._stop_reason = None, "interrupted"
            case ApprovalRequired():
                self._result, self._stop_reason = None, "approval_required"
            case ErrorRaised():
                self._result, self._stop_reason = None, "error"
                self._error = payload.error, payload.kind
            case SessionTerminated():
                self._result, self._stop_reason = None, "error"
                self._error = payload.user_message or payload.error, payload.reason
            case _ as never:
                assert_never(never)

    def _take_call(self, payload: LLMCall) -> None:
        self._iterations += payload.kind == "main"
        for name in _TOKEN_FIELDS:
            self._tokens[name] += getattr(payload, name)

    def _take_cost(self, payload: LLMCall | ToolCharge) -> None:
        self._cost_known = self._cost_known and payload.cost_known and payload.cost_usd is not None
        self._cost_usd += payload.cost_usd or 0.0

    def _total_cost_usd(self) -> float | None:
        if not self._cost_known or self._earlier_cost_usd is None:
            return None
        return round(self._earlier_cost_usd + self._cost_usd, 9)

    def close(self) -> None:
        """Print the object, once."""
        if self._closed:
            return
        self._closed = True
        exit_code = self._exit_code
        if exit_code is None:
            exit_code = 0 if self._stop_reason == "done" else 1
        error, error_kind = self._error or (None, None)
        result = {
            "session_id": self._session_id,
            "model": self._model,
            "result": self._result,
            "stop_reason": self._stop_reason,
            "is_error": exit_code != 0,
            "error": error,
            "error_kind": error_kind,
            "iterations": self._iterations,
            "usage": self._tokens,
            "cost_usd": round(self._cost_usd, 9) if self._cost_known else None,
            "cost_known": self._cost_known,
            "total_cost_usd": self._total_cost_usd(),
            "duration_s": round(self._clock() - self._started_s, 3),
            "denied_tools": self._denied,
            "exit_code": exit_code,
        }
        self.out.write_line(to_json(result))
