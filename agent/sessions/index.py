"""Finding sessions again: by project directory, by words, by what the person calls them.

The journals are the truth. What a listing needs of them is kept in a small database beside them, brought up to date at
each listing by reading only what was added to the files since. It can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from agent.light_dataclass import dataclass
from agent.redaction.live import LiveSecrets
from agent.sessions import lock
from agent.sessions.checkpoint_pruning import forget
from agent.sessions.errors import AmbiguousSessionError, JournalBusyError, JournalError, SessionNotFoundError
from agent.sessions.index_store import Entry, IndexStore, Name, ask, read_entry
from agent.sessions.journal import Journal
from agent.sessions.reader import writer_pid
from agent.sessions.records import shortened

SHORTEST_PREFIX = 4
NEAR_MATCHES = 3
_FILES_OF_A_SESSION = ("views/{}.html",)
"""What others keep of a session below the state directory: agent/cli/trace_command.py."""
MOST_DIGITS = 10
"""A longer number is no place in a list."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What a listing says of a session. `preview` is how its first prompt begins; `cost_known` False: `cost_usd` holds
    worst cases. Times are aware.
    """

    id: str
    path: Path
    title: str
    preview: str
    cwd: str
    model: str
    started: datetime
    last_used: datetime
    turns: int
    messages: int
    cost_usd: float
    cost_known: bool
    size_bytes: int
    is_running: bool
    parent: str | None


class SessionIndex:
    """The sessions below one state directory. Every method blocks for the disk: call it in a thread."""

    def __init__(self, state_dir: Path) -> None:
        """Nothing is created before it is used, and nothing at all where there are no sessions."""
        self._state_dir = state_dir
        self._sessions_dir = state_dir / "sessions"

    def list(self, cwd: Path | None = None, query: str = "", limit: int | None = None) -> list[SessionInfo]:
        """Sessions with at least one prompt, latest use first: those of `cwd` and below (None: all) that have all words
        of `query` in title or prompts (case does not matter), at most `limit`.
        """
        words = query.casefold().split()
        return [_info(entry) for entry in ask(self._sessions_dir, lambda store: store.select(cwd, words, limit))]

    def find(self, text: str, cwd: Path | None = None) -> SessionInfo:
        """The session called `text`: its id, the beginning of its id (4 characters or more), its number in the listing
        of `cwd` (from 1), the path of its file, or its title.

        Raises `SessionNotFoundError`, naming what comes near, and `AmbiguousSessionError`, naming what it can mean.
        """
        return _info(ask(self._sessions_dir, lambda store: _find(store, text.strip(), cwd)))

    def remove(self, info: SessionInfo) -> None:
        """Delete a session with all that is kept of it, but for the outbox of uploads: whoever calls this sees to that.

        Raises `JournalBusyError` while it is running, and `JournalError` when it cannot be removed.
        """
        if not info.path.resolve().is_relative_to(self._sessions_dir.resolve()):
            raise JournalError(f"{info.path} is not among the kept sessions; delete the file itself")
        try:
            with _held(info.path):
                if info.id.replace("-", "").isalnum():  # it comes from a file: no way out of the directories below
                    forget(self._state_dir, info.id)
                    for kept in ("spill", "agents"):
                        with contextlib.suppress(FileNotFoundError):
                            shutil.rmtree(self._state_dir / kept / info.id)
                    for kept in _FILES_OF_A_SESSION:
                        (self._state_dir / kept.format(info.id)).unlink(missing_ok=True)
                info.path.unlink()
        except OSError as error:
            raise JournalError(f"{info.id} cannot be removed ({error.strerror or error})") from error
        for directory in info.path.parents[:3]:  # the day, the month, the year
            with contextlib.suppress(OSError):
                directory.rmdir()
        ask(self._sessions_dir, lambda _store: None)  # which forgets what was removed

    def rename(self, info: SessionInfo, title: str, secrets: LiveSecrets) -> None:
        """Give a session a title of the person's. Raises `JournalBusyError` while it is running (where `/rename` does
        it), and `JournalError` when it cannot be written.
        """
        try:
            journal = Journal.reopen(info.path, secrets)
        except JournalBusyError as error:
            raise JournalBusyError(info.path, error.pid, "use /rename there") from error
        journal.append("title", {"title": shortened(title), "by": "person"})
        journal.close()
        if journal.problem:
            raise JournalError(journal.problem)


def _info(entry: Entry) -> SessionInfo:
    facts = entry.summary
    return SessionInfo(
        id=entry.id,
        path=entry.path,
        title=facts.title,
        preview=facts.preview,
        cwd=facts.cwd,
        model=facts.model,
        started=_time(facts.started),
        last_used=_time(facts.last_used),
        turns=facts.turns,
        messages=facts.messages,
        cost_usd=facts.cost_usd,
        cost_known=facts.cost_known,
        size_bytes=entry.size_bytes,
        is_running=not facts.ended and lock.is_locked(entry.path),
        parent=facts.parent,
    )


def _time(ts: str) -> datetime:
    return datetime.fromisoformat(ts or "1970-01-01T00:00:00Z")  # a file need not hold a single good record


def _find(store: IndexStore, text: str, cwd: Path | None) -> Entry:
    names = store.names()
    ways: tuple[Callable[[], list[Entry]], ...] = (
        lambda: store.entries(name for name in names if name.id == text),
        lambda: store.entries(name for name in names if len(text) >= SHORTEST_PREFIX and name.id.startswith(text)),
        lambda: _numbered(store, text, cwd),
        lambda: _in_file(text),
        lambda: store.entries(name for name in names if name.title and name.title == text.casefold()),
    )
    for way in ways:
        found = way()
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousSessionError(f"{text!r} can mean {_said(found)}; give more of the id")
    near = store.entries(_near(text, names)) or store.select(None, text.casefold().split(), NEAR_MATCHES)
    hint = f"; did you mean {_said(near)}?" if near else ""
    raise SessionNotFoundError(f"there is no session {text!r}{hint} (ml-intern sessions list --all shows all)")


def _numbered(store: IndexStore, text: str, cwd: Path | None) -> list[Entry]:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < MOST_DIGITS else 0
    return store.select(cwd, [], number)[number - 1 :] if number else []


def _in_file(text: str) -> list[Entry]:
    path = Path(text).expanduser().absolute()
    return [read_entry(path)] if path.suffix == ".jsonl" and path.is_file() else []


def _near(text: str, names: list[Name]) -> list[Name]:
    """The sessions whose titles or ids are most like `text`."""
    called = {name.title: name for name in names} | {name.id: name for name in names}
    return [called[word] for word in difflib.get_close_matches(text.casefold(), called, NEAR_MATCHES)]


def _said(entries: list[Entry]) -> str:
    shown = [f"{entry.id[:8]} ({entry.title})" if entry.title else entry.id[:8] for entry in entries[:NEAR_MATCHES]]
    more = [f"{len(entries) - NEAR_MATCHES} more"] if len(entries) > NEAR_MATCHES else []
    return ", ".join(shown + more)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Nobody else writes the journal meanwhile."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if not lock.acquire(fd):
            raise JournalBusyError(path, writer_pid(path), "end that one first")
        yield
    finally:
        os.close(fd)
