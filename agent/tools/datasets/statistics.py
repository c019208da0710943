"""The viewer's statistics of a split, a line for each column.

`column_statistics` has nan_count and either min, max, mean, median, std and a histogram (of numbers, or of the lengths
of texts and lists, seconds of sounds, widths of images), or the frequencies of values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.counting import counted
from agent.tools.datasets.asking import Json, on_one_line

_SHOWN_VALUES = 8
_MEASURED = {
    "string_text": "characters",
    "list": "items",
    "audio": "seconds",
    "image": "pixels wide",
    "video": "seconds",
}
"""What the numbers are of, for types that are no numbers themselves."""


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """`frequencies` (only for classes, truth values and texts with few values) are by falling count.

    `unlabelled`: rows that have no class.
    """

    name: str
    kind: str
    nulls: int
    null_share: float
    text: str
    frequencies: tuple[tuple[str, int], ...] = ()
    unlabelled: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """Over `num_rows` rows: the whole split, or with `is_partial` its first part."""

    num_rows: int
    columns: tuple[ColumnStatistics, ...]
    is_partial: bool = False


def read_statistics(part: Json) -> Statistics:
    """What `/statistics` answered. Columns without statistics are not in it."""
    rows, listed = part.get("num_examples"), part.get("statistics")
    num_rows = rows if isinstance(rows, int) else 0
    columns = [
        _column(each, each["column_statistics"], num_rows)
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict) and isinstance(each.get("column_statistics"), dict)
    ]
    return Statistics(num_rows, tuple(columns), part.get("partial") is True)


def _column(each: Json, told: Json, num_rows: int) -> ColumnStatistics:
    kind = str(each.get("column_type") or "")
    frequencies = _frequencies(told.get("frequencies"))
    text = _values(frequencies, told, num_rows) if frequencies else _spread(told, _MEASURED.get(kind, ""))
    nulls = _count(told.get("nan_count"))
    return ColumnStatistics(
        name=str(each.get("column_name") or ""),
        kind=kind,
        nulls=nulls,
        null_share=nulls / num_rows if num_rows else 0.0,
        text=text,
        frequencies=frequencies,
        unlabelled=_count(told.get("no_label_count")),
    )


def _frequencies(told: Any) -> tuple[tuple[str, int], ...]:
    pairs = [(str(name), _count(count)) for name, count in told.items()] if isinstance(told, Mapping) else []
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def _values(frequencies: tuple[tuple[str, int], ...], told: Json, num_rows: int) -> str:
    shown = [
        f"{on_one_line(name, 40)}: {count:,}{f' ({count / num_rows:.1%})' if num_rows else ''}"
        for name, count in frequencies[:_SHOWN_VALUES]
    ]
    rest = frequencies[_SHOWN_VALUES:]
    more = [f"{len(rest)} more with {sum(count for _, count in rest):,}"] if rest else []
    unlabelled = [f"without a class: {count:,}"] if (count := _count(told.get("no_label_count"))) else []
    return f"{counted(len(frequencies), 'value')}: {', '.join([*shown, *more, *unlabelled])}"


def _spread(told: Json, measured: str) -> str:
    said = [
        f"{name} {_short(told[name])}" for name in ("min", "median", "mean", "max", "std") if told.get(name) is not None
    ]
    histogram = told.get("histogram")
    counts = histogram.get("hist") if isinstance(histogram, dict) else None
    if isinstance(counts, list) and counts:
        said.append(f"histogram min to max: {' '.join(_short(each) for each in counts[:20])}")
    if not said:
        return ""
    return f"{measured}: {', '.join(said)}" if measured else ", ".join(said)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else on_one_line(str(value), 40)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
