"""Asking the person about a tool call: what is shown, and what the answer means.

Whatever is shown here is spelled out with `escaped`: a person must not approve characters that the screen hid.
"""

from __future__ import annotations

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
from agent.ui.approval.parts import Code, Part, fact, preview
from agent.ui.console import print_text
from agent.ui.sanitize import escaped

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


def render_item(console: Console, item: ApprovalItem, index: int, total: int) -> None:
    """Print one call that waits: `index` (from 1) of `total`, why it asks, and all that it would do."""
    console.print()
    count = f" {index} of {total}" if total > 1 else ""
    print_text(console, Text.assemble((f"Approval{count}: ", "warning"), (escaped(item.tool, False), "bold")))
    for line in _why(item):
        print_text(console, line)
    for hint in filter(None, item.hints):
        print_text(console, Text(escaped(hint, False), "warning"), indent=2, sign=Text("! ", "warning"))
    for line in _cost(item):
        print_text(console, line)
    console.print()
    body = body_of(item)
    for part in body.parts:
        _print_part(console, part)
    if isinstance(item, EditedItem):
        print_text(console, Text("what you changed:", "muted"), indent=2)
        for part in preview(item.changes).parts:
            _print_part(console, part)
    if body.whole:
        print_text(console, Text("Not all of it is shown; e opens the rest in your editor.", "warning"), indent=2)
    if item.always_rule:
        console.print()
        print_text(console, fact("always would add the rule", item.always_rule))


def _why(item: ApprovalItem) -> list[Text]:
    blocked = item.block_reason if item.block_reason != item.reason else None
    return [fact(name, value) for name, value in (("why", item.reason), ("not automatic because", blocked)) if value]


def _cost(item: ApprovalItem) -> list[Text]:
    lines = []
    if item.estimated_cost_usd is not None:
        lines.append(fact("estimated cost", format_usd(item.estimated_cost_usd)))
    if item.remaining_cap_usd is not None:
        lines.append(fact("left of the cap", format_usd(item.remaining_cap_usd)))
    return lines


def _print_part(console: Console, part: Part) -> None:
    if isinstance(part, Text):
        print_text(console, part, indent=2)
        return
    from agent.ui.markdown_view import highlighted, markdown_rows, print_rows  # slow to import: when it is needed

    if isinstance(part, Code):
        print_text(console, highlighted(console, part.text, part.language), indent=2)
        return
    print_rows(console, markdown_rows(console, part.text, console.width))
