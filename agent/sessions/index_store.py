"""The database behind agent/sessions/index.py: one row per journal, and how far that has been read.

A cache: made anew when it is broken or of another schema, kept in memory where it cannot be written.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from agent.light_dataclass import dataclass
from agent.sessions.errors import JournalError, JournalFormatError
from agent.sessions.reader import Records
from agent.sessions.records import VERSION
from agent.sessions.summary import Summary

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

FILE_NAME = "index.sqlite3"
SCHEMA = 100 * VERSION + 1
"""Raise it when the table, `Summary` or what goes into it changes: the database is made anew then."""

_CREATE = (
    """CREATE TABLE sessions (
    path TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    end_bytes INTEGER NOT NULL,
    turns INTEGER NOT NULL,
    cwd TEXT NOT NULL,
    last_used TEXT NOT NULL,
    title TEXT NOT NULL,
    prompts TEXT NOT NULL,
    summary TEXT NOT NULL
)""",
    "CREATE INDEX files ON sessions (path, size_bytes, mtime_ns)",
    "CREATE INDEX names ON sessions (path, id, title)",
    "CREATE INDEX uses ON sessions (last_used)",
)
_COLUMNS = "path, id, size_bytes, mtime_ns, end_bytes, turns, cwd, last_used, title, prompts, summary"
_READ = "path, size_bytes, mtime_ns, end_bytes, summary"


@dataclass(slots=True)
class Entry:
    """A journal, and what it amounts to up to `end_bytes`."""

    path: Path
    size_bytes: int
    mtime_ns: int
    end_bytes: int
    summary: Summary

    @property
    def id(self) -> str:
        """The session's id; for a file that has lost its first record, its name."""
        return self.summary.id or self.path.stem

    @property
    def title(self) -> str:
        """What the session is called."""
        return self.summary.title


class Name(NamedTuple):
    """What a session goes by: its file below the sessions' directory, its id, its title (case-folded)."""

    path: str
    id: str
    title: str


def read_entry(path: Path) -> Entry:
    """The entry of a journal that is not in the database. Raises `JournalError` when it cannot be read."""
    entry = Entry(path, 0, 0, 0, Summary())
    _read_on(entry, path.stat())
    return entry


class IndexStore:
    """The open database. Paths in it are relative to the directory of the sessions."""

    def __init__(self, connection: sqlite3.Connection, sessions_dir: Path) -> None:
        self._db = connection
        self._sessions_dir = sessions_dir

    def refresh(self) -> None:
        """Read what has been added to the journals, and forget those that are gone."""
        rows = self._db.execute("SELECT path, size_bytes, mtime_ns FROM sessions")
        known = {path: (size, mtime_ns) for path, size, mtime_ns in rows}
        changed = []
        for path, status in _journals(self._sessions_dir, ""):
            if known.pop(path, None) != (status.st_size, status.st_mtime_ns):
                changed.append((path, status))
        if not known and not changed:
            return
        with self._db:
            self._db.execute(
                "BEGIN IMMEDIATE"
            )  # waits for its turn; rows read from here on are nobody else's to change
            self._db.executemany("DELETE FROM sessions WHERE path = ?", [(path,) for path in known])
            for path, status in changed:
                self._update(path, status)

    def select(self, cwd: Path | None, words: Sequence[str], limit: int | None) -> list[Entry]:
        """Entries that ever had a prompt, taken back or not, latest use first; see `SessionIndex.list`.

        `words` are case-folded.
        """
        conditions, values = ["prompts <> ''"], list[Any]()
        if cwd is not None:
            here = _storable(str(cwd))
            below = here.rstrip(os.sep) + os.sep
            conditions.append("(cwd = ? OR substr(cwd, 1, ?) = ?)")
            values += [here, len(below), below]
        for word in map(_storable, words):
            conditions.append("(instr(title, ?) OR instr(prompts, ?))")
            values += [word, word]
        where = " AND ".join(conditions)
        query = f"SELECT {_READ} FROM sessions WHERE {where} ORDER BY last_used DESC, path DESC LIMIT ?"
        return [self._entry(row) for row in self._db.execute(query, [*values, -1 if limit is None else limit])]

    def names(self) -> list[Name]:
        """What every session goes by, also those in which nothing was said."""
        return [Name(*row) for row in self._db.execute("SELECT path, id, title FROM sessions")]

    def entries(self, names: Iterable[Name]) -> list[Entry]:
        """The entries of these sessions."""
        rows = (self._db.execute(f"SELECT {_READ} FROM sessions WHERE path = ?", (name.path,)) for name in names)
        return [self._entry(row.fetchone()) for row in rows]

    def _entry(self, row: Sequence[Any]) -> Entry:
        path, size_bytes, mtime_ns, end_bytes, summary = row
        return Entry(self._sessions_dir / path, size_bytes, mtime_ns, end_bytes, Summary(**json.loads(summary)))

    def _update(self, path: str, status: os.stat_result) -> None:
        row = self._db.execute(f"SELECT {_READ}, prompts FROM sessions WHERE path = ?", (path,)).fetchone()
        entry, prompts = Entry(self._sessions_dir / path, 0, 0, 0, Summary()), ""
        if row is not None and row[3] <= status.st_size:
            entry, prompts = self._entry(row[:5]), row[5]
        try:
            _read_on(entry, status)
        except JournalError as error:
            logger.warning("left out of the list of sessions: %s", error)
            return
        summary = entry.summary
        prompts = "\n".join([prompts, *summary.prompts]).casefold()
        summary.prompts = []
        texts = (summary.cwd, summary.last_used, summary.title.casefold(), prompts, json.dumps(asdict(summary)))
        numbers = (entry.size_bytes, entry.mtime_ns, entry.end_bytes, summary.turns)
        values = (path, _storable(entry.id), *numbers, *map(_storable, texts))
        self._db.execute(f"REPLACE INTO sessions ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)


def ask(sessions_dir: Path, question: Callable[[IndexStore], Answer]) -> Answer:
    """What `question` finds in the database of `sessions_dir`, brought up to date before.

    A broken one is made anew; where it cannot be used (read-only, disk full, in use for long), one in memory serves.
    """
    path = sessions_dir / FILE_NAME
    for _ in range(2 if sessions_dir.is_dir() else 0):
        try:
            return _ask(_connect(path), sessions_dir, question)
        except (sqlite3.OperationalError, OSError) as error:
            logger.info("the index of sessions is not used: %s", error)
            break
        except sqlite3.DatabaseError as error:
            logger.info("the index of sessions is made anew: %s", error)
            path.unlink(missing_ok=True)
    return _ask(sqlite3.connect(":memory:"), sessions_dir, question)


def _ask(connection: sqlite3.Connection, sessions_dir: Path, question: Callable[[IndexStore], Answer]) -> Answer:
    with contextlib.closing(connection):
        _set_up(connection)
        store = IndexStore(connection, sessions_dir)
        store.refresh()
        return question(store)


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # sqlite would go by the umask
    return sqlite3.connect(path)


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA secure_delete = ON")  # what the person has removed is not to be found in free pages
    if _schema(connection) == SCHEMA:
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if _schema(connection) == SCHEMA:  # another process was faster; its rows must not be dropped
            return
        connection.execute("DROP TABLE IF EXISTS sessions")
        for statement in _CREATE:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _schema(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _journals(directory: Path, below: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every journal in `directory`/`below`, by its path relative to `directory`."""
    try:
        with os.scandir(directory / below) as items:
            for item in items:
                name = f"{below}{item.name}"
                if item.is_dir(follow_symlinks=False):
                    yield from _journals(directory, f"{name}/")
                elif name.endswith(".jsonl") and name.isprintable():
                    with contextlib.suppress(FileNotFoundError):  # removed in this very moment
                        yield name, item.stat()
    except OSError as error:
        logger.info("not listed: %s", error)


def _read_on(entry: Entry, status: os.stat_result) -> None:
    """Bring `entry` up to date with its file."""
    records = Records(entry.path, entry.end_bytes)
    try:
        entry.summary.add_all(records)
        entry.end_bytes = records.end_bytes
    except JournalFormatError:  # a newer program's: what could be read is listed, the rest when that program is used
        entry.end_bytes = status.st_size
    entry.size_bytes, entry.mtime_ns = status.st_size, status.st_mtime_ns


def _storable(text: str) -> str:
    """`text` as the database takes it: undecodable file names hold what is no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
