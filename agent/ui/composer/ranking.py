"""Fuzzy matching: which candidates a few typed characters mean, the likeliest first."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable

Candidate = tuple[str, str]
"""What is matched, in lower case, and what is meant by it."""


def best_matches(query: str, candidates: Iterable[Candidate], limit: int) -> list[str]:
    """At most `limit` candidates that hold the characters of `query` in order, whatever their case.

    One whose last part (after the last `/`) starts with the query comes before one whose last part contains it, then
    one that contains it anywhere, then any other; among equals the shorter comes first. A query with a `/` is looked
    for at the start of the whole as well. Linear in the candidates, made for a thread: no long call holds the
    interpreter.
    """
    ranked = _ranked(query.lower(), candidates)
    return [meant for *_, meant in heapq.nsmallest(limit, ranked)]


def matches_in_order(query: str, candidates: Iterable[Candidate]) -> list[str]:
    """All candidates that hold the characters of `query` in order, ranked as by `best_matches`; equals as they came."""
    ranked = sorted(_ranked(query.lower(), candidates), key=lambda match: match[0])
    return [meant for *_, meant in ranked]


def _ranked(wanted: str, candidates: Iterable[Candidate]) -> Iterable[tuple[int, int, str, str]]:
    in_order = "".join(f"[^{re.escape(char)}]*+{re.escape(char)}" for char in wanted)
    is_match = re.compile(in_order, re.DOTALL).match
    for text, meant in candidates:
        if wanted in text:
            last_part = text.rstrip("/").rpartition("/")[2]
            if last_part.startswith(wanted) or ("/" in wanted and text.startswith(wanted)):
                rank = 0
            else:
                rank = 1 if wanted in last_part else 2
        elif is_match(text):
            rank = 3
        else:
            continue
        yield rank, len(text), text, meant
