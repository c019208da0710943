"""What has become of the files that a session has changed: each as it was before the first change, and as it is now."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.light_dataclass import dataclass
from agent.sessions.checkpoint_contents import Contents
from agent.sessions.checkpoint_restore import plan_restore
from agent.sessions.checkpoint_states import Record, State, display, named
from agent.sessions.checkpoint_store import Blobs

OTHERS_TOO = "changed by somebody else as well"


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file or link that is not what it was. `name` is for people: relative to the workspace where it lies inside."""

    path: str
    name: str
    was: State
    now: State


@dataclass(frozen=True, slots=True)
class WorkspaceChanges:
    """What is different, by name; `not_covered` says what is not known, or not the session's doing alone."""

    files: tuple[FileChange, ...]
    not_covered: str | None


def find_changes(
    records: Sequence[Record], look: Callable[[str], State], workspace: str
) -> tuple[tuple[FileChange, ...], list[str]]:
    """The files that these finished turns (oldest first) have left different, and notes on them.

    `look` tells what is at a path now; each path is looked at once. What it raises is passed on.
    """
    first: dict[str, State] = {}
    for record in records:
        for path, state in record.before.items():
            first.setdefault(path, state)
    now: dict[str, State] = {}

    def remembered(path: str) -> State:
        now[path] = look(path)
        return now[path]

    plan = plan_restore(records, remembered)
    different = [path for path in sorted(first) if first[path] != now[path] and _is_shown(first[path], now[path])]
    others = [path for path in plan.kept if path in different]
    notes = [f"{OTHERS_TOO}: {named(others, workspace)}"] if others else []
    return tuple(FileChange(path, display(path, workspace), first[path], now[path]) for path in different), notes


def _is_shown(*states: State) -> bool:
    """Directories are not: what is in them is."""
    return any(state.kind not in {"absent", "directory", "skipped", "unlisted"} for state in states)


def content_before(change: FileChange, blobs: Blobs, most_bytes: int) -> bytes | None:
    """What the file held, or where the link led; None if there was neither. Raises OSError that says why not."""
    if change.was.kind != "file":
        return _link_target(change.was)
    copy = blobs.path(change.was.content)
    try:
        _require_size(copy, most_bytes)
        return blobs.get(change.was.content)
    except FileNotFoundError as error:
        raise OSError("its copy is gone") from error


def content_now(change: FileChange, contents: Contents, most_bytes: int) -> bytes | None:
    """What the file holds, or where the link leads; None if there is neither. Raises OSError, StoppedError."""
    if change.now.kind != "file":
        return _link_target(change.now)
    _require_size(Path(change.path), most_bytes)
    return contents.read(change.path)


def _link_target(state: State) -> bytes | None:
    if state.kind == "link":
        return os.fsencode(state.content)
    if state.kind in {"absent", "directory", "skipped", "unlisted"}:
        return None
    raise OSError("too large to show" if state.kind == "large" else "it cannot be read")


def _require_size(path: Path, most_bytes: int) -> None:
    if (size_bytes := path.lstat().st_size) > most_bytes:
        raise OSError(f"too large to show ({size_bytes:,} bytes)")
