"""Operations beside the turns: undo, compact, resume, settings, reports, a command of the person's own.

Apart from agent/core/agent_loop.py, because most runs ask for none of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.context_manager.aids import CompactionFailedError
from agent.core.agent_loop import Handlers
from agent.core.compacting import compact
from agent.core.configuring import configure
from agent.core.endings import TurnCancelled
from agent.core.reporting import context_report, feedback, workspace_diff
from agent.core.resuming import report, resume
from agent.core.session import Session
from agent.core.shell_command import run_shell
from agent.core.undoing import UndoImpossible, undo
from agent.protocol.events import ErrorRaised, Interrupted
from agent.protocol.operations import Operation, OpType
from agent.sessions.errors import SessionError


async def _undo(session: Session, operation: Operation) -> None:
    data = operation.data or {}
    await Handlers.abandon_pending_approval(session)
    session.turn = None
    try:
        undone = await undo(session, int(data.get("turns", 1)), data.get("what", "both"))
    except (UndoImpossible, OSError) as error:
        await session.send_event(ErrorRaised(str(error), "usage"))
    else:
        await session.send_event(undone)


async def _compact(session: Session, operation: Operation) -> None:
    """Always reports: `compacted`, or the reason why not."""
    session.interruption.clear()
    try:
        instructions = str((operation.data or {}).get("instructions", ""))
        target = session.history.usage_tokens // 2
        await compact(session, target_tokens=target, by_person=True, instructions=instructions)
    except TurnCancelled:
        await session.send_event(Interrupted())
    except CompactionFailedError as error:
        await session.send_event(ErrorRaised(str(error), "overflow"))


async def _resume(session: Session, operation: Operation) -> None:
    data = operation.data or {}
    path = Path(str(data.get("path", "")))
    if path == session.record.saved_path and not data.get("fork"):
        await session.send_event(ErrorRaised("That is the session you are in.", "usage"))
        return
    await Handlers.abandon_pending_approval(session)
    try:
        resumed = await resume(session, path, fork=bool(data.get("fork")))
    except (SessionError, OSError) as error:
        await session.send_event(ErrorRaised(f"This session cannot be taken up: {error}", "usage"))
    else:
        await report(session, resumed)


async def _configure(session: Session, operation: Operation) -> None:
    await configure(session, operation.data or {})


async def _context(session: Session, _operation: Operation) -> None:
    await session.send_event(await context_report(session))


async def _diff(session: Session, _operation: Operation) -> None:
    await session.send_event(await workspace_diff(session))


async def _feedback(session: Session, operation: Operation) -> None:
    await session.send_event(feedback(session, operation.data or {}))
    await session.record.sync()


async def _shell(session: Session, operation: Operation) -> None:
    await session.send_event(await run_shell(session, str((operation.data or {}).get("command", ""))))


BESIDE: dict[OpType, Callable[[Session, Operation], Awaitable[None]]] = {
    OpType.UNDO: _undo,
    OpType.COMPACT: _compact,
    OpType.RESUME: _resume,
    OpType.CONFIGURE: _configure,
    OpType.CONTEXT: _context,
    OpType.DIFF: _diff,
    OpType.FEEDBACK: _feedback,
    OpType.SHELL: _shell,
}
