"""What a careful person wants to see of calls that spend money or change repositories on the Hub."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from agent.protocol.events import ApprovalItem
from agent.ui.approval.parts import Body, Code, Fact, Part, beginning, fact, facts, is_given, joined, others, plain
from agent.ui.sanitize import escaped
from agent.ui.tool_lines import counted

HUB_URL = "https://huggingface.co"
_CONTENT_LINES = 200
_SCRIPT_LINES = 80
"""Of a longer script the beginning is shown; all of it is in the editor."""

# --- jobs and sandboxes ----------------------------------------------------------------------------------------------

_FLAVORS = ("hardware_flavor", "flavor", "hardware")
_SCRIPT_FACTS = {"dependencies": "dependencies", "python": "python", "script_args": "args"}
_WHERE_FACTS = {"schedule": "schedule", "namespace": "namespace"}
_TOLD = {"image": "image", "runs in": "backend", "runs on": "backend"}
"""Which argument a fact that looking ahead has found tells of."""
_HIDDEN = {"env": "env (names only)", "secrets": "secrets (names only)"}


def jobs_body(item: ApprovalItem) -> Body:
    """Everything a job would run, where, for how long and with which secrets; of those only the names.

    What looking ahead has found stands above it, and is not said twice.
    """
    given = item.arguments
    flavor = next((name for name in _FLAVORS if is_given(given.get(name))), "hardware_flavor")
    hidden = [fact(label, names_only(given[name])) for name, label in _HIDDEN.items() if is_given(given.get(name))]
    head = facts(given, {"operation": "operation"})
    shown = {"operation", flavor, *_WHERE_FACTS, *_HIDDEN, *_told(item)}
    if not is_given(given.get("script")) and not is_given(given.get("command")):  # it stops or resumes one
        return joined(*head, *facts(given, {flavor: "hardware"} | _WHERE_FACTS), *hidden, others(given, shown))
    code, names, source = _what_runs(item)
    if item.facts:
        head = [] if given.get("operation") == "run" else head  # the reason says it
        place = facts(given, {"schedule": "schedule"})
    else:
        hardware = fact("hardware", plain(given[flavor]) if is_given(given.get(flavor)) else "cpu-basic")
        timeout = fact("timeout", plain(given["timeout"]) if is_given(given.get("timeout")) else "30m")
        place = [hardware, timeout, *facts(given, _WHERE_FACTS), *_save_check(source)]
    shown |= names | _SCRIPT_FACTS.keys() | {"timeout"}
    if isinstance(given.get("wait"), bool):
        shown.add("wait")
        place += [] if given["wait"] else [fact("waits for its end", "no")]
    return joined(*head, *code, *facts(given, _SCRIPT_FACTS), *place, *hidden, others(given, shown))


def _told(item: ApprovalItem) -> set[str]:
    return {_TOLD[name] for name, _ in item.facts if name in _TOLD}


def _what_runs(item: ApprovalItem) -> tuple[list[Part], set[str], str]:
    """The script, or the image and the command in it; which arguments that shows; and the code that can be read."""
    script = item.arguments.get("script")
    if not is_given(script):
        image = [] if "image" in _told(item) else [_image(item.arguments)]
        return [*image, *_command(item.arguments)], {"image", "command"}, plain(item.arguments.get("command"))
    source = item.preview or plain(script)
    label = fact("script", "" if source == script else plain(script))  # one that is a path is shown as its content
    lines = source.rstrip("\n").split("\n")
    parts: list[Part] = [label, Code(escaped("\n".join(lines[:_SCRIPT_LINES])), "python")]
    if len(lines) > _SCRIPT_LINES:
        parts.append(Text(f"… {counted(len(lines) - _SCRIPT_LINES, 'more line')}; e opens all of it", "warning"))
    return parts, {"script"}, source


def _image(given: Mapping[str, Any]) -> Fact:
    return fact("image", plain(given["image"]) if is_given(given.get("image")) else "python:3.12")


def _command(given: Mapping[str, Any]) -> list[Part]:
    command = given.get("command")
    words = command if isinstance(command, list) and all(isinstance(word, str) for word in command) else None
    text = shlex.join(words) if words is not None else plain(command)
    return [fact("command", ""), Text(escaped(text), "bold")]


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


def _save_check(code: str) -> list[Fact]:
    """Whether what is trained outlives the job, whose disk is gone at its end."""
    if "from_pretrained" not in code:
        return []
    if "push_to_hub" in code:
        return [fact("model saved", "yes, it calls push_to_hub", "tool.ok")]
    return [fact("model saved", "no: it loads a model and never calls push_to_hub", "tool.fail")]


def sandbox_body(item: ApprovalItem) -> Body:
    """Which machine would be rented."""
    rest = others(item.arguments, {"hardware"})
    if any(name == "hardware" for name, _ in item.facts):
        return rest
    hardware = item.arguments.get("hardware")
    return joined(fact("hardware", plain(hardware) if is_given(hardware) else "cpu-basic"), rest)


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
    is_told = any(name == "from" for name, _ in item.facts)
    what = facts(given, ({} if is_told else {"local_path": "from here"}) | {"patterns": "patterns", "path": "path"})
    request = fact("as a pull request", plain(bool(given.get("create_pr"))))
    if not is_given(given.get("content")):
        shown = _REPO_SHOWN | {"revision", "path", "local_path", "patterns", "create_pr"}
        return joined(*head, *what, request, others(given, shown))
    content = given["content"]
    text = content if isinstance(content, str) else plain(content)
    # Lines are counted as the content is shown: a line break at its end begins no other.
    size = f"{counted(len(text.splitlines()), 'line')}, {counted(len(text.encode('utf-8', 'replace')), 'byte')}"
    shown = _REPO_SHOWN | {"revision", "path", "local_path", "patterns", "content", "create_pr"}
    return joined(
        *head,
        *what,
        request,
        others(given, shown),
        fact("content", size),
        beginning(text, _CONTENT_LINES),
    )


def git_body(item: ApprovalItem) -> Body:
    """The repository and which branch, tag, pull request or setting is meant."""
    given = item.arguments
    is_made = str(given.get("operation")).strip().lower() == "create_repo"
    usual = [fact("private", "yes (the default)")] if is_made and not is_given(given.get("private")) else []
    return joined(*_repo(given), *facts(given, _GIT_FACTS), *usual, others(given, _REPO_SHOWN | _GIT_FACTS.keys()))


def _repo(given: Mapping[str, Any]) -> list[Fact]:
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
