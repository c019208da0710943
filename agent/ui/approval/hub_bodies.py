"""What a careful person wants to see of calls that spend money or change repositories on the Hub."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from agent.protocol.events import ApprovalItem
from agent.ui.approval.parts import Body, Code, beginning, fact, facts, is_given, joined, others, plain
from agent.ui.sanitize import escaped
from agent.ui.tool_lines import counted

HUB_URL = "https://huggingface.co"
_CONTENT_LINES = 200

# --- jobs and sandboxes ----------------------------------------------------------------------------------------------

_FLAVORS = ("hardware_flavor", "flavor", "hardware")
_SCRIPT_FACTS = {"dependencies": "dependencies", "python": "python", "script_args": "args"}
_WHERE_FACTS = {"schedule": "schedule", "namespace": "namespace"}
_HIDDEN = {"env": "env (names only)", "secrets": "secrets (names only)"}


def jobs_body(item: ApprovalItem) -> Body:
    """Everything a job would run, where, for how long and with which secrets; of those only the names."""
    given = item.arguments
    flavor = next((name for name in _FLAVORS if is_given(given.get(name))), "hardware_flavor")
    head = facts(given, {"operation": "operation"})
    where = facts(given, _WHERE_FACTS)
    hidden = [fact(label, names_only(given[name])) for name, label in _HIDDEN.items() if is_given(given.get(name))]
    shown = {"operation", flavor, *_WHERE_FACTS, *_HIDDEN}
    if not is_given(given.get("script")) and not is_given(given.get("command")):  # it stops or resumes one
        return joined(*head, *facts(given, {flavor: "hardware"}), *where, *hidden, others(given, shown))
    code, names, source = _what_runs(item)
    return joined(
        *head,
        *code,
        *facts(given, _SCRIPT_FACTS),
        fact("hardware", plain(given[flavor]) if is_given(given.get(flavor)) else "cpu-basic"),
        fact("timeout", plain(given["timeout"]) if is_given(given.get("timeout")) else "30m"),
        *where,
        *hidden,
        *_save_check(source),
        others(given, shown | names | _SCRIPT_FACTS.keys() | {"timeout"}),
    )


def _what_runs(item: ApprovalItem) -> tuple[list[Text | Code], set[str], str]:
    """The script, or the image and the command in it; which arguments that shows; and the code that can be read."""
    script = item.arguments.get("script")
    if not is_given(script):
        return [*_image(item.arguments)], {"image", "command"}, plain(item.arguments.get("command"))
    source = item.preview or plain(script)
    label = fact("script", "" if source == script else plain(script))  # one that is a path is shown as its content
    return [label, Code(escaped(source.rstrip("\n")), "python")], {"script"}, source


def _image(given: Mapping[str, Any]) -> list[Text]:
    command = given.get("command")
    words = command if isinstance(command, list) and all(isinstance(word, str) for word in command) else None
    image = plain(given["image"]) if is_given(given.get("image")) else "python:3.12"
    text = shlex.join(words) if words is not None else plain(command)
    return [fact("image", image), Text("command:", "muted"), Text(escaped(text), "bold")]


def names_only(value: Any) -> str:
    """The names of variables without their values, in whatever shape a model gives them."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return "not shown: they cannot be read"
    if isinstance(value, Mapping):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, list):
        return ", ".join(str(entry).split("=", 1)[0] if "=" in str(entry) else "?" for entry in value) or "none"
    return "not shown: they cannot be read"


def _save_check(code: str) -> list[Text]:
    """Whether what is trained outlives the job, whose disk is gone at its end."""
    if "from_pretrained" not in code:
        return []
    if "push_to_hub" in code:
        return [fact("model saved", "yes, it calls push_to_hub", "tool.ok")]
    return [fact("model saved", "no: it loads a model and never calls push_to_hub", "tool.fail")]


def sandbox_body(item: ApprovalItem) -> Body:
    """Which machine would be rented."""
    hardware = item.arguments.get("hardware")
    head = fact("hardware", plain(hardware) if is_given(hardware) else "cpu-basic")
    return joined(head, others(item.arguments, {"hardware"}))


# --- repositories ----------------------------------------------------------------------------------------------------

_REPO_SHOWN = {"operation", "repo_id", "repo_type", "endpoint"}
_GIT_FACTS = {
    "branch": "branch",
    "from_rev": "from",
    "tag": "tag",
    "revision": "revision",
    "pr_num": "pull request",
    "private": "private",
    "gated": "gated",
    "space_sdk": "SDK",
    "title": "title",
}


def files_body(item: ApprovalItem) -> Body:
    """The repository and what would be written to it or deleted from it."""
    given = item.arguments
    branch = plain(given["revision"]) if is_given(given.get("revision")) else "main"
    head = [*_repo(given), fact("branch", branch)]
    if str(given.get("operation")).strip().lower() != "upload":
        named = facts(given, {"path": "path", "patterns": "patterns"})
        return joined(*head, *named, others(given, _REPO_SHOWN | {"revision", "path", "patterns"}))
    content = given.get("content")
    text = content if isinstance(content, str) else plain(content)
    # Lines are counted as the content is shown: a line break at its end begins no other.
    size = f"{counted(len(text.splitlines()), 'line')}, {counted(len(text.encode('utf-8', 'replace')), 'byte')}"
    shown = _REPO_SHOWN | {"revision", "path", "content", "create_pr"}
    return joined(
        *head,
        *facts(given, {"path": "path"}),
        fact("as a pull request", plain(bool(given.get("create_pr")))),
        others(given, shown),
        fact("content", size),
        beginning(text, _CONTENT_LINES),
    )


def git_body(item: ApprovalItem) -> Body:
    """The repository and which branch, tag, pull request or setting is meant."""
    given = item.arguments
    return joined(*_repo(given), *facts(given, _GIT_FACTS), others(given, _REPO_SHOWN | _GIT_FACTS.keys()))


def _repo(given: Mapping[str, Any]) -> list[Text]:
    kind = plain(given["repo_type"]).strip().lower() if is_given(given.get("repo_type")) else "model"
    repo = plain(given.get("repo_id") or "?")
    base = (plain(given["endpoint"]) if is_given(given.get("endpoint")) else HUB_URL).rstrip("/")
    place = repo if kind == "model" else f"{kind}s/{repo}"
    return [
        *facts(given, {"operation": "operation"}),
        fact("repo", repo),
        fact("type", kind),
        fact("URL", f"{base}/{place}"),
    ]
