"""What can go wrong with a kept session. Every text names the cause and what to do about it.

SessionError
├── JournalError              the file cannot be opened, read or removed
│   ├── JournalBusyError      another process is writing it
│   └── JournalFormatError    a newer ml-intern has written it
├── SessionNotFoundError      nothing goes by that name
└── AmbiguousSessionError     several sessions do
"""

from __future__ import annotations

from pathlib import Path


class SessionError(Exception):
    """Something about a kept session that the person has to know."""


class JournalError(SessionError):
    """A journal cannot be opened, read or removed."""


class JournalBusyError(JournalError):
    """Another process is writing this journal; `pid` is that process, None if it has not said so yet."""

    def __init__(self, path: Path, pid: int | None, remedy: str = "end that one first, or fork the session") -> None:
        who = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"the session {path.stem} is open in {who}; {remedy}")
        self.pid = pid


class JournalFormatError(JournalError):
    """A journal of a format that this version does not know."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the session was written in journal format {found}, this ml-intern reads formats up to {known}; "
            "update ml-intern to open it"
        )


class SessionNotFoundError(SessionError):
    """No session goes by what the person typed."""


class AmbiguousSessionError(SessionError):
    """Several sessions go by what the person typed."""
