"""The conversation at the terminal: what the person types becomes operations, what the session says reaches the screen.

What is typed while a turn runs is passed on to it. Nothing typed is ever lost: what the turn did not take in stands in
the composer again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rich.segment import Segment
from rich.text import Text

from agent import __version__
from agent.cli import commands
from agent.cli.approvals import ask_approvals
from agent.cli.commands.project import remember
from agent.cli.connection import Connection, LoopEndedError
from agent.cli.exit_codes import ExitCode
from agent.cli.keyboard import Keyboard
from agent.cli.parts import MakeParts
from agent.core.surroundings import Surroundings
from agent.protocol.events import (
    OPERATION_ENDS,
    TURN_ENDS,
    ApprovalRequired,
    Event,
    Payload,
    SettingsChanged,
    TurnComplete,
)
from agent.protocol.modes import MODES, Mode
from agent.protocol.operations import OpType
from agent.tools.process_session import still_running
from agent.ui.banner import print_banner
from agent.ui.composer.composer import Actions
from agent.ui.console import ThemeName, set_theme
from agent.ui.editor import EditorError, edit_file, edit_text
from agent.ui.sanitize import clip, visible

LEAVE_WORDS = frozenset({"exit", "quit", "/exit", "/quit"})
ECHOED_LINES = 12
QUEUE_LINES = 3
TICK_S = 1.0


class App:
    """One interactive session. Make it, open its connection with `see` as the listener, then `run` it."""

    def __init__(self, surroundings: Surroundings, make_parts: MakeParts) -> None:
        self.environ: Mapping[str, str] = surroundings.environ
        self.hf_token = surroundings.hf_token
        self.state_dir = surroundings.state_dir
        self.workspace = surroundings.workspace
        self.exit_code: int = ExitCode.OK
        self._connection: Connection | None = None
        self._keyboard = Keyboard(stop=lambda: self.connection.cancel(), say=self.note)
        self._asides: list[str] = []
        """What the model is to hear with the person's next request."""
        self._draft = ""
        """Text of ours that stands in the composer."""
        self._waiting: list[tuple[Callable[[Event], bool], asyncio.Future[Event]]] = []
        self._wanted_mode: Mode | None = None
        self._chores: set[asyncio.Future[Any]] = set()
        self._early: list[Event] | None = []
        """Events that came before the banner, which is to stand above them."""
        parts = make_parts(self._actions(), self)
        self.status, self.console = parts.status, parts.console
        self._screen, self._renderer, self._footer = parts.screen, parts.renderer, parts.footer
        self._composer = self._keyboard.input = parts.composer

    def _actions(self) -> Actions:
        keyboard = self._keyboard
        return Actions(
            submit=keyboard.submitted,
            escape=keyboard.escaped,
            rewind=lambda: keyboard.submitted("/rewind"),
            interrupt=keyboard.interrupted,
            leave=keyboard.left,
            cycle_mode=self._cycle_mode,
            expand=self._expand,
            edit=lambda: self._chore(self._edit_draft()),
            suspend=lambda: self._screen.suspend(),
        )

    # --- what commands use --------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The way to the session."""
        assert self._connection is not None
        return self._connection

    def say(self, text: str) -> None:
        """Print a line of our own."""
        self.show(Text(text))

    def complain(self, text: str) -> None:
        """Print what is wrong with what the person typed."""
        self.show(Text(visible(text), "error"))

    def note(self, text: str) -> None:
        """Print a word on the side."""
        self._renderer.note(text)

    def show(self, text: Text) -> None:
        """Print styled text."""
        self._renderer.say(text)

    def leave(self) -> None:
        """Leave after the current command."""
        self._keyboard.leave()

    def later(self, text: str) -> None:
        """Work off `text` as if it had been typed, before the next line is read."""
        self._keyboard.later.append(text)

    def draft(self, text: str) -> None:
        """Let `text` stand in the composer, before what is being typed there."""
        if text:
            self._composer.text = self._draft = "\n".join(filter(None, [text, self._composer.text]))

    async def ask(self, question: str) -> str | None:
        """What the person answers, stripped; None for nothing, Esc, Ctrl-C or Ctrl-D."""
        return ((await self.question(f"{question} ")) or "").strip() or None

    async def question(self, prompt: str, initial: str = "") -> str | None:
        """The line that answers `prompt`, as it was typed; None for Esc, Ctrl-C or Ctrl-D."""
        answer = await self._keyboard.question(prompt, initial)
        self._screen.refresh()
        if answer is not None:
            self._echo(answer, prompt)
        return answer

    async def operate(self, op_type: OpType, data: dict[str, Any] | None = None) -> Payload:
        """Carry out an operation that is not a turn, and wait for its end, which Esc or Ctrl-C may bring about."""
        await self._submit(op_type, data)
        with self._at_work(self._keep_for_later):
            return (await self.wait_for(lambda event: isinstance(event.payload, OPERATION_ENDS))).payload

    async def edit_file(self, path: Path) -> None:
        """Let the person edit a file. Raises `EditorError`."""
        async with self._screen.released():
            await edit_file(path, environ=self.environ)

    async def edit_text(self, text: str, suffix: str = ".txt") -> str:
        """What the person makes of `text` in their editor. Raises `EditorError`; nothing is changed then."""
        async with self._screen.released():
            return await edit_text(text, environ=self.environ, suffix=suffix)

    def set_theme(self, name: ThemeName) -> None:
        """Use the colours of a theme from now on."""
        set_theme(self.console, name)
        self._footer.is_light = self.console.is_light
        self._screen.restyle()

    # --- the session's events -----------------------------------------------------------------------------------------

    def see(self, event: Event) -> None:
        """Take an event of the session: to the figures, to the screen, to whoever waits for it."""
        self.status.see(event)
        if self._early is not None:
            self._early.append(event)
            return
        if not self._is_quiet(event.payload):
            self._renderer.handle(event)
        self._screen.refresh()
        for waiting in [waiting for waiting in self._waiting if waiting[0](event)]:
            self._waiting.remove(waiting)
            if not waiting[1].done():
                waiting[1].set_result(event)

    def _is_quiet(self, payload: Payload) -> bool:
        """Whether the status line has told it already: a mode that was chosen by a key."""
        return isinstance(payload, SettingsChanged) and payload.changed == ("mode",) and self._wanted_mode is not None

    async def wait_for(self, is_it: Callable[[Event], bool]) -> Event:
        """The first coming event that `is_it` accepts. Raises `LoopEndedError` when there can be none."""
        arrival: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._waiting.append((is_it, arrival))
        return await arrival

    async def _listen(self) -> None:
        try:
            while True:
                await self.connection.next_event()
        except Exception as error:  # the session is over, with or without a reason: whoever waits must hear of it
            for _, arrival in self._waiting:
                if not arrival.done():
                    arrival.set_exception(error)
            self.leave()
            if not isinstance(error, LoopEndedError):
                raise

    # --- the loop -----------------------------------------------------------------------------------------------------

    def terminal_claimed(self) -> contextlib.AbstractContextManager[None]:
        """Inside the block, which begins before the session does, the terminal echoes nothing."""
        return self._screen.claimed()

    def begin(self, place: str) -> None:
        """Print the banner, and what the session has said so far. `place` is the line on model and provider."""
        print_banner(
            self.console,
            version=__version__,
            model=self.status.model_name,
            runs_on=place,
            directory=str(self.workspace),
            session_id=self.status.conversation.session_id,
            mode=self.status.mode,
        )
        self.console.print()
        early, self._early = self._early or [], None
        for event in early:
            self._renderer.handle(event)

    def end(self, *, is_saved: bool) -> None:
        """The last words, once the session is closed."""
        self._renderer.close()
        conversation = self.status.conversation
        for process in still_running(conversation.session_id):
            self.say(f"Still running: {clip(process, 160)}")
        if conversation.prompts and is_saved:
            self.say(f"To go on with this: ml-intern --resume {conversation.session_id}")

    async def run(self, connection: Connection) -> int:
        """Read and work off lines until the person leaves; returns the exit code."""
        self._connection = connection
        follow = self._footer.follow(lambda: self._keyboard.is_busy)
        background = [asyncio.create_task(work) for work in (self._listen(), self._tick(), follow)]
        try:
            with self._on_end_signals():
                async with self._screen.running(self._closed):
                    self._screen.prompt()
                    while (text := await self._keyboard.next_line()) is not None:
                        await self._take(self._without_draft(text).strip())
                        self._screen.prompt()
        finally:
            for task in (*background, *self._chores):
                task.cancel()
            await asyncio.gather(*background, *self._chores, return_exceptions=True)
        return self.exit_code

    def _without_draft(self, text: str) -> str:
        """`text`, or the command that was typed behind a draft of ours, which then stays in the composer."""
        draft, self._draft = self._draft, ""
        behind = text.removeprefix(draft).strip()
        if draft and text.startswith(draft) and commands.is_command(behind):
            self.draft(draft)
            return behind
        return text

    async def _take(self, text: str) -> None:
        if not text:
            return
        self._keyboard.calm()
        self._echo(text)
        if text.lower() in LEAVE_WORDS:
            self.leave()
        elif text.startswith("!"):
            await self._shell(text[1:].strip())
        elif text.startswith("#") and "\n" not in text and not text.startswith("##"):
            await self._remember(text[1:].strip())
        elif commands.is_command(text):
            await self.command(text)
        else:
            await self._turn(text)

    async def command(self, text: str) -> None:
        """Carry out a slash command."""
        try:
            command, argument = commands.find(text)
        except ValueError as error:
            self.complain(str(error))
            return
        if argument and not command.usage:
            self.complain(f"/{command.name} takes no argument.")
            return
        await command.run(self, argument)

    async def _shell(self, command: str) -> None:
        if command:
            await self.operate(OpType.SHELL, {"command": command})
        else:
            self.complain("Say which command: !ls -l. The model sees its output with your next request.")

    async def _remember(self, note: str) -> None:
        if heard := await remember(self, note):
            self._asides.append(heard)

    async def _turn(self, text: str) -> None:
        """Submit `text` and follow the turn to its end, asking for approvals on the way."""
        self.status.submitted(text)
        asides, self._asides = self._asides, []
        await self._submit(OpType.USER_INPUT, {"text": "\n\n".join([*asides, text])})
        while True:
            with self._at_work(self._typed_in_turn):
                event = await self.wait_for(lambda e: isinstance(e.payload, (ApprovalRequired, *TURN_ENDS)))
            if not isinstance(event.payload, ApprovalRequired):
                break
            answers = None if self._keyboard.is_stopped else await ask_approvals(self, event.payload)
            if answers is None:
                await self.connection.submit(OpType.INTERRUPT)
            else:
                await self.connection.submit(OpType.EXEC_APPROVAL, {"approvals": answers})
        self._give_back(event.payload)

    async def _submit(self, op_type: OpType, data: dict[str, Any] | None) -> None:
        self._keyboard.begin()
        await self.connection.submit(op_type, data)

    def _give_back(self, end: Payload) -> None:
        """What was typed for a turn that is over: after a good end the next request, else the person decides."""
        untaken = "\n".join(self.status.steering)
        self.status.steering.clear()
        if untaken and isinstance(end, TurnComplete) and end.stop_reason == "done":
            self.later(untaken)
        else:
            self.draft(untaken)

    # --- while something runs -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _at_work(self, on_line: Callable[[str], None]) -> Iterator[None]:
        with self._keyboard.at_work(on_line):
            yield
        if self._wanted_mode is not None and self._wanted_mode != self.status.mode:
            self._chore(self._switch_mode(self._wanted_mode))

    def _keep_for_later(self, text: str) -> None:
        """A line typed while something runs that takes none in."""
        self.later(text)
        self._screen.refresh()

    def _typed_in_turn(self, text: str) -> None:
        """A line typed while a turn runs: passed on to it, unless it is a command."""
        if text.lower() in LEAVE_WORDS:
            self.leave()
            self.connection.cancel()
        elif self._keyboard.is_stopped or text.startswith("!") or commands.is_command(text):
            self._keep_for_later(text)
        else:
            self.status.steering.append(text)
            self.connection.steer(text)
            self._screen.refresh()

    # --- keys ---------------------------------------------------------------------------------------------------------

    def _cycle_mode(self) -> None:
        now = self._wanted_mode or self.status.mode
        self._wanted_mode = MODES[(MODES.index(now) + 1) % len(MODES)]
        if not self._keyboard.is_busy:  # what runs goes on as it began
            self._chore(self._switch_mode(self._wanted_mode))
        self._screen.refresh()

    async def _switch_mode(self, mode: Mode) -> None:
        await self.connection.submit(OpType.CONFIGURE, {"mode": mode})
        await self.wait_for(lambda event: isinstance(event.payload, OPERATION_ENDS))
        if self._wanted_mode == mode:
            self._wanted_mode = None

    def _expand(self) -> None:
        if not self._renderer.expand_last():
            self.note("There is no output that was not shown in full.")

    async def _edit_draft(self) -> None:
        try:
            self._composer.text = await self.edit_text(self._composer.text, ".md")
        except EditorError as error:
            self.complain(str(error))

    def _chore(self, work: Awaitable[None]) -> None:
        """Do something beside the loop, owned until it is done."""
        task = asyncio.ensure_future(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    # --- what is seen -------------------------------------------------------------------------------------------------

    def live_lines(self, width: int, rows: int) -> list[list[Segment]]:
        """What is live: of the session, then what stands in the queue."""
        queued = [f"(queued) {text}" for text in self.status.steering]
        queued += [f"(after this) {text}" for text in self._keyboard.later]
        shown = queued[:QUEUE_LINES] + [f"and {len(queued) - QUEUE_LINES} more"] * (len(queued) > QUEUE_LINES)
        muted = self.console.get_style("muted")
        lines = self._renderer.live_lines(width, max(1, rows - len(shown)))
        return [*lines, *([Segment(clip(text, width), muted)] for text in shown)]

    def status_line(self, width: int) -> Any:
        """The line at the bottom."""
        return self._footer.fragments(width, self._wanted_mode, len(self._keyboard.later))

    def _echo(self, text: str, prompt: str = "> ") -> None:
        """What the person has typed becomes part of what is seen above."""
        lines = visible(text).split("\n")
        more = [f"… {len(lines) - ECHOED_LINES} more lines"] * (len(lines) > ECHOED_LINES)
        self._renderer.echo("\n".join([*lines[:ECHOED_LINES], *more]), prompt)

    async def _tick(self) -> None:
        """Let elapsed time pass on the screen."""
        while True:
            await asyncio.sleep(TICK_S)
            if self._renderer.is_ticking:
                self._screen.refresh()

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _terminated(self, number: int) -> None:
        """SIGTERM, SIGHUP or SIGQUIT: stop what runs, save, leave."""
        self.exit_code = 128 + number
        self._closed()

    def _closed(self) -> None:
        """The person, or the terminal, has gone."""
        self.connection.cancel()
        self.leave()

    @contextlib.contextmanager
    def _on_end_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = [s for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if (s := getattr(signal, name, None))]
        with contextlib.suppress(NotImplementedError):  # Windows has no such signals
            for number in numbers:
                loop.add_signal_handler(number, partial(self._terminated, number))
        try:
            yield
        finally:
            with contextlib.suppress(NotImplementedError):
                for number in numbers:
                    loop.remove_signal_handler(number)
