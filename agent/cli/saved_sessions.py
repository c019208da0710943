"""Finding the saved session that the person wants to go on with."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from agent.config import state_dir
from agent.sessions.errors import SessionNotFoundError
from agent.sessions.index import SessionIndex, SessionInfo


async def find_session(name: str, cwd: Path) -> SessionInfo:
    """The session called `name`. Raises `SessionError` when that is none, or several."""
    return await asyncio.to_thread(SessionIndex(state_dir(os.environ)).find, name, cwd)


async def latest_session(cwd: Path) -> SessionInfo:
    """The session of `cwd` or below that was used last. Raises `SessionNotFoundError`."""
    found = await asyncio.to_thread(SessionIndex(state_dir(os.environ)).list, cwd, limit=1)
    if not found:
        raise SessionNotFoundError(
            f"no session was ever held in {cwd}; 'ml-intern sessions list --all' shows those of other directories"
        )
    return found[0]
