"""Asking the person about a tool call: what is shown, and what the answer means.

Whatever is shown here is spelled out with `escaped`: a person must not approve characters that the screen hid.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from agent.protocol.events import ApprovalItem
from agent.protocol.money import format_usd
from agent.ui.approval.answers import (
    EDIT,
    Action,
    EditedItem,
    answer_for,
    editor_suffix,
    editor_text,
    parse_answer,
    prompt_hint,
    with_edited,
)
from agent.ui.approval.bodies import body_of
from agent.ui.approval.parts import Code, Fact, Part, Prose, fact, preview
from agent.ui.console import print_text
from agent.ui.sanitize import escaped
from agent.ui.tool_lines import tool_title

__all__ = [
    "EDIT",
    "Action",
    "EditedItem",
    "answer_for",
    "editor_suffix",
    "editor_text",
    "parse_answer",
    "prompt_hint",
    "render_item",
    "with_edited",
]

_AT_MOST = "at most"
"""The label of the price where looking ahead has found one."""
_ALIGNED_LABELS = 18
"""Labels of more columns are not aligned."""
_ALIGNED_WIDTH = 60
"""On a narrower screen nothing is."""


def render_item(console: Console, item: ApprovalItem, index: int, total: int) -> None:
    """Print one call that waits: `index` (from 1) of `total`, why it asks, and all that it would do."""
    console.print()
    count = f" {index} of {total}" if total > 1 else ""
    title = tool_title(item.tool)
    name = f"  ({escaped(item.tool, False)})" if title != item.tool else ""
    head = Text.assemble((f"Approval{count}: ", "warning"), (escaped(title, False), "bold"), (name, "muted"))
    print_text(console, head)
    for line in _why(item):
        _print_facts(console, [line])
    for hint in filter(None, item.hints):
        print_text(console, Text(escaped(hint, False), "warning"), indent=2, sign=Text("! ", "warning"))
    body = body_of(item)
    if body.parts:
        console.print()
    _print_parts(console, body.parts)
    if isinstance(item, EditedItem):
        print_text(console, Text("what you changed:", "muted"), indent=2)
        _print_parts(console, preview(item.changes).parts)
    if body.whole:
        print_text(console, Text("Not all of it is shown; e opens the rest in your editor.", "warning"), indent=2)
    told = [*_cost(item), *(fact(name, value) for name, value in item.facts if name != _AT_MOST)]
    if told:  # next to the question, however long the script above is
        console.print()
        _print_facts(console, told)
    if item.always_rule:
        console.print()
        _print_facts(console, [fact("always would add the rule", item.always_rule)])


def _why(item: ApprovalItem) -> list[Fact]:
    blocked = item.block_reason if item.block_reason != item.reason else None
    return [fact(name, value) for name, value in (("why", item.reason), ("not automatic because", blocked)) if value]


def _cost(item: ApprovalItem) -> list[Fact]:
    """The price, first of all and so that it is seen."""
    lines = [fact(name, value, "bold") for name, value in item.facts if name == _AT_MOST]
    if item.estimated_cost_usd is not None and not lines:
        lines.append(fact("estimated cost", format_usd(item.estimated_cost_usd), "bold"))
    if item.remaining_cap_usd is not None:
        lines.append(fact("left of the cap", format_usd(item.remaining_cap_usd)))
    return lines


def _print_parts(console: Console, parts: Sequence[Part]) -> None:
    for is_fact, group in groupby(parts, lambda part: isinstance(part, Fact)):
        if is_fact:
            _print_facts(console, [part for part in group if isinstance(part, Fact)], indent=2)
            continue
        for part in group:
            if not isinstance(part, Fact):
                _print_part(console, part)


def _print_facts(console: Console, lines: Sequence[Fact], indent: int = 0) -> None:
    """`label: value`, with the values of several below each other."""
    is_wide = console.width >= _ALIGNED_WIDTH and len(lines) > 1
    labels = [cell_len(line.name) for line in lines if line.value and is_wide]
    column = max((label for label in labels if label <= _ALIGNED_LABELS), default=0) + 2
    for line in lines:
        label = Text(f"{line.name}: ", "muted")
        value = Text(line.value, line.style)
        room = column - cell_len(label.plain)
        if is_wide and line.value and room >= 0:
            sign = Text.assemble(" " * indent, label, " " * room)
            print_text(console, value, indent=indent + column, sign=sign)
        else:
            print_text(console, Text.assemble(label, value), indent=indent)


def _print_part(console: Console, part: Text | Code | Prose) -> None:
    if isinstance(part, Text):
        print_text(console, part, indent=2)
        return
    from agent.ui.markdown_view import highlighted, markdown_rows, print_rows  # slow to import: when it is needed

    if isinstance(part, Code):
        print_text(console, highlighted(console, part.text, part.language), indent=2)
        return
    print_rows(console, markdown_rows(console, part.text, console.width))
