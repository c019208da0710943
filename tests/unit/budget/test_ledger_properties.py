"""What holds for the ledger whatever happens in whatever order."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from agent.budget.ledger import BudgetExceeded, Ledger, Reservation
from agent.budget.money import MICRO_PER_USD, in_usd

MICROS = st.integers(min_value=0, max_value=3_000_000)
CAPS = st.none() | st.integers(min_value=0, max_value=5_000_000)


class LedgerMachine(RuleBasedStateMachine):
    """Any course of reservations, settlements, releases and changed caps, checked against sums of fractions."""

    reservations = Bundle("reservations")

    @initialize(cap=CAPS)
    def open_ledger(self, cap: int | None) -> None:
        self.ledger = Ledger()
        self.open: dict[str, Fraction] = {}
        self.spent = Fraction(0)
        self.unknown = Fraction(0)
        self.set_cap(cap)

    @rule(cap=CAPS)
    def set_cap(self, cap: int | None) -> None:
        self.cap = None if cap is None else Fraction(cap, MICRO_PER_USD)
        self.ledger.set_cap(None if cap is None else in_usd(cap))

    @rule(target=reservations, amount=MICROS, known=st.booleans(), must_fit=st.booleans())
    def reserve(self, amount: int, known: bool, must_fit: bool) -> Reservation | None:
        amount = amount if known else amount + 1
        wanted, usd = Fraction(amount, MICRO_PER_USD), in_usd(amount)
        committed = self.spent + sum(self.open.values())
        try:
            reservation = self.ledger.reserve(
                "main", usd if known else None, worst_usd=None if known else usd, must_fit=must_fit
            )
        except BudgetExceeded:
            assert self.cap is not None
            assert wanted
            assert committed + wanted > self.cap if must_fit else committed >= self.cap
            return None
        if self.cap is not None and wanted:
            assert committed + wanted <= self.cap if must_fit else committed < self.cap
        self.open[reservation.id] = wanted
        return reservation

    @rule(reservation=consumes(reservations), amount=st.none() | MICROS.map(lambda micro: micro + 1))
    def settle(self, reservation: Reservation | None, amount: int | None) -> None:
        if reservation is None:
            return
        reserved = self.open.pop(reservation.id)
        settled = self.ledger.settle(reservation, None if amount is None else in_usd(amount))
        charged = reserved if amount is None else Fraction(amount, MICRO_PER_USD)
        self.spent += charged
        self.unknown += charged if amount is None else 0
        assert settled.charged_usd == float(charged)
        assert settled.known == (amount is not None or not reserved)

    @rule(reservation=consumes(reservations))
    def release(self, reservation: Reservation | None) -> None:
        if reservation is not None:
            del self.open[reservation.id]
            self.ledger.release(reservation)
            self.ledger.release(reservation)

    @invariant()
    def sums_are_exact(self) -> None:
        reserved = sum(self.open.values(), Fraction(0))
        assert self.ledger.spent_usd == float(self.spent)
        assert self.ledger.unknown_usd == float(self.unknown)
        assert self.ledger.reserved_usd == float(reserved)
        if self.cap is None:
            assert self.ledger.remaining_usd is None
            assert not self.ledger.is_exhausted
        else:
            assert self.ledger.remaining_usd == float(max(Fraction(0), self.cap - self.spent - reserved))
            assert self.ledger.is_exhausted == (self.spent + reserved >= self.cap)
        assert sum(total.usd for total in self.ledger.totals()) == self.ledger.spent_usd


TestLedgerMachine = LedgerMachine.TestCase

SPENDING = st.tuples(MICROS, st.floats(min_value=0, max_value=1), st.booleans())


@given(cap=MICROS, steps=st.lists(SPENDING, max_size=40))
def test_the_cap_is_exceeded_by_at_most_the_one_call_in_flight(cap: int, steps: list[tuple[int, float, bool]]) -> None:
    ledger = Ledger(in_usd(cap))
    for worst, part, must_fit in steps:
        before_usd = ledger.spent_usd
        try:
            reservation = ledger.reserve("any", in_usd(worst), must_fit=must_fit)
        except BudgetExceeded:
            continue
        settled = ledger.settle(reservation, in_usd(int(worst * part)), measured_zero=True)
        if settled.charged_usd and ledger.spent_usd > in_usd(cap):
            assert not must_fit
            assert before_usd < in_usd(cap)


@given(cap=MICROS, worsts=st.lists(st.integers(min_value=1, max_value=3_000_000), min_size=1, max_size=20))
def test_calls_side_by_side_exceed_it_by_at_most_the_last_one_let_through(cap: int, worsts: list[int]) -> None:
    ledger = Ledger(in_usd(cap))
    started: list[Reservation] = []
    for worst in worsts:
        try:
            started.append(ledger.reserve("research", in_usd(worst), must_fit=False))
        except BudgetExceeded:
            break
    for reservation in started:
        ledger.settle(reservation, None)
    spent = round(ledger.spent_usd * MICRO_PER_USD)
    assert spent < cap + started[-1].amount_micro if started else spent == 0


@given(
    amounts=st.lists(st.none() | MICROS.map(lambda micro: in_usd(micro + 1)), min_size=2, max_size=12),
    data=st.data(),
)
def test_the_order_of_settling_does_not_matter(amounts: list[float | None], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(amounts))))
    outcomes = []
    for settling in (range(len(amounts)), order):
        ledger = Ledger(5.0)
        reservations = [ledger.reserve("main", 0.1, must_fit=True) for _ in amounts]
        for index in settling:
            ledger.settle(reservations[index], amounts[index])
        outcomes.append((ledger.totals(), ledger.spent_usd, ledger.unknown_usd, ledger.remaining_usd))
    assert outcomes[0] == outcomes[1]
