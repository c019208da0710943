"""Taking turns back: from the conversation, from the files, or both."""

from __future__ import annotations

from typing import Literal

from agent.context_manager.prompts import render
from agent.core.session import Session
from agent.protocol.events import PlanUpdate, UndoComplete
from agent.protocol.messages import user_message
from agent.sessions.checkpoints import RestoreReport
from agent.sessions.restore import messages_before

What = Literal["both", "chat", "files"]


async def undo(session: Session, turns: int = 1, what: What = "both") -> UndoComplete:
    """Take back the last `turns` turns. Files that somebody has changed since are left alone and named."""
    marks = session.turns[-turns:] if turns > 0 else []
    if not marks:
        return UndoComplete()
    report = RestoreReport((), (), None)
    if what != "chat":
        report = await session.disk.run(session.checkpoints.restore, [mark.id for mark in marks])
    removed = 0
    if what != "files":
        removed = await _take_back(session, marks[0].id)
        session.turns = session.turns[: -len(marks)]
        session.turn_count = max(0, session.turn_count - len(marks))
        if session.plan:
            await session.emit(PlanUpdate(()))
    elif report.restored:
        session.record.add(user_message(render("guards/files_restored", files=report.restored), "guard"))
    await session.record.sync()
    return UndoComplete(
        removed_messages=removed,
        removed_turns=len(marks) if what != "files" else 0,
        prompt=marks[0].prompt if what != "files" else None,
        restored_files=report.restored,
        kept_files=report.kept,
        not_covered=report.not_covered,
    )


async def _take_back(session: Session, message_id: str) -> int:
    """Make history what it was before the message; returns how many messages it lost.

    Where a compaction has mixed that turn with earlier ones, the journal still has history as it was.
    """
    before = session.history.items
    earlier, path = None, session.record.saved_path
    if path is not None and session.was_compacted:
        earlier = await session.disk.run(messages_before, path, message_id)
    if earlier is not None:
        session.history.restore(earlier)
    else:
        session.history.truncate_before(message_id)
    session.record.changed(before, "undo")
    return max(0, len(before) - len(session.history.items))
