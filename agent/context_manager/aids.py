"""What compaction may use of the world: a model to summarise with, and a place to keep what is taken out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

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
