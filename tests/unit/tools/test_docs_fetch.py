"""`fetch_hf_docs`: which addresses, which piece, and where it comes from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent.tools.docs.library import DocsLibrary
from agent.tools.docs_tools import explore_hf_docs_spec, fetch_hf_docs_spec
from agent.web.client import WebClient
from tests.fakes.docs_site import DocsSite
from tests.unit.tools.conftest import FakeSession

LONG = "# Long\n\n" + "".join(f"line {number} of the page\n" for number in range(3_000)) + "## The end\n\nlast words\n"


@pytest.fixture
def site() -> Iterator[DocsSite]:
    with DocsSite() as site:
        site.book("/docs/trl", {"Long": ("long", LONG), "Short": ("short", "# Short\n\nall of it\n")})
        yield site
        site.check()


@pytest.fixture
async def library(site: DocsSite, tmp_path: Path) -> AsyncIterator[DocsLibrary]:
    async def no_pause(_delay_s: float) -> None:
        pass

    web = WebClient(sleep=no_pause)
    library = DocsLibrary(web, {"HF_ENDPOINT": site.url, "GRADIO_BASE_URL": f"{site.url}/gradio"}, "hf_x", tmp_path)
    yield library
    await library.close()
    await web.close()


async def test_a_whole_page(library: DocsLibrary, session: FakeSession, site: DocsSite) -> None:
    result = await session.call(
        fetch_hf_docs_spec(lambda: library), url="https://huggingface.co/docs/trl/short?x=1#short"
    )
    assert (result.ok, result.output) == (True, "# Short\n\nall of it\n")
    assert result.source == f"{site.url}/docs/trl/short"
    assert result.advice == "This is the whole page (19 characters)."
    assert [(request.path, request.query) for request in site.requests] == [("/docs/trl/short.md", {})]


async def test_a_long_page_in_pieces(library: DocsLibrary, session: FakeSession) -> None:
    """Defect 11: upstream's pages were unlimited."""
    fetch = fetch_hf_docs_spec(lambda: library)
    offset, parts = 0, []
    while True:
        piece = await session.call(fetch, url="/docs/trl/long", offset=offset)
        assert piece.ok and len(piece.output) <= 12_000
        parts.append(piece.output)
        if "Go on with" not in piece.advice:
            break
        assert piece.output.endswith("\n")
        offset = int(piece.advice.rpartition("offset=")[2].rstrip("."))
    assert "".join(parts) == LONG
    assert len((await session.call(fetch, url="/docs/trl/long", max_chars=999_999)).output) <= 20_000
    beyond = await session.call(fetch, url="/docs/trl/long", offset=10**9)
    assert not beyond.ok
    assert f"{len(LONG):,} characters" in beyond.output


async def test_a_heading(library: DocsLibrary, session: FakeSession) -> None:
    fetch = fetch_hf_docs_spec(lambda: library)
    result = await session.call(fetch, url="/docs/trl/long#the-end")
    assert result.output == "## The end\n\nlast words\n"
    unknown = await session.call(fetch, url="/docs/trl/long#nowhere")
    assert unknown.output.startswith("# Long")
    assert "no heading of that name" in unknown.advice


async def test_a_page_of_an_indexed_book_is_not_asked_for_again(
    library: DocsLibrary, session: FakeSession, site: DocsSite
) -> None:
    await session.call(explore_hf_docs_spec(lambda: library), endpoint="trl")
    fetch = fetch_hf_docs_spec(lambda: library)
    for url in ("/docs/trl/short", "/docs/trl/v1.0.0/short", "/docs/trl/en/short.md"):
        assert (await session.call(fetch, url=url)).output == "# Short\n\nall of it\n"
    assert len(site.requests) == 1
    other = await session.call(fetch, url="/docs/trl/v0.9.0/short")  # another release is another page
    assert not other.ok
    assert site.asked("/docs/trl/v0.9.0/short.md")


async def test_a_page_that_is_only_there_as_html(library: DocsLibrary, session: FakeSession, site: DocsSite) -> None:
    site.texts["/blog/x"] = "<html><main><h1>Post</h1><p>Words.</p></main></html>"
    result = await session.call(fetch_hf_docs_spec(lambda: library), url="https://huggingface.co/blog/x")
    assert result.output == "# Post\n\nWords."
    assert not any("authorization" in request.headers for request in site.requests)  # that is for /docs and /learn


async def test_a_page_that_is_not_there(library: DocsLibrary, session: FakeSession) -> None:
    result = await session.call(fetch_hf_docs_spec(lambda: library), url="/docs/trl/nothing")
    assert not result.ok
    assert "/docs/trl/nothing answers with HTTP 404" in result.output
    assert "explore_hf_docs" in result.output


async def test_the_sites_own_words_when_it_fails(library: DocsLibrary, session: FakeSession, site: DocsSite) -> None:
    site.failing["/docs/trl/short.md"] = 500
    result = await session.call(fetch_hf_docs_spec(lambda: library), url="/docs/trl/short")
    assert not result.ok
    assert "HTTP 500" in result.output
    assert "working hard to fix it" in result.output


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://evil.example/docs/trl/x",
        "https://huggingface.co.evil.example/docs",
        "https://notgradio.app/x",
        "http://huggingface.co/docs/trl/x",
        "http://localhost:1/docs",
        "file:///etc/passwd",
        "https://x@huggingface.co/docs",
        "/docs/../api/whoami-v2",
        "http://[",
    ],
)
async def test_addresses_that_are_not_visited(
    library: DocsLibrary, session: FakeSession, site: DocsSite, url: str
) -> None:
    """Defect 1: upstream sent the token to any address."""
    before = len(site.requests)
    result = await session.call(fetch_hf_docs_spec(lambda: library), url=url)
    assert not result.ok
    assert len(site.requests) == before


async def test_a_redirect_out_is_not_followed(library: DocsLibrary, session: FakeSession, site: DocsSite) -> None:
    """Defect 1: each hop is checked."""
    with DocsSite() as other:
        other.texts["/docs/x.md"] = "inside"
        site.redirects["/docs/trl/out.md"] = f"{other.url}/docs/x.md"
        result = await session.call(fetch_hf_docs_spec(lambda: library), url="/docs/trl/out")
        assert not result.ok
        assert "may not be visited" in result.output
        assert other.requests == []
