"""Tools, hooks and files that misbehave: the turn ends, every call has one result, and no money stays held."""

import asyncio
import fcntl
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.core.agent_loop import Resumption
from agent.protocol.events import (
    BudgetStatus,
    ErrorRaised,
    Interrupted,
    LLMCall,
    NewComplete,
    ResumeComplete,
    ToolCallStarted,
    ToolLog,
    ToolOutput,
    TurnComplete,
)
from agent.protocol.operations import OpType
from agent.protocol.tools import ApprovalNeed, CostEstimate, ToolResult, ToolSpec
from tests.unit.core.loop import Loop, call, calls, running, surroundings

OBJECT: dict[str, Any] = {"type": "object", "properties": {}}
PRICE = {"price": {"input_usd_per_million": 1.0, "output_usd_per_million": 10.0}}
USAGE = {"prompt_tokens": 10_000, "completion_tokens": 1_000}


async def done(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
    return ToolResult("done")


def broken(*_arguments: Any) -> Any:
    raise RuntimeError("a bug of the tool's")


def outputs(loop: Loop) -> list[str]:
    return [output.output for output in loop.of(ToolOutput)]


async def test_a_cost_that_cannot_be_estimated_is_a_failed_call(tmp_path: Path) -> None:
    tool = ToolSpec("tool", "", OBJECT, done, estimate_cost=broken)
    async with running(tmp_path, [calls(call("tool"), text="I try."), {"text": "ok"}], tools=[tool]) as loop:
        assert (await loop.turn()).payload.final_response == "ok"
        assert "could not be estimated" in outputs(loop)[0]
        assert loop.wire()[2]["content"] == "I try."


async def test_files_that_cannot_be_named_do_not_stop_the_call(tmp_path: Path) -> None:
    tool = ToolSpec("tool", "", OBJECT, done, changes=broken)
    async with running(tmp_path, [calls(call("tool")), {"text": "ok"}], tools=[tool]) as loop:
        assert (await loop.turn()).payload.final_response == "ok"
        assert outputs(loop) == ["done"]


async def test_a_batch_stopped_before_it_began_holds_no_money(tmp_path: Path) -> None:
    def cost(_arguments: Mapping[str, Any]) -> CostEstimate:
        return CostEstimate(3.0, "an hour")

    tool = ToolSpec("tool", "", OBJECT, done, estimate_cost=cost)
    script = [calls(call("tool")), {"text": "ok"}]
    async with running(tmp_path, script, tools=[tool], max_cost_usd=5.0, lockstep=True) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await loop.until(ToolCallStarted)
        loop.session.cancel()
        await loop.until(Interrupted, TurnComplete)
        assert loop.session.ledger.reserved_usd == 0.0


async def test_a_result_that_comes_too_late_is_not_a_second_one(tmp_path: Path) -> None:
    began, let_go = asyncio.Event(), asyncio.Event()
    ended = asyncio.Event()

    async def deaf(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        began.set()
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        ended.set()
        return ToolResult("late")

    tool = ToolSpec("deaf", "", OBJECT, deaf)
    async with running(tmp_path, [calls(call("deaf")), {"text": "ok"}], tools=[tool]) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await began.wait()
        loop.session.cancel()
        await loop.until(Interrupted)
        await loop.operate(OpType.NEW)
        let_go.set()
        await ended.wait()
        await loop.turn("hello")
        assert [message["role"] for message in loop.wire()] == ["system", "user", "assistant"]


async def test_asking_for_the_same_rejected_call_again_and_again_is_noticed(tmp_path: Path) -> None:
    tool = ToolSpec("risky", "", OBJECT, done, approval=lambda _arguments, _context: ApprovalNeed("human", "risky"))
    async with running(tmp_path, [calls(call("risky")) for _ in range(40)], tools=[tool]) as loop:
        event = await loop.turn()
        for _ in range(40):
            if not hasattr(event.payload, "tools"):
                break
            no = [{"tool_call_id": item.tool_call_id, "approved": False} for item in event.payload.tools]
            await loop.submit(OpType.EXEC_APPROVAL, approvals=no)
            event = await loop.until_turn_ends()
        assert isinstance(event.payload, ErrorRaised)
        assert event.payload.kind == "guard"


async def test_thinking_that_was_stopped_is_paid_for(tmp_path: Path) -> None:
    answer = {"thinking": "hm " * 20_000, "text": "x", "error": {"status": 400, "message": "no", "after_chunks": 1}}
    async with running(tmp_path, [PRICE, answer]) as loop:
        await loop.turn()
        (charged,) = loop.of(LLMCall)
        assert charged.charged_usd > 0.1


async def test_the_cap_holds_for_all_conversations_of_a_run(tmp_path: Path) -> None:
    answers = [PRICE, *[{"text": "an answer", "usage": USAGE}] * 9]  # 0.02 USD each
    async with running(tmp_path, answers, max_cost_usd=0.05) as loop:
        reasons = []
        for _ in range(4):
            reasons.append((await loop.turn()).payload.stop_reason)
            await loop.operate(OpType.NEW)
        assert reasons == ["done", "done", "done", "budget"]


async def test_a_session_resumed_within_a_run_does_not_count_twice(tmp_path: Path) -> None:
    answers = [PRICE, *[{"text": "an answer", "usage": USAGE}] * 9]
    async with running(tmp_path, answers, max_cost_usd=1.0) as loop:
        await loop.turn()
        path = loop.session.record.saved_path
        await loop.operate(OpType.NEW)
        await loop.turn()
        await loop.operate(OpType.RESUME, path=str(path))
        ledger = loop.session.ledger
        assert (ledger.spent_usd, ledger.elsewhere_usd, ledger.remaining_usd) == (0.02, 0.02, 0.96)


async def test_a_removed_workspace_does_not_turn_an_answer_into_an_error(tmp_path: Path) -> None:
    leave = calls(call("bash", {"command": "cd .. && mv workspace moved"}))
    async with running(tmp_path, [leave, {"text": "moved it"}]) as loop:
        assert (await loop.turn()).payload.final_response == "moved it"


async def test_what_the_person_does_after_leaving_a_question_is_not_undone(tmp_path: Path) -> None:
    asks = ToolSpec("risky", "", OBJECT, done, approval=lambda _arguments, _context: ApprovalNeed("human", "risky"))
    from agent.core.services import services_nowhere
    from agent.core.tools import create_builtin_tools

    write = calls(call("bash", {"command": "echo agent > a.txt"}))
    script = [write, calls(call("risky")), {"text": "ok"}]
    tools = [*create_builtin_tools(services_nowhere()), asks]
    async with running(tmp_path, script, tools=tools, headless=False) as loop:
        await loop.turn("first")  # waits for an approval
        await loop.turn("second")  # which is abandoned
        (tmp_path / "workspace" / "a.txt").write_text("mine")
        undone = (await loop.operate(OpType.UNDO, turns=2)).payload
        assert undone.kept_files == ("a.txt",)
        assert (tmp_path / "workspace" / "a.txt").read_text() == "mine"


async def test_a_turn_that_comes_at_once_does_not_take_the_end_of_the_last_one(tmp_path: Path) -> None:
    def write(name: str) -> dict[str, Any]:
        return calls(call("write", {"path": name, "content": name}))

    async with running(tmp_path, [write("a.txt"), {"text": "one"}, write("b.txt"), {"text": "two"}]) as loop:
        await loop.turn("first")
        loop.session.checkpoints.begin_turn("left")
        loop.session.checkpoints.leave_turn()  # as after a stop, with its end still to be looked at
        await loop.turn("second")
        await loop.session.copies_disk.run(loop.session.checkpoints.end_turn)
        undone = (await loop.operate(OpType.UNDO, turns=2)).payload
        assert sorted(undone.restored_files) == ["a.txt", "b.txt"]


async def test_undo_changes_nothing_when_the_files_cannot_be_put_back(tmp_path: Path) -> None:
    write = calls(call("write", {"path": "a.txt", "content": "1"}))
    async with running(tmp_path, [write, {"text": "one"}]) as loop:
        await loop.turn("first")
        said = loop.wire()
        with (tmp_path / "state" / "checkpoints" / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another ml-intern is tidying up
            loop.outside_ends = 1
            error = (await loop.operate(OpType.UNDO)).payload
        assert "Nothing was taken back" in error.error
        assert loop.wire() == said
        assert (await loop.operate(OpType.UNDO)).payload.restored_files == ("a.txt",)


async def test_what_other_conversations_cost_is_shown_and_warned_of(tmp_path: Path) -> None:
    answers = [PRICE, *[{"text": "an answer", "usage": USAGE}] * 9]  # 0.02 USD each
    async with running(tmp_path, answers, max_cost_usd=0.05) as loop:
        await loop.turn()
        await loop.operate(OpType.NEW)
        status = loop.of(BudgetStatus)[-1]
        assert (status.spent_usd, status.elsewhere_usd) == (0.0, 0.02)
        await loop.turn()
        assert any("80 %" in log.log for log in loop.of(ToolLog))


async def test_the_cap_of_one_session_is_not_that_of_another(tmp_path: Path) -> None:
    answers = [PRICE, *[{"text": "an answer", "usage": USAGE}] * 9]
    async with running(tmp_path, answers, max_cost_usd=0.03) as first:
        await first.turn()
        path = first.session.record.saved_path
    async with running(tmp_path, answers) as loop:  # a run without a cap
        for _ in range(3):
            await loop.turn()
        await loop.operate(OpType.RESUME, path=str(path))
        assert (await loop.turn()).payload.stop_reason == "done"  # 0.02 of its 0.03
        assert (await loop.turn()).payload.stop_reason == "budget"
        await loop.operate(OpType.NEW)
        assert (await loop.turn()).payload.stop_reason == "done"


async def test_the_session_one_is_in_is_not_resumed(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "one"}]) as loop:
        await loop.turn()
        loop.outside_ends = 1
        error = (await loop.operate(OpType.RESUME, path=str(loop.session.record.saved_path))).payload
        assert "the session you are in" in error.error


# --- forks -----------------------------------------------------------------------------------------------------------


async def test_a_turn_before_fork_and_compaction_can_be_taken_back(tmp_path: Path) -> None:
    step = calls(call("bash", {"command": f"echo {'x' * 3_000}"}))
    summary = {"when": "^An agent for machine-learning", "text": "a summary"}
    async with running(tmp_path, [summary, step, {"text": "one"}, step, step, {"text": "two"}]) as first:
        await first.turn("first")
        before = first.wire()[1:]
        await first.turn("second")
        await first.submit(OpType.COMPACT)
        await first.operate(OpType.RENAME, title="my run")
        path = first.session.record.saved_path
        assert path is not None
        known = dict(first.session.known_files)
    async with running(tmp_path, resumption=Resumption(path, fork=True)) as fork:
        await fork.until(ResumeComplete)
        undone = (await fork.operate(OpType.UNDO)).payload
        assert undone.removed_turns == 1
        assert fork.wire()[1:] == before
        forked_path = fork.session.record.saved_path
        assert forked_path is not None
    async with running(tmp_path, resumption=Resumption(forked_path)) as again:
        assert (await again.until(ResumeComplete)).payload.title == "my run"
        assert again.wire()[1:] == before
        assert again.session.known_files == known


async def test_what_cannot_be_taken_back_is_said_and_nothing_changes(tmp_path: Path) -> None:
    step = calls(call("bash", {"command": f"echo {'x' * 3_000}"}))
    summary = {"when": "^An agent for machine-learning", "text": "a summary"}
    answers = [summary, step, {"text": "one"}, step, step, {"text": "two"}, *[step] * 8, {"text": "three"}]
    async with running(tmp_path, answers, save_sessions=False, context_window=12_000) as loop:
        for prompt in ("first", "second", "third"):
            await loop.turn(prompt)
        said, marks = loop.wire(), list(loop.session.turns)
        if not any(message["content"] == "second" for message in said):
            loop.outside_ends = 1
            error = (await loop.operate(OpType.UNDO, turns=2)).payload
            assert "cannot be taken back" in error.error
            assert (loop.wire(), loop.session.turns) == (said, marks)


async def test_a_title_given_before_the_first_prompt_is_kept(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "one"}]) as first:
        await first.operate(OpType.RENAME, title="early")
        await first.turn("first")
        path = first.session.record.saved_path
        assert path is not None
    async with running(tmp_path, resumption=Resumption(path)) as second:
        assert (await second.until(ResumeComplete)).payload.title == "early"


async def test_changing_the_cap_does_not_forget_the_window(tmp_path: Path) -> None:
    overflow = {"error": {"status": 400, "message": "This model's maximum context length is 9000 tokens."}}
    async with running(tmp_path, [overflow, {"text": "ok"}]) as loop:
        await loop.turn()
        await loop.operate(OpType.CONFIGURE, cap_usd=5.0)
        assert loop.session.history.model_max_tokens == 9_000


async def test_notes_stay_with_their_conversation(tmp_path: Path) -> None:
    answers = [PRICE, *[{"text": "an answer", "usage": USAGE}] * 9]
    async with running(tmp_path, answers, max_cost_usd=0.021) as loop:
        await loop.turn()  # at 95 %: a note waits for the next call
        assert isinstance((await loop.operate(OpType.NEW)).payload, NewComplete)
        loop.session.set_cap(1.0)
        await loop.turn("hello")
        assert "budget_low" not in str(loop.wire())
    shutil.rmtree(tmp_path / "state")


async def test_the_model_is_told_that_the_person_changed_a_call(tmp_path: Path) -> None:
    async def run(arguments: Mapping[str, Any], _session: Any, _call_id: str) -> ToolResult:
        return ToolResult(f"ran {arguments['script']}")

    asks = lambda _arguments, _context: ApprovalNeed("human", "a job")  # noqa: E731
    tool = ToolSpec(
        "job",
        "",
        {"type": "object", "properties": {"script": {"type": "string"}}},
        run,
        approval=asks,
        editable="script",
    )
    async with running(tmp_path, [calls(call("job", {"script": "a.py"})), {"text": "ok"}], tools=[tool]) as loop:
        (item,) = (await loop.turn()).payload.tools
        answer = {"tool_call_id": item.tool_call_id, "approved": True, "edited_script": "b.py"}
        await loop.submit(OpType.EXEC_APPROVAL, approvals=[answer])
        await loop.until(TurnComplete)
        assert outputs(loop) == [
            "[The person changed this call before approving it. What was carried out:\nscript: b.py]\nran b.py"
        ]


async def test_an_outage_does_not_end_an_unattended_run_but_a_person_is_told_soon(tmp_path: Path) -> None:
    async def no_wait(_delay_s: float) -> None:
        await asyncio.sleep(0)

    outage = [{"error": {"status": 503, "message": "Service Unavailable"}}] * 30
    script = [calls(call("tool")), *outage, {"text": "back again"}]
    tool = ToolSpec("tool", "", OBJECT, done)
    for headless in (True, False):
        place = replace(surroundings(tmp_path, headless=headless), sleep=no_wait)
        async with running(tmp_path, script, tools=[tool], place=place) as loop:
            end = (await loop.turn()).payload
            if headless:
                assert end.final_response == "back again"
            else:
                assert (type(end), end.kind) == (ErrorRaised, "transient")
