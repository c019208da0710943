"""Tool calls where nothing is live: a line when a call starts, a line when it has its result."""

from __future__ import annotations

from collections.abc import Iterable

from agent.protocol.events import ApprovalItem, ToolCallStarted, ToolLog, ToolOutput, ToolProgress, ToolStateChange
from agent.ui.live.rows import Row
from agent.ui.notices import JobLines, log_line
from agent.ui.sanitize import clip
from agent.ui.scrollback import Scrollback
from agent.ui.tool_lines import QUIET_TOOLS, Call, OpenCalls, call_summary, tool_title
from agent.ui.tool_results import ToolResults

_TOOL_COLUMNS = 40


class PlainTools:
    """Prints calls and results as they come."""

    is_ticking = False

    def __init__(self, scrollback: Scrollback, results: ToolResults) -> None:
        self._out = scrollback
        self._results = results
        self._calls = OpenCalls()
        self._jobs = JobLines()

    @property
    def running(self) -> list[str]:
        """Nothing is shown as running."""
        return []

    def new_turn(self) -> None:
        """Nothing to forget."""

    def wait(self, items: Iterable[ApprovalItem]) -> None:
        """These calls wait for the person."""
        self._calls.wait(items)

    def start(self, payload: ToolCallStarted) -> None:
        """A call starts."""
        self._show_start(self._calls.start(payload))

    def change(self, payload: ToolStateChange) -> None:
        """A call has another state."""
        self._show_start(self._calls.change(payload))
        if line := self._jobs.line(payload):
            self._out.line("tool", f"  {line}", "muted")

    def progress(self, payload: ToolProgress) -> None:
        """Only the result is told."""

    def log(self, payload: ToolLog) -> None:
        """A tool, a sub-agent or the loop says something."""
        if line := log_line(payload):
            self._out.line("tool", f"  {line}", "muted")

    def finish(self, payload: ToolOutput) -> None:
        """A call has its result."""
        call = self._calls.finish(payload)
        if payload.success and payload.tool in QUIET_TOOLS:
            return
        room = max(self._out.width - _TOOL_COLUMNS, 8)
        self._results.result(payload, after=call_summary(call.tool, call.arguments, room) if call else "")

    def end_turn(self, *, is_ok: bool) -> None:
        """The turn is over."""
        self._calls.clear()
        self._jobs.clear()

    def rows(self, width: int, limit: int) -> list[Row]:
        """Nothing is live."""
        return []

    def _show_start(self, call: Call | None) -> None:
        if call is not None and call.tool not in QUIET_TOOLS:
            tool, sign = clip(tool_title(call.tool), _TOOL_COLUMNS), self._out.signs.start
            room = max(self._out.width - len(tool) - len(sign) - 3, 8)
            about = call_summary(call.tool, call.arguments, room)
            self._out.one_line("tool", (f"{sign} ", "muted"), (tool, "tool.name"), (f"  {about}", "muted"))
