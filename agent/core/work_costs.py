"""What work elsewhere costs: held while it runs, charged when it is over, in the ledger of its own conversation.

    take (what was held for the call) | reserve ─> settle ─> is_paid

A job is charged once, a sandbox by the hour. Work whose conversation is not on (after /new) is not charged there: its
lease remembers the cost, and the run counts it as spent elsewhere until the conversation is resumed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from agent.budget.estimates import UNKNOWN_COMPUTE_USD
from agent.budget.ledger import Ledger, Reservation
from agent.budget.money import in_usd
from agent.core.work_side import SessionSide
from agent.light_dataclass import dataclass
from agent.protocol.compute import Kind, Status
from agent.protocol.events import ToolCharge

TOOL_OF: Final[dict[Kind, str]] = {"job": "hf_jobs", "process": "hf_jobs", "sandbox": "sandbox_create"}
"""The tool that makes it, and the heading under which it is charged."""

_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Hold:
    """Money held for a running call, in the ledger of the conversation that it belongs to."""

    ledger: Ledger
    reservation: Reservation


def most_usd(usd_per_hour: float | None, timeout_s: float | None) -> float:
    """The most that work can cost until it is next charged: its whole time limit, an hour of a sandbox without one."""
    if usd_per_hour is None:
        return UNKNOWN_COMPUTE_USD
    hours = 1.0 if timeout_s is None else timeout_s / _HOUR_S
    return usd_per_hour * hours


def billed_s(status: Status, *, until: datetime, since: datetime | None = None, paused_s: float = 0.0) -> float | None:
    """The seconds charged so far: as the place says, else from when it ran; None if neither is known.

    `since` is when it began where the place does not say so (a sandbox runs from its creation on). `paused_s` of that
    it was paused.
    """
    if status.billed_s is not None:
        return max(0.0, status.billed_s)
    began = status.started_at or since
    return None if began is None else max(0.0, ((status.ended_at or until) - began).total_seconds() - paused_s)


def cost_usd(usd_per_hour: float | None, seconds: float | None) -> float | None:
    """US dollars for so long; None if price or time is unknown, which a price of 0 never is."""
    if usd_per_hour == 0:
        return 0.0
    return None if usd_per_hour is None or seconds is None else usd_per_hour * seconds / _HOUR_S


@dataclass(eq=False, slots=True)
class Bill:
    """The money side of one piece of work. `awaits_hold_in`: in this ledger the call that made it holds money, which it
    will hand over.

    `charged_usd` is what its conversation's ledger has taken up so far. `counted_usd` is what the run was told of as
    spent elsewhere: when that is charged in the conversation at last, it is no new spending of this run.
    """

    session_id: str
    tool_call_id: str
    lease_id: str
    tool: str
    usd_per_hour: float | None
    most_usd: float
    hold: Hold | None = None
    awaits_hold_in: Ledger | None = None
    charged_usd: float = 0.0
    counted_usd: float | None = None
    is_paid: bool = False

    @property
    def is_free(self) -> bool:
        """Whether it costs nothing."""
        return self.usd_per_hour == 0

    def take(self, side: SessionSide, hold: Hold) -> None:
        """From now on what `hold` holds is this bill's."""
        self.release()
        self.hold, self.awaits_hold_in = hold, None
        if hold.ledger is not side.ledger:
            self.reserve(side, in_usd(hold.reservation.amount_micro))

    def reserve(self, side: SessionSide, usd: float | None = None, *, must_fit: bool = False) -> None:
        """Hold `usd` (None: the most it can be) in the ledger of the conversation that is on, in place of what is held.

        For another conversation's work only where its cap is the run's. BudgetExceeded with `must_fit`: then nothing is
        held any more.
        """
        self.release()
        if self.is_free or (self.session_id != side.session_id and not side.cap_is_of_run):
            return
        amount_usd, known = self.most_usd if usd is None else usd, self.usd_per_hour is not None
        ledger = side.ledger
        if must_fit:
            expected_usd = amount_usd if known else None
            reservation = ledger.reserve(self.tool, expected_usd, worst_usd=amount_usd, must_fit=True)
        else:
            reservation = ledger.hold_running(self.tool, amount_usd, known=known)
        self.hold = Hold(ledger, reservation)

    def hold_again(self, side: SessionSide) -> None:
        """Its conversation is on again, with another ledger: hold there what is held elsewhere, or nowhere."""
        if self.awaits_hold_in is None and (self.hold is None or self.hold.ledger is not side.ledger):
            self.reserve(side)

    def release(self) -> None:
        """Hold nothing any more."""
        if self.hold is not None:
            self.hold.ledger.release(self.hold.reservation)
            self.hold = None

    async def settle(self, side: SessionSide, total_usd: float | None, *, final: bool) -> None:
        """Charge what is not charged of `total_usd` (None: unknown, so the most it can be). `final`: it is over.

        While another conversation is on, that one's run only learns what was spent (once it is final), and this stays
        unpaid.
        """
        if self.is_paid and self.hold is None:
            return
        if self.is_free and self.hold is None:
            self.is_paid = final
            return
        due_usd = None if total_usd is None else max(0.0, total_usd - self.charged_usd)
        if self.session_id != side.session_id:
            self._count(side, due_usd, final=final)
            return
        self.is_paid = final
        if self.counted_usd is not None:
            await self._charge_counted(side, due_usd)
        else:
            await self._charge(side, due_usd)

    async def _charge(self, side: SessionSide, due_usd: float | None) -> None:
        if self.hold is None or self.hold.ledger is not side.ledger:
            self.release()
            known = self.usd_per_hour is not None
            self.hold = Hold(side.ledger, side.ledger.hold_running(self.tool, self.most_usd, known=known))
        hold, self.hold = self.hold, None
        settled = hold.ledger.settle(hold.reservation, due_usd, measured_zero=due_usd == 0)
        self.charged_usd += settled.charged_usd
        await self._tell(side, hold.reservation.kind, due_usd, settled.charged_usd, settled.known)
        await side.report_spending(settled.warning)

    async def _charge_counted(self, side: SessionSide, due_usd: float | None) -> None:
        self.release()
        charged_usd = self.most_usd if due_usd is None else due_usd
        side.ledger.charge_earlier(self.tool, charged_usd, due_usd is not None)
        self.charged_usd += charged_usd
        self.counted_usd = None
        await self._tell(side, self.tool, due_usd, charged_usd, due_usd is not None)
        await side.report_spending(None)

    async def _tell(self, side: SessionSide, tool: str, due_usd: float | None, charged_usd: float, known: bool) -> None:
        await side.emit(ToolCharge(tool, self.tool_call_id, due_usd, charged_usd, known, self.lease_id))

    def _count(self, side: SessionSide, due_usd: float | None, *, final: bool) -> None:
        if not final or self.counted_usd is not None:
            return
        held_usd = in_usd(self.hold.reservation.amount_micro) if self.hold is not None else self.most_usd
        self.release()
        self.counted_usd = held_usd if due_usd is None else due_usd
        side.charge_other(self.session_id, self.counted_usd)
