"""What an upload to the Hub takes from where the tools work, and what must not leave it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from agent.config_loading import cache_dir, config_dir, state_dir
from agent.hub.repos import matching, path_problem
from agent.light_dataclass import dataclass
from agent.protocol.compute import ComputeError
from agent.protocol.counting import counted
from agent.protocol.tools import ToolSession
from agent.redaction.shapes import holds_key
from agent.tools.arguments import ArgumentError, utf8_argument
from agent.tools.files import FileToolError, describe_os_error, display_name, open_regular, resolve_path
from agent.tools.hub_words import optional_text, size_text
from agent.tools.sensitive_paths import holds_secrets, home_directory, is_sensitive_path

MAX_FOLDER_FILES = 10_000
MAX_SEARCHED_BYTES = 1 << 20
"""Larger files are not searched for secrets: they are data."""
MAX_KEPT_BYTES = 64 << 20
"""So much of what was searched is uploaded from memory, the rest from the disk."""
CARD = "README.md"
_SECRET_FILES = re.compile(r"\.?token|stored_tokens|credentials(?!.*\.(?:py|md|rst)$).*", re.IGNORECASE)

FetchFiles = Callable[[str, ToolSession], Awaitable[list[tuple[str, bytes]]]]
"""The files at a path where the session's tools run, if that is not this machine: their paths below it and contents;
for a file one pair, with its name. Raises OSError, ComputeError, ArgumentError or FileToolError."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to upload. `content` is what was looked at, or where it lies; `stamp` another text when it has changed."""

    name: str
    content: bytes | Path = field(repr=False)
    size_bytes: int
    stamp: str


@dataclass(frozen=True, slots=True)
class Source:
    """What is uploaded: text that the model wrote, or a file or the files of a directory, which are then at `local`.

    `path` is where it goes: a file, or for a folder the directory ("" is the root). `left_out` are files that are kept
    from it, `suspicious` those with something in them that looks like somebody's key.
    """

    path: str
    files: tuple[File, ...]
    local: str = ""
    is_folder: bool = False
    left_out: tuple[str, ...] = ()
    suspicious: tuple[str, ...] = ()

    @property
    def targets(self) -> list[tuple[str, bytes | Path]]:
        """Path in the repository and content of each file."""
        below = f"{self.path}/" if self.path else ""
        return [(f"{below}{each.name}" if self.is_folder else self.path, each.content) for each in self.files]

    @property
    def stamps(self) -> dict[str, str]:
        """What must be the same when it is uploaded."""
        return {each.name: each.stamp for each in self.files}

    @property
    def has_card(self) -> bool:
        """Whether the repository's card is among the files."""
        return any(target == CARD for target, _ in self.targets)

    @property
    def what(self) -> str:
        """Number and size."""
        size = size_text(sum(each.size_bytes for each in self.files))
        return f"{counted(len(self.files), 'file')}, {size}" if self.is_folder else size

    def require_unchanged(self) -> None:
        """Raises FileToolError if a file on this machine is not as it was looked at. Blocking."""
        for each in self.files:
            if isinstance(each.content, Path) and _stamp(_stat(each.content)) != each.stamp:
                raise FileToolError(f"{each.content} was changed while it was uploaded; nothing is committed.")


class UploadReader:
    """Finds what a call would upload. With `fetch` that is elsewhere, and nothing of this machine is read."""

    def __init__(self, environ: Mapping[str, str], fetch: FetchFiles | None = None) -> None:
        self.fetch = fetch
        self._environ = environ

    async def find(self, arguments: Mapping[str, Any], session: ToolSession) -> Source:
        """What a call would upload. Raises ArgumentError, FileToolError, ComputeError."""
        local = optional_text(arguments, "local_path")
        if self.fetch is None or not local or arguments.get("content") is not None:
            return await asyncio.to_thread(self.find_here, arguments, session)
        path, patterns = repo_path(optional_text(arguments, "path")), _allowed(arguments)
        _require_harmless(local)
        try:
            found = await self.fetch(local, session)
        except (OSError, ComputeError) as error:
            raise FileToolError(f"`local_path`: {local} cannot be read where the tools run: {error}") from error
        return await asyncio.to_thread(_fetched, local, found, path, patterns, session)

    def find_here(self, arguments: Mapping[str, Any], session: ToolSession) -> Source:
        """The same on this machine. Blocking: it looks at the files. Raises ArgumentError, FileToolError."""
        has_content = arguments.get("content") is not None
        local = optional_text(arguments, "local_path")
        if has_content == bool(local):
            raise ArgumentError("upload needs `content` with `path`, or `local_path`; one of the two.")
        path = repo_path(optional_text(arguments, "path"))
        if has_content:
            return _content(arguments, path, session)
        place = resolve_path(local, session.workspace)
        _require_harmless(local, display_name(place, session.workspace))
        if self._is_own(place):
            raise FileToolError(f"{place} is this program's own (its sessions and settings); it is not uploaded.")
        if place.is_dir():
            return self._folder(place, path, _allowed(arguments), session)
        file, is_suspicious = _looked_at(place, place.name, session)
        target = path + place.name if not path or path.endswith("/") else path
        return Source(target, (file,), str(place), suspicious=(place.name,) if is_suspicious else ())

    def _folder(self, place: Path, path: str, patterns: tuple[str, ...] | None, session: ToolSession) -> Source:
        if holds_secrets(str(place), home_directory()):
            raise FileToolError(f"{place} is too high up to upload all of it. Name the directory that is meant.")
        names = matching(_walk(place), patterns)
        left_out = {name for name in names if self._is_kept_back(place, name, session)}
        files: list[File] = []
        suspicious: list[str] = []
        kept_bytes = 0
        for name in sorted(set(names) - left_out):
            keeps = kept_bytes < MAX_KEPT_BYTES
            file, is_suspicious = _looked_at(place / name, name, session, keeps=keeps)
            kept_bytes += len(file.content) if isinstance(file.content, bytes) else 0
            files.append(file)
            suspicious += [name] if is_suspicious else []
        return _of_folder(str(place), path, files, sorted(left_out), suspicious, patterns)

    def _is_own(self, place: Path) -> bool:
        """Whether it is of this program: journals hold conversations, leases keys."""
        own = (find(self._environ) for find in (state_dir, config_dir, cache_dir))
        return any(place.is_relative_to(os.path.realpath(each)) for each in own)

    def _is_kept_back(self, folder: Path, name: str, session: ToolSession) -> bool:
        real = Path(os.path.realpath(folder / name))  # a link may lead anywhere
        leads_out = not real.is_relative_to(os.path.realpath(folder))
        is_secret = _is_secret_file(name) or _is_secret_file(display_name(real, session.workspace))
        return leads_out or is_secret or self._is_own(real)


def repo_path(raw: str) -> str:
    """A path in the repository, without `/` or `./` at its beginning. Raises ArgumentError for one that leads out."""
    path = raw.removeprefix("./").removeprefix("/")
    if path == ".":
        return ""
    if path and (problem := path_problem(path.removesuffix("/"))):
        raise ArgumentError(f"`path` {raw[:100]!r} {problem}: give the path in the repository, such as data/a.txt.")
    return path


# --- looking at files ------------------------------------------------------------------------------------------------


def _content(arguments: Mapping[str, Any], path: str, session: ToolSession) -> Source:
    raw = arguments["content"]
    data = raw if isinstance(raw, bytes) else utf8_argument(arguments, "content").encode()
    if not path or path.endswith("/"):
        raise ArgumentError("upload of `content` needs `path`: the file that it becomes in the repository.")
    if _has_secret(data, session):
        raise ArgumentError("`content` holds a secret of this program (a token or key); it is not uploaded.")
    return Source(path, (_in_memory(path, data),), suspicious=(path,) if _is_suspicious(data) else ())


def _looked_at(place: Path, name: str, session: ToolSession, *, keeps: bool = True) -> tuple[File, bool]:
    """A file of this machine without secrets of ours, and whether it seems to have those of others."""
    try:
        with open_regular(place) as file:
            status = os.fstat(file.fileno())
            data = file.read(MAX_SEARCHED_BYTES + 1) if status.st_size <= MAX_SEARCHED_BYTES else None
            stamp = _stamp(os.fstat(file.fileno()))
    except OSError as error:
        raise FileToolError(describe_os_error(error, place, "read")) from error
    if data is None:
        return File(name, place, status.st_size, stamp), False
    if len(data) != status.st_size or stamp != _stamp(status):
        raise FileToolError(f"{place} is being written to: upload it when that is over.")
    _require_no_secret(str(place), data, session)
    return File(name, data if keeps else place, len(data), stamp), _is_suspicious(data)


def _fetched(
    local: str, found: Sequence[tuple[str, bytes]], path: str, patterns: tuple[str, ...] | None, session: ToolSession
) -> Source:
    """What was fetched from another machine, looked at like what is here."""
    contents = dict(found)
    for name in contents:
        if problem := path_problem(name):
            raise FileToolError(f"{local} has a file whose name {problem}: {name[:100]!r}.")
    base = local.rstrip("/").rsplit("/", 1)[-1]
    is_folder = local.endswith("/") or list(contents) != [base]
    names = matching(contents, patterns) if is_folder else list(contents)
    left_out = {name for name in names if _is_secret_file(name)}
    files = [_in_memory(name, contents[name]) for name in sorted(set(names) - left_out)]
    for name in sorted(set(names) - left_out):
        if len(contents[name]) <= MAX_SEARCHED_BYTES:
            _require_no_secret(f"{local}: {name}", contents[name], session)
    suspicious = [
        each.name
        for each in files
        if len(contents[each.name]) <= MAX_SEARCHED_BYTES and _is_suspicious(contents[each.name])
    ]
    if is_folder:
        return _of_folder(local, path, files, sorted(left_out), suspicious, patterns)
    target = path + base if not path or path.endswith("/") else path
    return Source(target, tuple(files), local, suspicious=tuple(suspicious))


def _of_folder(
    local: str,
    path: str,
    files: Sequence[File],
    left_out: Sequence[str],
    suspicious: Sequence[str],
    patterns: tuple[str, ...] | None,
) -> Source:
    if not files:
        raise FileToolError(f"{local} has no files to upload{' that fit `patterns`' if patterns else ''}.")
    return Source(path.rstrip("/"), tuple(files), local, True, tuple(left_out), tuple(suspicious))


def _walk(folder: Path) -> Iterator[str]:
    """The regular files below a directory (links to files included), by their path in it."""
    count = 0
    for root, directories, files in os.walk(folder):
        directories[:] = sorted(name for name in directories if name != ".git")
        for name in sorted(files):
            file = Path(root, name)
            if not file.is_file():
                continue
            count += 1
            if count > MAX_FOLDER_FILES:
                raise FileToolError(
                    f"{folder} has more than {MAX_FOLDER_FILES:,} files. Upload its directories one by one, or use "
                    "`hf upload-large-folder` in bash."
                )
            yield file.relative_to(folder).as_posix()


def _in_memory(name: str, data: bytes) -> File:
    return File(name, data, len(data), hashlib.sha256(data).hexdigest())


def _stat(place: Path) -> os.stat_result | None:
    try:
        return place.stat()
    except OSError:
        return None


def _stamp(status: os.stat_result | None) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}" if status is not None else "gone"


# --- what must not leave ---------------------------------------------------------------------------------------------


def _require_harmless(*names: str) -> None:
    if any(_is_secret_file(name) for name in names):
        raise FileToolError(f"{names[0]} usually holds secrets; it is not uploaded.")


def _is_secret_file(name: str) -> bool:
    return is_sensitive_path(name) or bool(_SECRET_FILES.fullmatch(name.rstrip("/").rsplit("/", 1)[-1]))


def _require_no_secret(where: str, data: bytes, session: ToolSession) -> None:
    if _has_secret(data, session):
        raise FileToolError(
            f"{where} holds a secret of this program (a token or key); nothing was uploaded. Remove it from there."
        )


def _has_secret(data: bytes, session: ToolSession) -> bool:
    text = data.decode("utf-8", "replace")
    return session.scrub(text) != text


def _is_suspicious(data: bytes) -> bool:
    return holds_key(data.decode("utf-8", "replace"))


def _allowed(arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
    given = arguments.get("patterns")
    wanted: Sequence[object] = [given] if isinstance(given, str) else given or ()
    if not isinstance(wanted, (list, tuple)) or not all(isinstance(each, str) and each.strip() for each in wanted):
        raise ArgumentError("`patterns` must be a list of texts, none of them empty.")
    return tuple(str(each).strip() for each in wanted) or None
