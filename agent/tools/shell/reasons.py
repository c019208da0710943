"""Why a command is not taken for one that only looks, in one sentence that leaves no part of it out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.tools.sensitive_paths import names_sensitive_path
from agent.tools.shell.always import UNWISE
from agent.tools.shell.readonly import READS_CREDENTIALS

_MAX_NAMED = 8
_MAX_CHARS = 80
_CHANGES = re.compile(r"(`(\S+?)[ `].*) may change something", re.DOTALL)
_WRITES = "it writes to "
_READS = f"{READS_CREDENTIALS}: "
_BETWEEN = re.compile(r"[=:,@\s()\"'`;|&<>]+")


def credentials_reason(text: str, directories: Sequence[str | None]) -> str | None:
    """That a word of a command names credentials, and which; None if it does not."""
    if not names_sensitive_path(text, directories):
        return None
    pieces = (piece for piece in _BETWEEN.split(text, maxsplit=50) if piece)
    named = next((piece for piece in pieces if names_sensitive_path(piece, directories)), text)
    return _READS + named


def credentials_named(reasons: Sequence[str]) -> list[str]:
    """The credentials that these reasons name; one that names none counts with an empty text."""
    found = [reason for reason in reasons if reason.startswith(READS_CREDENTIALS)]
    return [reason.removeprefix(READS_CREDENTIALS).removeprefix(": ") for reason in found]


def writes_reason(target: str) -> str:
    """That output goes into a file."""
    return _WRITES + target


def whole_reason(reasons: Sequence[str]) -> str:
    """All reasons in one: what may change something together, then the rest; where there are many, the worst first."""
    found = list(dict.fromkeys(reasons))
    changing = {match[1]: match[2] for match in map(_CHANGES.fullmatch, found) if match}
    subjects = list(changing)
    if len(subjects) > _MAX_NAMED:
        subjects.sort(key=lambda subject: changing[subject] not in UNWISE)
    written = [reason.removeprefix(_WRITES) for reason in found if reason.startswith(_WRITES)]
    read = [reason.removeprefix(_READS) for reason in found if reason.startswith(_READS)]
    if len(written) > _MAX_NAMED:
        written.sort(key=lambda target: not target.startswith(("/", "~", "$", "..")))
    other = [
        reason
        for reason in found
        if not _CHANGES.fullmatch(reason)
        and not reason.startswith((_WRITES, _READS))
        and not (read and reason == READS_CREDENTIALS)
    ]
    parts = [
        *([f"{_listed(subjects)} may change something"] if subjects else []),
        *([_WRITES + _listed(written)] if written else []),
        *([_READS + _listed(read)] if read else []),
        *other[:_MAX_NAMED],
        *([f"{len(other) - _MAX_NAMED} more reasons"] if len(other) > _MAX_NAMED else []),
    ]
    return "; ".join([*parts[:1], *(part.removeprefix("it ") for part in parts[1:])])


def _listed(items: Sequence[str]) -> str:
    more = len(items) - _MAX_NAMED
    items = [item if len(item) <= _MAX_CHARS else f"{item[:_MAX_CHARS]}…" for item in items]
    shown = [*items[:_MAX_NAMED], f"{more} more"] if more > 0 else list(items)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
