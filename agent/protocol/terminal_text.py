"""What a terminal obeys instead of showing, defined once for all who show, keep or pass on foreign text."""

from __future__ import annotations

import re

# A payload never holds the start of another sequence, and all repeats are possessive: linear on hostile input.
SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"  # CSI: colours, cursor, clearing
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f\n]*+(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[ -/]*+[0-~]"  # the other escapes, and the start of an unfinished sequence
)
LINE_BREAK = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
"""What ends a line besides a line feed."""

_BEGINS = re.compile("[\x1b\x90\x98\x9b\x9d-\x9f]")


def without_sequences(text: str) -> str:
    """`text` without terminal sequences, in 7 or 8 bits; other control characters stay. Linear in time."""
    return SEQUENCE.sub("", text) if _BEGINS.search(text) else text
