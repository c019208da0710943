"""The part of the answer that is still coming, as it will look once it is complete."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from agent.ui.live.rows import Row, wrapped_rows
from agent.ui.markdown_stream import MarkdownStream, Pending
from agent.ui.sanitize import visible

MARKDOWN_CHARS = 4_000
"""A block longer than this is shown as it was written until it is complete: a frame costs no more for a longer one."""


class LiveAnswer:
    """The rows of a stream's pending block, rendered again only after the stream was fed (see `changed`)."""

    def __init__(self, console: Console, stream: MarkdownStream) -> None:
        self._console = console
        self._stream = stream
        self._shown: tuple[int, int] | None = None
        self._rows: list[Row] = []
        self.rendered_chars = 0
        """Characters rendered so far, in all frames: what the frames have cost."""

    def changed(self) -> None:
        """The pending text is another one."""
        self._shown = None

    def rows(self, width: int, limit: int) -> list[Row]:
        """The last rows, at most `limit`, each of at most `width` cells."""
        if self._shown != (width, limit):
            pending = self._stream.pending(max(MARKDOWN_CHARS, width * limit * 2))
            self._rows = self._render(pending, width, limit) if pending and limit > 0 else []
            self._shown = (width, limit)
        return self._rows

    def _render(self, pending: Pending, width: int, limit: int) -> list[Row]:
        from agent.ui.markdown_view import block_rows, code_rows  # markdown-it and pygments: not before they are needed

        block = pending.block
        if block.kind == "code" and (pending.is_cut or block.text.count("\n") > limit):
            text = "\n".join(visible(block.body)[-MARKDOWN_CHARS:].split("\n")[-limit:])
            rows = code_rows(self._console, text, block.language, width)
        elif pending.is_cut or len(block.text) > MARKDOWN_CHARS:
            text = "\n".join(visible(block.text).split("\n")[-limit - 1 :])
            rows = wrapped_rows(self._console, Text(text), width)
        else:
            text = block.text
            rows = block_rows(self._console, block, width)
        self.rendered_chars += len(text)
        return rows[-limit:]
