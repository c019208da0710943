"""Putting files back: from the records of some turns to steps, and from steps to the disk."""

from __future__ import annotations

import contextlib
import logging
import os
import posixpath
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent.light_dataclass import dataclass
from agent.sessions.checkpoint_states import TEMPORARY_FILE, Record, State
from agent.sessions.checkpoint_store import Blobs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """`now` and `target` have the same paths: those to be changed. `kept`: changed by somebody else since."""

    now: Mapping[str, State]
    target: Mapping[str, State]
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Paths put back, and why others were not."""

    restored: tuple[str, ...]
    failed: Mapping[str, str]


def plan_restore(records: Sequence[Record], look: Callable[[str], State]) -> Plan:
    """How to undo these finished turns, oldest first in `records`; `look` tells what is at a path now.

    Each path goes back turn by turn, as long as a turn's end is what the next one found: what somebody else did in
    between, or after all, is never undone with it. A path that does not get to the beginning is among the `kept`.
    """
    paths = dict.fromkeys(path for record in records for path in record.before)
    now, target, kept = {}, {}, []
    for path in paths:
        steps = [
            (record.before[path], record.after[path]) for record in records if record.after and path in record.before
        ]
        present = look(path)
        state, is_whole = _unwound(present, steps)
        if state != present:
            now[path], target[path] = present, state
        if not is_whole:
            kept.append(path)
    return Plan(now, target, tuple(kept))


def _unwound(present: State, steps: Sequence[tuple[State, State]]) -> tuple[State, bool]:
    """What a path was before these changes, as far back as they fit together, and whether that is all the way."""
    if present == steps[0][0]:
        return present, True
    state = present
    for before, after in reversed(steps):
        if state == after:
            state = before
        elif state != before:  # else it has been undone already
            return state, False
    return state, True


def carry_out(plan: Plan, blobs: Blobs) -> Outcome:
    """Change the files. Each is replaced at once; one that cannot be changed is left as it is, and the others go on."""
    return _Work(plan, blobs).run()


class _Work:
    def __init__(self, plan: Plan, blobs: Blobs) -> None:
        self._now, self._target, self._blobs = plan.now, plan.target, blobs
        self._failed: dict[str, str] = {}

    def run(self) -> Outcome:
        """All paths are through with a step before the next begins: a file may become a directory, or the reverse."""
        shallow_first = sorted(self._target, key=lambda path: (path.count("/"), path))
        deep_first = shallow_first[::-1]
        for step, paths in (
            (self._require_copy, shallow_first),
            (self._open, shallow_first),
            (self._clear, deep_first),
            (self._put, shallow_first),
            (self._close, deep_first),
        ):
            for path in paths:
                self._attempt(step, path)
        done = [path for path in self._target if path not in self._failed and not self._remains(path)]
        return Outcome(tuple(done), self._failed)

    def _attempt(self, step: Callable[[str], None], path: str) -> None:
        if path in self._failed:
            return
        try:
            step(path)
        except OSError as error:
            logger.warning("%r is not restored: %s", path, error)
            self._failed[path] = (error.strerror or str(error)).lower()

    def _require_copy(self, path: str) -> None:
        if self._target[path].kind == "file":
            try:
                self._blobs.get(self._target[path].content)
            except FileNotFoundError as error:
                raise OSError("its copy is gone") from error

    def _open(self, path: str) -> None:
        """What is in a directory can be changed only if that may be written."""
        if self._now[path].kind == self._target[path].kind == "directory":
            Path(path).chmod(self._target[path].mode | 0o700)

    def _clear(self, path: str) -> None:
        now, target = self._now[path].kind, self._target[path].kind
        if now == "directory" != target:
            try:
                Path(path).rmdir()
            except OSError:
                if target != "absent":
                    raise
        elif now in {"file", "link"} and target in {"absent", "directory"}:
            _require_real_parent(path)
            Path(path).unlink()

    def _put(self, path: str) -> None:
        target = self._target[path]
        if target.kind == "absent":
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        _require_real_parent(path)
        if target.kind == "directory":
            Path(path).mkdir(0o700, exist_ok=True)
        elif target.kind == "link":
            _replace(path, lambda temporary: temporary.symlink_to(target.content))
        else:
            data = self._blobs.get(target.content)
            _replace(path, lambda temporary: _write(temporary, data, target.mode, path))

    def _close(self, path: str) -> None:
        if self._target[path].kind == "directory":
            Path(path).chmod(self._target[path].mode)

    def _remains(self, path: str) -> bool:
        """A directory of the turn that holds something else by now stays, and is not worth a word."""
        return self._target[path].kind == "absent" and os.path.lexists(path)


def _require_real_parent(path: str) -> None:
    parent = posixpath.dirname(path)
    if os.path.realpath(parent) != parent:
        raise OSError("its directory is a symbolic link now")


def _replace(path: str, make: Callable[[Path], None]) -> None:
    # In the same directory, or the replacement could not be atomic.
    temporary = Path(path).with_name(f"{TEMPORARY_FILE}{secrets.token_hex(8)}.tmp")
    try:
        make(temporary)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _write(temporary: Path, data: bytes, mode: int, replaced: str) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        with contextlib.suppress(OSError):  # no file there, or not ours to give away
            status = os.lstat(replaced)
            os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, mode)  # after the owner: changing that drops setuid bits
        os.fsync(descriptor)
