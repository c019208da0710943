"""Warnings: each threshold once, in order, the highest where one charge passes several."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.budget.ledger import Ledger
from agent.budget.thresholds import BudgetWarning

SUMS = st.lists(st.integers(min_value=0, max_value=3_000_000).map(lambda amount: amount / 1e6), max_size=40)


def spend(ledger: Ledger, usd: float) -> BudgetWarning | None:
    return ledger.settle(ledger.reserve("main", usd, must_fit=False), usd).warning


def share(ledger: Ledger, usd: float) -> int | None:
    warning = spend(ledger, usd)
    return None if warning is None else warning.share


def test_shares_of_the_cap() -> None:
    ledger = Ledger(10.0)
    assert [share(ledger, usd) for usd in (4.99, 0.01, 2.99, 0.01, 1.49, 0.01, 0.4)] == [
        None,
        50,
        None,
        80,
        None,
        95,
        None,
    ]


def test_one_charge_past_several_tells_the_highest() -> None:
    ledger = Ledger(10.0)
    assert [share(ledger, usd) for usd in (8.5, 0.5, 0.6)] == [80, None, 95]


def test_a_used_up_budget_is_called_so() -> None:
    warning = spend(Ledger(1.0), 1.5)
    assert warning == BudgetWarning("The budget is used up: $1.50 of $1.00 spent.", 95)


def test_a_new_cap_counts_what_lies_behind_as_told_and_tells_its_own_shares() -> None:
    ledger = Ledger(10.0)
    assert share(ledger, 9.6) == 95
    ledger.set_cap(100.0)
    assert [share(ledger, usd) for usd in (10.0, 31.0)] == [None, 50]
    ledger.set_cap(60.0)
    assert [share(ledger, usd) for usd in (0.1, 7.0)] == [None, 95]


def test_a_cap_of_nothing_has_no_shares() -> None:
    assert spend(Ledger(0.0), 0.0) is None


@pytest.mark.parametrize(
    ("before", "charge", "passed"),
    [(0, 4.99, None), (4.99, 0.01, 5), (5, 4.99, None), (5, 5, 10), (10, 2.25, None), (4, 8.25, 10), (15, 25, 40)],
)
def test_doubling_sums_without_a_cap(before: float, charge: float, passed: int | None) -> None:
    ledger = Ledger()
    ledger.charge_earlier("main", before, known=True)
    warning = spend(ledger, charge)
    if passed is None:
        assert warning is None
    else:
        assert warning is not None
        assert warning.share == 0
        assert f"past ${passed};" in warning.text


def test_a_warning_owns_up_to_worst_cases() -> None:
    ledger = Ledger(10.0)
    warning = ledger.settle(ledger.reserve("main", None, worst_usd=6.0, must_fit=False), None).warning
    assert warning is not None
    assert "$6.00 of what is spent is a worst case" in warning.text


@given(cap=st.integers(min_value=1, max_value=20_000_000), sums=SUMS)
def test_each_share_once_and_in_order_and_the_last_told_is_the_highest_reached(cap: int, sums: list[float]) -> None:
    ledger = Ledger()
    ledger.set_cap(cap / 1e6)
    told: list[int] = []
    for usd in sums:
        if usd and ledger.is_exhausted:
            break
        warning = spend(ledger, usd)
        told += [warning.share] if warning else []
    assert told == sorted(set(told))
    reached = [share for share in (50, 80, 95) if round(ledger.spent_usd * 1e6) * 100 >= share * cap]
    assert told[-1:] == reached[-1:]


@given(SUMS)
def test_each_doubling_sum_once(sums: list[float]) -> None:
    ledger = Ledger()
    texts = [warning.text for usd in sums if (warning := spend(ledger, usd))]
    assert len(texts) == len(set(texts))
    assert bool(texts) == (ledger.spent_usd >= 5)
