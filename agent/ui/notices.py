"""Short sentences about events, the same on every kind of screen. All of them are visible text of one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from agent.protocol.events import (
    Compacted,
    LLMCall,
    NewComplete,
    PlanItem,
    Renamed,
    ResumeComplete,
    SessionTerminated,
    SettingsChanged,
    ToolLog,
    ToolStateChange,
    UndoComplete,
)
from agent.protocol.modes import MEANINGS, Mode
from agent.protocol.money import format_usd
from agent.ui.sanitize import clip, visible
from agent.ui.tool_lines import counted, duration_text

OperationEnd = Compacted | UndoComplete | NewComplete | ResumeComplete | Renamed | SettingsChanged

_APPROVALS: Mapping[Mode, str] = {
    "ask": "asks before it acts",
    "auto-edit": "edits by itself (auto-edit)",
    "plan": "only looks (plan)",
    "yolo": "approves by itself (yolo)",
}

_PLAN_SIGNS = {"completed": "✓", "in_progress": "▸"}

_JOB_ENDS = frozenset({"completed", "failed", "error", "canceled", "cancelled", "gone", "deleted"})
_COUNTERS = ("tokens:", "tools:")
_LOG_COLUMNS = 300
_NAMED_FILES = 8


def operation_lines(payload: OperationEnd) -> list[str]:
    """What an operation other than a turn has done."""
    match payload:
        case Compacted():
            return [_compacted(payload)]
        case UndoComplete():
            return _undone(payload) or ["Nothing to undo."]
        case NewComplete():
            saved = f" The previous one is saved in {_one_line(payload.saved_path)}." if payload.saved_path else ""
            return [f"New conversation, session {_one_line(payload.session_id)}.{saved}"]
        case ResumeComplete():
            return _resumed(payload)
        case Renamed():
            return [f"This session is now called “{_one_line(payload.title)}”."]
        case SettingsChanged():
            return _settings(payload)
        case _ as never:
            assert_never(never)


def _compacted(payload: Compacted) -> str:
    if payload.old_tokens == payload.new_tokens:
        return f"Nothing to shorten ({tokens_text(payload.old_tokens)} tokens)."
    how = f" ({counted(payload.summarised, 'message')} summarised)" if payload.summarised else ""
    return f"Context shortened: {tokens_text(payload.old_tokens)} → {tokens_text(payload.new_tokens)} tokens{how}."


def _undone(payload: UndoComplete) -> list[str]:
    lines = []
    if payload.removed_messages:
        turns = "turn is" if payload.removed_turns <= 1 else f"{payload.removed_turns} turns are"
        lines.append(f"The last {turns} taken back ({counted(payload.removed_messages, 'message')} removed).")
    if payload.restored_files:
        lines.append(f"Put back as before: {_file_names(payload.restored_files)}.")
    if payload.kept_files:
        lines.append(f"Kept as they are, since somebody has changed them: {_file_names(payload.kept_files)}.")
    if payload.not_covered:
        lines.append(f"Not put back, as there is no copy: {_one_line(payload.not_covered)}.")
    return lines


def _file_names(paths: tuple[str, ...]) -> str:
    names = ", ".join(clip(path, 80) for path in paths[:_NAMED_FILES])
    return f"{names} and {len(paths) - _NAMED_FILES} more" if len(paths) > _NAMED_FILES else names


def _resumed(payload: ResumeComplete) -> list[str]:
    how = "Resumed as a copy" if payload.forked else "Resumed"
    count = counted(payload.restored_count, "message")
    name = f" “{_one_line(payload.title)}”" if payload.title else f" {_one_line(payload.path)}"
    cost = f"{format_usd(payload.cost_usd)}{'' if payload.cost_known else ' and calls of unknown price'} so far"
    lines = [f"{how}{name}: {count}, model {_one_line(payload.model_name)}, {cost}."]
    if payload.is_open_elsewhere:
        lines.append("Another ml-intern is at work on that session: this is a copy of it, and costs count from here.")
    if payload.unfinished:
        calls = ", ".join(clip(call, 40) for call in payload.unfinished[:_NAMED_FILES])
        lines.append(f"Running when it ended, with an unknown outcome: {calls}.")
    lines += [f"Still running from before: {clip(process, 160)}" for process in payload.still_running[:_NAMED_FILES]]
    lines += [clip(found, 300) for found in payload.work[:_NAMED_FILES]]
    if payload.cwd:
        lines.append(f"It ran in {_one_line(payload.cwd)}; tools now work in the current directory.")
    if payload.dropped_count:
        lines.append(f"{counted(payload.dropped_count, 'record')} could not be read and left out.")
    if payload.invalid_saved_model:
        lines.append(f"Its model {_one_line(payload.invalid_saved_model)} cannot be used here.")
    if payload.had_redacted_content:
        lines.append("Parts of it were redacted when it was saved; the model does not see them.")
    return lines


def _settings(payload: SettingsChanged) -> list[str]:
    if payload.changed in (("cap_usd",), ("share_traces",)):
        return []  # told by the budget's own status, and by the command
    if payload.changed and set(payload.changed) <= {"mode", "yolo_mode"}:
        return [f"Mode {payload.mode}: {MEANINGS[payload.mode]}."]
    effort = f", effort {_one_line(payload.reasoning_effort)}" if payload.reasoning_effort else ""
    return [f"Model {_one_line(payload.model_name)}{effort}; {_APPROVALS[payload.mode]}."]


def plan_title(plan: Iterable[PlanItem]) -> str:
    """`Plan, 1 of 3 done`."""
    states = [item.status for item in plan]
    return f"Plan, {states.count('completed')} of {len(states)} done" if states else "Plan cleared"


def plan_sign(item: PlanItem) -> str:
    """`✓` done, `▸` under way, `○` still to do."""
    return _PLAN_SIGNS.get(item.status, "○")


def log_line(payload: ToolLog) -> str | None:
    """A tool's progress or a notice of the loop; None for the counters of sub-agents."""
    text = clip(payload.log.strip(), _LOG_COLUMNS)
    if not text or (payload.agent_id is not None and is_counter(text)):
        return None
    return text if payload.tool == "system" else f"{_one_line(payload.label or payload.tool)}: {text}"


def is_counter(log: str) -> bool:
    """Whether a sub-agent counts here what it has used, rather than says what it does."""
    return log.startswith(_COUNTERS)


class JobLines:
    """A line for each state of the jobs that calls have started, with the address the first time.

    How a job ends is told by the call's result, or by `ToolLog` where no call waits for it.
    """

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}
        """Those told already, by tool call id."""

    def line(self, payload: ToolStateChange) -> str | None:
        """What to say of a change; None: nothing, as other events tell of it."""
        if not payload.jobUrl or payload.state in _JOB_ENDS:
            return None
        state = f"{_one_line(payload.tool)} {_one_line(payload.state)}"
        if self._addresses.get(payload.tool_call_id) == payload.jobUrl:
            return state
        self._addresses[payload.tool_call_id] = payload.jobUrl
        return f"{state}: {_one_line(payload.jobUrl)}"

    def clear(self) -> None:
        """The turn is over: ids may come again."""
        self._addresses.clear()


def model_call_line(payload: LLMCall) -> str:
    """What a model call took."""
    cost = format_usd(payload.cost_usd) if payload.cost_usd is not None and payload.cost_known else "cost unknown"
    tokens = f"{tokens_text(payload.prompt_tokens)} in, {tokens_text(payload.completion_tokens)} out"
    took = duration_text(payload.latency_ms / 1000)
    return f"{_one_line(payload.model)} ({_one_line(payload.kind)}): {tokens}, {cost}, {took}"


def terminated_text(payload: SessionTerminated) -> str:
    """Why the session cannot go on."""
    return visible(payload.user_message or payload.error or payload.reason)


def tokens_text(tokens: int) -> str:
    """`950`, `12.3k`, `171k`, `1.2M`."""
    if tokens < 1000:
        return str(tokens)
    if tokens >= 999_500:
        return f"{tokens / 1_000_000:.1f}M"
    thousands = f"{tokens / 1000:.1f}" if tokens < 99_950 else f"{tokens / 1000:.0f}"
    return f"{thousands.removesuffix('.0')}k"


def _one_line(text: str) -> str:
    return clip(text, _LOG_COLUMNS)
