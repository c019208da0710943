"""`explore_hf_docs`: books are fetched once, kept, asked again by their ETag, and searched."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.core.tools import ToolRouter
from agent.protocol.tools import ToolResult
from agent.tools.docs.books import FRESH_S, MAX_READ_PAGES, DocsUnavailable
from agent.tools.docs.index import FILE_NAME
from agent.tools.docs.libraries import Package
from agent.tools.docs.library import DocsLibrary
from agent.tools.docs_tools import explore_hf_docs_spec, fetch_hf_docs_spec
from agent.web.client import WebClient
from tests.fakes.docs_site import DocsSite
from tests.unit.tools.conftest import FakeSession

SFT = "# SFT Trainer\n\nIntroduction.\n\n## Packing\n\nSet `max_seq_length` in SFTConfig to pack examples.\n"
DPO = "# DPO Trainer\n\nDirect preference optimization with DPOConfig and its beta.\n"
PAGES = {"SFT Trainer": ("sft_trainer", SFT), "DPO Trainer": ("dpo_trainer", DPO)}
TRL = Package("trl", ("/docs/trl",))
FULL, LIST = "/docs/trl/llms-full.txt", "/docs/trl/llms.txt"


@pytest.fixture
def site() -> Iterator[DocsSite]:
    with DocsSite() as site:
        site.book("/docs/trl", PAGES)
        yield site
        site.check()


@pytest.fixture
async def web() -> AsyncIterator[WebClient]:
    async def no_pause(_delay_s: float) -> None:
        pass

    web = WebClient(sleep=no_pause)
    yield web
    await web.close()


class Shelf:
    """A library over the site, at a time that the test sets."""

    def __init__(self, web: WebClient, site: DocsSite, place: Path) -> None:
        self.time_s = 1_000_000.0
        self.web, self.site, self.place = web, site, place
        self.opened: list[DocsLibrary] = []
        self.library = self.open()

    def open(self, **more: Any) -> DocsLibrary:
        """Another run of the program."""
        environ = {"HF_ENDPOINT": self.site.url, "GRADIO_BASE_URL": f"{self.site.url}/gradio"}
        chosen: dict[str, Any] = {"token": None, "cache_dir": self.place, "now": lambda: self.time_s} | more
        self.library = DocsLibrary(self.web, environ, **chosen)
        self.opened.append(self.library)
        return self.library

    async def explore(self, session: FakeSession, **arguments: Any) -> ToolResult:
        """A call as the session makes it."""
        router = ToolRouter([explore_hf_docs_spec(lambda: self.library)])
        loosened = router.loosened("explore_hf_docs", {"endpoint": "trl", **arguments})
        return await router.call_tool("explore_hf_docs", loosened, session, "call-1")


@pytest.fixture
async def shelf(web: WebClient, site: DocsSite, tmp_path: Path) -> AsyncIterator[Shelf]:
    shelf = Shelf(web, site, tmp_path / "cache")
    yield shelf
    for library in shelf.opened:
        await library.close()


# --- what is shown ---------------------------------------------------------------------------------------------------


async def test_a_question(shelf: Shelf, session: FakeSession) -> None:
    result = await shelf.explore(session, query="max_seq_length packing", max_results="5")
    assert result.ok
    assert f'<external_data source="{shelf.site.url}/docs/trl">' in result.output
    assert "1 of 1 matching pages for 'max_seq_length packing' (2 pages in all)" in result.output
    assert f"1. **SFT Trainer**\n   URL: {shelf.site.url}/docs/trl/v1.0.0/sft_trainer\n" in result.output
    assert "   Section: trl > Packing (lines 5-7)\n   Relevance: " in result.output
    assert "   Glimpse: Set `max_seq_length` in SFTConfig to pack examples." in result.output
    assert "fetch_hf_docs" in result.output.rpartition("</external_data>")[2]
    assert [request.path for request in shelf.site.requests] == [FULL]  # one request for the whole book


async def test_without_a_question_and_with_one_that_fits_nothing(shelf: Shelf, session: FakeSession) -> None:
    plain = await shelf.explore(session, query=None)
    assert "the first 2 of 2 pages" in plain.output
    assert plain.output.index("SFT Trainer") < plain.output.index("DPO Trainer")
    nothing = await shelf.explore(session, query="zebra")
    assert nothing.ok
    assert "No page of trl has any of these words" in nothing.output
    assert "the first 2 of 2 pages" in nothing.output


async def test_parts_of_a_name_find_it(shelf: Shelf, session: FakeSession) -> None:
    """Defect 8: camelCase and snake_case are searched by their parts as well."""
    for query, best in {"dpo config": "DPO Trainer", "SFTConfig": "SFT Trainer", "seq": "SFT Trainer"}.items():
        assert f"1. **{best}**" in (await shelf.explore(session, query=query)).output


async def test_max_results(shelf: Shelf, session: FakeSession) -> None:
    assert "2. **" not in (await shelf.explore(session, max_results=1)).output
    assert "max_results is at most 50." in (await shelf.explore(session, max_results=999)).output
    refused = await shelf.explore(session, max_results=0)
    assert not refused.ok
    assert "max_results" in refused.output


async def test_fifty_long_results_stay_below_the_limit(shelf: Shelf, session: FakeSession) -> None:
    page = "# T\n\n" + "needle and more words " * 200
    shelf.site.book("/docs/trl", {f"Needle {'x' * 200} {n}": (f"page_{n}_{'y' * 200}", page) for n in range(60)})
    result = await shelf.explore(session, query="needle", max_results=50)
    assert len(result.output) < 20_000
    assert "left out for their length" in result.output


# --- books that are kept ---------------------------------------------------------------------------------------------


async def test_the_same_question_has_the_same_answer_and_asks_nobody(shelf: Shelf, session: FakeSession) -> None:
    first = await shelf.explore(session, query="beta")
    shelf.open()  # the file, not this process, keeps the book
    assert await shelf.explore(session, query="beta") == first
    assert len(shelf.site.requests) == 1


async def test_after_a_day_the_etag_is_asked_and_nothing_is_built_again(shelf: Shelf, session: FakeSession) -> None:
    """Defect 9: 24 h, then revalidated."""
    before = (await shelf.library.books.ready(TRL)).edition
    shelf.time_s += FRESH_S + 1
    after = (await shelf.library.books.ready(TRL)).edition
    assert after.id == before.id
    assert "if-none-match" in shelf.site.requests[1].headers
    await shelf.library.books.ready(TRL)
    assert len(shelf.site.requests) == 2  # fresh for another day


async def test_the_same_text_without_etags_is_not_built_again(shelf: Shelf, session: FakeSession) -> None:
    shelf.site.has_etags = False
    before = (await shelf.library.books.ready(TRL)).edition
    shelf.time_s += FRESH_S + 1
    assert (await shelf.library.books.ready(TRL)).edition.id == before.id


async def test_a_new_release_takes_the_old_ones_place(shelf: Shelf, session: FakeSession) -> None:
    await shelf.explore(session)
    shelf.site.book("/docs/trl", {"GRPO Trainer": ("grpo", "# GRPO\n\nnew\n")}, version="v2.0.0")
    shelf.time_s += FRESH_S + 1
    shown = (await shelf.explore(session)).output
    assert "/docs/trl/v2.0.0/grpo" in shown
    assert "SFT Trainer" not in shown
    with sqlite3.connect(shelf.place / FILE_NAME) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE name GLOB 'passages_?'")]
        assert len(names) == 1
        assert db.execute("SELECT COUNT(*) FROM pages").fetchone() == (1,)


async def test_an_old_book_is_used_with_a_note_when_the_site_fails(shelf: Shelf, session: FakeSession) -> None:
    await shelf.explore(session, query="beta")
    shelf.time_s += FRESH_S + 1
    for path in (FULL, LIST, "/docs/trl"):
        shelf.site.failing[path] = 500
    result = await shelf.explore(session, query="beta")
    assert result.ok
    assert "**DPO Trainer**" in result.output
    assert "HTTP 500" in result.output
    assert "What was read on 1970-01-12 is shown." in result.output


async def test_failures_are_not_kept(shelf: Shelf, session: FakeSession) -> None:
    """Defect 9: upstream kept them for ever."""
    texts = dict(shelf.site.texts)
    shelf.site.texts.clear()
    missing = await shelf.explore(session)
    assert not missing.ok
    assert f"nothing was found at {shelf.site.url}{FULL}" in missing.output
    shelf.site.texts.update(texts)
    assert (await shelf.explore(session)).ok


async def test_a_list_that_stands_in_for_the_book_is_replaced_when_that_is_back(
    shelf: Shelf, session: FakeSession
) -> None:
    shelf.site.failing[FULL] = 503
    result = await shelf.explore(session, query="beta")
    assert "**DPO Trainer**" in result.output
    assert "Its list of pages was used instead." in result.output
    shelf.site.failing.clear()
    result = await shelf.explore(session, query="beta")
    assert "used instead" not in result.output
    assert (await shelf.library.books.ready(TRL)).edition.source.url.endswith("llms-full.txt")


async def test_many_at_once_build_once(shelf: Shelf, session: FakeSession) -> None:
    """Defect 9: upstream crawled for each of them."""
    shelf.site.stalling.add(FULL)
    calls = [asyncio.create_task(shelf.explore(session, query="beta")) for _ in range(5)]
    await asyncio.to_thread(shelf.site.wait_stalled)
    shelf.site.resume()
    results = await asyncio.gather(*calls)
    assert len({result.output for result in results}) == 1
    assert len(shelf.site.requests) == 1


async def test_a_call_that_is_cancelled_leaves_the_others_theirs(shelf: Shelf, session: FakeSession) -> None:
    shelf.site.stalling.add(FULL)
    first, second = (asyncio.create_task(shelf.explore(session)) for _ in range(2))
    await asyncio.to_thread(shelf.site.wait_stalled)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    shelf.site.resume()
    assert (await second).ok
    assert len(shelf.site.requests) == 1


async def test_when_nobody_waits_any_more_the_fetch_is_given_up(shelf: Shelf, session: FakeSession) -> None:
    shelf.site.stalling.add(FULL)
    only = asyncio.create_task(shelf.explore(session))
    await asyncio.to_thread(shelf.site.wait_stalled)
    only.cancel()
    await asyncio.gather(only, return_exceptions=True)
    await asyncio.to_thread(shelf.site.wait_client_gone)
    shelf.site.resume()
    assert (await shelf.explore(session)).ok


@pytest.mark.parametrize("content", [b"this is no database, and it never was one", b""])
async def test_a_file_that_cannot_be_used_is_no_obstacle(shelf: Shelf, session: FakeSession, content: bytes) -> None:
    shelf.place.mkdir()
    (shelf.place / FILE_NAME).write_bytes(content * 100)
    assert "**DPO Trainer**" in (await shelf.explore(session, query="beta")).output
    shelf.open()
    assert "**DPO Trainer**" in (await shelf.explore(session, query="beta")).output


async def test_a_directory_that_cannot_be_written_is_no_obstacle(shelf: Shelf, session: FakeSession) -> None:
    shelf.place.write_text("a file is in the way")
    assert "**DPO Trainer**" in (await shelf.explore(session, query="beta")).output


async def test_in_memory(shelf: Shelf, session: FakeSession) -> None:
    shelf.open(cache_dir=None)
    assert "**DPO Trainer**" in (await shelf.explore(session, query="beta")).output
    assert not shelf.place.exists()


# --- sites without a whole book --------------------------------------------------------------------------------------


async def test_pages_of_a_list_are_read_when_they_are_asked_for(shelf: Shelf, session: FakeSession) -> None:
    del shelf.site.texts[FULL]
    plain = await shelf.explore(session, max_results=1)
    assert "Glimpse: Introduction." in plain.output
    assert not shelf.site.asked("/docs/trl/v1.0.0/dpo_trainer.md")
    assert "1 pages are known by their title only" in plain.output
    asked = await shelf.explore(session, query="beta")
    assert "1. **DPO Trainer**" in asked.output
    assert "title only" not in asked.output


async def test_a_crawl_has_an_end(shelf: Shelf, session: FakeSession) -> None:
    """Defect 9: unbounded crawl."""
    shelf.site.book("/docs/trl", {f"Page {n}": (f"p{n}", f"# Page {n}\n\nword{n}\n") for n in range(100)})
    del shelf.site.texts[FULL]
    result = await shelf.explore(session, query="page")
    read = [request for request in shelf.site.requests if request.path.endswith(".md")]
    assert len(read) == MAX_READ_PAGES
    assert f"{100 - MAX_READ_PAGES} pages are known by their title only" in result.output


async def test_a_page_that_fails_is_named_and_asked_again(shelf: Shelf, session: FakeSession) -> None:
    del shelf.site.texts[FULL]
    shelf.site.failing["/docs/trl/v1.0.0/dpo_trainer.md"] = 500
    result = await shelf.explore(session, query="trainer")
    assert "(this page has not been read)" in result.output
    assert "dpo_trainer.md answers with HTTP 500" in result.output
    shelf.site.failing.clear()
    assert "has not been read" not in (await shelf.explore(session, query="trainer")).output


async def test_the_list_at_the_side_of_the_first_page(shelf: Shelf, session: FakeSession) -> None:
    del shelf.site.texts[FULL], shelf.site.texts[LIST]
    links = "".join(f'<li><a href="/docs/trl/{name}">{title}</a>' for title, (name, _) in PAGES.items())
    shelf.site.texts["/docs/trl"] = (
        f'<nav class="top"><a href="/docs">All</a></nav><nav class="flex-auto overflow-y-auto"><ul>{links}'
        '<li><a href="/docs/other/x">Other</a><li><a href="https://evil.example/docs/trl/x">Evil</a></ul></nav>'
    )
    result = await shelf.explore(session, query="beta")
    assert f"1. **DPO Trainer**\n   URL: {shelf.site.url}/docs/trl/dpo_trainer\n" in result.output
    assert "(2 pages in all)" in result.output


async def test_a_part_that_fails_does_not_fail_the_others(shelf: Shelf, session: FakeSession) -> None:
    """Defect 9: one dead book killed the whole composite."""
    shelf.site.book("/docs/optimum", {"Export": ("export", "# Export\n\nto ONNX\n")})
    shelf.site.book("/docs/optimum-neuron", {"Neuron": ("neuron", "# Neuron\n\nONNX no more\n")})
    shelf.site.failing["/docs/optimum-tpu/llms-full.txt"] = 500
    result = await shelf.explore(session, endpoint="optimum", query="onnx")
    assert result.ok
    assert "**Export**" in result.output
    assert "Section: optimum-neuron > Neuron" in result.output
    advice = result.output.rpartition("</external_data>")[2]
    assert "Warning: optimum-habana, optimum-intel, optimum-executorch, optimum-tpu could not be read" in advice
    assert "HTTP 500" in result.output


async def test_another_name_of_the_same_book(shelf: Shelf, session: FakeSession) -> None:
    shelf.site.book("/docs/text-generation-inference", {"Quicktour": ("quicktour", "# Quicktour\n\ngo\n")})
    assert "**Quicktour**" in (await shelf.explore(session, endpoint="tgi")).output


async def test_gradio_is_searched_here(shelf: Shelf, session: FakeSession) -> None:
    """Defect 14: no undocumented worker; its overview is a text, whose sections are found and can be fetched."""
    shelf.site.texts["/gradio/llms.txt"] = (
        "# Gradio\n\nInterfaces.\n\n## Guides\n\n- [Quickstart](https://www.gradio.app/guides/quickstart)\n\n"
        "### ChatInterface\n\nA chatbot around a function: `gr.ChatInterface(fn, multimodal=False)`.\n"
    )
    shelf.site.texts["/gradio/guides/quickstart"] = "<main><h1>Quickstart</h1><p>Install it with pip.</p></main>"
    result = await shelf.explore(session, endpoint="gradio", query="chatbot multimodal")
    assert f"1. **ChatInterface**\n   URL: {shelf.site.url}/gradio/llms.txt#chatinterface\n" in result.output
    page = await session.call(
        fetch_hf_docs_spec(lambda: shelf.library), url=f"{shelf.site.url}/gradio/llms.txt#chatinterface"
    )
    assert page.output.startswith("### ChatInterface")
    assert "**Quickstart**" in (await shelf.explore(session, endpoint="gradio", query="install pip")).output


# --- the token -------------------------------------------------------------------------------------------------------


async def test_no_token_is_needed_and_a_refused_one_is_left_off(shelf: Shelf, session: FakeSession) -> None:
    """Defect 10: public docs without a token; and with one that has expired."""
    assert (await shelf.explore(session)).ok
    assert "authorization" not in shelf.site.requests[0].headers
    shelf.open(token="hf_expired", cache_dir=None)
    shelf.site.refused_token = "hf_expired"
    assert (await shelf.explore(session)).ok
    asked = [request.headers.get("authorization") for request in shelf.site.requests[1:]]
    assert asked == ["Bearer hf_expired", None]


async def test_the_token_goes_to_no_other_host(shelf: Shelf, session: FakeSession) -> None:
    """Defect 1: neither to Gradio nor where the Hub redirects to."""
    with DocsSite() as gradio:
        gradio.texts["/llms.txt"] = "# Gradio\n\ntext\n"
        environ = {"HF_ENDPOINT": shelf.site.url, "GRADIO_BASE_URL": gradio.url}
        library = DocsLibrary(shelf.web, environ, token="hf_secret")
        gradio.texts["/moved.md"] = "# Moved\n"
        shelf.site.redirects["/docs/trl/moved.md"] = f"{gradio.url}/moved.md"
        explored = await session.call(explore_hf_docs_spec(lambda: library), endpoint="gradio")
        moved = await session.call(fetch_hf_docs_spec(lambda: library), url="/docs/trl/moved")
        assert explored.ok and moved.ok
        assert shelf.site.asked("/docs/trl/moved.md")[0].headers["authorization"] == "Bearer hf_secret"
        assert gradio.requests and not any("authorization" in request.headers for request in gradio.requests)
        await library.close()


# --- the event loop --------------------------------------------------------------------------------------------------


async def test_forty_books_at_once_are_built_in_threads_piece_by_piece(shelf: Shelf) -> None:
    """Defect 8: no piece of indexing runs on the event loop, and the loop has a turn between any two of them.

    The gap itself is measured in tests/bench/bench_docs_index.py.
    """
    turns, main = 0, threading.get_ident()
    pieces: list[tuple[int, int]] = []
    names = [f"book-{number}" for number in range(40)]
    for name in names:
        shelf.site.book(
            f"/docs/{name}", {f"P{n}": (f"p{n}", f"# P{n}\n\n" + f"{name} word{n}\n" * 1_500) for n in range(4)}
        )

    async def in_thread(work: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        def noted() -> Any:
            pieces.append((threading.get_ident(), turns))
            return work(*arguments, **more)

        running: Awaitable[Any] = asyncio.to_thread(noted)
        return await running

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    library = shelf.open(in_thread=in_thread)
    ticker = asyncio.create_task(tick())
    packages = [Package(name, (f"/docs/{name}",)) for name in names]
    books = await asyncio.gather(*(library.books.ready(package) for package in packages))
    ticker.cancel()
    assert [ready.edition.pages for ready in books] == [4] * 40
    assert main not in {thread for thread, _ in pieces}
    in_turn = Counter(turn for _, turn in pieces[40:])  # the first ones look for 40 books all at once
    assert in_turn.total() > 40 * 5
    assert max(in_turn.values()) <= 5  # four books at a time, and the one just done: no book has two pieces in a turn
    hits, count = await library.books.search(packages[7], "word3", 5)
    assert (count, hits[0].title) == (1, "P3")


async def test_a_book_that_is_nothing(shelf: Shelf) -> None:
    shelf.site.texts[FULL] = "x" * 100_000
    shelf.site.texts[LIST] = "\0" * 1_000
    with pytest.raises(DocsUnavailable, match="trl"):
        await shelf.library.books.ready(TRL)


# --- what cannot be had ----------------------------------------------------------------------------------------------


async def test_what_is_nowhere_is_told_by_its_addresses_and_not_to_be_tried_again(
    shelf: Shelf, session: FakeSession
) -> None:
    result = await shelf.explore(session, endpoint="peft")
    assert not result.ok
    base = f"{shelf.site.url}/docs/peft"
    assert f"- peft: nothing was found at {base}/llms-full.txt, {base}/llms.txt, {base}.\n" in result.output
    assert "later" not in result.output
    assert "web_search" in result.output


@pytest.mark.parametrize(("status", "is_passing"), [(503, True), (429, True), (403, False)])
async def test_only_a_failure_that_may_pass_is_to_be_tried_again_later(
    shelf: Shelf, session: FakeSession, status: int, is_passing: bool
) -> None:
    shelf.site.failing.update(dict.fromkeys((FULL, LIST, "/docs/trl"), status))
    result = await shelf.explore(session)
    assert not result.ok
    assert f"HTTP {status}" in result.output
    assert ("Try again later" in result.output) == is_passing


async def test_a_score_that_says_nothing_is_left_out(shelf: Shelf, session: FakeSession, site: DocsSite) -> None:
    site.book("/docs/peft", {"LoRA": ("lora", "# LoRA\n\nLow rank adapters.\n")})
    result = await shelf.explore(session, endpoint="peft", query="adapters")
    assert "1. **LoRA**" in result.output
    assert "Relevance" not in result.output
