"""A turn: one request of the person, worked off step by step. `run_turn` is the loop of the whole program."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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

OVERFLOW_RECOVERIES = 2

NO_SUMMARY = "The iteration limit was reached before the work was finished, and the model gave no closing summary."


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
    stop_if_cancelled(session)
    if not turn.is_closing:
        view = turn.view(session.plan)
        await apply(session, turn, first_word([guard.before_call(view) for guard in turn.guards]))
    if session.history.needs_compaction:
        before, after = session.history.compact()
        if after < before:
            await session.send_event(Compacted(before, after))


def stop_if_cancelled(session: Session) -> None:
    """Raise `TurnCancelled` if the person has stopped the turn."""
    if session.is_cancelled:
        raise TurnCancelled


def first_word(verdicts: list[Verdict]) -> Verdict:
    """The first verdict that wants something. All guards are asked: each keeps its own count."""
    return next((verdict for verdict in verdicts if verdict is not PASS), PASS)


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


async def call_model(session: Session, turn: TurnState) -> LLMResult:
    """Ask the model once, believing it (twice in a row) when it says that history is too long."""
    recoveries = 0
    while True:
        try:
            return await _call(session, turn)
        except LLMCallError as error:
            if error.failure.kind is not FailureKind.OVERFLOW or recoveries >= OVERFLOW_RECOVERIES:
                raise
            recoveries += 1
            await notice(session, "The model says that the conversation is too long for it; shortening it.")
            session.history.learn_limit(error.failure.limit_tokens)
            before, after = session.history.compact(session.history.usage_tokens // 2, forced=True)
            await session.send_event(Compacted(before, after))


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
        partial = hooks.assembler.text
        if partial.strip():
            session.remember(assistant_message(partial))
        if partial and session.stream:
            await session.send_event(AssistantStreamEnd())
        raise
    if reply.dropped_effort:
        session.model_effective_effort[session.model_name] = None
    if reply.dropped_thinking:
        session.history.drop_thinking()
    await _account(session, reply)
    if session.stream:
        await session.send_event(AssistantStreamEnd())
    return reply


async def _account(session: Session, reply: LLMResult) -> None:
    """Report the call's usage and cost, and believe its token count."""
    usage = reply.usage
    session.history.record_usage(usage.prompt_tokens if usage else None)
    counts = asdict(usage) if usage else {}
    counts.pop("cost_usd", None)  # the provider's own figure; reply.cost_usd is what we make of it
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
        verdict = first_word([guard.after_reply(view, reply) for guard in turn.guards])
        if verdict is not PASS:
            remember_text(session, reply)
            if reply.content.strip():
                turn.text_so_far = turn.text_so_far + reply.content if verdict.continues else ""
            await apply(session, turn, verdict)
            return CONTINUE
    if turn.is_closing or not reply.tool_calls:
        remember_text(session, reply)
        return StepOutcome("done", (turn.text_so_far + reply.content).strip() or NO_SUMMARY)
    turn.text_so_far = ""
    return await use_tools(session, turn, reply)


def remember_text(session: Session, reply: LLMResult) -> None:
    """Keep what the reply says, without its calls. Providers refuse an assistant message without content."""
    if reply.content.strip():
        session.remember(_assistant(reply, ()))


async def use_tools(session: Session, turn: TurnState, reply: LLMResult) -> StepOutcome:
    """Run the reply's calls; those that need the person's word wait."""
    prepared = [prepare(session, session.with_unique_id(call)) for call in reply.tool_calls]
    session.remember(_assistant(reply, prepared))
    stop_if_cancelled(session)
    waiting = [call for call in prepared if call.problem is None and call.decision and call.decision.action == "ask"]
    ready = [call for call in prepared if call not in waiting]
    if ready:
        records = await run_batch(session, ready)
        if records is None:
            raise TurnCancelled
        turn.saw_tools(records)
    if not waiting:
        return CONTINUE
    items = tuple([await approval_item(session, call) for call in waiting])
    stop_if_cancelled(session)
    session.pending = PendingApproval(tuple(waiting))
    await session.send_event(ApprovalRequired(items, len(items)))
    return WAITING


def _assistant(reply: LLMResult, prepared: list[PreparedCall] | tuple[()]) -> Message:
    return assistant_message(
        reply.content if reply.content.strip() else None,
        tuple(call.call for call in prepared),
        thinking_blocks=reply.thinking_blocks,
        reasoning_content=reply.reasoning_content,
    )
