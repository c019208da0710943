"""Finding local servers and their context windows, against loopback servers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from agent.llm.local import detect_local_servers, discover_context_window
from agent.llm.params import resolve_route
from tests.fakes.http_base import Exchange, HttpFake

NAMES = {"ollama": "OLLAMA", "vllm": "VLLM", "lm_studio": "LMSTUDIO", "llamacpp": "LLAMACPP"}


@pytest.fixture
def closed() -> Iterator[dict[str, str]]:
    """An environment in which all four servers are at ports where nothing listens."""
    with ExitStack() as stack:
        environ = {}
        for env in NAMES.values():
            holder = stack.enter_context(socket.socket())
            holder.bind(("127.0.0.1", 0))  # bound but not listening: refused, and nobody else gets the port
            environ[f"{env}_BASE_URL"] = f"http://127.0.0.1:{holder.getsockname()[1]}"
        yield environ


def serve(stack: ExitStack, **routes: Any) -> HttpFake:
    fake = stack.enter_context(HttpFake())
    for path, value in routes.items():
        fake.route("POST" if path == "/api/show" else "GET", path, value)
    return fake


def models(*ids: str, **extra: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, **extra} for name in ids]}


class Stalling(HttpFake):
    async def respond(self, exchange: Exchange) -> None:
        await exchange.stall()


async def test_refused_means_absent(closed: dict[str, str]) -> None:
    assert await detect_local_servers(closed) == []


async def test_servers_are_found_in_the_order_of_the_table(closed: dict[str, str]) -> None:
    with ExitStack() as stack:
        lm_studio = serve(stack, **{"/v1/models": models("a", "b")})
        ollama = serve(stack, **{"/v1/models": models("qwen3:8b")})
        environ = closed | {"LMSTUDIO_BASE_URL": lm_studio.url, "OLLAMA_BASE_URL": ollama.url + "/v1"}
        found = await detect_local_servers(environ | {"LMSTUDIO_API_KEY": "lm-key", "OPENAI_API_KEY": "sk-no"})
        assert [(server.provider.name, server.base_url, server.models) for server in found] == [
            ("ollama", f"{ollama.url}/v1", ("qwen3:8b",)),
            ("lm_studio", f"{lm_studio.url}/v1", ("a", "b")),
        ]
        assert [request.headers["authorization"] for request in lm_studio.requests] == ["Bearer lm-key"]
        assert "sk-no" not in str(ollama.requests[0].headers)


async def test_one_shared_address_is_one_server() -> None:
    with ExitStack() as stack:
        box = serve(stack, **{"/v1/models": models("m")})
        found = await detect_local_servers({"LOCAL_LLM_BASE_URL": box.url})
        assert [server.provider.name for server in found] == ["ollama"]
        assert len(box.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>another program</html>",
        b"",
        b"[]",
        b"null",
        b'{"data": {}}',
        b'{"models": []}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"0" * 6_000_000,
    ],
)
async def test_other_programs_on_the_port_are_not_servers(closed: dict[str, str], answer: bytes) -> None:
    with ExitStack() as stack:
        other = serve(stack, **{"/v1/models": answer})
        assert await detect_local_servers(closed | {"VLLM_BASE_URL": other.url}) == []


async def test_strange_entries_are_skipped(closed: dict[str, str]) -> None:
    with ExitStack() as stack:
        odd = serve(stack, **{"/v1/models": {"data": [1, None, {"id": 5}, {}, {"id": "good"}]}})
        empty = serve(stack, **{"/v1/models": {"data": []}})
        found = await detect_local_servers(closed | {"VLLM_BASE_URL": odd.url, "OLLAMA_BASE_URL": empty.url})
        assert [server.models for server in found] == [(), ("good",)]


async def test_errors_and_bad_addresses_are_absent(closed: dict[str, str]) -> None:
    with ExitStack() as stack:
        broken = stack.enter_context(HttpFake())
        broken.route("GET", "/v1/models", {"data": []}, status=500)
        environ = {
            "OLLAMA_BASE_URL": broken.url,
            "VLLM_BASE_URL": "http://127.0.0.1:notaport",
            "LMSTUDIO_BASE_URL": "ftp://x",
            "LLAMACPP_BASE_URL": "\x00",
            "VLLM_API_KEY": "schlüssel",
        }
        assert await detect_local_servers(environ) == []


async def test_silent_servers_are_asked_at_the_same_time(closed: dict[str, str]) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(Stalling()) for _ in NAMES]
        environ = {f"{env}_BASE_URL": fake.url for env, fake in zip(NAMES.values(), silent, strict=True)}
        started = time.monotonic()
        assert await detect_local_servers(environ, timeout_s=0.3) == []
        assert time.monotonic() - started < 1.0
        for fake in silent:
            await asyncio.to_thread(fake.wait_client_gone)


async def test_a_proxy_in_the_environment_is_not_used(closed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with ExitStack() as stack:
        fake = serve(stack, **{"/v1/models": models("m")})
        assert len(await detect_local_servers(closed | {"OLLAMA_BASE_URL": fake.url})) == 1


PS = {"models": [{"name": "qwen3:latest", "model": "qwen3:latest", "context_length": 40_960}]}

WINDOWS: list[tuple[str, dict[str, Any], int | None]] = [
    ("vllm/Qwen/Q", {"/v1/models": models("Qwen/Q", max_model_len=131_072)}, 131_072),
    ("vllm/other", {"/v1/models": models("Qwen/Q", max_model_len=131_072)}, None),
    ("vllm/Qwen/Q", {"/v1/models": models("Qwen/Q", max_model_len="many")}, None),
    ("vllm/Qwen/Q", {"/v1/models": models("Qwen/Q", max_model_len=True)}, None),
    ("vllm/Qwen/Q", {"/v1/models": models("Qwen/Q", max_model_len=0)}, None),
    ("llamacpp/any", {"/props": {"default_generation_settings": {"n_ctx": 8192}}}, 8192),
    ("llamacpp/any", {"/props": {"default_generation_settings": []}}, None),
    ("llamacpp/any", {"/props": b"no json"}, None),
    ("lm_studio/m", {"/api/v0/models": models("m", loaded_context_length=4096, max_context_length=32_768)}, 4096),
    ("lm_studio/m", {"/api/v0/models": models("m", max_context_length=32_768)}, 32_768),
    ("lm_studio/m", {"/api/v0/models": {"data": "x"}}, None),
    ("ollama/qwen3", {"/api/ps": PS}, 40_960),
    ("ollama/qwen3:latest", {"/api/ps": PS}, 40_960),
    ("ollama/qwen3:8b", {"/api/ps": PS}, None),
    ("ollama/big", {"/api/ps": {"models": []}, "/api/show": {"model_info": {"q.context_length": 262_144}}}, None),
    ("ollama/small", {"/api/ps": {"models": []}, "/api/show": {"model_info": {"q.context_length": 8_192}}}, 8_192),
    (
        "ollama/set",
        {
            "/api/ps": {"models": []},
            "/api/show": {"parameters": "stop x\nnum_ctx    65536\n", "model_info": {"q.context_length": 131_072}},
        },
        65_536,
    ),
]


@pytest.mark.parametrize(("model_id", "routes", "expected"), WINDOWS)
async def test_context_windows(model_id: str, routes: dict[str, Any], expected: int | None) -> None:
    with ExitStack() as stack:
        fake = serve(stack, **routes)
        environ = {"LOCAL_LLM_BASE_URL": f"{fake.url}/v1/"}
        assert await discover_context_window(resolve_route(model_id), environ) == expected


@pytest.mark.parametrize("model_id", ["openai/gpt-5.5", "org/model", "replay/demo", "bedrock/x"])
async def test_other_routes_are_not_asked(model_id: str) -> None:
    with ExitStack() as stack:
        fake = serve(stack)
        environ = dict.fromkeys(("OPENAI_BASE_URL", "HF_ROUTER_BASE_URL", "LOCAL_LLM_BASE_URL"), fake.url)
        assert await discover_context_window(resolve_route(model_id), environ) is None
        assert fake.requests == []


async def test_a_server_that_is_down_or_silent_has_no_known_window(closed: dict[str, str]) -> None:
    assert await discover_context_window(resolve_route("ollama/x"), closed) is None
    with Stalling() as silent:
        route = resolve_route("ollama/x")
        assert await discover_context_window(route, {"OLLAMA_BASE_URL": silent.url}, timeout_s=0.2) is None
