"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from agent.light_dataclass import dataclass

Status = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `detail` says what is there; `cause` and `remedy` belong to warnings and problems.

    A `problem` is what keeps something from working that the person has set up or that every session needs.
    """

    name: str
    status: Status
    detail: str
    cause: str = ""
    remedy: str = ""

    def mapped(self, change: Callable[[str], str]) -> Finding:
        """The same with each text changed."""
        return replace(self, detail=change(self.detail), cause=change(self.cause), remedy=change(self.remedy))


Findings = list[Finding]
