"""Research sub-agents at their limits: how many at once, what a stop costs, what was never begun."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.core.sub_agent import END, SIDE_BY_SIDE, START, WAITING
from agent.core.sub_agent_session import SubAgentSession
from agent.protocol.events import BudgetStatus, Interrupted, LLMCall, ToolOutput
from agent.protocol.tools import Brief, ToolResult, ToolSession
from agent.tools.research_tool import research_spec
from tests.unit.core.loop import call, calls, running, surroundings
from tests.unit.core.test_sub_agent import MAIN, asks, logs, look, researching, result_of, told_child, tool

PRICE = {"price": {"input_usd_per_million": 10, "output_usd_per_million": 10}}


async def test_a_few_work_side_by_side_and_the_others_wait_and_say_so(tmp_path: Path) -> None:
    all_in, at_work, most = asyncio.Event(), 0, 0

    async def wait(_arguments: dict[str, Any], _session: ToolSession, _call_id: str) -> ToolResult:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        if at_work == SIDE_BY_SIDE:
            all_in.set()
        await all_in.wait()
        at_work -= 1
        return ToolResult("seen")

    ids = [f"r{number}" for number in range(SIDE_BY_SIDE + 2)]
    answers = {"when": "task:", **look("a")}, {"when": "seen", "text": "AdamW."}, {"text": "unused"}
    main = (calls(*(asks(each, each) for each in ids)), {"text": "Thanks."})
    async with researching(tmp_path, *answers, main=main, tools=[tool(run=wait)]) as loop:
        await loop.turn()
    assert most == SIDE_BY_SIDE
    for each in ids:
        assert "AdamW." in result_of(loop, each)
        begins = [START] if each in ids[:SIDE_BY_SIDE] else [WAITING, START]
        assert logs(loop, each)[: len(begins)] == begins
        assert logs(loop, each)[-1] == END


async def test_one_that_waits_is_stopped_at_once_and_its_place_is_not_lost(tmp_path: Path) -> None:
    begun = 0
    all_in = asyncio.Event()

    async def hang(_arguments: dict[str, Any], _session: ToolSession, _call_id: str) -> ToolResult:
        nonlocal begun
        begun += 1
        if begun == SIDE_BY_SIDE:
            all_in.set()
        await asyncio.Event().wait()
        raise AssertionError

    ids = [f"r{number}" for number in range(SIDE_BY_SIDE + 1)]
    answers = {"when": "task: r", **look("a")}, {"when": "task: again", "text": "AdamW."}, {"text": "unused"}
    again = calls(*(asks(f"again {each}", f"again-{each}") for each in ids))
    main = (calls(*(asks(each, each) for each in ids)), again, {"text": "Thanks."})
    async with researching(tmp_path, *answers, main=main, tools=[tool(run=hang)]) as loop:
        turn = asyncio.create_task(loop.turn())
        await all_in.wait()
        loop.session.cancel()
        assert isinstance((await turn).payload, Interrupted)
        assert logs(loop, ids[-1]) == [WAITING]
        await loop.turn("again")
    assert [logs(loop, f"again-{each}")[-1] for each in ids] == [END] * len(ids)


async def test_a_call_that_never_got_its_place_is_told_that_nothing_was_run(tmp_path: Path) -> None:
    begun = 0
    two = asyncio.Event()

    async def hang(_arguments: dict[str, Any], _session: ToolSession, _call_id: str) -> ToolResult:
        nonlocal begun
        begun += 1
        if begun == 2:
            two.set()
        await asyncio.Event().wait()
        raise AssertionError

    script = calls(*(call("look", {"what": each}, each) for each in "abcd"))
    async with running(tmp_path, [script], tools=[tool(run=hang)]) as loop:
        loop.session.tools_at_once = 2
        turn = asyncio.create_task(loop.turn())
        await two.wait()
        loop.session.cancel()
        await turn
        told = [result_of(loop, each) for each in "abcd"]
    assert begun == 2
    assert ["effects, if any, are unknown" in each for each in told] == [True, True, False, False]
    assert ["before it began. Nothing was run" in each for each in told] == [False, False, True, True]


async def test_the_goal_is_recalled_though_another_guard_has_a_word_at_the_same_time(tmp_path: Path) -> None:
    """Two calls with malformed arguments right before the tenth reply is in: both notes are due then."""
    good = [look(str(number)) for number in range(8)]
    malformed = [calls(call("look", text)) for text in ("{no", "{no, no")]
    async with researching(tmp_path, *good, *malformed, {"text": "AdamW."}) as loop:
        await loop.turn()
    told = told_child(tmp_path)
    assert "[ml-intern guard: malformed" in told
    assert "[ml-intern guard: goal]" in told
    assert "AdamW." in result_of(loop)


# --- what a stop costs -----------------------------------------------------------------------------------------------


class Stubborn:
    """A wait that takes no notice of being cancelled, until it is released."""

    def __init__(self) -> None:
        self.begun, self.released, self.over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, _seconds: float) -> None:
        self.begun.set()
        while not self.released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.released.wait()
        self.over.set()

    @asynccontextmanager
    async def in_the_way(self) -> AsyncIterator[None]:
        """It is released in the end, whatever the test finds."""
        try:
            yield
        finally:
            self.released.set()


async def test_a_model_call_that_will_not_stop_is_charged_and_told_before_the_turn_ends(tmp_path: Path) -> None:
    """It is stopped in the pause after an attempt that broke when the model had begun to think."""
    stubborn = Stubborn()
    broken = {"thinking": "Hm.", "text": "unused", "error": {"status": 503, "message": "busy", "after_chunks": 1}}
    place = replace(surroundings(tmp_path), sleep=stubborn)
    answers = PRICE, broken, {"text": "too late"}
    async with researching(tmp_path, *answers, main=(calls(asks()),), place=place) as loop, stubborn.in_the_way():
        turn = asyncio.create_task(loop.turn())
        await stubborn.begun.wait()
        loop.session.cancel()
        assert isinstance((await turn).payload, Interrupted)
        (charge,) = [charge for charge in loop.of(LLMCall) if charge.kind == "research"]
        ledger = loop.session.ledger
        assert (charge.finish_reason, charge.cost_known) == ("interrupted", False)
        assert 0 < charge.charged_usd == ledger.spent_usd == loop.of(BudgetStatus)[-1].spent_usd
        assert charge.charged_usd < 0.1  # what it had got to, not all that an answer can cost
        assert ledger.reserved_usd == 0
        stubborn.released.set()
        await stubborn.over.wait()
        assert ledger.spent_usd == charge.charged_usd
    assert len([charge for charge in loop.of(LLMCall) if charge.kind == "research"]) == 1


async def test_a_call_that_is_open_when_the_research_is_closed_is_charged_as_a_worst_case_once(tmp_path: Path) -> None:
    async with researching(tmp_path, {"text": "unused"}, main=[{"text": "Hello."}]) as loop:
        child = await SubAgentSession.under(loop.session, Brief("Which optimiser?"), "c1")
        held = child.ledger.reserve("main", 0.25, must_fit=False)
        await child.close()
        assert (loop.session.ledger.spent_usd, loop.session.ledger.reserved_usd) == (0.25, 0)
        late = child.ledger.settle(held, 0.1)
        assert late.charged_usd == 0
        await child.send_event(LLMCall(child.model_name, "research", 0, "stop", 0.1, cost_known=True))
        assert loop.session.ledger.spent_usd == 0.25
        await loop.turn()
    (charge,) = [charge for charge in loop.of(LLMCall) if charge.kind == "research"]
    assert (charge.charged_usd, charge.cost_known, charge.finish_reason) == (0.25, False, "interrupted")


# --- without one -----------------------------------------------------------------------------------------------------


async def test_where_there_is_no_sub_agent_the_call_fails_in_our_own_words(tmp_path: Path) -> None:
    async with running(tmp_path, MAIN, tools=[research_spec(), tool()]) as loop:
        loop.session.sub_agent = None
        await loop.turn()
    (output,) = loop.of(ToolOutput)
    assert not output.success
    assert "there is no sub-agent in this session" in output.output
    assert "external_data" not in output.output
