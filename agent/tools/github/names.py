"""Names on GitHub, as people and models write them: `owner/repo` or any address of a repository, a path, a ref.

All are checked here, before they become a part of an address: nothing in them can lead to another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from agent.hub.repos import path_problem, revision_problem
from agent.light_dataclass import dataclass
from agent.tools.arguments import ArgumentError
from agent.tools.hub_words import optional_text

HEAD = "HEAD"
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_ADDRESS = re.compile(
    r"(?:git\+)?(?:https?|ssh|git)://(?:[\w.-]+@)?(?P<host>[^/:]+)(?::\d+)?/(?P<path>.*)", re.IGNORECASE
)
_SSH = re.compile(r"git@(?P<host>[^/:]+):(?P<path>.*)")
_BARE_HOST = re.compile(r"(?P<host>(?:www\.|raw\.|api\.)?github(?:usercontent)?\.com)/(?P<path>.*)", re.IGNORECASE)
_IN_REPO = ("blob", "tree", "raw", "blame", "edit")
_HOSTS = ("github.com", "www.github.com", "raw.githubusercontent.com", "api.github.com")
_SHOWN_CHARS = 100
_LONGEST_PATH_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class RepoName:
    """A repository; `ref` and `path` where the address that named it leads to one of its files."""

    owner: str
    name: str
    ref: str = ""
    path: str = ""

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


def plain_text(arguments: Mapping[str, Any], name: str) -> str:
    """An optional argument of one line, "" if it is absent. Raises ArgumentError for what no name has in it."""
    text = optional_text(arguments, name)
    if any(ord(sign) < 32 or ord(sign) == 127 or 0xD800 <= ord(sign) <= 0xDFFF for sign in text):
        raise ArgumentError(f"`{name}` has a line break or another sign in it that does not belong there.")
    return text


def read_owner(arguments: Mapping[str, Any], argument: str, default: str = "") -> str:
    """The name of a user or an organisation, also from the address of its page. Raises ArgumentError."""
    given = plain_text(arguments, argument) or default
    parts = (_below_github(given, argument) if _is_address(given) else given).strip("/").removeprefix("@").split("/")
    if parts[0] == "orgs":  # github.com/orgs/huggingface/repositories
        parts = parts[1:2] or parts
    if len(parts) != 1 or not _OWNER.fullmatch(parts[0]):
        raise ArgumentError(f"`{argument}` must name one user or organisation, such as huggingface; {_shown(given)}.")
    return parts[0]


def read_repo(arguments: Mapping[str, Any], owner: str = "") -> RepoName:
    """The repository that `repo` names: `owner/repo`, an address, or its bare name if its `owner` is known otherwise.

    Raises ArgumentError, which says how it should look.
    """
    given = plain_text(arguments, "repo")
    if _is_address(given):
        return _from_address(given)
    parts = given.strip("/").removesuffix(".git").split("/")
    if len(parts) == 1 and owner:
        parts = [owner, *parts]
    if len(parts) != 2:
        raise _no_repo(given)
    return _checked(parts[0], parts[1], given)


def names_owner(given: str) -> bool:
    """Whether `given` says whose repository it is."""
    return "/" in given.strip("/")


def read_path(arguments: Mapping[str, Any]) -> str:
    """A path in a repository without slashes around it, "" for its root. Raises ArgumentError."""
    return _checked_path(plain_text(arguments, "path"))


def read_ref(arguments: Mapping[str, Any]) -> str:
    """A branch, tag or commit; "" for the default branch. Raises ArgumentError."""
    return _checked_ref(plain_text(arguments, "ref"))


def route(*parts: str) -> str:
    """The path of an address, each part quoted as a whole."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def blob_url(repo_url: str, ref: str, path: str) -> str:
    """Where a person looks at a file."""
    return f"{repo_url}/blob/{quote(ref, safe='/')}/{quote(path, safe='/')}"


def copyable(repo: str, path: str | None = None) -> str:
    """A repository, or a file of it, as arguments for the next call."""
    inside = f", 'path': {path!r}" if path is not None else ""
    return f"{{'repo': {repo!r}{inside}}}"


def _is_address(given: str) -> bool:
    return any(shape.fullmatch(given) for shape in (_ADDRESS, _SSH, _BARE_HOST))


def _below_github(given: str, argument: str) -> str:
    """The path of an address on GitHub."""
    match = _ADDRESS.fullmatch(given) or _SSH.fullmatch(given) or _BARE_HOST.fullmatch(given)
    if match is None or match["host"].lower() not in _HOSTS:
        raise ArgumentError(f"`{argument}` must be on GitHub; {_shown(given)}.")
    return re.split("[?#]", match["path"])[0]


def _from_address(given: str) -> RepoName:
    """`https://github.com/owner/repo`, and what else of the kind is found in pages, READMEs and requirements."""
    parts = [unquote(part) for part in _below_github(given, "repo").split("/") if part]
    if "api.github.com" in given.lower() and parts[:1] == ["repos"]:
        parts = parts[1:]
    if len(parts) < 2:
        raise _no_repo(given)
    name, at, ref = parts[1].partition("@")
    inside = parts[2:]
    if "raw.githubusercontent.com" in given.lower():
        inside = ["raw", *inside]
    if not at and len(inside) > 1 and inside[0] in _IN_REPO:
        inside = inside[2:] if inside[1:3] in (["refs", "heads"], ["refs", "tags"]) else inside
        ref, path = "/".join(inside[1:2]), "/".join(inside[2:])
    else:
        path = ""
    repo = _checked(parts[0], name.removesuffix(".git"), given)
    return RepoName(repo.owner, repo.name, _checked_ref(ref), _checked_path(path))


def _checked(owner: str, name: str, given: str) -> RepoName:
    if not _OWNER.fullmatch(owner) or not _NAME.fullmatch(name):
        raise _no_repo(given)
    return RepoName(owner, name)


def _checked_path(given: str) -> str:
    path = given.removeprefix("./").strip("/")
    if path in ("", "."):
        return ""
    if path_problem(path) or len(path) > _LONGEST_PATH_CHARS:
        raise ArgumentError(
            f"`path` {given[:_SHOWN_CHARS]!r} is no path in a repository: give it from the repository's root, such as "
            "examples/train.py, without `..` and without an address in front."
        )
    return path


def _checked_ref(given: str) -> str:
    if given in ("", HEAD):
        return ""
    if revision_problem(given):
        raise ArgumentError(f"`ref` must be a branch, tag or commit; {_shown(given)}.")
    return given


def _no_repo(given: str) -> ArgumentError:
    return ArgumentError(f"`repo` must be owner/repo or an address on github.com; {_shown(given)}.")


def _shown(given: str) -> str:
    return f"{given[:_SHOWN_CHARS]!r} is none" if given else "it is empty"
