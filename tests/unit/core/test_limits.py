"""Money and time: a session stops at its limits, tells in time, and goes on when they are raised."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.events import BudgetStatus, LLMCall, ToolLog, ToolOutput, TurnComplete
from agent.protocol.operations import OpType
from agent.protocol.tools import ApprovalNeed, CostEstimate, ToolResult, ToolSpec
from tests.unit.core.loop import Loop, call, calls, running

PRICE = {"price": {"input_usd_per_million": 1.0, "output_usd_per_million": 10.0}}
USAGE = {"prompt_tokens": 10_000, "completion_tokens": 1_000}
CALL_USD = 0.02
"""What a call with this usage costs at this price."""


async def _noop(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
    return ToolResult("done")


NOOP = ToolSpec("noop", "Does nothing.", {"type": "object", "properties": {}}, _noop)


def steps(count: int) -> list[dict[str, Any]]:
    """A script of `count` priced calls with a tool call each, and an answer that never comes within a cap."""
    return [PRICE, *[calls(call("noop"), usage=USAGE) for _ in range(count)], {"text": "finished", "usage": USAGE}]


def spent(loop: Loop) -> float:
    return sum(payload.charged_usd for payload in loop.of(LLMCall))


async def test_at_the_cap_the_step_is_finished_and_the_turn_ends(tmp_path: Path) -> None:
    async with running(tmp_path, steps(9), tools=[NOOP], max_cost_usd=0.05) as loop:
        end = (await loop.turn()).payload
        assert isinstance(end, TurnComplete)
        assert end.stop_reason == "budget"
        assert len(loop.of(ToolOutput)) == 3  # the call that reached the cap had its step
        assert spent(loop) == pytest.approx(3 * CALL_USD)
        assert spent(loop) <= 0.05 + CALL_USD


async def test_warnings_come_once_each_and_the_model_is_told_when_little_is_left(tmp_path: Path) -> None:
    async with running(tmp_path, steps(9), tools=[NOOP], max_cost_usd=0.2) as loop:
        await loop.turn()
        warnings = [log.log for log in loop.of(ToolLog) if "budget" in log.log]
        assert [text.split(" %")[0] for text in warnings[:2]] == ["50", "80"]
        (note,) = [m["content"] for m in loop.wire() if "budget_low" in str(m["content"])]
        assert "80 %" in note  # the last warning came with the last answer
        statuses = loop.of(BudgetStatus)
        assert statuses[-1].cap_usd == 0.2
        assert statuses[-1].spent_usd == pytest.approx(spent(loop))


async def test_a_raised_cap_lets_the_session_go_on(tmp_path: Path) -> None:
    async with running(tmp_path, steps(4), tools=[NOOP], max_cost_usd=0.05) as loop:
        assert (await loop.turn()).payload.stop_reason == "budget"
        await loop.operate(OpType.CONFIGURE, cap_usd=1.0)
        end = (await loop.turn("go on")).payload
        assert (end.stop_reason, end.final_response) == ("done", "finished")


async def test_nothing_is_sent_once_the_cap_is_reached(tmp_path: Path) -> None:
    async with running(tmp_path, steps(2), tools=[NOOP], max_cost_usd=0.01) as loop:
        assert (await loop.turn()).payload.stop_reason == "budget"
        assert (await loop.turn("again")).payload.stop_reason == "budget"
        assert len(loop.of(LLMCall)) == 1


async def test_a_cap_is_a_sum_of_money(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "hi"}]) as loop:
        loop.outside_ends = 2
        for nonsense in (-1, "five"):
            error = (await loop.operate(OpType.CONFIGURE, cap_usd=nonsense)).payload
            assert "sum of money" in error.error


async def test_a_free_model_runs_without_money(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "free", "usage": USAGE}], max_cost_usd=0.0) as loop:
        assert (await loop.turn()).payload.final_response == "free"


async def test_an_interrupted_answer_is_charged_for_what_had_come(tmp_path: Path) -> None:
    answers = [PRICE, {"text": ["some text"] * 100, "error": {"status": 400, "message": "no", "after_chunks": 50}}]
    async with running(tmp_path, answers) as loop:
        await loop.turn()
        (charged,) = loop.of(LLMCall)
        assert charged.cost_usd is None  # nobody reported it
        assert not charged.cost_known
        assert charged.charged_usd > 0


# --- calls that cost money -------------------------------------------------------------------------------------------


def compute(usd: float | None, cost_usd: float | None = None) -> ToolSpec:
    """A billable tool estimated at `usd` that really costs `cost_usd`."""

    async def run(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        return ToolResult("started", cost_usd=cost_usd)

    return ToolSpec(
        "compute",
        "Costs money.",
        {"type": "object", "properties": {}},
        run,
        approval=lambda _arguments, _context: ApprovalNeed("ask", "it costs money", billable=True),
        estimate_cost=lambda _arguments: CostEstimate(usd, "an hour of a100-large"),
    )


def outputs(loop: Loop) -> list[str]:
    return [output.output for output in loop.of(ToolOutput)]


async def test_unattended_compute_needs_a_cap_or_a_waiver(tmp_path: Path) -> None:
    script = [calls(call("compute")), {"text": "ok"}]
    async with running(tmp_path, script, tools=[compute(4.0)]) as loop:
        await loop.turn()
        (denied,) = outputs(loop)
        assert "--max-cost-usd" in denied
        assert "--no-budget" in denied
    async with running(tmp_path, script, tools=[compute(4.0)], no_budget=True) as loop:
        await loop.turn()
        assert outputs(loop) == ["started"]


async def test_a_batch_cannot_exceed_the_cap_together(tmp_path: Path) -> None:
    script = [calls(call("compute"), call("compute"), call("compute")), {"text": "ok"}]
    async with running(tmp_path, script, tools=[compute(4.0)], max_cost_usd=10.0) as loop:
        await loop.turn()
        assert [text.split(":")[0] for text in outputs(loop)] == ["started", "started", "Not run"]
        assert "exceeds" in outputs(loop)[2]
        assert loop.session.ledger.spent_usd == 8.0


async def test_the_real_cost_is_charged_where_it_is_known(tmp_path: Path) -> None:
    script = [calls(call("compute")), {"text": "ok"}]
    async with running(tmp_path, script, tools=[compute(4.0, cost_usd=1.5)], max_cost_usd=10.0) as loop:
        await loop.turn()
        assert (loop.session.ledger.spent_usd, loop.session.ledger.unknown_usd) == (1.5, 0.0)


async def test_a_person_decides_about_an_unknown_price(tmp_path: Path) -> None:
    script = [calls(call("compute")), {"text": "ok"}]
    async with running(tmp_path, script, tools=[compute(None)], headless=False, max_cost_usd=10.0) as loop:
        question = (await loop.turn()).payload
        (item,) = question.tools
        assert "unknown" in item.reason
        assert item.auto_approval_blocked
        await loop.submit(OpType.EXEC_APPROVAL, approvals=[{"tool_call_id": item.tool_call_id, "approved": True}])
        await loop.until(TurnComplete)
        assert outputs(loop) == ["started"]
        assert loop.session.ledger.unknown_usd > 0


# --- time ------------------------------------------------------------------------------------------------------------


async def test_when_time_is_up_what_runs_is_stopped(tmp_path: Path) -> None:
    async def forever(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        await asyncio.Event().wait()
        raise AssertionError

    spec = ToolSpec("forever", "Never ends.", {"type": "object", "properties": {}}, forever)
    async with running(tmp_path, [calls(call("forever")), {"text": "late"}], tools=[spec], max_wall_s=0.2) as loop:
        end = (await loop.turn()).payload
        assert (end.stop_reason, len(loop.of(LLMCall))) == ("time_limit", 1)
        assert (await loop.turn("again")).payload.stop_reason == "time_limit"
        assert len(loop.of(LLMCall)) == 1
