"""`research`: what it hands on, and how findings become a result."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.tools import Brief, Findings, ToolResult
from agent.tools.research_tool import research_spec

DONE = Findings("AdamW.", True, "done", model_calls=3, tool_calls=7, tokens=12_345, cost_usd=0.42)


@dataclass
class Delegating:
    """A session whose sub-agent has found `findings`."""

    findings: Findings = DONE
    briefs: list[tuple[Brief, str]] = field(default_factory=list)

    async def delegate(self, brief: Brief, tool_call_id: str) -> Findings:
        self.briefs.append((brief, tool_call_id))
        return self.findings

    async def call(self, **arguments: Any) -> ToolResult:
        return await research_spec().handler(arguments, self, "r1")  # type: ignore[arg-type]


async def test_task_and_context_are_handed_on() -> None:
    session = Delegating()
    await session.call(task=" Which optimiser? ", context="One GPU.")
    await session.call(task="Which?")
    assert session.briefs == [(Brief("Which optimiser?", "One GPU."), "r1"), (Brief("Which?"), "r1")]


async def test_a_report_is_data_and_the_figures_are_our_own_word() -> None:
    result = await Delegating().call(task="x")
    assert result.ok
    assert (result.output, result.source) == ("AdamW.", "research sub-agent")
    assert result.advice == "[Research complete. 3 model calls, 7 tool calls, 12,345 tokens, $0.42.]"


async def test_a_report_cut_short_says_by_what() -> None:
    result = await Delegating(Findings("Notes.", False, "the time limit of 20 min was reached")).call(task="x")
    assert result.ok
    assert "ended early: the time limit of 20 min was reached" in result.advice
    assert "cost not known" in result.advice


@pytest.mark.parametrize(
    ("findings", "step"),
    [
        (Findings("", False, "the budget was used up"), "hardly any money left"),
        (Findings("", False, "the model call failed (The key was refused.)", 1), "1 model call,"),
        (Findings(" \n", True, "done"), "narrower task"),
    ],
)
async def test_no_report_is_a_failed_call_with_cause_and_next_step(findings: Findings, step: str) -> None:
    result = await Delegating(findings).call(task="x")
    assert not result.ok
    assert (findings.ended if findings.ended != "done" else "empty report") in result.output
    assert step in result.output


async def test_an_empty_task_costs_nothing() -> None:
    session = Delegating()
    assert not (await session.call(task="  ")).ok
    assert session.briefs == []


def test_it_only_looks_and_is_not_for_sub_agents_themselves() -> None:
    spec = research_spec()
    assert spec.only_looks({"task": "x"}, Path("/"))
    assert not spec.in_research
    assert spec.estimate_cost({"task": "x"}) is None
