"""A turn: one request of the person, worked off step by step. `run_turn` is the loop of the whole program."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Literal

from agent.compute.durations import in_words
from agent.context_manager.prompts import render
from agent.core.asking import approval_item
from agent.core.endings import LimitReached, TurnCancelled, TurnStopped
from agent.core.guards import PASS, Verdict
from agent.core.looking_ahead import look_ahead
from agent.core.model_calls import ask, call_hooks, patience_s
from agent.core.preparing import checked, prepare
from agent.core.session import Session
from agent.core.tool_batch import run_batch
from agent.core.turn_state import PendingApproval, PreparedCall, TurnState
from agent.light_dataclass import dataclass
from agent.llm.calls import CallRequest
from agent.llm.failures import FailureKind, LLMCallError
from agent.llm.params import resolve_route
from agent.llm.stream import LLMResult
from agent.protocol.events import (
    ApprovalRequired,
    AssistantChunk,
    AssistantMessage,
    AssistantStreamEnd,
    Steered,
    ToolLog,
)
from agent.protocol.messages import Message, assistant_message, user_message

OVERFLOW_RECOVERIES = 2
WINDOW_PATIENCE_S = 3.0
"""How long the size of the model's window is waited for before anything is shortened to fit a guess."""

NO_SUMMARY = "The iteration limit was reached before the work was finished, and the model gave no closing summary."


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended: `continue` with the next one, `done` with an answer, or `waiting` for an approval."""

    kind: Literal["continue", "done", "waiting"]
    final_text: str | None = None


CONTINUE = StepOutcome("continue")
WAITING = StepOutcome("waiting")


async def run_turn(session: Session, turn: TurnState) -> StepOutcome:
    """Model call, tool calls, again, until an answer without calls or a wait for approval.

    Raises what agent/core/endings.py lists, `LLMCallError` and `CompactionFailedError`; history is valid in every case.
    """
    if turn.iteration == 0:
        await _take_tools(session, session.router.begin_turn(session))
    while True:
        if session.router.has_news:
            await _take_tools(session, session.router.take_up_news(session))
        await before_step(session, turn)
        reply = await call_model(session, turn)
        turn.iteration += 1
        outcome = await take_step(session, turn, reply)
        if outcome.kind == "done" and session.inbox.has_steering and not turn.is_closing:
            turn.text_so_far = ""
            continue  # the person has added something meanwhile: the answer was not the last word
        if outcome.kind != "continue":
            return outcome


async def _take_tools(session: Session, settling: Coroutine[Any, Any, bool]) -> None:
    """Settle which tools the model has from now on."""
    changed = await session.interruption.cancellable(settling)
    specs = session.router.get_tool_specs_for_llm()
    if changed:
        session.history.set_tools(specs)
    session.record.note_place(session.workspace, session.surroundings.state_dir, specs)  # beside the first model call


async def before_step(session: Session, turn: TurnState) -> None:
    """Guards and room: everything that must hold before the model is asked."""
    stop_if_cancelled(session)
    check_time(session)
    for text in session.take_inbox():
        await session.send_event(Steered(text))
    if not turn.is_closing:
        view = turn.view(session.plan)
        for verdict in words([guard.before_call(view) for guard in turn.guards]):
            await apply(session, turn, verdict)
    if session.history.needs_compaction:
        await session.interruption.cancellable(session.window.settled(WINDOW_PATIENCE_S))
    if session.history.needs_compaction:
        await _compact(session)


def check_time(session: Session) -> None:
    """Raise `LimitReached` when the run's time is up; tell the model when it is nearly so."""
    if session.wall.is_over:
        raise LimitReached("time_limit", f"The time limit of {in_words(session.wall.limit_s or 0)} is reached.")
    if session.wall.warning_due():
        session.inbox.note(render("guards/time_low", remaining=in_words(session.wall.remaining_s or 0)))


def stop_if_cancelled(session: Session) -> None:
    """Raise `TurnCancelled` if the person has stopped the turn."""
    if session.interruption.is_pressed:
        raise TurnCancelled


def first_word(verdicts: list[Verdict]) -> Verdict:
    """The first verdict that wants something. All guards are asked: each keeps its own count."""
    return next((verdict for verdict in verdicts if verdict is not PASS), PASS)


def words(verdicts: list[Verdict]) -> list[Verdict]:
    """What is carried out before a call: the first verdict that closes or stops, else every note."""
    wanted = [verdict for verdict in verdicts if verdict is not PASS]
    firm = [verdict for verdict in wanted if verdict.action != "note"]
    return firm[:1] or wanted


async def apply(session: Session, turn: TurnState, verdict: Verdict) -> None:
    """Carry out a guard's word."""
    if verdict.action == "stop":
        raise TurnStopped(verdict.log)
    if verdict.log:
        await notice(session, verdict.log)
    if verdict.message:
        session.record.add(user_message(verdict.message, "guard"))
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
            session.window.learn_limit(error.failure.limit_tokens)
            await _compact(session, target_tokens=session.history.usage_tokens // 2, forced=True)


async def _compact(session: Session, *, target_tokens: int | None = None, forced: bool = False) -> None:
    from agent.core.compacting import compact  # loads with the first compaction

    await compact(session, target_tokens=target_tokens, forced=forced)


async def _call(session: Session, turn: TurnState) -> LLMResult:
    route = resolve_route(session.model_name)
    request = CallRequest(
        model=session.model_name,
        messages=session.history.wire_messages(replay_thinking=route.provider.replays_thinking),
        tools=session.router.get_tool_specs_for_llm(),
        tool_choice="none" if turn.is_closing else "auto",
        reasoning_effort=session.effective_effort_for(session.model_name),
        stream=session.stream,
        patience_s=patience_s(session, has_work=turn.iteration > 0),
    )

    async def show(text: str) -> None:
        await session.send_event(AssistantChunk(text) if session.stream else AssistantMessage(text))

    async def tell(text: str) -> None:
        await notice(session, text)

    hooks = call_hooks(session, on_text=show, on_notice=tell)
    try:
        reply = await ask(session, request, hooks, session.call_kind, session.history.usage_tokens)
    except (TurnCancelled, LLMCallError):
        partial = hooks.assembler.text
        if partial.strip():
            session.record.add(assistant_message(partial))
        if partial and session.stream:
            await session.send_event(AssistantStreamEnd())
        raise
    await session.record.placed()
    if reply.effort_used != request.reasoning_effort:
        session.model_effective_effort[session.model_name] = reply.effort_used
    if reply.dropped_thinking:
        before = session.history.items
        session.history.drop_thinking()
        session.record.changed(before, "thinking dropped")
    session.history.record_usage(reply.usage.prompt_tokens if reply.usage else None)
    if session.stream:
        await session.send_event(AssistantStreamEnd())
    return reply


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
        session.record.add(_assistant(reply, ()))


async def use_tools(session: Session, turn: TurnState, reply: LLMResult) -> StepOutcome:
    """Run the reply's calls; those that need the person's word wait."""
    names = [call.function.name for call in reply.tool_calls]
    if session.router.awaits(names):
        try:
            await _take_tools(session, session.router.take_up_news(session, names))
        except TurnCancelled:
            remember_text(session, reply)
            raise
    for spec in filter(None, map(session.router.find, names)):
        await spec.ready()
    prepared = [prepare(session, session.with_unique_id(call)) for call in reply.tool_calls]
    session.record.add(_assistant(reply, prepared))
    stop_if_cancelled(session)
    prepared = await look_ahead(session, prepared)
    waiting = [call for call in prepared if call.problem is None and call.decision and call.decision.action == "ask"]
    ready = [call for call in prepared if call not in waiting]
    await _run(session, turn, ready)
    if waiting:
        looked_at = await session.interruption.cancellable(checked(session, waiting))
        await _run(session, turn, [call for call in looked_at if call.problem is not None])
        waiting = [call for call in looked_at if call.problem is None]
    if not waiting:
        return CONTINUE
    items = tuple([await session.interruption.cancellable(approval_item(session, call)) for call in waiting])
    stop_if_cancelled(session)
    session.pending = PendingApproval(tuple(waiting))
    await session.send_event(ApprovalRequired(items, len(items)))
    return WAITING


async def _run(session: Session, turn: TurnState, calls: list[PreparedCall]) -> None:
    records = await run_batch(session, calls) if calls else []
    if records is None:
        raise TurnCancelled
    turn.saw_tools(records)


def _assistant(reply: LLMResult, prepared: list[PreparedCall] | tuple[()]) -> Message:
    return assistant_message(
        reply.content if reply.content.strip() else None,
        tuple(call.call for call in prepared),
        thinking_blocks=reply.thinking_blocks,
        reasoning_content=reply.reasoning_content,
    )
