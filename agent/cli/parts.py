"""The parts of the terminal that an interactive session is made of, live or plain."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol

from prompt_toolkit.formatted_text import StyleAndTextTuples
from rich.segment import Segment

from agent.cli.footer import Footer
from agent.cli.keyboard import Input
from agent.cli.status import Status
from agent.light_dataclass import dataclass
from agent.ui.composer.composer import Actions
from agent.ui.console import TerminalConsole
from agent.ui.terminal import TerminalRenderer


class Surface(Protocol):
    """The terminal: `agent.ui.screen.Screen` or `agent.ui.plain_screen.PlainScreen`."""

    echoes: bool
    """Whether the terminal shows by itself what is typed."""

    def running(self, on_closed: Callable[[], None]) -> AbstractAsyncContextManager[None]: ...

    def claimed(self) -> AbstractContextManager[None]: ...

    def released(self) -> AbstractAsyncContextManager[None]: ...

    def prompt(self) -> None: ...

    def refresh(self) -> None: ...

    def restyle(self) -> None: ...

    def suspend(self) -> None: ...

    def send_out(self, sequence: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What an `App` works with."""

    screen: Surface
    console: TerminalConsole
    composer: Input
    renderer: TerminalRenderer
    status: Status
    footer: Footer


class View(Protocol):
    """What says what is live; see `agent.ui.screen.View`."""

    def live_lines(self, width: int, rows: int) -> list[list[Segment]]: ...

    def status_line(self, width: int) -> StyleAndTextTuples: ...


MakeParts = Callable[[Actions, View], Parts]
"""Makes the parts for an app: what its keys do, and what is live."""
