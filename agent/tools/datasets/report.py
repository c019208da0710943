"""The picture of a dataset as text: what its authors wrote as data, what we make of it as advice."""

from __future__ import annotations

from collections.abc import Sequence

from agent.protocol.counting import counted
from agent.protocol.tools import ToolResult
from agent.tools.datasets.access import source_of
from agent.tools.datasets.asking import HubPage, Trouble, on_one_line
from agent.tools.datasets.cautions import cautions
from agent.tools.datasets.chats import chat_lines
from agent.tools.datasets.inspection import Inspection
from agent.tools.datasets.methods import Fit, Table, verdicts
from agent.tools.datasets.samples import for_table, sample_lines, shortened, within
from agent.tools.datasets.statistics import ColumnStatistics
from agent.tools.datasets.structure import Split
from agent.tools.hub_words import size_text

_SHOWN_SPLITS = 25
_SHOWN_NAMES = 20
_SHOWN_TYPE_CHARS = 400
_STRUCTURE_CHARS, _SCHEMA_CHARS, _STATISTICS_CHARS, _CHAT_CHARS = 2_000, 4_000, 3_500, 1_500
_FEATURES = ("viewer", "preview", "search", "filter", "statistics")


def report(seen: Inspection) -> ToolResult:
    """The result of a call that has found something."""
    gathered = seen.gathered
    split = gathered.choice.split
    table = Table(seen.columns, seen.rows, seen.chats)
    fits = verdicts(table) if seen.columns else ()
    place = f"{_name(split.config)} / {_name(split.name)}"
    sections = [
        [f"# {gathered.name}", *_status(seen)],
        ["## Configs and splits", *_structure(seen)],
        [f"## Columns ({place})", *_schema(seen)],
        [f"## Statistics ({place})", *_statistics(seen)],
        [f"## Sample rows ({place})", *_samples(seen)],
        *([f"## Conversations in {_name(facts.column)}", *chat_lines(facts)] for facts in seen.chats[:1]),
        *([_more_chats(seen)] if len(seen.chats) > 1 else []),
        [f"## Parquet files ({_name(split.config)})", *_parquet(seen)],
    ]
    text = "\n\n".join("\n".join(section) for section in sections)
    rows = counted(split.num_rows, "row") if split.num_rows is not None else "rows not known"
    fitting = ", ".join(fit.method for fit in fits if fit.level == "yes")
    brief = f"{gathered.name}: {rows}, {counted(len(seen.columns), 'column')}; fits {fitting or 'no method as it is'}"
    advice = _advice(seen, fits, cautions(seen, table))
    return ToolResult(text, source=source_of(gathered.name), advice=advice, display=brief)


# --- sections --------------------------------------------------------------------------------------------------------


def _status(seen: Inspection) -> list[str]:
    validity, page = seen.gathered.validity, seen.gathered.page
    lines = (
        [f"{seen.gathered.asked} is now called {seen.gathered.name}."]
        if seen.gathered.asked != seen.gathered.name
        else []
    )
    if isinstance(validity, Trouble):
        lines.append(f"Viewer: not known. {validity.said}.")
    else:
        able = [name for name in _FEATURES if validity.get(name) is True]
        unable = [name for name in _FEATURES if validity.get(name) is not True]
        lack = f"; not available: {', '.join(unable)}" if unable else ""
        lines.append(f"Viewer: ✓ {', '.join(able)}{lack}" if able else "Viewer: ✗ nothing of it is available")
    if isinstance(page, Trouble):
        lines.append(f"Hub: not known. {page.said}.")
    else:
        lines.append(f"Hub: {_page(page)}")
    return lines


def _page(page: HubPage) -> str:
    said = ["private" if page.is_private else "public"]
    said += [f"gated ({page.gated}), access granted" if page.gated else "not gated"]
    said += [tag for tag in page.tags if tag.startswith(("license:", "task_categories:", "language:"))][:8]
    said += [f"changed {page.changed_on}"] if page.changed_on else []
    return ", ".join(on_one_line(each, 60) for each in said)


def _structure(seen: Inspection) -> list[str]:
    structure, chosen = seen.gathered.structure, seen.gathered.choice.split
    if not structure.splits:
        said = structure.trouble.said if structure.trouble is not None else "none are listed"
        return [f"Not known: {said}.", f"{_name(chosen.config)} / {_name(chosen.name)} is a guess."]
    first = [split for split in structure.splits if split.config == chosen.config]
    ordered = [*first, *(split for split in structure.splits if split.config != chosen.config)]
    lines = ["| config | split | rows | columns | Parquet |", "|---|---|---|---|---|"]
    lines += within([_split_line(split) for split in ordered[:_SHOWN_SPLITS]], _STRUCTURE_CHARS, "splits")
    if len(ordered) > _SHOWN_SPLITS:
        names = structure.configs
        shown = ", ".join(_name(name) for name in names[:_SHOWN_NAMES])
        rest = f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else ""
        lines.append(f"[{len(ordered) - _SHOWN_SPLITS:,} more splits; {len(names):,} configs in all: {shown}{rest}]")
    if structure.size_trouble is not None:
        lines.append(f"Sizes are not known: {structure.size_trouble.said}.")
    if structure.trouble is not None:
        lines.append(f"The list of splits is missing ({structure.trouble.said}); these are the ones with known sizes.")
    for which, names in (("pending", structure.pending), ("failed", structure.failed)):
        if names:
            more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
            lines.append(f"Conversion {which}: {'; '.join(names[:20])}{more}")
    return lines


def _split_line(split: Split) -> str:
    rows = "?" if split.num_rows is None else f"{'about ' if split.is_estimate else ''}{split.num_rows:,}"
    columns = "?" if split.num_columns is None else f"{split.num_columns:,}"
    size = "?" if split.num_bytes is None else size_text(split.num_bytes)
    return f"| {_name(split.config)} | {_name(split.name)} | {rows} | {columns} | {size} |"


def _schema(seen: Inspection) -> list[str]:
    if not seen.columns:
        return [
            f"Not known: {each.said}." for each in (seen.gathered.info, seen.gathered.rows) if isinstance(each, Trouble)
        ]
    lines = [
        f"| {_name(column.name)} | {for_table(shortened(column.shape.text, _SHOWN_TYPE_CHARS))} |"
        for column in seen.columns
    ]
    return ["| column | type |", "|---|---|", *within(lines, _SCHEMA_CHARS, "columns")]


def _statistics(seen: Inspection) -> list[str]:
    if isinstance(seen.statistics, Trouble):
        return [f"Not available: {seen.statistics.said}."]
    part = " (the first part of the split)" if seen.statistics.is_partial else ""
    lines = [f"| {_name(each.name)} | {_nulls(each)} | {for_table(each.text)} |" for each in seen.statistics.columns]
    if not lines:
        return [f"None for any column, over {counted(seen.statistics.num_rows, 'row')}{part}."]
    head = [f"Over {counted(seen.statistics.num_rows, 'row')}{part}.", "| column | nulls | values |", "|---|---|---|"]
    return [*head, *within(lines, _STATISTICS_CHARS, "columns")]


def _nulls(each: ColumnStatistics) -> str:
    share = f"{each.null_share:.1%}" if each.null_share >= 0.001 else "under 0.1%"
    return f"{each.nulls:,} ({share})" if each.nulls else "0"


def _samples(seen: Inspection) -> list[str]:
    if isinstance(seen.gathered.rows, Trouble):
        return [f"Not available: {seen.gathered.rows.said}."]
    wanted = seen.gathered.sample_rows
    if not seen.rows or not wanted:
        return ["The split has no rows." if not seen.rows else "None were asked for."]
    names = [column.name for column in seen.columns] or list(seen.rows[0].cells)
    return sample_lines(seen.rows, names, wanted)


def _more_chats(seen: Inspection) -> list[str]:
    lines: list[str] = []
    for facts in seen.chats[1:]:
        section = [f"## Conversations in {_name(facts.column)}", *chat_lines(facts)]
        # the first column has its example; those of the others say little more
        lines += [line for line in section if not line.startswith("- example:")]
    return within(lines, _CHAT_CHARS, "lines")


def _parquet(seen: Inspection) -> list[str]:
    if isinstance(seen.parquet, Trouble):
        return [f"Not available: {seen.parquet.said}."]
    lines = [
        f"- {_name(each.split)}: {counted(each.count, 'file')}, {size_text(each.num_bytes)}"
        f"{' (partial: the beginning only)' if each.is_partial else ''}"
        for each in seen.parquet
    ]
    return within(lines, 1_500, "splits") or ["None."]


def _name(text: str) -> str:
    return for_table(on_one_line(text, 80))


# --- our own word ----------------------------------------------------------------------------------------------------


def _advice(seen: Inspection, fits: Sequence[Fit], warnings: Sequence[str]) -> str:
    lines = [f"Which methods these columns fit, {_evidence(seen)}:"]
    lines += [f"- {fit.method}: {fit.level}: {fit.why}." for fit in fits]
    if not fits:
        lines = ["No verdict: neither the columns nor rows could be read. Try again later."]
    if warnings:
        lines += ["Warnings:", *(f"- {warning}" for warning in warnings)]
    return "\n".join(lines)


def _evidence(seen: Inspection) -> str:
    rows = f"the first {counted(len(seen.rows), 'row')}" if seen.rows else "no rows"
    cut = " (some cells cut)" if any(row.cut for row in seen.rows) else ""
    return f"judged by the types and {rows}{cut}, in the formats of TRL's trainers"
