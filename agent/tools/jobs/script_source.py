"""Where the script of a job comes from: code, the address of a file, or a path here or in the session's sandbox."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from agent.light_dataclass import dataclass
from agent.protocol.tools import ToolSession
from agent.tools.arguments import ArgumentError
from agent.tools.files import FileToolError, load_text, resolve_path
from agent.tools.sensitive_paths import is_sensitive_path

ReadScript = Callable[[str, ToolSession], Awaitable[str]]
"""Reads a script where the session's tools run, if that is not this machine. Raises FileNotFoundError, OSError,
ComputeError or ArgumentError."""

_URL = re.compile(r"https?://\S+")
_PATH_START = re.compile(r"(~|\.{0,2})/")
_NO_PATH_CHARS = frozenset("()=\"';{}<>|*\\")
_MAX_PATH_CHARS = 4096
_PAGES = {"huggingface.co": "/resolve/", "hf.co": "/resolve/", "github.com": "/raw/"}
"""Hosts whose `/blob/` addresses are pages about a file, and what leads to the file itself."""

CODE_NAME = "script.py"
_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class Source:
    """A script: `text` is its code, or for a `url` the address. `path` is the file it was read from, if that is here.

    `name` is a file name for people.
    """

    kind: Literal["code", "file", "url"]
    text: str
    name: str
    path: Path | None = None


class ReadFiles:
    """The last files that scripts were read from. What is approved is what runs, so the code of a file takes the place
    of its path before anybody is asked; this knows the name to that code."""

    def __init__(self) -> None:
        self._by_text: dict[str, Source] = {}

    def remember(self, source: Source) -> Source:
        """Keep where this code came from."""
        self._by_text.pop(source.text, None)
        self._by_text[source.text] = source
        while len(self._by_text) > _REMEMBERED:
            self._by_text.pop(next(iter(self._by_text)))
        return source

    def find(self, text: str) -> Source | None:
        """The file whose code this is, None if it was not read a moment ago."""
        return self._by_text.get(text)


def kind_of(script: str, workspace: Path | None) -> Literal["code", "path", "url"]:
    """What `script` is. One line may be code or a path: it is a path if it looks like one, or is a file's name in
    `workspace`, if that is on this machine."""
    line = script.strip()
    if "\n" in line or "\r" in line:
        return "code"
    if _URL.fullmatch(line):
        return "url"
    if len(line) > _MAX_PATH_CHARS or _NO_PATH_CHARS & set(line):
        return "code"
    if _PATH_START.match(line) or (line.endswith((".py", ".ipynb", ".sh")) and not line.startswith("#")):
        return "path"
    return "path" if workspace is not None and (workspace / line).is_file() else "code"


async def load(script: str, session: ToolSession, read_script: ReadScript | None, files: ReadFiles) -> Source:
    """The script itself. Raises ArgumentError, in words for the model."""
    if (known := files.find(script)) is not None:
        return known
    if read_script is not None and kind_of(script, None) == "path":
        try:
            text = await read_script(script.strip(), session)
        except (OSError, FileToolError) as error:
            raise ArgumentError(f"`script`: {script.strip()} cannot be read where the tools run: {error}") from error
        return files.remember(Source("file", text, script.strip().rsplit("/", 1)[-1]))
    workspace = session.workspace if read_script is None else None
    source = await asyncio.to_thread(load_here, script, workspace)
    return files.remember(source) if source.kind == "file" else source


def load_here(script: str, workspace: Path | None) -> Source:
    """Like `load`, where the tools run on this machine; without a workspace it is no file. Blocking."""
    kind = kind_of(script, workspace)
    if kind == "url":
        address = _file_address(script.strip())
        return Source("url", address, urlsplit(address).path.rsplit("/", 1)[-1] or "script")
    if kind == "code" or workspace is None:
        return Source("code", script, CODE_NAME)
    try:
        path = resolve_path(script.strip(), workspace)
        if not path.exists():
            raise ArgumentError(
                f"`script`: there is no file {script.strip()} in the workspace {workspace}. Write it first, or give "
                "the code itself."
            )
        if is_sensitive_path(path):
            raise ArgumentError(f"`script`: {path} usually holds secrets, and is not sent anywhere.")
        if path.suffix in (".ipynb", ".sh"):
            raise ArgumentError(f"`script`: {path.name} is no Python script. Convert it, or use `command` and `image`.")
        text = load_text(path).text.encode("utf-8", "surrogateescape").decode("utf-8")
    except FileToolError as error:
        raise ArgumentError(f"`script`: {error}") from error
    except UnicodeDecodeError as error:
        raise ArgumentError(f"`script`: {script.strip()} is not UTF-8 text.") from error
    if not text.strip():
        raise ArgumentError(f"`script`: {path} is empty.")
    return Source("file", text, os.path.basename(path), path)  # noqa: PTH119


def _file_address(url: str) -> str:
    """The address of the file itself, where `url` is one of a page about it."""
    way = _PAGES.get((urlsplit(url).hostname or "").lower())
    return url.replace("/blob/", way, 1) if way else url
