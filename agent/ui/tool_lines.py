"""Tool calls and their results in one line each, the same on every kind of screen."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.events import ApprovalItem, ToolCallStarted, ToolOutput, ToolStateChange
from agent.protocol.untrusted import as_read
from agent.ui.hub_lines import HUB_CALLS, named_again
from agent.ui.research_lines import RESEARCH_CALLS
from agent.ui.sanitize import clip, visible

SERVER_TOOL = "mcp__"
"""What the names of tools begin with that MCP servers bring."""
_BIG_BYTES = 10_000
_SCANNED_CHARS = 100_000
_SAYS_IT_FIRST = frozenset({"hf_jobs", "hf_repo_files", "hf_repo_git", "sandbox_create"})
"""Tools whose result begins with a line that says what has become of the call."""
_CHANGES_FILES = frozenset({"write", "edit"})
"""Tools whose reply has no size worth telling: their results say what changed instead."""
_TRACEBACK = "Traceback (most recent call last)"
STOPPED = "stopped"
"""How a call ended that the person has stopped: what it had printed by then is not why."""
NO_OUTPUT = "(no output)"
"""What tools that printed nothing say to the model."""
_ENDINGS = (
    (re.compile(r"\[exit code (\S+): ended by (SIG\w+)[^\]]*\]"), r"exit code \1 (\2)"),
    (re.compile(r"\[exit code (\S+)\]"), r"exit code \1"),
    (re.compile(r"\[Timed out after (\d+ s)\b.*\]"), r"timed out after \1"),
    (re.compile(r"\[Ended because it had printed more than ([\d,]+ bytes)\b.*\]"), r"ended after \1 of output"),
    (re.compile(r"\[stopped\]"), STOPPED),
)
"""What `bash` says last of a command that failed, and how that is put into a line."""
_ENDING_LINES = 3
_NO_TIME_S = 0.05
_LOOKS_LIKE_A_REASON = re.compile(
    r"\b(error|fatal|exception|denied|refused|not found|no such file|timed out)\b|\w(Error|Exception)\b", re.IGNORECASE
)


QUIET_TOOLS = frozenset({"plan_tool"})
"""Tools whose effect is shown by an event of its own (the plan): of their calls only failures are."""
_REJECTED = "rejected"
"""What the display of a call begins with that the person did not allow; their reason may follow after a colon."""
_ACCEPTED = "accepted"
_SIZE = re.compile(r"\[[\d,]+ bytes\b.* in all\b.*\]")
"""How much a command has printed, and where all of it is: one of the last lines of its display where that is cut."""
_OWN_COMMAND = "shell_"


def is_own_command(tool_call_id: str) -> bool:
    """Whether the person has run it themselves (`!command`), in order to read what it prints."""
    return tool_call_id.startswith(_OWN_COMMAND)


# --- calls -----------------------------------------------------------------------------------------------------------


def tool_title(tool: str) -> str:
    """What a tool is called on the screen: `files: read_file` for `mcp__files__read_file`, others by their name."""
    server, _, name = tool.removeprefix(SERVER_TOOL).partition("__")
    return f"{server}: {name}" if tool.startswith(SERVER_TOOL) and server and name else tool


def call_summary(tool: str, arguments: Mapping[str, Any], width: int) -> str:
    """What a call is about, in one visible line of at most `width` columns; empty when it has no arguments."""
    formatter = _server_call if tool.startswith(SERVER_TOOL) else _CALL_FORMATTERS.get(tool)
    summary = formatter(arguments) if formatter else None
    if summary is None:
        summary = compact_json(arguments) if arguments else ""
    return clip(summary, width)


def compact_json(value: Any) -> str:
    """`value` as JSON on one line, readable (not ASCII-escaped); never raises."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(", ", ": "), default=str)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def value_text(value: Any) -> str:
    """A value as a person would write it: a text without quotes, if there is anything in it to be seen."""
    return value if isinstance(value, str) and value.strip() else compact_json(value)


def _server_call(arguments: Mapping[str, Any]) -> str:
    """`data/labels.csv`, or `path: data/labels.csv, head: 3` where there are several arguments."""
    if len(arguments) == 1:
        return value_text(next(iter(arguments.values())))
    return ", ".join(f"{name}: {value_text(value)}" for name, value in arguments.items())


def _command_line(arguments: Mapping[str, Any]) -> str | None:
    command = arguments.get("command")
    if not isinstance(command, str) or not command.strip():
        return None
    first, _, more = command.strip().partition("\n")
    return f"{first.rstrip()} …" if more.strip() else first


def _path(arguments: Mapping[str, Any]) -> str | None:
    path = arguments.get("path")
    return path if isinstance(path, str) and path else None


def _nothing(_arguments: Mapping[str, Any]) -> str:
    return ""


def _step_count(arguments: Mapping[str, Any]) -> str | None:
    steps = arguments.get("todos")
    return counted(len(steps), "step") if isinstance(steps, list) else None


_CALL_FORMATTERS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "bash": _command_line,
    "read": _path,
    "write": _path,
    "edit": _path,
    "plan_tool": _step_count,
    "propose_plan": _nothing,  # the person has read it when they were asked
    **HUB_CALLS,
    **RESEARCH_CALLS,
}
"""How a tool's arguments are put into a line; None where they are not what the tool expects."""


# --- results ---------------------------------------------------------------------------------------------------------


def result_summary(result: ToolOutput, width: int) -> str:
    """`1.2s, 34 lines` for a success, `0.3s: exit code 2: what went wrong` for a failure; at most `width` columns."""
    if not result.success:
        return failure_summary(result, reason_lines(result.display or result.output, 1)[0], width)
    has_words = result.tool in _CHANGES_FILES or result.display is not None
    size = diff_stat(result.display or "") if has_words else size_text(as_read(result.output, with_source=False))
    return clip(", ".join(filter(None, [duration_text(result.duration_s), size])), width)


def outcome_summary(result: ToolOutput, width: int) -> str:
    """Like `result_summary`, with what has become of the call where its result begins with that."""
    if not result.success or result.tool not in _SAYS_IT_FIRST:
        return result_summary(result, width)
    said = next(iter((result.display or result.output).splitlines()), "")
    return clip(": ".join(filter(None, [duration_text(result.duration_s), said])), width)


def failure_summary(result: ToolOutput, reasons: list[str], width: int) -> str:
    """How long a failed call took, how it ended, and the first of `reasons` if it is the only one."""
    ending = ending_text(result.display or result.output) or ("" if reasons else "failed")
    took = "" if result.display and result.duration_s < _NO_TIME_S else duration_text(result.duration_s)
    said = [took, ending, reasons[0] if len(reasons) == 1 and ending != STOPPED else ""]
    return clip(": ".join(part for part in said if part), width)


def is_rejected(result: ToolOutput) -> bool:
    """Whether the person did not allow the call."""
    display = result.display or ""
    return not result.success and (display == _REJECTED or display.startswith(f"{_REJECTED}: "))


def plan_verdict(result: ToolOutput) -> str:
    """`plan accepted` or `plan sent back: why`; empty for other tools, and for plans that nobody was asked about."""
    if result.tool != "propose_plan" or not result.display:
        return ""
    if is_rejected(result):
        return "plan sent back" + result.display.removeprefix(_REJECTED)
    return "plan accepted" if result.success and result.display == _ACCEPTED else ""


def ending_text(text: str) -> str:
    """`exit code 3`, `exit code 137 (SIGKILL)`, `timed out after 5 s`: what a failed command's last lines say of it."""
    lines = [line.strip() for line in visible(text[-_SCANNED_CHARS:]).split("\n") if line.strip()]
    for line in reversed(lines[-_ENDING_LINES:]):
        for pattern, words in _ENDINGS:
            if match := pattern.fullmatch(line):
                return match.expand(words)
    return ""


def size_note(text: str) -> str:
    """What a command's last lines say of the size of all of it, and where that is; empty where nothing was cut."""
    lines = visible(text[-_SCANNED_CHARS:]).rstrip("\n").split("\n")
    return next((line for line in reversed(lines[-_ENDING_LINES:]) if _SIZE.fullmatch(line)), "")


def is_ending(line: str) -> bool:
    """Whether a line of output only says how the command ended, or that there is nothing."""
    line = line.strip()
    return line == NO_OUTPUT or any(pattern.fullmatch(line) for pattern, _ in _ENDINGS)


def reason_lines(text: str, limit: int) -> tuple[list[str], int]:
    """The lines of a failed tool's output that say why, at most `limit`, and how many follow them.

    They start at the exception of the last Python traceback, else at the first line that looks like an error, else at
    the first line. How the command ended is not among them, nor its size: see `ending_text` and `size_note`.
    """
    if len(text) > _SCANNED_CHARS:
        text = f"{text[: _SCANNED_CHARS // 2]}\n…\n{text[-_SCANNED_CHARS // 2 :]}"
    lines = [line.rstrip() for line in visible(text).split("\n") if line.strip()]
    reasons = [line for line in lines if not is_ending(line) and not _SIZE.fullmatch(line)]
    reasons = reasons[_reason_at(reasons) :]
    return reasons[:limit], max(len(reasons) - limit, 0)


def _reason_at(lines: list[str]) -> int:
    tracebacks = [index for index, line in enumerate(lines) if line.lstrip().startswith(_TRACEBACK)]
    if tracebacks:
        start = tracebacks[-1]
        margin = len(lines[start]) - len(lines[start].lstrip())
        for index in range(start + 1, len(lines)):
            if len(lines[index]) - len(lines[index].lstrip()) <= margin:
                return index
        return start
    return next((index for index, line in enumerate(lines) if _LOOKS_LIKE_A_REASON.search(line)), 0)


def duration_text(seconds: float) -> str:
    """`1.2s`, `34s`, `2m 05s`, `1h 02m`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def elapsed_text(seconds: float) -> str:
    """How long something has taken so far, in whole seconds: `4s`, `2m 05s`."""
    whole = int(max(seconds, 0.0))
    return f"{whole}s" if whole < 60 else duration_text(whole)


def size_text(output: str) -> str:
    """`34 lines`, with the size in bytes where it is large."""
    text = output.rstrip("\n")
    if not text or text == NO_OUTPUT:
        return "no output"
    lines = counted(text.count("\n") + 1, "line")
    size_bytes = len(text.encode("utf-8", "replace"))
    return f"{lines}, {bytes_text(size_bytes)}" if size_bytes >= _BIG_BYTES else lines


def diff_stat(diff: str) -> str:
    """`+3 −1`: how many lines a unified diff adds and removes; empty for any other text."""
    _, at, body = f"\n{diff}".partition("\n@@ ")
    if not at:
        return ""
    lines = body.split("\n")[1:]  # what is first is the rest of the hunk's header
    added, removed = (sum(line.startswith(mark) for line in lines) for mark in "+-")
    is_cut = body.rpartition("\n")[2].startswith("... ")
    return f"{'at least ' * is_cut}+{added} −{removed}"


def counted(number: int, noun: str) -> str:
    """`1 line`, `2 lines`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def bytes_text(size: float) -> str:
    """`950 bytes`, `1.2 kB`, `3.4 MB`, `5.6 GB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


# --- which result belongs to which call ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """A call as far as a line about it needs it."""

    tool: str
    arguments: Mapping[str, Any]


class OpenCalls:
    """The calls that are waiting or running.

    A call that waited for approval is never announced by `tool_call`; its start shows as the state `running`. And when
    calls run side by side, a result line must say which of them it belongs to.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, Call] = {}
        self._running: dict[str, Call] = {}
        self._last_line: str | None = None
        """The call whose start was the last line shown about a call."""

    def wait(self, items: Iterable[ApprovalItem]) -> None:
        """These calls wait for the person."""
        self._waiting.update({item.tool_call_id: Call(item.tool, named_again(item)) for item in items})

    def start(self, event: ToolCallStarted) -> Call | None:
        """A call starts; None if that was shown already."""
        return self._start(event.tool_call_id, Call(event.tool, event.arguments))

    def change(self, event: ToolStateChange) -> Call | None:
        """A call changed state; the call, if that means that it starts now."""
        waiting = self._waiting.get(event.tool_call_id)
        return self._start(event.tool_call_id, waiting) if waiting and event.state == "running" else None

    def finish(self, event: ToolOutput) -> Call | None:
        """A call has its result; the call, if the result line needs to say which one it was."""
        call = self._waiting.pop(event.tool_call_id, None) or self._running.pop(event.tool_call_id, None)
        adjacent = self._last_line == event.tool_call_id
        self._last_line = None
        return None if adjacent else call

    def clear(self) -> None:
        """The turn is over."""
        self._waiting.clear()
        self._running.clear()
        self._last_line = None

    def _start(self, call_id: str, call: Call) -> Call | None:
        self._waiting.pop(call_id, None)
        if call_id in self._running:
            return None
        self._running[call_id] = call
        self._last_line = call_id
        return call
