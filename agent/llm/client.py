"""The model client: one function with litellm's call shape, and behind it the backend that serves the model.

    acompletion ── backend_name(route) ──> litellm_backend | OpenAICompatible | ReplayBackend

`LLMClient.acompletion` yields deltas and raises whatever its backend raises; `agent.llm.calls.complete` adds retries,
typed failures and assembly, and is what the rest of the program calls.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.llm import litellm_backend
from agent.llm.backends import Backend, BackendName, BackendSetting, backend_name
from agent.llm.catalog import CatalogModel, RouterCatalog
from agent.llm.failures import FailureKind, LLMCallError, LLMFailure, ProviderError
from agent.llm.params import _resolve_llm_params, base_url, missing_credentials, resolve_route
from agent.llm.price_table import table_row
from agent.llm.prices import FREE, ModelPrice, listed_price, router_price
from agent.llm.prompt_caching import CacheTtl, with_prompt_cache_params, with_prompt_caching
from agent.llm.providers import HF_ROUTER, RouteKind
from agent.llm.replay import ReplayBackend, ReplayScript
from agent.llm.routes import Route
from agent.llm.stream import Delta, LLMResult

if TYPE_CHECKING:
    from agent.llm.openai_compatible import OpenAICompatible

logger = logging.getLogger(__name__)

UNKNOWN_ANSWER_TOKENS = 32_000
"""The longest answer to reckon with where nobody knows."""


class LLMClient:
    """Model access of one session: token, prices, places in replay scripts. Safe to share with sub-agents."""

    def __init__(
        self,
        hf_token: str | None = None,
        environ: Mapping[str, str] | None = None,
        session_id: str = "",
        *,
        cache_dir: Path | None = None,
        cache_ttl: CacheTtl = "5m",
        backend: BackendSetting = "auto",
    ) -> None:
        """`environ` is read at each call (keys, base URLs); by default the process environment.

        `session_id` keeps the calls of a session together at the HF router and may be set anew; `cache_dir` holds the
        router's catalog between runs; `cache_ttl` is how long Anthropic keeps a prompt cached; `backend` is the setting
        `llm_backend`. Close it with `aclose`.
        """
        self.hf_token = hf_token
        self.environ = os.environ if environ is None else environ
        self.session_id = session_id
        self.cache_ttl = cache_ttl
        self.catalog = RouterCatalog(lambda: base_url(HF_ROUTER, self.environ), cache_dir)
        self.on_first_sent: Callable[[], None] | None = None
        """Called when the first request to a model has left."""
        self._backend_setting = backend
        self._replay = ReplayBackend()
        self._openai_compatible: OpenAICompatible | None = None
        self._prices: dict[str, ModelPrice] = {}
        self._charging: set[str] = set()
        """Models that should be free, and have reported a cost."""
        self._answered: set[str] = set()
        self._rows: dict[str, Mapping[str, Any] | None] = {}

    async def acompletion(
        self,
        *,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        tool_choice: str = "auto",
        stream: bool = True,
        reasoning_effort: str | None = None,
        max_tokens: int | None = None,
        drop_params: bool = True,
    ) -> AsyncGenerator[Delta, None]:
        """One request to `model` (an id as the person writes it), as deltas; without `stream` mostly a single one.

        `messages` are in wire form; what is a `WireObject` among them and `tools` is encoded once.
        `max_tokens` limits the answer; with `drop_params` litellm leaves out what it thinks the model does not take.
        Raises `LLMCallError` before anything is sent when credentials are missing, else the backend's exceptions.
        """
        route = resolve_route(model)
        if problem := missing_credentials(route, self.environ, self.hf_token):
            raise LLMCallError(LLMFailure(FailureKind.NO_CREDENTIALS, problem))
        params = _resolve_llm_params(model, self.hf_token, reasoning_effort, environ=self.environ)
        params = with_prompt_cache_params(params, session_id=self.session_id, environ=self.environ)
        messages, tools = with_prompt_caching(messages, tools, params, ttl=self.cache_ttl, environ=self.environ)
        request = {
            "messages": list(messages),
            "tools": list(tools),
            "tool_choice": tool_choice,
            "stream": stream,
            "max_tokens": max_tokens,
            "drop_params": drop_params,
        }
        deltas = self._backend(route).stream(params, request, self._sent)
        try:
            async for delta in deltas:
                yield delta
            self._answered.add(model)
        finally:
            await deltas.aclose()

    def _sent(self) -> None:
        """A request has left."""
        tell, self.on_first_sent = self.on_first_sent, None
        if tell is not None:
            tell()

    def _backend(self, route: Route) -> Backend:
        """Who serves `route`."""
        name = backend_name(route, self.environ, self._backend_setting)
        if name is BackendName.REPLAY:
            return self._replay
        return litellm_backend if name is BackendName.LITELLM else self._http()

    def _http(self) -> OpenAICompatible:
        if self._openai_compatible is None:
            from agent.llm.openai_compatible import OpenAICompatible

            self._openai_compatible = OpenAICompatible()
        return self._openai_compatible

    async def aclose(self) -> None:
        """Let go of the connections held."""
        if self._openai_compatible is not None:
            await self._openai_compatible.aclose()

    def has_answered(self, model: str) -> bool:
        """Whether `model` has given a whole answer before: address and key are right, whatever happens now."""
        return model in self._answered

    # --- money and limits ---------------------------------------------------------------------------------------------

    async def price_of(self, model: str) -> ModelPrice | None:
        """What tokens of `model` cost; None where nobody knows. A price once known holds as long as this client, unless
        a server that should be free turns out to charge.

        HF router: its catalog (the network, at most 5 s); other providers: litellm's bundled table.
        """
        if model in self._charging:
            return None
        if model not in self._prices:
            route = resolve_route(model)
            price = self._own_price(route)
            if price is None and route.provider.kind is RouteKind.ROUTER:
                price = router_price(await self.catalog_entry(route), route.tag)
            elif price is None:
                price = listed_price(await self.table_row(route), self.cache_ttl)
            if price is None:
                return None
            self._prices[model] = price
        return self._prices[model]

    def known_price(self, model: str) -> ModelPrice | None:
        """The price of `model` as far as it is known without asking; see `price_of`."""
        if model in self._charging:
            return None
        return self._prices.get(model) or self._own_price(resolve_route(model))

    def cost_usd(self, model: str, result: LLMResult) -> float | None:
        """What a call cost: the provider's own figure, else by the price that `price_of` found; None if unknown."""
        usage = result.usage
        price = self._prices.get(model) or self._own_price(resolve_route(model))
        if usage is not None and usage.cost_usd is not None:
            if usage.cost_usd and price == FREE:
                self._charging.add(model)
            return usage.cost_usd
        if price == FREE:
            return 0.0
        return price.cost_usd(usage) if price and usage else None

    def answer_limit_tokens(self, model: str) -> int:
        """The most tokens that one answer of `model` can have, once `price_of` was asked; 32,000 where nobody knows."""
        route = resolve_route(model)
        known = (self._rows.get(route.litellm_model) or {}).get("max_output_tokens")
        if not isinstance(known, int) or known <= 0:
            return UNKNOWN_ANSWER_TOKENS
        is_anthropic = route.litellm_model.startswith("anthropic/")
        return min(known, litellm_backend.ANTHROPIC_MAX_TOKENS) if is_anthropic else known

    def scripted_window(self, model: str) -> int | None:
        """The context window in tokens that a replay script names; None for everything else."""
        script = self._script_if_any(resolve_route(model))
        return script.window_tokens if script else None

    def _own_price(self, route: Route) -> ModelPrice | None:
        """The price of what runs on this machine."""
        if route.provider.kind is RouteKind.REPLAY:
            script = self._script_if_any(route)
            return script.price if script else FREE
        return FREE if route.provider.is_local else None

    def _script_if_any(self, route: Route) -> ReplayScript | None:
        """The script of a replay route; None too if it cannot be read, which the call itself reports."""
        if route.provider.kind is not RouteKind.REPLAY:
            return None
        try:
            return self._replay.script(route.litellm_model)
        except ProviderError:
            return None

    # --- what others know of a model ----------------------------------------------------------------------------------

    async def catalog_entry(self, route: Route) -> CatalogModel | None:
        """What the HF router says of a model of its own. Without a token for it nothing is asked."""
        if route.provider.kind is not RouteKind.ROUTER or missing_credentials(route, self.environ, self.hf_token):
            return None
        return await self.catalog.lookup(route.name)

    async def table_row(self, route: Route) -> Mapping[str, Any] | None:
        """What litellm's table says of a model it serves itself; None for local, router and replay models."""
        if route.provider.kind not in (RouteKind.DIRECT, RouteKind.ANYTHING):
            return None
        name = route.litellm_model
        if name not in self._rows:
            try:
                self._rows[name] = await asyncio.to_thread(_listed_row, name)
            except Exception:  # the door to litellm: a broken installation is reported by the first call
                logger.warning("litellm's table of models cannot be read", exc_info=True)
                return None
        return self._rows[name]


def _listed_row(name: str) -> Mapping[str, Any] | None:
    try:
        return table_row(name)
    except OSError:  # another litellm may keep its table elsewhere
        return litellm_backend.table_row(name)
