"""What a session tells of itself."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.core.agent_loop import Resumption
from agent.core.reporting import MAX_DIFF_CHARS, first_sentence
from agent.protocol.events import ContextReport, ErrorRaised, Feedback, Interrupted, ResumeComplete, WorkspaceDiff
from agent.protocol.operations import OpType
from agent.protocol.tools import ToolResult, ToolSpec
from agent.tools.process_session import still_running
from tests.unit.core.loop import Loop, call, calls, running, surroundings

# --- the model's window ----------------------------------------------------------------------------------------------


async def context(loop: Loop) -> ContextReport:
    payload = (await loop.operate(OpType.CONTEXT)).payload
    assert isinstance(payload, ContextReport)
    return payload


async def test_the_parts_of_the_window_add_up(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "ok", "usage": {"prompt_tokens": 9_000}}], context_window=50_000) as loop:
        empty = await context(loop)
        assert empty.messages_tokens == empty.message_count == 0
        await loop.turn("hello " * 300)
        report = await context(loop)
        assert report.window_tokens == 50_000
        assert report.threshold_tokens == 45_000
        assert report.message_count == 2
        assert report.messages_tokens > 0
        assert report.used_tokens == report.system_tokens + report.tools_tokens + report.messages_tokens
        assert report.used_tokens == loop.session.history.usage_tokens


async def test_tools_are_told_in_a_sentence(tmp_path: Path) -> None:
    async def never(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        raise AssertionError("nobody calls it")

    schema = {"type": "object", "properties": {}}
    specs = [ToolSpec("look", "Looks around. Costs nothing.", schema, never), ToolSpec("mute", "", schema, never)]
    async with running(tmp_path, tools=specs) as loop:
        report = await context(loop)
        assert [(tool.name, tool.summary) for tool in report.tools] == [("look", "Looks around."), ("mute", "")]
        assert all(tool.tokens > 0 for tool in report.tools)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("One. Two.", "One."), ("One, v1.2 of it\nTwo", "One, v1.2 of it"), ("  \n One?  Two", "One?"), ("", "")],
)
def test_first_sentence(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence


async def test_memory_files_are_named(tmp_path: Path) -> None:
    place = surroundings(tmp_path)
    (place.workspace / "AGENTS.md").write_text("Use uv.")
    async with running(tmp_path, place=place) as loop:
        assert (await context(loop)).memory_files == (str(place.workspace / "AGENTS.md"),)


# --- files -----------------------------------------------------------------------------------------------------------


async def diff(loop: Loop) -> WorkspaceDiff:
    payload = (await loop.operate(OpType.DIFF)).payload
    assert isinstance(payload, WorkspaceDiff)
    return payload


def command(text: str) -> list[dict[str, Any]]:
    return [calls(call("bash", {"command": text})), {"text": "done"}]


async def test_nothing_changed(tmp_path: Path) -> None:
    async with running(tmp_path, command("ls")) as loop:
        assert await diff(loop) == WorkspaceDiff("")
        await loop.turn()
        assert await diff(loop) == WorkspaceDiff("")


async def test_changed_new_and_removed_files_over_several_turns(tmp_path: Path) -> None:
    place = surroundings(tmp_path)
    (place.workspace / "train.py").write_text("lr = 1\nsteps = 10\n")
    (place.workspace / "old.py").write_text("bye\n")
    script = command("sed -i s/10/20/ train.py; mkdir new; echo hi > new/file.py")
    script += command("sed -i s/20/30/ train.py; rm old.py")
    async with running(tmp_path, script, place=place) as loop:
        await loop.turn()
        await loop.turn()
        expected = [
            *("--- /dev/null", "+++ b/new/file.py", "@@ -0,0 +1 @@", "+hi"),
            *("--- a/old.py", "+++ /dev/null", "@@ -1 +0,0 @@", "-bye"),
            *("--- a/train.py", "+++ b/train.py", "@@ -1,2 +1,2 @@", " lr = 1", "-steps = 10", "+steps = 30"),
        ]
        assert await diff(loop) == WorkspaceDiff("\n".join(expected))


async def test_what_was_undone_is_no_change(tmp_path: Path) -> None:
    async with running(tmp_path, command("echo hi > file")) as loop:
        await loop.turn()
        assert "+hi" in (await diff(loop)).diff
        await loop.operate(OpType.UNDO)
        assert await diff(loop) == WorkspaceDiff("")


async def test_it_goes_back_beyond_a_resume(tmp_path: Path) -> None:
    async with running(tmp_path, command("echo one > file")) as loop:
        await loop.turn()
        path = loop.session.record.saved_path
        assert path is not None
    async with running(tmp_path, command("echo two >> file"), resumption=Resumption(path)) as loop:
        await loop.until(ResumeComplete)
        await loop.turn()
        assert (await diff(loop)).diff.endswith("+one\n+two")


async def test_files_without_text_are_named(tmp_path: Path) -> None:
    text = (
        "printf 'a\\0b' > model.bin; printf '\\377' > latin; : > empty; head -c 1100000 /dev/zero | tr '\\0' x > large;"
        "ln -s model.bin link; chmod 755 run.sh"
    )
    place = surroundings(tmp_path)
    (place.workspace / "run.sh").write_text("ls\n")
    (place.workspace / "run.sh").chmod(0o644)
    async with running(tmp_path, command(text), place=place) as loop:
        await loop.turn()
        lines = (await diff(loop)).diff.split("\n")
        assert "model.bin: new; binary" in lines
        assert "latin: new; binary" in lines
        assert "empty: new; no line differs" in lines
        assert "large: new; too large to show (1,100,000 bytes)" in lines
        assert "run.sh: mode 644 -> 755" in lines
        assert lines[lines.index("+++ b/link") + 2] == "+model.bin"


async def test_a_long_diff_is_cut(tmp_path: Path) -> None:
    text = "for i in $(seq 100 130); do seq -s ' and so on and on ' 1000 | fold -w 100 > file$i; done"
    async with running(tmp_path, command(text)) as loop:
        await loop.turn()
        report = await diff(loop)
        assert len(report.diff) < MAX_DIFF_CHARS + 1_000
        assert "the diff is cut here" in report.diff.split("\n")[-1]
        assert report.diff.endswith(" more.")


async def test_what_somebody_else_has_changed_is_said(tmp_path: Path) -> None:
    async with running(tmp_path, command("echo agent > file")) as loop:
        await loop.turn()
        (loop.session.workspace / "file").write_text("agent\nperson\n")
        report = await diff(loop)
        assert report.diff.endswith("+agent\n+person")
        assert report.not_covered == "changed by somebody else as well: file"


async def test_secrets_are_not_in_the_diff(tmp_path: Path) -> None:
    key = "-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----"
    script = command("printf -- '-----BEGIN KEY-----\\nabcdefgh\\n-----END KEY-----\\n' > pem")
    async with running(tmp_path, script, environ={"MY_SECRET": key}) as loop:
        await loop.turn()
        report = await diff(loop)
        assert "abcdefgh" not in report.diff
        assert "+[REDACTED:MY_SECRET]" in report.diff


async def test_it_can_be_stopped(tmp_path: Path) -> None:
    begun, released = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        released.wait()

    async with running(tmp_path, command("echo hi > file")) as loop:
        await loop.turn()
        work = asyncio.ensure_future(loop.session.copies_disk.run(block))  # a disk that hangs
        await asyncio.to_thread(begun.wait)
        loop.outside_ends = 1
        await loop.submit(OpType.DIFF)
        while not loop.submissions.empty():
            await asyncio.sleep(0)
        loop.session.cancel()
        await loop.until(Interrupted)
        released.set()
        await work
        assert "+hi" in (await diff(loop)).diff


# --- feedback --------------------------------------------------------------------------------------------------------


async def test_a_rating_is_in_the_journal(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "one"}, {"text": "two"}]) as loop:
        await loop.turn()
        await loop.turn()
        payload = (await loop.operate(OpType.FEEDBACK, rating="down", comment=" too slow ")).payload
        assert payload == Feedback("down", 1, loop.session.turns[-1].id, "too slow")
        path = loop.session.record.saved_path
        assert path is not None
        records = [json.loads(line) for line in path.read_text().splitlines()]
        kept = [record["data"]["data"] for record in records if record["data"].get("event_type") == "feedback"]
        assert [(data["rating"], data["turn_index"], data["comment"]) for data in kept] == [("down", 1, "too slow")]


@pytest.mark.parametrize("rating", ["fine", None, 5, ["up"]])
async def test_a_rating_that_is_none(rating: Any, tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "one"}]) as loop:
        await loop.turn()
        loop.outside_ends = 1
        payload = (await loop.operate(OpType.FEEDBACK, rating=rating)).payload
        assert isinstance(payload, ErrorRaised)
        assert payload.kind == "usage"


async def test_there_is_nothing_to_rate_before_the_first_turn(tmp_path: Path) -> None:
    async with running(tmp_path) as loop:
        loop.outside_ends = 1
        assert isinstance((await loop.operate(OpType.FEEDBACK, rating="up")).payload, ErrorRaised)


# --- processes -------------------------------------------------------------------------------------------------------


async def test_what_commands_leave_running_is_known(tmp_path: Path) -> None:
    script = command("sleep 1234 > /dev/null 2>&1 & echo $! > pid")
    async with running(tmp_path, script) as loop:
        await loop.turn()
        pid = int((loop.session.workspace / "pid").read_text())
        assert still_running(loop.session.session_id) == (f"process {pid}: sleep 1234",)
        assert still_running("another") == ()
        await loop.operate(OpType.SHELL, command=f"kill {pid}; while kill -0 {pid}; do :; done 2> /dev/null")
        assert still_running(loop.session.session_id) == ()
