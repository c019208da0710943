"""A session ends, in order or not, and another process goes on with it."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from agent.core.agent_loop import Resumption
from agent.core.session import Session
from agent.protocol.events import LLMCall, PlanUpdate, ResumeComplete, TurnComplete
from agent.protocol.operations import OpType
from agent.protocol.tools import ToolResult, ToolSpec
from agent.sessions.errors import SessionError
from tests.unit.core.loop import Loop, call, calls, running

PRICE = {"price": {"input_usd_per_million": 1.0, "output_usd_per_million": 10.0}}
USAGE = {"prompt_tokens": 10_000, "completion_tokens": 1_000}
PLAN = [{"id": "1", "content": "read the paper", "status": "in_progress"}]


def wire(loop: Loop) -> list[dict[str, Any]]:
    """History without the system prompt, which each run renders anew."""
    return loop.wire()[1:]


def journal_of(session: Session) -> Path:
    assert session.record.journal is not None
    return session.record.journal.path


async def test_everything_is_there_again(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "notes.txt").write_text("a note")
    answers = [
        PRICE,
        calls(call("plan_tool", {"todos": PLAN}), call("read", {"path": "notes.txt"}), usage=USAGE),
        {"text": "Is that the right paper?", "usage": USAGE},
    ]
    async with running(tmp_path, answers, headless=False, reasoning_effort="low") as first:
        await first.turn("train it")
        said, session = wire(first), first.session
        spent_usd, path = session.ledger.spent_usd, journal_of(session)
    (tmp_path / "script.jsonl").write_text(json.dumps({"text": "Then I go on."}))
    async with running(tmp_path, [{"text": "Then I go on."}], resumption=Resumption(path)) as second:
        resumed = (await second.until(ResumeComplete)).payload
        assert wire(second) == said
        assert second.of(PlanUpdate)[-1].plan == session.plan
        assert second.session.known_files == session.known_files
        assert second.session.ledger.spent_usd == pytest.approx(spent_usd) == pytest.approx(0.04)
        assert second.session.session_id == session.session_id == resumed.session_id
        assert second.session.reasoning_effort == "low"
        assert (resumed.restored_count, resumed.prompts, resumed.forked) == (len(said), ("train it",), False)
        assert resumed.title == "train it"
        assert (await second.turn("yes")).payload.final_response == "Then I go on."
        assert journal_of(second.session) == path
    async with running(tmp_path, [], resumption=Resumption(path)) as third:
        await third.until(ResumeComplete)
        assert [m["content"] for m in wire(third)][-2:] == ["yes", "Then I go on."]


async def test_what_was_said_last_is_told(tmp_path: Path) -> None:
    step = calls(call("read", {"path": "nothing"}), text="I look first.")
    answers = [{"text": "one"}, step, {"text": "The key was sk-0123456789."}]
    async with running(tmp_path, answers) as first:
        await first.turn("first")
        await first.turn("second")
        path = journal_of(first.session)
    environ = {"MY_API_KEY": "sk-0123456789"}
    async with running(tmp_path, [], resumption=Resumption(path), environ=environ, context_window=9_000) as second:
        resumed = (await second.until(ResumeComplete)).payload
        assert (resumed.last_prompt, resumed.last_answer) == ("second", "The key was [REDACTED:MY_API_KEY].")
        assert resumed.window_tokens == 9_000
        assert (await second.operate(OpType.UNDO)).payload.removed_turns == 1
    async with running(tmp_path, [], resumption=Resumption(path)) as third:
        resumed = (await third.until(ResumeComplete)).payload
        assert (resumed.last_prompt, resumed.last_answer) == ("first", "one")


async def test_long_last_words_are_cut_and_not_journaled_again(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "b " * 2_500}]) as first:
        await first.turn("a " * 1_500)
        path = journal_of(first.session)
    async with running(tmp_path, [], resumption=Resumption(path)) as second:
        resumed = (await second.until(ResumeComplete)).payload
        assert (resumed.last_prompt, resumed.last_answer) == ("a " * 999 + "a…", "b " * 1_999 + "b…")
    assert [path.read_text().count(text) for text in ("a " * 999, "b " * 1_999)] == [1, 1]


async def test_a_request_without_an_answer_is_told_without_one(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "one"}, {"error": {"status": 400, "message": "no"}}]) as first:
        await first.turn("first")
        await first.turn("second")
        path = journal_of(first.session)
    async with running(tmp_path, [], resumption=Resumption(path)) as second:
        resumed = (await second.until(ResumeComplete)).payload
        assert (resumed.last_prompt, resumed.last_answer) == ("second", "")


async def test_a_fork_leaves_the_original_alone(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "one"}]) as first:
        await first.turn("first")
        path = journal_of(first.session)
    original = path.read_bytes()
    async with running(tmp_path, [{"text": "two"}], resumption=Resumption(path, fork=True)) as fork:
        assert (await fork.until(ResumeComplete)).payload.forked
        await fork.turn("second")
        assert [m["content"] for m in wire(fork)] == ["first", "one", "second", "two"]
        assert journal_of(fork.session) != path
        forked_path = journal_of(fork.session)
    assert path.read_bytes() == original
    async with running(tmp_path, [], resumption=Resumption(forked_path)) as again:
        await again.until(ResumeComplete)
        assert [m["content"] for m in wire(again)] == ["first", "one", "second", "two"]


async def test_a_session_that_is_open_elsewhere_is_forked(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "one"}, {"text": "two"}]) as first:
        await first.turn("first")
        async with running(tmp_path, [{"text": "fork"}], resumption=Resumption(journal_of(first.session))) as second:
            assert (await second.until(ResumeComplete)).payload.forked
            await second.turn("aside")
        await first.turn("second")
        assert [m["content"] for m in wire(first)] == ["first", "one", "second", "two"]


async def test_a_call_that_was_running_when_the_program_died_is_of_unknown_outcome(tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"

    async def dying(_arguments: Any, session: Session, _call_id: str) -> ToolResult:
        shutil.copy(journal_of(session), copy)  # what kill -9 would leave at this moment
        return ToolResult("survived")

    spec = ToolSpec("dying", "Dies.", {"type": "object", "properties": {}}, dying)
    async with running(tmp_path, [calls(call("dying"), call("missing")), {"text": "ok"}], tools=[spec]) as first:
        await first.turn("go")
    async with running(tmp_path, [{"text": "I look first."}], tools=[spec], resumption=Resumption(copy)) as second:
        resumed = (await second.until(ResumeComplete)).payload
        assert resumed.unfinished == ("dying",)
        results = {m["name"]: m["content"] for m in wire(second) if m["role"] == "tool"}
        assert "unknown" in results["dying"]
        assert "not executed" in results["missing"]
        assert isinstance((await second.turn("what now?")).payload, TurnComplete)


async def test_processes_that_outlived_the_program_are_named(tmp_path: Path) -> None:
    left = {"command": "sleep 1000 > /dev/null 2>&1 & echo $!"}
    async with running(tmp_path, [calls(call("bash", left)), {"text": "started"}]) as first:
        await first.turn("start it")
        path = journal_of(first.session)
        pid = int(first.wire()[3]["content"].splitlines()[0])
    try:
        async with running(tmp_path, [{"text": "I see."}], resumption=Resumption(path)) as second:
            resumed = (await second.until(ResumeComplete)).payload
            assert resumed.still_running == (f"process {pid}: sleep 1000",)
            await second.turn("go on")
            assert f"process {pid}" in str(wire(second)[-2]["content"])
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_the_model_of_the_session_is_used_unless_another_is_named(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "one"}]) as first:
        await first.turn("first")
        path, model = journal_of(first.session), first.session.model_name
    for keep, expected in ((False, model), (True, "ollama/other")):
        resumption = Resumption(path, keep_model=keep)
        async with running(tmp_path, model_name="ollama/other", resumption=resumption) as second:
            assert (await second.until(ResumeComplete)).payload.model_name == expected


async def test_resume_as_an_operation_changes_the_session_in_place(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "one"}]) as first:
        await first.turn("first")
        path = journal_of(first.session)
    async with running(tmp_path, [{"text": "other"}, {"text": "more"}]) as second:
        await second.turn("something else")
        done = await second.operate(OpType.RESUME, path=str(path))
        assert isinstance(done.payload, ResumeComplete)
        await second.turn("second")
        assert [m["content"] for m in wire(second)] == ["first", "one", "second", "more"]


async def test_what_cannot_be_resumed_changes_nothing(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.jsonl"
    nonsense.write_text("{}\n")
    async with running(tmp_path, [{"text": "one"}, {"text": "two"}]) as loop:
        await loop.turn("first")
        loop.outside_ends = 2
        for path in (nonsense, tmp_path / "missing.jsonl"):
            error = (await loop.operate(OpType.RESUME, path=str(path))).payload
            assert str(path) in error.error
        await loop.turn("second")
        assert [m["content"] for m in wire(loop)] == ["first", "one", "second", "two"]
    with pytest.raises(SessionError):
        async with running(tmp_path, [], resumption=Resumption(nonsense)):
            pass


async def test_nothing_said_nothing_kept(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    assert list((tmp_path / "state").rglob("*.jsonl")) == []


async def test_a_new_title_is_there_again(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "one"}]) as first:
        await first.turn("first")
        assert (await first.operate(OpType.RENAME, title="  my  run ")).payload.title == "my run"
        path = journal_of(first.session)
    async with running(tmp_path, [], resumption=Resumption(path)) as second:
        assert (await second.until(ResumeComplete)).payload.title == "my run"


async def test_the_cap_comes_back_unless_another_is_given(tmp_path: Path) -> None:
    async with running(tmp_path, [PRICE, {"text": "one", "usage": USAGE}], max_cost_usd=0.01) as first:
        await first.turn("first")
        path = journal_of(first.session)
    script = [PRICE, {"text": "two", "usage": USAGE}]
    async with running(tmp_path, script, resumption=Resumption(path)) as second:
        await second.until(ResumeComplete)
        assert (await second.turn("second")).payload.stop_reason == "budget"
        await second.operate(OpType.CONFIGURE, cap_usd=0.5)
    async with running(tmp_path, script, resumption=Resumption(path)) as third:
        await third.until(ResumeComplete)
        assert third.session.ledger.cap_usd == 0.5
    async with running(tmp_path, script, resumption=Resumption(path), max_cost_usd=0.7) as fourth:
        await fourth.until(ResumeComplete)
        assert fourth.session.ledger.cap_usd == 0.7


async def test_spending_before_the_resume_counts_against_the_cap(tmp_path: Path) -> None:
    async with running(tmp_path, [PRICE, {"text": "one", "usage": USAGE}]) as first:
        await first.turn("first")
        path = journal_of(first.session)
    script = [PRICE, {"text": "two", "usage": USAGE}]
    async with running(tmp_path, script, resumption=Resumption(path), max_cost_usd=0.01) as second:
        await second.until(ResumeComplete)
        assert (await second.turn("second")).payload.stop_reason == "budget"
        assert second.of(LLMCall) == []
