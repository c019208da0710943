"""What a session can tell of itself: what fills the model's window, what it has changed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

from agent.context_manager.memory import find_memory_files
from agent.context_manager.tokens import estimate_message, estimate_tools
from agent.core.endings import TurnCancelled
from agent.core.session import Session
from agent.protocol.events import (
    ContextReport,
    ErrorRaised,
    Feedback,
    Interrupted,
    Payload,
    ToolInfo,
    WorkspaceDiff,
)
from agent.sessions.checkpoint_states import StoppedError
from agent.sessions.checkpoints import Checkpoints, FileChange
from agent.tools.diffs import unified_diff

MAX_DIFF_CHARS = 200_000
MAX_SHOWN_FILE_BYTES = 1 << 20
_NAMED_FILES = 10

_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n")


# --- the model's window ----------------------------------------------------------------------------------------------


async def context_report(session: Session) -> ContextReport:
    """What takes how much of the window, in the proportion in which the provider counts. Asks no model."""
    return await asyncio.to_thread(_context_report, session)


def _context_report(session: Session) -> ContextReport:
    history, specs = session.history, session.router.get_tool_specs_for_llm()
    system = estimate_message(history.items[0])
    tools = estimate_tools(specs)
    messages = sum(map(estimate_message, history.items[1:]))
    used = history.usage_tokens
    proportion = used / (system + tools + messages)
    place = session.surroundings
    return ContextReport(
        window_tokens=history.model_max_tokens,
        threshold_tokens=history.compaction_threshold,
        used_tokens=used,
        system_tokens=int(system * proportion),
        tools_tokens=int(tools * proportion),
        messages_tokens=max(0, used - int(system * proportion) - int(tools * proportion)) if messages else 0,
        message_count=len(history.items) - 1,
        tools=tuple(_tool_info(spec["function"], int(estimate_tools([spec]) * proportion)) for spec in specs),
        memory_files=tuple(
            str(file.path) for file in find_memory_files(session.workspace, place.config_dir, place.home)
        ),
    )


def _tool_info(function: Mapping[str, Any], tokens: int) -> ToolInfo:
    return ToolInfo(str(function["name"]), first_sentence(str(function.get("description") or "")), tokens)


def first_sentence(text: str) -> str:
    """`text` up to the end of its first sentence or line."""
    return _SENTENCE_END.split(text.strip(), maxsplit=1)[0]


# --- files -----------------------------------------------------------------------------------------------------------


async def workspace_diff(session: Session) -> Payload:
    """What the session has changed in files, as far back as its checkpoints go; `Interrupted` if that was stopped."""
    session.interruption.clear()
    work = session.copies_disk.run(_workspace_diff, session.checkpoints, session.scrub)
    try:
        return await session.interruption.cancellable(work)
    except (TurnCancelled, StoppedError):
        return Interrupted()


def _workspace_diff(checkpoints: Checkpoints, scrub: Callable[[str], str]) -> WorkspaceDiff:
    changes = checkpoints.changes()
    parts: list[str] = []
    room = MAX_DIFF_CHARS
    for number, change in enumerate(changes.files):
        part = _file_diff(checkpoints, change, scrub)
        if len(part) > room:
            parts += [part[: part.rfind("\n", 0, room) + 1] + _cut_note(changes.files[number + 1 :])]
            break
        parts.append(part)
        room -= len(part) + 1
    not_covered = None if changes.not_covered is None else scrub(changes.not_covered)
    return WorkspaceDiff("\n".join(parts), not_covered)


def _cut_note(rest: tuple[FileChange, ...]) -> str:
    names = ", ".join(change.name for change in rest[:_NAMED_FILES])
    more = f" and {len(rest) - _NAMED_FILES:,} more" if len(rest) > _NAMED_FILES else ""
    also = f" Changed too: {names}{more}." if rest else ""
    return f"... the diff is cut here, after {MAX_DIFF_CHARS:,} characters.{also}"


def _file_diff(checkpoints: Checkpoints, change: FileChange, scrub: Callable[[str], str]) -> str:
    """The change of one file: hunks, or a line where there are none to show. Raises StoppedError."""
    name = scrub(change.name)
    try:
        old, new = (_text(data, scrub) for data in checkpoints.contents(change, MAX_SHOWN_FILE_BYTES))
    except UnicodeDecodeError:
        return f"{name}: {_fate(change)}; binary"
    except OSError as error:
        return f"{name}: {_fate(change)}; {(error.strerror or str(error)).lower()}"
    diff = unified_diff(old, new or "", name)
    if new is None:
        diff = diff.replace(f"\n+++ {'' if name.startswith('/') else 'b/'}{name}", "\n+++ /dev/null", 1)
    was, now = change.was, change.now
    mode = f"{name}: mode {was.mode:o} -> {now.mode:o}" if was.kind == now.kind and was.mode != now.mode else ""
    return "\n".join(filter(None, (mode, diff))) or f"{name}: {_fate(change)}; no line differs"


def _text(data: bytes | None, scrub: Callable[[str], str]) -> str | None:
    """Scrubbed before it is compared: a diff would take a secret of several lines apart. Raises UnicodeDecodeError."""
    if data is None:
        return None
    if b"\0" in data:
        raise UnicodeDecodeError("utf-8", data, data.index(b"\0"), data.index(b"\0") + 1, "no text")
    return scrub(data.decode("utf-8"))


def _fate(change: FileChange) -> str:
    if change.was.kind == "absent":
        return "new"
    return "removed" if change.now.kind == "absent" else "changed"


# --- what else -------------------------------------------------------------------------------------------------------


def feedback(session: Session, data: Mapping[str, Any]) -> Feedback | ErrorRaised:
    """The person's rating of the last turn; sent as an event it is in the session's journal."""
    rating = data.get("rating")
    if rating not in ("up", "down"):
        return ErrorRaised(f"{rating!r} is no rating: it is up or down.", "usage")
    if not session.turns:
        return ErrorRaised("There is no answer to rate yet.", "usage")
    comment = session.scrub(str(data.get("comment") or "")).strip()
    return Feedback(rating, len(session.turns) - 1, session.turns[-1].id, comment)
