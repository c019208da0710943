"""What the desk makes of pauses, of a process that is over, and how often a person is told the same."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.compute.local import LocalProcesses
from agent.compute.sweep import sweep
from agent.protocol.compute import Running, Work
from agent.protocol.events import HfJobSubmit, ToolProgress, ToolStateChange
from tests.fakes.place import Place, Thing
from tests.unit.core.desks import BOX, WORK, Bench, bench

HERE = Work("count", ("sh", "-c", "echo one; echo two; [ ! -e wait ] || sleep 60"), flavor="local")


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


async def sandbox(b: Bench) -> tuple[Place, Thing]:
    place = b.add_place(Place(b.time, name="box", kind="sandbox"))
    place.calls.clear()
    hold = b.hold(usd=1.0)
    running = await b.desk.submit("box", BOX, "call1")
    assert await b.desk.adopt(hold)
    thing = place.things[running.lease_id]
    thing.started_at = None  # as of a Space: the Hub does not say
    return place, thing


async def waiting_for(b: Bench, thing: Thing) -> asyncio.Task[Running]:
    waiting = asyncio.create_task(b.desk.wait(thing.lease_id, tool_call_id="call1"))
    await asyncio.sleep(0)
    return waiting


def shown(b: Bench) -> list[str]:
    """The lines that a person sees of stages: of an event with an address, and of the log."""
    changes = [f"{event.state}: {event.jobUrl}" for event in b.side.of(ToolStateChange) if event.jobUrl]
    return changes + b.side.told


# --- pauses ----------------------------------------------------------------------------------------------------------


async def _pass(b: Bench, place: Place, seconds: float) -> None:
    """Let so much time pass at least, and all looks of the desk that are due in it."""
    end = b.time.moment.timestamp() + seconds
    while b.time.moment.timestamp() < end:
        looks = place.calls["status"]
        await b.time.until(lambda seen=looks: place.calls["status"] > seen, advancing=20.0)  # type: ignore[misc]
        expires_at = b.time.now() + timedelta(minutes=59)
        await b.time.until(lambda at=expires_at: b.leases[0].expires_at > at)  # type: ignore[misc]


async def test_time_in_which_a_sandbox_is_paused_is_not_charged(b: Bench) -> None:
    place, thing = await sandbox(b)
    await _pass(b, place, 1800)
    thing.stage = "paused"
    await _pass(b, place, 4 * 3600)
    thing.stage = "running"
    await _pass(b, place, 1800)
    assert (await b.desk.cancel(thing.lease_id)).worked
    assert 1.0 <= sum(b.side.charged) <= 1.6, "an hour, and what lies between two looks at each end of the pause"
    assert b.side.ledger.reserved_usd == 0.0


async def test_a_pause_is_remembered_by_whoever_goes_on(b: Bench) -> None:
    place, thing = await sandbox(b)
    thing.stage = "paused"
    await _pass(b, place, 3 * 3600)
    (lease,) = b.leases
    assert 2.5 * 3600 <= lease.paused_s <= 3.2 * 3600 and lease.price_source == "table"
    charged_usd = lease.charged_usd
    await b.kill()
    await b.desk.take_up("s1")
    assert (await b.desk.cancel(thing.lease_id)).worked
    assert charged_usd + sum(b.side.charged) <= 0.5


async def test_what_is_not_known_to_be_a_pause_is_charged(b: Bench) -> None:
    """One look that finds it asleep says nothing of the time before it, nor does one that gets no answer."""
    place, thing = await sandbox(b)
    for _ in range(6):
        thing.stage = "paused"
        await _pass(b, place, 1)
        place.fails["status"] = 1
        await _pass(b, place, 1)
    ran_h = (b.time.now() - b.leases[0].created_at).total_seconds() / 3600
    assert (await b.desk.cancel(thing.lease_id)).worked
    assert sum(b.side.charged) == pytest.approx(ran_h, abs=1e-4)


# --- told once -------------------------------------------------------------------------------------------------------


async def test_each_state_of_a_job_that_is_waited_for_is_told_once(b: Bench) -> None:
    thing = await b.run()
    waiting = await waiting_for(b, thing)
    b.place.start(thing)
    await b.time.until(lambda: len(b.side.of(ToolStateChange)) == 2, advancing=1.0)
    b.place.end(thing)
    await b.time.until(waiting.done)
    assert [event.state for event in b.side.of(ToolStateChange)] == ["queued", "running", "completed"]
    url = thing.handle.url
    assert shown(b) == [f"queued: {url}", f"running: {url}"], "the result of the call tells of the end"


async def test_each_state_of_a_job_in_the_background_is_told_once(b: Bench) -> None:
    thing = await b.run()
    b.place.start(thing)
    await b.time.until(lambda: len(b.side.of(ToolStateChange)) == 2, advancing=1.0)
    b.place.end(thing)
    await b.until_dropped(thing)
    url, label = thing.handle.url, f"job {thing.handle.id} (train.py)"
    assert shown(b) == [f"queued: {url}", f"{label}: running, {url}", f"{label}: completed, $0.50"]


async def test_what_a_place_says_while_it_makes_something_is_the_progress_of_the_call(b: Bench) -> None:
    place = b.add_place(Place(b.time, name="box", kind="sandbox"))
    place.answer_gate.clear()
    making = asyncio.create_task(b.desk.submit("box", BOX, "call7"))
    await b.time.until(lambda: bool(place.things))
    work = place.only().work
    assert work.progress is not None and "progress" not in repr(work)
    work.progress("The Space is building")
    work.progress("with hf_secret_value")
    await b.time.until(lambda: len(b.side.of(ToolProgress)) == 2)
    assert b.side.of(ToolProgress) == [
        ToolProgress("sandbox_create", "call7", "The Space is building"),
        ToolProgress("sandbox_create", "call7", "with [REDACTED]"),
    ]
    assert b.side.told == []
    place.answer_gate.set()
    await making


async def test_the_record_of_a_job_holds_what_is_known_of_it_and_guesses_nothing(b: Bench) -> None:
    """A script is packed in the command: its words say nothing of what it does."""
    command = ("uv", "run", "-c", "# never push_to_hub, hub_model_id is unused")
    await b.run("call1", work=replace(WORK, command=command))
    await b.run("call2", work=replace(WORK, facts={"job_type": "python", "push_to_hub": "yes"}))
    told = [(event.job_type, event.push_to_hub, event.image) for event in b.side.of(HfJobSubmit)]
    assert told == [("", None, "img"), ("python", True, "img")]


# --- what a process leaves -------------------------------------------------------------------------------------------


def local(b: Bench) -> LocalProcesses:
    place = LocalProcesses(b.state_dir, {"PATH": os.environ["PATH"]}, grace_s=0.2)
    b.places[place.name] = place  # type: ignore[assignment]
    b.desk = b.new_desk()
    return place


def left_by_work(b: Bench) -> list[str]:
    return [path.name for path in (b.state_dir / "work").glob("*")]


async def test_the_directory_of_a_process_goes_once_its_output_is_kept(b: Bench, tmp_path: Path) -> None:
    local(b)
    running = await b.desk.submit("local", replace(HERE, work_dir=tmp_path), "call1")
    waiting = asyncio.create_task(b.desk.wait(running.lease_id, tool_call_id="call1"))
    await b.time.until(waiting.done)
    assert waiting.result().status.stage == "completed"
    await b.time.until(lambda: b.leases == [] and left_by_work(b) == [])
    assert await b.desk.log_tail(running.lease_id, 10) == "one\ntwo"
    assert waiting.result().log_path is not None
    await b.time.until(lambda: b.store.log_path(running.lease_id).exists())


async def test_a_directory_stays_where_its_output_could_not_be_kept(b: Bench, tmp_path: Path) -> None:
    local(b)
    b.store.log_path("0").parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "wait").touch()
    running = await b.desk.submit("local", replace(HERE, work_dir=tmp_path), "call1")
    b.store.log_path(running.lease_id).mkdir()  # nothing can be written there
    await b.time.until(lambda: b.desk.running[0].seen_lines == 2)
    assert (await b.desk.cancel(running.lease_id)).worked
    await b.time.until(lambda: b.desk.running == (), advancing=1.0)
    await b.desk.close()
    assert left_by_work(b) == [running.lease_id]


async def test_the_output_of_a_process_that_was_swept_is_there_when_its_session_goes_on(
    b: Bench, tmp_path: Path
) -> None:
    place = local(b)
    (tmp_path / "wait").touch()
    running = await b.desk.submit("local", replace(HERE, work_dir=tmp_path), "call1")
    await b.time.until(lambda: b.desk.running[0].seen_lines == 2)
    await b.kill()
    b.store.log_path(running.lease_id).unlink(missing_ok=True)
    swept = await sweep(b.store, {"local": place}, now=b.time.now(), only={running.lease_id}, force=True)
    assert [each.action for each in swept] == ["ended"] and left_by_work(b) == [running.lease_id]
    (line,) = await b.desk.take_up("s1")
    assert line.startswith("Ended meanwhile: process") and ": canceled" in line and "2 lines of output" in line
    assert await b.desk.log_tail(running.lease_id, 10) == "one\ntwo"
    assert b.store.log_path(running.lease_id).read_text() == "one\ntwo\n"
    assert (b.leases, left_by_work(b)) == ([], [])
