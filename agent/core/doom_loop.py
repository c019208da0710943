"""The doom-loop detector: has the agent been making the same calls with the same results over and over?

It looks only at the tail of the calls of the current turn, each with a hash of its result: honest polling (same call,
moving output) is no loop. Times and durations in results are evened out first, so that a clock does not count as
progress. A pattern is reported once, not again while it is still in the window.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Sequence

from agent.light_dataclass import dataclass

WINDOW_CALLS = 60
IDENTICAL_CALLS = 3
IDENTICAL_POLLS = 8
LONGEST_PATTERN = 12

_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?|\d{4}-\d{2}-\d{2}|\b\d+(\.\d+)?\s?(ms|s|sec|seconds|min)\b")


@dataclass(frozen=True, slots=True)
class ToolCallSignature:
    """A call reduced to what makes it the same call again."""

    name: str
    args_hash: str
    result_hash: str | None = None
    is_poll: bool = False


def signature(name: str, arguments: str, result: str, is_poll: bool = False) -> ToolCallSignature:
    """The signature of a finished call; `arguments` is JSON text."""
    evened = _CLOCK.sub("#", result)
    return ToolCallSignature(name, _hash(_normalize_args(arguments)), _hash(evened), is_poll)


def _normalize_args(arguments: str) -> str:
    """JSON text in one canonical spelling; anything else unchanged."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True, separators=(",", ":"))
    except ValueError:
        return arguments


def _hash(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()[:12]


def detect_identical_consecutive(
    signatures: Sequence[ToolCallSignature], threshold: int = IDENTICAL_CALLS
) -> str | None:
    """The tool whose same call ends the sequence `threshold` times in a row (polls: `IDENTICAL_POLLS`), or None."""
    if not signatures:
        return None
    last = signatures[-1]
    needed = max(threshold, IDENTICAL_POLLS) if last.is_poll else threshold
    tail = signatures[-needed:]
    return last.name if len(tail) == needed and all(s == last for s in tail) else None


def detect_repeating_sequence(signatures: Sequence[ToolCallSignature]) -> list[ToolCallSignature] | None:
    """The shortest pattern of 2 to 12 calls that ends the sequence repeated, or None.

    Patterns of up to 5 calls must occur three times, longer ones twice: parallel batches repeat as long patterns.
    """
    for length in range(2, LONGEST_PATTERN + 1):
        pattern = list(signatures[-length:])
        repeats = 3 if length <= 5 else 2
        if len(signatures) < length * repeats or len(set(pattern)) == 1:
            continue
        if all(s.is_poll for s in pattern):
            continue
        tail = signatures[-length * repeats :]
        if all(s == pattern[i % length] for i, s in enumerate(tail)):
            return pattern
    return None


class DoomLoopDetector:
    """Watches the calls of one turn."""

    def __init__(self) -> None:
        self._recent: deque[ToolCallSignature] = deque(maxlen=WINDOW_CALLS)

    def add(self, call: ToolCallSignature) -> None:
        """Take note of a finished call."""
        self._recent.append(call)

    def check(self) -> str | None:
        """The repeated pattern in words (`'bash'`, or `read → edit`), or None. Repeating it warrants a new one."""
        calls = list(self._recent)
        if name := detect_identical_consecutive(calls):
            text = f"'{name}'"
        elif pattern := detect_repeating_sequence(calls):
            text = " → ".join(s.name for s in pattern)
        else:
            return None
        self._recent.clear()
        return text
