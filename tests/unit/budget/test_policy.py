"""Whether compute that costs money may start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.budget.estimates import UNKNOWN_COMPUTE_USD
from agent.budget.ledger import BudgetExceeded, Ledger
from agent.budget.policy import BillableDecision, approve_billable, reserve_billable
from agent.protocol.tools import CostEstimate


def decide(
    cap_usd: float | None, usd: float | None, *, headless: bool = False, no_budget: bool = False
) -> BillableDecision:
    return approve_billable(
        Ledger(cap_usd), CostEstimate(usd, "a100-large for 2 h"), headless=headless, no_budget=no_budget
    )


def test_headless_compute_needs_a_cap_or_a_word_that_it_needs_none() -> None:
    for usd in (8.0, None):
        denied = decide(None, usd, headless=True)
        assert denied.kind == "deny"
        assert "--max-cost-usd" in denied.reason
        assert "--no-budget" in denied.reason
        assert "a100-large for 2 h" in denied.reason
        assert decide(None, usd, headless=True, no_budget=True).kind == "ok"


@pytest.mark.parametrize("headless", [True, False])
def test_what_fits_runs_and_what_exceeds_the_rest_does_not(headless: bool) -> None:
    assert decide(8.0, 8.0, headless=headless) == BillableDecision("ok", "", 8.0, 8.0)
    denied = decide(5.0, 8.0, headless=headless)
    assert (denied.kind, denied.estimated_usd, denied.remaining_usd) == ("deny", 8.0, 5.0)
    for words in ("a100-large for 2 h", "exceeds", "$8.00", "$5.00"):
        assert words in denied.reason


def test_a_cap_holds_whatever_no_budget_says() -> None:
    assert decide(5.0, 8.0, headless=True, no_budget=True).kind == "deny"


def test_an_unknown_price_under_a_cap_is_for_a_person() -> None:
    asked = decide(5.0, None)
    assert (asked.kind, asked.estimated_usd, asked.remaining_usd) == ("ask", None, 5.0)
    assert "unknown" in asked.reason
    assert decide(5.0, None, headless=True).kind == "deny"
    assert decide(0.0, None).kind == "deny", "nobody is asked for what the ledger would refuse"


def test_without_a_cap_a_person_at_the_terminal_is_not_held_up() -> None:
    assert decide(None, 8.0) == BillableDecision("ok", "", 8.0, None)
    assert decide(None, None).kind == "ok"


@pytest.mark.parametrize("cap_usd", [None, 0.0])
def test_what_is_free_runs(cap_usd: float | None) -> None:
    assert decide(cap_usd, 0.0, headless=True).kind == "ok"


def test_an_unknown_price_that_a_person_approved_holds_its_worst_case() -> None:
    ledger = Ledger(5.0)
    reservation = reserve_billable(ledger, "job", CostEstimate(None))
    assert not reservation.known
    assert ledger.reserved_usd == UNKNOWN_COMPUTE_USD
    with pytest.raises(BudgetExceeded):
        reserve_billable(ledger, "job", CostEstimate(None))


@given(
    cap=st.integers(min_value=0, max_value=20),
    batch=st.lists(st.integers(min_value=0, max_value=10), max_size=10),
)
def test_a_batch_cannot_jointly_exceed_the_cap(cap: int, batch: list[int]) -> None:
    ledger = Ledger(cap)
    for usd in batch:
        estimate = CostEstimate(usd)
        if approve_billable(ledger, estimate, headless=True, no_budget=False).kind == "ok":
            reserve_billable(ledger, "job", estimate)
    assert ledger.reserved_usd <= cap
