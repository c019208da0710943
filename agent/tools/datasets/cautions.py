"""What to be careful about with a dataset, in our own words."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

from agent.protocol.counting import counted
from agent.tools.datasets.asking import HubPage, Trouble
from agent.tools.datasets.inspection import Inspection
from agent.tools.datasets.methods import Table
from agent.tools.datasets.statistics import ColumnStatistics
from agent.tools.hub_words import size_text

TINY_ROWS = 1_000
HUGE_ROWS = 5_000_000
HUGE_BYTES = 20 << 30
_IMBALANCE = 9
_MOST_CLASSES = 100
_NULL_SHARE = 0.001
_SHOWN_COLUMNS = 8
_CLASS_NAMES = frozenset(("label", "labels", "class", "target", "category", "sentiment"))
_SPLIT_NAMES = frozenset(("split", "subset", "partition", "fold", "set", "data_split"))
_HELD_OUT = re.compile(
    r"(?:^|[^a-z])(test|eval|evaluation|dev|valid|validation|val|holdout)(?:[^a-z]|$)", re.IGNORECASE
)


def cautions(seen: Inspection, table: Table) -> list[str]:
    """The warnings, each a sentence that says what to do."""
    return [
        *_access(seen),
        *_splits(seen),
        *_size(seen),
        *_conversion(seen),
        *_columns(seen, table),
        *_rows(seen),
    ]


def _access(seen: Inspection) -> Iterator[str]:
    page = seen.gathered.page
    if isinstance(page, HubPage) and (page.gated or page.is_private):
        kind = "gated" if page.gated else "private"
        yield f"The dataset is {kind}: a job needs a token that has access to it."


def _splits(seen: Inspection) -> Iterator[str]:
    structure, split = seen.gathered.structure, seen.gathered.choice.split
    if len(structure.of(split.config)) == 1:
        yield "This config has a single split: hold some of it out for evaluation before training."
    if split.name.startswith("train") and (_HELD_OUT.search(split.name) or _HELD_OUT.search(split.config)):
        yield "By its name, this training split may have test or evaluation rows in it: check that before training."
    for column, values in _split_columns(seen):
        if any(_HELD_OUT.search(value) for value in values) and split.name.startswith("train"):
            yield f"Column {column} marks rows of test or evaluation sets inside the training split: filter by it."


def _split_columns(seen: Inspection) -> Iterator[tuple[int, list[str]]]:
    """Columns that by their name tell the split of a row: their place, and the values known of them."""
    told = {} if isinstance(seen.statistics, Trouble) else {each.name: each for each in seen.statistics.columns}
    for number, column in enumerate(seen.columns, 1):
        if column.name.lower() in _SPLIT_NAMES:
            values = [str(row.cells.get(column.name)) for row in seen.rows]
            if column.name in told:
                values += [name for name, _ in told[column.name].frequencies]
            yield number, values


def _size(seen: Inspection) -> Iterator[str]:
    split = seen.gathered.choice.split
    if split.num_rows is not None and split.num_rows < TINY_ROWS:
        yield f"The split is tiny ({counted(split.num_rows, 'row')}): results will vary with the seed."
    is_long = split.num_rows is not None and split.num_rows >= HUGE_ROWS
    is_large = split.num_bytes is not None and split.num_bytes >= HUGE_BYTES
    if is_long or is_large:
        rows = counted(split.num_rows, "row") if split.num_rows is not None else ""
        size = size_text(split.num_bytes) if split.num_bytes is not None else ""
        text = ", ".join(each for each in (rows, size) if each)
        yield f"The split is huge ({text}): stream it or take a part, and mind the disk of the machine."


def _conversion(seen: Inspection) -> Iterator[str]:
    structure = seen.gathered.structure
    if seen.is_partial:
        yield "The viewer has converted only a part: its counts, statistics and Parquet files are of the beginning."
    if structure.pending:
        yield f"{counted(len(structure.pending), 'split')} not converted yet (listed above): ask again later for them."
    if structure.failed:
        yield f"{counted(len(structure.failed), 'split')} could not be converted (listed above); loading may fail too."


def _columns(seen: Inspection, table: Table) -> Iterator[str]:
    if isinstance(seen.statistics, Trouble):
        return
    by_name = {column.name: table.shown(column) for column in seen.columns}
    told = [each for each in seen.statistics.columns if each.name in by_name]
    empty = [each for each in told if each.null_share >= _NULL_SHARE]
    if empty:
        shown = ", ".join(f"{by_name[each.name]} {each.null_share:.1%}" for each in empty[:_SHOWN_COLUMNS])
        more = f" and {len(empty) - _SHOWN_COLUMNS} more columns" if len(empty) > _SHOWN_COLUMNS else ""
        yield f"There are nulls: {shown}{more}. Drop or fill them."
    for each in told:
        if (text := _imbalance(each)) and seen.statistics.num_rows:
            yield f"{by_name[each.name]} {text}"


def _imbalance(each: ColumnStatistics) -> str:
    """What is odd about the classes of a column; "" if it has none or they are even."""
    is_class = each.kind in ("class_label", "bool") or each.name.lower() in _CLASS_NAMES
    if is_class and each.unlabelled:
        return f"has {counted(each.unlabelled, 'row')} without a class: leave them out of training and scoring."
    if not is_class or not 0 < len(each.frequencies) <= _MOST_CLASSES:
        return ""
    counts = [count for _, count in each.frequencies]
    total = sum(counts)
    if len(counts) == 1:
        return "has one value only: there is nothing to learn from it here."
    if max(counts) < _IMBALANCE * max(1, min(counts)) or not total:
        return ""
    return (
        f"is unevenly spread: the largest class has {max(counts) / total:.1%} of the rows, the smallest "
        f"{min(counts) / total:.1%}; weigh or sample for it, and score per class."
    )


def _rows(seen: Inspection) -> Iterator[str]:
    whole = [row for row in seen.rows if not row.cut]
    names = [column.name for column in seen.columns if column.shape.kind != "media"]
    names = [name for name in names if not re.fullmatch(r"(?:.*_)?(?:id|idx|index|uuid)", name, re.IGNORECASE)]
    if not names:
        return
    same = Counter(json.dumps([row.cells.get(name) for name in names], sort_keys=True) for row in whole)
    repeated = sum(count - 1 for count in same.values())
    if repeated:
        yield f"{repeated} of {len(whole)} rows looked at repeat an earlier one: look for duplicates in the split."
