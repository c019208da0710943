"""`until`: what a line of output has to have in it, as a simple regular expression that no line can make slow.

Python's own matching goes back and tries again, which takes hours for some patterns on some lines, and nothing else of
the program runs meanwhile. Here a pattern becomes chains of single signs (`(a|b)c` is `ac` or `bc`), and all places in
a chain that a line can have reached go through the line together, once.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from agent.light_dataclass import dataclass

SEARCHED_CHARS = 500
MAX_STEPS = 200
MAX_CHAINS = 64
_MAX_PATTERN_CHARS = 500

_ATOM = re.compile(r"\\[dDwWsS]|\\[^A-Za-z0-9]|\\[tn]|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[()*+?|^$]", re.DOTALL)
_REPEATED = re.compile(r"(?:([*+?])|\{(?=[\d,])(\d*)(,?)(\d*)\})\??")
_SPECIAL = frozenset("\\.^$*+?{}[]()")
_EDGES: dict[str, Callable[[str, int], bool]] = {
    "^": lambda _line, at: at == 0,
    "$": lambda line, at: at == len(line),
    r"\b": lambda line, at: _is_word(line, at - 1) != _is_word(line, at),
}


def _is_word(line: str, at: int) -> bool:
    return 0 <= at < len(line) and (line[at].isalnum() or line[at] == "_")


@dataclass(frozen=True, slots=True)
class _Step:
    """One sign of a chain: whether a sign fits it, or, for an edge, a place in the line. `is_free`: it may be left out,
    `loops`: it may come again."""

    fits: re.Pattern[str] | None = None
    edge: Callable[[str, int], bool] | None = None
    is_free: bool = False
    loops: bool = False


_Chain = tuple[_Step, ...]


class LinePattern:
    """A pattern. Raises ValueError, in words for the model, for one that is none or goes beyond the simple."""

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_PATTERN_CHARS:
            raise ValueError(f"it is longer than {_MAX_PATTERN_CHARS} characters")
        try:
            re.compile(text)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(str(error)) from error
        self._words = None if _SPECIAL & set(text) else text.split("|")
        ignores_case = text.startswith("(?i)")
        reader = _Reader(text.removeprefix("(?i)"), re.IGNORECASE if ignores_case else 0)
        self._chains = reader.choices()
        if reader.at < len(reader.text):
            raise ValueError(f"there is something at character {reader.at + 1} that is not understood here")

    def search(self, line: str) -> bool:
        """Whether the beginning of `line` has it."""
        line = line[:SEARCHED_CHARS]
        if self._words is not None:
            return any(word in line for word in self._words)
        return any(_is_found(chain, line) for chain in self._chains)


def _is_found(chain: _Chain, line: str) -> bool:
    end = len(chain)
    first = chain[0].fits if chain and not chain[0].is_free else None
    reached: set[int] = set()
    for at in range(len(line) + 1):
        if first is not None and not reached and at < len(line) and not first.match(line[at]):
            continue  # most signs of most lines
        reached.add(0)
        for place in range(end):  # what needs no sign is passed at once
            step = chain[place]
            if place in reached and (step.is_free or (step.edge is not None and step.edge(line, at))):
                reached.add(place + 1)
        if end in reached:
            return True
        if at < len(line):
            reached = _next(chain, reached, line[at])
    return False


def _next(chain: _Chain, reached: set[int], sign: str) -> set[int]:
    following: set[int] = set()
    for place in reached:
        step = chain[place]
        if step.fits is not None and step.fits.match(sign):
            following.add(place + 1)
            if step.loops:
                following.add(place)
    return following


class _Reader:
    """Reads a pattern from left to right into chains."""

    def __init__(self, text: str, flags: int) -> None:
        self.text, self.at, self._flags = text, 0, flags | re.DOTALL

    def choices(self) -> list[_Chain]:
        """What is between `|`, up to the end or a closing parenthesis."""
        chains = self._sequence()
        while self._take("|"):
            chains += self._sequence()
        return self._bounded(chains)

    def _sequence(self) -> list[_Chain]:
        chains: list[_Chain] = [()]
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            more = self._group() if self.text[self.at] == "(" else [self._single()]
            chains = self._bounded([chain + each for chain in chains for each in more])
        return chains

    def _group(self) -> list[_Chain]:
        self.at += 1
        if self._take("?") and not self._take(":"):
            raise ValueError("(?...) is not understood here, but for (?:...), and (?i) at the beginning")
        chains = self.choices()
        if not self._take(")"):
            raise ValueError("a parenthesis is not closed")
        repeated = _REPEATED.match(self.text, self.at)
        if repeated is None:
            return chains
        if repeated[1] != "?":
            raise ValueError("a group cannot be repeated here; repeat single characters or sets such as [a-z ]+")
        self.at = repeated.end()
        return [*chains, ()]

    def _single(self) -> _Chain:
        edge = next((word for word in _EDGES if self.text.startswith(word, self.at)), None)
        if edge is not None:
            self.at += len(edge)
            return (_Step(edge=_EDGES[edge]),)
        atom = _ATOM.match(self.text, self.at)
        if atom is None:
            raise ValueError(f"{self.text[self.at : self.at + 2]!r} is not understood here")
        self.at = atom.end()
        fits = re.compile(atom[0], self._flags)
        repeated = _REPEATED.match(self.text, self.at)
        if repeated is None:
            return (_Step(fits),)
        self.at = repeated.end()
        if sign := repeated[1]:
            return (_Step(fits, is_free=sign != "+", loops=sign != "?"),)
        if max(len(repeated[2]), len(repeated[4])) > 3:
            raise ValueError("a repetition is too long")
        least = int(repeated[2] or 0)
        most = int(repeated[4]) if repeated[4] else least
        needed = (_Step(fits),) * least
        if repeated[3] and not repeated[4]:
            return (*needed, _Step(fits, is_free=True, loops=True))
        return (*needed, *(_Step(fits, is_free=True),) * (most - least))

    def _take(self, sign: str) -> bool:
        is_there = self.text.startswith(sign, self.at)
        self.at += is_there
        return is_there

    def _bounded(self, chains: list[_Chain]) -> list[_Chain]:
        if len(chains) > MAX_CHAINS or sum(map(len, chains)) > MAX_STEPS:
            raise ValueError("it is too long")
        return chains
