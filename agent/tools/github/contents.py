"""Files and directories of a repository, for `github_read_file`."""

from __future__ import annotations

import asyncio
import difflib
import posixpath
from collections.abc import Mapping
from typing import Any

from agent.protocol.counting import counted
from agent.protocol.tools import ToolResult
from agent.protocol.untrusted import harmless
from agent.protocol.untrusted import readable as plain
from agent.tools.arguments import ArgumentError, int_argument
from agent.tools.github.answers import Content
from agent.tools.github.client import RAW, GitHub, GitHubError, github_look, parsed
from agent.tools.github.files import Readable, decoded, lfs_size_bytes, readable
from agent.tools.github.names import RepoName, read_path, read_ref, read_repo, route
from agent.tools.github.paging import RangeError, window
from agent.tools.hub_words import size_text
from agent.tools.looking import Look, echo
from agent.web.client import WebAnswer, WebClient

MAX_FILE_BYTES = 20 << 20
"""Of a file never more than its beginning of this size is fetched."""
_API_LIMIT = "100 MB"
_MOST_LISTED = 1_000
"""GitHub lists no more entries of a directory than this."""
_NEAR_NAMES = 5
_Lines = tuple[int | None, int | None]
"""The first and the last one asked for."""
_ANY_LINE = -(1 << 53)
"""Lines before the first one are left off, not refused."""


def look(web: WebClient, environ: Mapping[str, str]) -> Look:
    """The tool's work."""
    return github_look("github_read_file", web, environ, _handle)


async def _handle(github: GitHub, arguments: Mapping[str, Any]) -> ToolResult:
    repo, path, ref = read_repo(arguments), read_path(arguments), read_ref(arguments)
    path, ref = path or repo.path, ref or repo.ref  # where the address of a file was given as `repo`
    return await read_file(
        github, repo, path, ref, _optional_line(arguments, "line_start"), _optional_line(arguments, "line_end")
    )


def _optional_line(arguments: Mapping[str, Any], name: str) -> int | None:
    return int_argument(arguments, name, 0, minimum=_ANY_LINE) if arguments.get(name) is not None else None


async def read_file(
    github: GitHub, repo: RepoName, path: str, ref: str = "", start: int | None = None, end: int | None = None
) -> ToolResult:
    """A file's lines `start` to `end`, or what lies in a directory. `ref` "": the default branch.

    Raises GitHubError, and ArgumentError for lines that are not there.
    """
    where = f"{repo}/{path}" if path else str(repo)
    title = f"{where} at {ref}" if ref else where
    try:
        return await _what_is_there(github, repo, path, ref, title, (start, end))
    except RangeError as error:
        raise ArgumentError(f"{title}: {error}") from error
    except GitHubError as error:
        if error.status == 403 and "too large" in error.said.lower():
            return await _too_large(github, repo, path, ref, title)
        if error.status == 404:
            return await _not_found(github, repo, path, ref, error)
        raise


async def _what_is_there(github: GitHub, repo: RepoName, path: str, ref: str, title: str, lines: _Lines) -> ToolResult:
    address = _address(repo, path)
    params = {"ref": ref} if ref else {}
    answer = await github.get(address, params)
    if _is_directory(answer):
        return _listing(await parsed(list[Content], answer), title, lines)
    content = await parsed(Content, answer)
    if content.type != "file":
        return _no_file(content, path, title)
    data, is_cut = decoded(content), False
    if data is None:
        raw = await github.get(address, params, accept=RAW, max_bytes=MAX_FILE_BYTES)
        data, is_cut = raw.body, raw.is_cut
    return await _file(content, data, is_cut, title, lines)


def _address(repo: RepoName, path: str) -> str:
    return route("repos", repo.owner, repo.name, "contents", *(path.split("/") if path else ()))


def _is_directory(answer: WebAnswer) -> bool:
    return answer.body.lstrip()[:1] == b"["


# --- a file ----------------------------------------------------------------------------------------------------------


async def _file(content: Content, data: bytes, is_cut: bool, title: str, lines: _Lines) -> ToolResult:
    head = f"{title} ({size_text(content.size or len(data))})"
    found = await asyncio.to_thread(readable, data, content.path or title, *lines, is_cut=is_cut)
    advice = [_lfs_advice(data), _advice(found, is_cut, content.size)]
    source = content.html_url or title
    if found.piece is None:
        return ToolResult(_joined(head, *found.remarks), source=source, advice=_joined(*advice), display=plain(head))
    of = f"{found.piece.total:,}{' and more' if is_cut else ''}"
    head += f", lines {found.piece.first:,} to {found.piece.last:,} of {of}"
    text = f"{_joined(head, *found.remarks)}\n\n{found.piece.text}"
    return ToolResult(text, source=source, advice=_joined(*advice), display=plain(head))


def _advice(found: Readable, is_cut: bool, size_bytes: int) -> str:
    said = []
    if found.piece is not None and found.piece.next_line is not None:
        said.append(f"To go on: line_start={found.piece.next_line}.")
    if is_cut:
        whole = f" of {size_text(size_bytes)}" if size_bytes else ""
        said.append(
            f"Only its first {size_text(MAX_FILE_BYTES)}{whole} can be read here; clone the repository for all."
        )
    return " ".join(said)


def _lfs_advice(data: bytes) -> str:
    size_bytes = lfs_size_bytes(data)
    if size_bytes is None:
        return ""
    return f"This is a Git LFS pointer: the file itself has {size_text(size_bytes)}; clone the repository to get it."


async def _too_large(github: GitHub, repo: RepoName, path: str, ref: str, title: str) -> ToolResult:
    """GitHub refuses the file with all that it knows of it; its directory tells the size."""
    try:
        size_bytes = next((each.size for each in await _beside(github, repo, path, ref) if each.path == path), 0)
    except GitHubError:
        size_bytes = 0
    size = f" of {size_text(size_bytes)}" if size_bytes else ""
    return ToolResult(
        f"{title} is a file{size}: GitHub hands out files of up to {_API_LIMIT} this way. Clone the repository "
        "(git clone --depth 1) to read it.",
        ok=False,
    )


# --- what is no file -------------------------------------------------------------------------------------------------


def _listing(entries: list[Content], title: str, lines: _Lines) -> ToolResult:
    """A directory: its directories first."""
    if not entries:
        return ToolResult(f"{title} is an empty directory.")
    rows = sorted(entries, key=lambda each: (each.type != "dir", each.name))
    piece = window([_row(each) for each in rows], *lines)
    head = f"{title} is a directory with {counted(len(rows), 'entry', 'entries')}"
    if (piece.first, piece.last) != (1, piece.total):
        head += f", here {piece.first:,} to {piece.last:,}"
    advice = "One of them is read with its whole path as `path`."
    if piece.next_line is not None:
        advice += f" The rest: line_start={piece.next_line}."
    if len(rows) >= _MOST_LISTED:
        advice += f" GitHub lists no more than {_MOST_LISTED:,} entries: there may be more."
    return ToolResult(f"{head}\n{piece.text}", source=f"GitHub: {title}", advice=advice, display=plain(head))


def _row(entry: Content) -> str:
    if entry.type == "dir":
        return f"{entry.name}/"
    if entry.type == "symlink":
        return f"{entry.name} (symbolic link)"
    if entry.type == "submodule" or entry.download_url is None:  # in a listing, GitHub calls submodules files
        return f"{entry.name} (submodule)"
    return f"{entry.name} ({size_text(entry.size)})"


def _no_file(content: Content, path: str, title: str) -> ToolResult:
    """A submodule, or a symbolic link that GitHub does not follow (to a directory, to nothing, to somewhere else)."""
    source = content.html_url or title
    if content.type == "submodule":
        url = content.submodule_git_url or "an unknown address"
        advice = "If that is on GitHub, read it with its address as `repo`."
        return ToolResult(f"{title} is a submodule: another repository, {url}", source=source, advice=advice)
    if content.type == "symlink":
        target = content.target or ""
        meant = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        is_inside = bool(target) and not target.startswith("/") and meant != ".." and not meant.startswith("../")
        where = f"path={meant!r} of this repository" if is_inside else "outside of the repository"
        return ToolResult(f"{title} is a symbolic link to {target} ({where})", source=source)
    return ToolResult(f"{title} is of the kind {harmless(content.type)[:40]!r}, which cannot be read here.", ok=False)


# --- what is not there -----------------------------------------------------------------------------------------------


async def _not_found(github: GitHub, repo: RepoName, path: str, ref: str, error: GitHubError) -> ToolResult:
    """What of it is missing (the repository, the ref, the path), and what has a similar name."""
    at = f" at {ref}" if ref else ""
    if ref and "no commit" in error.said.lower():
        return ToolResult(
            f"{repo} has no branch, tag or commit {echo(ref)}. Leave `ref` out to read the default branch.", ok=False
        )
    if "repository is empty" in error.said.lower():
        return ToolResult(f"{repo} is empty: it has no files yet.", ok=False)
    beside = await _beside(github, repo, path, ref) if path else []
    parent = posixpath.dirname(path)
    top = await _beside(github, repo, "any", ref) if parent and not beside else []
    if not beside and not top:
        what = f"the repository {repo}{at}" if path else str(repo)
        return ToolResult(f"{what}: {error} github_list_repos shows what an owner has.", ok=False)
    names = [each.path for each in beside or top]
    wanted = path if beside else path.split("/")[0]
    near = difflib.get_close_matches(wanted, names, n=_NEAR_NAMES, cutoff=0.5)
    text = f"There is no {path} in {repo}{at}."
    near_text = f"Similar names: {', '.join(near)}" if near else ""
    look = f"path={parent if beside else ''!r} lists what there is."
    return ToolResult(_joined(text, near_text), ok=False, source=f"GitHub: {repo}", advice=look)


async def _beside(github: GitHub, repo: RepoName, path: str, ref: str) -> list[Content]:
    """What lies in the directory of `path`; nothing if there is no such directory. Raises GitHubError."""
    try:
        answer = await github.get(_address(repo, posixpath.dirname(path)), {"ref": ref} if ref else {})
    except GitHubError as error:
        if error.status == 404:
            return []
        raise
    return await parsed(list[Content], answer) if _is_directory(answer) else []


def _joined(*texts: str) -> str:
    return "\n".join(filter(None, texts))
