"""A turn: one request of the person, worked off step by step. `run_turn` is the loop of the whole program."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from agent.core.guards import PASS, Verdict
from agent.core.session import Session, TurnCancelled
from agent.core.tool_batch import approval_item, prepare, run_batch
from agent.core.turn_state import PendingApproval, PreparedCall, TurnState
from agent.llm.calls import CallHooks, CallRequest, complete
from agent.llm.failures import FailureKind, LLMCallError
from agent.llm.params import resolve_route
from agent.llm.stream import LLMResult
from agent.protocol.events import (
    ApprovalRequired,
    AssistantChunk,
    AssistantMessage,
    AssistantStreamEnd,
    Compacted,
    LLMCall,
    ToolLog,
)
from agent.protocol.messages import Message, assistant_message, user_message

logger = logging.getLogger(__name__)

OVERFLOW_RECOVERIES = 2


class TurnStopped(Exception):
    """A guard ended the turn; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended: `continue` with the next one, `done` with an answer, or `waiting` for an approval."""

    kind: Literal["continue", "done", "waiting"]
    final_text: str | None = None


CONTINUE = StepOutcome("continue")
WAITING = StepOutcome("waiting")


async def run_turn(session: Session, turn: TurnState) -> StepOutcome:
    """Model call, tool calls, again, until an answer without calls or a wait for approval.

    Raises `TurnCancelled`, `TurnStopped` and `LLMCallError`; history is valid in every case.
    """
    while True:
        await before_step(session, turn)
        reply = await call_model(session, turn)
        turn.iteration += 1
        outcome = await take_step(session, turn, reply)
        if outcome.kind != "continue":
            return outcome


async def before_step(session: Session, turn: TurnState) -> None:
    """Guards and room: everything that must hold before the model is asked."""
    if session.is_cancelled:
        raise TurnCancelled
    if not turn.is_closing:
        view = turn.view(session.plan)
        verdict = next((v for guard in turn.guards if (v := guard.before_call(view)) is not PASS), PASS)
        await apply(session, turn, verdict)
    if session.history.needs_compaction:
        await compact(session)


async def apply(session: Session, turn: TurnState, verdict: Verdict) -> None:
    """Carry out a guard's word."""
    if verdict.action == "stop":
        raise TurnStopped(verdict.log)
    if verdict.log:
        await notice(session, verdict.log)
    if verdict.message:
        session.remember(user_message(verdict.message, "guard"))
    turn.is_closing = turn.is_closing or verdict.action == "close"


async def notice(session: Session, text: str) -> None:
    """A word of the loop itself to the person."""
    await session.send_event(ToolLog("system", text))


async def compact(session: Session, target_tokens: int | None = None, *, forced: bool = False) -> None:
    """Shorten history and report it."""
    before, after = session.history.compact(target_tokens, forced=forced)
    await session.send_event(Compacted(before, after))


async def call_model(session: Session, turn: TurnState) -> LLMResult:
    """Ask the model once, believing it (twice per turn) when it says that history is too long."""
    while True:
        try:
            return await _call(session, turn)
        except LLMCallError as error:
            if error.failure.kind is not FailureKind.OVERFLOW or turn.overflow_recoveries >= OVERFLOW_RECOVERIES:
                raise
            turn.overflow_recoveries += 1
            await notice(session, "The model says that the conversation is too long for it; shortening it.")
            await compact(session, session.history.usage_tokens // 2, forced=True)


async def _call(session: Session, turn: TurnState) -> LLMResult:
    route = resolve_route(session.model_name)
    request = CallRequest(
        model=session.model_name,
        messages=session.history.wire_messages(replay_thinking=route.provider.replays_thinking),
        tools=session.router.get_tool_specs_for_llm(),
        tool_choice="none" if turn.is_closing else "auto",
        reasoning_effort=session.effective_effort_for(session.model_name),
        stream=session.stream,
    )

    async def show(text: str) -> None:
        await session.send_event(AssistantChunk(text) if session.stream else AssistantMessage(text))

    async def tell(text: str) -> None:
        await notice(session, text)

    hooks = CallHooks(on_text=show, on_notice=tell)
    try:
        reply = await session.cancellable(complete(session.llm, request, hooks))
    except (TurnCancelled, LLMCallError):
        if partial := hooks.assembler.text:
            session.remember(assistant_message(partial))
            if session.stream:
                await session.send_event(AssistantStreamEnd())
        raise
    await _account(session, reply)
    if session.stream:
        await session.send_event(AssistantStreamEnd())
    return reply


async def _account(session: Session, reply: LLMResult) -> None:
    """Report the call's usage and cost, and believe its token count."""
    usage = reply.usage
    session.history.record_usage(usage.prompt_tokens if usage else None)
    counts = {
        name: getattr(usage, name)
        for name in (
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "cache_read_tokens",
            "cache_creation_tokens",
            "reasoning_tokens",
        )
        if usage is not None
    }
    await session.send_event(
        LLMCall(
            model=session.model_name,
            kind="main",
            latency_ms=reply.latency_ms,
            finish_reason=reply.finish_reason,
            cost_usd=reply.cost_usd,
            cost_known=reply.cost_usd is not None,
            **counts,
        )
    )


async def take_step(session: Session, turn: TurnState, reply: LLMResult) -> StepOutcome:
    """Do what the reply asks for."""
    if not turn.is_closing:
        view = turn.view(session.plan)
        verdict = next((v for guard in turn.guards if (v := guard.after_reply(view, reply)) is not PASS), PASS)
        if verdict is not PASS:
            if reply.content.strip():
                session.remember(_assistant(reply, ()))
            turn.text_so_far = turn.text_so_far + reply.content if verdict.continues else ""
            await apply(session, turn, verdict)
            return CONTINUE
    if turn.is_closing or not reply.tool_calls:
        session.remember(_assistant(reply, ()))
        return StepOutcome("done", turn.text_so_far + reply.content)
    turn.text_so_far = ""
    return await use_tools(session, turn, reply)


async def use_tools(session: Session, turn: TurnState, reply: LLMResult) -> StepOutcome:
    """Run the reply's calls; those that need the person's word wait."""
    prepared = [prepare(session, call) for call in reply.tool_calls]
    session.remember(_assistant(reply, prepared))
    waiting = [call for call in prepared if call.problem is None and call.decision and call.decision.action == "ask"]
    ready = [call for call in prepared if call not in waiting]
    if ready:
        records = await run_batch(session, ready)
        if records is None:
            raise TurnCancelled
        for guard in turn.guards:
            guard.after_tools(records)
    if not waiting:
        return CONTINUE
    session.pending = PendingApproval(tuple(waiting))
    items = tuple([await approval_item(session, call) for call in waiting])
    await session.send_event(ApprovalRequired(items, len(items)))
    return WAITING


def _assistant(reply: LLMResult, prepared: list[PreparedCall] | tuple[()]) -> Message:
    return assistant_message(
        reply.content or None,
        tuple(call.call for call in prepared),
        thinking_blocks=reply.thinking_blocks,
        reasoning_content=reply.reasoning_content,
    )
