"""File checkpoints: what a turn changes can be undone.

    before a tool call: what it may change is recorded, with copies  (a file it names, or a survey of the workspace)
    after the turn:     what did change is kept, the rest forgotten
    restore:            turns are undone, newest first; what somebody else has changed since is left alone

Copies and manifests lie outside the workspace (see `checkpoint_store`); a version-control system has no part in it.
Trouble never fails a tool call: it is logged, and said where it matters, at the restore.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import field
from functools import cached_property
from pathlib import Path

from agent.light_dataclass import dataclass
from agent.sessions.checkpoint_baseline import Baseline
from agent.sessions.checkpoint_changes import (
    FileChange,
    WorkspaceChanges,
    content_before,
    content_now,
    find_changes,
)
from agent.sessions.checkpoint_contents import Contents, StatusCache
from agent.sessions.checkpoint_restore import Plan, carry_out, plan_restore
from agent.sessions.checkpoint_states import (
    Limits,
    Record,
    RestoreReport,
    State,
    StoppedError,
    TurnChanges,
    display_all,
    joined,
    named,
)
from agent.sessions.checkpoint_store import Store
from agent.sessions.checkpoint_survey import Survey

__all__ = ["Checkpoints", "FileChange", "Limits", "RestoreReport", "TurnChanges", "WorkspaceChanges"]

logger = logging.getLogger(__name__)

_DEFAULT_LIMITS = Limits()


@dataclass(slots=True)
class _OpenTurn:
    turn_id: str
    number: int | None = None
    before: dict[str, State] = field(default_factory=dict)
    root: str = ""
    notes: list[str] = field(default_factory=list)

    def record(self) -> Record:
        return Record(self.turn_id, self.before, None, self.root, tuple(self.notes))


class Checkpoints:
    """The checkpoints of one session in one workspace.

    All methods but `begin_turn`, `leave_turn` and `interrupt` block: call them in a thread. None but `contents` raises
    for trouble with files.
    """

    def __init__(self, state_dir: Path, session_id: str, workspace: Path, limits: Limits = _DEFAULT_LIMITS) -> None:
        """Touches no disk. Raises ValueError for a session id that is no plain name."""
        self._state_dir, self._raw_workspace, self._limits = state_dir, workspace, limits
        self._store = Store.below(state_dir)
        self._blobs = self._store.blobs()
        self._manifests = self._store.manifests(session_id)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._turn: _OpenTurn | None = None
        self._left: deque[_OpenTurn] = deque()
        """Turns that are over and whose end is still to be looked at."""
        self._unsaved: list[Record] = []
        """Turns whose manifest could not be written: a restore should at least say so."""

    def begin_turn(self, turn_id: str) -> None:
        """A turn begins, named by the id of the person's message. Goes on with it if it is the one that is open."""
        if self._turn is None or self._turn.turn_id != turn_id:
            self._turn = _OpenTurn(turn_id)

    def interrupt(self) -> None:
        """Do not let a person wait, from any thread: what goes on ends at once, with what it has by then.

        A turn that ends after this is looked at for a moment only, unless something else has begun in between. Files
        that are being put back are, all of them.
        """
        self._stop.set()

    def before_change(self, paths: tuple[Path, ...] | None) -> None:
        """Record these files, or with None the whole workspace, unless this turn has done so before.

        To be called before a tool call that may change them. Once it has returned the turn can be undone, whatever
        becomes of this process.
        """
        if paths == ():
            return
        with self._lock:
            turn = self._turn
            if turn is None:
                logger.error("a tool call outside of a turn: its changes cannot be undone")
                return
            self._stop.clear()
            try:
                with self._store.writing(self._stop):
                    if self._add(turn, paths):
                        self._save(turn)
            except (OSError, StoppedError) as error:
                logger.warning("no checkpoint: %s", error)
                turn.notes.append(f"no copies could be kept ({_cause(error)})")

    def leave_turn(self) -> None:
        """The turn is over, however it ended; `end_turn` looks at its end. No I/O: another may begin at once."""
        turn, self._turn = self._turn, None
        if turn is not None:
            self._left.append(turn)

    def end_turn(self) -> TurnChanges | None:
        """What the turn that was left (or is open) has changed, None if that is nothing and all was covered."""
        with self._lock:
            within_s = self._limits.stopped_s if self._stop.is_set() else math.inf
            self._stop.clear()
            if not self._left:
                self.leave_turn()
            turn = self._left.popleft() if self._left else None
            if turn is None or not (turn.before or turn.notes):
                return None
            return self._finish(turn.number, turn.record(), within_s)

    def adopt_unfinished(self) -> None:
        """Finish the turns of a process that was killed: what is there now is taken for what they left.

        To be called when the session is resumed.
        """
        with self._lock:
            self._stop.clear()
            try:
                records, _ = self._manifests.load()
            except OSError as error:
                logger.warning("the checkpoints cannot be read: %s", error)
                return
            for number, record in records:
                if record.after is None and not self._stop.is_set():
                    self._finish(number, record)

    def inherit(self, session_id: str) -> None:
        """Take over the turns of the session that this one was forked from, to undo them here too.

        One that goes on there is left out. Raises ValueError for an id that is no plain name.
        """
        parent = self._store.manifests(session_id)
        with self._lock:
            self._stop.clear()
            try:
                with self._store.writing(self._stop):
                    records, _ = parent.load()
                    for number, record in records:
                        if record.after is not None:
                            self._manifests.save(number, record)
            except (OSError, StoppedError) as error:
                logger.warning("the checkpoints of %s are not taken over: %s", session_id, error)

    def changes(self) -> WorkspaceChanges:
        """What is different from before the first turn that is known of this session, whoever has had a part in it.

        Raises StoppedError.
        """
        with self._lock:
            self._stop.clear()
            try:
                records, notes = self._records()
                files, more = find_changes(records, self._survey.now, self._workspace)
            except OSError as error:
                logger.warning("the checkpoints cannot be read: %s", error)
                return WorkspaceChanges((), f"the checkpoints cannot be read ({_cause(error)})")
        return WorkspaceChanges(files, joined([*notes, *more]))

    def contents(self, change: FileChange, most_bytes: int) -> tuple[bytes | None, bytes | None]:
        """What a file held before and holds now, None where there is none (a link: where it leads).

        Raises OSError that says why it cannot be shown, as when it has more than `most_bytes`, and StoppedError.
        """
        return content_before(change, self._blobs, most_bytes), content_now(change, self._contents, most_bytes)

    def restore(self, turn_ids: Sequence[str]) -> RestoreReport:
        """Undo what these turns did to files; the order of the ids does not matter. If cut off, it can be done again.

        What is replaced or removed is kept as well, in a `restored-…` manifest and its copies; where that is impossible
        nothing is changed.
        """
        with self._lock:
            self._stop.clear()
            try:
                with self._store.writing(self._stop):
                    records, notes = self._records(turn_ids)
                    plan = self._kept_safe(plan_restore(records, self._survey.now))
                    if plan.target:
                        self._manifests.save_restored(Record("", plan.now, plan.target))
                    outcome = carry_out(plan, self._blobs)  # its copies must not be removed meanwhile
            except (OSError, StoppedError) as error:
                return _nothing_restored(error)
        failures = [f"{named([path], self._workspace)}: {why}" for path, why in outcome.failed.items()]
        kept = dict.fromkeys([*plan.kept, *outcome.failed])
        return self._report(outcome.restored, kept, [*notes, *failures])

    # --- within -----------------------------------------------------------------------------------------------------

    @cached_property
    def _workspace(self) -> str:
        return os.path.realpath(self._raw_workspace)

    @cached_property
    def _cache(self) -> StatusCache:
        return StatusCache(self._store.status_path(self._workspace))

    @cached_property
    def _contents(self) -> Contents:
        return Contents(self._blobs, self._cache, self._stop)

    @cached_property
    def _survey(self) -> Survey:
        avoided = os.path.realpath(self._state_dir)
        return Survey(self._workspace, avoided, self._contents, self._cache, self._limits, self._stop)

    @cached_property
    def _baseline(self) -> Baseline:
        return Baseline(self._blobs, self._store.baseline_path(self._workspace), self._limits.named_paths)

    def _add(self, turn: _OpenTurn, paths: tuple[Path, ...] | None) -> bool:
        """Record what is not recorded yet; tells whether that is to be saved. Raises OSError, StoppedError."""
        if paths is None:
            if turn.root:
                return False
            listing = self._survey.before()
            turn.notes += listing.notes
            for found_path, state in listing.states.items():
                turn.before.setdefault(found_path, state)  # what is known longer is the state before the turn
            if listing.is_stopped:  # nobody surveys it again, nor runs the call that this was for
                return False
            turn.root = self._workspace
            return True
        found: dict[str, State] = {}
        for path in paths:
            found |= self._survey.before_path(_located(path), turn.before | found)
        turn.before |= found
        return bool(found)

    def _save(self, turn: _OpenTurn) -> None:
        if turn.number is None:
            turn.number = self._manifests.next_number()
        delta = self._baseline.delta(turn.before) if turn.root else None
        self._manifests.save(turn.number, turn.record(), delta)

    def _finish(self, number: int | None, record: Record, within_s: float = math.inf) -> TurnChanges | None:
        finished = self._survey.finished(record, within_s)
        try:
            self._keep(number, finished)
        except OSError as error:
            logger.warning("the checkpoint of a turn is not written: %s", error)
            if number is None:
                self._unsaved.append(finished)
        if not (finished.before or finished.notes):
            return None
        paths = display_all(finished.before, self._workspace)
        return TurnChanges(finished.turn_id, paths, joined(finished.notes))

    def _keep(self, number: int | None, finished: Record) -> None:
        if finished.before or finished.notes:
            self._manifests.save(number or self._manifests.next_number(), finished)
        elif number is not None:
            self._manifests.remove(number)

    def _records(self, turn_ids: Sequence[str] | None = None) -> tuple[list[Record], list[str]]:
        """The records of these turns (None: of all), oldest first, and what they do not cover. Raises OSError.

        What a turn that never ended left is what is there now.
        """
        saved, unreadable = self._manifests.load()
        known = [*(record for _, record in saved), *self._unsaved]
        chosen = [record for record in known if turn_ids is None or record.turn_id in turn_ids]
        records = [self._survey.finished(record) if record.after is None else record for record in chosen]
        notes = [note for record in records for note in record.notes]
        if unreadable:
            notes.append(f"checkpoints of this session that cannot be read: {unreadable:,}")
        return records, notes

    def _kept_safe(self, plan: Plan) -> Plan:
        """The plan without files that changed just now, or of which no copy can be kept; of the others there is one."""
        safe = {path for path, now in plan.now.items() if now.kind != "file" or self._survey.kept(path) == now}
        return Plan(
            now={path: state for path, state in plan.now.items() if path in safe},
            target={path: state for path, state in plan.target.items() if path in safe},
            kept=(*plan.kept, *(path for path in plan.now if path not in safe)),
        )

    def _report(self, restored: Iterable[str], kept: Iterable[str], notes: Iterable[str]) -> RestoreReport:
        return RestoreReport(display_all(restored, self._workspace), display_all(kept, self._workspace), joined(notes))


def _located(path: Path) -> str:
    """Where a file is, symlinked directories followed, but not the file itself."""
    return str(Path(os.path.realpath(path.parent), path.name))


def _nothing_restored(error: OSError | StoppedError) -> RestoreReport:
    logger.warning("no file is restored: %s", error)
    return RestoreReport((), (), f"no file was restored ({_cause(error)})", failed=True)


def _cause(error: OSError | StoppedError) -> str:
    return ((isinstance(error, OSError) and error.strerror) or str(error)).lower()
