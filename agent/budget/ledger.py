"""The ledger: every cost is reserved before it arises and settled when it is known.

    reserve ─> settle (it was paid for)
            └> release (it never happened)

One ledger serves a session: main agent, compaction, sub-agents, jobs and sandboxes. Open reservations count against
the cap, so that what runs side by side cannot jointly exceed it. Amounts are whole micro-dollars inside, so sums are
exact; properties show US dollars. Used from the event loop only: no method awaits, so none can be interrupted.
"""

from __future__ import annotations

import asyncio
import itertools

from agent.budget.money import in_usd, micro, unknown_note
from agent.budget.thresholds import BudgetWarning, crossed
from agent.light_dataclass import dataclass
from agent.protocol.money import format_usd


class BudgetExceeded(Exception):
    """Something does not fit under the cap. The message is for the person and the model alike.

    `amount_usd` is what it can cost, `remaining_usd` what is neither spent nor reserved, `reserved_usd` what open
    reservations hold: they may give some of it back. `unknown_usd` of what was spent are worst cases.
    """

    def __init__(
        self,
        what: str,
        *,
        amount_usd: float,
        known: bool,
        remaining_usd: float,
        reserved_usd: float,
        unknown_usd: float,
        cap_usd: float,
    ) -> None:
        held = f", and {format_usd(reserved_usd)} is held for what is still running" if reserved_usd else ""
        super().__init__(
            f"The cost of {what} exceeds the budget: it can be {format_usd(amount_usd, known)}, but of the cap of "
            f"{format_usd(cap_usd)} only {format_usd(remaining_usd)} is left{held}.{unknown_note(unknown_usd)} "
            "A higher cap is set with /budget or --max-cost-usd."
        )
        self.what = what
        self.amount_usd = amount_usd
        self.remaining_usd = remaining_usd
        self.reserved_usd = reserved_usd
        self.unknown_usd = unknown_usd
        self.cap_usd = cap_usd


@dataclass(frozen=True, slots=True)
class Reservation:
    """An amount held for something under way. `known` False: no price is known, and the amount is a worst case."""

    id: str
    kind: str
    amount_micro: int
    known: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """What was charged. `known` False: a worst case. `warning`: the threshold that this charge crossed, if any."""

    charged_usd: float
    known: bool
    warning: BudgetWarning | None


@dataclass(frozen=True, slots=True)
class KindTotal:
    """What one kind of cost came to. `unknown_calls` and `unknown_usd`, worst cases, are part of `calls` and `usd`."""

    kind: str
    calls: int
    usd: float
    unknown_calls: int
    unknown_usd: float


@dataclass(slots=True)
class _Tally:
    """The running sums of one kind."""

    calls: int = 0
    spent_micro: int = 0
    unknown_calls: int = 0
    unknown_micro: int = 0

    def add(self, amount_micro: int, known: bool) -> None:
        self.calls += 1
        self.spent_micro += amount_micro
        if not known:
            self.unknown_calls += 1
            self.unknown_micro += amount_micro


class Ledger:
    """What a session has spent, holds reserved, and may spend. `cap_usd` None: no cap. ValueError for a cap below 0.

    A cap of 0 lets only what is free run.
    """

    def __init__(self, cap_usd: float | None = None, elsewhere_usd: float = 0.0) -> None:
        self._elsewhere_micro = micro(elsewhere_usd)
        self._earlier_micro = 0
        self._tallies: dict[str, _Tally] = {}
        self._open: dict[str, Reservation] = {}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._numbers = itertools.count(1)
        self.set_cap(cap_usd)

    def set_cap(self, cap_usd: float | None) -> None:
        """Set, change or (None) take away the cap. It may lie below what is spent: then nothing more may be."""
        self._cap_micro = None if cap_usd is None else micro(cap_usd)

    @property
    def spent_here_usd(self) -> float:
        """What of `spent_usd` was charged by this run."""
        return in_usd(self._spent_micro - self._earlier_micro)

    @property
    def elsewhere_usd(self) -> float:
        """What this run has spent in other conversations; it counts against the cap."""
        return in_usd(self._elsewhere_micro)

    @property
    def cap_usd(self) -> float | None:
        return None if self._cap_micro is None else in_usd(self._cap_micro)

    @property
    def spent_usd(self) -> float:
        """Everything charged, worst cases included."""
        return in_usd(self._spent_micro)

    @property
    def unknown_usd(self) -> float:
        """The part of `spent_usd` that is a worst case, because no price was known."""
        return in_usd(self._unknown_micro)

    @property
    def reserved_usd(self) -> float:
        return in_usd(self._reserved_micro)

    @property
    def remaining_usd(self) -> float | None:
        """What is neither spent nor reserved, never below 0; None without a cap."""
        return None if self._cap_micro is None else in_usd(self._remaining_micro(self._cap_micro))

    @property
    def is_exhausted(self) -> bool:
        """Whether all of the cap is spent or reserved, so that only what is free may start."""
        return self._cap_micro is not None and self._remaining_micro(self._cap_micro) == 0

    def reserve(
        self,
        kind: str,
        usd: float | None,
        *,
        worst_usd: float | None = None,
        must_fit: bool,
        reservation_id: str | None = None,
    ) -> Reservation:
        """Hold the most that something can cost. What is free (`usd` 0) is always let through.

        `usd` None: no price is known; `worst_usd`, more than 0, is held instead. `must_fit` (jobs, sandboxes): all of
        it has to fit under the cap. Otherwise (model calls, which cost far less than they could) something has to be
        left, so that the cap is exceeded by one call at most. `kind` is the heading it is charged under.
        Raises BudgetExceeded, and ValueError for an id in use or an unknown price without a worst case.
        """
        amount_micro = micro((worst_usd or 0.0) if usd is None else usd)
        if usd is None and not amount_micro:
            raise ValueError(f"{kind}: an unknown price needs its worst case, it does not count as 0")
        reservation_id = self._new_id(kind) if reservation_id is None else reservation_id
        if reservation_id in self._open:
            raise ValueError(f"reservation {reservation_id!r} is already open")
        refusal = self._refusal(kind, amount_micro, known=usd is not None, must_fit=must_fit)
        if refusal is not None:
            raise refusal
        reservation = Reservation(reservation_id, kind, amount_micro, known=usd is not None)
        self._open[reservation_id] = reservation
        return reservation

    def hold_running(self, kind: str, usd: float, *, known: bool = True) -> Reservation:
        """Hold what something can cost that runs already (a resumed session's job): it counts, though no cap stops it.

        `known` False: no price is known, and `usd` is a worst case. ValueError for a `usd` that is no sum.
        """
        reservation = Reservation(self._new_id(kind), kind, micro(usd), known)
        self._open[reservation.id] = reservation
        return reservation

    def would_exceed(self, what: str, usd: float) -> BudgetExceeded | None:
        """What reserving so much with `must_fit` would raise, None if it fits. `what` is its name in words."""
        return self._refusal(what, micro(usd), known=True, must_fit=True)

    def settle(
        self,
        reservation: Reservation,
        usd: float | None,
        *,
        worst_usd: float | None = None,
        measured_zero: bool = False,
    ) -> Settled:
        """Charge what it really cost, be it less or more than was reserved.

        `usd` None: the price is still unknown. `worst_usd`, reckoned anew from what is known by now, is charged as a
        worst case, or all that was reserved. A cost of 0 where one was expected is mistrusted like that too (price
        tables hold zeros for prices they do not know) unless `measured_zero` vouches for it.
        Raises ValueError if the reservation is not open: settled or released before; and for a `usd` that is no sum.
        """
        if self._open.get(reservation.id) is not reservation:
            raise ValueError(f"reservation {reservation.id!r} ({reservation.kind}) was settled or released before")
        believed_usd = usd if usd or measured_zero or not reservation.amount_micro else None
        if believed_usd is None:
            amount_micro = micro(worst_usd or 0.0) or reservation.amount_micro
        else:
            amount_micro = micro(believed_usd)
        known = believed_usd is not None or not amount_micro  # a known price of 0 leaves nothing to guess
        before_micro = self._elsewhere_micro + self._spent_micro
        self._close(reservation)
        self._tally(reservation.kind).add(amount_micro, known)
        warning = crossed(before_micro, self._elsewhere_micro + self._spent_micro, self._cap_micro, self._unknown_micro)
        return Settled(in_usd(amount_micro), known, warning)

    def release(self, reservation: Reservation) -> None:
        """It never happened: nothing is charged. Harmless for a reservation that is not open any more."""
        if self._open.get(reservation.id) is reservation:
            self._close(reservation)

    def freed(self, kind: str) -> asyncio.Future[None] | None:
        """Done as soon as a reservation of `kind` is closed; None while none is open: a wait would be for nothing."""
        if all(reservation.kind != kind for reservation in self._open.values()):
            return None
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(kind, []).append(waiting)
        return waiting

    def _close(self, reservation: Reservation) -> None:
        del self._open[reservation.id]
        for waiting in self._waiting.pop(reservation.kind, ()):
            if not waiting.done():
                waiting.set_result(None)

    def left_usd(self, kind: str) -> float | None:
        """What calls of `kind` may still come to: what they hold themselves counts as there. None without a cap."""
        if self._cap_micro is None:
            return None
        held_micro = sum(held.amount_micro for held in self._open.values() if held.kind != kind)
        return in_usd(max(0, self._cap_micro - self._elsewhere_micro - self._spent_micro - held_micro))

    def charge_earlier(self, kind: str, usd: float, known: bool) -> None:
        """Enter what an earlier run charged: a session is resumed. Tells no thresholds, and no cap stops it."""
        self._tally(kind).add(micro(usd), known)
        self._earlier_micro += micro(usd)

    def charge_lost(self, kind: str, usd: float) -> None:
        """Enter, as a worst case, what was paid for and brought nothing. Tells no thresholds, and no cap stops it."""
        self._tally(kind).add(micro(usd), known=False)

    def charge_elsewhere(self, usd: float) -> None:
        """This run has paid for something of another of its conversations. Tells no thresholds, and no cap stops it."""
        self._elsewhere_micro += micro(usd)

    def totals(self) -> tuple[KindTotal, ...]:
        """What each kind came to, dearest first."""
        ordered = sorted(self._tallies.items(), key=lambda item: (-item[1].spent_micro, item[0]))
        return tuple(
            KindTotal(kind, tally.calls, in_usd(tally.spent_micro), tally.unknown_calls, in_usd(tally.unknown_micro))
            for kind, tally in ordered
        )

    @property
    def _spent_micro(self) -> int:
        return sum(tally.spent_micro for tally in self._tallies.values())

    @property
    def _unknown_micro(self) -> int:
        return sum(tally.unknown_micro for tally in self._tallies.values())

    @property
    def _reserved_micro(self) -> int:
        return sum(reservation.amount_micro for reservation in self._open.values())

    def _remaining_micro(self, cap_micro: int) -> int:
        return max(0, cap_micro - self._elsewhere_micro - self._spent_micro - self._reserved_micro)

    def _refusal(self, what: str, amount_micro: int, *, known: bool, must_fit: bool) -> BudgetExceeded | None:
        if self._cap_micro is None or not amount_micro:
            return None
        remaining_micro = self._remaining_micro(self._cap_micro)
        fits = amount_micro <= remaining_micro if must_fit else remaining_micro > 0
        if fits:
            return None
        return BudgetExceeded(
            what,
            amount_usd=in_usd(amount_micro),
            known=known,
            remaining_usd=in_usd(remaining_micro),
            reserved_usd=self.reserved_usd,
            unknown_usd=self.unknown_usd,
            cap_usd=in_usd(self._cap_micro),
        )

    def _tally(self, kind: str) -> _Tally:
        return self._tallies.setdefault(kind, _Tally())

    def _new_id(self, kind: str) -> str:
        return next(name for number in self._numbers if (name := f"{kind}-{number}") not in self._open)
