"""The submission loop: takes operations from one queue, carries them out on the session, and reports on another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.config import Config
from agent.context_manager.aids import CompactionFailedError
from agent.core.asking import Answered, settle_approvals
from agent.core.endings import LimitReached, TurnCancelled, TurnStopped
from agent.core.file_copies import finish_turn
from agent.core.model_calls import report_spending
from agent.core.services import Services, create_mcp_servers, create_services
from agent.core.session import WORK_PATIENCE_S, Session, SubAgent
from agent.core.session_work import sweep_expired, work_of
from agent.core.surroundings import Surroundings
from agent.core.tool_batch import record
from agent.core.tools import ToolRouter, create_builtin_tools, create_sandboxes
from agent.core.turn import run_turn
from agent.core.turn_state import TurnState
from agent.light_dataclass import dataclass
from agent.llm.failures import LLMCallError
from agent.protocol.events import (
    ErrorRaised,
    Event,
    Interrupted,
    NewComplete,
    Payload,
    Processing,
    Renamed,
    Shutdown,
    ToolStateChange,
    TurnComplete,
)
from agent.protocol.messages import user_message
from agent.protocol.operations import Operation, OpType, Submission
from agent.protocol.tools import Brief, Findings, ToolResult
from agent.sessions.records import shortened
from agent.sessions.restore import TurnMark

if TYPE_CHECKING:
    from agent.tools.sandbox.machines import Sandboxes

logger = logging.getLogger(__name__)

GRACE_S = 0.05
"""How long after the first request what is done beside it begins: an answer that is there by then needs none of it."""
TIDY_EVERY_TURNS = 20
"""How often old file checkpoints make room for new ones."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """The saved session to start with; see `agent.core.resuming.resume`."""

    path: Path
    fork: bool = False
    keep_model: bool = False


async def submission_loop(
    submission_queue: asyncio.Queue[Submission],
    event_queue: asyncio.Queue[Event],
    config: Config,
    surroundings: Surroundings,
    tool_router: ToolRouter | None = None,
    session_holder: list[Session | None] | None = None,
    stream: bool = True,
    resumption: Resumption | None = None,
) -> None:
    """Serve submissions until `shutdown`. The first event is `ready`, the last `shutdown`.

    `session_holder[0]` becomes the session, so that a user interface can call `cancel()` and `steer()`. Raises what
    opening or resuming the session raises (`UnknownModelError`, `SessionError`, OSError); afterwards nothing but
    `CancelledError`.
    """
    services = create_services(config, surroundings)
    sandboxes = create_sandboxes(services)
    servers = create_mcp_servers(config, surroundings)
    router = tool_router or ToolRouter(create_builtin_tools(services, sandboxes), servers)
    async with contextlib.AsyncExitStack() as at_end:  # from the last to the first, whatever fails
        await at_end.enter_async_context(router)
        at_end.push_async_callback(services.close)
        session = await Session.open(event_queue, config, surroundings, router, stream=stream)
        session.work = work_of(session, services)
        session.sub_agent = _sub_agent_of(session)
        if services.destinations:
            from agent.core.notices import start_notices

            session.notices = start_notices(session, services.notices)
        if session_holder is not None:
            session_holder[0] = session
        at_end.push_async_callback(session.close)
        if servers is not None:
            at_end.callback(servers.hush)
            for name, text in servers.secrets:
                session.secrets.add(name, text)
        await _start(session, services, sandboxes, resumption)
        while session.is_running:
            await process_submission(session, await submission_queue.get())


def _sub_agent_of(session: Session) -> SubAgent:
    """Who works on what `session` delegates, which loads with the first thing that is."""

    @cache
    def sub_agent() -> SubAgent:
        from agent.core.sub_agent import sub_agent_of

        return sub_agent_of(session)

    async def work(brief: Brief, tool_call_id: str) -> Findings:
        return await sub_agent()(brief, tool_call_id)

    return work


async def _start(
    session: Session, services: Services, sandboxes: Sandboxes | None, resumption: Resumption | None
) -> None:
    """Take up the session to go on with, say that all is ready, and begin what goes on beside everything else."""
    resumed = None
    if resumption is not None:
        from agent.core.resuming import report, resume

        resumed = await resume(session, resumption.path, fork=resumption.fork, keep_model=resumption.keep_model)
    await session.announce()
    session.router.start_servers(session)
    if resumed is not None:
        await report(session, resumed)
    session.sandboxes = sandboxes
    if sandboxes is not None:
        await sandboxes.start_preload(session)
    if session.surroundings.headless:  # a prompt waits already: nothing may come between it and the model
        session.llm.on_first_sent = partial(_begin_beside_soon, session, services)
    else:
        _begin_beside(session, services)


def _begin_beside_soon(session: Session, services: Services) -> None:
    asyncio.get_running_loop().call_later(GRACE_S, _begin_beside, session, services)


def _begin_beside(session: Session, services: Services) -> None:
    """Begin what goes on beside everything else: finding out about the model, loading tools, clearing up."""
    if session.is_running:
        session.window.begin()
        session.router.warm()
        session.chores.add(asyncio.create_task(sweep_expired(session, services), name="sweep"))


async def process_submission(session: Session, submission: Submission) -> bool:
    """Carry out one submission; False when it was the last one. An unexpected error becomes an `error` event."""
    operation = submission.operation
    handler = HANDLERS.get(operation.op_type)
    if handler is None:
        logger.warning("unknown operation %s", operation.op_type)
        return True
    try:
        await handler(session, operation)
    except Exception as error:  # the last line of defence: the session stays usable
        logger.exception("operation %s failed", operation.op_type.value)
        await session.send_event(ErrorRaised(session.secrets.scrub(f"{type(error).__name__}: {error}")))
    return session.is_running


class Handlers:
    """What each operation does. Each ends with an event that a user interface can wait for."""

    @staticmethod
    async def run_agent(session: Session, text: str, asides: Sequence[str] = ()) -> str | None:
        """A turn on the person's `text`; returns the final answer, or None when there is none (yet).

        `asides` is what the model is to hear with it, and that nobody asked for (a note that was added to AGENTS.md).
        """
        session.interruption.clear()
        session.inbox.drop_steering()
        await Handlers.abandon_pending_approval(session)
        session.record.repair()
        session.turn = TurnState(session.config.max_iterations, session.surroundings.headless)
        session.policy.begin_turn()
        for aside in asides:
            session.record.add(user_message(aside, "shell"))
        if text.strip():  # without text: go on from where history is
            message = user_message(text)
            session.record.add(message)
            session.turns.append(TurnMark(message.id, text))
        return await Handlers._drive(session, session.turn)

    @staticmethod
    async def _drive(session: Session, turn: TurnState, answered: Answered | None = None) -> str | None:
        """Run the turn from where it is to its end, and report exactly one end."""
        await session.send_event(Processing())
        answer: str | None = None
        end: Payload
        try:
            with time_limit(session):
                if answered is not None:
                    await carry_out(session, turn, answered)
                outcome = await run_turn(session, turn)
            if outcome.kind == "waiting":
                return None
            answer = outcome.final_text
            end = TurnComplete(len(session.history.items), answer, "iteration_limit" if turn.is_closing else "done")
        except TurnCancelled:
            is_late = session.wall.is_over
            end = TurnComplete(len(session.history.items), None, "time_limit") if is_late else Interrupted()
        except LimitReached as limit:
            end = TurnComplete(len(session.history.items), None, limit.stop_reason)
        except TurnStopped as stop:
            end = ErrorRaised(str(stop), "guard")
        except CompactionFailedError as error:
            end = ErrorRaised(str(error), "overflow")
        except LLMCallError as error:
            end = ErrorRaised(session.secrets.scrub(error.failure.user_text), error.failure.kind.value)
        except Exception as error:  # a bug of ours must not leave the turn without an end
            logger.exception("the turn failed")
            end = ErrorRaised(session.secrets.scrub(f"Unexpected error: {type(error).__name__}: {error}"))
        await Handlers._end_turn(session, end)
        return answer

    @staticmethod
    async def _end_turn(session: Session, end: Payload) -> None:
        session.record.repair()
        session.turn = None
        session.turn_count += 1
        await finish_turn(session, was_stopped=session.interruption.is_pressed)
        session.inbox.drop_steering()
        await session.send_event(end)
        await session.record.sync()
        if session.turn_count % TIDY_EVERY_TURNS == 1:
            from agent.sessions.checkpoint_pruning import prune

            state_dir = session.surroundings.state_dir
            # A daemon: it can be killed at any time, and must not keep the program from ending.
            threading.Thread(target=prune, args=(state_dir,), name="prune-checkpoints", daemon=True).start()

    @staticmethod
    async def exec_approval(session: Session, approvals: list[dict[str, Any]]) -> str | None:
        """Carry out the person's answers and go on with the turn."""
        pending, turn = session.pending, session.turn
        if pending is None or turn is None:
            await session.send_event(ErrorRaised("Nothing is waiting for an approval."))
            return None
        session.interruption.clear()
        session.pending = None
        answers = {str(answer.get("tool_call_id")): answer for answer in approvals}
        return await Handlers._drive(session, turn, Answered(pending.calls, answers))

    @staticmethod
    async def abandon_pending_approval(session: Session) -> None:
        """The person went on to something else: waiting calls are answered with a no."""
        pending, session.pending = session.pending, None
        for prepared in pending.calls if pending else ():
            name = prepared.call.function.name
            await session.send_event(ToolStateChange(prepared.call.id, name, "abandoned"))
            said = "Not run: the person went on without approving it."
            await record(session, prepared, ToolResult(said, ok=False, display="not run: not answered"))
        if pending is not None:
            await finish_turn(session)  # what is changed from now on is no longer this turn's doing

    @staticmethod
    async def new_conversation(session: Session, clear_screen: bool) -> None:
        """Begin again with an empty history."""
        await Handlers.abandon_pending_approval(session)
        old = await session.start_new_conversation()
        await report_spending(session, None)
        await session.send_event(NewComplete(session_id=session.session_id, clear_screen=clear_screen, **old))

    @staticmethod
    async def shutdown(session: Session) -> None:
        """End the session."""
        await Handlers.abandon_pending_approval(session)
        session.is_running = False
        await session.end_work(WORK_PATIENCE_S)
        await session.record.sync()
        if session.notices is not None:
            session.notices.end()
        await session.send_event(Shutdown())


async def carry_out(session: Session, turn: TurnState, answered: Answered) -> None:
    """Run what the person has approved. Raises `TurnCancelled` when that is stopped."""
    records = await settle_approvals(session, answered)
    if records is None:
        raise TurnCancelled
    turn.saw_tools(records)


@contextlib.contextmanager
def time_limit(session: Session) -> Iterator[None]:
    """Stop what runs inside when the run's time is up."""
    remaining_s = session.wall.remaining_s
    timer = None if remaining_s is None else asyncio.get_running_loop().call_later(remaining_s, session.cancel)
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


async def _user_input(session: Session, operation: Operation) -> None:
    data = operation.data or {}
    await Handlers.run_agent(session, str(data.get("text", "")), tuple(map(str, data.get("asides", ()))))


async def _exec_approval(session: Session, operation: Operation) -> None:
    await Handlers.exec_approval(session, list((operation.data or {}).get("approvals", [])))


async def _interrupt(session: Session, _operation: Operation) -> None:
    """Ends a turn that waits for approval. (A running turn is stopped by `Session.cancel`.)"""
    if session.pending is None:
        await session.send_event(Interrupted())
        return
    await Handlers.abandon_pending_approval(session)
    await Handlers._end_turn(session, Interrupted())


async def _new(session: Session, operation: Operation) -> None:
    await Handlers.new_conversation(session, bool((operation.data or {}).get("clear_screen")))


async def _rename(session: Session, operation: Operation) -> None:
    session.title = shortened(str((operation.data or {}).get("title", "")))
    session.record.write("title", {"title": session.title, "by": "person"})
    await session.send_event(Renamed(session.title))


async def _beside(session: Session, operation: Operation) -> None:
    """What is done between turns. It loads when it is first asked for."""
    from agent.core.beside_turns import BESIDE

    await BESIDE[operation.op_type](session, operation)


async def _shutdown(session: Session, _operation: Operation) -> None:
    await Handlers.shutdown(session)


HANDLERS: dict[OpType, Callable[[Session, Operation], Awaitable[None]]] = {
    OpType.USER_INPUT: _user_input,
    OpType.EXEC_APPROVAL: _exec_approval,
    OpType.INTERRUPT: _interrupt,
    OpType.UNDO: _beside,
    OpType.COMPACT: _beside,
    OpType.NEW: _new,
    OpType.RESUME: _beside,
    OpType.RENAME: _rename,
    OpType.CONFIGURE: _beside,
    OpType.CONTEXT: _beside,
    OpType.DIFF: _beside,
    OpType.FEEDBACK: _beside,
    OpType.SHELL: _beside,
    OpType.SHUTDOWN: _shutdown,
}
