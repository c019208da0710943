"""The work of `fetch_hf_docs`: one page of documentation, piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.protocol.events import ToolLog
from agent.protocol.tools import ToolResult, ToolSession
from agent.protocol.untrusted import harmless
from agent.tools.arguments import ArgumentError, int_argument, utf8_argument
from agent.tools.docs.addresses import docs_reach, page_address
from agent.tools.docs.books import Books, DocsUnavailable, PageText
from agent.tools.docs.index import IndexFailure
from agent.tools.docs.limits import DEFAULT_CHARS, MAX_CHARS
from agent.tools.docs.passages import heading_offset
from agent.web.errors import WebError
from agent.web.reach import shown_url

_LINE_END_CHARS = 600
"""A piece ends with a line if one ends so near to its limit."""


async def fetch(library: Books, arguments: Mapping[str, Any], session: ToolSession) -> ToolResult:
    """One call of `fetch_hf_docs`."""

    async def on_wait(text: str) -> None:
        await session.emit(ToolLog("fetch_hf_docs", text))

    try:
        address = page_address(utf8_argument(arguments, "url"), library.environ)
        offset = int_argument(arguments, "offset", -1, minimum=0)
        max_chars = min(int_argument(arguments, "max_chars", DEFAULT_CHARS, minimum=1), MAX_CHARS)
        docs_reach(library.environ).check(address.url)
        try:
            page = await library.page(address, on_wait)
        except IndexFailure:  # its file is gone now; memory serves as well
            page = await library.page(address, on_wait)
    except (ArgumentError, WebError) as error:
        return ToolResult(str(error), ok=False)
    except DocsUnavailable as error:
        return ToolResult(
            f"{harmless(str(error)).rstrip('.')}. explore_hf_docs finds the pages that there are.", ok=False
        )
    return _piece(page, address.fragment, offset, max_chars)


def _piece(page: PageText, fragment: str, offset: int, max_chars: int) -> ToolResult:
    total, said = len(page.text), []
    start = max(0, offset)
    if fragment and offset < 0:
        found = heading_offset(page.text, fragment)
        start = found or 0
        if found is None:
            said.append(
                "The page has no heading of that name (what stands after # in the URL), so it begins at its top."
            )
    if start >= total:
        return ToolResult(
            f"{shown_url(page.url)} has {total:,} characters; there is nothing at offset {start:,}.", ok=False
        )
    end = _end(page.text, start, max_chars)
    if start > 0 or end < total:
        said.append(f"These are characters {start:,} to {end:,} of {total:,}.")
    else:
        said.append(f"This is the whole page ({total:,} characters).")
    if end < total:
        said.append(f"Go on with offset={end}.")
    return ToolResult(page.text[start:end], source=page.url, advice=" ".join(said))


def _end(text: str, start: int, max_chars: int) -> int:
    """Where a piece ends: at its limit, or with the last line before it."""
    end = min(len(text), start + max_chars)
    if end == len(text):
        return end
    line_end = text.rfind("\n", max(start, end - _LINE_END_CHARS), end) + 1
    return line_end if line_end > start + max_chars // 2 else end
