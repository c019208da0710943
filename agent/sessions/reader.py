"""Reading a journal, whatever state it is in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.sessions.errors import JournalError
from agent.sessions.records import Record, parse_record


class Records(Iterator[Record]):
    """The records of a file, in order. A torn last line is left out; bad lines before it are skipped and counted.

    Raises `JournalError` when the file cannot be read, `JournalFormatError` when a newer ml-intern has written it.
    """

    def __init__(self, path: Path, start_bytes: int = 0) -> None:
        """`start_bytes` is where a line begins: an earlier reader's `end_bytes`."""
        self.dropped = 0
        """Bad lines so far."""
        self.end_bytes = start_bytes
        """Where the next line begins."""
        self._path = path
        self._lines = self._read(start_bytes)

    def __next__(self) -> Record:
        for line in self._lines:
            self.end_bytes += len(line)
            record = parse_record(line)
            if record is not None:
                return record
            self.dropped += 1
        raise StopIteration

    def _read(self, start_bytes: int) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                file.seek(start_bytes)
                for line in file:
                    if line.endswith(b"\n"):  # else it is torn, or being written right now
                        yield line
        except OSError as error:
            raise JournalError(f"{self._path} cannot be read ({error.strerror or error})") from error


def read_records(path: Path) -> Records:
    """All records of the journal at `path`."""
    return Records(path)


def writer_pid(path: Path) -> int | None:
    """The process that last said it was going to write `path`."""
    pid = None
    for record in read_records(path):
        if record.kind in {"start", "resume"}:
            pid = record.data.get("pid")
    return pid if isinstance(pid, int) else None
