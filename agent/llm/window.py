"""How many tokens a model can take at once, from whoever knows best (spec llm.md §8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.light_dataclass import dataclass
from agent.llm.catalog import CatalogModel
from agent.llm.client import LLMClient
from agent.llm.local import discover_context_window
from agent.llm.prices import ROUTING_POLICIES
from agent.llm.providers import RouteKind
from agent.llm.routes import Route, resolve_route

DEFAULT_WINDOW_TOKENS = 200_000
UNKNOWN_LOCAL_WINDOW_TOKENS = 32_768
COMFORTABLE_TOKENS = 64_000
"""Below this an agent spends its time forgetting."""


@dataclass(frozen=True, slots=True)
class Window:
    """A context window in tokens, where the number comes from, and what the person should know about it."""

    tokens: int
    source: str
    warning: str = ""


async def resolve_window(
    model: str, *, configured: int | None, environ: Mapping[str, str], client: LLMClient
) -> Window:
    """The context window of `model`.

    The setting `context_window` (`configured`: a file, a flag or ML_INTERN_CONTEXT_WINDOW) comes first, then who serves
    the model: a local server, the HF router's catalog, a replay script; then litellm's table; then a guess. Never
    raises, except `UnknownModelError`; may take 5 s where the network is slow.
    """
    route = resolve_route(model)
    if configured:
        return Window(configured, "the setting context_window")
    if route.provider.is_local:
        return _local_window(route, await discover_context_window(route, environ))
    if tokens := client.scripted_window(model):
        return Window(tokens, "the replay script")
    if route.provider.kind is RouteKind.ROUTER:
        tokens = _catalog_tokens(await client.catalog_entry(route), route.tag)
        return Window(tokens, "the HF router's catalog") if tokens else Window(DEFAULT_WINDOW_TOKENS, "a guess")
    tokens = _listed_tokens(await client.table_row(route))
    return Window(tokens, "litellm's table") if tokens else Window(DEFAULT_WINDOW_TOKENS, "a guess")


def _local_window(route: Route, tokens: int | None) -> Window:
    label = route.provider.label
    is_ollama = route.provider.window_source == "ollama"
    remedy = (
        "start it with OLLAMA_CONTEXT_LENGTH=65536 or more, as it cuts longer conversations without a word"
        if is_ollama
        else "set context_window to the number of tokens it was started with"
    )
    if tokens is None:
        unknown = UNKNOWN_LOCAL_WINDOW_TOKENS
        return Window(
            unknown,
            "a guess",
            f"{label} does not say how long a conversation {route.name} takes; reckoning with {unknown:,} tokens. "
            f"If that is wrong, {'set context_window, and ' if is_ollama else ''}{remedy}.",
        )
    warning = f"{label} gives {route.name} a context window of only {tokens:,} tokens: {remedy}."
    return Window(tokens, label, warning if is_ollama and tokens < COMFORTABLE_TOKENS else "")


def _catalog_tokens(model: CatalogModel | None, tag: str | None) -> int | None:
    """The pinned provider's window, else the smallest of those the router may choose: live ones that take tools."""
    if model is None:
        return None
    if tag is not None and tag not in ROUTING_POLICIES:
        pinned = model.provider(tag)
        return pinned.context_tokens if pinned else None
    able = [provider for provider in model.live_providers if provider.supports_tools is not False]
    return min((p.context_tokens for p in able or model.live_providers if p.context_tokens), default=None)


def _listed_tokens(row: Mapping[str, Any] | None) -> int | None:
    tokens = (row or {}).get("max_input_tokens")
    return tokens if isinstance(tokens, int) and tokens > 0 else None
