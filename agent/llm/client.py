"""The model client: one function with litellm's call shape, and behind it the backend that serves the model.

`LLMClient.acompletion` yields deltas and raises whatever its backend raises; `agent.llm.calls.complete` adds retries,
typed failures and assembly, and is what the rest of the program calls.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from agent.llm.failures import FailureKind, LLMCallError, LLMFailure
from agent.llm.params import _resolve_llm_params, missing_credentials, needs_litellm, resolve_route
from agent.llm.providers import RouteKind
from agent.llm.replay import ReplayScript, script_path
from agent.llm.stream import Delta, LLMResult


class LLMClient:
    """Model access of one session: the HF token and the places in replay scripts. Safe to share with sub-agents."""

    def __init__(self, hf_token: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        """`environ` is read at each call (keys, base URLs); by default the process environment."""
        self.hf_token = hf_token
        self.environ = os.environ if environ is None else environ
        self._scripts: dict[str, ReplayScript] = {}

    async def acompletion(
        self,
        *,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        tool_choice: str = "auto",
        stream: bool = True,
        reasoning_effort: str | None = None,
    ) -> AsyncIterator[Delta]:
        """One request to `model` (an id as the person writes it), as deltas; without `stream` a single one.

        Raises `LLMCallError` before anything is sent when credentials are missing, else the backend's exceptions.
        """
        route = resolve_route(model)
        if problem := missing_credentials(route, self.environ, self.hf_token):
            raise LLMCallError(LLMFailure(FailureKind.NO_CREDENTIALS, problem))
        if not needs_litellm(route):
            async for delta in self._script(route.litellm_model).stream(messages):
                yield delta
            return
        from agent.llm import litellm_backend

        params = _resolve_llm_params(model, self.hf_token, reasoning_effort, environ=self.environ)
        request = {"messages": list(messages), "tools": list(tools), "tool_choice": tool_choice, "stream": stream}
        deltas = litellm_backend.stream(params, request)
        try:
            async for delta in deltas:
                yield delta
        finally:
            await deltas.aclose()  # type: ignore[attr-defined]

    def _script(self, name: str) -> ReplayScript:
        if name not in self._scripts:
            self._scripts[name] = ReplayScript(script_path(name))
        return self._scripts[name]

    def cost_usd(self, model: str, result: LLMResult) -> float | None:
        """What a call cost: the provider's own figure, 0 for local and replay models, the price list, else None.

        HF router ids are unknown to the price list, and it lists some of them at 0: never believed (spec llm.md §6).
        """
        route = resolve_route(model)
        if result.usage is not None and result.usage.cost_usd is not None:
            return result.usage.cost_usd
        if route.provider.is_local or not needs_litellm(route):
            return 0.0
        if result.usage is None or route.provider.kind is RouteKind.ROUTER:
            return None
        from agent.llm import litellm_backend

        return litellm_backend.price_usd(route.litellm_model, result.usage)
