"""The session files of the reference in a directory: which there are, and which one a person means.

A listing reads no file twice, and none in full: only the latest are looked into, and only their beginnings (defect 18).
Their order is that of the times in their names, which no later upload changes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from datetime import datetime
from pathlib import Path

from agent.light_dataclass import dataclass
from agent.sessions.errors import AmbiguousSessionError, SessionNotFoundError
from agent.sessions.index import SHORTEST_PREFIX
from agent.sessions.journal import journal_path
from agent.sessions.records import shortened
from agent.traces.legacy.importing import SAVED_BELOW
from agent.traces.legacy.messages import aware_time, text_of

HEAD_BYTES = 256 << 10
"""So much of a file is read for a listing: the system prompt comes before the first prompt."""

_FILE_NAME = re.compile(r"session_(?P<id>.+)_(?P<stamp>\d{8}_\d{6})\.json")
_MESSAGES = re.compile(r'"messages"\s*:\s*\[')
_STARTED = re.compile(r'"session_start_time"\s*:\s*"([^"\\]{1,40})"')
_SESSION_ID = re.compile(r'"session_id"\s*:\s*"([^"\\]{1,200})"')
_SEPARATOR = re.compile(r"[\s,]*")


@dataclass(frozen=True, slots=True)
class LegacySession:
    """A session file. `time` is when the session was first saved, aware; `preview` how its first prompt begins (empty
    if that stands too far down in the file), `started` when the session began as far as the file tells.

    Texts are as they stand in the file: make them harmless before a terminal gets them.
    """

    id: str
    time: datetime
    preview: str
    path: Path
    started: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Named:
    path: Path
    id: str
    time: datetime


def legacy_sessions_in(cwd: Path, limit: int = 20) -> list[LegacySession]:
    """The sessions in `cwd`/session_logs, newest first, at most `limit`. Files that are no sessions are left out.

    Blocks.
    """
    found: list[LegacySession] = []
    for named in sorted(_named(cwd / SAVED_BELOW), key=lambda named: (named.time, named.path.name), reverse=True):
        if len(found) == limit:
            break
        if (session := _look(named)) is not None:
            found.append(session)
    return found


def is_taken_up(session: LegacySession, state_dir: Path) -> bool:
    """Whether there is a journal of it that is younger than the file: then the file has nothing to add."""
    if session.started is None:
        return False
    try:
        journal = journal_path(state_dir, session.id, session.started)
        return journal.stat().st_mtime_ns >= session.path.stat().st_mtime_ns
    except (OSError, ValueError):
        return False


def find_legacy_file(text: str, cwd: Path) -> Path | None:
    """The session file that `text` means: its path (from `cwd` or its session_logs, `.json` may be left out), its name,
    or how its id or name begins. None: none. Blocks.

    Raises `AmbiguousSessionError` when several go by that.
    """
    if (path := _at_path(text, cwd)) is not None:
        return path
    if len(text) < SHORTEST_PREFIX:
        return None
    matching = [named for named in _named(cwd / SAVED_BELOW) if text in (named.id, named.path.stem)]
    matching = matching or [
        named for named in _named(cwd / SAVED_BELOW) if named.id.startswith(text) or named.path.name.startswith(text)
    ]
    if len(matching) > 1:
        names = ", ".join(sorted(named.path.name for named in matching)[:3])
        raise AmbiguousSessionError(f"{text!r} can mean {names}; give the path of the file")
    return matching[0].path if matching else None


def required_legacy_file(text: str, cwd: Path) -> Path:
    """As `find_legacy_file`. Raises `SessionNotFoundError` when there is none."""
    path = find_legacy_file(text, cwd)
    if path is None:
        raise SessionNotFoundError(f"there is no file {text} here or in ./{SAVED_BELOW}; check its path")
    return path


def _at_path(text: str, cwd: Path) -> Path | None:
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # too long a name, a NUL, no such home
        given = Path(text).expanduser()
        for place in (cwd / given, cwd / SAVED_BELOW / given):
            for path in (place, place.with_name(f"{place.name}.json")):
                if path.suffix == ".json" and path.is_file():
                    return path
    return None


def _named(directory: Path) -> list[_Named]:
    """The files by their names alone."""
    with contextlib.suppress(OSError), os.scandir(directory) as items:
        files = (item for item in items if item.name.endswith(".json") and not item.name.startswith("."))
        return [_by_name(item) for item in files if item.is_file()]
    return []


def _by_name(item: os.DirEntry[str]) -> _Named:
    path = Path(item.path)
    match = _FILE_NAME.fullmatch(item.name)
    with contextlib.suppress(ValueError, OverflowError, OSError):
        if match is not None:
            return _Named(path, match["id"], datetime.strptime(match["stamp"], "%Y%m%d_%H%M%S").astimezone())
    return _Named(path, path.stem, datetime.fromtimestamp(item.stat().st_mtime).astimezone())


def _look(named: _Named) -> LegacySession | None:
    """What the beginning of the file tells; None for a file without messages."""
    try:
        with named.path.open("rb") as file:
            content = file.read(HEAD_BYTES)
    except OSError:
        return None
    head, is_cut = content.decode("utf-8", "replace"), len(content) == HEAD_BYTES
    messages = _MESSAGES.search(head)
    if not head.lstrip("\ufeff \t\r\n").startswith("{") or (messages is None and not is_cut):
        return None
    before = head[: messages.start()] if messages else head
    session_id, started = _SESSION_ID.search(before), _STARTED.search(before)
    return LegacySession(
        id=session_id[1] if session_id else named.id,
        time=named.time,
        preview=_first_prompt(head, messages.end()) if messages else "",
        path=named.path,
        started=aware_time(started[1]) if started else None,
    )


def _first_prompt(head: str, place: int) -> str:
    """How the first message of a person begins, read message by message as far as `head` goes."""
    decoder = json.JSONDecoder()
    while True:
        separator = _SEPARATOR.match(head, place)
        try:
            message, place = decoder.raw_decode(head, separator.end() if separator else place)
            if message["role"] == "user" and (text := shortened(text_of(message["content"]) or "")):
                return text
        except (ValueError, KeyError, TypeError, RecursionError):
            return ""
