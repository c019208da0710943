"""The submission loop: takes operations from one queue, carries them out on the session, and reports on another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config import Config
from agent.context_manager.compaction import CompactionFailedError
from agent.core.asking import Answered, settle_approvals
from agent.core.compacting import compact
from agent.core.configuring import configure
from agent.core.endings import LimitReached, TurnCancelled, TurnStopped
from agent.core.file_copies import finish_turn
from agent.core.model_calls import report_spending
from agent.core.notices import start_notices
from agent.core.reporting import context_report, feedback, workspace_diff
from agent.core.resuming import report, resume
from agent.core.services import Services, create_mcp_servers, create_services
from agent.core.session import WORK_PATIENCE_S, Session
from agent.core.session_work import sweep_expired, work_of
from agent.core.shell_command import run_shell
from agent.core.sub_agent import sub_agent_of
from agent.core.surroundings import Surroundings
from agent.core.tool_batch import record
from agent.core.tools import ToolRouter, create_builtin_tools, create_sandboxes
from agent.core.turn import run_turn
from agent.core.turn_state import TurnState
from agent.core.undoing import UndoImpossible, undo
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
from agent.protocol.tools import ToolResult
from agent.sessions.checkpoint_pruning import prune
from agent.sessions.errors import SessionError
from agent.sessions.records import shortened
from agent.sessions.restore import TurnMark
from agent.tools.sandbox.machines import Sandboxes

logger = logging.getLogger(__name__)

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
        for service in (services.web, services.docs, services.sandbox, services.notices):
            at_end.push_async_callback(service.close)
        session = await Session.open(event_queue, config, surroundings, router, stream=stream)
        session.work = work_of(session, services)
        session.sub_agent = sub_agent_of(session)
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


async def _start(
    session: Session, services: Services, sandboxes: Sandboxes | None, resumption: Resumption | None
) -> None:
    """Take up the session to go on with, say that all is ready, and begin what goes on beside everything else."""
    resumed = None
    if resumption is not None:
        resumed = await resume(session, resumption.path, fork=resumption.fork, keep_model=resumption.keep_model)
    await session.announce()
    session.router.start_servers(session)
    if resumed is not None:
        await report(session, resumed)
    session.sandboxes = sandboxes
    if sandboxes is not None:
        await sandboxes.start_preload(session)
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
        session.checkpoints.begin_turn(session.turns[-1].id if session.turns else session.session_id)
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


async def _new(session: Session, operation: Operation) -> None:
    await Handlers.new_conversation(session, bool((operation.data or {}).get("clear_screen")))


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


async def _rename(session: Session, operation: Operation) -> None:
    session.title = shortened(str((operation.data or {}).get("title", "")))
    session.record.write("title", {"title": session.title, "by": "person"})
    await session.send_event(Renamed(session.title))


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


async def _shutdown(session: Session, _operation: Operation) -> None:
    await Handlers.shutdown(session)


HANDLERS: dict[OpType, Callable[[Session, Operation], Awaitable[None]]] = {
    OpType.USER_INPUT: _user_input,
    OpType.EXEC_APPROVAL: _exec_approval,
    OpType.INTERRUPT: _interrupt,
    OpType.UNDO: _undo,
    OpType.COMPACT: _compact,
    OpType.NEW: _new,
    OpType.RESUME: _resume,
    OpType.RENAME: _rename,
    OpType.CONFIGURE: _configure,
    OpType.CONTEXT: _context,
    OpType.DIFF: _diff,
    OpType.FEEDBACK: _feedback,
    OpType.SHELL: _shell,
    OpType.SHUTDOWN: _shutdown,
}
