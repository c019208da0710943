"""`ml-intern ps` and `ml-intern gc`: what is printed and ended, and the exit codes; and the last lines of a session."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.cli.gc_command import run_gc
from agent.cli.left_running import still_running_lines
from agent.cli.ps_command import run_ps
from agent.compute.leases import LeaseStore, this_process
from agent.compute.local import LocalProcesses
from agent.protocol.compute import ComputeError, Status, Work
from agent.protocol.events import WorkItem
from tests.unit.compute.test_sweep import DAY, HOUR, MINUTE, NOW, Place, a_lease, living


@pytest.fixture
def store(tmp_path: Path) -> LeaseStore:
    return LeaseStore(tmp_path)


async def ps(tmp_path: Path, *places: Any, as_json: bool = False) -> tuple[int, str]:
    out = io.StringIO()
    code = await run_ps(tmp_path, {place.name: place for place in places}, out, as_json=as_json, now=NOW)
    return code, out.getvalue()


async def gc(
    tmp_path: Path, *places: Any, ids: tuple[str, ...] = (), everything: bool = False, **options: bool
) -> tuple[int, str]:
    out = io.StringIO()
    chosen = {"dry_run": False, "as_json": False} | options
    backends = {place.name: place for place in places}
    code = await run_gc(tmp_path, backends, out, ids=ids, everything=everything, now=NOW, **chosen)
    return code, out.getvalue()


# --- ps --------------------------------------------------------------------------------------------------------------


async def test_nothing_runs(tmp_path: Path) -> None:
    code, text = await ps(tmp_path, Place())
    assert code == 0 and text.startswith("Nothing runs") and text.count("\n") == 1
    assert await ps(tmp_path, Place(), as_json=True) == (0, "[]\n")
    assert list(tmp_path.glob("leases*")) == []


async def test_the_table_aligns_marks_orphans_and_adds_up(store: LeaseStore, tmp_path: Path) -> None:
    jobs, boxes = Place(), Place("sandbox", "boxes")
    boxes.errors["status"] = ComputeError("the Hub cannot be reached", "network")
    running = store.write(a_lease(jobs, 2 * HOUR, owner=this_process(), expires_at=NOW + HOUR))
    box = store.write(a_lease(boxes, 30 * HOUR, usd_per_hour=None, flavor="a-very-long-name-of-hardware"))
    done = store.write(a_lease(jobs, MINUTE, usd_per_hour=20.0, name="eval\x1b[31m.py", expires_at=NOW + HOUR))
    jobs.holds(running, billed_s=7200.0)
    jobs.holds(done, "completed", billed_s=36.0)
    code, text = await ps(tmp_path, jobs, boxes)
    assert code == 0 and "t0p-s3cret" not in text and "\x1b" not in text
    heading, *lines, total = text.splitlines()
    firsts = [line for line in lines if not line.startswith(" ")]
    assert [line.split() for line in firsts] == [
        [box.id, "sandbox", "unknown", "a-very-long-n…", "30h", "00m", "?", "?"],
        [running.id, "job", "running", "a10g-large", "2h", "00m", "$1.50", "$3.00"],
        [done.id, "job", "completed", "a10g-large", "1m", "00s", "-", "$0.20"],
    ]
    assert {line.index(word) for line, word in zip(firsts, ("sandbox", "job", "job"), strict=True)} == {
        heading.index("kind")
    }
    assert max(map(len, [heading, *firsts])) <= 80
    about = "\n".join(lines).split("\n" + " " * 14 + "train.py, ")  # box, running, and what follows
    assert about[1].startswith("boxes acme, session session1\n")
    assert "its program is gone, expired, unknown (the Hub cannot be reached)" in about[1]
    assert f"https://place/{running.id}" in about[2] and "its program" not in about[2].split(f"{done.id}  ")[0]
    assert "eval.py, place acme" in about[2] and "expired" not in about[2]
    assert "$1.50 an hour" in total and "1 whose price is not known" in total


async def test_json_has_the_facts_and_no_secrets(store: LeaseStore, tmp_path: Path) -> None:
    place = Place()
    lease = store.write(a_lease(place, 2 * HOUR))
    place.holds(lease, billed_s=3600.0, started_at=NOW - 2 * HOUR)
    code, text = await ps(tmp_path, place, as_json=True)
    [row] = json.loads(text)
    assert code == 0 and "t0p-s3cret" not in text
    expected = {
        "id": lease.id,
        "kind": "job",
        "name": "train.py",
        "backend": "place",
        "namespace": "acme",
        "hardware": "a10g-large",
        "stage": "running",
        "age_s": 7200,
        "started_at": "2026-11-01T10:00:00+00:00",
        "usd_per_hour": 1.5,
        "so_far_usd": 1.5,
        "session_id": "session1",
        "url": f"https://place/{lease.id}",
        "is_orphan": True,
        "is_expired": True,
        "problem": None,
    }
    assert {name: row[name] for name in expected} == expected


async def test_a_lease_that_cannot_be_read_is_named(
    store: LeaseStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place()
    place.holds(store.write(a_lease(place)))
    (tmp_path / "leases" / "0123456789ab.json").write_text("{")
    for command in (ps, gc):
        code, _ = await command(tmp_path, place)
        said = capsys.readouterr().err
        assert code == 1 and "0123456789ab.json cannot be read (damaged" in said and "remove the file" in said
        assert said.count("\n") == 1


async def test_one_that_is_a_directory_is_named_too(
    store: LeaseStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "leases" / "0123456789ab.json").mkdir(parents=True)
    for command in (ps, gc):
        code, text = await command(tmp_path, Place())
        assert code == 1 and "(Is a directory)" in capsys.readouterr().err and "Nothing runs" not in text


async def test_leases_that_are_no_directory_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "leases").write_text("x")
    for command in (ps, gc):
        assert await command(tmp_path, Place()) == (1, "")
        assert "cannot be read (Not a directory)" in capsys.readouterr().err


async def test_what_has_not_begun_has_cost_nothing_so_far(store: LeaseStore, tmp_path: Path) -> None:
    place = Place()
    place.holds(store.write(a_lease(place)), "queued")
    store.write(a_lease(place, MINUTE, state="creating", handle=None))
    _, text = await ps(tmp_path, place)
    assert [line.split()[-1] for line in text.splitlines() if "a10g-large" in line] == ["$0.00", "$0.00"]


# --- gc --------------------------------------------------------------------------------------------------------------


async def test_gc_ends_what_is_expired_and_nothing_else(store: LeaseStore, tmp_path: Path) -> None:
    place = Place()
    expired, young, others = (
        store.write(lease) for lease in (a_lease(place), a_lease(place, MINUTE), living(a_lease(place, 2 * DAY)))
    )
    for lease in (expired, young, others):
        place.holds(lease, billed_s=3600.0)
    code, text = await gc(tmp_path, place, dry_run=True)
    assert code == 0 and text.startswith(f"would be ended: {expired.id} ") and "It is running." in text
    assert place.there[expired.id].stage == "running"
    code, text = await gc(tmp_path, place)
    assert (code, text) == (
        0,
        f"ended:   {expired.id} job train.py on a10g-large: It was running, and is ended now. "
        "$1.50 will be charged when its session goes on.\n",
    )
    assert [place.there[lease.id].stage for lease in (expired, young, others)] == ["canceled", "running", "running"]
    code, text = await gc(tmp_path, place)
    assert code == 0 and text.startswith("Nothing to end: 2 are known, and none") and "'ml-intern gc ID'" in text
    assert await gc(tmp_path, place, as_json=True) == (0, "[]\n")


async def test_gc_where_nothing_is_known(store: LeaseStore, tmp_path: Path) -> None:
    assert await gc(tmp_path, Place()) == (0, "Nothing to end.\n")


async def test_gc_of_what_is_named(store: LeaseStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place()
    first, second = (
        store.write(replace(a_lease(place, MINUTE), id=lease_id)) for lease_id in ("aaaa11112222", "aaaa33334444")
    )
    store.update(second.id, handle=replace(place.handle(second), id="68f0job"))
    assert first.handle is not None
    place.there |= {first.handle.id: Status("running"), "68f0job": Status("running")}
    for wrong, said in (("aaaa", "give more"), ("bbbb", "ml-intern ps"), ("", "ml-intern ps")):
        assert await gc(tmp_path, place, ids=(wrong,)) == (2, "")
        assert said in capsys.readouterr().err
    assert await gc(tmp_path, place, ids=("aaaa1",), everything=True) == (2, "")
    assert place.asked == []
    code, text = await gc(tmp_path, place, ids=("aaaa1",))
    assert code == 0 and first.id in text and second.id not in text
    code, text = await gc(tmp_path, place, ids=("68f0", "68f0job", "aaaa33334444"))
    assert code == 0 and text.count("ended:") == 1 and second.id in text
    assert {status.stage for status in place.there.values()} == {"canceled"}


async def test_gc_of_everything_of_this_machine(store: LeaseStore, tmp_path: Path) -> None:
    place = Place()
    mine, others = (store.write(living(a_lease(place, MINUTE))) for _ in range(2))
    elsewhere = store.write(a_lease(place, MINUTE, owner=replace(this_process(), host="elsewhere")))
    for lease in (mine, others, elsewhere):
        place.holds(lease)
    code, text = await gc(tmp_path, place, everything=True, as_json=True)
    assert code == 0 and "t0p-s3cret" not in text
    assert {(row["id"], row["action"]) for row in json.loads(text)} == {(mine.id, "ended"), (others.id, "ended")}
    assert place.there[elsewhere.id].stage == "running"


async def test_gc_says_what_could_not_be_ended(store: LeaseStore, tmp_path: Path) -> None:
    place = Place()
    place.stuck = True
    lease = store.write(a_lease(place))
    place.holds(lease)
    code, text = await gc(tmp_path, place)
    assert code == 1 and text.startswith(f"kept:    {lease.id}") and "It does not stop." in text
    assert store.all() == [lease]


async def test_a_real_process_of_a_dead_program(store: LeaseStore, tmp_path: Path) -> None:
    place = LocalProcesses(tmp_path, {"PATH": "/usr/bin:/bin"}, grace_s=0.3)
    lease = a_lease(Place("process", "local"), MINUTE, usd_per_hour=0.0, handle=None, state="creating", flavor="local")
    store.write(lease)
    await place.submit(Work("w", ("sleep", "1000"), work_dir=tmp_path), lease.id)
    code, text = await ps(tmp_path, place)
    assert code == 0 and "running" in text and "free" in text and "$0.00 an hour" in text
    assert text.splitlines()[1].split()[3] == "here" and "local" not in text.splitlines()[1]
    assert json.loads((await ps(tmp_path, place, as_json=True))[1])[0]["hardware"] == "here"
    assert len(text.splitlines()[-1]) <= 80
    code, _ = await gc(tmp_path, place, ids=(lease.id[:6],))
    assert code == 0
    found = await place.find(lease.id, None)
    assert found is not None and (await place.status(found)).stage == "canceled"
    code, text = await ps(tmp_path, place)
    assert code == 0 and text.startswith("Nothing runs")


# --- leaving ---------------------------------------------------------------------------------------------------------


def test_what_still_runs_is_told_on_leaving() -> None:
    job = WorkItem(
        id="1a2b3c4d5e6f",
        kind="job",
        name="train\x1b[2J.py",
        backend="hf_jobs",
        place_id="68f0",
        flavor="a10g-large",
        stage="running",
        is_over=False,
        created_at="2026-11-01T12:00:00+00:00",
        usd_per_hour=1.5,
        url="https://hub/jobs/68f0",
    )
    process = replace(job, kind="process", place_id="77", flavor="local", usd_per_hour=0.0, url=None)
    over = replace(job, is_over=True)
    unknown = replace(job, usd_per_hour=None)
    assert still_running_lines([job, over, process, unknown]) == [
        "Still running: job train.py on a10g-large, $1.50/h, https://hub/jobs/68f0; "
        "'ml-intern gc 1a2b3c4d5e6f' ends it",
        "Still running: process train.py, free, 77; 'ml-intern gc 1a2b3c4d5e6f' ends it",
        "Still running: job train.py on a10g-large, price unknown, https://hub/jobs/68f0; "
        "'ml-intern gc 1a2b3c4d5e6f' ends it",
    ]
    assert still_running_lines([over]) == []


async def test_a_place_that_does_not_answer_is_not_waited_for(store: LeaseStore, tmp_path: Path) -> None:
    place = Place()
    lease = store.write(a_lease(place))
    place.holds(lease)
    place.errors["status"] = TimeoutError()
    _, text = await asyncio.wait_for(ps(tmp_path, place), 60)
    assert "unknown" in text and "did not answer" in text
