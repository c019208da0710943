"""Tool calls that cost money: what the budget says of them, and how they enter the ledger."""

from __future__ import annotations

from dataclasses import replace

from agent.budget.ledger import BudgetExceeded
from agent.budget.policy import approve_billable, reserve_billable
from agent.core.approval_policy import ApprovalDecision
from agent.core.model_calls import report_spending
from agent.core.session import Session
from agent.core.turn_state import PreparedCall
from agent.core.work_costs import Hold
from agent.protocol.events import ToolCharge
from agent.protocol.tools import CostEstimate, ToolResult

Held = Hold | ToolResult | None


def within_budget(session: Session, decision: ApprovalDecision, estimate: CostEstimate) -> ApprovalDecision:
    """The decision on a call with the budget's word added to it: it can tighten, never loosen."""
    if decision.action == "deny":
        return decision
    verdict = approve_billable(
        session.ledger, estimate, headless=session.surroundings.headless, no_budget=session.config.no_budget
    )
    decision = replace(
        decision,
        billable=True,
        estimated_cost_usd=verdict.estimated_usd,
        remaining_cap_usd=verdict.remaining_usd,
    )
    if verdict.kind == "ok":
        return decision
    action = verdict.kind
    blocked = action == "ask" and session.yolo_mode
    return replace(
        decision,
        action=action,
        reason=verdict.reason,
        needs_human=action == "ask",
        auto_approval_blocked=blocked,
        block_reason=verdict.reason if blocked else None,
    )


def hold(session: Session, prepared: PreparedCall) -> Held:
    """Reserve what the call can cost; its result already if that is too much by now, None if it is free."""
    if prepared.estimate is None or prepared.problem is not None:
        return None
    try:
        name, call_id = prepared.call.function.name, prepared.call.id
        return Hold(session.ledger, reserve_billable(session.ledger, name, prepared.estimate, reservation_id=call_id))
    except (BudgetExceeded, ValueError) as error:
        return ToolResult(f"Not run: {error}", ok=False)


async def settle(session: Session, prepared: PreparedCall, held: Hold, result: ToolResult | None) -> None:
    """Charge what the call cost. A failed one that names no cost never happened; a stopped one may have cost it all.

    What the call has started elsewhere is charged when it is over.
    """
    if await session.work.adopt(held):
        await report_spending(session, None)
        return
    spec = session.router.find(prepared.call.function.name)
    started_nothing = spec is not None and spec.is_charged_by_work and (result is None or result.cost_usd is None)
    if started_nothing or (result is not None and not result.ok and result.cost_usd is None):
        held.ledger.release(held.reservation)
        return
    cost_usd = result.cost_usd if result is not None else None
    settled = held.ledger.settle(held.reservation, cost_usd, measured_zero=cost_usd == 0)
    tool, call_id = held.reservation.kind, held.reservation.id
    await session.send_event(ToolCharge(tool, call_id, cost_usd, settled.charged_usd, settled.known))
    await report_spending(session, settled.warning)
