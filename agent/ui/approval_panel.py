"""Asking the person about a tool call: what is shown, and what the answer means.

Whatever is shown here is spelled out with `escaped`: a person must not approve characters that the screen hid.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from agent.protocol.events import ApprovalItem
from agent.protocol.money import format_usd
from agent.protocol.operations import ApprovalAnswer
from agent.ui.console import print_text
from agent.ui.diff_view import preview_text
from agent.ui.sanitize import escaped

_MAX_LINES = 500
_MAX_COLUMNS = 4000

_YES = frozenset({"y", "yes"})
_NO = frozenset({"n", "no"})
_ALWAYS = frozenset({"a", "always"})
_UNCLEAR = frozenset({"", "ok", "okay", "k", "sure", "yep", "yeah", "?"})
"""Neither a clear yes nor a reason to refuse: asked again."""


def render_item(console: Console, item: ApprovalItem, index: int, total: int) -> None:
    """Print one call that waits: `index` (from 1) of `total`, why it asks, and all that it would do."""
    console.print()
    count = f" {index} of {total}" if total > 1 else ""
    print_text(console, Text.assemble((f"Approval{count}: ", "warning"), (escaped(item.tool, False), "bold")))
    for name, value in _facts(item):
        print_text(console, Text.assemble((f"{name}: ", "muted"), escaped(value, False)))
    console.print()
    for part in _BODIES.get(item.tool, _general_body)(item):
        print_text(console, part, indent=2)
    console.print()


def prompt_hint(item: ApprovalItem) -> str:
    """The keys that answer, in one line."""
    always = " / [a]lways" if item.always_rule else ""
    return f"[y]es / [n]o{always} / or type why not"


def parse_answer(text: str, item: ApprovalItem) -> ApprovalAnswer | None:
    """What the person's line means for `item`; None if it must be asked again.

    Yes, no and always (where a rule is offered) in any case; every other text refuses, and is passed on as it is.
    """
    word = text.strip().lower()
    call_id = item.tool_call_id
    if word in _YES:
        return ApprovalAnswer(call_id, approved=True)
    if word in _NO:
        return ApprovalAnswer(call_id, approved=False)
    if word in _ALWAYS:
        return ApprovalAnswer(call_id, approved=True, always_rule=item.always_rule) if item.always_rule else None
    return None if word in _UNCLEAR else ApprovalAnswer(call_id, approved=False, feedback=text)


def _facts(item: ApprovalItem) -> list[tuple[str, str]]:
    blocked = item.block_reason if item.block_reason != item.reason else None
    facts = [("why", item.reason), ("not automatic because", blocked or "")]
    if item.estimated_cost_usd is not None:
        facts.append(("estimated cost", format_usd(item.estimated_cost_usd)))
    if item.remaining_cap_usd is not None:
        facts.append(("left of the cap", format_usd(item.remaining_cap_usd)))
    facts.append(("always would add the rule", item.always_rule or ""))
    return [(name, value) for name, value in facts if value]


def _command_body(item: ApprovalItem) -> list[Text]:
    """The command, whole, below what the model says of it; then its other arguments."""
    command, description = item.arguments.get("command"), item.arguments.get("description")
    if not isinstance(command, str):
        return _general_body(item)
    shown = {"command", "description"} if isinstance(description, str) else {"command"}
    rest = {name: value for name, value in item.arguments.items() if name not in shown}
    parts = [Text(f"# {escaped(description, False)}", "muted")] if isinstance(description, str) and description else []
    parts.append(Text(escaped(command), "bold"))
    if item.preview:
        parts.append(_preview(item.preview))
    return [*parts, *_arguments(rest)] if rest else parts


def _general_body(item: ApprovalItem) -> list[Text]:
    """The preview with the path it is about, or all arguments."""
    if not item.preview:
        return _arguments(item.arguments)
    path = item.arguments.get("path")
    head = [Text(escaped(path, False), "bold")] if isinstance(path, str) else []
    return [*head, _preview(item.preview)]


def _preview(preview: str) -> Text:
    return preview_text(escaped(preview), _MAX_LINES, _MAX_COLUMNS)


def _arguments(arguments: Mapping[str, Any]) -> list[Text]:
    """Arguments as JSON, but texts of several lines as the lines they are."""
    long = {name: value for name, value in arguments.items() if isinstance(value, str) and "\n" in value}
    short = {name: value for name, value in arguments.items() if name not in long}
    parts = [Text(escaped(_pretty_json(short)))] if short or not long else []
    for name, value in long.items():
        parts.append(Text(f"{escaped(str(name), False)}:", "muted"))
        parts.append(Text(escaped(value)))
    return parts


def _pretty_json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, default=str)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


_BODIES: dict[str, Callable[[ApprovalItem], list[Text]]] = {"bash": _command_body}
"""How a tool's call is shown; all others are shown by preview, or by their arguments."""
