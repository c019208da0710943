"""Shortening the conversation: the session's side of agent/context_manager/compaction.py."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from agent.context_manager.aids import Aids, CompactionReport, SummaryError
from agent.context_manager.tokens import estimate_text
from agent.core.endings import LimitReached
from agent.core.model_calls import ask, call_hooks
from agent.core.session import Session
from agent.llm.calls import CallRequest
from agent.llm.failures import FailureKind, LLMCallError
from agent.protocol.events import Compacted, ToolLog
from agent.tools.output import spill_text

logger = logging.getLogger(__name__)

SUMMARY_TOKENS = 4_000
"""Longest answer asked of the summariser. Models that think need room for that too."""
THINKING_ALLOWANCE_TOKENS = 4_000
SKIPPED_AFTER_FAILURE = 5
"""How many compactions do without a summary after one that should have had it."""


async def compact(
    session: Session,
    *,
    target_tokens: int | None = None,
    forced: bool = False,
    by_person: bool = False,
    instructions: str = "",
) -> CompactionReport:
    """Shorten history and say so. Raises `CompactionFailedError` when the system prompt alone is too long for the
    model, and `TurnCancelled`.

    A summariser that has failed is left alone for a while, unless the person asks for it: each try takes long.
    """
    if not by_person:
        await session.send_event(ToolLog("system", "The conversation is being shortened to make room."))
    before = session.history.items
    is_left_alone = session.summaries_to_skip > 0 and not by_person
    aids = Aids(
        summarise=None if is_left_alone else partial(_summarise, session),
        spill=partial(_spill, session.spill_dir),
        facts=_facts(session),
        instructions=instructions,
    )
    work = session.history.compact(aids, target_tokens=target_tokens, forced=forced)
    report = await session.interruption.cancellable(work)
    session.record.changed(before, "compaction")
    session.was_compacted = True
    if is_left_alone:
        session.summaries_to_skip -= 1
    elif not report.problem:
        session.summaries_to_skip = 0
    else:
        session.summaries_to_skip = SKIPPED_AFTER_FAILURE
        await _tell_of_problem(session, report.problem)
    is_summary = not is_left_alone and not report.problem
    await session.send_event(
        Compacted(report.before_tokens, report.after_tokens, report.summarised if is_summary else 0)
    )
    return report


async def _tell_of_problem(session: Session, problem: str) -> None:
    if not session.told_of_mechanical_compaction:
        session.told_of_mechanical_compaction = True
        text = f"Earlier steps were left out without a summary: {problem}"
        await session.send_event(ToolLog("system", session.secrets.scrub(text)))


async def _summarise(session: Session, prompt: str) -> str:
    """The model's answer to a summary prompt. Raises `SummaryError`, and `TurnCancelled` when the turn is stopped."""

    async def quietly(_text: str) -> None:
        pass

    async def tell(text: str) -> None:
        await session.send_event(ToolLog("system", f"While summarising earlier steps: {text}"))

    request = CallRequest(
        model=session.model_name,
        messages=[{"role": "user", "content": prompt}],
        tool_choice="none",
        # The prompt fills up to half of the window, and some servers count prompt and limit together.
        max_tokens=min(SUMMARY_TOKENS + THINKING_ALLOWANCE_TOKENS, session.history.model_max_tokens // 3),
        stream=session.stream,
    )
    try:
        reply = await ask(
            session,
            request,
            call_hooks(session, on_text=quietly, on_notice=tell),
            "compaction",
            estimate_text(prompt),
        )
    except LLMCallError as error:
        overflow = error.failure.kind is FailureKind.OVERFLOW
        if overflow:
            session.window.learn_limit(error.failure.limit_tokens)
        raise SummaryError(error.failure.user_text, overflow=overflow) from error
    except LimitReached as error:
        raise SummaryError(str(error), overflow=False) from error
    if not reply.content.strip():
        raise SummaryError("the model gave an empty summary", overflow=False)
    return reply.content


def _spill(spill_dir: Path, text: str, name: str) -> Path | None:
    try:
        return spill_text(text, spill_dir, name)
    except OSError as error:
        logger.warning("what is taken out of the conversation cannot be kept: %s", error)
        return None


def _facts(session: Session) -> str:
    """What must survive every compaction word for word."""
    return "\n".join(f"- plan step {item.id} [{item.status}]: {item.content}" for item in session.plan)
