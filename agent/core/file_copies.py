"""Copies of what a turn changes, so that it can be taken back: the session's side of agent/sessions/checkpoints.py."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from agent.core.session import Session
from agent.core.turn_state import PreparedCall

logger = logging.getLogger(__name__)

PATIENCE_S = 10.0
STOPPED_PATIENCE_S = 0.2
"""How long the end of a turn, or of a stopped one, waits for its files to be looked at; that goes on by itself."""


async def keep_files(session: Session, prepared: PreparedCall) -> None:
    """Copy what the call may change. Raises what the tool's own `changes` raises."""
    spec = session.router.find(prepared.call.function.name)
    paths = spec.changes(prepared.arguments, session.workspace) if spec else ()
    if paths != ():
        session.checkpoints.begin_turn(session.turns[-1].id if session.turns else session.session_id)
        await session.copies_disk.run(session.checkpoints.before_change, paths)


async def finish_turn(session: Session, *, was_stopped: bool = False) -> None:
    """Find out what the turn has changed. Never raises, and does not keep its end waiting for long."""
    checkpoints = session.known_checkpoints
    if checkpoints is None:
        return
    checkpoints.leave_turn()
    work = asyncio.ensure_future(session.copies_disk.run(checkpoints.end_turn))
    done, _ = await asyncio.wait({work}, timeout=STOPPED_PATIENCE_S if was_stopped else PATIENCE_S)
    if not done:
        logger.warning("what the turn has changed is still being looked at")
        work.add_done_callback(_log_failure)
    elif work.exception() is not None:
        _log_failure(work)
    elif (changes := work.result()) is not None:
        session.record.write("checkpoint", {"turn_id": changes.turn_id, "paths": changes.paths})


def _log_failure(work: asyncio.Future[Any]) -> None:
    if not work.cancelled() and (error := work.exception()) is not None:
        logger.error("what the turn has changed cannot be told", exc_info=error)
