"""What the person is told of tool calls: each result when it is there, and in words for a person, not for the model."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.events import (
    ApprovalRequired,
    AssistantChunk,
    Interrupted,
    LLMCall,
    ToolCallStarted,
    ToolOutput,
    ToolProgress,
    TurnComplete,
)
from agent.protocol.operations import OpType
from agent.protocol.tools import ApprovalNeed, ToolResult, ToolSpec
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI
from tests.unit.core.loop import Loop, call, calls, running

OBJECT: dict[str, Any] = {"type": "object", "properties": {}}
DONE = {"text": "done"}


async def _quick(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
    return ToolResult("quick")


QUICK = ToolSpec("quick", "", OBJECT, _quick)
RISKY = ToolSpec("risky", "", OBJECT, _quick, approval=lambda _a, _c: ApprovalNeed("ask", "risky"))


def slow(may_end: asyncio.Event, **more: Any) -> ToolSpec:
    async def handler(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        await may_end.wait()
        return ToolResult("slow")

    return ToolSpec("slow", "", OBJECT, handler, **more)


def displays(loop: Loop) -> list[str | None]:
    return [output.display for output in loop.of(ToolOutput)]


async def answer(loop: Loop, *approved: bool, feedback: str = "") -> None:
    items = loop.of(ApprovalRequired)[-1].tools
    approvals = [
        {"tool_call_id": item.tool_call_id, "approved": yes, "feedback": feedback}
        for item, yes in zip(items, approved, strict=True)
    ]
    await loop.submit(OpType.EXEC_APPROVAL, approvals=approvals)


# --- when ------------------------------------------------------------------------------------------------------------


async def test_a_result_is_told_while_other_calls_still_run(tmp_path: Path) -> None:
    may_end = asyncio.Event()
    script = [calls(call("slow"), call("quick")), DONE]
    async with running(tmp_path, script, tools=[slow(may_end), QUICK]) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        assert (await loop.until(ToolOutput)).payload.tool == "quick"
        may_end.set()
        await loop.until(TurnComplete)
        assert [output.tool for output in loop.of(ToolOutput)] == ["quick", "slow"]
        assert [m["content"] for m in loop.wire() if m["role"] == "tool"] == ["slow", "quick"]


async def test_a_rejected_call_is_over_before_the_approved_ones(tmp_path: Path) -> None:
    may_end = asyncio.Event()
    tools = [slow(may_end, approval=RISKY.approval), RISKY]
    async with running(tmp_path, [calls(call("slow"), call("risky")), DONE], tools=tools, yolo_mode=False) as loop:
        await loop.turn()
        await answer(loop, True, False)
        assert (await loop.until(ToolOutput)).payload.tool == "risky"
        may_end.set()
        await loop.until(TurnComplete)


async def test_a_stop_keeps_what_was_told_and_gives_the_others_one_result_each(tmp_path: Path) -> None:
    script = [calls(call("slow"), call("quick"), call("slow")), DONE]
    async with running(tmp_path, script, tools=[slow(asyncio.Event()), QUICK], lockstep=True) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await loop.until(ToolOutput)
        loop.session.cancel()
        await loop.until(Interrupted)
        assert [(output.tool, output.display) for output in loop.of(ToolOutput)] == [
            ("quick", None),
            ("slow", "stopped"),
            ("slow", "stopped"),
        ]


# --- in which words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feedback", "told"), [("", "rejected"), ("Use LoRA,\n  not all of it", "rejected: Use LoRA, not all of it")]
)
async def test_a_rejection(tmp_path: Path, feedback: str, told: str) -> None:
    async with running(tmp_path, [calls(call("risky")), DONE], tools=[RISKY], yolo_mode=False) as loop:
        await loop.turn()
        await answer(loop, False, feedback=feedback)
        await loop.until(TurnComplete)
        assert displays(loop) == [told]
        assert feedback in loop.of(ToolOutput)[0].output


async def test_a_question_that_was_not_answered(tmp_path: Path) -> None:
    async with running(tmp_path, [calls(call("risky")), DONE], tools=[RISKY], yolo_mode=False) as loop:
        await loop.turn()
        await loop.turn("something else")
        assert displays(loop) == ["not run: not answered"]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("bash", '{"command": ', "the arguments were not valid JSON"),
        ("bash", "[]", "the arguments were an array, not a JSON object"),
        ("bash", {}, "Invalid arguments for bash: 'command' is a required property."),
        ("bsh", {}, "there is no tool named 'bsh'"),
    ],
)
async def test_a_call_that_cannot_run(tmp_path: Path, name: str, arguments: Any, told: str) -> None:
    async with running(tmp_path, [calls(call(name, arguments)), DONE]) as loop:
        await loop.turn()
        assert displays(loop) == [told]


async def test_a_command_that_was_stopped(tmp_path: Path) -> None:
    script = [calls(call("bash", {"command": "seq 1 30; sleep 1000"}))]
    async with running(tmp_path, script) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        while not (await loop.until(ToolProgress)).payload.text.endswith("30"):
            pass
        loop.session.cancel()
        await loop.until(Interrupted)
        assert displays(loop) == ["\n".join([*map(str, range(11, 31)), "[stopped]"])]


async def test_a_call_stopped_before_it_began(tmp_path: Path) -> None:
    async with running(tmp_path, [calls(call("quick")), DONE], tools=[QUICK], lockstep=True) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await loop.until(ToolCallStarted)
        loop.session.cancel()
        await loop.until(Interrupted)
        assert displays(loop) == ["stopped"]


# --- what nobody needs to be asked about -----------------------------------------------------------------------------


def edit(old_str: str, path: str = "a.txt") -> dict[str, Any]:
    return call("edit", {"path": path, "old_str": old_str, "new_str": "new"})


READ = calls(call("read", {"path": "a.txt"}))


def asking(tmp_path: Path, *answers: dict[str, Any], **more: Any) -> Any:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "a.txt").write_text("old text\n")
    return running(tmp_path, [*answers, DONE], yolo_mode=False, headless=False, **more)


async def test_an_edit_that_would_fail_is_not_asked_about(tmp_path: Path) -> None:
    async with asking(tmp_path, READ, calls(edit("nowhere")), calls(edit("old"))) as loop:
        asked = (await loop.turn()).payload
        assert [item.arguments["old_str"] for item in asked.tools] == ["old"]
        refused = loop.of(ToolOutput)[-1]
        assert not refused.success
        assert "is unchanged." in refused.output
        assert refused.output in [message["content"] for message in loop.wire()]


async def test_neither_is_a_write_over_a_file_that_was_not_read(tmp_path: Path) -> None:
    async with asking(tmp_path, calls(call("write", {"path": "a.txt", "content": "new"}))) as loop:
        assert isinstance((await loop.turn()).payload, TurnComplete)
        assert not loop.of(ToolOutput)[0].success


async def test_only_those_of_a_batch_that_would_fail_are_left_out(tmp_path: Path) -> None:
    async with asking(tmp_path, READ, calls(edit("nowhere"), edit("old"), edit("x", "missing.txt"))) as loop:
        asked = (await loop.turn()).payload
        assert [item.arguments["old_str"] for item in asked.tools] == ["old"]
        await answer(loop, True)
        await loop.until(TurnComplete)
        assert [output.success for output in loop.of(ToolOutput)] == [True, False, False, True]


async def test_an_edit_may_count_on_the_calls_before_it(tmp_path: Path) -> None:
    write = call("write", {"path": "b.txt", "content": "fresh"})
    script = [READ, calls(write, edit("fresh", "b.txt")), calls(call("bash", {"command": "touch x"}), edit("nowhere"))]
    async with asking(tmp_path, *script) as loop:
        assert len((await loop.turn()).payload.tools) == 2
        await answer(loop, True, True)
        assert len((await loop.until_turn_ends()).payload.tools) == 2


async def test_a_check_that_fails_itself_leaves_the_decision_to_the_person(tmp_path: Path) -> None:
    def broken(_arguments: Any, _session: Any) -> str:
        raise RuntimeError("a bug of the tool's")

    tool = ToolSpec("risky", "", OBJECT, _quick, approval=RISKY.approval, check=broken)
    async with running(tmp_path, [calls(call("risky")), DONE], tools=[tool], yolo_mode=False) as loop:
        assert isinstance((await loop.turn()).payload, ApprovalRequired)


# --- what it costs ---------------------------------------------------------------------------------------------------


async def test_a_stopped_answer_of_a_local_model_is_known_to_cost_nothing(
    tmp_path: Path, openai_server: FakeOpenAI
) -> None:
    paid = await paid_for_stopping(tmp_path, openai_server, "vllm/model", {"VLLM_BASE_URL": openai_server.url})
    assert (paid.cost_usd, paid.cost_known, paid.charged_usd) == (0.0, True, 0.0)


async def test_a_stopped_answer_is_charged_by_its_price_although_no_cap_had_it_asked_for(
    tmp_path: Path, openai_server: FakeOpenAI
) -> None:
    """The dearest price there is would be hundreds of times as much."""
    environ = {"OPENAI_BASE_URL": openai_server.base_url, "OPENAI_API_KEY": "sk-x"}
    paid = await paid_for_stopping(tmp_path, openai_server, "openai/gpt-4o-mini", environ)
    assert not paid.cost_known
    assert 0 < paid.charged_usd < 0.01


async def paid_for_stopping(tmp_path: Path, server: FakeOpenAI, model_name: str, environ: dict[str, str]) -> LLMCall:
    """What is told of the first call of a session, which is stopped in the middle of its answer."""
    server.script_function(lambda _request: reply.stall_after(2))
    async with running(tmp_path, environ=environ, model_name=model_name, context_window=32_000) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await loop.until(AssistantChunk)
        loop.session.cancel()
        await loop.until(Interrupted)
        (paid,) = loop.of(LLMCall)
        assert isinstance(paid, LLMCall)
        return paid
