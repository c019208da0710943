"""Interactive mode: puts the parts of the terminal together and holds a conversation at it."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack
from functools import partial

from agent.cli.app import App
from agent.cli.commands import command_hints
from agent.cli.connection import Connection
from agent.cli.dialogue import Dialogue
from agent.cli.footer import Footer
from agent.cli.parts import Parts, View
from agent.cli.sharing import Uploads
from agent.cli.status import Status
from agent.config import Config
from agent.core.agent_loop import Resumption
from agent.core.surroundings import Surroundings
from agent.protocol.events import BudgetStatus, Event, ResumeComplete
from agent.ui.composer.composer import COMPOSER_STYLE, Actions, Composer
from agent.ui.composer.files import FileIndex
from agent.ui.composer.history import History
from agent.ui.console import make_console
from agent.ui.plain_screen import PlainComposer, PlainScreen
from agent.ui.screen import Screen
from agent.ui.terminal import TerminalRenderer


async def run_interactive(
    config: Config, uploads: Uploads, place: str, *, stream: bool, resumption: Resumption | None = None
) -> int:
    """Hold a conversation at the terminal, in a saved session if asked to; returns the exit code.

    `place` is the line on model and provider. The caller ends `uploads`. Raises what opening or resuming the session
    raises.
    """
    surroundings = uploads.surroundings
    make_parts = _plain_parts if _is_plain(config) else _live_parts
    app = App(surroundings, partial(make_parts, config, surroundings))
    dialogue = Dialogue(app)

    def see(event: Event) -> None:
        app.exchange.see(event)
        uploads.see(event)

    opening = Connection(config, surroundings, stream=stream, on_event=see, resumption=resumption)
    with dialogue.end_signals():
        try:
            with ExitStack() as claim:
                claim.enter_context(app.terminal_claimed())
                async with opening as connection:
                    if resumption is not None:
                        await connection.wait_for(lambda event: isinstance(event.payload, ResumeComplete))
                    app.begin(place)
                    app.chore(uploads.begin(app.note))
                    code = await dialogue.run(connection)
                    claim.close()  # what is left to do can be broken off with Ctrl-C
        except asyncio.CancelledError:
            if not dialogue.exit_code:
                raise
            return dialogue.exit_code  # told to end before it had begun
    app.end(is_saved=config.save_sessions)
    return code


def _is_plain(config: Config) -> bool:
    """Whether nothing can or shall be live: asked for, no keys to be read one by one, a terminal that cannot."""
    return config.plain or os.environ.get("TERM") in {"dumb", "unknown"} or not (sys.stdin and sys.stdin.isatty())


def _live_parts(config: Config, surroundings: Surroundings, actions: Actions, view: View) -> Parts:
    status = _status(config)
    composer = Composer(
        actions,
        history=History(surroundings.state_dir / "history"),
        commands=command_hints,
        files=FileIndex(surroundings.workspace),
        vi_mode=config.vi_mode,
    )
    footer = _footer(config, surroundings, status)
    screen = Screen(
        composer,
        view,
        stdout=sys.stdout,
        environ=surroundings.environ,
        styles=lambda: {**COMPOSER_STYLE, **footer.styles()},
        vi_mode=config.vi_mode,
    )
    footer.on_change = screen.refresh
    console = make_console(screen.file, surroundings.environ, config.theme, width=lambda: screen.columns)
    screen.console = console
    footer.is_light = console.is_light
    renderer = TerminalRenderer(console, on_change=screen.refresh)
    return Parts(screen, console, composer, renderer, status, footer)


def _plain_parts(config: Config, surroundings: Surroundings, actions: Actions, _view: View) -> Parts:
    status = _status(config)
    composer = PlainComposer(actions, sys.stdout)
    screen = PlainScreen(composer)
    console = make_console(sys.stdout, {**surroundings.environ, "NO_COLOR": "1"}, config.theme)
    footer = _footer(config, surroundings, status)
    return Parts(screen, console, composer, TerminalRenderer(console, live=False), status, footer)


def _status(config: Config) -> Status:
    return Status(
        mode=config.mode,
        reasoning_effort=config.reasoning_effort,
        budget=BudgetStatus(0.0, 0.0, 0.0, config.max_cost_usd),
    )


def _footer(config: Config, surroundings: Surroundings, status: Status) -> Footer:
    return Footer(
        status,
        surroundings.workspace,
        surroundings.environ,
        command=config.status_line_command,
        is_saved=config.save_sessions,
    )
