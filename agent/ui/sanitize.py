"""Foreign text made safe to show: nothing a model, a tool or a file says may move the cursor or hide what it says.

Two ways: `visible` drops terminal control sequences (for reading), `escaped` spells them out (for deciding: a person
who approves a command must see every character of it). Neither needs a terminal library.
"""

from __future__ import annotations

import re
import unicodedata

from agent.protocol.terminal_text import LINE_BREAK, without_sequences

_DROPPED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SUSPECT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)

_JOINERS = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_EMOJI_SELECTOR = "\ufe0f"
_ELLIPSIS = "…"


def visible(text: str, keep_newlines: bool = True) -> str:
    """`text` without terminal sequences, control characters and bidi overrides; lone surrogates become U+FFFD.

    Tabs and line breaks stay (CR, VT, FF, NEL, LS and PS count as line breaks and become LF), or turn into single
    spaces when `keep_newlines` is False. Idempotent; text that is already harmless comes back as it is.
    """
    if _SUSPECT.search(text):
        text = LINE_BREAK.sub("\n", without_sequences(text))
        text = _DROPPED.sub("", text)
        text = _SURROGATE.sub("\ufffd", text)
    return text if keep_newlines else text.replace("\n", " ").replace("\t", " ")


def escaped(text: str, keep_newlines: bool = True) -> str:
    """`text` with every control, invisible or direction-changing character spelled out (`\\x1b`, `\\u202e`)."""
    text = _UNSEEN.sub(_spell, text)
    return text if keep_newlines else text.replace("\n", "\\n").replace("\t", "\\t")


def _spell(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code == 0x0D:
        return "\\r"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def cell_width(text: str) -> int:
    """Terminal columns that `text` (one line, already visible) takes; an estimate that rather errs upwards."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if char == _EMOJI_SELECTOR:
        return 1  # it may widen the character before it
    if unicodedata.category(char) in {"Mn", "Me"} or char in _JOINERS:
        return 0
    if "\U0001f1e6" <= char <= "\U0001f1ff":
        return 2  # half of a flag, or a wide letter of its own
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def clip(text: str, width: int) -> str:
    """`text` as one visible line of at most `width` columns, with an ellipsis where it was cut."""
    head = text[: 4 * max(width, 0) + 256]  # a 200 kB line costs no more than a short one
    line = visible(head, keep_newlines=False).rstrip()
    if len(head) == len(text) and cell_width(line) <= width:
        return line
    if width < 1:
        return ""
    used = 0
    for index, char in enumerate(line):
        used += _char_width(char)
        if used > width - 1:
            line = line[:index]
            break
    return line.rstrip() + _ELLIPSIS
