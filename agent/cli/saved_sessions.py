"""Finding the saved session that the person wants to go on with."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from agent.config import state_dir
from agent.sessions.errors import SessionNotFoundError
from agent.sessions.index import SessionIndex, SessionInfo
from agent.ui.sanitize import clip
from agent.ui.tool_lines import counted

LISTED = 20
TITLE_COLUMNS = 36


async def find_session(name: str, cwd: Path) -> SessionInfo:
    """The session called `name`. Raises `SessionError` when that is none, or several."""
    return await asyncio.to_thread(SessionIndex(state_dir(os.environ)).find, name, cwd)


async def pick_session(cwd: Path) -> SessionInfo | None:
    """The session that the person picks from a list; None to begin a new one. Raises EOFError and KeyboardInterrupt."""
    from prompt_toolkit import PromptSession

    listed = await asyncio.to_thread(SessionIndex(state_dir(os.environ)).list, cwd, limit=LISTED)
    if not listed:
        print(f"No session was ever held in {cwd}; this is a new one.")
        return None
    for number, info in enumerate(listed, 1):
        print(f"  {number:>{len(str(len(listed)))}}  {session_line(info)}")
    answers: PromptSession[str] = PromptSession()
    while answer := (await answers.prompt_async("Go on with which one? (Enter: none, begin a new one) ")).strip():
        if answer.isdecimal() and 1 <= int(answer) <= len(listed):
            return listed[int(answer) - 1]
        print(f"There is no number {clip(answer, 20)}; they go from 1 to {len(listed)}.")
    return None


def session_line(info: SessionInfo) -> str:
    """A session in one line: id, time, title, turns."""
    name = clip(info.title or info.preview, TITLE_COLUMNS)
    used = info.last_used.astimezone().strftime("%Y-%m-%d %H:%M")
    running = ", running" if info.is_running else ""
    return f"{info.id[:8]}  {used}  {name}  ({counted(info.turns, 'turn')}{running})"


async def latest_session(cwd: Path) -> SessionInfo:
    """The session of `cwd` or below that was used last. Raises `SessionNotFoundError`."""
    found = await asyncio.to_thread(SessionIndex(state_dir(os.environ)).list, cwd, limit=1)
    if not found:
        raise SessionNotFoundError(
            f"no session was ever held in {cwd}; 'ml-intern sessions list --all' shows those of other directories"
        )
    return found[0]
