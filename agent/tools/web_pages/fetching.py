"""Fetching a page for `fetch_url`: what is asked, and what is said of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.protocol.events import ToolLog
from agent.protocol.tools import ToolResult, ToolSession
from agent.protocol.untrusted import readable
from agent.tools.arguments import ArgumentError, int_argument, text_argument
from agent.tools.fetch_url_tool import DEFAULT_CHARS, MAX_CHARS, NAME
from agent.tools.web_pages.addresses import better_tool, page_address, reach_of
from agent.tools.web_pages.pages import Page, Pages, UnreadableError
from agent.web.client import WebAnswer, WebClient, WebRequest
from agent.web.errors import WebError
from agent.web.failures import status_text
from agent.web.reach import shown_url

MAX_PAGE_BYTES = 10 << 20
FRESH_S = 3600.0
SHOWN_OF_FAILURE_CHARS = 2_000
USER_AGENT_VARIABLE = "ML_INTERN_WEB_USER_AGENT"


class PageReader:
    """Fetches pages; one for a run, as it remembers what it has read."""

    def __init__(self, web: WebClient, environ: Mapping[str, str], private_hosts: Sequence[str]) -> None:
        self._web = web
        self._environ = environ
        self._private_hosts = private_hosts
        self._pages = Pages()

    async def read(self, arguments: Mapping[str, Any], session: ToolSession) -> ToolResult:
        """Carry out a call."""
        try:
            url = page_address(text_argument(arguments, "url"))
            offset = int_argument(arguments, "offset", 0, minimum=0)
            max_chars = min(int_argument(arguments, "max_chars", DEFAULT_CHARS, minimum=1), MAX_CHARS)
        except (ArgumentError, ValueError) as error:
            return ToolResult(f"Nothing was fetched: {error}", ok=False)
        request = _request(url, self._environ, self._private_hosts)
        try:
            answer = await self._web.ask(request, on_wait=lambda text: session.emit(ToolLog(NAME, text)))
            page = await self._pages.read(answer)
        except WebError as error:
            return ToolResult(str(error), ok=False, advice=better_tool(url))
        except UnreadableError as error:
            return ToolResult(f"{shown_url(url)} cannot be read: {error}. Look for the same elsewhere.", ok=False)
        if not answer.ok:
            return _failure(url, answer, page)
        return _result(url, answer, page, offset, max_chars)


def _request(url: str, environ: Mapping[str, str], private_hosts: Sequence[str]) -> WebRequest:
    headers = {"accept": "text/html,application/xhtml+xml,text/markdown;q=0.9,text/plain;q=0.9,*/*;q=0.5"}
    if agent := environ.get(USER_AGENT_VARIABLE, "").strip():
        headers["user-agent"] = agent
    return WebRequest(
        url,
        reach_of(url, private_hosts),
        headers=headers,
        limit_s=45.0,
        tries=3,
        fresh_s=FRESH_S,
        max_bytes=MAX_PAGE_BYTES,
    )


# --- an answer -------------------------------------------------------------------------------------------------------


def _result(url: str, answer: WebAnswer, page: Page, offset: int, max_chars: int) -> ToolResult:
    total = len(page.text)
    if offset and offset >= total:
        return ToolResult(f"There is nothing at offset {offset:,}: the page has {total:,} characters.", ok=False)
    if not page.text:
        return _nothing_to_read(url, answer, page)
    end = _end(page.text, offset, max_chars)
    advice = [f"Characters {offset:,} to {end:,} of {total:,}."]
    if end < total:
        advice[0] += f" offset={end} goes on."
    if answer.is_cut:
        advice.append(f"The page is longer than {_megabytes(MAX_PAGE_BYTES)}: only its beginning was read.")
    elif page.is_partial:
        advice.append("The page is nested too deeply, or too long: a part of it was left out.")
    advice.append(better_tool(answer.url))
    head = _head(answer, page)
    return ToolResult(
        f"{head}\n\n{page.text[offset:end]}",
        source=url,
        advice="\n".join(filter(None, advice)),
        display=readable(f"{head}\n{advice[0]}"),
    )


def _head(answer: WebAnswer, page: Page) -> str:
    facts = {"Title": page.title, "Address": answer.url, "Date": page.date, "Sends a browser on to": page.moves_to}
    return "\n".join(f"{name}: {value}" for name, value in facts.items() if value)


def _end(text: str, start: int, max_chars: int) -> int:
    """Where a part ends: at a line's end, if there is one in its last quarter."""
    end = start + max_chars
    if end >= len(text):
        return len(text)
    line_end = text.rfind("\n", start + max_chars * 3 // 4, end)
    return end if line_end < 0 else line_end + 1


def _nothing_to_read(url: str, answer: WebAnswer, page: Page) -> ToolResult:
    size = f"more than {_megabytes(MAX_PAGE_BYTES)}" if answer.is_cut else f"{len(answer.body):,} bytes"
    if page.binary:
        said, advice = f"This is {page.binary}, {size}; it has no text to show here.", better_tool(answer.url)
    elif page.moves_to:
        said, advice = "The page only sends on to another address.", "fetch_url can read the address it sends on to."
    elif not answer.body.strip():
        said, advice = "The server answered with an empty page.", ""
    else:
        said = f"The page has no readable text ({size})."
        advice = "Its text may be put there by a script, which does not run here: look for the same elsewhere."
    return ToolResult(f"{_head(answer, page)}\n\n{said}", source=url, advice=advice)


# --- no answer -------------------------------------------------------------------------------------------------------

_NEXT_STEPS = {
    401: "It wants a login, and no login is ever sent: look for the same elsewhere.",
    403: "It does not let programs in, or wants a login: look for the same elsewhere.",
    404: "Check the address, or look for the page with web_search.",
    410: "The page is gone for good: look for the same with web_search.",
    429: "It has been asked too often: wait a while, or look for the same elsewhere.",
    451: "It may not be shown here: look for the same elsewhere.",
}


def _failure(url: str, answer: WebAnswer, page: Page) -> ToolResult:
    """An error page: what it says is shown, for it may say why."""
    status = status_text(answer.status)
    fallback = "The server has a problem: try again later." if answer.status >= 500 else "Check the address."
    steps = (_NEXT_STEPS.get(answer.status, fallback), better_tool(answer.url) or better_tool(url))
    said = f"{shown_url(url)} answered {status}."
    if not page.text:
        return ToolResult(said, ok=False, advice=" ".join(filter(None, steps)))
    shown = f"{_head(answer, page)}\n\n{page.text[:SHOWN_OF_FAILURE_CHARS]}"
    first = f"The server answered {status}: what stands above is its error page."
    return ToolResult(
        f"{status}\n{shown}",
        ok=False,
        source=url,
        advice=" ".join(filter(None, (first, *steps))),
        display=said,
    )


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes >> 20} MB"
