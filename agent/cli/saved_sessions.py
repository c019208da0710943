"""Finding the saved session that the person wants to go on with: our own, or a file of the reference."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from agent.config import state_dir
from agent.redaction.live import LiveSecrets
from agent.sessions.errors import SessionNotFoundError
from agent.sessions.index import SessionIndex, SessionInfo
from agent.traces.legacy.files import (
    LegacySession,
    find_legacy_file,
    is_taken_up,
    legacy_sessions_in,
    required_legacy_file,
)
from agent.traces.legacy.importing import import_snapshot
from agent.ui.sanitize import clip, visible
from agent.ui.tool_lines import counted

LISTED = 20
LINE_COLUMNS = 74
"""A number stands before each line, and terminals of 80 columns are common."""

Listed = SessionInfo | LegacySession
"""A line of a list to pick from; `opened` makes a session of it."""


async def find_session(name: str, cwd: Path) -> SessionInfo:
    """The session called `name`, which may be a session file of the reference. Raises `SessionError` when that is none,
    or several."""
    return await asyncio.to_thread(find_saved, name, cwd, state_dir(os.environ), LiveSecrets(os.environ))


def find_saved(name: str, cwd: Path, state: Path, secrets: LiveSecrets) -> SessionInfo:
    """The same for any state directory. A file of the reference becomes a session of our own, and stays as it is.

    Blocks.
    """
    text = name.strip()
    is_file_name = text.endswith(".json")
    path = find_legacy_file(text, cwd) if is_file_name else None
    if path is None:
        try:
            return SessionIndex(state).find(name, cwd)  # titles may end in anything
        except SessionNotFoundError:
            path = required_legacy_file(text, cwd) if is_file_name else find_legacy_file(text, cwd)
            if path is None:
                raise
    return _taken_up(path, state, secrets)


def _taken_up(path: Path, state: Path, secrets: LiveSecrets) -> SessionInfo:
    return SessionIndex(state).find(str(import_snapshot(path, state, secrets)))


def open_legacy_sessions(cwd: Path, state: Path) -> list[LegacySession]:
    """The files in `cwd`/session_logs that our own sessions do not hold yet, newest first. Blocks."""
    return [session for session in legacy_sessions_in(cwd, LISTED) if not is_taken_up(session, state)]


async def opened(chosen: Listed, state: Path) -> SessionInfo:
    """The session behind a line of a list. Raises `SessionError`."""
    if isinstance(chosen, SessionInfo):
        return chosen
    return await asyncio.to_thread(_taken_up, chosen.path, state, LiveSecrets(os.environ))


async def pick_session(cwd: Path) -> SessionInfo | None:
    """The session that the person picks from a list; None to begin a new one.

    Raises EOFError and KeyboardInterrupt, and `SessionError` for a file that cannot be taken up.
    """
    from prompt_toolkit import PromptSession

    listed = await asyncio.to_thread(_all_listed, cwd)
    if not listed:
        print(f"No session was ever held in {cwd}; this is a new one.")
        return None
    for number, item in enumerate(listed, 1):
        print(f"  {number:>{len(str(len(listed)))}}  {session_line(item)}")
    answers: PromptSession[str] = PromptSession()
    while answer := (await answers.prompt_async("Go on with which one? (Enter: none, begin a new one) ")).strip():
        if (chosen := picked(answer, listed)) is not None:
            return await opened(chosen, state_dir(os.environ))
        print(f"There is no number {clip(answer, 20)}; they go from 1 to {len(listed)}.")
    return None


def _all_listed(cwd: Path) -> list[Listed]:
    state = state_dir(os.environ)
    own = SessionIndex(state).list(cwd, limit=LISTED)
    known = {info.id for info in own}
    return [*own, *(session for session in open_legacy_sessions(cwd, state) if session.id not in known)]


def picked(answer: str, listed: Sequence[Listed]) -> Listed | None:
    """The line that `answer` is the number of."""
    is_number = answer.isascii() and answer.isdecimal() and len(answer) <= len(str(len(listed)))
    return listed[int(answer) - 1] if is_number and 1 <= int(answer) <= len(listed) else None


def session_line(item: Listed) -> str:
    """A session in one line: id, time, title, turns."""
    if isinstance(item, LegacySession):
        time, name, about = item.time, item.preview or item.path.name, "from ./session_logs"
    else:
        running = ", running" if item.is_running else ""
        time, name, about = item.last_used, item.title or item.preview, f"{counted(item.turns, 'turn')}{running}"
    head, tail = f"{visible(item.id[:8], keep_newlines=False)}  {_minute(time)}  ", f"  ({about})"
    return f"{head}{clip(name, LINE_COLUMNS - len(head) - len(tail))}{tail}"


def _minute(time: datetime) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M")


async def latest_session(cwd: Path) -> SessionInfo:
    """The session of `cwd` or below that was used last. Raises `SessionNotFoundError`."""
    found = await asyncio.to_thread(SessionIndex(state_dir(os.environ)).list, cwd, limit=1)
    if not found:
        raise SessionNotFoundError(
            f"no session was ever held in {cwd}; 'ml-intern sessions list --all' shows those of other directories"
        )
    return found[0]
