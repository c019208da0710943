"""What work elsewhere costs, and how that enters the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agent.budget.ledger import BudgetExceeded, Ledger
from agent.core.work_costs import Bill, Hold, billed_s, cost_usd, most_usd
from agent.protocol.compute import Status
from agent.protocol.events import ToolCharge
from tests.unit.core.desks import Side

BEGAN = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def bill(usd_per_hour: float | None = 1.0, most: float = 2.0) -> Bill:
    return Bill("s1", "call1", "lease1", "hf_jobs", usd_per_hour, most)


def held(side: Side, usd: float | None = 2.0) -> Hold:
    reservation = side.ledger.reserve("hf_jobs", usd, worst_usd=80.0, must_fit=False, reservation_id="call1")
    return Hold(side.ledger, reservation)


def test_the_most_that_work_can_cost_is_its_time_limit_or_an_hour_where_it_has_none() -> None:
    assert most_usd(1.5, 7200.0) == 3.0
    assert most_usd(1.5, None) == 1.5
    assert most_usd(None, 60.0) == 80.0
    assert most_usd(0.0, 60.0) == 0.0


def test_time_is_the_places_own_or_what_lies_between_beginning_and_end() -> None:
    assert billed_s(Status("completed", billed_s=12.0), until=BEGAN) == 12.0
    assert billed_s(Status("completed", started_at=BEGAN, ended_at=BEGAN + HOUR), until=BEGAN + 2 * HOUR) == 3600.0
    assert billed_s(Status("running", started_at=BEGAN), until=BEGAN + HOUR) == 3600.0
    assert billed_s(Status("running"), until=BEGAN + HOUR, since=BEGAN) == 3600.0
    assert billed_s(Status("gone"), until=BEGAN) is None


def test_what_nobody_knows_is_not_free_and_what_is_free_is_known() -> None:
    assert cost_usd(None, 3600.0) is None
    assert cost_usd(1.0, None) is None
    assert cost_usd(0.0, None) == 0.0
    assert cost_usd(2.0, 1800.0) == 1.0


async def test_what_was_held_is_charged_with_what_it_really_cost() -> None:
    side, its = Side(), bill()
    its.take(side, held(side))
    assert side.ledger.reserved_usd == 2.0
    await its.settle(side, 0.5, final=True)
    await its.settle(side, 0.5, final=True)
    assert side.charged_leases == {"lease1": 0.5}
    assert (side.ledger.spent_usd, side.ledger.reserved_usd, its.is_paid) == (0.5, 0.0, True)
    assert side.charges == [ToolCharge("hf_jobs", "call1", 0.5, 0.5, True)]


async def test_an_unknown_cost_keeps_the_worst_case_and_a_measured_nothing_is_nothing() -> None:
    side, its = Side(), bill(None)
    its.take(side, held(side, None))
    await its.settle(side, None, final=True)
    assert side.charges == [ToolCharge("hf_jobs", "call1", None, 80.0, False)]
    side, its = Side(), bill()
    its.take(side, held(side))
    await its.settle(side, 0.0, final=True)
    assert side.charges == [ToolCharge("hf_jobs", "call1", 0.0, 0.0, True)]
    assert side.ledger.unknown_usd == 0.0


async def test_a_crossed_threshold_is_told() -> None:
    side, its = Side(ledger=Ledger(1.0)), bill()
    its.reserve(side)
    await its.settle(side, 0.9, final=True)
    assert [warning.share for warning in side.warnings] == [80]


async def test_hours_are_charged_one_by_one_and_the_end_with_what_is_left() -> None:
    side, its = Side(), bill(1.0, 1.0)
    its.take(side, held(side, 1.0))
    await its.settle(side, 0.95, final=False)
    its.reserve(side, must_fit=True)
    assert (side.ledger.spent_usd, side.ledger.reserved_usd, its.is_paid) == (0.95, 1.0, False)
    await its.settle(side, 1.25, final=True)
    assert side.charged == pytest.approx([0.95, 0.3])
    assert (side.ledger.spent_usd, side.ledger.reserved_usd) == (pytest.approx(1.25), 0.0)


def test_another_hour_that_does_not_fit_is_refused_and_nothing_is_held() -> None:
    side, its = Side(ledger=Ledger(1.5)), bill(2.0, 2.0)
    with pytest.raises(BudgetExceeded):
        its.reserve(side, must_fit=True)
    assert its.hold is None
    its.reserve(side)  # what runs already counts, whether it fits or not
    assert side.ledger.reserved_usd == 2.0


async def test_another_conversations_work_is_counted_there_and_charged_when_that_is_back() -> None:
    side, its = Side(), bill()
    its.take(side, held(side))
    side.session_id, side.ledger = "s2", Ledger(10.0)
    its.reserve(side)
    assert side.ledger.reserved_usd == 2.0
    await its.settle(side, 0.5, final=True)
    await its.settle(side, 0.5, final=True)
    assert side.others == [("s1", 0.5)]
    assert (its.is_paid, side.charged, side.ledger.reserved_usd, side.ledger.spent_usd) == (False, [], 0.0, 0.0)
    side.session_id, side.ledger = "s1", Ledger(10.0)
    await its.settle(side, 0.5, final=True)
    assert (its.is_paid, side.charged, side.ledger.spent_usd) == (True, [0.5], 0.5)
    assert side.ledger.spent_here_usd == 0.0, "the run has counted it already"


def test_another_conversations_work_does_not_count_under_a_cap_that_is_that_conversations_own() -> None:
    side, its = Side(session_id="s2", cap_is_of_run=False), bill()
    its.reserve(side)
    assert side.ledger.reserved_usd == 0.0


async def test_a_hold_of_an_old_ledger_is_moved() -> None:
    side, its = Side(), bill()
    old = held(side)
    side.ledger = Ledger(10.0)
    its.take(side, old)
    assert (old.ledger.reserved_usd, side.ledger.reserved_usd) == (0.0, 2.0)


async def test_what_is_free_is_charged_only_if_something_was_held() -> None:
    side, its = Side(), bill(0.0, 0.0)
    its.reserve(side)
    await its.settle(side, 0.0, final=True)
    assert (its.is_paid, side.events) == (True, [])
