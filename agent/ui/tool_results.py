"""Finished tool calls: one entry each in the scrollback, and all of their output for whoever asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from agent.light_dataclass import dataclass
from agent.protocol.events import ApprovalItem, ToolOutput
from agent.protocol.untrusted import as_read
from agent.ui.diff_view import is_diff, preview_text, without_file_lines
from agent.ui.sanitize import clip, visible
from agent.ui.scrollback import Scrollback
from agent.ui.tool_lines import (
    NO_OUTPUT,
    STOPPED,
    counted,
    duration_text,
    ending_text,
    failure_summary,
    is_ending,
    is_own_command,
    is_rejected,
    plan_verdict,
    reason_lines,
    result_summary,
    size_note,
    tool_title,
)

_TAIL_TOOLS = frozenset({"bash"})
"""Tools whose last lines of output are worth seeing; of the others the size is enough."""
_HEADED_TOOLS = frozenset({"hf_jobs"})
"""Tools whose first line says what came of it, and whose last lines are the end of an output."""
_KEPT_OUTPUTS = 30
_EXPANDED_LINES = 2_000
_EXPANDED_COLUMNS = 400
_HINT = " (Ctrl-O shows all)"
_TOOL_COLUMNS = 40
_NOTE_ROWS = 20
"""Rows that a line with a path may take: enough for any, as it must not be cut."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Lines shown of a diff, of a command's output (`own_lines`: of the person's), of the reasons of a failure."""

    diff_lines: int = 60
    output_lines: int = 4
    own_lines: int = 30
    reason_lines: int = 6


class ToolResults:
    """Prints results. `can_expand`: the lines that are left out can be asked for, which is then said."""

    def __init__(self, scrollback: Scrollback, limits: Limits, *, can_expand: bool) -> None:
        self._out = scrollback
        self._limits = limits
        self._hint = _HINT if can_expand else ""
        self._kept: deque[tuple[str, str]] = deque(maxlen=_KEPT_OUTPUTS)
        """Titles and whole outputs, the oldest first."""
        self._next = 0
        """How many of them, from the newest, have been expanded."""
        self._so_far: tuple[str, str] | None = None
        """Title and output of a call that runs, as long as nothing newer is finished."""
        self._approved: dict[str, str | None] = {}
        """Previews of calls that the person was asked about, by tool call id: they have been read."""

    def asked(self, items: Iterable[ApprovalItem]) -> None:
        """The person is shown what these calls would do."""
        self._approved = {item.tool_call_id: item.preview for item in items}

    def result(self, payload: ToolOutput, *, after: str = "") -> None:
        """A result below the line that announced its call; `after` says which one where other lines are between."""
        self.keep(payload, after)
        tool, about = clip(tool_title(payload.tool), _TOOL_COLUMNS), f"  ({after})" if after else ""
        signs = self._out.signs
        if self._verdict(payload):
            return
        if payload.success:
            summary = result_summary(payload, self._out.width)
            sign = (f"{signs.ok} ", "tool.ok")
            self._out.one_line("tool", sign, (tool, "tool.name"), (f" {summary}{about}", "muted"))
            self._body(payload, after)
        else:
            self._failure(payload, lambda said: f" {said}{about}")

    def entry(self, payload: ToolOutput, about: str) -> None:
        """A call and its result in one: which call it was (`about`, one line) and what came of it."""
        self.keep(payload, about)
        tool, signs = clip(tool_title(payload.tool), _TOOL_COLUMNS), self._out.signs
        if self._verdict(payload):
            return
        if payload.success:
            summary = result_summary(payload, self._out.width)
            room = max(self._out.width - len(tool) - len(summary) - 6, 8)
            call = f"  {clip(about, room)}" if about else ""
            self._out.one_line(
                "tool", (f"{signs.ok} ", "tool.ok"), (tool, "tool.name"), (call, ""), (f"  {summary}", "muted")
            )
            self._body(payload, about)
        else:
            call = f"  {clip(about, self._out.width)}" if about else ""
            self._failure(payload, lambda said: f"{call}  {said}")

    def interrupted(self, tool: str, about: str, duration_s: float, payload: ToolOutput | None = None) -> None:
        """A call that was stopped: `payload` has what it had printed by then, if anything came back."""
        if payload is not None:
            self.keep(payload, about)
        tool = clip(tool_title(tool), _TOOL_COLUMNS)
        stats = f"{duration_text(duration_s)}, interrupted"
        room = max(self._out.width - len(tool) - len(stats) - 6, 8)
        call = f"  {clip(about, room)}" if about else ""
        sign = (f"{self._out.signs.fail} ", "tool.fail")
        self._out.one_line("tool", sign, (tool, "tool.name"), (call, ""), (f"  {stats}", "tool.fail"))

    def keep(self, payload: ToolOutput, about: str) -> None:
        """Remember what the person may want to see: the diff, or else all that there is to read."""
        self._so_far = None
        if is_rejected(payload):
            return
        display = payload.display or ""
        is_long = payload.tool not in _TAIL_TOOLS and display.count("\n") >= self._limits.output_lines
        text = display if is_diff(display) or is_long else as_read(payload.output)
        if text.strip() and text.strip() != NO_OUTPUT:
            title = f"{clip(tool_title(payload.tool), _TOOL_COLUMNS)}  {clip(about, 200)}".rstrip()
            self._kept.append((title, text))
        self._next = 0

    def printing(self, tool: str, about: str, text: str) -> None:
        """A call that runs has printed `text` so far."""
        self._so_far = f"{clip(tool_title(tool), _TOOL_COLUMNS)}  {clip(about, 200)}".rstrip() + "  (so far)", text

    def expand(self) -> bool:
        """Print the last output in full, and with the next call the one before; False if there is none (left).

        What a call has printed that runs now is the last one.
        """
        if self._so_far is not None:
            (title, text), self._so_far = self._so_far, None
        elif self._next < len(self._kept):
            self._next += 1
            title, text = self._kept[-self._next]
        else:
            return False
        lines = visible(text).rstrip("\n").split("\n")
        self._out.one_line("expanded", (title, "bold"), (f"  {counted(len(lines), 'line')}", "muted"))
        hidden = len(lines) - _EXPANDED_LINES
        if hidden > 0:
            half = _EXPANDED_LINES // 2
            lines = [*lines[:half], f"… {counted(hidden, 'line')} left out here", *lines[-half:]]
        self._out.text("expanded", preview_text("\n".join(lines), len(lines), _EXPANDED_COLUMNS), indent=2)
        return True

    # --- parts -------------------------------------------------------------------------------------------------------

    def _verdict(self, payload: ToolOutput) -> bool:
        """What the person has said of a plan, in place of its result; False for everything else."""
        verdict = clip(plan_verdict(payload), self._out.width * 4)
        if verdict:
            signs = self._out.signs
            sign = (signs.ok, "tool.ok") if payload.success else (signs.fail, "tool.fail")
            self._out.hanging("tool", sign, (verdict, "" if payload.success else "tool.fail"))
        return bool(verdict)

    def _failure(self, payload: ToolOutput, sentence: Callable[[str], str]) -> None:
        text = payload.display or payload.output
        is_read = is_own_command(payload.tool_call_id) and "\n" in text
        reasons, more = ([], 0) if is_read else reason_lines(text, self._limits.reason_lines)
        summary = failure_summary(payload, reasons, self._out.width * 4)
        tool = clip(tool_title(payload.tool), _TOOL_COLUMNS)
        sign = (self._out.signs.fail, "tool.fail")
        self._out.hanging("tool", sign, (tool, "tool.name"), (sentence(summary), "tool.fail"))
        if is_read:
            self._tail(payload)
            return
        if len(reasons) > 1 or ending_text(text) == STOPPED:
            after = [f"… {counted(more, 'more line')}{self._hint}"] if more else []
            self._out.indented("tool", [*reasons, *after], "tool.fail")
        self._size(text)

    def _body(self, payload: ToolOutput, path: str) -> None:
        """What is worth seeing below the line of a call that went well; `path` stands there if it has changed one."""
        if payload.display and payload.display == self._approved.get(payload.tool_call_id):
            return
        if payload.tool in _TAIL_TOOLS:
            self._tail(payload)
        elif payload.display:
            text = without_file_lines(visible(payload.display), path)
            limit = self._limits.diff_lines if is_diff(text) else self._limits.output_lines
            if payload.tool in _HEADED_TOOLS:
                text, limit = self._head_and_end(text), limit + 2
            self._out.text("tool", preview_text(text, limit, self._out.width * 4, self._hint), indent=2)

    def _head_and_end(self, text: str) -> str:
        """The first line, how many are left out, and the last ones."""
        head, *lines = text.rstrip("\n").split("\n")
        hidden = len(lines) - self._limits.output_lines
        if hidden <= 0:
            return text
        return "\n".join([head, f"… {counted(hidden, 'line')} before{self._hint}", *lines[hidden:]])

    def _tail(self, payload: ToolOutput) -> None:
        """The last lines that a command has printed; of one of the person's own more, and as they are."""
        is_own = is_own_command(payload.tool_call_id)
        shown = self._limits.own_lines if is_own else self._limits.output_lines
        text = payload.display or payload.output
        note = size_note(text)
        lines = [line.rstrip() for line in visible(text).split("\n") if is_own or line.strip()]
        if is_own or note:  # what has no place of its own stays among the lines
            lines = [line for line in lines if not line or not (line == note or is_ending(line))]
        while lines and not lines[-1]:
            lines.pop()
        if not shown or not lines or text.strip() == NO_OUTPUT:
            return
        hidden = len(lines) - shown
        before = [f"… {counted(hidden, 'line')} before{self._hint}"] if hidden > 0 else []
        before = ["… lines before"] if note else before  # how many, and where, is in the note
        self._out.indented("tool", [*before, *lines[-shown:]], "muted")
        self._size(text)

    def _size(self, text: str) -> None:
        """How much there is in all, and where."""
        if note := size_note(text):
            self._out.indented("tool", [note], "muted", _NOTE_ROWS)
