"""Bodies: never more than was asked for, however they are packed, and the loop stays free meanwhile."""

from __future__ import annotations

import asyncio
import time as real_time
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.web.bodies import read_capped
from agent.web.client import WebClient
from agent.web.errors import WebError
from tests.fakes.web_site import WebSite, bomb, endless, packed, reply, to_end
from tests.unit.web.kit import to

ENCODINGS = ["gzip", "deflate", "raw"]


def named(encoding: str) -> str:
    return "deflate" if encoding == "raw" else encoding


async def chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@given(
    st.binary(max_size=2000), st.sampled_from(["", "identity", *ENCODINGS]), st.integers(1, 300), st.integers(0, 2500)
)
def test_the_beginning_of_the_body_comes_out(body: bytes, encoding: str, size: int, limit: int) -> None:
    sent = packed(body, encoding) if encoding in ENCODINGS else body
    found = asyncio.run(read_capped(chunks(sent, size), named(encoding), limit))
    assert found == (body[:limit], len(body) > limit)


async def test_gzip_has_members_and_padding() -> None:
    body = packed(b"one ") + packed(b"two") + b"\0\0\0"
    for size in (1, 7, 1000):
        assert await read_capped(chunks(body, size), "x-gzip", 100) == (b"one two", False)


async def test_an_empty_packed_body_is_empty() -> None:
    assert await read_capped(chunks(b"", 1), "gzip", 100) == (b"", False)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
async def test_packings_that_were_not_asked_for_are_errors(site: WebSite, client: WebClient, encoding: str) -> None:
    with pytest.raises(WebError, match="not asked for") as caught:
        await client.ask(to(site.on("/", reply(b"??", {"Content-Encoding": encoding}))))
    assert (caught.value.problem, len(site.requests)) == ("garbled", 1)
    assert site.requests[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_packed_as_it_says_is_an_error(
    site: WebSite, client: WebClient, encoding: str
) -> None:
    with pytest.raises(WebError, match="cannot be unpacked"):
        await client.ask(to(site.on("/", reply(b"\xff\xfeplain text", {"Content-Encoding": encoding}))))


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_packed_body_that_ends_in_the_middle_is_asked_for_again(
    site: WebSite, client: WebClient, encoding: str
) -> None:
    """The end of such a body is the end of the connection, so only the packing tells that something is missing."""
    headers = {"Content-Encoding": named(encoding)}
    body = bytes(range(256)) * 40
    url = site.on("/", to_end(packed(body, encoding)[:-20], headers), to_end(packed(body, encoding), headers))
    assert (await client.ask(to(url))).body == body
    assert len(site.requests) == 2


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_bomb_is_unpacked_up_to_the_limit_only(site: WebSite, client: WebClient, encoding: str) -> None:
    body = bomb(encoding, 64 << 20)
    url = site.on("/", reply(body, {"Content-Encoding": named(encoding)}))
    tracemalloc.start()
    try:
        answer = await client.ask(to(url, max_bytes=1 << 20))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(answer.body), answer.is_cut) == (1 << 20, True)
    assert peak < 16 << 20


@pytest.mark.parametrize("piece", [b"x" * 65536, packed(b"x" * 100_000)])
async def test_an_endless_body_is_cut_and_the_server_left(site: WebSite, client: WebClient, piece: bytes) -> None:
    headers = {"Content-Encoding": "gzip"} if piece[:2] == b"\x1f\x8b" else {}
    answer = await client.ask(to(site.on("/", endless(piece, headers)), max_bytes=300_000))
    assert (len(answer.body), answer.is_cut) == (300_000, True)
    await asyncio.to_thread(site.wait_client_gone)


async def test_an_error_page_is_cut_early(site: WebSite, client: WebClient) -> None:
    answer = await client.ask(to(site.on("/", reply(b"x" * (2 << 20), status=404))))
    assert (len(answer.body), answer.is_cut) == (1 << 20, True)


async def test_the_loop_stays_free_while_20_mb_are_unpacked() -> None:
    """The longest piece of work between two turns of the loop, in time of this thread: others' load does not count."""
    body = packed(b"a line of text, not the same everywhere\n" * 500_000)
    longest, last, is_running = 0.0, real_time.thread_time(), True

    async def watch() -> None:
        nonlocal longest, last
        while is_running:
            now = real_time.thread_time()
            longest, last = max(longest, now - last), now
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    found, is_cut = await read_capped(chunks(body, 65536), "gzip", 20 << 20)
    is_running = False
    await watching
    assert (len(found), is_cut) == (20_000_000, False)
    assert longest < 0.05
