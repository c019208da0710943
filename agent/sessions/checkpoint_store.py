"""Where checkpoints lie: copies of files by their SHA-256, and a manifest for each turn.

    <state>/checkpoints/blobs/ab/cdef…           contents, stored once whichever session they are from
                        sessions/ID/000001.json  what a turn changed; restored-000001.json: what a restore replaced
                        status/….json            what files of a workspace have been hashed (only a cache)
                        status/….baseline        which copy lists what was in that workspace (see checkpoint_baseline)
                        lock                     shared by who writes, exclusive for who removes

All files are private, and made under another name first: a process killed at any moment leaves a valid store.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from agent.light_dataclass import dataclass
from agent.protocol.private_files import make_private_dir
from agent.sessions.checkpoint_states import Kind, Record, State, StoppedError

TEMPORARY = ".tmp-"
_KINDS = frozenset(get_args(Kind))
_PATIENCE_S = 1.0
_POLL_S = 0.02


class DamagedError(OSError):
    """A copy is not what it was made of."""


class BusyError(OSError):
    """Another process has had the store for itself for too long."""


class Blobs:
    """File contents by their SHA-256."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, sha256: str) -> Path:
        """Where the copy lies."""
        return self._directory / sha256[:2] / sha256[2:]

    def has(self, sha256: str, size_bytes: int) -> bool:
        """Whether there is such a copy of full length: a crash of the machine can leave a shorter one."""
        try:
            return self.path(sha256).stat().st_size == size_bytes
        except OSError:
            return False

    def put(self, sha256: str, data: bytes) -> None:
        """Keep `data`. Raises OSError."""
        write_private(self.path(sha256), data)

    def get(self, sha256: str) -> bytes:
        """A copy, checked. Raises OSError: FileNotFoundError if it is gone, DamagedError if it is not as it was."""
        data = self.path(sha256).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DamagedError(f"the copy {sha256} is damaged")
        return data


@dataclass(frozen=True, slots=True)
class Delta:
    """A survey as the difference to another, which is kept among the copies under `baseline`."""

    baseline: str
    changed: Mapping[str, State]
    gone: tuple[str, ...]


class Manifests:
    """The records of one session."""

    def __init__(self, directory: Path, blobs: Blobs) -> None:
        self.directory = directory
        self._blobs = blobs

    def next_number(self) -> int:
        """One more than any turn or restore of this session has."""
        return max((int(path.stem.removeprefix("restored-")) for path in self._all()), default=0) + 1

    def save(self, number: int, record: Record, delta: Delta | None = None) -> None:
        """Write the record of a turn, in place of what there was under this number. Raises OSError."""
        write_record(self.directory / f"{number:06}.json", record, delta)

    def save_restored(self, record: Record) -> None:
        """Write what a restore is about to replace. Raises OSError."""
        write_record(self.directory / f"restored-{self.next_number():06}.json", record)

    def remove(self, number: int) -> None:
        """Drop the record of a turn. Raises OSError."""
        (self.directory / f"{number:06}.json").unlink(missing_ok=True)

    def load(self) -> tuple[list[tuple[int, Record]], int]:
        """The records of the turns, oldest first, and how many there are that cannot be read. Raises OSError."""
        turns = sorted(path for path in self._all() if path.stem.isdecimal())
        found = [(int(path.stem), read_record(path, self._blobs)) for path in turns]
        readable = [(number, record) for number, record in found if record is not None]
        return readable, len(found) - len(readable)

    def _all(self) -> list[Path]:
        try:
            return [path for path in self.directory.iterdir() if is_manifest(path)]
        except FileNotFoundError:
            return []


@dataclass(frozen=True, slots=True)
class Store:
    """The places below a state directory."""

    directory: Path

    @classmethod
    def below(cls, state_dir: Path) -> Store:
        """The store of this state directory. Touches no disk."""
        return cls(state_dir / "checkpoints")

    @property
    def blobs_dir(self) -> Path:
        """All copies."""
        return self.directory / "blobs"

    @property
    def sessions_dir(self) -> Path:
        """All manifests."""
        return self.directory / "sessions"

    def blobs(self) -> Blobs:
        """The copies."""
        return Blobs(self.blobs_dir)

    def manifests(self, session_id: str) -> Manifests:
        """The manifests of a session. Raises ValueError for an id that is no plain name."""
        if not session_id or session_id.startswith(".") or "/" in session_id or "\0" in session_id:
            raise ValueError(f"not a session id: {session_id!r}")
        return Manifests(self.sessions_dir / session_id, self.blobs())

    def status_path(self, workspace: str) -> Path:
        """The file that remembers which files of a workspace have been hashed."""
        return self.directory / "status" / f"{hashlib.sha256(os.fsencode(workspace)).hexdigest()[:32]}.json"

    def baseline_path(self, workspace: str) -> Path:
        """The file that says which copy lists what was in a workspace."""
        return self.status_path(workspace).with_suffix(".baseline")

    @contextlib.contextmanager
    def writing(self, stop: threading.Event) -> Iterator[None]:
        """While copies are made that no manifest names yet, or are needed: nobody removes any.

        Raises OSError: BusyError if somebody who does so takes longer than a second. StoppedError on `stop`.
        """
        with self._lock_file() as descriptor:
            deadline = time.monotonic() + _PATIENCE_S
            while not _is_shared(descriptor):
                if time.monotonic() >= deadline:
                    raise BusyError("another ml-intern is tidying the checkpoints up")
                if stop.wait(_POLL_S):
                    raise StoppedError
            yield

    @contextlib.contextmanager
    def removing(self) -> Iterator[None]:
        """Nobody else uses the store meanwhile. Raises BlockingIOError if somebody does, or another OSError."""
        with self._lock_file() as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    @contextlib.contextmanager
    def _lock_file(self) -> Iterator[int]:
        make_private_dir(self.directory)
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _is_shared(descriptor: int) -> bool:
    """Take the lock together with others; False if somebody has it alone. Never waits."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# --- files -----------------------------------------------------------------------------------------------------------


def write_private(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all, for this user only. Raises OSError."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(temporary, flags, 0o600)
    except FileNotFoundError:
        make_private_dir(path.parent)
        descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def is_manifest(path: Path) -> bool:
    """Whether a file in a session's directory is a manifest, not a temporary or foreign file."""
    return path.suffix == ".json" and path.stem.removeprefix("restored-").isdecimal()


def write_record(path: Path, record: Record, delta: Delta | None = None) -> None:
    """Write a manifest; with `delta`, which is what the record has of `before`, only that. Raises OSError."""
    data: dict[str, Any] = {
        "v": 1,
        "turn": record.turn_id,
        "before": delta.changed if delta else record.before,
        "after": record.after,
        "root": record.root,
        "notes": record.notes,
    }
    if delta:
        data |= {"baseline": delta.baseline, "gone": delta.gone}
    write_private(path, encoded(data))


def read_record(path: Path, blobs: Blobs) -> Record | None:
    """A manifest, None if it is none, or if the copy is no good that lists the files. Raises OSError.

    Not through pydantic: its strings must be UTF-8, and names of files need not be.
    """
    raw = path.read_bytes()
    try:
        data = json.loads(raw)
        baseline = str(data.get("baseline", ""))
        before = _listed(blobs, baseline, data["gone"]) if baseline else {}
        before |= _states(data["before"])
        after = None if data["after"] is None else _states(data["after"])
        if after is not None and after.keys() != before.keys():
            raise ValueError("paths without a state before or after")
        notes = tuple(map(str, data["notes"]))
        return Record(str(data["turn"]), before, after, str(data["root"]), notes, baseline)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def read_states(blobs: Blobs, sha256: str) -> dict[str, State]:
    """The survey that this copy is. Raises OSError, or ValueError, TypeError, AttributeError if it is none."""
    return _states(json.loads(blobs.get(sha256)))


def encoded(data: object) -> bytes:
    """As JSON; names of files that are no text survive it."""
    return json.dumps(data, separators=(",", ":")).encode("ascii")


def _listed(blobs: Blobs, baseline: str, gone: list[str]) -> dict[str, State]:
    states = read_states(blobs, baseline)
    for path in gone:
        states.pop(path, None)
    return states


def _states(raw: dict[str, Any]) -> dict[str, State]:
    states = {path: State(kind, str(content), int(mode)) for path, (kind, content, mode) in raw.items()}
    if not all(state.kind in _KINDS for state in states.values()):
        raise ValueError("a kind that is not known")
    return states
