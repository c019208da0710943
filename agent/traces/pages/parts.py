"""A session as its readers see it: turns, and in each what was said and done. Everything in it is clean text.

Whole, whatever its size: how much of a text fits on a page is for the page to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Any, ClassVar, Literal

from agent.light_dataclass import dataclass
from agent.protocol.messages import Origin
from agent.traces.pages.facts import Cost

Tone = Literal["plain", "good", "warning", "bad"]
CallState = Literal["done", "failed", "denied", "unknown"]
"""`unknown`: it has no result, or nobody knows how it went."""


@dataclass(slots=True, kw_only=True)
class Item:
    """Something in a turn. `taken_back`: an undo took it out of the conversation."""

    kind: ClassVar[str]
    """The name of its template."""
    time: datetime
    taken_back: bool = False


@dataclass(slots=True)
class Words(Item):
    """What the model wrote (`by` is then its name), or somebody other than the person at the start of a turn."""

    kind = "words"
    by: str
    text: str
    origin: Origin
    thinking: str = ""
    goes_on: bool = False
    """The words before in this turn are by the same."""

    @property
    def is_prose(self) -> bool:
        """Whether it is Markdown; else it is shown as it is."""
        return self.origin in {"model", "summary"}


@dataclass(slots=True)
class Call(Item):
    """A tool call. `result` None: there is none. `diff` is what it changed, `asked` why a person was asked for leave,
    and `news` what else became of it, a line each."""

    kind = "call"
    id: str
    tool: str
    arguments: Mapping[str, Any]
    summary: str
    result: str | None = None
    state: CallState = "unknown"
    reason: str = ""
    """Of a call that failed or was denied: why, in a line."""
    duration_s: float = 0.0
    diff: str = ""
    asked: str = ""
    news: list[str] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    sub_agent: SubAgent | None = None


@dataclass(slots=True)
class SubAgent(Item):
    """What a sub-agent did for a call."""

    kind = "sub_agent"
    name: str
    model: str
    cost: Cost
    sections: tuple[Section, ...]


@dataclass(slots=True)
class Note(Item):
    """A line about something that happened. `url` is where more is to be seen."""

    kind = "note"
    text: str
    tone: Tone = "plain"
    url: str = ""


@dataclass(slots=True)
class Plan(Item):
    """The plan as it stood then: (status, step)."""

    kind = "plan"
    steps: tuple[tuple[str, str], ...]

    @property
    def done(self) -> int:
        """How many steps are completed."""
        return sum(status == "completed" for status, _ in self.steps)


@dataclass(slots=True)
class Shortening(Item):
    """History was shortened here. `summary` is what the model reads in place of it, empty where it was only cut."""

    kind = "shortening"
    title: str
    summary: str
    tokens: str = ""


@dataclass(slots=True)
class Section:
    """A turn; or, without a `number`, what happened between turns. Turns are counted as they came, taken back or not.

    `is_copy`: it happened in the session that this one is a fork of.
    """

    number: int | None
    seq: int
    time: datetime
    prompt: str = ""
    taken_back: bool = False
    is_copy: bool = False
    items: list[Item] = field(default_factory=list)
    model_s: float = 0.0
    tool_s: float = 0.0
    cost: Cost = field(default_factory=Cost)
    tone: Tone = "plain"
    """How it ended, as far as that was not well."""

    @property
    def calls(self) -> list[Call]:
        """Its tool calls."""
        return [item for item in self.items if isinstance(item, Call)]
