"""The outbox: which sessions are to be uploaded, and how far that has come.

    <state>/uploads/<session id>.json        waits, or could not be sent
    <state>/uploads/done/<session id>.json   all of it was sent; it comes back when the session goes on
    <state>/uploads/targets.json             trouble with a whole dataset
    <state>/uploads/told.json, public.json   datasets that the person was told of, and those that they have published

A session gets its entry with its first records, while it runs: so it is found however the program ends. Sessions that
were kept while sharing was off have none, and are never sent. All methods block; they raise OSError.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from agent.protocol.messages import utc_now
from agent.protocol.private_files import make_private_dir, write_private
from agent.sessions import lock
from agent.traces.uploads.entries import (
    Delivery,
    Entry,
    Owner,
    Trouble,
    dump,
    load_entry,
    load_stamps,
    load_troubles,
)
from agent.traces.uploads.over import is_over

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOCK_PATIENCE_S = 5.0
NOBODY = Owner()
_TARGETS, _TOLD, _PUBLIC = "targets.json", "told.json", "public.json"
_NO_ENTRIES = frozenset({_TARGETS, _TOLD, _PUBLIC})
_SAFE_ID = re.compile(r"[\w-]{1,128}", re.ASCII)


class Outbox:
    """All entries below one state directory. Nothing is created before something is put in."""

    def __init__(self, state_dir: Path) -> None:
        self._dir = state_dir / "uploads"
        self._sessions_dir = state_dir / "sessions"

    # --- what a session does ------------------------------------------------------------------------------------------

    def add(self, session_id: str, journal: Path, owner: Owner = NOBODY, *, anew: bool = False) -> None:
        """See to it that the session is uploaded once it has ended, again if it was before. Failures are forgotten.

        One that is here already stays its owner's, but for `anew`: from now on it is shared by `owner`.
        """
        make_private_dir(self._dir)
        with self._held():
            known = self._bring_back(session_id)
            if known is None:
                self._write(Entry(session_id, journal.absolute(), utc_now(), owner))
            elif anew and owner.is_known and not known.owner.is_same(owner):
                self._write(replace(known, owner=owner, targets={}))  # what was sent has gone to somebody else's

    def knows(self, session_id: str) -> bool:
        """Whether the session is to be uploaded, or was."""
        return any(path.exists() for path in self._places(session_id))

    def find(self, session_id: str) -> Entry | None:
        """What is known of the session."""
        found = (self._read(path) for path in self._places(session_id))
        return next((entry for entry in found if entry is not None), None)

    def waits(self, entry: Entry) -> bool:
        """Whether the session is still to be sent: neither it nor its entry was removed. Quick."""
        return self._path(entry.session_id).exists() and entry.journal.exists()

    def remove(self, session_id: str) -> None:
        """Forget the session. What is on the Hub stays there."""
        places = self._places(session_id)
        if self._dir.is_dir():
            with self._held():
                for path in places:
                    path.unlink(missing_ok=True)

    def retry_all(self) -> None:
        """Forget all failures: what was given up is tried again."""
        if not self._dir.is_dir():
            return
        with self._held():
            for entry in self.waiting():
                self._write_afresh(entry)

    # --- what sends it ------------------------------------------------------------------------------------------------

    def waiting(self) -> list[Entry]:
        """Entries of which not everything was sent, oldest first."""
        return self._entries(self._dir)

    def done(self) -> list[Entry]:
        """Entries of which everything was sent, oldest first."""
        return self._entries(self._dir / "done")

    def is_empty(self) -> bool:
        """Whether nothing waits. Quick."""
        return not any(self._names(self._dir))

    def has_due(self, now: datetime, targets: Iterable[str], owner: Owner = NOBODY) -> bool:
        """Whether there is something to do now about what `owner` shares: for targets of these names."""
        names, paused = list(targets), self.paused(now)
        mine = (entry for entry in self.waiting() if entry.owner.could_be(owner))
        return any(self.has_work(entry, names, paused, now) for entry in mine)

    def has_work(self, entry: Entry, targets: Collection[str], paused: Collection[str], now: datetime) -> bool:
        """Whether there is something to do now about a session: to send it to one of the targets that are not paused,
        or to put it away, as all have it."""
        try:
            size_bytes = entry.journal.stat().st_size
        except OSError:
            return True  # what has become of it is to be found out
        missing = [name for name in targets if not entry.delivery(name).is_current(size_bytes)]
        is_due = not missing or any(entry.delivery(name).is_due(now) for name in missing if name not in paused)
        return is_due and is_over(entry.journal, now)

    def update(self, session_id: str, target: str, delivery: Delivery) -> None:
        """Keep how far it has come; nothing happens if the session was removed meanwhile."""
        self._change(session_id, lambda entry: replace(entry, targets={**entry.targets, target: delivery}))

    def give_to(self, session_id: str, owner: Owner) -> None:
        """From now on it is known who shares the session."""
        self._change(session_id, lambda entry: replace(entry, owner=owner))

    def name_owner(self, owner: Owner) -> None:
        """The name of the account with this mark has become known."""
        for entry in [*self.waiting(), *self.done()]:
            if entry.owner.mark == owner.mark and entry.owner.user != owner.user:
                self._change(entry.session_id, lambda entry: replace(entry, owner=owner))

    def settle(self, session_id: str, targets: Iterable[str], now: datetime) -> bool:
        """Put the entry away if everything was sent to all `targets`. Returns whether it is away. A session that goes
        on meanwhile stays, or comes back when it says so."""
        with self._held():
            path = self._path(session_id)
            entry = self._read(path)
            if entry is None:
                return True
            try:
                size_bytes = entry.journal.stat().st_size
            except FileNotFoundError:
                path.unlink(missing_ok=True)
                return True
            if not all(entry.delivery(target).is_current(size_bytes) for target in targets):
                return False
            if not is_over(entry.journal, now):
                return False
            make_private_dir(self._dir / "done")
            path.replace(self._dir / "done" / path.name)
            return True

    def is_ours(self, entry: Entry) -> bool:
        """Whether the journal of an entry is that of its session, and lies where journals are kept: what an entry names
        is sent to the Hub."""
        journal = entry.journal.resolve()
        is_own = entry.journal.stem == journal.stem == entry.session_id
        return is_own and journal.is_relative_to(self._sessions_dir.resolve())

    # --- whole datasets -----------------------------------------------------------------------------------------------

    def troubles(self) -> dict[str, Trouble]:
        """Trouble with whole datasets, by name of the target."""
        return _read_as(load_troubles, self._dir / _TARGETS) or {}

    def paused(self, now: datetime) -> frozenset[str]:
        """The targets that are to be left alone for now."""
        return frozenset(name for name, trouble in self.troubles().items() if trouble.is_in_force(now))

    def set_trouble(self, target: str, trouble: Trouble | None) -> None:
        """Remember, or forget, why a dataset takes nothing."""
        if trouble is None and target not in self.troubles():
            return
        with self._held():
            known = {name: each for name, each in self.troubles().items() if name != target}
            _put(self._dir / _TARGETS, dump(known if trouble is None else {**known, target: trouble}))

    def told(self) -> frozenset[str]:
        """The datasets (ids, or templates) that the person was told of."""
        return frozenset(self._stamps(_TOLD))

    def remember_told(self, repos: Iterable[str]) -> None:
        """The person was told of these."""
        self._stamp(_TOLD, lambda known: {**dict.fromkeys(repos, utc_now()), **known})

    def resolve_told(self, template: str, repo: str) -> None:
        """What the person was told of as `template` is `repo`: another account's would be news."""
        if template != repo and template in self.told():
            self._stamp(
                _TOLD, lambda known: {repo if name == template else name: stamp for name, stamp in known.items()}
            )

    def is_published(self, repo: str) -> bool:
        """Whether the person has said here that everyone may read the dataset."""
        return repo in self._stamps(_PUBLIC)

    def set_published(self, repo: str, is_public: bool) -> None:
        """The person wants everyone to read the dataset, or nobody else."""
        if is_public != self.is_published(repo):
            stamp = {repo: utc_now()} if is_public else {}
            self._stamp(_PUBLIC, lambda known: {name: known[name] for name in known if name != repo} | stamp)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _stamps(self, name: str) -> Mapping[str, datetime]:
        return _read_as(load_stamps, self._dir / name) or {}

    def _stamp(self, name: str, change: Callable[[Mapping[str, datetime]], Mapping[str, datetime]]) -> None:
        make_private_dir(self._dir)
        with self._held():
            _put(self._dir / name, dump(change(self._stamps(name))))

    def _bring_back(self, session_id: str) -> Entry | None:
        waits, done = self._places(session_id)
        if not waits.exists() and done.exists():
            done.replace(waits)
        entry = self._read(waits)
        return None if entry is None else self._write_afresh(entry)

    def _write_afresh(self, entry: Entry) -> Entry:
        fresh = replace(entry, targets={name: delivery.afresh() for name, delivery in entry.targets.items()})
        if fresh != entry:
            self._write(fresh)
        return fresh

    def _change(self, session_id: str, change: Callable[[Entry], Entry]) -> None:
        with self._held():
            for path in self._places(session_id):
                entry = self._read(path)
                if entry is not None:
                    self._write(change(entry), path)
                    return

    def _write(self, entry: Entry, path: Path | None = None) -> None:
        journal = entry.journal
        if journal.is_relative_to(self._sessions_dir):  # what is kept may be moved, with all of it
            journal = journal.relative_to(self._sessions_dir)
        _put(path or self._path(entry.session_id), dump(replace(entry, journal=journal)))

    def _read(self, path: Path) -> Entry | None:
        """The entry in a file, None if there is none (that can be read)."""
        entry = _read_as(load_entry, path)
        if entry is None or entry.session_id != path.stem or not _is_safe(entry.session_id):
            return None
        return replace(entry, journal=self._sessions_dir / entry.journal)

    def _entries(self, directory: Path) -> list[Entry]:
        found = (self._read(directory / name) for name in self._names(directory))
        return sorted((entry for entry in found if entry), key=lambda entry: (entry.added_at, entry.session_id))

    def _names(self, directory: Path) -> Iterator[str]:
        with contextlib.suppress(FileNotFoundError), os.scandir(directory) as items:
            for item in items:
                if item.name.endswith(".json") and not item.name.startswith(".") and item.name not in _NO_ENTRIES:
                    yield item.name

    def _places(self, session_id: str) -> tuple[Path, Path]:
        path = self._path(session_id)
        return path, path.parent / "done" / path.name

    def _path(self, session_id: str) -> Path:
        if not _is_safe(session_id):
            raise OSError(f"{session_id!r} is no session that can be uploaded")
        return self._dir / f"{session_id}.json"

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Nobody else changes an entry meanwhile."""
        if not self._dir.is_dir():
            make_private_dir(self._dir)
        fd = os.open(self._dir / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + LOCK_PATIENCE_S
            while not lock.acquire(fd):
                if time.monotonic() > deadline:
                    raise TimeoutError("another process holds the outbox of uploads")
            yield
        finally:
            os.close(fd)


def _is_safe(session_id: str) -> bool:
    return _SAFE_ID.fullmatch(session_id) is not None and f"{session_id}.json" not in _NO_ENTRIES


def _read_as(load: Callable[[bytes], T], path: Path) -> T | None:
    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("%s cannot be read: %s", path, type(error).__name__)
        return None


def _put(path: Path, data: bytes) -> None:
    write_private(path, data, overwrite=True, durable=True)
