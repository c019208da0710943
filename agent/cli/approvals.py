"""Asking the person about the calls of a turn, one after the other."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from agent.cli.commands import carry_out, is_for_us
from agent.protocol.events import ApprovalItem, ApprovalRequired
from agent.protocol.operations import ApprovalAnswer
from agent.protocol.tools import ApprovalContext
from agent.tools.approval_rules import RULES
from agent.ui.approval_panel import (
    EDIT,
    answer_for,
    editor_suffix,
    editor_text,
    parse_answer,
    prompt_hint,
    render_item,
    with_edited,
)
from agent.ui.editor import EditorError
from agent.ui.tool_lines import tool_title

if TYPE_CHECKING:
    from agent.cli.app import App

ANYTIME_COMMANDS = ("/status", "/cost", "/budget", "/context", "/jobs", "/help")
"""Commands that only show something, and can be given while a question waits."""


async def ask_approvals(app: App, required: ApprovalRequired) -> list[dict[str, Any]] | None:
    """The answers as data for `exec_approval`; None to stop the turn (Esc, Ctrl-C, Ctrl-D)."""
    answers: list[dict[str, Any]] = []
    rules: set[str] = set()
    """What the person has just allowed for good."""
    for index, item in enumerate(required.tools, 1):
        if item.always_rule in rules:
            app.note(f"{tool_title(item.tool)} is allowed by {item.always_rule}")
            answer: ApprovalAnswer | None = ApprovalAnswer(item.tool_call_id, approved=True)
        else:
            answer = await _ask(app, item, index, len(required.tools))
        if answer is None:
            return None
        if answer.always_rule:
            rules.add(answer.always_rule)
        answers.append(asdict(answer))
    return answers


async def _ask(app: App, item: ApprovalItem, index: int, total: int) -> ApprovalAnswer | None:
    shown = item
    render_item(app.console, shown, index, total)
    while True:
        text = await app.question(f"{prompt_hint(shown)} ")
        if text is None:
            return None
        if is_for_us(text.strip()):
            await _command(app, text.strip())
            continue
        parsed = parse_answer(text, shown)
        if isinstance(parsed, ApprovalAnswer):
            return answer_for(item, shown, parsed)
        if parsed is EDIT:
            before, shown = shown, await _edited(app, item, shown)
            if shown != before:
                render_item(app.console, shown, index, total)
        else:
            app.note("Is that a yes? y approves it, n refuses it; other words refuse it and are passed on.")


async def _command(app: App, text: str) -> None:
    if text.split()[0].lower() in ANYTIME_COMMANDS:
        try:
            await carry_out(app, text)
        except Exception as error:  # noqa: BLE001 - told and logged; the question is still open
            app.tell_failure(error)
    else:
        app.complain(f"Answer this first ({', '.join(ANYTIME_COMMANDS)} work here); Ctrl-C stops the turn.")


async def _edited(app: App, item: ApprovalItem, shown: ApprovalItem) -> ApprovalItem:
    """The call with what the person made of its script; as it was if the editor failed."""
    try:
        text = await app.edit_text(editor_text(shown) or "", editor_suffix(shown))
        return with_edited(item, text, _hints(app, item, text))
    except EditorError as error:
        app.complain(str(error))
        return shown


def _hints(app: App, item: ApprovalItem, text: str) -> tuple[str, ...]:
    """What a careful person would look at in the call as it is now."""
    rule = RULES.get(item.tool)
    if rule is None or item.editable is None:
        return ()
    return rule(item.arguments | {item.editable: text}, ApprovalContext(app.workspace)).hints
