"""Commands about saved sessions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.cli.commands.registry import command
from agent.cli.commands.wording import sentence
from agent.protocol.operations import OpType
from agent.ui.sanitize import visible

if TYPE_CHECKING:
    from agent.cli.app import App
    from agent.cli.saved_sessions import Listed
    from agent.sessions.index import SessionInfo


@command("resume", "[id|text|file] [--all]")
async def resume(app: App, argument: str) -> None:
    """Go on with a saved session; --all: of any directory."""
    from agent.sessions.errors import SessionError

    words = argument.split()
    everywhere = "--all" in words
    text = " ".join(word for word in words if word != "--all")
    try:
        chosen = await _choose(app, text, everywhere)
    except (SessionError, OSError) as error:
        app.complain(sentence(visible(str(error))))
        return
    if chosen is not None:
        await app.operate(OpType.RESUME, {"path": str(chosen.path), "fork": False})


async def _choose(app: App, text: str, everywhere: bool) -> SessionInfo | None:
    """The session that `text` means, or that the person picks from the list; None: none. Raises `SessionError`."""
    from agent.cli.saved_sessions import open_legacy_sessions, opened, picked

    listed: list[Listed] = [*await asyncio.to_thread(_sessions, app, "", everywhere)]
    if not text:
        listed += await asyncio.to_thread(open_legacy_sessions, app.workspace, app.state_dir)
        if not listed:
            app.say("No other session is saved here." + ("" if everywhere else " /resume --all looks everywhere."))
            return None
        _show(app, listed)
        text = await app.ask("Resume which one? (Enter: none)") or ""
    if not text:
        app.say("Nothing is resumed.")
        return None
    if (chosen := picked(text, listed)) is not None:
        return await opened(chosen, app.state_dir)
    return await _search(app, text, everywhere)


async def _search(app: App, text: str, everywhere: bool) -> SessionInfo | None:
    """By id, title or file, or by words that only one session has; several are listed."""
    from agent.cli.saved_sessions import find_saved
    from agent.redaction.live import LiveSecrets
    from agent.sessions.errors import SessionNotFoundError

    try:
        return await asyncio.to_thread(find_saved, text, app.workspace, app.state_dir, LiveSecrets(os.environ))
    except SessionNotFoundError:
        found = await asyncio.to_thread(_sessions, app, text, everywhere)
        if not found:
            raise
    if len(found) == 1:
        return found[0]
    _show(app, found, numbered=False)
    app.complain("Several sessions have that; say which one by its id.")
    return None


def _sessions(app: App, query: str, everywhere: bool) -> list[SessionInfo]:
    """Saved sessions but for the present one, the last used first. Blocking."""
    from agent.cli.saved_sessions import LISTED
    from agent.sessions.index import SessionIndex

    cwd = None if everywhere else app.workspace
    found = SessionIndex(app.state_dir).list(cwd, query, LISTED + 1)
    return [info for info in found if info.id != app.status.conversation.session_id][:LISTED]


def _show(app: App, listed: Sequence[Listed], *, numbered: bool = True) -> None:
    from agent.cli.saved_sessions import session_line

    width = len(str(len(listed)))
    for number, info in enumerate(listed, 1):
        head = f"{number:>{width}}  " if numbered else ""
        app.say(f"{head}{session_line(info)}")
