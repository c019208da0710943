"""Cutting texts where that gives nothing away: half a secret is one that no search would know again."""

from __future__ import annotations

import re

_LAST_WORD = re.compile(r"[!-~]*\Z")
_PLACE = re.compile(r"(?:~|\.{1,2})?/|[a-z]{2,5}://")


def beginning(text: str, chars: int) -> str:
    """`text`, or at most `chars` characters of it: its beginning without the word that the cut goes through, and an
    ellipsis. Of an address or a path that is cut, the steps that are whole stay."""
    if len(text) <= chars:
        return text
    kept = text[: chars - 1]
    if not text[chars - 1].isspace():
        start = _LAST_WORD.search(kept, max(0, chars - 4_000))
        assert start is not None  # it fits nothing as well
        word = start[0]
        kept = kept[: start.start()] + (word[: word.rfind("/") + 1] if _PLACE.match(word) else "")
    return kept.rstrip() + "…"
