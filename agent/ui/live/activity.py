"""The line that says that a turn is running, since when and with what; still text, no animation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from agent.protocol.events import (
    ApprovalRequired,
    AssistantChunk,
    AssistantStreamEnd,
    ErrorRaised,
    Interrupted,
    Payload,
    Processing,
    SessionTerminated,
    ToolCallStarted,
    ToolLog,
    ToolOutput,
    TurnComplete,
)
from agent.ui.live.rows import Row, cut_row
from agent.ui.sanitize import cell_width, clip
from agent.ui.tool_lines import call_summary, elapsed_text, is_own_command, tool_title

_HINT = " · Esc stops"
_STOPS = {"run": " · Esc cancels the job", "wait": " · Esc stops waiting"}
"""What Esc does to a call that waits for a job, by its operation."""
_WAITING = "waiting for the model"
_WRITING = "writing"
_CHECKING = "preparing the next step"
_OWN_COLUMNS = 40
_SHORTEST = 8
"""A text with less room than this is left out."""


class Activity:
    """Follows the turn, or a command of the person's own, through its events.

    The time that the person takes to decide does not count.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: float | None = None
        self._before_s = 0.0
        """How long this turn had worked when it began to wait for the person."""
        self._doing = _WAITING
        self._notice = ""
        """The loop's last word (a retry), until work goes on."""
        self._own = ""
        """The person's own command, while it runs."""
        self._stops = _HINT

    @property
    def is_on(self) -> bool:
        """Whether a turn or a command is running, and not waiting for the person."""
        return self._began is not None

    def see(self, payload: Payload) -> None:
        """Take note of an event."""
        match payload:
            case AssistantChunk():
                self._doing, self._notice = _WRITING, ""
            case Processing():
                self._began = self._clock()
                self._doing, self._notice = _WAITING, ""
            case ApprovalRequired(tools=items):
                self._before_s, self._began = self._elapsed_s(), None
                self._stops = next((hint for item in items if (hint := _stop_hint(item.tool, item.arguments))), _HINT)
            case ToolCallStarted() if is_own_command(payload.tool_call_id):
                self._began, self._before_s = self._clock(), 0.0
                self._own = call_summary(payload.tool, payload.arguments, _OWN_COLUMNS) or payload.tool
            case ToolOutput() if is_own_command(payload.tool_call_id):
                self._began, self._own = None, ""
            case ToolCallStarted():
                self._doing, self._notice = _WAITING, ""
                self._stops = _stop_hint(payload.tool, payload.arguments) or self._stops
            case AssistantStreamEnd():  # what it wants to do is looked into before it runs
                self._doing, self._notice, self._stops = _CHECKING, "", _HINT
            case ToolOutput():
                self._doing, self._notice, self._stops = _WAITING, "", _HINT
            case ToolLog(tool="system"):
                self._notice = clip(payload.log.strip(), 300)
            case TurnComplete() | Interrupted() | ErrorRaised() | SessionTerminated():
                self._before_s, self._began, self._own = 0.0, None, ""
            case _:
                pass

    def row(self, console: Console, width: int, step: str, tools: Sequence[str]) -> Row:
        """`Working… 12s · what is going on · Esc stops`: `step` is the plan's, `tools` are those that run."""
        head = f"Working… {elapsed_text(self._elapsed_s())}"
        stops = self._stops
        hint = stops if width >= cell_width(head + stops) + _SHORTEST else ""
        room = width - cell_width(head + hint) - 3
        what = self._notice or clip(step, 300) or _running(tools) or self._doing
        if self._own:
            what = f"running {self._own}"
        middle = f" · {clip(what, room)}" if room >= _SHORTEST else ""
        return cut_row(console, Text(head + middle + hint, "muted"), width)

    def _elapsed_s(self) -> float:
        return self._before_s + (self._clock() - self._began if self._began is not None else 0.0)


def _stop_hint(tool: str, arguments: Mapping[str, Any]) -> str | None:
    """What Esc does to a call that is different from the usual."""
    if tool != "hf_jobs" or arguments.get("wait") is False:
        return None
    return _STOPS.get(" ".join(str(arguments.get("operation", "")).lower().split()))


def _running(tools: Sequence[str]) -> str:
    if not tools:
        return ""
    return f"running {clip(tool_title(tools[0]), 40)}" if len(tools) == 1 else f"running {len(tools)} tools"
