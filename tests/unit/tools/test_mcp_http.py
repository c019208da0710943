"""An MCP server over HTTP, with what can go wrong at its side."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.tools.mcp.addresses import Place
from tests.fakes.mcp_server import FakeMcp, text, tool
from tests.unit.tools.conftest import FakeSession
from tests.unit.tools.mcp_runs import TOKEN, call, connected, make, place_in


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_in(tmp_path)


async def test_over_http_with_headers(place: Place, session: FakeSession) -> None:
    with FakeMcp([tool("look")], {"look": text("seen")}) as fake:
        config = fake.config | {"headers": {"X-Api-Key": "secret-key-123"}}
        async with connected(place, config) as server:
            result = await call(server, session, "look")
        fake.check()
        assert "seen" in result.output
        assert all(request.headers["x-api-key"] == "secret-key-123" for request in fake.requests)
        assert not any(TOKEN in str(request.headers) for request in fake.requests)


async def test_an_http_server_that_has_forgotten_us(place: Place, session: FakeSession) -> None:
    with FakeMcp([tool("look")]) as fake:
        async with connected(place, fake.config) as server:
            fake.forget()
            lost = await call(server, session, "look")
            assert not lost.ok
            assert "The next call connects to it again" in lost.output
            assert (await call(server, session, "look")).ok


async def test_an_http_server_that_is_gone(place: Place, session: FakeSession) -> None:
    fake = FakeMcp([tool("look")]).start()
    async with connected(place, fake.config) as server:
        await asyncio.to_thread(fake.close)
        first, second = await call(server, session, "look"), await call(server, session, "look")
    assert "went away" in first.output
    assert "is not available" in second.output


@pytest.mark.parametrize("status", [401, 403, 404, 500])
async def test_an_http_server_that_refuses(status: int, place: Place) -> None:
    with FakeMcp() as fake:
        fake.status = status
        server = make(place, fake.config | {"headers": {"Authorization": "Bearer secret-key-123"}})
        assert not await server.connect()
        assert "secret-key-123" not in server.problem
        assert server.problem
        await server.close()


async def test_stopping_a_call_over_http(place: Place, session: FakeSession) -> None:
    with FakeMcp([tool("hang"), tool("good")], {"hang": "hang"}) as fake:
        async with connected(place, fake.config) as server:
            running = asyncio.create_task(call(server, session, "hang"))
            await asyncio.to_thread(fake.wait_stalled)
            running.cancel()
            await asyncio.wait({running}, timeout=5)
            assert running.cancelled()
            assert (await call(server, session, "good")).ok
        told = [request.json["method"] for request in fake.requests if request.json]
        assert "notifications/cancelled" in told
        assert told.count("initialize") == 1
