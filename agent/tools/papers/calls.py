"""One call of `hf_papers`, its arguments read, and what an operation is."""

from __future__ import annotations

import datetime
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.events import ToolLog
from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.arguments import ArgumentError, int_argument
from agent.tools.hub_words import optional_text
from agent.tools.papers.entries import Window
from agent.tools.papers.ids import ArxivId, read_arxiv_id
from agent.tools.papers.limits import DEFAULT_LIMIT, MAX_LIMIT, TOOL
from agent.tools.papers.services import PaperServices

_MAX_IDS = 100
_DATE = re.compile(r"[0-9]{4}(?:-[0-9]{2}){0,2}")


@dataclass(frozen=True, slots=True)
class Call:
    """The methods that read an argument raise ArgumentError if it cannot be used."""

    services: PaperServices
    session: ToolSession
    arguments: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A text without blanks around it, "" if it is absent."""
        return optional_text(self.arguments, name)

    def number(self, name: str, default: int, minimum: int = 0) -> int:
        """A whole number."""
        return int_argument(self.arguments, name, default, minimum)

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        """One of `choices`, in whatever case it was written."""
        given = self.text(name)
        found = next((choice for choice in choices if choice.casefold() == given.casefold()), None)
        if given and found is None:
            raise ArgumentError(f"`{name}` must be one of {', '.join(choices)}, not {given[:40]!r}.")
        return found or default

    @property
    def paper(self) -> ArxivId:
        """The paper that `arxiv_id` names."""
        return read_arxiv_id(self.text("arxiv_id"))

    @property
    def window(self) -> Window:
        """Which part of a list is asked for."""
        limit = self.number("limit", DEFAULT_LIMIT, minimum=1)
        return Window(self.number("offset", 0), min(limit, MAX_LIMIT))

    def papers(self, name: str) -> tuple[ArxivId, ...]:
        """The papers in a list with commas."""
        parts = [part for part in re.split(r"[,;\s]+", self.text(name)) if part]
        if len(parts) > _MAX_IDS:
            raise ArgumentError(f"`{name}` has {len(parts):,} ids; {_MAX_IDS} are the most.")
        return tuple(dict.fromkeys(read_arxiv_id(part, name) for part in parts))

    def date(self, name: str, *, is_whole: bool = False) -> str:
        """A date, its month and day optional unless `is_whole`; "" if it is absent."""
        written = self.text(name)
        if not written:
            return ""
        form = "YYYY-MM-DD" if is_whole else "YYYY-MM-DD, YYYY-MM or YYYY"
        try:
            if not _DATE.fullmatch(written) or (is_whole and len(written) != len("YYYY-MM-DD")):
                raise ValueError(written)
            datetime.date.fromisoformat(f"{written}-01-01"[:10] if len(written) == 4 else f"{written}-01"[:10])
        except ValueError as error:
            raise ArgumentError(f"`{name}` must be a date as {form}, not {written[:40]!r}.") from error
        return written

    async def on_wait(self, text: str) -> None:
        """Tell the person that a service makes us wait."""
        await self.session.emit(ToolLog(TOOL, text))


Run = Callable[[Call], Awaitable[ToolResult]]


@dataclass(frozen=True, slots=True)
class Operation:
    """`needs`: arguments without which it makes no sense; `takes`: others that mean something to it.

    `run` may raise ArgumentError and PaperServiceError.
    """

    run: Run
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


def sentences(*parts: str) -> str:
    """Those that say something, as one text."""
    return " ".join(part for part in parts if part)
