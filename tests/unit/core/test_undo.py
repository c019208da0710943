"""Taking back turns: what was said, what was done to files, or both."""

from pathlib import Path
from typing import Any

from agent.core.agent_loop import Resumption
from agent.protocol.events import Compacted, ResumeComplete
from agent.protocol.operations import OpType
from tests.unit.core.loop import Loop, call, calls, running


def write(path: str, content: str) -> dict[str, Any]:
    return calls(call("write", {"path": path, "content": content}))


DONE = {"text": "done"}


def texts(loop: Loop) -> list[str]:
    return [m["content"] for m in loop.wire() if m["role"] == "user"]


async def test_undo_restores_the_files_of_the_last_turn_only(tmp_path: Path) -> None:
    work = tmp_path / "workspace"
    answers = [
        write("a.txt", "1"),
        DONE,
        write("b.txt", "2"),
        calls(call("bash", {"command": "echo x >> a.txt"})),
        DONE,
    ]
    async with running(tmp_path, answers) as loop:
        await loop.turn("first")
        await loop.turn("second")
        assert (work / "a.txt").read_text() == "1x\n"
        undone = (await loop.operate(OpType.UNDO)).payload
        assert sorted(undone.restored_files) == ["a.txt", "b.txt"]
        assert (work / "a.txt").read_text() == "1"
        assert not (work / "b.txt").exists()
        assert texts(loop) == ["first"]
        undone = (await loop.operate(OpType.UNDO)).payload
        assert undone.prompt == "first"
        assert list(work.iterdir()) == []


async def test_several_turns_at_once(tmp_path: Path) -> None:
    answers = [write("a.txt", "1"), DONE, write("b.txt", "2"), DONE, {"text": "three"}]
    async with running(tmp_path, answers) as loop:
        for prompt in ("first", "second", "third"):
            await loop.turn(prompt)
        undone = (await loop.operate(OpType.UNDO, turns=2)).payload
        assert (undone.removed_turns, undone.prompt) == (2, "second")
        assert texts(loop) == ["first"]
        assert [path.name for path in (tmp_path / "workspace").iterdir()] == ["a.txt"]


async def test_chat_alone_and_files_alone(tmp_path: Path) -> None:
    work = tmp_path / "workspace"
    async with running(tmp_path, [write("a.txt", "1"), DONE, write("b.txt", "2"), DONE]) as loop:
        await loop.turn("first")
        await loop.turn("second")
        undone = (await loop.operate(OpType.UNDO, what="files")).payload
        assert (undone.removed_messages, undone.restored_files) == (0, ("b.txt",))
        assert "b.txt" in loop.wire()[-1]["content"]  # the model is told
        undone = (await loop.operate(OpType.UNDO, what="chat")).payload
        assert undone.restored_files == ()
        assert texts(loop) == ["first"]
        assert (work / "a.txt").exists()


async def test_what_the_person_has_changed_since_is_kept(tmp_path: Path) -> None:
    async with running(tmp_path, [write("a.txt", "1"), DONE]) as loop:
        await loop.turn("first")
        (tmp_path / "workspace" / "a.txt").write_text("mine")
        undone = (await loop.operate(OpType.UNDO)).payload
        assert (undone.restored_files, undone.kept_files) == ((), ("a.txt",))
        assert (tmp_path / "workspace" / "a.txt").read_text() == "mine"


async def test_nothing_to_undo(tmp_path: Path) -> None:
    async with running(tmp_path) as loop:
        undone = (await loop.operate(OpType.UNDO)).payload
        assert (undone.removed_messages, undone.removed_turns) == (0, 0)


async def test_a_turn_is_undone_exactly_although_it_was_compacted(tmp_path: Path) -> None:
    steps = [calls(call("bash", {"command": f"echo {'x' * 3000}{n}"})) for n in range(3)]
    summary = {"when": "^An agent for machine-learning", "text": "a summary"}
    answers = [summary, *steps, {"text": "one"}, *steps, {"text": "two"}]
    async with running(tmp_path, answers) as loop:
        await loop.turn("first")
        before = loop.wire()
        await loop.turn("second")
        await loop.submit(OpType.COMPACT)
        compacted = (await loop.until(Compacted)).payload
        assert compacted.new_tokens < compacted.old_tokens
        await loop.operate(OpType.UNDO)
        assert loop.wire() == before


async def test_a_turn_of_an_earlier_run_can_be_undone(tmp_path: Path) -> None:
    async with running(tmp_path, [write("a.txt", "1"), DONE]) as first:
        await first.turn("first")
        assert first.session.record.journal is not None
        path = first.session.record.journal.path
    async with running(tmp_path, resumption=Resumption(path)) as second:
        await second.until(ResumeComplete)
        undone = (await second.operate(OpType.UNDO)).payload
        assert (undone.restored_files, undone.prompt) == (("a.txt",), "first")
        assert len(second.wire()) == 1
    async with running(tmp_path, resumption=Resumption(path)) as third:
        assert (await third.until(ResumeComplete)).payload.restored_count == 0
