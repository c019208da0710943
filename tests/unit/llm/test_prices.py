"""What tokens cost, and that nobody ever pays a made-up nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from agent.llm.catalog import CatalogModel, CatalogProvider
from agent.llm.client import LLMClient
from agent.llm.prices import FREE, ModelPrice, listed_price, per_million, router_price
from agent.llm.stream import LLMResult, Usage
from tests.fakes.openai_server import FakeOpenAI


def row(name: str, input_usd: float | None, output_usd: float | None, is_live: bool = True) -> CatalogProvider:
    return CatalogProvider(name, is_live, 1000, input_usd, output_usd, True)


MODEL = CatalogModel(
    "org/model", (row("cheap", 1, 9), row("dear", 4, 8), row("dead", 50, 50, is_live=False), row("silent", None, None))
)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("cheap", per_million(1, 9)),
        ("dead", per_million(50, 50)),
        (None, per_million(4, 9, is_estimate=True)),
        ("cheapest", per_million(4, 9, is_estimate=True)),
        ("silent", None),
        ("elsewhere", None),
    ],
)
def test_the_router_price_is_of_who_serves_it_or_of_the_dearest(tag: str | None, expected: ModelPrice | None) -> None:
    assert router_price(MODEL, tag) == expected


def test_models_without_prices_have_none() -> None:
    assert router_price(None, None) is None
    assert router_price(CatalogModel("a/b", ()), None) is None
    assert router_price(CatalogModel("a/b", (row("x", 1, None),)), "x") is None


def test_cached_tokens_have_their_own_price() -> None:
    price = ModelPrice(3e-6, 15e-6, 0.3e-6, 3.75e-6)
    usage = Usage(1000, 100, 1100, cache_read_tokens=600, cache_creation_tokens=300)
    assert math.isclose(price.cost_usd(usage), 100 * 3e-6 + 600 * 0.3e-6 + 300 * 3.75e-6 + 100 * 15e-6)
    assert price.cost_usd(Usage(10, 0, 10, cache_read_tokens=20)) == 20 * 0.3e-6  # odd counts never make it negative


ROW: dict[str, Any] = {"input_cost_per_token": 3e-6, "output_cost_per_token": 15e-6}


@pytest.mark.parametrize(
    ("listed", "ttl", "expected"),
    [
        (ROW, "5m", ModelPrice(3e-6, 15e-6, 3e-6, 3e-6)),
        (ROW | {"cache_creation_input_token_cost": 4e-6}, "1h", ModelPrice(3e-6, 15e-6, 3e-6, 4e-6)),
        (
            ROW
            | {
                "cache_read_input_token_cost": 1e-6,
                "cache_creation_input_token_cost": 4e-6,
                "cache_creation_input_token_cost_above_1hr": 6e-6,
            },
            "1h",
            ModelPrice(3e-6, 15e-6, 1e-6, 6e-6),
        ),
        ({"input_cost_per_token": 0.0, "output_cost_per_token": 0.0}, "5m", None),
        ({"input_cost_per_token": 1e-6}, "5m", None),
        (None, "5m", None),
    ],
)
def test_the_listed_price(listed: Any, ttl: Any, expected: ModelPrice | None) -> None:
    assert listed_price(listed, ttl) == expected


def test_a_long_prompt_makes_the_whole_call_dearer() -> None:
    listed = ROW | {
        "cache_read_input_token_cost": 1e-6,
        "input_cost_per_token_above_272k_tokens": 6e-6,
        "output_cost_per_token_above_272k_tokens": 20e-6,
        "cache_read_input_token_cost_above_272k_tokens": 2e-6,
        "input_cost_per_token_above_272k_tokens_batches": 1e-6,
    }
    price = listed_price(listed)
    assert price is not None
    assert price.at(272_000) is price
    assert price.at(272_001) == ModelPrice(6e-6, 20e-6, 2e-6, 6e-6)
    assert price.cost_usd(Usage(300_000, 100)) == pytest.approx(300_000 * 6e-6 + 100 * 20e-6)
    assert price.cost_usd(Usage(1000, 100)) == pytest.approx(1000 * 3e-6 + 100 * 15e-6)


# --- the client's view -----------------------------------------------------------------------------------------------


def answered(**usage: Any) -> LLMResult:
    return LLMResult("ok", usage=Usage(1000, 100, 1100, **usage))


async def test_a_listed_model() -> None:
    client = LLMClient(environ={})
    model = "anthropic/claude-sonnet-4-5"
    assert client.cost_usd(model, answered()) is None  # nobody has asked for the price yet, and this may not block
    price = await client.price_of(model)
    assert price is not None
    assert 0 < price.cache_read_usd < price.input_usd < price.cache_write_usd < price.output_usd
    assert not price.is_estimate
    assert client.cost_usd(model, answered()) == price.cost_usd(Usage(1000, 100))
    assert client.cost_usd(model, LLMResult("ok")) is None  # no counts, no cost
    assert client.answer_limit_tokens(model) == 64_000


@pytest.mark.parametrize("model", ["anthropic/claude-opus-9-9", "openai/gpt-unheard-of", "litellm/chutes/x"])
async def test_unknown_models_have_no_price(model: str) -> None:
    client = LLMClient(environ={})
    assert await client.price_of(model) is None
    assert client.cost_usd(model, answered()) is None
    assert client.answer_limit_tokens(model) == 32_000


async def test_the_providers_own_figure_comes_first() -> None:
    client = LLMClient(environ={})
    for model in ("anthropic/claude-sonnet-4-5", "org/model", "ollama/m"):
        await client.price_of(model)
        assert client.cost_usd(model, answered(cost_usd=0.125)) == 0.125


async def test_local_models_cost_nothing() -> None:
    client = LLMClient(environ={})
    assert client.cost_usd("ollama/m", LLMResult("ok")) == 0.0
    assert await client.price_of("vllm/org/m") == FREE


def catalog_row(name: str, price: float) -> dict[str, Any]:
    return {"provider": name, "status": "live", "pricing": {"input": price, "output": 2 * price}}


async def test_a_router_model_costs_what_the_catalog_says(openai_server: FakeOpenAI) -> None:
    providers = [catalog_row("novita", 1.0), catalog_row("fal-ai", 3.0)]
    openai_server.models = ({"id": "org/Model", "providers": providers},)
    client = LLMClient("hf_token", {"HF_ROUTER_BASE_URL": openai_server.base_url})
    assert await client.price_of("org/Model:novita") == per_million(1, 2)
    assert await client.price_of("org/model") == per_million(3, 6, is_estimate=True)
    assert await client.price_of("org/other") is None
    assert client.cost_usd("org/Model:novita", answered()) == pytest.approx(0.0012)
    assert len(openai_server.requests) == 1


async def test_litellms_nothing_for_a_router_model_is_not_believed(openai_server: FakeOpenAI) -> None:
    client = LLMClient("hf_token", {"HF_ROUTER_BASE_URL": openai_server.base_url})
    assert await client.price_of("anthropic/claude-opus-4.8:fal-ai") is None


async def test_the_router_is_not_asked_without_a_token(openai_server: FakeOpenAI) -> None:
    assert await LLMClient(None, {"HF_ROUTER_BASE_URL": openai_server.base_url}).price_of("org/model") is None
    assert openai_server.requests == []


async def test_a_script_may_have_a_price(tmp_path: Path) -> None:
    path = tmp_path / "script.jsonl"
    path.write_text('{"price": {"input_usd_per_million": 2, "output_usd_per_million": 10}}\n{"text": "a"}')
    client = LLMClient()
    assert client.cost_usd(f"replay/{path}", answered()) == pytest.approx(0.003)
    assert await client.price_of(f"replay/{path}") == per_million(2, 10)
    assert await client.price_of("replay/demo") == FREE
    assert await client.price_of("replay/no-such-script") == FREE  # the call itself will say so
