"""A composer in a real application: keys come through a pipe, frames go to a pyte screen."""

from __future__ import annotations

import asyncio
import io
import select
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path

import pyte
from prompt_toolkit.application import Application
from prompt_toolkit.application.current import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.layout import HSplit, Layout, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.output.vt100 import Vt100_Output

from agent.ui.composer.completion import CommandHint
from agent.ui.composer.composer import Actions, Composer
from agent.ui.composer.files import FileIndex
from agent.ui.composer.history import History
from agent.ui.composer.terminal_input import read_pastes_quickly

ESC, ENTER, TAB, UP, DOWN = "\x1b", "\r", "\t", "\x1b[A", "\x1b[B"
LEFT, BACKSPACE, DELETE, SHIFT_TAB = "\x1b[D", "\x7f", "\x1b[3~", "\x1b[Z"
CTRL_A, CTRL_C, CTRL_D, CTRL_G, CTRL_J, CTRL_L, CTRL_O, CTRL_R = "\x01\x03\x04\x07\x0a\x0c\x0f\x12"
SHIFT_ENTERS = ("\x1b[13;2u", "\x1b[27;2;13~")

COMMANDS = (
    CommandHint("help", "", "Show all commands."),
    CommandHint("effort", "[level]", "How hard the model thinks.", ("low", "medium", "high")),
    CommandHint("model", "[name]", "Choose a model."),
)


def pasted(text: str) -> str:
    return f"\x1b[200~{text}\x1b[201~"


class Desk:
    """A composer at work; `done` is what it asked for, in order."""

    def __init__(self, composer: Composer, pipe: PipeInput, app: Application[None], output: io.StringIO) -> None:
        self.composer = composer
        self.app = app
        self.done: list[str] = []
        self.sent: list[str] = []
        self._pipe = pipe
        self._output = output
        self._progress = asyncio.Event()
        size = app.output.get_size()
        self._screen = pyte.Screen(size.columns, size.rows)
        self._terminal = pyte.Stream(self._screen)
        self.heights: list[int] = []
        for event in (app.after_render, app.key_processor.after_key_press):
            event += lambda _: self._progress.set()
        app.after_render += lambda _: self.heights.append(len(self.screen()))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._progress.clear()
                await self._progress.wait()

    async def feed(self, keys: str) -> None:
        """Have `keys` read by the parser, in a read of their own."""
        self._pipe.send_text(keys)
        async with asyncio.timeout(10):
            while select.select([self._pipe.fileno()], [], [], 0)[0]:
                await asyncio.sleep(0)

    async def press(self, *keys: str) -> None:
        """Have `keys` handled: Ctrl-O, sent behind them, has come through."""
        expanded = self.done.count("expand")
        # In a thread: a pipe takes 64 kB before somebody has to read.
        await asyncio.to_thread(self._pipe.send_text, "".join(keys) + CTRL_O)
        await self.until(lambda: self.done.count("expand") > expanded)

    def screen(self) -> list[str]:
        """The lines on the screen, without blank ones at the end."""
        self._terminal.feed(self._output.getvalue().replace("\n", "\r\n").replace("\r\r\n", "\r\n"))
        self._output.seek(0)
        self._output.truncate()
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    async def frame(self) -> list[str]:
        """The lines of a frame that is drawn from now on."""
        drawn = len(self.heights)
        self.app.invalidate()
        await self.until(lambda: len(self.heights) > drawn)
        return self.screen()

    def actions_done(self) -> list[str]:
        return [name for name in self.done if name != "expand"]


@asynccontextmanager
async def desk(
    workspace: Path,
    *,
    vi: bool = False,
    columns: int = 60,
    rows: int = 24,
    commands: Sequence[CommandHint] = COMMANDS,
    history: History | None = None,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[Desk]:
    desks: list[Desk] = []
    kept = history or History(None)

    def action(name: str) -> Callable[..., None]:
        def act(*texts: str) -> None:
            desks[0].done.append(name)
            desks[0].sent.extend(texts)

        return act

    actions = Actions(**{field.name: action(field.name) for field in fields(Actions)})
    composer = Composer(
        actions,
        history=kept,
        commands=lambda: commands,
        files=FileIndex(workspace),
        vi_mode=vi,
        **({"clock": clock} if clock else {}),
    )
    stream = io.StringIO()
    output = Vt100_Output(stream, lambda: Size(rows, columns), term="xterm", enable_cpr=False)
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=output):
        read_pastes_quickly(pipe)
        status = Window(FormattedTextControl("[status]"), height=1)
        app: Application[None] = Application(
            Layout(HSplit([composer.container, status]), focused_element=composer.buffer),
            key_bindings=composer.key_bindings,
            editing_mode=EditingMode.VI if vi else EditingMode.EMACS,
            input=pipe,
            output=output,
        )
        app.ttimeoutlen, app.timeoutlen = 0.05, 0.25
        desks.append(Desk(composer, pipe, app, stream))
        running = asyncio.create_task(app.run_async())
        try:
            await desks[0].until(lambda: desks[0].heights)
            async for _ in kept.load():
                pass  # from now on it is there
            await desks[0].frame()
            yield desks[0]
        finally:
            app.exit()
            await running
            await asyncio.to_thread(kept.close)
