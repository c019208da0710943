"""The ledger, case by case; tests/unit/budget/test_ledger_properties.py has what holds for any course of events."""

from __future__ import annotations

import pytest

from agent.budget.ledger import BudgetExceeded, KindTotal, Ledger


def spend(ledger: Ledger, usd: float | None, kind: str = "main", **settling: float) -> None:
    ledger.settle(ledger.reserve(kind, usd, worst_usd=1.0, must_fit=False), usd, **settling)


def test_a_thousand_small_sums_add_up() -> None:
    ledger = Ledger()
    for _ in range(1_000):
        spend(ledger, 0.00004)
    assert ledger.spent_usd == 0.04


def test_settling_charges_what_it_cost_and_frees_the_rest() -> None:
    ledger = Ledger(5.0)
    reservation = ledger.reserve("main", 3.0, must_fit=False)
    assert (ledger.spent_usd, ledger.reserved_usd, ledger.remaining_usd) == (0.0, 3.0, 2.0)
    settled = ledger.settle(reservation, 0.25)
    assert (settled.charged_usd, settled.known) == (0.25, True)
    assert (ledger.spent_usd, ledger.reserved_usd, ledger.remaining_usd) == (0.25, 0.0, 4.75)


def test_a_cost_above_its_reservation_is_charged_in_full() -> None:
    ledger = Ledger(1.0)
    ledger.settle(ledger.reserve("job", 0.5, must_fit=True), 1.5)
    assert ledger.spent_usd == 1.5
    assert ledger.remaining_usd == 0.0


def test_what_must_fit_fits_or_is_refused() -> None:
    ledger = Ledger(5.0)
    ledger.reserve("job", 3.0, must_fit=True)
    with pytest.raises(BudgetExceeded, match="exceeds") as refused:
        ledger.reserve("sandbox", 2.5, must_fit=True)
    assert (refused.value.remaining_usd, refused.value.reserved_usd, refused.value.cap_usd) == (2.0, 3.0, 5.0)
    for figure in ("sandbox", "$2.50", "$2.00", "$3.00", "$5.00", "/budget", "--max-cost-usd"):
        assert figure in str(refused.value)
    ledger.reserve("sandbox", 2.0, must_fit=True)
    assert ledger.is_exhausted


def test_a_model_call_starts_while_anything_is_left() -> None:
    ledger = Ledger(1.0)
    spend(ledger, 0.999999)
    call = ledger.reserve("main", 10.0, must_fit=False)
    with pytest.raises(BudgetExceeded):
        ledger.reserve("research", 0.1, must_fit=False)
    ledger.settle(call, 0.5)
    assert ledger.is_exhausted
    with pytest.raises(BudgetExceeded):
        ledger.reserve("main", 0.000001, must_fit=False)


def test_side_by_side_reservations_count_against_each_other() -> None:
    ledger = Ledger(4.0)
    first, second = (ledger.reserve("research", 3.0, must_fit=False) for _ in range(2))
    with pytest.raises(BudgetExceeded):
        ledger.reserve("research", 3.0, must_fit=False)
    ledger.settle(first, 0.1)
    ledger.release(second)
    ledger.reserve("research", 3.0, must_fit=True)


@pytest.mark.parametrize("must_fit", [True, False])
def test_what_is_free_always_runs(must_fit: bool) -> None:
    ledger = Ledger(0.0)
    assert ledger.is_exhausted
    free = ledger.settle(ledger.reserve("main", 0.0, must_fit=must_fit), 0.0)
    assert (free.charged_usd, free.known) == (0.0, True)
    with pytest.raises(BudgetExceeded):
        ledger.reserve("main", 0.01, must_fit=must_fit)


def test_a_cap_below_what_is_spent_stops_and_a_raised_one_lets_go_on() -> None:
    ledger = Ledger(10.0)
    spend(ledger, 6.0)
    ledger.set_cap(5.0)
    assert ledger.is_exhausted
    assert ledger.remaining_usd == 0.0
    ledger.set_cap(7.0)
    assert ledger.remaining_usd == 1.0
    ledger.reserve("job", 1.0, must_fit=True)
    ledger.set_cap(None)
    assert (ledger.cap_usd, ledger.remaining_usd, ledger.is_exhausted) == (None, None, False)
    ledger.reserve("job", 1_000.0, must_fit=True)


def test_a_bad_cap_leaves_the_old_one() -> None:
    ledger = Ledger(5.0)
    with pytest.raises(ValueError, match="not a sum"):
        ledger.set_cap(-1.0)
    assert ledger.cap_usd == 5.0


def test_an_unknown_price_is_its_worst_case() -> None:
    ledger = Ledger()
    reservation = ledger.reserve("main", None, worst_usd=2.0, must_fit=False)
    assert not reservation.known
    assert ledger.reserved_usd == 2.0
    settled = ledger.settle(reservation, None)
    assert (settled.charged_usd, settled.known) == (2.0, False)
    assert (ledger.spent_usd, ledger.unknown_usd) == (2.0, 2.0)


def test_a_worst_case_may_be_reckoned_anew() -> None:
    ledger = Ledger()
    settled = ledger.settle(ledger.reserve("main", None, worst_usd=2.0, must_fit=False), None, worst_usd=0.5)
    assert (settled.charged_usd, settled.known) == (0.5, False)


def test_a_price_that_turns_out_to_be_known_is_charged_as_known() -> None:
    ledger = Ledger()
    settled = ledger.settle(ledger.reserve("main", None, worst_usd=2.0, must_fit=False), 0.1)
    assert (settled.charged_usd, settled.known, ledger.unknown_usd) == (0.1, True, 0.0)


@pytest.mark.parametrize("worst_usd", [None, 0.0])
def test_unknown_never_counts_as_nothing(worst_usd: float | None) -> None:
    ledger = Ledger()
    with pytest.raises(ValueError, match="unknown price"):
        ledger.reserve("main", None, worst_usd=worst_usd, must_fit=False)
    settled = ledger.settle(ledger.reserve("main", 0.3, must_fit=False), None, worst_usd=worst_usd)
    assert (settled.charged_usd, settled.known) == (0.3, False)


def test_a_cost_of_nothing_is_believed_only_if_it_was_measured() -> None:
    ledger = Ledger()
    doubted = ledger.settle(ledger.reserve("main", 0.3, must_fit=False), 0.0)
    measured = ledger.settle(ledger.reserve("job", 0.3, must_fit=True), 0.0, measured_zero=True)
    assert (doubted.charged_usd, doubted.known) == (0.3, False)
    assert (measured.charged_usd, measured.known) == (0.0, True)


def test_a_known_price_of_nothing_leaves_nothing_unknown() -> None:
    ledger = Ledger()
    settled = ledger.settle(ledger.reserve("main", 0.0, must_fit=False), None)
    assert (settled.charged_usd, settled.known) == (0.0, True)


def test_a_reservation_is_closed_once() -> None:
    ledger = Ledger()
    paid, dropped = (ledger.reserve("main", 1.0, must_fit=False) for _ in range(2))
    ledger.settle(paid, 1.0)
    ledger.release(dropped)
    for closed in (paid, dropped):
        with pytest.raises(ValueError, match=closed.id):
            ledger.settle(closed, 1.0)
        ledger.release(closed)
    assert ledger.spent_usd == 1.0


def test_an_id_is_open_once_and_free_again_after() -> None:
    ledger = Ledger()
    first = ledger.reserve("job", 1.0, must_fit=True, reservation_id="call_1")
    with pytest.raises(ValueError, match="call_1"):
        ledger.reserve("job", 1.0, must_fit=True, reservation_id="call_1")
    ledger.settle(first, 1.0)
    second = ledger.reserve("job", 1.0, must_fit=True, reservation_id="call_1")
    ledger.release(first)
    assert ledger.reserved_usd == 1.0
    ledger.settle(second, 1.0)


def test_ids_given_do_not_get_in_the_way_of_ids_made() -> None:
    ledger = Ledger()
    ids = {ledger.reserve("main", 1.0, must_fit=False, reservation_id=f"main-{n}").id for n in range(5)}
    ids |= {ledger.reserve("main", 1.0, must_fit=False).id for _ in range(5)}
    assert len(ids) == 10


def test_a_cost_that_is_no_sum_leaves_the_reservation_open() -> None:
    ledger = Ledger()
    reservation = ledger.reserve("main", 1.0, must_fit=False)
    with pytest.raises(ValueError, match="not a sum"):
        ledger.settle(reservation, float("nan"))
    assert ledger.settle(reservation, None).charged_usd == 1.0


def test_totals_by_kind_dearest_first() -> None:
    ledger = Ledger()
    spend(ledger, 0.5)
    spend(ledger, None, worst_usd=0.25)
    spend(ledger, 3.0, kind="job")
    ledger.charge_earlier("sandbox", 0.75, known=True)
    assert ledger.totals() == (
        KindTotal("job", 1, 3.0, 0, 0.0),
        KindTotal("main", 2, 0.75, 1, 0.25),
        KindTotal("sandbox", 1, 0.75, 0, 0.0),
    )


def test_a_resumed_session_goes_on_from_what_was_charged() -> None:
    ledger = Ledger(10.0)
    ledger.charge_earlier("main", 7.0, known=True)
    ledger.charge_earlier("main", 1.0, known=False)
    assert (ledger.spent_usd, ledger.unknown_usd, ledger.remaining_usd) == (8.0, 1.0, 2.0)
    settled = ledger.settle(ledger.reserve("main", 1.0, must_fit=False), 1.0)
    assert settled.warning is None, "80 % was told before"


def test_a_refusal_owns_up_to_worst_cases() -> None:
    ledger = Ledger(1.0)
    spend(ledger, None)
    with pytest.raises(BudgetExceeded, match=r"\$1\.00 of what is spent is a worst case") as refused:
        ledger.reserve("main", None, worst_usd=0.5, must_fit=False)
    assert "up to $0.50 (price unknown)" in str(refused.value)


def test_what_runs_already_counts_whether_it_fits_or_not() -> None:
    ledger = Ledger(1.0)
    job = ledger.hold_running("hf_jobs", 3.0)
    other = ledger.hold_running("hf_jobs", 80.0, known=False)
    assert (ledger.reserved_usd, ledger.remaining_usd, ledger.is_exhausted) == (83.0, 0.0, True)
    with pytest.raises(BudgetExceeded):
        ledger.reserve("main", 0.1, must_fit=False)
    ledger.settle(job, 0.5)
    settled = ledger.settle(other, None)
    assert (settled.charged_usd, settled.known) == (80.0, False)
    assert (ledger.spent_usd, ledger.reserved_usd, ledger.unknown_usd) == (80.5, 0.0, 80.0)


def test_what_the_run_pays_elsewhere_counts_and_is_not_this_sessions() -> None:
    ledger = Ledger(5.0, 1.0)
    ledger.charge_elsewhere(2.5)
    assert (ledger.elsewhere_usd, ledger.remaining_usd, ledger.spent_usd, ledger.spent_here_usd) == (3.5, 1.5, 0.0, 0.0)
