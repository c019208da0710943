"""What a turn changed: the state of things before it, compared with the state after."""

from __future__ import annotations

import logging
import math
import os
import posixpath
import stat
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from agent.sessions.checkpoint_contents import Contents, StatusCache, fingerprint, state_at, state_of
from agent.sessions.checkpoint_credentials import holds_credentials
from agent.sessions.checkpoint_states import (
    ABSENT,
    DIRECTORIES,
    RESTORABLE,
    STOPPED,
    Kind,
    Limits,
    Record,
    State,
    StoppedError,
    named,
    was_absent,
)
from agent.sessions.checkpoint_walk import Listing, list_tree

logger = logging.getLogger(__name__)

_WHY: dict[Kind, str] = {
    "large": "too large to be kept",
    "excess": "more than is kept in one turn",
    "uncopied": "no copy could be made",
    "unreadable": "cannot be read",
    "special": "no regular files",
    "skipped": "never kept",
    "credential": "credentials are not copied",
}
_COPIED_WHEN_NAMED: frozenset[Kind] = frozenset({"large", "excess", "credential"})
"""What a survey only takes note of."""
_NO_CONTENT = -1
"""As a limit in bytes: files are told apart by their status only."""


class Survey:
    """Looks at the files of one workspace, and at others that are named. Blocking, until `stop` is set."""

    def __init__(
        self,
        workspace: str,
        avoided: str,
        contents: Contents,
        cache: StatusCache,
        limits: Limits,
        stop: threading.Event,
    ) -> None:
        self._workspace, self._avoided = workspace, avoided
        self._contents, self._cache, self._limits, self._stop = contents, cache, limits, stop

    def before(self) -> Listing:
        """The whole workspace, copies kept. Raises OSError if there is no such directory."""
        keep = self._contents.keeper(self._limits.copied_bytes)
        most_bytes = self._limits.file_bytes

        def look(path: str, status: os.stat_result) -> State:
            return _credential(path, status) or state_of(path, status, most_bytes, keep)

        listing = list_tree(self._workspace, self._avoided, self._limits, look, self._stop)
        if not listing.is_stopped:
            self._cache.save(listing.states.keys())
        return listing

    def before_path(self, path: str, before: Mapping[str, State]) -> dict[str, State]:
        """What is to be added to `before` for a file that a tool is about to write: itself, and missing parents.

        Raises StoppedError.
        """
        if not self._is_needed(path, before):
            return {}
        state = self._unless_absent(path, before)
        if state.kind in DIRECTORIES:  # nothing can be written there
            return {}
        found = {path: state}
        while state.kind == "absent" and (path := posixpath.dirname(path)) not in before:
            state = self._unless_absent(path, before)
            if state.kind == "absent":
                found[path] = state
        return found

    def finished(self, record: Record, within_s: float = math.inf) -> Record:
        """The record of a turn that ends now.

        A walk and what else is to be looked at may each take `within_s`; what is not looked at by then is left out.
        """
        before = record.before
        listing = self._listing_after(record.root, before, within_s) if record.root else Listing()
        changed: dict[str, tuple[State, State]] = {}
        deadline = time.monotonic() + within_s
        for path, was in before.items():
            now = listing.states.get(path) or self._after(path, was, deadline)
            if now is None:
                listing.notes.append(STOPPED)
            elif _differ(was, now):
                changed[path] = (was, now)
        for path, now in listing.states.items():
            if path not in before and now.kind != "absent" and was_absent(before, path):
                changed[path] = (ABSENT, now)
        whole = {path: pair for path, pair in changed.items() if {state.kind for state in pair} <= RESTORABLE}
        lost = {path: pair for path, pair in changed.items() if path not in whole}
        notes = [*record.notes, *listing.notes, *_not_kept(lost, self._workspace)]
        return replace(
            record,
            before={path: was for path, (was, _) in whole.items()},
            after={path: now for path, (_, now) in whole.items()},
            notes=tuple(dict.fromkeys(notes)),
            baseline="",
        )

    def now(self, path: str) -> State:
        """What is at a path, content included where it can be kept. Raises StoppedError."""
        if self._stop.is_set():
            raise StoppedError
        return state_at(path, self._limits.exact_file_bytes, self._contents.digest)

    def kept(self, path: str) -> State:
        """What is at a path, of which a copy is kept. Raises StoppedError."""
        most_bytes = self._limits.exact_file_bytes
        return state_at(path, most_bytes, self._contents.keeper(most_bytes))

    def _is_needed(self, path: str, before: Mapping[str, State]) -> bool:
        """Not if it is known; but a file too large for a survey can be kept while nobody has changed it."""
        was = before.get(path)
        if was is None or was.kind not in _COPIED_WHEN_NAMED:
            return was is None
        return was.content == state_at(path, _NO_CONTENT, self._contents.digest).content

    def _unless_absent(self, path: str, before: Mapping[str, State]) -> State:
        # What the turn itself has made by now was absent before, whatever is there.
        return ABSENT if was_absent(before, path) else self.kept(path)

    def _listing_after(self, root: str, before: Mapping[str, State], within_s: float) -> Listing:
        def look(path: str, status: os.stat_result) -> State:
            was = before.get(path)
            if was is None and not was_absent(before, path):
                return ABSENT  # nobody knows what was there
            if was is None and (credential := _credential(path, status)):
                return credential
            return state_of(path, status, self._most_bytes(was), self._contents.digest)

        limits = replace(self._limits, walk_s=min(self._limits.walk_s, within_s))
        try:
            return list_tree(root, self._avoided, limits, look, self._stop)
        except OSError as error:
            logger.warning("the workspace %r cannot be looked at: %s", root, error)
            return Listing(notes=["the workspace is no longer where it was"])

    def _after(self, path: str, was: State, deadline: float) -> State | None:
        """What is at a path now, None if there is no time to look."""
        if self._stop.is_set() or time.monotonic() >= deadline:
            return None
        try:
            return state_at(path, self._most_bytes(was), self._contents.digest)
        except StoppedError:
            return None

    def _most_bytes(self, was: State | None) -> int:
        return self._limits.exact_file_bytes if was is None or was.kind in RESTORABLE else _NO_CONTENT


def _credential(path: str, status: os.stat_result) -> State | None:
    if stat.S_ISREG(status.st_mode) and holds_credentials(path):
        return State("credential", fingerprint(status))
    return None


def _differ(was: State, now: State) -> bool:
    if was.kind in DIRECTORIES and now.kind in DIRECTORIES:
        return was.kind == now.kind and was.mode != now.mode
    if was.kind not in RESTORABLE and was.kind not in DIRECTORIES:
        return was.content != now.content
    return was != now


def _not_kept(lost: Mapping[str, tuple[State, State]], workspace: str) -> list[str]:
    """Why these changes cannot be undone; not a word of caches and environments that the turn made."""
    by_kind: defaultdict[Kind, list[str]] = defaultdict(list)
    for path, (was, now) in lost.items():
        if was.kind not in RESTORABLE or now.kind not in DIRECTORIES:
            by_kind[now.kind if was.kind in RESTORABLE else was.kind].append(path)
    return [f"{why}: {named(by_kind[kind], workspace)}" for kind, why in _WHY.items() if kind in by_kind]
