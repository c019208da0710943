"""Finding the guidance that projects and people keep for agents: AGENTS.md, or CLAUDE.md where there is none."""

from __future__ import annotations

import codecs
import logging
from collections.abc import Iterator
from pathlib import Path

from agent.light_dataclass import dataclass

logger = logging.getLogger(__name__)

FILE_LIMIT_BYTES = 32 * 1024
"""More than this of one file is not read: the prompt is paid for with every model call."""

PROJECT_NAMES = ("AGENTS.md", "CLAUDE.md")
"""The names looked for in a directory; the first that exists there is taken."""


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A guidance file as the model will read it. `path` is where it was found, links not followed."""

    path: Path
    text: str


def find_memory_files(workspace: Path, config_dir: Path, home: Path) -> tuple[MemoryFile, ...]:
    """The guidance files for work in `workspace`, the nearest first and the user's own (in `config_dir`) last.

    Looks in each directory from the workspace up to the root of its git repository, or in the workspace alone if it is
    in none. `home` and what lies above it are never searched on the way up: a repository that holds a person's whole
    home is not a project. A file reached by two names comes once; blank and unreadable ones are left out. Reads the
    disk; what the disk refuses is logged, not raised.
    """
    found: list[MemoryFile] = []
    seen: set[tuple[int, int]] = set()
    directories = _project_directories(_resolved(workspace), _resolved(home))
    candidates = [path for directory in directories if (path := _first_existing(directory, PROJECT_NAMES))]
    if user_file := _first_existing(config_dir, PROJECT_NAMES[:1]):
        candidates.append(user_file)
    for path in candidates:
        try:
            identity = _identity(path)
            if identity in seen:
                continue
            seen.add(identity)
            text = _read_capped(path)
        except OSError as error:
            logger.warning("guidance file %s left out: %s", path, error)
            continue
        if text.strip():
            found.append(MemoryFile(path, text))
    return tuple(found)


def project_memory_path(workspace: Path, home: Path) -> Path:
    """The guidance file of the whole project that `workspace` lies in; it need not exist.

    In the root of the git repository, else in the workspace: the file that is read there, or AGENTS.md.
    """
    root = _project_directories(_resolved(workspace), _resolved(home))[-1]
    return _first_existing(root, PROJECT_NAMES) or root / PROJECT_NAMES[0]


def user_memory_path(config_dir: Path) -> Path:
    """The person's own guidance file, for all projects; it need not exist."""
    return config_dir / PROJECT_NAMES[0]


def with_note(content: bytes, note: str) -> bytes:
    """The content of a guidance file with `note` as a last list item. What was there stays, byte for byte; line ends
    are those that the file has.
    """
    newline = b"\r\n" if b"\r\n" in content else b"\n"
    item = "- " + "\n  ".join(note.strip().splitlines())
    if content and not content.endswith(b"\n"):
        content += newline
    last = content.rstrip().rpartition(b"\n")[2]
    is_in_list = last.startswith((b"- ", b"* ", b"  "))
    has_gap = content.endswith((b"\n\n", b"\n\r\n"))
    gap = newline if content.strip() and not is_in_list and not has_gap else b""
    return content + gap + item.encode("utf-8", errors="replace").replace(b"\n", newline) + newline


def _project_directories(workspace: Path, home: Path) -> list[Path]:
    directories: list[Path] = []
    for directory in _upwards(workspace, home):
        directories.append(directory)
        if _exists(directory / ".git"):  # a directory, or a file in a worktree or submodule
            return directories
    return [workspace]


def _upwards(workspace: Path, home: Path) -> Iterator[Path]:
    yield workspace
    for directory in workspace.parents:
        if directory == home or directory in home.parents:
            return
        yield directory


def _first_existing(directory: Path, names: tuple[str, ...]) -> Path | None:
    for name in names:
        path = directory / name
        if _is_guidance(path):
            return path
    return None


def _is_guidance(path: Path) -> bool:
    """A regular file; a link only if it leads to Markdown: a cloned project must not have a key file read for it."""
    try:
        return path.is_file() and path.resolve().suffix.lower() == ".md"
    except (OSError, RuntimeError):  # no permission, or a circle of links
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _read_capped(path: Path) -> str:
    """The text of a file, at most `FILE_LIMIT_BYTES` of it, with a note where it was cut. Invalid UTF-8 is replaced."""
    with path.open("rb") as file:
        data = file.read(FILE_LIMIT_BYTES + 1)
    cut = len(data) > FILE_LIMIT_BYTES
    # An incremental decoder keeps back the half of a character that the limit cut through.
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    text = decoder.decode(data[:FILE_LIMIT_BYTES], final=not cut).replace("\0", "\ufffd").strip()
    if not cut:
        return text
    return f"{text}\n\n[Cut here: only the first {FILE_LIMIT_BYTES // 1024} KiB of this file are shown.]"
