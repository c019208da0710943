"""What a research costs: charged once, in the session's ledger, within both caps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.budget.ledger import BudgetExceeded, Ledger
from agent.budget.share import Share
from agent.protocol.events import BudgetStatus, LLMCall, ToolOutput, TurnComplete
from tests.unit.core.loop import calls
from tests.unit.core.test_sub_agent import asks, logs, look, researching, result_of

PRICE = {"price": {"input_usd_per_million": 10, "output_usd_per_million": 10}}
TEN_CENTS = {"prompt_tokens": 10_000, "completion_tokens": 0, "total_tokens": 10_000}


async def test_each_call_is_charged_once_under_its_own_heading(tmp_path: Path) -> None:
    answers = PRICE, look("a", usage=TEN_CENTS), {"text": "AdamW.", "usage": TEN_CENTS}
    async with researching(tmp_path, *answers) as loop:
        await loop.turn()
        ledger = loop.session.ledger
    assert ledger.spent_usd == pytest.approx(0.2)
    assert ledger.reserved_usd == 0
    (total,) = [total for total in ledger.totals() if total.kind == "research"]
    assert (total.calls, total.usd) == (2, pytest.approx(0.2))
    charges = [call.charged_usd for call in loop.of(LLMCall) if call.kind == "research"]
    assert charges == [pytest.approx(0.1)] * 2
    assert loop.of(BudgetStatus)[-1].spent_usd == pytest.approx(0.2)
    assert "$0.20" in result_of(loop)


async def test_what_was_charged_is_there_again_when_the_session_is_resumed(tmp_path: Path) -> None:
    from agent.core.agent_loop import Resumption
    from tests.unit.core.loop import running

    async with researching(tmp_path, PRICE, {"text": "AdamW.", "usage": TEN_CENTS}) as loop:
        await loop.turn()
        path = loop.session.record.saved_path
    assert path is not None
    async with running(tmp_path, [{"text": "on"}], resumption=Resumption(path)) as again:
        assert again.session.ledger.spent_usd == pytest.approx(0.1)


async def test_a_research_answers_before_its_own_money_is_gone(tmp_path: Path) -> None:
    """Its cap is 30 cents, a call takes 10: two, and one to tell."""
    steps = [look(str(n), usage=TEN_CENTS) for n in range(2)]
    answers = PRICE, *steps, {"text": "So far: AdamW.", "usage": TEN_CENTS}
    async with researching(tmp_path, *answers, research_max_usd=0.3) as loop:
        end = (await loop.turn()).payload
    assert isinstance(end, TurnComplete)
    assert end.stop_reason == "done"
    assert "So far: AdamW." in result_of(loop)
    assert "ended early: the budget's end was near" in result_of(loop)
    assert loop.session.ledger.spent_usd == pytest.approx(0.3)


async def test_a_session_without_money_gets_notes_and_goes_on_with_what_is_free(tmp_path: Path) -> None:
    """The session's own model costs nothing here."""
    answers = PRICE, look("a", text="It says 3e-4.", usage=TEN_CENTS), {"text": "never asked"}
    async with researching(tmp_path, *answers, max_cost_usd=0.1, research_max_usd=5) as loop:
        end = (await loop.turn()).payload
    assert isinstance(end, TurnComplete)
    assert end.final_response == "Thanks."
    assert "It says 3e-4." in result_of(loop)
    assert "the budget was used up" in result_of(loop)
    assert "never asked" not in result_of(loop)
    assert loop.session.ledger.spent_usd == pytest.approx(0.1)
    assert loop.session.ledger.reserved_usd == 0


async def test_a_cap_of_nothing_lets_nothing_run_that_costs(tmp_path: Path) -> None:
    async with researching(tmp_path, PRICE, {"text": "never asked"}, research_max_usd=0) as loop:
        await loop.turn()
    (output,) = loop.of(ToolOutput)
    assert not output.success
    assert "the budget was used up" in output.output
    assert loop.session.ledger.spent_usd == 0


async def test_side_by_side_under_a_small_cap_both_get_their_answer(tmp_path: Path) -> None:
    """What one call may cost at most (32,000 tokens of answer) is more than the cap: they take turns."""
    dear = {"price": {"input_usd_per_million": 10, "output_usd_per_million": 50}}
    answers = [{"when": f"task: {n}", "text": f"report {n}", "usage": TEN_CENTS, "delay_s": 0.02} for n in "ABC"]
    main = (calls(*(asks(n, f"r{n}") for n in "ABC")), {"text": "Thanks."})
    async with researching(tmp_path, dear, *answers, {"text": "unused"}, main=main, max_cost_usd=1.0) as loop:
        await loop.turn()
    for name in "ABC":
        assert f"report {name}" in result_of(loop, f"r{name}")
        assert logs(loop, f"r{name}")[-1] == "Research complete."
    assert loop.session.ledger.spent_usd == pytest.approx(0.3)
    assert loop.session.ledger.reserved_usd == 0


# --- the ledger of a part --------------------------------------------------------------------------------------------


def test_what_a_share_holds_and_charges_the_whole_holds_and_charges_too() -> None:
    whole = Ledger(10.0)
    share = Share(whole, "research", 2.0)
    held = share.reserve("compaction", 1.0, must_fit=False)
    assert (share.reserved_usd, whole.reserved_usd) == (1.0, 1.0)
    share.settle(held, 0.25)
    share.charge_lost("main", 0.5)
    assert (share.spent_usd, whole.spent_usd) == (0.75, 0.75)
    assert [total.kind for total in whole.totals()] == ["research"]
    assert (share.reserved_usd, whole.reserved_usd) == (0.0, 0.0)


@pytest.mark.parametrize(("whole_usd", "share_usd"), [(1.0, 5.0), (5.0, 1.0), (1.0, None)])
def test_what_either_refuses_is_held_in_neither(whole_usd: float, share_usd: float | None) -> None:
    whole = Ledger(whole_usd)
    share = Share(whole, "research", share_usd)
    share.settle(share.reserve("main", 1.0, must_fit=False), 1.0)
    with pytest.raises(BudgetExceeded):
        share.reserve("main", 0.5, must_fit=False)
    assert (share.reserved_usd, whole.reserved_usd) == (0.0, 0.0)


def test_a_closed_share_has_charged_what_it_held_and_charges_nothing_more() -> None:
    whole = Ledger(None)
    share = Share(whole, "research", None)
    held = share.reserve("main", 1.0, must_fit=False)
    given_back = share.reserve("main", 5.0, must_fit=False)
    share.release(given_back)
    (settled,) = share.close()
    assert (settled.charged_usd, settled.known) == (1.0, False)
    assert share.settle(held, 0.5).charged_usd == 0.0
    share.charge_lost("main", 0.5)
    share.release(held)
    assert (share.reserved_usd, whole.reserved_usd) == (0.0, 0.0)
    assert (share.spent_usd, whole.spent_usd, whole.unknown_usd) == (1.0, 1.0, 1.0)
    assert share.close() == []


def test_what_is_left_for_a_kind_counts_what_other_kinds_hold() -> None:
    whole = Ledger(10.0)
    share = Share(whole, "research", 8.0)
    whole.reserve("hf_jobs", 5.0, must_fit=True)
    whole.reserve("research", 4.0, must_fit=False)
    assert share.left_usd("research") == 5.0
    assert Ledger(None).left_usd("main") is None


async def test_a_wait_for_money_ends_when_some_is_given_back() -> None:
    whole = Ledger(1.0)
    share = Share(whole, "research", None)
    assert share.freed("main") is None  # nobody holds any
    held = whole.reserve("research", 1.0, must_fit=False)
    freed = share.freed("main")
    assert freed is not None
    assert not freed.done()
    whole.release(held)
    await asyncio.wait_for(freed, 1)


def test_a_job_that_runs_for_hours_is_not_waited_for() -> None:
    whole = Ledger(1.0)
    whole.reserve("hf_jobs", 1.0, must_fit=True)
    assert Share(whole, "research", None).freed("main") is None
