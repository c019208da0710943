"""How the calls of each tool are shown to the person who decides: one formatter per tool, in one table."""

from __future__ import annotations

from rich.text import Text

from agent.protocol.events import ApprovalItem
from agent.ui.approval.hub_bodies import files_body, git_body, jobs_body, sandbox_body
from agent.ui.approval.parts import (
    Body,
    Formatter,
    Prose,
    all_arguments,
    beginning,
    fact,
    joined,
    others,
    preview,
)
from agent.ui.sanitize import escaped
from agent.ui.tool_lines import SERVER_TOOL, value_text

_LINE_CHARS = 400
"""A longer value is shown by its beginning."""


def body_of(item: ApprovalItem) -> Body:
    """What the call would do, as far as its tool lets us say."""
    any_body = _server_body if item.tool.startswith(SERVER_TOOL) and not item.preview else _any_body
    return FORMATTERS.get(item.tool, any_body)(item)


def _command_body(item: ApprovalItem) -> Body:
    """The command, whole, below what the model says of it; then its other arguments."""
    command, description = item.arguments.get("command"), item.arguments.get("description")
    if not isinstance(command, str):
        return _any_body(item)
    said = [Text(f"# {escaped(description, False)}", "muted")] if isinstance(description, str) and description else []
    shown = {"command", "description"} if said else {"command"}
    more = [preview(item.preview)] if item.preview else []
    return joined(*said, Text(escaped(command.rstrip("\n")), "bold"), *more, others(item.arguments, shown))


def _file_body(item: ApprovalItem) -> Body:
    """The path and the diff; without a diff the call would fail or was edited, and all it says is shown."""
    path = item.arguments.get("path")
    if not isinstance(path, str):
        return preview(item.preview) if item.preview else others(item.arguments, ())
    head = Text(escaped(path, False), "bold")
    return joined(head, preview(item.preview, path) if item.preview else others(item.arguments, {"path"}))


def _plan_body(item: ApprovalItem) -> Body:
    plan = item.arguments.get("plan")
    if not isinstance(plan, str):
        return _any_body(item)
    return joined(Prose(escaped(plan)), others(item.arguments, {"plan"}))


def _server_body(item: ApprovalItem) -> Body:
    """Whatever a server's tool is called with, a line each; long texts as the lines they are."""
    if not item.arguments:
        return Body((Text("no arguments", "muted"),))
    return joined(*(_argument(str(name), value) for name, value in item.arguments.items()))


def _argument(name: str, value: object) -> Body:
    text = value_text(value)
    if "\n" not in text and len(text) <= _LINE_CHARS:
        return joined(fact(name, text))
    return joined(fact(name, ""), beginning(text) if isinstance(value, str) else all_arguments({name: value}))


def _any_body(item: ApprovalItem) -> Body:
    """The preview with the path it is about, or all arguments."""
    return _file_body(item) if item.preview else all_arguments(item.arguments)


FORMATTERS: dict[str, Formatter] = {
    "bash": _command_body,
    "edit": _file_body,
    "write": _file_body,
    "propose_plan": _plan_body,
    "hf_jobs": jobs_body,
    "hf_repo_files": files_body,
    "hf_repo_git": git_body,
    "sandbox_create": sandbox_body,
}
"""By tool name. Others are shown by their preview or their arguments."""
