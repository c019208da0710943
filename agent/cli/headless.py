"""Headless mode: one prompt, worked off without a person, its answer on stdout, its outcome in the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator

from agent.cli.connection import Connection
from agent.cli.exit_codes import CREDENTIAL_FAILURES, ExitCode
from agent.cli.left_running import still_running_lines
from agent.config import Config
from agent.core.agent_loop import Resumption
from agent.core.surroundings import Surroundings
from agent.light_dataclass import dataclass
from agent.protocol.events import (
    TURN_ENDS,
    ApprovalRequired,
    ErrorRaised,
    Event,
    Interrupted,
    ToolStateChange,
    TurnComplete,
    WorkItem,
    WorkStatus,
)
from agent.protocol.operations import OpType
from agent.ui.renderer import Renderer

NO_PERSON = (
    "This run has no person to ask, and this call needs one. Do without it, or leave it for the person and say so in "
    "your final answer."
)


async def run_headless(
    config: Config,
    surroundings: Surroundings,
    prompt: str,
    renderer: Renderer,
    stream: bool,
    resumption: Resumption | None = None,
) -> int:
    """Work off `prompt`, in a saved session if asked to; returns the exit code.

    Raises `UnknownModelError`, and what resuming raises, before anything has run.
    """
    outcome = Outcome()

    def see(event: Event) -> None:
        outcome.see(event)
        renderer.handle(event)

    connection = Connection(config, surroundings, stream=stream, on_event=see, resumption=resumption)
    try:
        with stop_on_signals(connection, outcome):
            async with connection:
                if outcome.signal is None:
                    await connection.submit(OpType.USER_INPUT, {"text": prompt})
                    await _until_turn_ends(connection, outcome)
    except asyncio.CancelledError:
        if outcome.signal is None:
            raise
    for line in still_running_lines(outcome.work):
        print(f"ml-intern: {line}", file=sys.stderr)
    return outcome.exit_code


async def _until_turn_ends(connection: Connection, outcome: Outcome) -> None:
    while True:
        event = await connection.wait_for(lambda e: isinstance(e.payload, (ApprovalRequired, *TURN_ENDS)))
        if not isinstance(event.payload, ApprovalRequired):
            return
        if outcome.signal is not None:
            await connection.submit(OpType.INTERRUPT)
            continue
        no = [
            {"tool_call_id": item.tool_call_id, "approved": False, "feedback": NO_PERSON}
            for item in event.payload.tools
        ]
        await connection.submit(OpType.EXEC_APPROVAL, {"approvals": no})


@dataclass(slots=True)
class Outcome:
    """How the run went, read off its events."""

    code: ExitCode = ExitCode.ERROR
    denied: bool = False
    signal: int | None = None
    work: tuple[WorkItem, ...] = ()
    """What runs elsewhere."""

    def see(self, event: Event) -> None:
        """Take note of an event."""
        match event.payload:
            case TurnComplete(stop_reason="iteration_limit"):
                self.code = ExitCode.ITERATION_LIMIT
            case TurnComplete(stop_reason="budget" | "time_limit"):
                self.code = ExitCode.BUDGET
            case TurnComplete():
                self.code = ExitCode.OK
            case ErrorRaised(kind=kind):
                self.code = ExitCode.CREDENTIALS if kind in CREDENTIAL_FAILURES else ExitCode.ERROR
            case Interrupted():
                self.code = ExitCode.INTERRUPTED
            case ToolStateChange(state="rejected"):
                self.denied = True
            case WorkStatus(items=items):
                self.work = items

    @property
    def exit_code(self) -> int:
        """The code to exit with: a signal before anything else, a denied approval only if all else went well."""
        if self.signal is not None:
            return 128 + self.signal
        return ExitCode.APPROVAL if self.denied and self.code is ExitCode.OK else self.code


@contextlib.contextmanager
def stop_on_signals(connection: Connection, outcome: Outcome) -> Iterator[None]:
    """Signals that end a program stop the turn, so that children end and the session is saved; a second one insists."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    caught = [s for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if (s := getattr(signal, name, None))]

    def stop(number: int) -> None:
        insists = outcome.signal is not None
        outcome.signal = outcome.signal or number
        if number != signal.SIGINT:
            connection.leave_running()
        if insists and task is not None:
            task.cancel()
        connection.cancel()

    for number in caught:
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
            loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in caught:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
