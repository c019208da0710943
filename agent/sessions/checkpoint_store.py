"""Where checkpoints lie: copies of files by their SHA-256, and a manifest for each turn.

    <state>/checkpoints/blobs/ab/cdef…           contents, stored once whichever session they are from
                        sessions/ID/000001.json  what a turn changed; restored-000001.json: what a restore replaced
                        status/….json            what files of a workspace have been hashed (only a cache)
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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from agent.sessions.checkpoint_states import Kind, Record, State

TEMPORARY = ".tmp-"
_KINDS = frozenset(get_args(Kind))


class DamagedError(OSError):
    """A copy is not what it was made of."""


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


class Manifests:
    """The records of one session."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def next_number(self) -> int:
        """One more than any turn or restore of this session has."""
        return max((int(path.stem.removeprefix("restored-")) for path in self._all()), default=0) + 1

    def save(self, number: int, record: Record) -> None:
        """Write the record of a turn, in place of what there was under this number. Raises OSError."""
        write_record(self.directory / f"{number:06}.json", record)

    def save_restored(self, record: Record) -> None:
        """Write what a restore is about to replace. Raises OSError."""
        write_record(self.directory / f"restored-{self.next_number():06}.json", record)

    def remove(self, number: int) -> None:
        """Drop the record of a turn. Raises OSError."""
        (self.directory / f"{number:06}.json").unlink(missing_ok=True)

    def load(self) -> list[tuple[int, Record]]:
        """The records of the turns, oldest first, without those that cannot be read. Raises OSError."""
        turns = sorted(path for path in self._all() if path.stem.isdecimal())
        found = [(int(path.stem), read_record(path)) for path in turns]
        return [(number, record) for number, record in found if record is not None]

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
        return Manifests(self.sessions_dir / session_id)

    def status_path(self, workspace: str) -> Path:
        """The file that remembers which files of a workspace have been hashed."""
        return self.directory / "status" / f"{hashlib.sha256(os.fsencode(workspace)).hexdigest()[:32]}.json"

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """While copies are made that no manifest names yet: nobody removes any. Raises OSError."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def removing(self) -> Iterator[None]:
        """Nobody else uses the store meanwhile. Raises BlockingIOError if somebody does, or another OSError."""
        with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        make_private_dir(self.directory)
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)


# --- files -----------------------------------------------------------------------------------------------------------


def make_private_dir(directory: Path) -> None:
    """Make a directory, and those above it that are missing, for this user only. Raises OSError."""
    if directory.is_dir():
        return
    make_private_dir(directory.parent)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)


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


def write_record(path: Path, record: Record) -> None:
    """Write a manifest. Raises OSError."""
    data = {
        "v": 1,
        "turn": record.turn_id,
        "before": record.before,
        "after": record.after,
        "root": record.root,
        "notes": record.notes,
    }
    write_private(path, json.dumps(data, separators=(",", ":")).encode("ascii"))


def read_record(path: Path) -> Record | None:
    """A manifest, None if it is none. Raises OSError.

    Not through pydantic: its strings must be UTF-8, and names of files need not be.
    """
    try:
        data = json.loads(path.read_bytes())
        after = data["after"]
        return Record(
            turn_id=str(data["turn"]),
            before=_states(data["before"]),
            after=None if after is None else _states(after),
            root=str(data["root"]),
            notes=tuple(map(str, data["notes"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _states(raw: dict[str, Any]) -> dict[str, State]:
    states = {path: State(kind, str(content), int(mode)) for path, (kind, content, mode) in raw.items()}
    if not all(state.kind in _KINDS for state in states.values()):
        raise ValueError("a kind that is not known")
    return states
