"""What a web server sent, as text to read: HTML as Markdown, other text as it is, anything else by its name."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
from collections import OrderedDict
from dataclasses import field
from pathlib import Path
from typing import Any

from agent.light_dataclass import dataclass
from agent.tools.files import SNIFF_BYTES, binary_kind
from agent.web.charsets import declared_charset, decoded
from agent.web.client import WebAnswer

KEPT_PAGES = 8
READING_LIMIT_S = 25.0
MAX_PRETTY_BYTES = 1 << 20
_READER = Path(__file__).with_name("page_reader.py")
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_UNDECLARED = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_LOOKS_LIKE_HTML = re.compile(rb"\s*(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
_NO_TEXT = re.compile(r"(?:image|audio|video|font)/(?!svg\+xml)|application/(?:pdf|zip|gzip|x-tar|wasm)")


@dataclass(frozen=True, slots=True)
class Page:
    """A page to read. `binary` says what it is if it has no text; `moves_to` where it would send a browser at once.

    `is_partial`: the page has more text than was read. `title`, `date` (YYYY-MM-DD) and `moves_to` are "" if unknown.
    """

    text: str = ""
    title: str = ""
    date: str = ""
    moves_to: str = ""
    binary: str = ""
    is_partial: bool = False


class UnreadableError(Exception):
    """The page came, but no text could be got out of it in time; the message says why."""


@dataclass(slots=True)
class Pages:
    """Reads answers, and remembers the last few: whoever pages through a long one does not have it read again."""

    limit_s: float = READING_LIMIT_S
    _kept: OrderedDict[str, Page] = field(default_factory=OrderedDict)

    async def read(self, answer: WebAnswer) -> Page:
        """The page in `answer`. Raises UnreadableError."""
        key = await asyncio.to_thread(_key, answer)
        if key not in self._kept:
            self._kept[key] = await self._read(answer)
            while len(self._kept) > KEPT_PAGES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    async def _read(self, answer: WebAnswer) -> Page:
        if binary := _binary(answer):
            return Page(binary=binary)
        text = await asyncio.to_thread(decoded, answer.body, declared_charset(answer.headers.get("content-type", "")))
        if _is_html(answer):
            return Page(**await _read_html(text, answer.url, self.limit_s))
        if answer.content_type == "application/json" or answer.content_type.endswith("+json"):
            text = await asyncio.to_thread(_pretty, text)
        return Page(text=text.strip())


def _key(answer: WebAnswer) -> str:
    head = json.dumps([answer.url, answer.headers.get("content-type")]).encode()
    return hashlib.blake2b(head + b"\n" + answer.body).hexdigest()


def _binary(answer: WebAnswer) -> str:
    """What the body is, if it is no text, whatever the server calls it; "" for text."""
    kind = binary_kind(answer.body[:SNIFF_BYTES])
    if kind is not None and not kind.startswith("UTF-16"):
        declared = f" (sent as {answer.content_type})" if answer.content_type else ""
        return kind + declared if kind != "of no known kind" else f"data{declared}"
    return f"data ({answer.content_type})" if answer.body and _NO_TEXT.match(answer.content_type) else ""


def _is_html(answer: WebAnswer) -> bool:
    if answer.content_type in _HTML_TYPES:
        return True
    return answer.content_type in _UNDECLARED and _LOOKS_LIKE_HTML.match(answer.body[:SNIFF_BYTES]) is not None


def _pretty(text: str) -> str:
    """JSON with line breaks; as it is if it is long, or none."""
    if len(text) > MAX_PRETTY_BYTES:
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


async def _read_html(text: str, url: str, limit_s: float) -> dict[str, Any]:
    """What the page reader makes of `text`, in a process that is stopped after `limit_s`. Raises UnreadableError."""
    if not text.strip():
        return {}
    head = json.dumps({"url": url}).encode()
    body = await asyncio.to_thread(text.encode, "utf-8", "replace")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(_READER)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limit_s):
            printed, _ = await process.communicate(head + b"\n" + body)
    except TimeoutError as error:
        raise UnreadableError(f"reading its markup took longer than {limit_s:g} s and was stopped") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise UnreadableError("its markup takes too much time or memory to read")
    read: dict[str, Any] = await asyncio.to_thread(json.loads, printed)
    return read
