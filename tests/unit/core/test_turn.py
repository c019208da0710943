"""The loop, through its queues: what a user interface sees and what the model is shown."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.events import (
    ApprovalRequired,
    AssistantChunk,
    AssistantMessage,
    AssistantStreamEnd,
    ErrorRaised,
    Interrupted,
    LLMCall,
    NewComplete,
    PlanUpdate,
    SettingsChanged,
    ToolCallStarted,
    ToolLog,
    ToolOutput,
    ToolStateChange,
    TurnComplete,
    UndoComplete,
)
from agent.protocol.operations import OpType
from agent.protocol.tools import ApprovalNeed, ToolResult, ToolSpec
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI
from tests.unit.core.loop import call, calls, running

SUMMARY = {"when": "^An agent for machine-learning", "text": "a summary"}
OBJECT = {"type": "object", "properties": {}, "additionalProperties": True}


def tool(name: str, handler: Any, **more: Any) -> ToolSpec:
    return ToolSpec(name=name, description=name, parameters=OBJECT, handler=handler, **more)


def echo(name: str = "echo", **more: Any) -> ToolSpec:
    async def handler(arguments: dict[str, Any], _session: Any, _call_id: str) -> ToolResult:
        return ToolResult(f"{name}: {arguments}")

    return tool(name, handler, **more)


async def test_plain_answer_comes_as_chunks_and_ends_the_turn(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": ["Hel", "lo"]}]) as loop:
        end = await loop.turn("hi")
        assert end.payload == TurnComplete(history_size=3, final_response="Hello")
        assert [p.content for p in loop.of(AssistantChunk)] == ["Hel", "lo"]
        assert loop.kinds() == [
            "ready",
            "processing",
            "assistant_chunk",
            "assistant_chunk",
            "llm_call",
            "assistant_stream_end",
            "turn_complete",
        ]


async def test_without_streaming_the_answer_is_one_message(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "Hello"}], stream=False) as loop:
        await loop.turn()
        assert [p.content for p in loop.of(AssistantMessage)] == ["Hello"]
        assert not loop.of(AssistantChunk)
        assert not loop.of(AssistantStreamEnd)


async def test_tools_run_side_by_side_and_the_model_reads_their_results_in_call_order(tmp_path: Path) -> None:
    first_may_end = asyncio.Event()

    async def slow(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        await first_may_end.wait()
        return ToolResult("slow")

    async def quick(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        first_may_end.set()  # only if both run at the same time does the first one end
        return ToolResult("quick")

    answers = [calls(call("slow"), call("quick"), text="Working."), {"text": "Done."}]
    async with running(tmp_path, answers, tools=[tool("slow", slow), tool("quick", quick)]) as loop:
        end = await loop.turn()
        assert end.payload.final_response == "Done."
        assert sorted(p.output for p in loop.of(ToolOutput)) == ["quick", "slow"]
        assert [m["content"] for m in loop.wire() if m["role"] == "tool"] == ["slow", "quick"]
        assert len(loop.of(LLMCall)) == 2


async def test_two_edits_of_one_file_in_one_batch_both_count(tmp_path: Path) -> None:
    write = call("write", {"path": "a.txt", "content": "one two\n"})
    first = call("edit", {"path": "a.txt", "old_str": "one", "new_str": "1"})
    second = call("edit", {"path": "a.txt", "old_str": "two", "new_str": "2"})
    async with running(tmp_path, [calls(write), calls(first, second), {"text": "ok"}]) as loop:
        await loop.turn()
        assert all(p.success for p in loop.of(ToolOutput))
        assert (loop.session.workspace / "a.txt").read_text() == "1 2\n"


async def test_misspelled_arguments_are_put_right(tmp_path: Path) -> None:
    todos = '[{"id": "1", "content": "x", "status": "completed"}]'
    sloppy = [
        call("bash", {"command": "echo hi", "timeout": "5", "work_dir": None}),
        call("plan_tool", {"todos": todos}),
    ]
    async with running(tmp_path, [calls(*sloppy), {"text": "ok"}]) as loop:
        await loop.turn()
        assert [p.success for p in loop.of(ToolOutput)] == [True, True]


async def test_arguments_against_the_schema_are_named(tmp_path: Path) -> None:
    async with running(tmp_path, [calls(call("bash", {"cmd": "ls"})), {"text": "ok"}]) as loop:
        await loop.turn()
        (output,) = loop.of(ToolOutput)
        assert "Invalid arguments for bash" in output.output
        assert "cmd" in output.output or "command" in output.output


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("[]", "must be a JSON object, not an array"),
        ('"x"', "must be a JSON object, not a string"),
        ("7", "must be a JSON object, not a plain value"),
        ('{"a": ', "malformed JSON"),
        ("[" * 100_000, "malformed JSON"),
    ],
)
async def test_bad_arguments_are_a_result_the_model_can_mend(tmp_path: Path, raw: str, said: str) -> None:
    answers = [calls(call("echo", raw)), {"text": "ok"}]
    async with running(tmp_path, answers, tools=[echo()]) as loop:
        end = await loop.turn()
        assert isinstance(end.payload, TurnComplete)
        (output,) = loop.of(ToolOutput)
        assert not output.success
        assert said in output.output
        assert loop.of(ToolCallStarted)[0].arguments == {}


@pytest.mark.parametrize("raw", ["", "null", "  ", "{}"])
async def test_no_arguments_at_all_mean_an_empty_object(tmp_path: Path, raw: str) -> None:
    async with running(tmp_path, [calls(call("echo", raw)), {"text": "ok"}], tools=[echo()]) as loop:
        await loop.turn()
        assert [p.output for p in loop.of(ToolOutput)] == ["echo: {}"]


@pytest.mark.parametrize("raw", ['{"n": NaN}', '{"n": -Infinity}'])
async def test_what_is_no_json_never_gets_into_history(tmp_path: Path, raw: str) -> None:
    async with running(tmp_path, [calls(call("echo", raw)), {"text": "ok"}], tools=[echo()]) as loop:
        await loop.turn()
        assert "malformed JSON" in loop.of(ToolOutput)[0].output
        assert "NaN" not in str([m.get("tool_calls") for m in loop.wire()])


async def test_half_an_emoji_in_arguments_does_not_poison_the_session(tmp_path: Path) -> None:
    answers = [calls(call("echo", '{"n": "\\ud83d", "\\ud83d": [1]}')), {"text": "ok"}]
    async with running(tmp_path, answers, tools=[echo()]) as loop:
        await loop.turn()
        assert loop.of(ToolOutput)[0].output == "echo: {'n': '?', '?': [1]}"
        str(loop.wire()).encode()


async def test_call_ids_stay_unique_over_replies(tmp_path: Path) -> None:
    answers = [calls(call("echo", {"n": n}, "call_0")) for n in range(3)] + [{"text": "ok"}]
    async with running(tmp_path, answers, tools=[echo()]) as loop:
        await loop.turn()
        assert len({p.tool_call_id for p in loop.of(ToolOutput)}) == 3


async def test_unknown_tool_lists_near_names(tmp_path: Path) -> None:
    async with running(tmp_path, [calls(call("ecko")), {"text": "ok"}], tools=[echo(), echo("other")]) as loop:
        await loop.turn()
        (output,) = loop.of(ToolOutput)
        assert "no tool named 'ecko'" in output.output
        assert "Did you mean echo" in output.output


async def test_missing_and_duplicate_call_ids_become_unique(tmp_path: Path) -> None:
    answers = [calls(call("echo", {"n": 1}, "x"), call("echo", {"n": 2}, "x"), call("echo", {"n": 3})), {"text": "ok"}]
    async with running(tmp_path, answers, tools=[echo()]) as loop:
        await loop.turn()
        ids = [p.tool_call_id for p in loop.of(ToolOutput)]
        assert len(set(ids)) == 3
        assert all(ids)


async def test_a_raising_tool_is_a_failed_result_and_the_others_keep_theirs(tmp_path: Path) -> None:
    async def broken(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        raise KeyError("column")

    answers = [calls(call("broken"), call("echo")), {"text": "I saw it."}]
    async with running(tmp_path, answers, tools=[tool("broken", broken), echo()]) as loop:
        end = await loop.turn()
        assert end.payload.final_response == "I saw it."
        failed, good = loop.of(ToolOutput)
        assert (failed.success, good.success) == (False, True)
        assert "KeyError" in failed.output


async def test_a_tool_that_is_cancelled_by_itself_is_a_failed_result(tmp_path: Path) -> None:
    async def gives_up(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        raise asyncio.CancelledError

    async with running(tmp_path, [calls(call("gives_up")), {"text": "ok"}], tools=[tool("gives_up", gives_up)]) as loop:
        assert (await loop.turn()).payload.final_response == "ok"
        assert "failed unexpectedly" in loop.of(ToolOutput)[0].output


async def test_whatever_a_handler_returns_becomes_text(tmp_path: Path) -> None:
    async def odd(_arguments: Any, _session: Any, _call_id: str) -> Any:
        return {"not": "a result"}

    async with running(tmp_path, [calls(call("odd")), {"text": "ok"}], tools=[tool("odd", odd)]) as loop:
        await loop.turn()
        assert loop.of(ToolOutput)[0].output == "{'not': 'a result'}"


async def test_fifty_megabytes_of_output_are_cut_and_spilled(tmp_path: Path) -> None:
    async def huge(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        return ToolResult("line of output\n" * 3_500_000)

    async with running(tmp_path, [calls(call("huge")), {"text": "ok"}], tools=[tool("huge", huge)]) as loop:
        await loop.turn()
        (output,) = loop.of(ToolOutput)
        assert len(output.output) < 40_000
        (spilled,) = [path for path in loop.session.spill_dir.iterdir() if path.stat().st_size > 50_000_000]
        assert str(spilled) in output.output


async def test_secrets_in_tool_output_reach_neither_model_nor_event_nor_journal(tmp_path: Path) -> None:
    async def leak(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        return ToolResult("key is sk-ant-very-secret-value", display="+ sk-ant-very-secret-value")

    environ = {"ANTHROPIC_API_KEY": "sk-ant-very-secret-value"}
    async with running(
        tmp_path, [calls(call("leak")), {"text": "ok"}], tools=[tool("leak", leak)], environ=environ
    ) as loop:
        await loop.turn()
        (output,) = loop.of(ToolOutput)
        assert output.output == "key is [REDACTED:ANTHROPIC_API_KEY]"
        assert "very-secret" not in str(loop.wire()) + str([e.to_dict() for e in loop.events])
        journal = loop.session.record.journal
        assert journal is not None
    assert "very-secret" not in journal.path.read_text()


async def test_lone_surrogates_in_the_prompt_do_not_break_the_session(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "ok"}]) as loop:
        end = await loop.turn("bad \ud800 text")
        assert isinstance(end.payload, TurnComplete)
        assert loop.wire()[1]["content"] == "bad ? text"


# --- guards ----------------------------------------------------------------------------------------------------------


async def test_iteration_limit_is_announced_and_ends_with_a_summary(tmp_path: Path) -> None:
    answers = [calls(call("echo", {"n": n})) for n in range(2)] + [{"text": "What I did: little."}]
    async with running(tmp_path, answers, tools=[echo()], max_iterations=2) as loop:
        end = await loop.turn()
        assert end.payload.stop_reason == "iteration_limit"
        assert end.payload.final_response == "What I did: little."
        assert any("Iteration limit" in p.log for p in loop.of(ToolLog))


@pytest.mark.parametrize("last", [calls(call("echo", {"n": 9})), {"text": " "}])
async def test_a_limit_without_a_summary_still_has_an_answer_and_a_valid_history(
    tmp_path: Path, last: dict[str, Any]
) -> None:
    answers = [calls(call("echo", {"n": 1})), last, {"text": "next turn"}]
    async with running(tmp_path, answers, tools=[echo()], max_iterations=1) as loop:
        end = await loop.turn()
        assert "no closing summary" in end.payload.final_response
        assert all(m["content"] or m.get("tool_calls") for m in loop.wire() if m["role"] == "assistant")
        assert (await loop.turn()).payload.final_response == "next turn"


async def test_a_limit_of_unlimited_is_no_limit(tmp_path: Path) -> None:
    answers = [calls(call("echo", {"n": n})) for n in range(40)] + [{"text": "end"}]
    async with running(tmp_path, answers, tools=[echo()], max_iterations=-1) as loop:
        assert (await loop.turn()).payload.final_response == "end"


async def test_truncated_calls_are_dropped_and_the_model_is_told(tmp_path: Path) -> None:
    answers = [calls(call("echo", '{"text": "half'), text="Writing.", finish_reason="length"), {"text": "ok"}]
    async with running(tmp_path, answers, tools=[echo()]) as loop:
        await loop.turn()
        assert not loop.of(ToolOutput)
        notes = [m["content"] for m in loop.wire() if m["role"] == "user"][1:]
        assert len(notes) == 1
        assert "echo" in notes[0]


async def test_truncated_text_is_continued(tmp_path: Path) -> None:
    answers = [{"text": "The answer is ", "finish_reason": "length"}, {"text": "42."}]
    async with running(tmp_path, answers) as loop:
        assert (await loop.turn()).payload.final_response == "The answer is 42."
        assert [m["content"] for m in loop.wire() if m["role"] == "assistant"] == ["The answer is ", "42."]


async def test_a_cut_answer_keeps_its_beginning_over_an_empty_one(tmp_path: Path) -> None:
    answers = [{"text": "first half, ", "finish_reason": "length"}, {"text": ""}, {"text": "second half."}]
    async with running(tmp_path, answers) as loop:
        assert (await loop.turn()).payload.final_response == "first half, second half."


async def test_empty_answers_that_are_not_in_a_row_are_forgiven(tmp_path: Path) -> None:
    answers = [{"text": ""}, {"text": "cut", "finish_reason": "length"}, {"text": ""}, {"text": "."}]
    async with running(tmp_path, answers) as loop:
        assert (await loop.turn()).payload.final_response == "cut."


async def test_empty_answer_is_asked_again_once_then_an_error(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": ""}, {"text": "here"}, {"text": ""}, {"text": " "}]) as loop:
        assert (await loop.turn()).payload.final_response == "here"
        end = await loop.turn()
        assert isinstance(end.payload, ErrorRaised)
        assert "empty answer twice" in end.payload.error


async def test_two_malformed_calls_bring_a_hint_once(tmp_path: Path) -> None:
    answers = [calls(call("echo", "{")), calls(call("echo", "{")), calls(call("echo", {})), {"text": "ok"}]
    async with running(tmp_path, answers, tools=[echo()]) as loop:
        await loop.turn()
        hints = [m for m in loop.wire() if m["role"] == "user" and "guard" in m["content"]]
        assert len(hints) == 1
        assert "echo" in hints[0]["content"]


async def test_malformed_streak_does_not_reach_into_the_next_turn(tmp_path: Path) -> None:
    answers = [calls(call("echo", "{")), {"text": "a"}, calls(call("echo", "{")), {"text": "b"}]
    async with running(tmp_path, answers, tools=[echo()]) as loop:
        await loop.turn()
        await loop.turn()
        assert not [m for m in loop.wire() if m["role"] == "user" and "guard" in m["content"]]


def _plan(status: str) -> dict[str, Any]:
    return call("plan_tool", {"todos": [{"id": "1", "content": "train", "status": status}]})


async def test_text_with_an_open_plan_is_sent_back_to_work_twice_at_most(tmp_path: Path) -> None:
    answers = [calls(_plan("in_progress")), {"text": "Now I will train."}, {"text": "Still."}, {"text": "Enough."}]
    async with running(tmp_path, answers) as loop:
        assert (await loop.turn()).payload.final_response == "Enough."
        notes = [m["content"] for m in loop.wire() if m["role"] == "user" and "CONTINUATION GUARD" in m["content"]]
        assert len(notes) == 2
        assert "1. train [in_progress]" in notes[0]
        assert loop.of(PlanUpdate)


async def test_a_plan_of_an_earlier_turn_holds_nothing_back(tmp_path: Path) -> None:
    answers = [
        calls(_plan("completed")),
        {"text": "a"},
        calls(_plan("pending")),
        {"text": "Which one?"},
        {"text": "Paris."},
    ]
    async with running(tmp_path, answers, headless=False) as loop:
        await loop.turn()
        assert (await loop.turn()).payload.final_response == "Which one?"  # a question to the person is an end
        assert (await loop.turn("capital of France?")).payload.final_response == "Paris."


async def test_repetition_warns_the_model_and_finally_stops(tmp_path: Path) -> None:
    async with running(tmp_path, [calls(call("echo", {"n": 1})) for _ in range(20)], tools=[echo()]) as loop:
        end = await loop.turn()
        assert isinstance(end.payload, ErrorRaised)
        assert "kept repeating 'echo'" in end.payload.error
        warnings = [m for m in loop.wire() if m["role"] == "user" and "REPETITION GUARD" in m["content"]]
        assert len(warnings) == 3


async def test_polling_with_moving_output_is_no_repetition(tmp_path: Path) -> None:
    counter = iter(range(100))

    async def poll(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        return ToolResult(f"step {next(counter)}")

    answers = [calls(call("poll", {})) for _ in range(20)] + [{"text": "done"}]
    async with running(tmp_path, answers, tools=[tool("poll", poll)]) as loop:
        assert (await loop.turn()).payload.final_response == "done"


# --- failures --------------------------------------------------------------------------------------------------------


async def test_a_model_error_ends_the_turn_and_the_session_goes_on(tmp_path: Path) -> None:
    answers = [{"error": {"status": 401, "message": "invalid key"}}, {"text": "again"}]
    async with running(tmp_path, answers) as loop:
        end = await loop.turn()
        assert isinstance(end.payload, ErrorRaised)
        assert end.payload.kind == "auth"
        assert (await loop.turn()).payload.final_response == "again"


async def test_a_cut_stream_keeps_its_text_and_goes_on(tmp_path: Path) -> None:
    cut = {"text": ["Half of ", "it"], "error": {"status": 503, "message": "gone", "after_chunks": 1}}
    async with running(tmp_path, [cut, {"text": "the rest."}]) as loop:
        assert (await loop.turn()).payload.final_response == "Half of the rest."
        texts = [m["content"] for m in loop.wire() if m["role"] == "assistant"]
        assert texts == ["Half of ", "the rest."]


async def test_overflow_shortens_history_and_goes_on(tmp_path: Path) -> None:
    async def long(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        return ToolResult("x" * 20_000)

    overflow = {"error": {"status": 400, "message": "prompt is too long: 210000 tokens > 200000 maximum"}}
    answers = [*[calls(call("long", {"n": n})) for n in range(12)], overflow, {"text": "fits now"}]
    async with running(tmp_path, answers, tools=[tool("long", long)]) as loop:
        assert (await loop.turn()).payload.final_response == "fits now"
        assert "compacted" in loop.kinds()


async def test_overflow_may_come_again_and_again_and_the_window_is_learned(tmp_path: Path) -> None:
    async def long(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        return ToolResult("x" * 8_000)

    overflow = {"error": {"status": 400, "message": "This model's maximum context length is 32768 tokens."}}
    round_trip = [*[calls(call("long", {"n": n})) for n in range(6)], overflow]
    answers = [SUMMARY, *round_trip * 3, {"text": "still alive"}]
    async with running(tmp_path, answers, tools=[tool("long", long)]) as loop:
        assert (await loop.turn()).payload.final_response == "still alive"
        assert loop.session.history.model_max_tokens == 32_768


async def test_endless_overflow_ends_in_one_error(tmp_path: Path) -> None:
    overflow = {"error": {"status": 400, "message": "prompt is too long: 210000 tokens > 200000 maximum"}}
    async with running(tmp_path, [overflow] * 20) as loop:
        end = await loop.turn()
        assert isinstance(end.payload, ErrorRaised)
        assert end.payload.kind == "overflow"


async def test_history_is_shortened_before_the_window_is_full(tmp_path: Path) -> None:
    async def long(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        return ToolResult("x" * 20_000)

    answers = [calls(call("long", {"n": n})) for n in range(30)] + [{"text": "made it"}]
    async with running(tmp_path, answers, tools=[tool("long", long)], context_window=32_000) as loop:
        assert (await loop.turn()).payload.final_response == "made it"
        assert "compacted" in loop.kinds()
        assert loop.session.history.usage_tokens < 32_000


# --- interruption ----------------------------------------------------------------------------------------------------


async def test_cancel_during_a_tool_ends_the_turn_with_valid_history(tmp_path: Path) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def forever(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ToolResult("never")

    answers = [calls(call("echo"), call("forever")), {"text": "going on"}]
    async with running(tmp_path, answers, tools=[echo(), tool("forever", forever)]) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await began.wait()
        loop.session.cancel()
        end = await loop.until(Interrupted, TurnComplete)
        assert isinstance(end.payload, Interrupted)
        assert ended.is_set()
        assert [p.state for p in loop.of(ToolStateChange)] == ["cancelled"]
        results = [m["content"] for m in loop.wire() if m["role"] == "tool"]
        assert results[0] == "echo: {}"  # a finished result is kept
        assert "Interrupted" in results[1]
        assert (await loop.turn("go on")).payload.final_response == "going on"


async def test_cancel_during_the_answer_keeps_the_partial_text(tmp_path: Path) -> None:
    stalled = {"error": {"status": 503, "message": "busy"}}  # the retry then waits for seconds
    async with running(tmp_path, [stalled, {"text": "later"}]) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await loop.until(ToolLog)  # "trying again in …"
        loop.session.cancel()
        end = await loop.until(Interrupted, TurnComplete)
        assert isinstance(end.payload, Interrupted)


async def test_an_idle_interrupt_and_a_stale_cancel_do_no_harm(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "fine"}]) as loop:
        loop.outside_ends = 1
        loop.session.cancel()
        assert isinstance((await loop.operate(OpType.INTERRUPT)).payload, Interrupted)
        assert (await loop.turn()).payload.final_response == "fine"


# --- approvals -------------------------------------------------------------------------------------------------------


def asking(name: str = "risky") -> ToolSpec:
    return echo(name, approval=lambda _a, _c: ApprovalNeed("ask", "it changes things", f"{name}(*)"))


async def test_approval_waits_and_the_yes_runs_it(tmp_path: Path) -> None:
    answers = [calls(call("risky", {"n": 1}), call("echo", {"n": 2})), {"text": "done"}]
    async with running(tmp_path, answers, tools=[asking(), echo()], yolo_mode=False) as loop:
        question = (await loop.turn()).payload
        assert isinstance(question, ApprovalRequired)
        assert [p.output for p in loop.of(ToolOutput)] == ["echo: {'n': 2}"]  # what needs no word runs first
        (item,) = question.tools
        assert (item.tool, item.reason, item.always_rule) == ("risky", "it changes things", "risky(*)")
        await loop.submit(OpType.EXEC_APPROVAL, approvals=[{"tool_call_id": item.tool_call_id, "approved": True}])
        assert (await loop.until(TurnComplete)).payload.final_response == "done"
        assert [p.state for p in loop.of(ToolStateChange)] == ["approved", "running"]
        results = [m["content"] for m in loop.wire() if m["role"] == "tool"]
        assert results == ["risky: {'n': 1}", "echo: {'n': 2}"]  # in call order, not in the order they ran


async def test_a_no_passes_the_feedback_verbatim(tmp_path: Path) -> None:
    async with running(
        tmp_path, [calls(call("risky")), {"text": "understood"}], tools=[asking()], yolo_mode=False
    ) as loop:
        (item,) = (await loop.turn()).payload.tools
        answer = {"tool_call_id": item.tool_call_id, "approved": False, "feedback": "Use LoRA, NOT full FT"}
        await loop.submit(OpType.EXEC_APPROVAL, approvals=[answer])
        await loop.until(TurnComplete)
        (output,) = loop.of(ToolOutput)
        assert not output.success
        assert "Use LoRA, NOT full FT" in output.output


async def test_always_allow_is_not_asked_again(tmp_path: Path) -> None:
    answers = [calls(call("risky", {"n": 1})), calls(call("risky", {"n": 2})), {"text": "done"}]
    async with running(tmp_path, answers, tools=[asking()], yolo_mode=False) as loop:
        (item,) = (await loop.turn()).payload.tools
        answer = {"tool_call_id": item.tool_call_id, "approved": True, "always_rule": "risky"}
        await loop.submit(OpType.EXEC_APPROVAL, approvals=[answer])
        await loop.until(TurnComplete)
        assert len(loop.of(ApprovalRequired)) == 1


async def test_an_unreadable_always_rule_is_said_and_the_call_still_runs(tmp_path: Path) -> None:
    async with running(tmp_path, [calls(call("risky")), {"text": "ok"}], tools=[asking()], yolo_mode=False) as loop:
        (item,) = (await loop.turn()).payload.tools
        answer = {"tool_call_id": item.tool_call_id, "approved": True, "always_rule": "risky(("}
        await loop.submit(OpType.EXEC_APPROVAL, approvals=[answer])
        await loop.until(TurnComplete)
        assert loop.of(ToolOutput)[0].success


async def test_a_new_prompt_abandons_what_was_waiting(tmp_path: Path) -> None:
    async with running(tmp_path, [calls(call("risky")), {"text": "new"}], tools=[asking()], yolo_mode=False) as loop:
        await loop.turn()
        assert (await loop.turn("something else")).payload.final_response == "new"
        assert [p.state for p in loop.of(ToolStateChange)] == ["abandoned"]


async def test_interrupt_while_waiting_ends_the_turn(tmp_path: Path) -> None:
    async with running(tmp_path, [calls(call("risky")), {"text": "new"}], tools=[asking()], yolo_mode=False) as loop:
        await loop.turn()
        assert isinstance((await loop.operate(OpType.INTERRUPT)).payload, Interrupted)
        assert (await loop.turn("again")).payload.final_response == "new"


async def test_cancel_while_waiting_does_not_kill_what_is_approved_later(tmp_path: Path) -> None:
    async with running(tmp_path, [calls(call("risky")), {"text": "done"}], tools=[asking()], yolo_mode=False) as loop:
        (item,) = (await loop.turn()).payload.tools
        loop.session.cancel()
        await loop.submit(OpType.EXEC_APPROVAL, approvals=[{"tool_call_id": item.tool_call_id, "approved": True}])
        assert (await loop.until(TurnComplete, Interrupted)).payload.final_response == "done"


async def test_approved_calls_that_repeat_are_seen_too(tmp_path: Path) -> None:
    answers = [calls(call("risky", {"n": 1})) for _ in range(4)] + [{"text": "ok"}]
    async with running(tmp_path, answers, tools=[asking()], yolo_mode=False) as loop:
        event = await loop.turn()
        while isinstance(event.payload, ApprovalRequired):
            approvals = [{"tool_call_id": item.tool_call_id, "approved": True} for item in event.payload.tools]
            event = await loop.operate(OpType.EXEC_APPROVAL, approvals=approvals)
        assert any("REPETITION GUARD" in str(m["content"]) for m in loop.wire())


async def test_the_iteration_count_goes_on_after_an_approval(tmp_path: Path) -> None:
    answers = [calls(call("risky", {"n": n})) for n in range(3)] + [{"text": "summary"}]
    async with running(tmp_path, answers, tools=[asking()], yolo_mode=False, max_iterations=3) as loop:
        event = await loop.turn()
        while isinstance(event.payload, ApprovalRequired):
            approvals = [{"tool_call_id": item.tool_call_id, "approved": True} for item in event.payload.tools]
            event = await loop.operate(OpType.EXEC_APPROVAL, approvals=approvals)
        assert event.payload.stop_reason == "iteration_limit"


async def test_denied_by_rule_is_not_run_and_says_so(tmp_path: Path) -> None:
    async with running(
        tmp_path, [calls(call("echo")), {"text": "ok"}], tools=[echo()], permissions={"deny": ["echo"]}
    ) as loop:
        await loop.turn()
        (output,) = loop.of(ToolOutput)
        assert output.output.startswith("Not run:")
        assert [p.state for p in loop.of(ToolStateChange)] == ["rejected"]


async def test_approval_without_anything_waiting_is_an_error(tmp_path: Path) -> None:
    async with running(tmp_path) as loop:
        loop.outside_ends = 1
        assert isinstance((await loop.operate(OpType.EXEC_APPROVAL, approvals=[])).payload, ErrorRaised)


# --- other operations ------------------------------------------------------------------------------------------------


async def test_undo_takes_back_the_last_turn_with_its_synthetic_messages(tmp_path: Path) -> None:
    answers = [{"text": "one"}, {"text": ""}, {"text": "two"}, {"text": "three"}]
    async with running(tmp_path, answers) as loop:
        await loop.turn("first")
        await loop.turn("second")
        assert (await loop.operate(OpType.UNDO)).payload == UndoComplete(3, 1, "second")
        assert [m["content"] for m in loop.wire()[1:]] == ["first", "one"]
        assert (await loop.operate(OpType.UNDO)).payload == UndoComplete(2, 1, "first")
        assert (await loop.operate(OpType.UNDO)).payload == UndoComplete(removed_messages=0)


async def test_compact_always_reports(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "one"}]) as loop:
        await loop.turn()
        await loop.operate(OpType.COMPACT)
        assert loop.kinds()[-1] == "compacted"


async def test_new_conversation_forgets_history_and_keeps_settings(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "one"}, {"text": "two"}]) as loop:
        old_id = loop.session.session_id
        await loop.turn("remember me")
        done = (await loop.operate(OpType.NEW, clear_screen=False)).payload
        assert isinstance(done, NewComplete)
        assert done.previous_session_id == old_id
        assert done.session_id == loop.session.session_id != old_id
        assert done.previous_turn_count == 1
        await loop.turn("fresh")
        assert "remember me" not in str(loop.wire())


async def test_configure_changes_model_and_mode_or_says_why_not(tmp_path: Path, openai_server: FakeOpenAI) -> None:
    openai_server.script(reply.text("pong"))
    local = {"VLLM_BASE_URL": openai_server.url, "OLLAMA_BASE_URL": "http://127.0.0.1:9"}
    async with running(tmp_path, environ=local) as loop:
        done = (await loop.operate(OpType.CONFIGURE, model_name="vllm/m", yolo_mode=False)).payload
        assert done == SettingsChanged("vllm/m", False, "high", ("model_name", "yolo_mode"))
        loop.outside_ends = 2
        for refused in ("no such model", "ollama/not-running"):
            assert isinstance((await loop.operate(OpType.CONFIGURE, model_name=refused)).payload, ErrorRaised)
            assert loop.session.model_name == "vllm/m"


async def test_a_model_that_routes_nowhere_fails_before_ready(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gpt"):
        async with asyncio.timeout(10):
            await _open_with(tmp_path, "gpt-5")


async def _open_with(tmp_path: Path, model_name: str) -> None:
    from agent.config import Config
    from agent.core.agent_loop import submission_loop
    from tests.unit.core.loop import surroundings

    await submission_loop(asyncio.Queue(), asyncio.Queue(), Config(model_name=model_name), surroundings(tmp_path))
