"""Going on with a saved session, in its own file or, as a fork, in a new one."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

from agent import __version__
from agent.context_manager.prompts import render
from agent.core.model_calls import report_spending
from agent.core.session import Session
from agent.llm.params import UnknownModelError, resolve_route
from agent.protocol.events import PlanUpdate, ResumeComplete
from agent.protocol.messages import ToolCall, new_id, tool_message, utc_now
from agent.redaction.cutting import beginning
from agent.sessions.errors import JournalBusyError
from agent.sessions.journal import Journal, journal_path
from agent.sessions.records import shortened
from agent.sessions.restore import RestoredSession, restore
from agent.tools.process_session import still_running

logger = logging.getLogger(__name__)

PROMPT_CHARS = 2_000
ANSWER_CHARS = 4_000
"""How much is told of what was said last."""


async def resume(session: Session, path: Path, *, fork: bool, keep_model: bool = False) -> ResumeComplete:
    """Take up the session saved in `path`. Another process that is writing there makes it a fork.

    `keep_model`: the person has named a model for this run, which wins over the saved one. Raises what
    `agent.sessions.restore.restore` raises, OSError included, before anything of `session` has changed.
    """
    journal = None if fork else await _open(session, path)
    try:
        restored = await session.disk.run(restore, path)  # after the lock: nobody writes there any more
    except BaseException:
        if journal is not None:
            journal.close()
        raise
    is_own = not fork and (journal is not None or not session.config.save_sessions)
    session_id = restored.session_id if is_own else new_id()
    if journal is None and session.config.save_sessions:
        journal = Journal.create(journal_path(session.surroundings.state_dir, session_id, utc_now()), session.secrets)
    is_back = session.has_held(session_id)
    async with session.work.changing_session():
        await session.adopt(restored, journal, session_id)
        invalid_model = None if keep_model else _take_model(session, restored)
        if is_own:
            session.record.go_on({"cwd": str(session.workspace), "version": __version__})
        else:
            session.record.begin(told=restored.transcript)
    if keep_model:
        session.record_settings()
    if session.cap_is_of_run:
        session.record.write("cap", {"cap_usd": session.cap_usd})
    for call in restored.unfinished:
        session.record.add_result(tool_message(call, render("guards/outcome_unknown"), "repair"))
    session.record.repair()
    if is_own:
        await session.copies_disk.run(session.checkpoints.adopt_unfinished)
    else:
        await session.copies_disk.run(session.checkpoints.inherit, restored.session_id)
    survivors = await asyncio.to_thread(still_running, session_id) if is_own and not is_back else ()
    if survivors:
        session.inbox.note(render("guards/still_running", processes=survivors))
    work = await session.work.take_up(session_id, charged=restored.charged_leases) if is_own else ()
    await session.record.sync()
    complete = _complete(session, restored, path, invalid_model, forked=not is_own)
    return replace(complete, still_running=survivors, work=tuple(work), is_open_elsewhere=not is_own and not fork)


async def report(session: Session, complete: ResumeComplete) -> None:
    """Tell of a session that was taken up, its plan first."""
    if session.plan:
        await session.send_event(PlanUpdate(session.plan))
    await report_spending(session, None)
    await session.send_event(complete)


async def _open(session: Session, path: Path) -> Journal | None:
    """The journal to write on in; None where nothing is saved, or another process writes it."""
    if not session.config.save_sessions:
        return None
    try:
        return await session.disk.run(Journal.reopen, path, session.secrets)
    except JournalBusyError as error:
        logger.info("going on with a copy: %s", error)
        return None


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


def _complete(
    session: Session, restored: RestoredSession, path: Path, invalid_model: str | None, *, forked: bool
) -> ResumeComplete:
    elsewhere = restored.cwd is not None and restored.cwd != str(session.workspace)
    prompt, answer = restored.last_words
    return ResumeComplete(
        path=str(path),
        restored_count=len(restored.messages),
        dropped_count=restored.dropped,
        model_name=session.model_name,
        invalid_saved_model=invalid_model,
        forked=forked,
        had_redacted_content=restored.had_redacted_content,
        session_id=session.session_id,
        title=session.title or restored.preview,
        prompts=tuple(shortened(mark.prompt) for mark in session.turns),
        prompt_tokens=session.history.usage_tokens,
        cost_usd=session.ledger.spent_usd,
        cost_known=session.ledger.unknown_usd == 0,
        unfinished=tuple(_named(call) for call in restored.unfinished),
        cwd=restored.cwd if elsewhere else None,
        reasoning_effort=session.reasoning_effort,
        last_prompt=beginning(session.scrub(prompt), PROMPT_CHARS),
        last_answer=beginning(session.scrub(answer), ANSWER_CHARS),
        window_tokens=session.history.model_max_tokens,
    )


def _named(call: ToolCall) -> str:
    return call.function.name
