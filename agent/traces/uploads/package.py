"""What goes to a dataset of a session: files, written out line by line, as a session can be big."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from agent.light_dataclass import dataclass
from agent.protocol.private_files import make_private_dir
from agent.redaction.redactor import Redactor
from agent.traces.claude_code import is_trace, lines
from agent.traces.sub_agents import file_stem, journals
from agent.traces.timeline import Timeline, read_timeline
from agent.traces.uploads.entries import Entry
from agent.traces.uploads.sharing import TargetName

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Package:
    """Files on this disk by their path in the dataset, none if there is nothing that readers would recognise. `seq`:
    the last record that is in them."""

    files: tuple[tuple[str, Path], ...]
    seq: int

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.stat().st_size for _, file in self.files)

    @property
    def sha256(self) -> str:
        """Of all files. Blocks."""
        digest = hashlib.sha256()
        for path, file in self.files:
            digest.update(f"{path}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as content:
                while chunk := content.read(_CHUNK_BYTES):
                    digest.update(chunk)
        return digest.hexdigest()


@contextlib.contextmanager
def packing_place(state_dir: Path) -> Iterator[Path]:
    """A directory for one package, nobody else's to read."""
    place = _packing(state_dir)
    make_private_dir(place)
    try:
        yield place
    finally:
        clear_packing_place(state_dir)


def clear_packing_place(state_dir: Path) -> None:
    """Throw away what a process has left that was killed. Only one packs at a time."""
    shutil.rmtree(_packing(state_dir), ignore_errors=True)


def _packing(state_dir: Path) -> Path:
    return state_dir / "uploads" / "packing"


def pack(place: Path, state_dir: Path, entry: Entry, target: TargetName, redactor: Callable[[], Redactor]) -> Package:
    """Write the files for a target into `place`. Blocks. Raises SessionError, RedactionError and OSError."""
    timeline = read_timeline(entry.journal)
    if not is_trace(timeline):
        return Package((), timeline.last_seq)
    contents = _FORMATS[target](state_dir, entry, timeline, redactor())
    files = [(path, _written(place / str(number), each)) for number, (path, each) in enumerate(contents)]
    return Package(tuple(files), timeline.last_seq)


def _written(file: Path, content: Iterable[str]) -> Path:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8", newline="\n") as out:
        for line in content:
            out.write(line + "\n")
    return file


_Contents = Iterator[tuple[str, Iterable[str]]]


def _claude_code_files(state_dir: Path, entry: Entry, timeline: Timeline, redactor: Redactor) -> _Contents:
    day, session_id = _day(timeline), entry.session_id
    yield f"sessions/{day}/{session_id}.jsonl", lines(timeline, redactor)
    own = (state_dir / "agents" / session_id).resolve()
    for path in journals(state_dir, session_id):
        if path.resolve().parent != own or not own.is_relative_to(state_dir.resolve()):
            logger.warning("%s leads elsewhere, and is left out", path)
            continue
        agent = read_timeline(path)
        if is_trace(agent):
            yield f"agents/{day}/{session_id}/{file_stem(agent, redactor)}.jsonl", lines(agent, redactor)


def _row_files(state_dir: Path, entry: Entry, timeline: Timeline, redactor: Redactor) -> _Contents:
    from agent.traces.legacy.row import row
    from agent.traces.legacy.snapshot import trajectory

    line = json.dumps(row(trajectory(entry.journal, state_dir, redactor)), allow_nan=False)
    yield f"sessions/{_day(timeline)}/{entry.session_id}.jsonl", [line]


_FORMATS: Mapping[TargetName, Callable[[Path, Entry, Timeline, Redactor], _Contents]] = {
    "personal": _claude_code_files,
    "organization": _row_files,
}


def _day(timeline: Timeline) -> str:
    """The day (UTC) on which it was begun: a session that goes on another day keeps its file."""
    return timeline.started.strftime("%Y-%m-%d")
