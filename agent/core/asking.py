"""Tool calls that wait for the person: what they are shown, and what their answers do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.core.guards import CallRecord
from agent.core.session import Session
from agent.core.tool_batch import call_record, call_started, record, run_batch, state_change
from agent.core.turn_state import PreparedCall
from agent.light_dataclass import dataclass
from agent.protocol.events import ApprovalItem, ToolLog
from agent.protocol.tools import ToolResult

logger = logging.getLogger(__name__)

CHANGED_CHARS = 4_000
"""How much of an argument that the person has changed the model is told."""


async def approval_item(session: Session, prepared: PreparedCall) -> ApprovalItem:
    """What the person is shown of a call that waits."""
    decision, spec = prepared.decision, session.router.find(prepared.call.function.name)
    assert decision is not None  # only decided calls wait
    assert spec is not None
    return ApprovalItem(
        tool=prepared.call.function.name,
        arguments=session.secrets.scrub_data(prepared.arguments),
        tool_call_id=prepared.call.id,
        reason=decision.reason,
        preview=await asyncio.to_thread(_preview, session, prepared),
        always_rule=decision.always_rule,
        needs_human=decision.needs_human,
        auto_approval_blocked=decision.auto_approval_blocked,
        block_reason=decision.block_reason,
        estimated_cost_usd=decision.estimated_cost_usd,
        remaining_cap_usd=decision.remaining_cap_usd,
        hints=decision.hints,
        facts=prepared.facts,
        editable=spec.editable if isinstance(prepared.arguments.get(spec.editable or ""), str) else None,
    )


def _preview(session: Session, prepared: PreparedCall) -> str | None:
    spec = session.router.find(prepared.call.function.name)
    if spec is None or spec.preview is None:
        return None
    try:
        text = spec.preview(prepared.arguments, session)
        return text if text is None else session.scrub(text)
    except Exception:  # a preview is a courtesy; the approval itself must still be asked
        logger.exception("no preview of %s", spec.name)
        return None


@dataclass(frozen=True, slots=True)
class Answered:
    """Calls that waited for the person, and the answers by tool call id; a missing one is a no."""

    calls: Sequence[PreparedCall]
    answers: Mapping[str, Mapping[str, Any]]


async def settle_approvals(session: Session, answered: Answered) -> list[CallRecord] | None:
    """Carry out the person's answers. Returns the records of what ran, None if the turn was stopped."""
    approved, rejected = [], []
    for prepared in answered.calls:
        answer = answered.answers.get(prepared.call.id, {})
        if answer.get("approved"):
            edited = _with_edits(session, prepared, answer)
            approved.append(edited)
            await session.send_event(state_change(prepared, "approved"))
            if edited is not prepared:
                await session.send_event(call_started(session, edited))
            await _remember_rule(session, answer.get("always_rule"))
        else:
            rejected.append((prepared, _rejection(str(answer.get("feedback") or ""))))
            await session.send_event(state_change(prepared, "rejected"))
    for prepared, result in rejected:  # at once: what was approved may run for hours
        await record(session, prepared, result)
    for prepared in approved:
        await session.send_event(state_change(prepared, "running"))
    records = await run_batch(session, approved, announce=False) if approved else []
    if records is not None:  # guards see what was rejected too: asking for the same again and again leads nowhere
        records += [call_record(session, prepared, result) for prepared, result in rejected]
    return records


async def _remember_rule(session: Session, rule: str | None) -> None:
    """Add an "always allow" rule; one that cannot be read is said, and changes nothing."""
    try:
        if rule:
            session.policy.remember(rule)
    except ValueError as error:
        await session.send_event(ToolLog("system", f"Not remembered: {error}"))


def _with_edits(session: Session, prepared: PreparedCall, answer: Mapping[str, Any]) -> PreparedCall:
    """The call as the person changed it: an edited script, another namespace."""
    spec = session.router.find(prepared.call.function.name)
    changes = {"namespace": answer.get("namespace")}
    if spec is not None and spec.editable:
        changes[spec.editable] = answer.get("edited_script")
    changes = {name: value for name, value in changes.items() if value is not None and name in prepared.arguments}
    if not changes:
        return prepared
    now = "\n".join(f"{name}: {_beginning(str(value))}" for name, value in changes.items())
    note = f"[The person changed this call before approving it. What was carried out:\n{now}]\n"
    return replace(prepared, arguments=prepared.arguments | changes, note=note)


def _beginning(text: str) -> str:
    return text if len(text) <= CHANGED_CHARS else f"{text[:CHANGED_CHARS]} … ({len(text):,} characters in all)"


def _rejection(feedback: str) -> ToolResult:
    text, told = "This call was not approved, and was not run.", " ".join(feedback.split())
    output = f"{text} {feedback}" if feedback else text
    return ToolResult(output, ok=False, display=f"rejected: {told}" if told else "rejected")
