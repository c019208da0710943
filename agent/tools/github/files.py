"""One file of a repository, made readable: text as it is, notebooks as Markdown, of others what they are."""

from __future__ import annotations

import base64
import binascii
import re

from agent.light_dataclass import dataclass
from agent.protocol.counting import counted
from agent.tools.files import SNIFF_BYTES, binary_kind
from agent.tools.github.answers import Content
from agent.tools.github.notebooks import NotebookError, as_markdown
from agent.tools.github.paging import Window, lines_of, window

_LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?size (\d+)")
_MOST_UNREADABLE = 0.05
"""Of all characters: a file with more that are no UTF-8 is not taken for text."""


@dataclass(frozen=True, slots=True)
class Readable:
    """A piece of a file for the model. `piece` is None if there is nothing to print; `remarks` tell what was done."""

    piece: Window | None
    remarks: tuple[str, ...] = ()


def decoded(content: Content) -> bytes | None:
    """The bytes in an answer; None if GitHub has left them out (files of more than 1 MB)."""
    if content.encoding != "base64" or (not content.content and content.size):
        return None
    try:
        return base64.b64decode(content.content or "")
    except binascii.Error:
        return None


def lfs_size_bytes(data: bytes) -> int | None:
    """The size of the file that a Git LFS pointer stands for; None for any other file."""
    match = _LFS.match(data[:1024])
    return int(match[1]) if match else None


def readable(data: bytes, path: str, start: int | None, end: int | None, *, is_cut: bool = False) -> Readable:
    """The lines `start` to `end` of a file. `is_cut`: `data` is only its beginning. Raises RangeError.

    Pure; slow for big files (use a thread).
    """
    if kind := binary_kind(data[:SNIFF_BYTES]):
        return Readable(None, (f"A binary file: {kind}.",))
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    unreadable = text.count("\ufffd")
    if unreadable > _MOST_UNREADABLE * len(text):
        return Readable(None, ("A binary file, or text that is not UTF-8.",))
    remarks = [f"{counted(unreadable, 'character')} that are no UTF-8 are shown as \ufffd."] if unreadable else []
    if path.lower().endswith(".ipynb"):
        text, remark = _notebook(text, is_cut)
        remarks.append(remark)
    lines = lines_of(text)
    if not any(line.strip() for line in lines):
        return Readable(None, (*remarks, "The file is empty."))
    return Readable(window(lines, start, end), tuple(remarks))


def _notebook(text: str, is_cut: bool) -> tuple[str, str]:
    """The notebook as Markdown, or the text as it is, and which of the two."""
    try:
        if is_cut:
            raise NotebookError("it is too big")
        book = as_markdown(text)
    except NotebookError as error:
        return text, f"This cannot be read as a notebook ({error}), so that it is shown as it is."
    hidden = f", {counted(book.hidden, 'cell')} tagged as hidden left out" if book.hidden else ""
    return book.markdown, f"A notebook as Markdown ({counted(book.shown, 'cell')}{hidden}; output left out)."
