"""The tool calls that are running right now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from rich.console import Console
from rich.text import Text

from agent.light_dataclass import dataclass
from agent.protocol.events import ApprovalItem, ToolCallStarted, ToolOutput, ToolProgress, ToolStateChange
from agent.ui.hub_lines import named_again
from agent.ui.live.progress import bar_line, tail_lines
from agent.ui.live.rows import Row, cut_row
from agent.ui.sanitize import clip
from agent.ui.tool_lines import Call, call_summary, elapsed_text, tool_title

_SHOWN_CALLS = 4
_TAIL_LINES = 5
_TOOL_COLUMNS = 40
_ABOUT_COLUMNS = 500


@dataclass(slots=True)
class RunningCall:
    """A call that runs since `began` (the clock's seconds); `was_stopped` once it was cancelled."""

    call_id: str
    call: Call
    began: float
    progress: ToolProgress | None = None
    was_stopped: bool = False

    @property
    def about(self) -> str:
        """What the call is about, in one line."""
        return call_summary(self.call.tool, self.call.arguments, _ABOUT_COLUMNS)


class RunningCalls:
    """Which calls run, since when and how far they have come. A call is forgotten with its result."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: dict[str, Call] = {}
        self._running: dict[str, RunningCall] = {}

    @property
    def tools(self) -> list[str]:
        """The tools of the running calls, one for each call."""
        return [running.call.tool for running in self._running.values()]

    def wait(self, items: Iterable[ApprovalItem]) -> None:
        """These calls wait for the person."""
        self._waiting.update({item.tool_call_id: Call(item.tool, named_again(item)) for item in items})

    def start(self, event: ToolCallStarted) -> None:
        """A call starts."""
        self._start(event.tool_call_id, Call(event.tool, event.arguments))

    def change(self, event: ToolStateChange) -> None:
        """A call changed state: one that waited may run now, one that runs may have been stopped."""
        waiting = self._waiting.get(event.tool_call_id)
        if waiting and event.state == "running":
            self._start(event.tool_call_id, waiting)
        elif event.state == "cancelled" and event.tool_call_id in self._running:
            self._running[event.tool_call_id].was_stopped = True

    def progress(self, event: ToolProgress) -> RunningCall | None:
        """A running call has come further; the call, if it is known."""
        running = self._running.get(event.tool_call_id)
        if running is not None:
            running.progress = event
        return running

    def finish(self, event: ToolOutput) -> RunningCall | None:
        """A call has its result; the call, if it was known."""
        waited = self._waiting.pop(event.tool_call_id, None)
        running = self._running.pop(event.tool_call_id, None)
        return running or (RunningCall(event.tool_call_id, waited, self._clock()) if waited else None)

    def drain(self) -> list[RunningCall]:
        """The turn is over: the calls that still ran."""
        left = list(self._running.values())
        self._waiting.clear()
        self._running.clear()
        return left

    def rows(self, console: Console, width: int, limit: int, hidden: Collection[str] = ()) -> list[Row]:
        """A row for each call that is not `hidden`, and below it how far it has come, as far as `limit` rows allow."""
        calls = [running for call_id, running in self._running.items() if call_id not in hidden]
        shown, more = calls[:_SHOWN_CALLS], len(calls) - _SHOWN_CALLS
        if not shown or limit < 1:
            return []
        room = limit - len(shown) - (more > 0)
        tail = min(max(room // len(shown), 0), _TAIL_LINES)
        rows = []
        for running in shown:
            rows += self._call_rows(console, running, width, tail)
        if more > 0:
            rows.append(cut_row(console, Text(f"  and {more} more", "muted"), width))
        return rows[:limit]

    def _start(self, call_id: str, call: Call) -> None:
        self._waiting.pop(call_id, None)
        self._running.setdefault(call_id, RunningCall(call_id, call, self._clock()))

    def _call_rows(self, console: Console, running: RunningCall, width: int, tail: int) -> list[Row]:
        tool, took = clip(tool_title(running.call.tool), _TOOL_COLUMNS), elapsed_text(self._clock() - running.began)
        about = clip(running.about, max(width - len(tool) - len(took) - 6, 0))
        parts = [("▸ ", "muted"), (tool, "tool.name"), (f"  {about}" if about else "", ""), (f"  {took}", "muted")]
        rows = [cut_row(console, Text.assemble(*parts), width)]
        if running.progress is not None and tail > 0:
            bar = bar_line(running.progress, width - 2)
            lines = tail_lines(running.progress, tail - bool(bar))
            below = [*lines, *([bar] if bar else [])]
            rows += [cut_row(console, Text(f"  {clip(line, width - 2)}", "muted"), width) for line in below]
        return rows
