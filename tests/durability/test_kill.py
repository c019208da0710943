"""`kill -9` at any moment loses at most the record in flight, and the next program goes on from there."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.agent_loop import Resumption
from agent.protocol.events import ResumeComplete
from tests.durability.cancel_person import SCRIPT, TOOLS, goes_on, work
from tests.durability.cancel_servers import no_wait
from tests.durability.kill_run import KilledRun, KillPoint, write_script
from tests.unit.core.loop import running, surroundings

SESSIONS, KILLS_EACH = 25, 4


@pytest.mark.parametrize("seed", range(SESSIONS))
def test_a_session_survives_being_killed_at_random_points(seed: int, env: dict[str, str], tmp_path: Path) -> None:
    rng = random.Random(seed)
    run = KilledRun(env, tmp_path / "work", write_script(tmp_path / "script.jsonl"), rng)
    for _ in range(KILLS_EACH):
        point = KillPoint.at_random(rng)
        print(f"seed {seed}: kill at {point}")
        run.kill_at(point)
    run.finish()
    run.check_traces()
    print(f"seed {seed}: {run.kills} kills, {run.fates()}")


def test_a_call_that_was_running_is_reported_as_unknown(env: dict[str, str], tmp_path: Path) -> None:
    begun = tmp_path / "work" / "begun"
    calls = [
        {"id": "bash_0", "name": "bash", "arguments": {"command": f"touch {begun}; sleep 1000"}},
        {"id": "write_0", "name": "write", "arguments": {"path": "write_0.txt", "content": "trace of write_0"}},
    ]
    model = write_script(tmp_path / "script.jsonl", [{"text": "A long one.", "tool_calls": calls}])
    run = KilledRun(env, tmp_path / "work", model)
    run.kill_when(lambda _program: begun.exists() and run.has_written(b'"role":"tool"'))
    events = run.finish().events()
    (resumed,) = [event["data"] for event in events if event["event_type"] == "resume_complete"]
    assert resumed["unfinished"] == ["bash"]  # the other call of the batch had its result
    assert run.fates() == {"bash_0": "unknown", "write_0": "finished"}


def test_a_session_killed_before_its_first_record_leaves_nothing_behind(env: dict[str, str], tmp_path: Path) -> None:
    run = KilledRun(env, tmp_path / "work", write_script(tmp_path / "script.jsonl"))
    run.kill_at(KillPoint("reads", 1))
    assert run.journal is None
    run.finish()
    run.check_traces()


async def test_any_record_can_be_the_last_one(tmp_path: Path) -> None:
    """Approval, compaction and steering included; the record after it is torn."""
    place = surroundings(tmp_path, headless=False)
    async with running(tmp_path, SCRIPT, tools=TOOLS, place=replace(place, sleep=no_wait), yolo_mode=False) as loop:
        await work(loop)
        assert loop.session.record.journal is not None
        records = loop.session.record.journal.path.read_bytes().splitlines(keepends=True)
    for count in range(1, len(records)):
        copy = tmp_path / f"{count}.jsonl"
        whole, torn = b"".join(records[:count]), records[count]
        copy.write_bytes(whole + torn[: len(torn) // 2])
        print(f"{count} records of {len(records)}, and half of {torn[:80]!r}")
        async with running(tmp_path, SCRIPT, tools=TOOLS, place=place, resumption=Resumption(copy)) as loop:
            assert not (await loop.until(ResumeComplete)).payload.forked
            assert copy.read_bytes().startswith(whole)
            await goes_on(loop)
