"""Words that the tools for repositories on the Hub share: reading their arguments, sizes, results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agent.hub.repos import REPO_TYPES, Repo, RepoType, path_problem, revision_problem
from agent.protocol.tools import ToolResult
from agent.tools.arguments import ArgumentError, int_argument, text_argument

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"(?:{_PART}/)?{_PART}")
_LONGEST_ID_CHARS = 96
_ADDRESS = re.compile(r"(?:https?://[^/]+/)?(?P<type>models|datasets|spaces)/(?P<id>[^/]+/[^/?#]+)|https?://[^/]+/.*")


# --- arguments -------------------------------------------------------------------------------------------------------


def operation_name(arguments: Mapping[str, Any]) -> str:
    """As the approval rules read it: blanks squeezed, lower case."""
    return " ".join(str(arguments.get("operation") or "").split()).lower()


def optional_text(arguments: Mapping[str, Any], name: str) -> str:
    """A string argument without blanks around it, "" if it is absent. Raises ArgumentError if it is no string."""
    return "" if arguments.get(name) is None else text_argument(arguments, name).strip()


def choice_argument(arguments: Mapping[str, Any], name: str, choices: tuple[str, ...], default: str) -> str:
    """One of `choices`, in whatever case it was written. Raises ArgumentError."""
    raw = arguments.get(name)
    given = str(raw).strip().lower() if raw is not None else ""  # `False` is "false"
    if given and given not in choices:
        raise ArgumentError(f"`{name}` must be one of {', '.join(choices)}, not {given[:40]!r}.")
    return given or default


def number_argument(arguments: Mapping[str, Any], name: str) -> int:
    """A required number from 1 on. Raises ArgumentError."""
    return int_argument(arguments, name, 0, minimum=1)


def read_repo(arguments: Mapping[str, Any], *, takes_bare_name: bool = False) -> Repo:
    """The repository that `repo_id` and `repo_type` name. Raises ArgumentError, which says how the id should look."""
    wanted = choice_argument(arguments, "repo_type", REPO_TYPES, "model")
    repo_type: RepoType = next(each for each in REPO_TYPES if each == wanted)
    repo_id = text_argument(arguments, "repo_id").strip()
    if match := _ADDRESS.fullmatch(repo_id):
        kind = (match["type"] or "models").removesuffix("s")
        meant = match["id"] or "/".join(repo_id.split("/")[3:5])
        raise ArgumentError(f'`repo_id` is owner/name only; here: repo_id="{meant}", repo_type="{kind}".')
    if "/" not in repo_id and not takes_bare_name:
        raise ArgumentError(f"`repo_id` must be owner/name; {repo_id[:100]!r} has no owner.")
    is_odd = not _REPO_ID.fullmatch(repo_id) or "--" in repo_id or ".." in repo_id
    if is_odd or any(len(part) > _LONGEST_ID_CHARS for part in repo_id.split("/")):
        raise ArgumentError(
            f"`repo_id` {repo_id[:100]!r} is no repository id: owner/name, each of letters, digits, `-`, `_` and `.` "
            f"(no `--`, no `..`, at most {_LONGEST_ID_CHARS} characters)."
        )
    return Repo(repo_id, repo_type)


_REVISIONS = ("revision", "branch", "tag", "from_rev")


def require_plain(arguments: Mapping[str, Any]) -> None:
    """Raises ArgumentError for a path or revision that would become another address than one in the repository."""
    for name in _REVISIONS:
        given = optional_text(arguments, name)
        if given and (problem := revision_problem(given)):
            raise ArgumentError(f"`{name}` {given[:100]!r} {problem}.")
    path = optional_text(arguments, "path").removeprefix("./").removeprefix("/").removesuffix("/")
    if path not in ("", ".") and (problem := path_problem(path)):
        raise ArgumentError(f"`path` {path[:100]!r} {problem}: give the path in the repository, such as data/a.txt.")


def is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


# --- results ---------------------------------------------------------------------------------------------------------


def finished(said: str, url: str = "") -> ToolResult:
    """What was done; where to look at it is for the model only."""
    return ToolResult(f"{said}\n{url}".rstrip(), display=said)


def size_text(size_bytes: float) -> str:
    """For people: `12 B`, `1.5 KB`, `3.2 GB`; a step is 1024."""
    for unit in ("B", "KB", "MB", "GB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:,.1f} TB"
