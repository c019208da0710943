"""What a command has printed into a file: for the model cut in the middle, for a person its end and the true size."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.light_dataclass import dataclass
from agent.tools.output import (
    HEAD_CHARS,
    MAX_OUTPUT_CHARS,
    TAIL_CHARS,
    excerpt,
    last_lines,
    terminal_text,
    without_middle,
)

WHOLE_BYTES = 4 << 20
"""Output up to this size is read whole; of more, only so many bytes from either end are."""
HEAD_BYTES = 1 << 20
TAIL_BYTES = 2 << 20
COUNTED_BYTES = 64 << 20
"""Of output up to this size the lines are counted, where there is time for it: some 20 ms."""
NO_OUTPUT = "(no output)"

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command printed, without secrets: all of it in `text`, or of too much the beginning, with the `tail` and
    the size of the whole in `total`. `size_bytes` and `line_count` (None: too many to count) are those of the file."""

    text: str
    tail: str = ""
    total: str = ""
    size_bytes: int = 0
    line_count: int | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the file has more."""
        return bool(self.total)

    def for_model(self, kept: Path | None, trouble: str = "") -> str:
        """What the command's result says; `kept` and `trouble` as in `excerpt`."""
        return excerpt(self.text, self.tail, total=self.total, kept=kept, trouble=trouble) if self.total else self.text

    def for_person(self, kept: Path | None, trouble: str = "") -> str | None:
        """The last lines, then how much there is in all; None where nothing is cut."""
        return f"{last_lines(self.tail)}\n{self._size(kept, trouble)}" if self.total else None

    def so_far(self, kept: Path) -> str:
        """What a stopped command leaves, for both: it ends as `for_person` does."""
        return without_middle(self.text, self.tail, self._size(kept, "")) if self.total else self.text

    def _size(self, kept: Path | None, trouble: str) -> str:
        lines = f", {self.line_count:,} lines" if self.line_count is not None else ""
        where = f": {kept}" if kept else f"; the rest is lost{f' ({trouble})' if trouble else ''}"
        return f"[{self.size_bytes:,} bytes{lines} in all{where}]"


def read_printed(descriptor: int, scrub: Callable[[str], str], counted_bytes: int = WHOLE_BYTES) -> Printed:
    """What is in the output file, its lines counted up to `counted_bytes`. Blocking.

    Scrubbed before it is cut, which could halve a secret.
    """
    size = os.fstat(descriptor).st_size
    if size <= WHOLE_BYTES:
        text = scrub(terminal_text(_decoded(descriptor, 0, size))).rstrip("\n")
        if len(text) <= MAX_OUTPUT_CHARS:
            return Printed(text if text.strip() else NO_OUTPUT)
        head, tail, total = text, text, f"{len(text):,} characters"
    else:
        head = scrub(terminal_text(_decoded(descriptor, 0, HEAD_BYTES)))
        end = _decoded(descriptor, size - TAIL_BYTES, TAIL_BYTES)
        # Start at a line: the cut may have hit the middle of a character or an escape sequence.
        line = end.find("\n", 0, TAIL_BYTES // 2)
        tail, total = scrub(terminal_text(end[line + 1 :])).rstrip("\n"), f"{size:,} bytes"
    lines = _line_count(descriptor, size) if size <= counted_bytes else None
    return Printed(head[:HEAD_CHARS], tail[-TAIL_CHARS:], total, size, lines)


def exit_note(code: int | None) -> str:
    """`[exit code N]`, with the signal's name: a shell reports a child killed by signal n as 128 + n."""
    if code is None:
        return "[exit code unknown]"
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number).name if number > 0 else ""
    except ValueError:
        name = ""
    if not name:
        return f"[exit code {code}]"
    hint = ", often for want of memory" if name == "SIGKILL" else ""
    return f"[exit code {128 + number}: ended by {name}{hint}]"


def _line_count(descriptor: int, size: int) -> int:
    """Lines among the first `size` bytes; one without a line break at its end counts too."""
    count, last = 0, b"\n"
    for piece in _pieces(descriptor, 0, size):
        count, last = count + piece.count(b"\n"), piece[-1:]
    return count + (last != b"\n")


def _decoded(descriptor: int, start: int, size: int) -> str:
    return b"".join(_pieces(descriptor, start, size)).decode("utf-8", "replace")


def _pieces(descriptor: int, start: int, size: int) -> Iterator[bytes]:
    while size > 0 and (piece := os.pread(descriptor, min(size, _PIECE_BYTES), start)):
        yield piece
        start += len(piece)
        size -= len(piece)
