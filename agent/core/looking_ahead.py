"""What is found out about tool calls before anybody is asked about them: what they cost, whether they can work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from agent.core.session import Session
from agent.core.tool_costs import within_budget
from agent.core.turn_state import PreparedCall
from agent.protocol.tools import Preflight, ToolResult, ToolSpec

logger = logging.getLogger(__name__)

PATIENCE_S = 15.0
"""A tool's own look ahead takes a few seconds at most; this is for one that hangs."""


async def look_ahead(session: Session, calls: Sequence[PreparedCall]) -> list[PreparedCall]:
    """`calls` with what their tools have found out about them, and the budget's word. Changes nothing elsewhere.

    Raises `TurnCancelled`.
    """
    found = [_NOTHING] * len(calls)
    if any(_has_preflight(session, prepared) for prepared in calls):
        found = await session.interruption.cancellable(_preflights(session, calls))
    return [_decided(session, prepared, each) for prepared, each in zip(calls, found, strict=True)]


_NOTHING = Preflight()


def _has_preflight(session: Session, prepared: PreparedCall) -> bool:
    spec = _spec(session, prepared)
    return spec is not None and spec.preflight is not None


async def _preflights(session: Session, calls: Sequence[PreparedCall]) -> list[Preflight]:
    return await asyncio.gather(*(_preflight(session, prepared) for prepared in calls))


async def _preflight(session: Session, prepared: PreparedCall) -> Preflight:
    spec = _spec(session, prepared)
    if spec is None or spec.preflight is None:
        return _NOTHING
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await spec.preflight(prepared.arguments, session)
    except Exception as error:  # the tool's own code; what may cost anything does not run
        logger.exception("%s could not be looked into", spec.name)
        why = "it took too long" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
        return Preflight(problem=f"Not run: what it would do and cost could not be found out beforehand ({why}).")


def _decided(session: Session, prepared: PreparedCall, found: Preflight) -> PreparedCall:
    spec = _spec(session, prepared)
    decision = prepared.decision
    if spec is None or decision is None:
        return prepared
    if found.problem is not None:
        return replace(prepared, problem=ToolResult(found.problem, ok=False))
    if found.pinned is not None:
        prepared = replace(prepared, arguments=dict(found.pinned))
    decision = replace(decision, hints=(*decision.hints, *found.hints))
    try:
        estimate = found.estimate if found.estimate is not None else spec.estimate_cost(prepared.arguments)
    except Exception as error:  # as above
        logger.exception("the cost of %s could not be estimated", spec.name)
        problem = f"Not run: what it would cost could not be estimated ({type(error).__name__}: {error})."
        return replace(prepared, problem=ToolResult(problem, ok=False))
    if estimate is not None:
        decision = within_budget(session, decision, estimate)
    prepared = replace(prepared, decision=decision, estimate=estimate, facts=found.facts)
    if decision.action == "deny":
        denied = ToolResult(f"Not run: {decision.reason}", ok=False, display=decision.told_person)
        return replace(prepared, problem=denied)
    return prepared


def _spec(session: Session, prepared: PreparedCall) -> ToolSpec | None:
    """The tool of a call that may still run."""
    return None if prepared.problem is not None else session.router.find(prepared.call.function.name)
