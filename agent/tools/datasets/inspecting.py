"""The work of `hf_inspect_dataset`: what the Hub and its dataset viewer say of a dataset, asked side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from agent.protocol.tools import ToolResult
from agent.tools.arguments import ArgumentError, int_argument, text_argument
from agent.tools.datasets.access import no_page, no_structure, source_of
from agent.tools.datasets.asking import Asker, Part, Trouble
from agent.tools.datasets.inspection import Gathered, read_inspection
from agent.tools.datasets.limits import DEFAULT_SAMPLE_ROWS, MAX_SAMPLE_ROWS
from agent.tools.datasets.names import Wanted, read_wanted
from agent.tools.datasets.report import report
from agent.tools.datasets.structure import choose, read_structure
from agent.tools.hub_words import optional_text

_PAGE_S, _OUTLINE_S, _PARTS_S, _MORE_ROWS_S = 6.0, 10.0, 15.0, 7.0
"""How long each step may take, one after the other: 38 s in all."""
_MORE_ROWS = 20


async def inspect(asker: Asker, arguments: Mapping[str, Any]) -> ToolResult:
    """One call of `hf_inspect_dataset`."""
    try:
        dataset = text_argument(arguments, "dataset")
        config, split = optional_text(arguments, "config"), optional_text(arguments, "split")
        rows = int_argument(arguments, "sample_rows", DEFAULT_SAMPLE_ROWS, minimum=0)
        if rows > MAX_SAMPLE_ROWS:
            raise ArgumentError(f"`sample_rows` must be at most {MAX_SAMPLE_ROWS}, not {rows}.")
        wanted = read_wanted(dataset, config, split, asker.environ)
    except ArgumentError as error:
        return ToolResult(str(error), ok=False)
    return await _inspect(asker, wanted, rows)


async def _inspect(asker: Asker, wanted: Wanted, sample_rows: int) -> ToolResult:
    page = await asker.page(wanted.dataset, _PAGE_S)
    if isinstance(page, Trouble) and (refusal := no_page(wanted.dataset, page, asker)):
        return refusal
    name = wanted.dataset if isinstance(page, Trouble) else page.name
    validity, splits, size = await asyncio.gather(
        *(asker.viewer(endpoint, _OUTLINE_S, dataset=name) for endpoint in ("is-valid", "splits", "size"))
    )
    structure = await asyncio.to_thread(read_structure, splits, size)
    trouble = structure.trouble
    # what is only slow or down may still answer for a config and split that are known or usual
    may_guess = trouble is not None and trouble.kind in ("silent", "not_ready")
    if not structure.splits and not may_guess:
        return no_structure(name, page, structure, asker)
    choice = choose(structure, wanted)
    if choice.problem:
        advice = "Call it again with one of these, or without config and split."
        return ToolResult(choice.problem, ok=False, source=source_of(name), advice=advice)
    of_config = {"dataset": name, "config": choice.split.config}
    of_split = {**of_config, "split": choice.split.name}
    info, rows, statistics, parquet = await asyncio.gather(
        asker.viewer("info", _PARTS_S, **of_config),
        asker.viewer("first-rows", _PARTS_S, **of_split),
        asker.viewer("statistics", _PARTS_S, **of_split),
        asker.viewer("parquet", _PARTS_S, **of_config),
    )
    if choice.is_guess and isinstance(info, Trouble) and isinstance(rows, Trouble):
        return no_structure(name, page, structure, asker)
    rows = await _with_more_rows(asker, rows, of_split)
    gathered = Gathered(
        asked=wanted.dataset,
        name=name,
        page=page,
        validity=validity,
        structure=structure,
        choice=choice,
        info=info,
        rows=rows,
        statistics=statistics,
        parquet=parquet,
        sample_rows=sample_rows,
    )
    return await asyncio.to_thread(lambda: report(read_inspection(gathered)))


async def _with_more_rows(asker: Asker, rows: Part, of_split: Mapping[str, str]) -> Part:
    """`rows`, or where they are missing or all cut those of `/rows`, which cuts no cells but needs the conversion."""
    if isinstance(rows, Trouble):
        is_final = rows.kind in ("no_access", "missing", "blocked", "disabled", "private", "bad_token")
        if is_final:
            return rows
    else:
        listed = rows.get("rows")
        is_useful = not isinstance(listed, list) or not listed or any(not _is_cut(each) for each in listed)
        if is_useful:
            return rows
    more = await asker.viewer("rows", _MORE_ROWS_S, **of_split, offset=0, length=_MORE_ROWS)
    return rows if isinstance(more, Trouble) or not more.get("rows") else more


def _is_cut(row: Any) -> bool:
    return isinstance(row, dict) and bool(row.get("truncated_cells"))
