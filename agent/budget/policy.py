"""Whether compute that costs money may start: the rules above the ledger.

In a batch, each approved call is reserved before the next is decided, so that together they cannot exceed the cap.
"""

from __future__ import annotations

from typing import Literal

from agent.budget.estimates import UNKNOWN_COMPUTE_USD
from agent.budget.ledger import Ledger, Reservation
from agent.light_dataclass import dataclass
from agent.protocol.money import format_usd
from agent.protocol.tools import CostEstimate


@dataclass(frozen=True, slots=True)
class BillableDecision:
    """`ok`: the budget allows it; `ask`: only a person can; `deny`: it must not run.

    `reason` is for the person and the model, empty for `ok`. `estimated_usd` None: unknown; `remaining_usd` None: no
    cap.
    """

    kind: Literal["ok", "ask", "deny"]
    reason: str
    estimated_usd: float | None
    remaining_usd: float | None


def approve_billable(ledger: Ledger, estimate: CostEstimate, *, headless: bool, no_budget: bool) -> BillableDecision:
    """Decide on a call by what it can cost at most. `no_budget`: the person has said that a run may do without a cap.

    ValueError for an estimate that is no sum of money.
    """
    kind, reason = _verdict(ledger, estimate, headless=headless, no_budget=no_budget)
    return BillableDecision(kind, reason, estimate.usd, ledger.remaining_usd)


def reserve_billable(
    ledger: Ledger, kind: str, estimate: CostEstimate, *, reservation_id: str | None = None
) -> Reservation:
    """Reserve for a call that `approve_billable` or, after `ask`, a person has approved.

    A person may approve an unknown price, of which nobody can say that it fits. Raises as `Ledger.reserve`.
    """
    return ledger.reserve(
        kind,
        estimate.usd,
        worst_usd=UNKNOWN_COMPUTE_USD,
        must_fit=estimate.usd is not None,
        reservation_id=reservation_id,
    )


def _verdict(
    ledger: Ledger, estimate: CostEstimate, *, headless: bool, no_budget: bool
) -> tuple[Literal["ok", "ask", "deny"], str]:
    what = estimate.what or "this call"
    if estimate.usd == 0:
        return "ok", ""
    if ledger.cap_usd is None:
        if headless and not no_budget:
            return "deny", (
                f"Nobody watches a headless run, so {what}, which costs money, needs a cap: start the run with "
                "--max-cost-usd USD, or with --no-budget to go without one."
            )
        return "ok", ""
    if estimate.usd is None:
        return "deny" if headless or ledger.is_exhausted else "ask", _unknown_text(ledger, what)
    refusal = ledger.would_exceed(what, estimate.usd)
    return ("ok", "") if refusal is None else ("deny", str(refusal))


def _unknown_text(ledger: Ledger, what: str) -> str:
    left, cap = format_usd(ledger.remaining_usd or 0.0), format_usd(ledger.cap_usd or 0.0)
    return f"What {what} costs is unknown, so it may cost more than the {left} left of the cap of {cap}."
