"""Sums of money: exact inside, never vanishing outside."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.budget.money import in_usd, micro
from agent.protocol.money import format_usd


@pytest.mark.parametrize(
    ("usd", "expected"),
    [(0, 0), (-0.0, 0), (0.00004, 40), (0.1 + 0.2, 300_000), (5, 5_000_000), (0.0000011, 2), (1e-12, 1), (5e-324, 1)],
)
def test_whole_micro_dollars_rounded_up(usd: float, expected: int) -> None:
    assert micro(usd) == expected


@pytest.mark.parametrize("usd", [math.nan, math.inf, -math.inf, -0.01, True, False])
def test_what_is_no_sum_is_refused(usd: float) -> None:
    with pytest.raises(ValueError, match="not a sum of money"):
        micro(usd)


@given(st.integers(min_value=0, max_value=10**14))
def test_shown_and_read_again_it_is_the_same_sum(amount_micro: int) -> None:
    assert micro(in_usd(amount_micro)) == amount_micro


@given(st.floats(min_value=0, max_value=1e9))
def test_never_less_than_the_float_beyond_its_noise_and_never_a_micro_dollar_more(usd: float) -> None:
    assert usd * 1e6 - 1e-5 * max(1.0, usd) <= micro(usd) <= usd * 1e6 + 1 + 1e-5 * max(1.0, usd)


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0, "$0.00"),
        (0.00001, "<$0.0001"),
        (0.0123, "$0.0123"),
        (0.5, "$0.50"),
        (1.234, "$1.23"),
        (12_345.6, "$12,345.60"),
    ],
)
def test_sums_for_people(usd: float, text: str) -> None:
    assert format_usd(usd) == text
    assert format_usd(usd, known=False) == f"up to {text} (price unknown)"
