"""The most that something can cost."""

from __future__ import annotations

import pytest

from agent.budget.estimates import model_call_usd, unknown_call_usd
from agent.llm.prices import ModelPrice

DEAR = ModelPrice(input_usd=30e-6, output_usd=180e-6, cache_read_usd=3e-6, cache_write_usd=30e-6)


def test_a_known_price_at_its_worst_writes_the_whole_prompt_to_the_cache() -> None:
    price = ModelPrice(input_usd=5e-6, output_usd=25e-6, cache_read_usd=0.5e-6, cache_write_usd=6.25e-6)
    usd, _ = model_call_usd(price, 100_000, 32_000)
    assert usd == pytest.approx(0.625 + 0.8)


def test_free_is_known_to_be_free() -> None:
    assert model_call_usd(ModelPrice(0.0, 0.0, 0.0, 0.0), 100_000, 32_000)[0] == 0.0


def test_an_unknown_price_counts_higher_than_a_dear_model() -> None:
    usd, worst_usd = model_call_usd(None, 100_000, 32_000)
    dear_usd, dear_worst_usd = model_call_usd(DEAR, 100_000, 32_000)
    assert usd is None
    assert dear_usd is not None
    assert worst_usd == dear_worst_usd == unknown_call_usd(100_000, 32_000) > dear_usd
