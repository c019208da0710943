"""The words of file checkpoints: what a path was, what a turn did to it, and how much is kept."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from agent.light_dataclass import dataclass

Kind = Literal[
    "absent",
    "file",
    "link",
    "directory",
    "large",  # from here on: something of which there is no copy
    "excess",
    "uncopied",
    "unreadable",
    "credential",
    "special",
    "skipped",
    "unlisted",
]

RESTORABLE: frozenset[Kind] = frozenset({"absent", "file", "link", "directory"})
"""What can be put back. Of the others it is only known that something is there, and whether it has changed."""

DIRECTORIES: frozenset[Kind] = frozenset({"directory", "skipped", "unlisted"})
"""`skipped` ones are left out on purpose; `unlisted` ones have not been looked into, or not to the end."""


class State(NamedTuple):
    """What is at a path.

    `content` is the SHA-256 of a file in hex, the target of a link, and a fingerprint of its status for what has no
    copy. `mode` are the permission bits of a file or directory.
    """

    kind: Kind
    content: str = ""
    mode: int = 0


ABSENT = State("absent")

STOPPED = "it was stopped before all was looked at"


class StoppedError(Exception):
    """A person does not want to wait for this any longer. No OSError: it is no trouble with the one file."""

    def __init__(self) -> None:
        super().__init__(STOPPED)


TEMPORARY_FILE = ".ml-intern-"
"""How the names of files begin that we, and the file tools, rename to what they replace."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a checkpoint may take. `exact_file_bytes` is for files that a tool names, the rest for whole workspaces.

    `files` counts everything walked over, directories too; `copied_bytes` what is newly copied for one turn. Once a
    person has stopped a turn, `stopped_s` is all the time to look for what it did. So many paths as `named_paths`, or
    an eighth of all, stand in the manifest of a turn that goes on; of the others that says where they are listed.
    """

    file_bytes: int = 2 << 20
    exact_file_bytes: int = 32 << 20
    files: int = 20_000
    copied_bytes: int = 128 << 20
    walk_s: float = 5.0
    stopped_s: float = 1.0
    named_paths: int = 64


@dataclass(frozen=True, slots=True)
class Record:
    """The manifest of a turn: absolute path -> what it was before and after.

    While the turn goes on `after` is None and `before` has all that may change: with a `root`, everything below that
    directory. Once it has ended both have the same paths: those that changed and can be put back. `notes` say what is
    not covered; `baseline` is the SHA-256 of the survey that the manifest refers to, empty if it refers to none.
    """

    turn_id: str
    before: Mapping[str, State]
    after: Mapping[str, State] | None
    root: str = ""
    notes: tuple[str, ...] = ()
    baseline: str = ""


@dataclass(frozen=True, slots=True)
class TurnChanges:
    """What a turn changed. `paths` are for people, relative to the workspace; `not_covered` says what is unknown."""

    turn_id: str
    paths: tuple[str, ...]
    not_covered: str | None


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What became of the files. All paths are for people, relative to the workspace where they lie inside.

    `kept` are files that somebody else has changed since, or that could not be written. `not_covered` says what could
    not be known or done, None if there is nothing to say.
    """

    restored: tuple[str, ...]
    kept: tuple[str, ...]
    not_covered: str | None
    failed: bool = False
    """Nothing was even tried: the copies could not be read, or somebody stopped it. `not_covered` says why."""


def was_absent(before: Mapping[str, State], path: str) -> bool:
    """Whether `before` proves that nothing was at `path`: its nearest known ancestor was listed, or held nothing."""
    if path in before:
        return before[path].kind == "absent"
    while (parent := posixpath.dirname(path)) != path:
        path = parent
        if path in before:
            return before[path].kind not in {"skipped", "unlisted"}
    return False


def display(path: str, workspace: str) -> str:
    """`path` for people, relative to the workspace where it lies inside; bytes that are no text become escapes."""
    name = path.removeprefix(workspace.rstrip("/") + "/")
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def display_all(paths: Iterable[str], workspace: str) -> tuple[str, ...]:
    """The paths in order; a directory is named only if nothing inside it is."""
    ordered = sorted(paths)
    parents = {posixpath.dirname(path) for path in ordered}
    return tuple(display(path, workspace) for path in ordered if path not in parents)


def named(paths: Iterable[str], workspace: str) -> str:
    """`a`, `b`, `c` and how many more."""
    names = display_all(paths, workspace)
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def joined(notes: Iterable[str]) -> str | None:
    """The notes as one text, each once."""
    return "; ".join(dict.fromkeys(notes)) or None
