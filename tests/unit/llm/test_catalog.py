"""The router's catalog: reading it, keeping it, and doing without it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.catalog import DISK_S, FRESH_S, RETRY_S, RouterCatalog, parse_catalog
from tests.fakes.http_base import Exchange, HttpFake


def provider(name: str, **changes: Any) -> dict[str, Any]:
    row = {
        "provider": name,
        "status": "live",
        "context_length": 262144,
        "pricing": {"input": 0.5, "output": 2.5},
        "supports_tools": True,
    }
    return row | changes


CATALOG = {"data": [{"id": "moonshotai/Kimi-K2.6", "providers": [provider("novita"), provider("x", status="error")]}]}


class Router(HttpFake):
    """Serves `answer` at /v1/models with its ETag, and 304 to whoever has that."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.answer: Any = CATALOG
        self.etag = '"one"'

    async def respond(self, exchange: Exchange) -> None:
        if self.status == 200 and exchange.request.headers.get("if-none-match") == self.etag:
            await exchange.head(304, {"ETag": self.etag}, length_bytes=0)
            await exchange.body(b"", last=True)
        else:
            await exchange.json(self.status, self.answer, {"ETag": self.etag})


class Clock:
    def __init__(self) -> None:
        self.now_s = time.time()

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as server:
        yield server
        server.check()


def catalog(router: Router, clock: Clock, cache_dir: Path | None = None) -> RouterCatalog:
    return RouterCatalog(lambda: f"{router.url}/v1", cache_dir, clock)


async def test_a_model_is_found_whatever_its_tag_and_case(router: Router) -> None:
    found = await catalog(router, Clock()).lookup("MoonshotAI/kimi-k2.6:novita")
    assert found is not None
    assert found.id == "moonshotai/Kimi-K2.6"
    assert [one.name for one in found.live_providers] == ["novita"]
    (novita,) = found.live_providers
    assert (novita.context_tokens, novita.input_usd_per_million, novita.supports_tools) == (262144, 0.5, True)


async def test_near_names_are_suggested(router: Router) -> None:
    known = catalog(router, Clock())
    assert await known.suggest("moonshotai/Kimi-K2.5:x") == ("moonshotai/Kimi-K2.6",)
    assert await known.suggest("zzz") == ()
    assert await known.lookup("org/other") is None


async def test_it_is_asked_again_only_after_a_while_and_then_for_what_has_changed(router: Router) -> None:
    clock = Clock()
    known = catalog(router, clock)
    await known.lookup("a/b")
    clock.now_s += FRESH_S - 1
    await known.lookup("a/b")
    assert len(router.requests) == 1
    clock.now_s += 2
    assert await known.lookup("moonshotai/Kimi-K2.6")
    assert [request.headers.get("if-none-match") for request in router.requests] == [None, '"one"']
    clock.now_s += FRESH_S + 1
    router.answer, router.etag = {"data": [{"id": "a/b", "providers": []}]}, '"two"'
    assert await known.lookup("a/b")
    assert await known.lookup("moonshotai/Kimi-K2.6") is None


@pytest.mark.parametrize(
    ("status", "answer"), [(500, "no"), (200, b"<html>"), (200, {"data": 5}), (200, []), (200, b"[" * 100_000)]
)
async def test_a_failure_leaves_what_was_known(router: Router, status: int, answer: Any) -> None:
    clock = Clock()
    known = catalog(router, clock)
    await known.lookup("a/b")
    router.status, router.answer, router.etag = status, answer, '"new"'
    clock.now_s += FRESH_S + 1
    assert await known.lookup("moonshotai/Kimi-K2.6")
    await known.lookup("a/b")
    assert len(router.requests) == 2  # not again at once
    clock.now_s += RETRY_S + 1
    await known.lookup("a/b")
    assert len(router.requests) == 3


async def test_another_process_goes_on_from_the_disk(router: Router, tmp_path: Path) -> None:
    clock = Clock()
    await catalog(router, clock, tmp_path).lookup("a/b")
    assert await catalog(router, clock, tmp_path).lookup("moonshotai/Kimi-K2.6")
    assert len(router.requests) == 1
    clock.now_s += FRESH_S + 1
    assert await catalog(router, clock, tmp_path).lookup("moonshotai/Kimi-K2.6")
    assert router.requests[-1].headers["if-none-match"] == '"one"'
    assert await catalog(router, clock, tmp_path).lookup("moonshotai/Kimi-K2.6")  # 304 made it fresh again
    assert len(router.requests) == 2
    assert [path.name for path in tmp_path.glob("router*")] == ["router_models.json"]


async def test_a_day_old_copy_is_not_believed(router: Router, tmp_path: Path) -> None:
    clock = Clock()
    await catalog(router, clock, tmp_path).lookup("a/b")
    router.status = 500
    clock.now_s += DISK_S - 1
    assert await catalog(router, clock, tmp_path).lookup("moonshotai/Kimi-K2.6")
    clock.now_s += 2
    assert await catalog(router, clock, tmp_path).lookup("moonshotai/Kimi-K2.6") is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[]\n[]", b'{"url": "x", "etag": ""}\n{}', b"\xff\n\xff"])
async def test_a_spoilt_copy_is_made_anew(router: Router, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "router_models.json"
    path.write_bytes(content)
    assert await catalog(router, Clock(), tmp_path).lookup("moonshotai/Kimi-K2.6")
    assert b"Kimi" in path.read_bytes()


async def test_a_place_that_cannot_be_written_does_no_harm(router: Router, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert await catalog(router, Clock(), tmp_path / "file").lookup("moonshotai/Kimi-K2.6")


async def test_the_copy_of_another_router_is_not_used(router: Router, tmp_path: Path) -> None:
    await catalog(router, Clock(), tmp_path).lookup("a/b")
    with Router() as other:
        other.answer = {"data": []}
        assert await catalog(other, Clock(), tmp_path).lookup("moonshotai/Kimi-K2.6") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=4) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
ROWS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("provider", "status", "context_length", "pricing", "supports_tools"), JSON)
)
ENTRIES = st.fixed_dictionaries({}, optional={"id": st.text(max_size=4) | JSON, "providers": JSON | st.lists(ROWS)})


@given(st.lists(ENTRIES | JSON, max_size=3))
def test_no_odd_entry_spoils_the_others(entries: list[Any]) -> None:
    good = {"id": "Good/Model", "providers": [provider("p")]}
    models = parse_catalog(json.dumps({"data": [*entries, good]}).encode())
    assert models["good/model"].providers[0].context_tokens == 262144
    for model in models.values():
        for one in model.providers:
            assert one.context_tokens is None or one.context_tokens >= 0
            assert one.input_usd_per_million is None or one.input_usd_per_million > 0
