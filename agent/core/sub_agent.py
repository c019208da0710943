"""The research sub-agent: a turn of its own, by the same `run_turn`, whose answer is the result of a tool call.

    work until it answers, or a limit is near ─> one closing answer, if there is still time and money ─> findings

It never fails its parent: whatever ends it early, what it has found so far comes back.
"""

from __future__ import annotations

import asyncio
import logging

from agent.compute.durations import in_words
from agent.context_manager.aids import CompactionFailedError
from agent.context_manager.prompts import render
from agent.core.endings import LimitReached, TurnCancelled, TurnStopped
from agent.core.guards import research_guards
from agent.core.interruption import PATIENCE_S, end_tasks
from agent.core.session import Session, SubAgent
from agent.core.sub_agent_model import REJECTIONS
from agent.core.sub_agent_session import SubAgentSession, line_about
from agent.core.tool_batch import record
from agent.core.turn import NO_SUMMARY, run_turn
from agent.core.turn_state import TurnState
from agent.light_dataclass import dataclass
from agent.llm.failures import LLMCallError
from agent.protocol.messages import user_message
from agent.protocol.tools import Brief, Findings, ToolResult
from agent.protocol.untrusted import as_data
from agent.tools.research_tool import SOURCE

logger = logging.getLogger(__name__)

MAX_MODEL_CALLS = 60
CLOSING_SHARE, CLOSING_MAX_S = 0.15, 120.0
"""Of its time, what is kept for the closing answer."""

SIDE_BY_SIDE = 4
"""How many of a session work at the same time: together they ask the same services, of which some allow little."""

WAITING = f"Waiting: {SIDE_BY_SIDE} others are at work."
START = "Starting research sub-agent..."
END = "Research complete."
NOTHING_TO_LOOK_WITH = "there are no tools to research with in this session"


@dataclass(frozen=True, slots=True)
class _End:
    """How the work ended. `early` says by what, for the model; empty: it is complete. `can_answer`: the model can still
    be asked for what it has found."""

    text: str = ""
    early: str = ""
    can_answer: bool = False


def sub_agent_of(session: Session) -> SubAgent:
    """Who works on what `session` delegates; a few at a time, and nobody's own time runs before they begin."""
    places = asyncio.Semaphore(SIDE_BY_SIDE)

    async def work_on(brief: Brief, tool_call_id: str) -> Findings:
        if places.locked():
            await session.send_event(line_about(session, brief, tool_call_id, WAITING))
        async with places:
            return await research(session, brief, tool_call_id)

    return work_on


async def research(parent: Session, brief: Brief, tool_call_id: str) -> Findings:
    """Work on `brief`. Raises nothing but `CancelledError`; the notes are then kept for the call's result."""
    child = await SubAgentSession.under(parent, brief, tool_call_id)
    if not child.router.names:
        await child.close()
        return Findings("", is_complete=False, ended=NOTHING_TO_LOOK_WITH)
    work = asyncio.create_task(_work(child), name=f"research {tool_call_id}")
    last_word = "Research stopped."
    try:
        await asyncio.wait({work})
        end = work.result()
        last_word = f"Ended early: {end.early}." if end.early else END
        return _findings(child, end)
    except asyncio.CancelledError:
        if notes := child.notes():  # at once: nobody waits long for the rest
            parent.keep_partial(tool_call_id, as_data(notes, SOURCE))
        child.cancel()
        raise
    finally:
        await child.tell(last_word)
        child.is_over = True
        await _stop(work)
        await child.close()


async def _stop(work: asyncio.Task[_End]) -> None:
    """End it in less time than whoever stops us has patience. Told again, it no longer waits for what will not stop,
    and accounts for its model call."""
    await end_tasks({work}, PATIENCE_S / 2)
    await end_tasks({work}, PATIENCE_S / 4)


def _findings(child: SubAgentSession, end: _End) -> Findings:
    ledger = child.ledger
    return Findings(
        text=end.text or (child.notes() if end.early else ""),
        is_complete=not end.early,
        ended=end.early or "done",
        model_calls=child.model_calls,
        tool_calls=child.tool_calls,
        tokens=child.tokens,
        cost_usd=ledger.spent_usd if ledger.unknown_usd == 0 else None,
    )


async def _work(child: SubAgentSession) -> _End:
    """Work to the end, and to a closing answer where that is possible. Raises nothing but `CancelledError`."""
    brief = child.brief
    child.record.add(user_message(render("research/task", task=brief.task, context=brief.context)))
    turn = TurnState(MAX_MODEL_CALLS, headless=True, guards=research_guards(brief.task, child.is_nearly_spent))
    limit_s = child.wall.limit_s or 0.0
    await child.tell(START)
    if child.refused_model:
        await child.tell(f"{child.refused_model} is no model that can be asked; using {child.model_name}.")
    try:
        end = await _drive(child, turn, limit_s - min(CLOSING_MAX_S, CLOSING_SHARE * limit_s))
        if not end.can_answer:
            return end
        await child.tell("Asking for what was found so far.")
        child.record.add(user_message(render("research/closing", why=end.early), "guard"))
        turn.is_closing = True
        closing = await _drive(child, turn, child.wall.remaining_s or 0.0)
        return _End(closing.text, end.early)
    except Exception as error:  # a bug of ours must not take the notes with it
        logger.exception("a research sub-agent failed")
        return _End(early=child.scrub(f"an unexpected error: {type(error).__name__}: {error}"))


async def _drive(child: SubAgentSession, turn: TurnState, limit_s: float) -> _End:
    """Run the turn for at most `limit_s`, on the parent's model if the first one is refused."""
    timer = asyncio.get_running_loop().call_later(max(0.0, limit_s), child.cancel)
    try:
        while True:
            try:
                return await _run(child, turn)
            except LLMCallError as error:
                if error.failure.kind not in REJECTIONS or not child.use_model_of_parent():
                    return _End(early=f"the model call failed ({child.scrub(error.failure.user_text)})")
                await child.tell(f"{child.scrub(error.failure.user_text)} Going on with {child.model_name}.")
    except TurnCancelled:
        return _End(early=f"the time limit of {in_words(child.wall.limit_s or 0)} was reached", can_answer=True)
    except LimitReached as limit:
        if limit.stop_reason == "budget":
            return _End(early="the budget was used up")
        return _End(early=f"the time limit of {in_words(child.wall.limit_s or 0)} was reached")
    except TurnStopped as stop:
        return _End(early=_as_clause(str(stop)), can_answer=not turn.is_closing)
    except CompactionFailedError as error:
        return _End(early=_as_clause(str(error)))
    finally:
        timer.cancel()
        child.interruption.clear()
        child.record.repair()


async def _run(child: SubAgentSession, turn: TurnState) -> _End:
    """The turn to its end. Nobody can be asked: should a call wait for a word all the same, that is a no."""
    while (outcome := await run_turn(child, turn)).kind == "waiting":
        pending, child.pending = child.pending, None
        for prepared in pending.calls if pending else ():
            await record(child, prepared, ToolResult("Not run: nobody can be asked about it here.", ok=False))
    text = outcome.final_text or ""
    if not turn.is_closing:
        return _End(text)
    why = f"the limit of {MAX_MODEL_CALLS} model calls" if turn.iteration > MAX_MODEL_CALLS else "the budget's end"
    return _End("" if text == NO_SUMMARY else text, early=f"{why} was near")


def _as_clause(text: str) -> str:
    """A sentence of the loop, as part of one."""
    return text.removeprefix("Stopped: ").rstrip(".")
