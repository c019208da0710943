"""Servers of the person's own: which of them answer, and how much context the loaded model has.

Nothing here is ever fatal: a server that is not there, answers rubbish or takes too long is simply not known.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from agent.light_dataclass import dataclass
from agent.llm.params import base_url, is_loopback, local_api_key, url_host
from agent.llm.providers import LOCAL_PROVIDERS, Provider
from agent.llm.routes import Route, is_valid_model_id

logger = logging.getLogger(__name__)

DETECT_TIMEOUT_S = 0.7
WINDOW_TIMEOUT_S = 2.0
MAX_ANSWER_BYTES = 4 << 20

OLLAMA_CAUTION_TOKENS = 32_768
"""A model whose own limit lies below this has at most that limit; above, Ollama's setting decides and is not shown."""


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that answered, with the ids of its models in its own order (possibly none)."""

    provider: Provider
    base_url: str
    models: tuple[str, ...]

    @property
    def model_ids(self) -> tuple[str, ...]:
        """What to type for those of its models that can chat, such as `ollama/qwen3:8b`; free of control characters."""
        ids = (f"{self.provider.prefixes[0]}/{name}" for name in self.models if "embed" not in name.lower())
        return tuple(model_id for model_id in ids if is_valid_model_id(model_id))


async def detect_local_servers(environ: Mapping[str, str], timeout_s: float = DETECT_TIMEOUT_S) -> list[LocalServer]:
    """The local servers that answer `GET /v1/models` like one, asked all at once; in the order of the table.

    Two providers with the same address (LOCAL_LLM_BASE_URL) are one server, known by the first. Never raises.
    """
    by_url: dict[str, Provider] = {}
    for provider in LOCAL_PROVIDERS:
        by_url.setdefault(base_url(provider, environ), provider)
    lists = await asyncio.gather(*(_model_list(provider, url, environ, timeout_s) for url, provider in by_url.items()))
    return [
        LocalServer(provider, url, models)
        for (url, provider), models in zip(by_url.items(), lists, strict=True)
        if models is not None
    ]


async def _model_list(
    provider: Provider, url: str, environ: Mapping[str, str], timeout_s: float
) -> tuple[str, ...] | None:
    """The ids at `url`; None when that is no server of this kind (other programs use these ports too)."""
    answer = await _fetch(f"{url}/models", local_api_key(provider, environ), timeout_s)
    if not isinstance(answer, Mapping) or not isinstance(answer.get("data"), list):
        return None
    return tuple(entry["id"] for entry in _entries(answer, "data") if isinstance(entry.get("id"), str))


async def discover_context_window(
    route: Route, environ: Mapping[str, str], timeout_s: float = WINDOW_TIMEOUT_S
) -> int | None:
    """The context window in tokens that a local server gives to the model of `route`; None if it does not say.

    Other routes are None at once. Never raises.
    """
    ask = _WINDOW_SOURCES.get(route.provider.window_source)
    if ask is None:
        return None
    url = base_url(route.provider, environ)
    key = local_api_key(route.provider, environ)

    async def fetch(path: str, body: Mapping[str, Any] | None = None) -> Any:
        root = url if path.startswith("/models") else url.removesuffix("/v1")
        return await _fetch(root + path, key, timeout_s, body)

    try:
        async with asyncio.timeout(timeout_s):
            return await ask(fetch, route.name)
    except TimeoutError:
        return None


Fetch = Callable[..., Awaitable[Any]]


async def _vllm_window(fetch: Fetch, model: str) -> int | None:
    answer = await fetch("/models")
    for entry in _entries(answer, "data"):
        if entry.get("id") == model:
            return _tokens(entry, "max_model_len", "context_length", "max_context_length")
    return None


async def _llamacpp_window(fetch: Fetch, model: str) -> int | None:
    answer = await fetch("/props")
    settings = answer.get("default_generation_settings") if isinstance(answer, Mapping) else None
    return _tokens(settings, "n_ctx")


async def _lm_studio_window(fetch: Fetch, model: str) -> int | None:
    answer = await fetch("/api/v0/models")
    for entry in _entries(answer, "data"):
        if entry.get("id") == model:
            return _tokens(entry, "loaded_context_length", "max_context_length")
    return None


async def _ollama_window(fetch: Fetch, model: str) -> int | None:
    """A loaded model tells; one that is not yet loaded only if its Modelfile or its own small limit decides."""
    full_name = model if ":" in model else f"{model}:latest"
    loaded = await fetch("/api/ps")
    for entry in _entries(loaded, "models"):
        if full_name in (entry.get("name"), entry.get("model")):
            return _tokens(entry, "context_length")
    shown = await fetch("/api/show", {"model": model})
    if not isinstance(shown, Mapping):
        return None
    info = shown.get("model_info")
    limit = None
    if isinstance(info, Mapping):
        limit = next((_tokens(info, name) for name in info if str(name).endswith(".context_length")), None)
    setting = re.search(r"^num_ctx\s+(\d{1,9})\s*$", str(shown.get("parameters") or ""), re.MULTILINE)
    if setting is not None and int(setting[1]) > 0:
        return min(int(setting[1]), limit or int(setting[1]))
    return limit if limit and limit < OLLAMA_CAUTION_TOKENS else None


_WINDOW_SOURCES: dict[str, Callable[[Fetch, str], Awaitable[int | None]]] = {
    "ollama": _ollama_window,
    "vllm": _vllm_window,
    "lm_studio": _lm_studio_window,
    "llamacpp": _llamacpp_window,
}


def _entries(answer: Any, name: str) -> Iterator[Mapping[str, Any]]:
    """The objects in the list `name` of `answer`, whatever came instead."""
    entries = answer.get(name) if isinstance(answer, Mapping) else None
    yield from (entry for entry in entries or () if isinstance(entry, Mapping)) if isinstance(entries, list) else ()


def _tokens(source: Any, *names: str) -> int | None:
    """The first of the fields that holds a number of tokens."""
    for name in names:
        value = source.get(name) if isinstance(source, Mapping) else None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


async def _fetch(url: str, key: str, timeout_s: float, body: Mapping[str, Any] | None = None) -> Any:
    """The JSON at `url` (POST with a body), None for anything but a timely answer 200 of reasonable size."""
    try:
        client = await asyncio.to_thread(_client, url, key, timeout_s)  # import and certificates take a while
        async with asyncio.timeout(timeout_s), client:
            method = "GET" if body is None else "POST"
            async with client.stream(method, url, json=body) as response:
                if response.status_code != 200:
                    return None
                content = b""
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > MAX_ANSWER_BYTES:
                        return None
            return json.loads(content)
    except Exception:  # the door to whatever listens there
        logger.debug("no usable answer from %s", url_host(url), exc_info=True)
        return None


def _client(url: str, key: str, timeout_s: float) -> Any:
    from agent.lean_httpx import httpx

    return httpx.AsyncClient(
        trust_env=not is_loopback(url),  # a proxy cannot reach this machine's own servers
        verify=url.startswith("https:"),
        timeout=timeout_s,
        headers={"Authorization": f"Bearer {key}"},
    )
