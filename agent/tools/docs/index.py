"""Books of documentation on disk, searchable: one SQLite file with full-text search (FTS5), private to the person.

Each edition of a book has a table of passages of its own: a search looks through that book only, words are weighed by
how rare they are in it, and a new edition takes the old one's place in one step. A file that cannot be used is
replaced by memory: what is lost is only kept text.
"""

from __future__ import annotations

import bisect
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from agent.light_dataclass import dataclass
from agent.protocol.private_files import make_private_dir
from agent.tools.docs.llms_txt import Page
from agent.tools.docs.passages import Passage, passages_of
from agent.tools.docs.words import TOKENIZER, name_parts

logger = logging.getLogger(__name__)
T = TypeVar("T")

FILE_NAME = "docs-1.sqlite"
"""The number belongs to the layout below: a new layout is a new file."""
KEPT_S = 30 * 86_400.0
"""A book that nobody has asked about for so long is let go of."""
_ABANDONED_S = 3_600.0
_BUSY_S = 5.0
_WEIGHTS = "3.0, 2.0, 1.5, 1.0"
_LAYOUT = """
CREATE TABLE IF NOT EXISTS editions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, book TEXT NOT NULL, source TEXT NOT NULL, etag TEXT NOT NULL,
    digest TEXT NOT NULL, fetched_at REAL NOT NULL, fresh_until REAL NOT NULL, is_ready INTEGER NOT NULL,
    is_filled INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pages (
    edition INTEGER NOT NULL, position INTEGER NOT NULL, title TEXT NOT NULL, url TEXT NOT NULL, key TEXT NOT NULL,
    versionless TEXT NOT NULL, first_passage INTEGER NOT NULL, last_passage INTEGER NOT NULL, is_read INTEGER NOT NULL,
    PRIMARY KEY (edition, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pages_by_name ON pages (versionless);
"""


class IndexFailure(Exception):
    """The file could not be used. It has been replaced by memory: the same asked again starts from nothing."""


@dataclass(frozen=True, slots=True)
class Source:
    """What an edition was made from: the address, its ETag ("" if it has none), the SHA-256 of what it said in hex,
    and when it was read, in seconds since 1970."""

    url: str
    etag: str
    digest: str
    fetched_at: float


@dataclass(frozen=True, slots=True)
class Edition:
    """A book as it is stored. `fresh_until` in seconds since 1970. `pages` of which `unread` are known by title only.
    `is_filled`: pages were read one by one after it was made."""

    id: int
    source: Source
    fresh_until: float
    is_filled: bool
    pages: int
    unread: int


@dataclass(frozen=True, slots=True)
class NamedPage:
    """A page to be stored, with the two keys it is found by ("" where it is not)."""

    page: Page
    key: str
    versionless: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A page of a book and the passage of it that fits best, or its first. `score`: more is better; 0 if not searched.

    `is_read` False: only its title is known, and `content` is what the list says of it.
    """

    edition: int
    position: int
    title: str
    url: str
    is_read: bool
    score: float
    passage: Passage


class DocsIndex:
    """Blocking: call it in a thread, from any number of them. Nothing is opened before its first use.

    All methods raise IndexFailure. `path` None: everything is kept in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    # --- making an edition -------------------------------------------------------------------------------------------

    def begin(self, book: str, source: Source) -> int:
        """A new edition of `book`, empty and not yet found by anybody. Its id."""

        def work(db: sqlite3.Connection) -> int:
            row = (book, source.url, source.etag, source.digest, source.fetched_at)
            cursor = db.execute(
                "INSERT INTO editions (book, source, etag, digest, fetched_at, fresh_until, is_ready, is_filled) "
                "VALUES (?, ?, ?, ?, ?, 0, 0, 0)",
                row,
            )
            edition = int(cursor.lastrowid or 0)
            db.execute(
                f"CREATE VIRTUAL TABLE {_table(edition)} USING fts5("
                f'title, heading, ident, content, first_line UNINDEXED, last_line UNINDEXED, tokenize="{TOKENIZER}")'
            )
            return edition

        return self._change(work)

    def add(self, edition: int, first_position: int, pages: Sequence[NamedPage]) -> None:
        """Store `pages` at positions from `first_position` on. What takes time is done before the file is held."""
        prepared = [(each, _rows(each.page.title, _passages(each.page))) for each in pages]

        def work(db: sqlite3.Connection) -> None:
            for position, (each, rows) in enumerate(prepared, first_position):
                first, last = _store(db, edition, rows)
                page, is_read = each.page, each.page.text is not None
                db.execute(
                    "INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (edition, position, page.title, page.url, each.key, each.versionless, first, last, is_read),
                )

        self._change(work)

    def finish(self, book: str, edition: int, fresh_until: float) -> None:
        """From now on this is the book; older editions of it go."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("UPDATE editions SET is_ready = 1, fresh_until = ? WHERE id = ?", (fresh_until, edition))
            fetched_at = db.execute("SELECT fetched_at FROM editions WHERE id = ?", (edition,)).fetchone()[0]
            _drop(
                db,
                "book = ? AND id <> ? AND (is_ready OR fetched_at < ?)",
                (book, edition, fetched_at - _ABANDONED_S),
            )

        self._change(work)

    def fill(self, edition: int, position: int, text: str) -> None:
        """The text of a page of which only the title was known."""

        def work(db: sqlite3.Connection) -> None:
            row = db.execute(
                "SELECT title, first_passage, last_passage FROM pages "
                "WHERE edition = ? AND position = ? AND NOT is_read",
                (edition, position),
            ).fetchone()
            if row is None:  # somebody else was quicker
                return
            title, first, last = row
            db.execute(f"DELETE FROM {_table(edition)} WHERE rowid BETWEEN ? AND ?", (first, last))
            first, last = _store(db, edition, _rows(title, passages))
            db.execute(
                "UPDATE pages SET first_passage = ?, last_passage = ?, is_read = 1 WHERE edition = ? AND position = ?",
                (first, last, edition, position),
            )
            db.execute("UPDATE editions SET is_filled = 1 WHERE id = ?", (edition,))

        passages = _passages(Page("", "", text))
        self._change(work)

    def keep_fresh(self, edition: int, fresh_until: float) -> None:
        """The book has not changed."""
        self._change(lambda db: db.execute("UPDATE editions SET fresh_until = ? WHERE id = ?", (fresh_until, edition)))

    def tidy(self, now: float) -> None:
        """Let go of books that nobody has asked about for long, and of what was left half made."""
        parts = "(is_ready AND fresh_until < ?) OR (NOT is_ready AND fetched_at < ?)"
        self._change(lambda db: _drop(db, parts, (now - KEPT_S, now - _ABANDONED_S)))

    # --- reading -----------------------------------------------------------------------------------------------------

    def find(self, book: str) -> Edition | None:
        """The edition of `book` that there is, however old."""
        return self._read(lambda db: _newest(db, book))

    def search(self, book: str, expression: str, limit: int) -> tuple[list[Hit], int]:
        """The `limit` best pages of `book` for an FTS5 expression, best first, and how many fit at all."""

        def work(db: sqlite3.Connection) -> tuple[list[Hit], int]:
            if (edition := _newest(db, book)) is None:
                return [], 0
            rows = _page_rows(db, edition.id)
            by_passage = sorted(range(len(rows)), key=lambda index: rows[index][3])
            starts = [rows[index][3] for index in by_passage]
            best: dict[int, tuple[int, float]] = {}
            query = f"SELECT rowid, bm25({_table(edition.id)}, {_WEIGHTS}) AS score FROM {_table(edition.id)} "
            for rowid, score in db.execute(f"{query} WHERE {_table(edition.id)} MATCH ? ORDER BY score", (expression,)):
                best.setdefault(by_passage[bisect.bisect_right(starts, rowid) - 1], (rowid, -score))
            ranked = sorted(best.items(), key=lambda item: (-item[1][1], item[0]))[:limit]
            return [_hit(db, edition.id, rows[index], rowid, score) for index, (rowid, score) in ranked], len(best)

        return self._read(work)

    def first(self, book: str, limit: int, *, unread_only: bool = False) -> list[Hit]:
        """The first pages of `book` in its own order."""

        def work(db: sqlite3.Connection) -> list[Hit]:
            if (edition := _newest(db, book)) is None:
                return []
            rows = [row for row in _page_rows(db, edition.id) if not (unread_only and row[4])][:limit]
            return [_hit(db, edition.id, row, row[3], 0.0) for row in rows]

        return self._read(work)

    def page(self, key: str, versionless: str, fresh_at: float) -> tuple[str, str] | None:
        """Address and whole text of a page in an edition that is fresh at `fresh_at`, if it is here and was read.

        A key that says no version means the book as it is now.
        """

        def work(db: sqlite3.Connection) -> tuple[str, str] | None:
            column, value = ("versionless", versionless) if key == versionless else ("key", key)
            row = db.execute(
                "SELECT p.edition, p.url, p.first_passage, p.last_passage FROM pages p JOIN editions e "
                f"ON e.id = p.edition WHERE p.versionless = ? AND p.{column} = ? AND p.is_read AND e.is_ready "
                "AND e.fresh_until > ? ORDER BY e.id DESC LIMIT 1",
                (versionless, value, fresh_at),
            ).fetchone()
            if row is None:
                return None
            edition, url, first, last = row
            contents = db.execute(
                f"SELECT content FROM {_table(edition)} WHERE rowid BETWEEN ? AND ? ORDER BY rowid", (first, last)
            )
            return str(url), "".join(content for (content,) in contents)

        return self._read(work)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._let_go()

    # --- the file ----------------------------------------------------------------------------------------------------

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work` on one state of the file, whatever others write meanwhile."""
        return self._within("BEGIN", work)

    def _change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return self._within("BEGIN IMMEDIATE", work)

    def _within(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                db = self._open()
                db.execute(begin)
                try:
                    result = work(db)
                except BaseException:
                    db.execute("ROLLBACK")
                    raise
                db.execute("COMMIT")
            except (sqlite3.Error, OSError) as error:
                where = self._path or "memory"
                logger.warning("the index of documentation in %s cannot be used: %s", where, error)
                self._give_up(is_broken=type(error) is sqlite3.DatabaseError)
                raise IndexFailure(f"The index of documentation in {where} cannot be used ({error}).") from error
            return result

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            if self._path is not None:
                make_private_dir(self._path.parent)
            self._db = sqlite3.connect(
                self._path or ":memory:", timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_LAYOUT)
        return self._db

    def _let_go(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _give_up(self, *, is_broken: bool) -> None:
        """Go on in memory. A file that is no database any more is removed: the next run makes a new one."""
        self._let_go()
        if is_broken and self._path is not None:
            for name in (self._path, f"{self._path}-wal", f"{self._path}-shm"):
                with contextlib.suppress(OSError):
                    Path(name).unlink(missing_ok=True)
        self._path = None


def _table(edition: int) -> str:
    return f"passages_{int(edition)}"


def _passages(page: Page) -> list[Passage]:
    """What is stored of a page: its passages; for one known by title only what the list says of it."""
    found = list(passages_of(page.text)) if page.text else []
    return found or [Passage("", page.about, 1, 1)]


_Row = tuple[str, str, str, str, int, int]
"""title, heading, ident, content, first_line, last_line."""


def _rows(title: str, passages: Sequence[Passage]) -> list[_Row]:
    titled = name_parts(title)
    return [
        (title, each.heading, f"{titled} {name_parts(each.content)}", each.content, each.first_line, each.last_line)
        for each in passages
    ]


def _store(db: sqlite3.Connection, edition: int, rows: Sequence[_Row]) -> tuple[int, int]:
    """Store passages behind all others; the numbers of the first and the last."""
    last = db.execute(f"SELECT rowid FROM {_table(edition)} ORDER BY rowid DESC LIMIT 1").fetchone()
    highest = last[0] if last is not None else 0
    db.executemany(f"INSERT INTO {_table(edition)} VALUES (?, ?, ?, ?, ?, ?)", rows)
    return highest + 1, highest + len(rows)


def _drop(db: sqlite3.Connection, condition: str, values: tuple[object, ...]) -> None:
    for (edition,) in db.execute(f"SELECT id FROM editions WHERE {condition}", values).fetchall():
        db.execute(f"DROP TABLE IF EXISTS {_table(edition)}")
        db.execute("DELETE FROM pages WHERE edition = ?", (edition,))
        db.execute("DELETE FROM editions WHERE id = ?", (edition,))


def _newest(db: sqlite3.Connection, book: str) -> Edition | None:
    row = db.execute(
        "SELECT id, source, etag, digest, fetched_at, fresh_until, is_filled, "
        "(SELECT COUNT(*) FROM pages WHERE edition = id), "
        "(SELECT COUNT(*) FROM pages WHERE edition = id AND NOT is_read) "
        "FROM editions WHERE book = ? AND is_ready ORDER BY id DESC LIMIT 1",
        (book,),
    ).fetchone()
    return row and Edition(row[0], Source(*row[1:5]), row[5], bool(row[6]), row[7], row[8])


def _page_rows(db: sqlite3.Connection, edition: int) -> list[tuple[int, str, str, int, int]]:
    """position, title, url, first passage, is_read; in the book's order."""
    return db.execute(
        "SELECT position, title, url, first_passage, is_read FROM pages WHERE edition = ? ORDER BY position", (edition,)
    ).fetchall()


def _hit(db: sqlite3.Connection, edition: int, page: tuple[int, str, str, int, int], rowid: int, score: float) -> Hit:
    position, title, url, _first, is_read = page
    row = db.execute(
        f"SELECT heading, content, first_line, last_line FROM {_table(edition)} WHERE rowid = ?", (rowid,)
    ).fetchone()
    return Hit(edition, position, title, url, bool(is_read), score, Passage(*row))
