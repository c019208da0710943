"""What was measured, judged, and as a table. Pure functions: no process, no clock."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

NOTHING = "–"


@dataclass(frozen=True)
class Unit:
    """How values are printed: those in base units (seconds, bytes) times `factor`, with `digits` behind the point."""

    sign: str
    factor: float
    digits: int

    def show(self, value: float) -> str:
        """`0.2134` as `213`."""
        return f"{value * self.factor:,.{self.digits}f}"


SECONDS, MILLISECONDS, MICROSECONDS = Unit("s", 1, 2), Unit("ms", 1e3, 1), Unit("µs", 1e6, 1)
MEGABYTES, COUNT = Unit("MB", 1e-6, 1), Unit("", 1, 0)


@dataclass(frozen=True)
class Kind:
    """What of a pair (floor, ours) is judged."""

    judged: Callable[[float, float], float]
    sign: str
    is_ratio: bool


RATIO = Kind(lambda floor, ours: ours / floor, "×", True)
DIFFERENCE = Kind(lambda floor, ours: ours - floor, "", False)
"""For "start-up aside": the floor is the same command with nothing to do."""
ITSELF = Kind(lambda _floor, ours: ours, "", False)


@dataclass(frozen=True)
class Row:
    """One promise. `floor` and `ours` are in base units (seconds, bytes), one value a round, pair by pair; `floor` may
    be empty where `ours` is judged by itself. `at_most` is a factor for ratios, else in base units; None: nothing was
    promised.
    """

    name: str
    what: str
    floor: tuple[float, ...]
    ours: tuple[float, ...]
    unit: Unit
    kind: Kind
    at_most: float | None

    @property
    def judged(self) -> tuple[float, ...]:
        """What is held against the promise, one value a round."""
        if self.kind is ITSELF:
            return self.ours
        return tuple(self.kind.judged(floor, ours) for floor, ours in zip(self.floor, self.ours, strict=True))

    @property
    def is_met(self) -> bool | None:
        """Whether the median keeps the promise; None where there is none."""
        return None if self.at_most is None else statistics.median(self.judged) <= self.at_most


@dataclass(frozen=True)
class Failed:
    """A row that could not be measured, and why."""

    name: str
    reason: str


HEADER = ("", "floor", "ours", "ours to floor", "at most", "")
PEERS_HEADER = ("", "floor", "theirs", "theirs to floor", "at most", "")


def spread(values: Sequence[float], show: Callable[[float], str], sign: str) -> str:
    """Median, and least to most: `1.62× (1.58–1.70)`."""
    if not values:
        return NOTHING
    middle = f"{show(statistics.median(values))}{sign}"
    return middle if len(values) == 1 else f"{middle} ({show(min(values))}–{show(max(values))})"


def cells(row: Row | Failed) -> tuple[str, ...]:
    """A line of the table, as many cells as `HEADER` has."""
    if isinstance(row, Failed):
        return (row.name, *[NOTHING] * (len(HEADER) - 2), f"failed: {row.reason}")
    sign = f" {row.unit.sign}".rstrip()
    show, judged_sign = (factor, row.kind.sign) if row.kind.is_ratio else (row.unit.show, sign)
    return (
        row.what,
        spread(row.floor, row.unit.show, sign),
        spread(row.ours, row.unit.show, sign),
        NOTHING if row.kind is ITSELF else spread(row.judged, show, judged_sign),
        NOTHING if row.at_most is None else f"{show(row.at_most)}{judged_sign}",
        {True: "met", False: "MISSED", None: ""}[row.is_met],
    )


def factor(value: float) -> str:
    """A ratio."""
    return f"{value:.2f}"


def lines(rows: Iterable[Row | Failed], header: Sequence[str] = HEADER) -> list[str]:
    """The table for a terminal."""
    table = [tuple(header), *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADER) - 1)]
    return [
        "  ".join((line[0].ljust(widths[0]), *(map(str.rjust, line[1:-1], widths[1:])), line[-1])).rstrip()
        for line in table
    ]


def markdown(rows: Iterable[Row | Failed], header: Sequence[str] = HEADER) -> list[str]:
    """The table for a README."""
    table = [tuple(header), ("---", "--:", "--:", "--:", "--:", "---"), *(cells(row) for row in rows)]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in table]


def as_data(row: Row | Failed) -> dict[str, object]:
    """A row with all its values, for `--json`."""
    if isinstance(row, Failed):
        return {"name": row.name, "failed": row.reason}
    return {
        "name": row.name,
        "what": row.what,
        "floor": row.floor,
        "ours": row.ours,
        "judged": row.judged,
        "at_most": row.at_most,
        "is_met": row.is_met,
    }
