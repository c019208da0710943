"""The books of documentation that the tools read: fetched when asked for, kept a day, asked again by their ETag.

    ready(package)  the book is in the index: from the disk, else from its `llms-full.txt`, else its `llms.txt`, else
                    the list at the side of its first page; of the last two only titles, until a page is asked for
    search, first   pages of a book that is ready
    page(address)   one page, from the index where it is fresh, else from its site

A book that several calls want is fetched once. What could not be fetched is never kept as if it were not there.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.untrusted import readable
from agent.tools.arguments import ArgumentError
from agent.tools.docs.addresses import PageAddress, docs_reach, is_hub_docs, page_address, service_of
from agent.tools.docs.html_pages import sidebar_pages, text_of
from agent.tools.docs.index import FILE_NAME, DocsIndex, Edition, Hit, NamedPage, Source
from agent.tools.docs.libraries import Package
from agent.tools.docs.llms_txt import MAX_PAGES, Page, read_pages
from agent.tools.docs.words import match_expression
from agent.web.client import OnWait, WebAnswer, WebClient, WebRequest
from agent.web.errors import WebError
from agent.web.failures import service_words
from agent.web.reach import shown_url

FRESH_S = 24 * 3_600.0
MAX_BOOK_BYTES = 32 << 20
MAX_PAGE_BYTES = 5 << 20
MAX_READ_PAGES = 60
"""So many pages are read one by one for a call, where a site has no text with all of them."""
_BOOK_LIMIT_S = 90.0
_BOOKS_AT_ONCE, _PAGES_AT_ONCE = 4, 8
_STEP_CHARS, _STEP_PAGES = 50_000, 200
"""One piece of indexing, some 10 ms in a thread; between two of them everybody else has a turn."""
_HTML = ("text/html", "application/xhtml+xml")
_ABSENT = (404, 410)

InThread = Callable[..., Awaitable[Any]]


class DocsUnavailable(Exception):
    """A book or page cannot be had; the message says why, naming the service and what it said (made harmless).

    `may_pass`: asked again later, it may be there.
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class Ready:
    """A book that can be searched. `note` says what is not as it should be, "" if nothing."""

    edition: Edition
    note: str = ""


@dataclass(frozen=True, slots=True)
class PageText:
    """A page: its text as Markdown, and where it came from."""

    url: str
    text: str


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[Ready]
    waiting: int = 0


@dataclass(slots=True)
class _Tried:
    """What came of the addresses that a book may be at."""

    failures: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    may_pass: bool = False


class Books:
    """One for a run. `cache_dir` None keeps everything in memory. `in_thread` runs blocking work (asyncio.to_thread);
    `now` is in seconds since 1970."""

    def __init__(
        self,
        web: WebClient,
        environ: Mapping[str, str],
        token: str | None = None,
        cache_dir: Path | None = None,
        *,
        now: Callable[[], float] = time.time,
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        """Nothing is opened, read or asked yet."""
        self.environ = environ
        self._web = web
        self._token = token
        self._index = DocsIndex(None if cache_dir is None else cache_dir / FILE_NAME)
        self._now = now
        self._in_thread = in_thread
        self._flights: dict[str, _Flight] = {}
        self._books = asyncio.Semaphore(_BOOKS_AT_ONCE)
        self._piece_by_piece = asyncio.Lock()
        self._pages = asyncio.Semaphore(_PAGES_AT_ONCE)
        self._is_tidy = False

    async def close(self) -> None:
        """Let go of the file."""
        await asyncio.to_thread(self._index.close)

    # --- books -------------------------------------------------------------------------------------------------------

    async def ready(self, package: Package, on_wait: OnWait | None = None) -> Ready:
        """Have the book in the index, fresh if its site answers. Raises DocsUnavailable, IndexFailure."""
        book = package.base(self.environ)
        edition = await self._in_thread(self._index.find, book)
        if edition is not None and edition.fresh_until > self._now():
            return Ready(edition)
        flight = self._flights.get(book)
        if flight is None:
            flight = self._flights[book] = _Flight(asyncio.create_task(self._renewed(package, edition, on_wait)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and self._flights.get(book) is flight:
                del self._flights[book]
                flight.task.cancel()

    async def search(self, package: Package, query: str, limit: int) -> tuple[list[Hit], int]:
        """The best pages of a book that is ready, and how many fit. Nothing for a query without words."""
        expression = match_expression(query)
        if not expression:
            return [], 0
        found: tuple[list[Hit], int] = await self._in_thread(
            self._index.search, package.base(self.environ), expression, limit
        )
        return found

    async def first(self, package: Package, limit: int, *, unread_only: bool = False) -> list[Hit]:
        """The first pages of a book that is ready, in its own order."""
        base = package.base(self.environ)
        hits: list[Hit] = await self._in_thread(self._index.first, base, limit, unread_only=unread_only)
        return hits

    async def read(self, hits: Iterable[Hit], on_wait: OnWait | None = None) -> list[str]:
        """Put the text of pages that are known by title only into the index. What could not be read, one line each."""
        unread = [hit for hit in hits if not hit.is_read][:MAX_READ_PAGES]
        said = await asyncio.gather(*(self._read_one(hit, on_wait) for hit in unread))
        return [line for line in said if line]

    async def _read_one(self, hit: Hit, on_wait: OnWait | None) -> str:
        async with self._pages:
            try:
                page = await self._fetched(page_address(hit.url, self.environ), on_wait)
            except (DocsUnavailable, WebError, ArgumentError) as error:
                return f"{hit.url}: {error}"
            await self._in_thread(self._index.fill, hit.edition, hit.position, page.text)
        return ""

    async def _renewed(self, package: Package, old: Edition | None, on_wait: OnWait | None) -> Ready:
        """The book as its site has it now; as it was here before, if that cannot be had."""
        async with self._books:
            if not self._is_tidy:
                self._is_tidy = True
                await self._in_thread(self._index.tidy, self._now())
            tried = _Tried()
            for url in self._sources(package):
                try:
                    edition = await self._from_source(package, url, old, tried, on_wait)
                except WebError as error:
                    tried.failures.append(str(error))
                    tried.may_pass = error.problem in ("unreachable", "timeout")
                    break
                if edition is not None:
                    note = f"{package.name}: {tried.failures[0]}" if tried.failures else ""
                    return Ready(edition, note and f"{note} Its list of pages was used instead.")
                if tried.failures and old is not None:
                    break  # an older text is better than a newer list of titles
        cause = tried.failures[0] if tried.failures else f"nothing was found at {', '.join(tried.absent)}."
        if old is None:
            raise DocsUnavailable(f"{package.name}: {cause}", may_pass=tried.may_pass)
        read_on = datetime.fromtimestamp(old.source.fetched_at, UTC).date().isoformat()
        return Ready(old, f"{package.name}: {cause} What was read on {read_on} is shown.")

    def _sources(self, package: Package) -> Iterator[str]:
        bases = package.bases(self.environ)
        for name in ("/llms-full.txt", "/llms.txt", ""):
            yield from (base + name for base in bases)

    async def _from_source(
        self, package: Package, url: str, old: Edition | None, tried: _Tried, on_wait: OnWait | None
    ) -> Edition | None:
        """The book made from what `url` says; None if it says nothing usable, which is put into `tried`."""
        is_same = old is not None and old.source.url == url and not old.is_filled
        etag = old.source.etag if is_same and old is not None else ""
        answer = await self._ask(url, on_wait, etag=etag, max_bytes=MAX_BOOK_BYTES, limit_s=_BOOK_LIMIT_S)
        until = 0.0 if tried.failures else self._now() + FRESH_S  # what stands in for a better one is asked for again
        if answer.status == 304 and old is not None:
            await self._in_thread(self._index.keep_fresh, old.id, until)
            return old
        if not answer.ok:
            if answer.status in _ABSENT:
                tried.absent.append(url)
            else:
                tried.failures.append(_refusal(answer, url))
                tried.may_pass = tried.may_pass or _may_pass(answer)
            return None
        digest = await self._in_thread(lambda: hashlib.sha256(answer.body).hexdigest())
        if is_same and old is not None and old.source.digest == digest and not answer.is_cut:
            await self._in_thread(self._index.keep_fresh, old.id, until)
            return old
        source = Source(url, answer.headers.get("etag", ""), digest, self._now())
        edition = await self._built(package, source, self._pages_of(package, url, answer), until)
        if edition is None:
            tried.absent.append(f"{url} (it lists no pages)")
        return edition

    async def _built(self, package: Package, source: Source, pages: Iterator[Page], until: float) -> Edition | None:
        """Index `pages` piece by piece. None if there are none. A build that is given up is never found."""
        book = package.base(self.environ)
        piece = await self._in_turn(_piece, pages)
        if not piece:
            return None
        edition = await self._in_turn(self._index.begin, book, source)
        position = 0
        while piece:
            await self._in_turn(self._add, edition, position, piece)
            position += len(piece)
            piece = await self._in_turn(_piece, pages)
        await self._in_turn(self._index.finish, book, edition, until)
        return await self._in_thread(self._index.find, book)  # type: ignore[no-any-return]

    async def _in_turn(self, work: Callable[..., Any], *arguments: object) -> Any:
        """A piece of indexing in a thread. Books take turns with their pieces: two threads full of Python would be no
        quicker than one, but would keep the event loop waiting for longer."""
        async with self._piece_by_piece:
            return await self._in_thread(work, *arguments)

    def _add(self, edition: int, position: int, pages: list[Page]) -> None:
        self._index.add(edition, position, [self._named(page) for page in pages])

    def _named(self, page: Page) -> NamedPage:
        if "#" in page.url:  # a section of a longer text
            return NamedPage(page, "", "")
        address = PageAddress(page.url)
        return NamedPage(page, address.key, address.versionless_key)

    def _pages_of(self, package: Package, url: str, answer: WebAnswer) -> Iterator[Page]:
        """The pages in an answer, lazily: whoever goes through them is in a thread."""
        reach = docs_reach(self.environ)

        def address(link: str) -> str | None:
            try:
                found = page_address(link, self.environ, base=answer.url).url
            except ArgumentError:
                return None
            return found if reach.is_trusted(found) else None

        if not url.endswith(".txt"):
            paths = tuple(f"{base}/" for base in package.bases(self.environ))
            listed = sidebar_pages(answer.body, address)
            return itertools.islice((page for page in listed if page.url.startswith(paths)), MAX_PAGES)
        if answer.content_type in _HTML:
            return iter(())
        lines = io.TextIOWrapper(io.BytesIO(answer.body), "utf-8", errors="replace")
        return read_pages(lines, address, is_cut=answer.is_cut, prose_url=url if package.has_prose else None)

    # --- pages -------------------------------------------------------------------------------------------------------

    async def page(self, address: PageAddress, on_wait: OnWait | None = None) -> PageText:
        """One page. Raises DocsUnavailable, WebError, IndexFailure."""
        now = self._now()
        found = await self._in_thread(self._index.page, address.key, address.versionless_key, now)
        return PageText(*found) if found is not None else await self._fetched(address, on_wait)

    async def _fetched(self, address: PageAddress, on_wait: OnWait | None) -> PageText:
        """A page from its site: its Markdown, else the text of its HTML."""
        answer = await self._ask(address.markdown_url, on_wait, fresh_s=FRESH_S)
        if answer.ok and answer.content_type not in _HTML:
            return PageText(address.url, await self._in_thread(lambda: readable(answer.text)))
        if not answer.ok and answer.status not in _ABSENT:
            raise DocsUnavailable(_refusal(answer, address.markdown_url))
        if not answer.ok:
            answer = await self._ask(address.url, on_wait, fresh_s=FRESH_S)
        if not answer.ok:
            raise DocsUnavailable(_refusal(answer, address.url))
        if answer.content_type not in _HTML:
            if not answer.content_type.startswith("text/"):
                raise DocsUnavailable(
                    f"{shown_url(address.url)} is no page of text ({answer.content_type or 'no declared type'})."
                )
            return PageText(address.url, await self._in_thread(lambda: readable(answer.text)))
        text = await self._in_thread(lambda: readable(text_of(answer.body)))
        if not text:
            raise DocsUnavailable(f"{shown_url(address.url)} has no text.")
        return PageText(address.url, text)

    async def _ask(
        self,
        url: str,
        on_wait: OnWait | None,
        *,
        etag: str = "",
        fresh_s: float | None = None,
        max_bytes: int = MAX_PAGE_BYTES,
        limit_s: float = 30.0,
    ) -> WebAnswer:
        """Ask; the Hub with the token, and without it if it is refused: documentation is open to everybody."""
        with_token = (
            {"authorization": f"Bearer {self._token}"} if self._token and is_hub_docs(url, self.environ) else {}
        )
        for private in (with_token, {}) if with_token else ({},):
            answer = await self._web.ask(
                WebRequest(
                    url,
                    docs_reach(self.environ),
                    service=service_of(url, self.environ),
                    headers={"if-none-match": etag} if etag else {},
                    private_headers=private,
                    fresh_s=fresh_s,
                    max_bytes=max_bytes,
                    limit_s=limit_s,
                ),
                on_wait,
            )
            if answer.status not in (401, 403):
                break
        return answer


def _piece(pages: Iterator[Page]) -> list[Page]:
    """The next pages, as many as make a good piece of work."""
    piece, chars = [], 0
    for page in pages:
        piece.append(page)
        chars += len(page.text or page.title)
        if chars >= _STEP_CHARS or len(piece) >= _STEP_PAGES:
            break
    return piece


def _refusal(answer: WebAnswer, url: str) -> str:
    """What a server said instead of what was asked for."""
    words = service_words(answer)
    return f"{shown_url(url)} answers with HTTP {answer.status}{f': {words}' if words else ''}"


def _may_pass(answer: WebAnswer) -> bool:
    """Whether it may answer otherwise later."""
    return answer.status in (408, 429) or answer.status >= 500
