"""A share of a ledger: what one part of a session's work may spend of the whole."""

from __future__ import annotations

import asyncio

from agent.budget.ledger import BudgetExceeded, Ledger, Reservation, Settled


class Share(Ledger):
    """The ledger of one part of a session's work: all is charged to the `whole` as well, and has to fit into both.

    `cap_usd` is what this part may cost, None: as much as there is. Everything goes under the heading `kind`.
    """

    def __init__(self, whole: Ledger, kind: str, cap_usd: float | None) -> None:
        super().__init__(cap_usd)
        self._whole = whole
        self._kind = kind
        self._twins: dict[str, Reservation] = {}
        """What is held in the whole, by the id of the reservation here."""
        self._is_closed = False

    def reserve(
        self,
        kind: str,
        usd: float | None,
        *,
        worst_usd: float | None = None,
        must_fit: bool,
        reservation_id: str | None = None,
    ) -> Reservation:
        """As `Ledger.reserve`; what is refused by either is held in neither."""
        own = super().reserve(self._kind, usd, worst_usd=worst_usd, must_fit=must_fit, reservation_id=reservation_id)
        try:
            self._twins[own.id] = self._whole.reserve(self._kind, usd, worst_usd=worst_usd, must_fit=must_fit)
        except BudgetExceeded:
            super().release(own)
            raise
        return own

    def settle(
        self,
        reservation: Reservation,
        usd: float | None,
        *,
        worst_usd: float | None = None,
        measured_zero: bool = False,
    ) -> Settled:
        """As `Ledger.settle`; the warning is the whole's. Once this is closed, nothing more is charged."""
        if self._is_closed:
            return Settled(0.0, known=True, warning=None)
        super().settle(reservation, usd, worst_usd=worst_usd, measured_zero=measured_zero)
        twin = self._twins.pop(reservation.id)
        return self._whole.settle(twin, usd, worst_usd=worst_usd, measured_zero=measured_zero)

    def release(self, reservation: Reservation) -> None:
        """As `Ledger.release`."""
        super().release(reservation)
        if (twin := self._twins.pop(reservation.id, None)) is not None:
            self._whole.release(twin)

    def charge_lost(self, kind: str, usd: float) -> None:
        """As `Ledger.charge_lost`."""
        if not self._is_closed:
            super().charge_lost(self._kind, usd)
            self._whole.charge_lost(self._kind, usd)

    def freed(self, kind: str) -> asyncio.Future[None] | None:
        """As `Ledger.freed`: others like this one may give something back to the whole."""
        return None if self.is_exhausted else self._whole.freed(self._kind)

    def left_usd(self, kind: str) -> float | None:
        """As `Ledger.left_usd`, of the whole too."""
        left_usd = [usd for usd in (super().left_usd(self._kind), self._whole.left_usd(self._kind)) if usd is not None]
        return min(left_usd, default=None)

    def close(self) -> list[Settled]:
        """Charge what is still held as a worst case: nobody knows how far it got. Returns what that came to.

        Who settles it later, all the same, comes too late.
        """
        settled = [self.settle(reservation, None) for reservation in tuple(self._open.values())]
        self._is_closed = True
        return settled
