"""Interactive mode: read a line, submit it, show what happens until the turn ends, ask when something needs a yes.

What the person types while a turn runs is passed on to it. Nothing typed is ever lost: what the turn did not take in,
and a line that is only half typed, stand ready to be edited at the next prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory, InMemoryHistory
from rich.console import Console
from rich.text import Text

from agent import __version__
from agent.cli import commands
from agent.cli.connection import Connection
from agent.cli.exit_codes import ExitCode
from agent.cli.keyboard import Keyboard, drop_typed_ahead
from agent.cli.status import Status
from agent.config import Config
from agent.core.agent_loop import Resumption
from agent.core.surroundings import Surroundings
from agent.protocol.events import (
    OPERATION_ENDS,
    TURN_ENDS,
    ApprovalItem,
    ApprovalRequired,
    BudgetStatus,
    Event,
    Payload,
    ResumeComplete,
    TurnComplete,
)
from agent.protocol.operations import ApprovalAnswer, OpType
from agent.ui.approval_panel import parse_answer, prompt_hint, render_item
from agent.ui.banner import print_banner
from agent.ui.console import print_text
from agent.ui.terminal import TerminalRenderer

PROMPT = "> "
LEAVE_WORDS = frozenset({"exit", "quit", "/exit", "/quit"})
ANYTIME_COMMANDS = ("/status", "/cost", "/budget")
"""Commands that only show something, and can be given while a question waits."""
TWICE_WITHIN_S = 2.0


class App:
    """One interactive session at the terminal."""

    def __init__(
        self,
        connection: Connection,
        console: Console,
        renderer: TerminalRenderer,
        surroundings: Surroundings,
        status: Status,
    ) -> None:
        self.connection = connection
        self.console = console
        self.status = status
        self.environ: Mapping[str, str] = surroundings.environ
        self.hf_token = surroundings.hf_token
        self.state_dir = surroundings.state_dir
        self.workspace = surroundings.workspace
        self._renderer = renderer
        self._input: PromptSession[str] = PromptSession(history=_history(surroundings.state_dir))
        self._answer_input: PromptSession[str] = PromptSession(history=InMemoryHistory())
        self._keyboard = Keyboard(
            self._input.input,
            self._input.output,
            on_escape=self._stop,
            on_interrupt=self._interrupted_at_work,
        )
        self._drafts: list[str] = []
        """Text that stands ready at the next prompt."""
        self._later: deque[str] = deque()
        """Lines to work off before the next prompt."""
        self.exit_code: int = ExitCode.OK
        self._leaving = False
        self._interrupts = 0
        self._stopping = False
        """What runs has been told to stop: it takes nothing in any more."""
        self._last_interrupt_s = -TWICE_WITHIN_S

    # --- what commands use --------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Print a line of our own."""
        print_text(self.console, Text(text))

    def complain(self, text: str) -> None:
        """Print what is wrong with what the person typed."""
        print_text(self.console, Text(text, "error"))

    def leave(self) -> None:
        """Leave after the current command."""
        self._leaving = True

    def later(self, text: str) -> None:
        """Work off `text` as if it had been typed, before the next prompt."""
        self._later.append(text)

    def draft(self, text: str) -> None:
        """Let `text` stand ready at the next prompt."""
        self._drafts.append(text)

    async def ask(self, question: str) -> str | None:
        """What the person answers, stripped; None for nothing, Ctrl-C or Ctrl-D."""
        try:
            return (await self._answer_input.prompt_async(f"{question} ")).strip() or None
        except (KeyboardInterrupt, EOFError):
            return None

    async def operate(self, op_type: OpType, data: dict[str, Any] | None = None) -> Payload:
        """Carry out an operation that is not a turn, and wait for its end, which Esc or Ctrl-C may bring about."""
        await self._submit(op_type, data)
        with self._at_work(self._keep_for_later):
            end = await self.connection.wait_for(lambda event: isinstance(event.payload, OPERATION_ENDS))
        self.draft(self._keyboard.take_line())
        return end.payload

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Read and work off lines until the person leaves; returns the exit code."""
        ends = [s for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if (s := getattr(signal, name, None))]
        with self._on_signals({number: partial(self._terminated, number) for number in ends}):
            while not self._leaving:
                try:
                    text = self._later.popleft() if self._later else await self._prompt()
                except KeyboardInterrupt:
                    self._interrupted_at_prompt()
                    continue
                except EOFError:
                    break
                self._last_interrupt_s = -TWICE_WITHIN_S
                await self._take(text.strip())
        return self.exit_code

    async def _prompt(self) -> str:
        draft = "\n".join(filter(None, self._drafts))
        self._drafts.clear()
        text = await self._input.prompt_async(PROMPT, default=draft, enable_suspend=True)
        behind = text.removeprefix(draft).strip()
        if draft and text.startswith(draft) and commands.is_command(behind):  # meant as a command, not as its end
            self.draft(draft)
            return behind
        return text

    def _interrupted_at_prompt(self) -> None:
        now = time.monotonic()
        if now - self._last_interrupt_s < TWICE_WITHIN_S:
            self._leaving = True
        else:
            self.say("Press Ctrl-C again to leave.")
        self._last_interrupt_s = now

    async def _take(self, text: str) -> None:
        if not text:
            return
        if text.lower() in LEAVE_WORDS:
            self.leave()
        elif commands.is_command(text):
            await self._command(text)
        else:
            await self._turn(text)

    async def _command(self, text: str) -> None:
        try:
            command, argument = commands.find(text)
        except ValueError as error:
            self.complain(str(error))
            return
        if argument and not command.usage:
            self.complain(f"/{command.name} takes no argument.")
            return
        await command.run(self, argument)

    async def _turn(self, text: str) -> None:
        """Submit `text` and follow the turn to its end, asking for approvals on the way."""
        self.status.submitted(text)
        await self._submit(OpType.USER_INPUT, {"text": text})
        while True:
            with self._at_work(self._typed_in_turn):
                event = await self._turn_end_or_question()
            if not isinstance(event.payload, ApprovalRequired):
                break
            if self._stopping:  # the question had been on its way already
                await self.connection.submit(OpType.INTERRUPT)
                continue
            self.draft(self._keyboard.take_line())  # meant for the turn, or for the next one, but not for the question
            await self._ask_approvals(event.payload)
        self._give_back(event.payload)

    async def _submit(self, op_type: OpType, data: dict[str, Any] | None) -> None:
        self._interrupts, self._stopping = 0, False
        await self.connection.submit(op_type, data)

    def _give_back(self, end: Payload) -> None:
        """What was typed for a turn that is over: after a good end the next request, else the person decides."""
        untaken = "\n".join(self.status.steering)
        self.status.steering.clear()
        if untaken and isinstance(end, TurnComplete) and end.stop_reason == "done":
            self.later(untaken)
        else:
            self._drafts.insert(0, untaken)
        self.draft(self._keyboard.take_line())

    async def _turn_end_or_question(self) -> Event:
        return await self.connection.wait_for(lambda e: isinstance(e.payload, (ApprovalRequired, *TURN_ENDS)))

    async def _ask_approvals(self, required: ApprovalRequired) -> None:
        answers: list[ApprovalAnswer] = []
        for index, item in enumerate(required.tools, 1):
            answer = await self._ask(item, index, len(required.tools))
            if answer is None:
                await self.connection.submit(OpType.INTERRUPT)
                return
            answers.append(answer)
        await self.connection.submit(OpType.EXEC_APPROVAL, {"approvals": [asdict(answer) for answer in answers]})

    async def _ask(self, item: ApprovalItem, index: int, total: int) -> ApprovalAnswer | None:
        """The person's answer, None to stop the turn (Ctrl-C, Ctrl-D)."""
        drop_typed_ahead(self._answer_input.input)
        render_item(self.console, item, index, total)
        while True:
            try:
                text = await self._answer_input.prompt_async(prompt_hint(item) + " ")
            except (KeyboardInterrupt, EOFError):
                return None
            if text.strip() in ANYTIME_COMMANDS:
                await self._command(text.strip())
            elif commands.is_command(text.strip()):
                self.complain(f"Answer this first ({', '.join(ANYTIME_COMMANDS)} work here); Ctrl-C stops the turn.")
            elif (answer := parse_answer(text, item)) is not None:
                return answer

    # --- while something runs -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _at_work(self, on_line: Callable[[str], None]) -> Iterator[None]:
        """Inside the block the keyboard is listened to, and Ctrl-C stops what runs."""
        with self._on_signals({signal.SIGINT: self._interrupted_at_work}), self._keyboard.listening(on_line):
            yield

    def _keep_for_later(self, text: str) -> None:
        """A line typed while something runs that takes none in."""
        self.later(text)
        self._renderer.note(f"(after this) {text}")

    def _typed_in_turn(self, text: str) -> None:
        """A line typed while a turn runs: passed on to it, unless it is a command."""
        if text.lower() in LEAVE_WORDS:
            self.leave()
            self.connection.cancel()
        elif self._stopping or commands.is_command(text):
            self._keep_for_later(text)
        else:
            self._input.history.append_string(text)
            self.status.steering.append(text)
            self.connection.steer(text)
            self._renderer.note(f"(queued) {text}")

    # --- signals ------------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        if not self._stopping and self._later:
            self._renderer.note(f"(dropped) {', '.join(self._later)}")
            self._later.clear()
        self._stopping = True
        self.connection.cancel()

    def _interrupted_at_work(self) -> None:
        """Ctrl-C while something runs: the first stops it, a second one leaves as well."""
        self._interrupts += 1
        self._last_interrupt_s = time.monotonic()
        self._stop()
        if self._interrupts > 1:
            self.leave()

    def _terminated(self, number: int) -> None:
        """SIGTERM, SIGHUP or SIGQUIT: stop what runs, save, leave."""
        self.exit_code = 128 + number
        self.leave()
        self.connection.cancel()
        for prompt in (self._input, self._answer_input):
            if prompt.app.is_running:
                prompt.app.exit(exception=EOFError())

    @contextlib.contextmanager
    def _on_signals(self, handlers: Mapping[int, Callable[[], None]]) -> Iterator[None]:
        """Handle signals inside the block. prompt_toolkit takes SIGINT for itself, so it is taken only around turns."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
            for number, handler in handlers.items():
                loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            with contextlib.suppress(NotImplementedError):
                for number in handlers:
                    loop.remove_signal_handler(number)


def _history(state_dir: Path) -> FileHistory | InMemoryHistory:
    """Lines typed before, in a private file; in memory only where that cannot be written."""
    path = state_dir / "history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


async def run_interactive(
    config: Config,
    surroundings: Surroundings,
    console: Console,
    place: str,
    *,
    stream: bool,
    resumption: Resumption | None = None,
) -> int:
    """Hold a conversation at the terminal, in a saved session if asked to; returns the exit code.

    `place` is the line on model and provider. Raises what opening or resuming the session raises.
    """
    renderer = TerminalRenderer(console)
    status = Status(
        yolo_mode=config.yolo_mode,
        reasoning_effort=config.reasoning_effort,
        budget=BudgetStatus(0.0, 0.0, 0.0, config.max_cost_usd),
    )
    early: list[Event] = []
    """What a resumed session says before the banner can name it."""
    show: Callable[[Event], None] = early.append

    def see(event: Event) -> None:
        status.see(event)
        show(event)

    async with Connection(config, surroundings, stream=stream, on_event=see, resumption=resumption) as connection:
        if resumption is not None:
            await connection.wait_for(lambda event: isinstance(event.payload, ResumeComplete))
        print_banner(
            console,
            version=__version__,
            model=status.model_name,
            runs_on=place,
            directory=str(surroundings.workspace),
            session_id=status.conversation.session_id,
        )
        show = renderer.handle
        for event in early:
            show(event)
        app = App(connection, console, renderer, surroundings, status)
        code = await app.run()
        conversation = status.conversation
        if conversation.prompts and config.save_sessions:
            app.say(f"To go on with this: ml-intern --resume {conversation.session_id}")
    renderer.close()
    return code
