"""Text that goes back to the model: cut in the middle when too long, the whole of it kept in a private file."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from agent.protocol.private_files import make_private_dir
from agent.protocol.terminal_text import without_sequences

logger = logging.getLogger(__name__)

MAX_OUTPUT_CHARS = 25_000
HEAD_CHARS = 6_250
TAIL_CHARS = 18_750
SHOWN_LINES = 20
SHOWN_CHARS = 4_000
NOTE_ALLOWANCE_CHARS = 2_000
"""Room for a tool's own notes around 25,000 characters, so that the central cap does not cut a result twice."""

MAX_SPILL_DIR_BYTES = 4 << 30
"""When the kept files of a session exceed this, the oldest are removed."""


_PIECE_CHARS = 1 << 20
_LONGEST_SECRET_CHARS = 64 << 10


# --- cutting ---------------------------------------------------------------------------------------------------------


def fits(text: str) -> bool:
    """Whether `cap_output` would leave `text` as it is."""
    return len(text) <= MAX_OUTPUT_CHARS + NOTE_ALLOWANCE_CHARS


def cap_output(text: str, spill_dir: Path, name: str) -> str:
    """`text` itself if short enough; else its first 6,250 and last 18,750 characters and where the whole is kept.

    Blocking (it writes a file): call it in a thread. `name`, a tool's name, begins the file's name. Never raises for
    the disk's sake: if the whole cannot be kept, the excerpt says why.
    """
    if fits(text):
        return text
    kept: Path | None = None
    trouble = ""
    try:
        kept = spill_text(text, spill_dir, name)
    except OSError as error:
        logger.warning("cannot keep the whole output of %s in %s: %s", name, spill_dir, error)
        trouble = error.strerror or str(error)
    return excerpt(
        text[:HEAD_CHARS], text[-TAIL_CHARS:], total=f"{len(text):,} characters", kept=kept, trouble=trouble, who="tool"
    )


def excerpt(head: str, tail: str, *, total: str, kept: Path | None, trouble: str = "", who: str = "command") -> str:
    """Head and tail of a long output with a note between them and one after them.

    `total` tells the whole size with its unit; `kept` is the file with everything, `trouble` why there is none.
    """
    where = f"All of it is in {kept}: look there with read (offset, limit) or grep." if kept else "The rest is lost"
    if not kept:
        where += f" ({trouble})." if trouble else "."
    return without_middle(
        head,
        tail,
        f"[The output has {total}; above are the first {len(head):,} and the last {len(tail):,} characters. {where} "
        f"The {who} has ended, so there is no need to run it again.]",
    )


def without_middle(head: str, tail: str, note: str) -> str:
    """Head and tail of a long output, with `note` after them, which says where the whole is."""
    return f"{head}\n\n[... the middle is left out here; the note below says where it is ...]\n\n{tail}\n\n{note}"


def last_lines(text: str) -> str:
    """The last 20 lines of `text`, at most 4,000 characters: what a person is shown of a long output."""
    return "\n".join(text[-SHOWN_CHARS:].rstrip("\n").split("\n")[-SHOWN_LINES:])


def as_stopped(partial: str) -> str:
    """What a person is shown of a call that was stopped: the last of what it had got, if anything."""
    return f"{last_lines(partial)}\n[stopped]" if partial.strip() else "stopped"


# --- keeping ---------------------------------------------------------------------------------------------------------


def create_spill_file(spill_dir: Path, name: str) -> tuple[int, Path]:
    """A new empty file, mode 0600, open for reading and appending. Returns (descriptor, path). Raises OSError.

    Appending matters when the file is a child's stdout: `echo x > /dev/stderr` truncates it, and without O_APPEND
    the next write would leave a hole of NUL bytes.
    """
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:60] or "output"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    for _ in range(100):
        path = spill_dir / f"{safe}-{secrets.token_hex(4)}.txt"
        with contextlib.suppress(FileExistsError):
            return os.open(path, flags, 0o600), path
    raise FileExistsError(errno.EEXIST, "no free file name", str(spill_dir))


def spill_text(text: str, spill_dir: Path, name: str) -> Path:
    """Keep `text` in a new private file of `spill_dir` (made if need be). Blocking. Raises OSError, leaving no file."""
    make_private_dir(spill_dir)
    prune_spills(spill_dir)
    descriptor, path = create_spill_file(spill_dir, name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def scrub_file(path: Path, scrub: Callable[[str], str]) -> None:
    """Replace the kept file by what `scrub` makes of its text; the file is left alone if that changes nothing.

    Blocking, with a few MiB of memory whatever the size. Raises OSError; then the file is gone, for what it holds was
    not to stay.
    """
    clean: Path | None = None
    try:
        # "surrogateescape": what is no UTF-8 comes out as it went in.
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            if not any(is_changed for _, is_changed in _scrubbed_pieces(file, scrub)):
                return
            file.seek(0)
            descriptor, clean = create_spill_file(path.parent, path.stem)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as target:
                target.writelines(piece for piece, _ in _scrubbed_pieces(file, scrub))
        clean.replace(path)
    except OSError:
        for leftover in (clean, path):
            if leftover is not None:
                leftover.unlink(missing_ok=True)
        raise


def _scrubbed_pieces(file: TextIO, scrub: Callable[[str], str]) -> Iterator[tuple[str, bool]]:
    """The scrubbed text of `file`, each piece with whether anything had to be replaced about there."""
    rest = ""
    while piece := file.read(_PIECE_CHARS):
        text = rest + piece
        scrubbed = scrub(text)
        yield scrubbed[:-_LONGEST_SECRET_CHARS], scrubbed != text
        rest = scrubbed[-_LONGEST_SECRET_CHARS:]  # may end with the beginning of a secret
    yield rest, False


def prune_spills(spill_dir: Path, keep_bytes: int = MAX_SPILL_DIR_BYTES) -> None:
    """Remove the oldest kept outputs until they fit in `keep_bytes`. Blocking; trouble is logged, not raised."""
    try:
        files = [(entry.stat(follow_symlinks=False), entry.path) for entry in os.scandir(spill_dir)]
        kept = [(s.st_mtime_ns, s.st_size, p) for s, p in files if stat.S_ISREG(s.st_mode) and p.endswith(".txt")]
        excess = sum(size for _, size, _ in kept) - keep_bytes
        for _, size, path in sorted(kept):
            if excess <= 0:
                break
            Path(path).unlink(missing_ok=True)
            excess -= size
    except OSError as error:
        logger.warning("cannot tidy %s: %s", spill_dir, error)


# --- what a terminal would have shown --------------------------------------------------------------------------------

_ERASES_LINE = re.compile(r"(?:\x1b\[|\x9b)[0-2]?K")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def terminal_text(raw: str) -> str:
    """`raw` without ANSI sequences and control characters, with overwritten lines in their last state.

    A progress bar draws over itself after each carriage return; only what a terminal would show at last is kept.
    """
    if "\r" in raw:
        raw = "\n".join(_last_state(line) if "\r" in line else line for line in raw.split("\n"))
    return _plain(raw)


def _last_state(line: str) -> str:
    """One line as it looks after all its carriage returns; a shorter text leaves the rest of the longer one visible."""
    shown = ""
    for part in line.split("\r"):
        text = _plain(part)
        shown = text if _ERASES_LINE.search(part) else text + shown[len(text) :]
    return shown.rstrip(" ")


def _plain(text: str) -> str:
    return _CONTROLS.sub("", without_sequences(text))
