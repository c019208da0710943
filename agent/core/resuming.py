"""Going on with a saved session, in its own file or, as a fork, in a new one."""

from __future__ import annotations

import logging
from pathlib import Path

from agent import __version__
from agent.budget.ledger import Ledger
from agent.context_manager.prompts import render
from agent.core.model_calls import report_spending
from agent.core.session import Session
from agent.llm.params import UnknownModelError, resolve_route
from agent.protocol.events import PlanUpdate, ResumeComplete
from agent.protocol.messages import ToolCall, new_id, tool_message, utc_now
from agent.sessions.errors import JournalBusyError
from agent.sessions.journal import Journal, journal_path
from agent.sessions.records import shortened
from agent.sessions.restore import RestoredSession, restore

logger = logging.getLogger(__name__)


async def resume(session: Session, path: Path, *, fork: bool, keep_model: bool = False) -> ResumeComplete:
    """Take up the session saved in `path`. Another process that is writing there makes it a fork.

    `keep_model`: the person has named a model for this run, which wins over the saved one. Raises what
    `agent.sessions.restore.restore` raises, OSError included, before anything of `session` has changed.
    """
    restored = await session.disk.run(restore, path)
    journal, forked = await _open(session, restored, path, fork=fork)
    session_id = new_id() if forked else restored.session_id
    if forked and session.config.save_sessions:
        journal = Journal.create(journal_path(session.surroundings.state_dir, session_id, utc_now()), session.secrets)
    invalid_model = None if keep_model else _take_model(session, restored)
    await session.adopt(restored, journal, session_id)
    session.ledger = _ledger(session, restored, forked=forked)
    _begin_writing(session, restored, forked=forked)
    if keep_model:
        session.record_settings()
    for call in restored.unfinished:
        session.record.add_result(tool_message(call, render("guards/outcome_unknown"), "repair"))
    session.record.repair()
    if forked:
        await session.disk.run(session.checkpoints.inherit, restored.session_id)
    else:
        await session.disk.run(session.checkpoints.adopt_unfinished)
    await session.record.sync()
    return _complete(session, restored, path, invalid_model, forked=forked)


async def report(session: Session, complete: ResumeComplete) -> None:
    """Tell of a session that was taken up, its plan first."""
    if session.plan:
        await session.send_event(PlanUpdate(session.plan))
    await report_spending(session, None)
    await session.send_event(complete)


async def _open(session: Session, restored: RestoredSession, path: Path, *, fork: bool) -> tuple[Journal | None, bool]:
    """The journal to write on in, and whether this must be a fork."""
    if fork:
        return None, True
    if not session.config.save_sessions:
        return None, False
    try:
        return await session.disk.run(Journal.reopen, path, session.secrets), False
    except JournalBusyError as error:
        logger.info("going on with %s as a fork: %s", restored.session_id, error)
        return None, True


def _take_model(session: Session, restored: RestoredSession) -> str | None:
    """Use the saved model and effort; returns the model's id if it cannot be used (any more)."""
    session.reasoning_effort = restored.reasoning_effort
    if not restored.model_name or restored.model_name == session.model_name:
        return None
    try:
        resolve_route(restored.model_name)
    except UnknownModelError:
        return restored.model_name
    session.update_model(restored.model_name)
    return None


def _ledger(session: Session, restored: RestoredSession, *, forked: bool) -> Ledger:
    """What the session has cost so far counts on; a fork begins at nothing, or the same money would count twice."""
    ledger = Ledger(session.ledger.cap_usd)
    for charge in restored.charges if not forked else ():
        ledger.charge(charge.kind, charge.usd, charge.known)
    return ledger


def _begin_writing(session: Session, restored: RestoredSession, *, forked: bool) -> None:
    if forked:
        session.record.begin(parent=restored.session_id)
    else:
        session.record.go_on({"cwd": str(session.workspace), "version": __version__})


def _complete(
    session: Session, restored: RestoredSession, path: Path, invalid_model: str | None, *, forked: bool
) -> ResumeComplete:
    elsewhere = restored.cwd is not None and restored.cwd != str(session.workspace)
    return ResumeComplete(
        path=str(path),
        restored_count=len(restored.messages),
        dropped_count=restored.dropped,
        model_name=session.model_name,
        invalid_saved_model=invalid_model,
        forked=forked,
        had_redacted_content=restored.had_redacted_content,
        session_id=session.session_id,
        title=session.title,
        prompts=tuple(shortened(mark.prompt) for mark in session.turns),
        prompt_tokens=session.history.usage_tokens,
        cost_usd=session.ledger.spent_usd,
        cost_known=session.ledger.unknown_usd == 0,
        unfinished=tuple(_named(call) for call in restored.unfinished),
        cwd=restored.cwd if elsewhere else None,
        reasoning_effort=session.reasoning_effort,
    )


def _named(call: ToolCall) -> str:
    return call.function.name
