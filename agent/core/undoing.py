"""Taking turns back: from the conversation, from the files, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agent.context_manager.prompts import render
from agent.core.session import Session
from agent.protocol.events import PlanUpdate, UndoComplete
from agent.protocol.messages import Message, user_message
from agent.sessions.checkpoints import RestoreReport
from agent.sessions.restore import messages_before

What = Literal["both", "chat", "files"]


class UndoImpossible(Exception):
    """The conversation cannot be made what it was; the text says why. Nothing has changed."""


async def undo(session: Session, turns: int = 1, what: What = "both") -> UndoComplete:
    """Take back the last `turns` turns. Files that somebody has changed since are left alone and named.

    Raises `UndoImpossible`, and OSError where the copies of files cannot be read; nothing has changed then.
    """
    marks = session.turns[-turns:] if turns > 0 else []
    if not marks:
        return UndoComplete()
    before = session.history.items
    earlier = await _as_it_was(session, marks[0].id) if what != "files" else None
    report = RestoreReport((), (), None)
    if what != "chat":
        report = await session.copies_disk.run(session.checkpoints.restore, [mark.id for mark in marks])
        if report.failed:
            raise UndoImpossible(f"Nothing was taken back: {report.not_covered}. Try again, or /undo chat.")
    if earlier is not None:
        session.history.restore(earlier)
        session.record.changed(before, "undo")
        session.turns = session.turns[: -len(marks)]
        session.turn_count = max(0, session.turn_count - len(marks))
        if session.plan:
            await session.emit(PlanUpdate(()))
    elif report.restored:
        session.record.add(user_message(render("guards/files_restored", files=report.restored), "guard"))
    await session.record.sync()
    return UndoComplete(
        removed_messages=0 if earlier is None else max(0, len(before) - len(session.history.items)),
        removed_turns=0 if earlier is None else len(marks),
        prompt=None if earlier is None else marks[0].prompt,
        restored_files=report.restored,
        kept_files=report.kept,
        not_covered=report.not_covered,
    )


async def _as_it_was(session: Session, message_id: str) -> Sequence[Message]:
    """History before the message, without the system prompt.

    Where a compaction has mixed that turn with earlier ones, the journal still has history as it was.
    """
    path = session.record.saved_path
    if path is not None and session.was_compacted:
        earlier = await session.disk.run(messages_before, path, message_id)
        if earlier is not None:
            return earlier
    history = session.history.items
    place = next((at for at, message in enumerate(history) if message.id == message_id), None)
    if place is None:
        raise UndoImpossible(
            "That turn was shortened to make room, and the session is not being saved: it cannot be taken back any "
            "more. Its files can: /undo files."
        )
    return history[1:place]
