"""The one way out: text streams that take any text, know their limits, and fail quietly and once."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TextIO

# One character for one character, so that measured widths stay true.
_PLAIN_GLYPHS = str.maketrans(
    {"✓": "+", "✗": "x", "▸": ">", "○": "o", "…": "~", "•": "*", "·": "-", "─": "-", "━": "-", "│": "|", "▌": "|"}
    | {"→": ">", "—": "-", "−": "-", "–": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " "}
)
_GLYPHS = "✓✗▸○…•·─▌→"


class TextSink:
    """A text stream as the renderers want it.

    Characters that the stream's encoding cannot hold are replaced (our own signs by ASCII look-alikes), never raised.
    The first write that fails is kept in `failure`; from then on everything is dropped, so that a reader who left
    (`| head -1`) ends the output and not the program. After it the descriptor is pointed at the null device, as
    Python's own flush at exit would fail again. No stream at all (`>&-`) counts as one whose first write has failed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"
        self.failure: OSError | ValueError | None = None
        if stream is None:
            self.failure = OSError(errno.EBADF, "the stream is closed")
        self._has_glyphs = _can_encode(_GLYPHS, self.encoding)

    @property
    def broken_pipe(self) -> bool:
        """True once the reader has gone."""
        return isinstance(self.failure, BrokenPipeError)

    def write(self, text: str) -> int:
        """Write `text`, replacing what cannot be encoded; returns its length, as file objects do."""
        if self.failure is None and self._stream is not None:
            try:
                self._stream.write(self._encodable(text))
            except (OSError, ValueError) as error:  # ValueError: the stream is closed
                self._fail(error)
        return len(text)

    def write_line(self, text: str) -> None:
        """Write one line and push it out at once."""
        self.write(text + "\n")
        self.flush()

    def flush(self) -> None:
        """Push out what is buffered."""
        if self.failure is None and self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._fail(error)

    def isatty(self) -> bool:
        """Whether a terminal is at the other end."""
        with suppress(OSError, ValueError, AttributeError):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        """The descriptor below; raises OSError where there is none."""
        if self._stream is None:
            raise OSError(errno.EBADF, "the stream is closed")
        return self._stream.fileno()

    def _encodable(self, text: str) -> str:
        if not self._has_glyphs:
            text = text.translate(_PLAIN_GLYPHS)
        if text.isascii() or _can_encode(text, self.encoding):
            return text
        return text.encode(self.encoding, "replace").decode(self.encoding)

    def _fail(self, error: OSError | ValueError) -> None:
        self.failure = error
        with suppress(OSError, ValueError, AttributeError):
            descriptor = self.fileno()
            null = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(null, descriptor)
            finally:
                os.close(null)


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True
