"""What a tool finds out beforehand decides over a call, and is shown to the person who is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.protocol.events import ApprovalRequired, ToolOutput
from agent.protocol.operations import OpType
from agent.protocol.tools import (
    ApprovalContext,
    ApprovalNeed,
    CostEstimate,
    Preflight,
    ToolResult,
    ToolSession,
    ToolSpec,
)
from tests.unit.core.loop import call, calls, running

SCHEMA = {"type": "object", "properties": {"script": {"type": "string"}}}


def asks(_arguments: Mapping[str, Any], _context: ApprovalContext) -> ApprovalNeed:
    return ApprovalNeed("ask", "rents a machine", billable=True, hints=("is paid",))


def tool(found: Preflight | Exception, ran: list[dict[str, Any]]) -> ToolSpec:
    """A tool whose look ahead finds `found`, and that remembers what it ran with."""

    async def preflight(_arguments: Mapping[str, Any], _session: ToolSession) -> Preflight:
        await asyncio.sleep(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def handle(arguments: dict[str, Any], _session: ToolSession, _call_id: str) -> ToolResult:
        ran.append(arguments)
        return ToolResult("ran", cost_usd=0.25)

    return ToolSpec("rent", "Rents.", SCHEMA, handle, approval=asks, preflight=preflight)


ONE_CALL = [calls(call("rent", {"script": "train.py"}, "c1")), {"text": "done"}]


async def test_what_was_found_is_shown_and_what_was_pinned_is_what_runs(tmp_path: Path) -> None:
    ran: list[dict[str, Any]] = []
    found = Preflight(
        estimate=CostEstimate(3.0, "the job"),
        facts=(("namespace", "acme"),),
        hints=("saves nothing",),
        pinned={"script": "print(1)"},
    )
    async with running(tmp_path, ONE_CALL, tools=[tool(found, ran)], headless=False, yolo_mode=False) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        asked = (await loop.until(ApprovalRequired)).payload
        assert isinstance(asked, ApprovalRequired)
        item = asked.tools[0]
        assert item.facts == (("namespace", "acme"),)
        assert item.hints == ("is paid", "saves nothing")
        assert item.estimated_cost_usd == 3.0
        assert item.arguments == {"script": "print(1)"}
        await loop.operate(OpType.EXEC_APPROVAL, approvals=[{"tool_call_id": "c1", "approved": True}])
        assert ran == [{"script": "print(1)"}]
        assert loop.session.ledger.spent_usd == 0.25


async def test_a_problem_that_was_found_is_the_result_and_nobody_is_asked(tmp_path: Path) -> None:
    ran: list[dict[str, Any]] = []
    found = Preflight(problem="There is no flavor h100.")
    async with running(tmp_path, ONE_CALL, tools=[tool(found, ran)], headless=False, yolo_mode=False) as loop:
        await loop.turn()
        assert [output.output for output in loop.of(ToolOutput)] == ["There is no flavor h100."]
        assert not loop.of(ApprovalRequired)
        assert not ran


async def test_an_estimate_beyond_the_cap_is_refused_also_without_a_person(tmp_path: Path) -> None:
    ran: list[dict[str, Any]] = []
    found = Preflight(estimate=CostEstimate(3.0, "the job"))
    async with running(tmp_path, ONE_CALL, tools=[tool(found, ran)], max_cost_usd=1.0) as loop:
        await loop.turn()
        assert "exceeds the budget" in loop.of(ToolOutput)[0].output
        assert not ran


async def test_what_cannot_be_looked_into_does_not_run(tmp_path: Path) -> None:
    ran: list[dict[str, Any]] = []
    async with running(tmp_path, ONE_CALL, tools=[tool(RuntimeError("broken"), ran)], max_cost_usd=1.0) as loop:
        await loop.turn()
        assert "could not be found out" in loop.of(ToolOutput)[0].output
        assert not ran
