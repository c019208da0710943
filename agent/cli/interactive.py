"""Interactive mode: the prompt first, and everything else behind it.

What the prompt needs is imported here, and is little: the screen, the composer, the line at the bottom. The session,
and with it models, tools and commands, is `agent.cli.opening`; it is imported in a thread once the person can type.
What they send before the session is open waits for it, in sight.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from agent.cli.app import App
from agent.cli.footer import Footer
from agent.cli.leaving import Leaving
from agent.cli.parts import Parts, View
from agent.cli.status import Status
from agent.config import Config
from agent.core.surroundings import Surroundings
from agent.protocol.events import BudgetStatus
from agent.ui.composer.completion import CommandHint
from agent.ui.composer.composer import COMPOSER_STYLE, Actions, Composer
from agent.ui.composer.files import FileIndex
from agent.ui.composer.history import History
from agent.ui.console import make_console
from agent.ui.plain_screen import PlainComposer, PlainScreen
from agent.ui.screen import Screen
from agent.ui.terminal import TerminalRenderer

if TYPE_CHECKING:
    from agent.cli.dialogue import Dialogue
    from agent.cli.sharing import Uploads
    from agent.core.agent_loop import Resumption


async def run_interactive(
    config: Config,
    surroundings: Surroundings,
    make_uploads: Callable[[], Uploads],
    place: str,
    session_id: str | None,
    *,
    stream: bool,
    resumption: Resumption | None = None,
) -> int:
    """Hold a conversation at the terminal, in a saved session if asked to; returns the exit code.

    `place` is the line on model and provider, `session_id` what the session will be called, if known. Raises what
    opening or resuming the session raises; the terminal is the person's again then.
    """
    make_parts = _plain_parts if _is_plain(config) else _live_parts
    app = App(surroundings, partial(make_parts, config, surroundings))
    leaving = Leaving(app)

    async def converse() -> None:
        async with app.opening():
            open_dialogue = await asyncio.to_thread(_behind_the_prompt)
            opening = open_dialogue(app, leaving, config, make_uploads, stream=stream, resumption=resumption)
            dialogue = await session.enter_async_context(opening)
        await dialogue.work()

    with leaving.signals():
        async with AsyncExitStack() as session:  # closed last: what is left to do then can be broken off with Ctrl-C
            with app.terminal_claimed():
                app.begin(place, session_id)
                async with app.screen.running(leaving.terminal_gone):
                    await leaving.until_left(asyncio.create_task(converse()))
                    await app.end_chores()
    app.end(is_saved=config.save_sessions)
    return leaving.exit_code


def _behind_the_prompt() -> Callable[..., AbstractAsyncContextManager[Dialogue]]:
    """The one door to all that the prompt does not need. To go through it for the first time takes long."""
    from agent.cli.opening import open_dialogue

    return open_dialogue


def _command_hints() -> Sequence[CommandHint]:
    from agent.cli.commands import command_hints

    return command_hints()


def _is_plain(config: Config) -> bool:
    """Whether nothing can or shall be live: asked for, no keys to be read one by one, a terminal that cannot."""
    return config.plain or os.environ.get("TERM") in {"dumb", "unknown"} or not (sys.stdin and sys.stdin.isatty())


def _live_parts(config: Config, surroundings: Surroundings, actions: Actions, view: View) -> Parts:
    status = _status(config)
    composer = Composer(
        actions,
        history=History(surroundings.state_dir / "history"),
        commands=_command_hints,
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
        model_name=config.model_name,
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
