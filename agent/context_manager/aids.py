"""What compaction is given and what it gives back: a model to summarise with, a place to keep what is taken out, its
limits, and its report. (The work itself, `agent.context_manager.compaction`, loads with the first compaction.)"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.light_dataclass import dataclass

Summarise = Callable[[str], Awaitable[str]]
"""Prompt to summary. Raises `SummaryError`."""

Spill = Callable[[str, str], Path | None]
"""(text, name) to the file that now holds the text, None if it could not be kept. Blocking: call it in a thread."""


class SummaryError(Exception):
    """The summariser failed; the text says why, to the person. `overflow`: what it was given was too long for it."""

    def __init__(self, message: str, *, overflow: bool = False) -> None:
        super().__init__(message)
        self.overflow = overflow


@dataclass(frozen=True, slots=True)
class Aids:
    """Made for each compaction. `summarise` None: there is no model to ask.

    `facts` are kept word for word beside the summary (the plan, ids and URLs of running jobs); `instructions` is what
    the person asked to keep.
    """

    summarise: Summarise | None
    spill: Spill
    facts: str = ""
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """Limits in estimated tokens. `target`, `soft` and `hard` (rising) are for history alone: where compaction wants to
    get, above which even the last steps are cut, and above which the person's words are. `window` is the model's.
    """

    target_tokens: int
    soft_tokens: int
    hard_tokens: int
    window_tokens: int


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What a compaction did. Tokens count the whole request: history and tools.

    `summarised` is the number of messages that were replaced by a summary or an outline; `problem` tells the person why
    the summariser could not be used, "" if it was used or not needed.
    """

    before_tokens: int
    after_tokens: int
    summarised: int = 0
    problem: str = ""


class CompactionFailedError(Exception):
    """The system prompt and the tools alone exceed the window: nothing can be shortened enough. The text says so."""
