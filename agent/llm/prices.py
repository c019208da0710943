"""What tokens cost: a price per model, from whoever knows it, and the cost of a call made from it.

An unknown price is None, never 0: only models on the person's own machine cost nothing (spec llm.md §6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.light_dataclass import dataclass
from agent.llm.catalog import CatalogModel, CatalogProvider
from agent.llm.prompt_caching import CacheTtl
from agent.llm.stream import Usage

ROUTING_POLICIES = frozenset({"fastest", "cheapest", "preferred"})
"""Tags of router ids that name no provider."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """USD per token. `is_estimate`: the provider is not known beforehand, so this is the dearest that may serve it.

    Some providers charge more for the whole call, `long`, when its prompt has more than `long_above_tokens`.
    """

    input_usd: float
    output_usd: float
    cache_read_usd: float
    cache_write_usd: float
    is_estimate: bool = False
    long_above_tokens: int = 0
    long: ModelPrice | None = None

    def at(self, prompt_tokens: int) -> ModelPrice:
        """The price of a call with a prompt of this length."""
        return self.long if self.long is not None and prompt_tokens > self.long_above_tokens else self

    def cost_usd(self, usage: Usage) -> float:
        """What `usage` costs at this price."""
        price = self.at(usage.prompt_tokens)
        plain = max(0, usage.prompt_tokens - usage.cache_read_tokens - usage.cache_creation_tokens)
        return (
            plain * price.input_usd
            + usage.cache_read_tokens * price.cache_read_usd
            + usage.cache_creation_tokens * price.cache_write_usd
            + usage.completion_tokens * price.output_usd
        )


FREE = ModelPrice(0.0, 0.0, 0.0, 0.0)


def per_million(input_usd: float, output_usd: float, *, is_estimate: bool = False) -> ModelPrice:
    """The price for USD per million tokens, where caching has no price of its own."""
    per_token = input_usd / 1e6
    return ModelPrice(per_token, output_usd / 1e6, per_token, per_token, is_estimate)


def router_price(model: CatalogModel | None, tag: str | None) -> ModelPrice | None:
    """The price of a router model: of the provider that `tag` pins, else of the dearest live one."""
    if model is None:
        return None
    if tag is not None and tag not in ROUTING_POLICIES:
        pinned = model.provider(tag)
        return _dearest([pinned], is_estimate=False) if pinned else None
    return _dearest(model.live_providers, is_estimate=True)


def _dearest(providers: Sequence[CatalogProvider], *, is_estimate: bool) -> ModelPrice | None:
    inputs = [p.input_usd_per_million for p in providers if p.input_usd_per_million is not None]
    outputs = [p.output_usd_per_million for p in providers if p.output_usd_per_million is not None]
    return per_million(max(inputs), max(outputs), is_estimate=is_estimate) if inputs and outputs else None


_LONG = re.compile(r"input_cost_per_token(_above_(\d+)k_tokens)")


def listed_price(row: Mapping[str, Any] | None, ttl: CacheTtl = "5m") -> ModelPrice | None:
    """The price in a row of litellm's table; None without one, or where it says 0: placeholders look like that.

    A cache that lives an hour (`ttl`) is dearer to write.
    """
    if not row or not row.get("input_cost_per_token") or row.get("output_cost_per_token") is None:
        return None
    price = _tier(row, "", ttl)
    steps = [(int(match[2]) * 1000, match[1]) for name in row if (match := _LONG.fullmatch(name)) and row[name]]
    if not steps:
        return price
    above_tokens, suffix = min(steps)
    return replace(price, long_above_tokens=above_tokens, long=_tier(row, suffix, ttl))


def _tier(row: Mapping[str, Any], suffix: str, ttl: CacheTtl) -> ModelPrice:
    """The prices whose names end in `suffix`; what has none of its own there costs what it costs elsewhere."""

    def usd(name: str) -> float:
        return float(row.get(name + suffix) or row.get(name) or 0.0)

    plain = usd("input_cost_per_token")
    write = usd("cache_creation_input_token_cost")
    long_lived = usd("cache_creation_input_token_cost_above_1hr") if ttl == "1h" else 0.0
    return ModelPrice(
        input_usd=plain,
        output_usd=usd("output_cost_per_token"),
        cache_read_usd=usd("cache_read_input_token_cost") or plain,
        cache_write_usd=long_lived or write or plain,
    )
