"""What has come of a dataset, read into one picture."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from agent.light_dataclass import dataclass
from agent.tools.datasets.asking import HubPage, Json, Part, Trouble
from agent.tools.datasets.chats import ChatFacts, read_chats
from agent.tools.datasets.columns import Column, read_columns
from agent.tools.datasets.samples import Row, read_rows
from agent.tools.datasets.statistics import Statistics, read_statistics
from agent.tools.datasets.structure import Choice, Structure


@dataclass(frozen=True, slots=True)
class Gathered:
    """The answers as they came. `rows` is `/first-rows`, or `/rows` where that told more."""

    asked: str
    """The name in the call; `name` is what the dataset is called today."""
    name: str
    page: HubPage | Trouble
    validity: Part
    structure: Structure
    choice: Choice
    info: Part
    rows: Part
    statistics: Part
    parquet: Part
    sample_rows: int
    """How many rows to show."""


@dataclass(frozen=True, slots=True)
class ParquetFiles:
    """The viewer's Parquet copy of one split. `is_partial`: only its first part was converted."""

    split: str
    count: int
    num_bytes: int
    is_partial: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """The whole picture; a `Trouble` stands where a part is missing."""

    gathered: Gathered
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    chats: tuple[ChatFacts, ...]
    statistics: Statistics | Trouble
    parquet: tuple[ParquetFiles, ...] | Trouble
    is_partial: bool
    """The viewer has only a part of it, so that counts and statistics are of that part."""


def read_inspection(gathered: Gathered) -> Inspection:
    """Read everything. Takes a moment for large answers: call it in a thread."""
    rows = () if isinstance(gathered.rows, Trouble) else tuple(read_rows(gathered.rows))
    columns = read_columns(_features(gathered.info, gathered.rows), rows)
    told = gathered.statistics
    statistics = told if isinstance(told, Trouble) else read_statistics(told)
    parquet = gathered.parquet if isinstance(gathered.parquet, Trouble) else _parquet(gathered.parquet)
    is_partial = (
        gathered.structure.is_partial
        or (not isinstance(parquet, Trouble) and any(each.is_partial for each in parquet))
        or (not isinstance(statistics, Trouble) and statistics.is_partial)
        or (not isinstance(gathered.info, Trouble) and gathered.info.get("partial") is True)
    )
    return Inspection(gathered, columns, rows, read_chats(columns, rows), statistics, parquet, is_partial)


def _features(info: Part, rows: Part) -> Json:
    """The features by column, from `/info`, else from the rows, which tell them too."""
    told = None if isinstance(info, Trouble) else info.get("dataset_info")
    features = told.get("features") if isinstance(told, dict) else None
    if isinstance(features, dict) and features:
        return features
    listed: Any = None if isinstance(rows, Trouble) else rows.get("features")
    found = {}
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict) and isinstance(each.get("name"), str):
            found[each["name"]] = each.get("type")
    return found


def _parquet(part: Json) -> tuple[ParquetFiles, ...]:
    listed = part.get("parquet_files")
    found: defaultdict[str, list[Json]] = defaultdict(list)
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict):
            found[str(each.get("split") or "?")].append(each)
    return tuple(
        ParquetFiles(
            split,
            len(files),
            sum(size for each in files if isinstance(size := each.get("size"), int)),
            any("/partial-" in str(each.get("url")) for each in files),
        )
        for split, files in found.items()
    )
