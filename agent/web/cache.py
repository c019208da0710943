"""Answers kept on this machine, so that the same question is not asked twice: one SQLite file, private to the person.

A cache that fails (a full disk, a broken file) is a cache that has nothing: no request ever fails for its sake.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from agent.light_dataclass import dataclass
from agent.protocol.private_files import make_private_dir

logger = logging.getLogger(__name__)
T = TypeVar("T")

MAX_CACHE_BYTES = 256 << 20
_MAX_ENTRY_BYTES = 32 << 20
_BUSY_S = 2.0
# `size` stands before `body`: SQLite would have to walk through the body to reach what comes after it.
_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS kept_answers (
    key TEXT PRIMARY KEY, stored_at REAL NOT NULL, size INTEGER NOT NULL, url TEXT NOT NULL, headers TEXT NOT NULL,
    body BLOB NOT NULL)
""",
    "CREATE INDEX IF NOT EXISTS kept_answers_by_age ON kept_answers (stored_at, size)",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was stored: `url` is the address it came from in the end, `stored_at` in seconds since 1970."""

    stored_at: float
    url: str
    headers: Mapping[str, str]
    body: bytes


class AnswerCache:
    """Blocking: call it in a thread. Nothing is written or opened before its first use. Several processes may use one
    file at once."""

    def __init__(self, path: Path, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._is_closed = False

    def find(self, key: str) -> Kept | None:
        """What was stored under `key`, however old."""
        row = self._try(
            lambda db: db.execute(
                "SELECT stored_at, url, headers, body FROM kept_answers WHERE key = ?", (key,)
            ).fetchone()
        )
        if row is None:
            return None
        try:
            return Kept(float(row[0]), str(row[1]), dict(json.loads(row[2])), zlib.decompress(row[3]))
        except (ValueError, TypeError, zlib.error):
            return None

    def store(self, key: str, kept: Kept) -> None:
        """Store or replace an answer; the oldest ones make room."""
        body = zlib.compress(kept.body, 1)
        if len(body) > min(_MAX_ENTRY_BYTES, self._max_bytes):
            return
        row = (key, kept.stored_at, len(body), kept.url, json.dumps(dict(kept.headers)), body)
        self._try(lambda db: self._insert(db, row))

    def refresh(self, key: str, stored_at: float) -> None:
        """The server says that the answer still holds."""
        self._try(lambda db: db.execute("UPDATE kept_answers SET stored_at = ? WHERE key = ?", (stored_at, key)))

    def close(self) -> None:
        """Let go of the file, for good: from now on it has nothing and keeps nothing."""
        with self._lock:
            self._is_closed = True
            self._let_go()

    def _insert(self, db: sqlite3.Connection, row: tuple[object, ...]) -> None:
        db.execute("INSERT OR REPLACE INTO kept_answers VALUES (?, ?, ?, ?, ?, ?)", row)
        excess = db.execute("SELECT COALESCE(SUM(size), 0) FROM kept_answers").fetchone()[0] - self._max_bytes
        if excess <= 0:
            return
        for oldest, size in db.execute("SELECT key, size FROM kept_answers ORDER BY stored_at").fetchall():
            db.execute("DELETE FROM kept_answers WHERE key = ?", (oldest,))
            excess -= size
            if excess <= 0:
                return

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        with self._lock:
            for is_second in (False, True):
                if self._is_closed:
                    return None
                try:
                    with self._open() as db:
                        return work(db)
                except (sqlite3.Error, OSError) as error:
                    logger.info("the cache of answers in %s cannot be used: %s", self._path, error)
                    self._let_go()
                    if is_second or not _is_broken(error):
                        return None
                    self._remove()
        return None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            make_private_dir(self._path.parent)
            # SQLite would make it readable for others; its helper files get the mode of this one.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._path.chmod(0o600)
            connection = sqlite3.connect(self._path, timeout=_BUSY_S, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                for statement in _SCHEMA:
                    connection.execute(statement)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _remove(self) -> None:
        """A broken file is replaced by a new one: all that is in it can be asked for again."""
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _is_broken(error: Exception) -> bool:
    """Whether the file is no database or a damaged one, as opposed to one that is busy or may not be written."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
