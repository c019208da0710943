"""`hf_jobs`: looking at jobs, cancelling them, and schedules, over a fake Hub."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.hub import TOKEN
from tests.fakes.hub_job import line, stage
from tests.unit.tools.hf_jobs_kit import Bench, made_bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with made_bench(tmp_path) as made:
        made.hub.jobs.holds_open = False
        yield made


def data_of(output: str) -> Any:
    """What stands in the JSON fence."""
    assert output.startswith("```json\n") and output.endswith("\n```")
    return json.loads(output.removeprefix("```json\n").removesuffix("\n```"))


# --- ps --------------------------------------------------------------------------------------------------------------


async def test_ps_shows_what_is_queued_and_running(bench: Bench) -> None:
    for number, name in enumerate(("SCHEDULING", "RUNNING", "COMPLETED", "ERROR")):
        bench.hub.jobs.add({"command": ["echo", f"a|{number}"]}).set_stage(name)
    bench.hub.jobs.add(namespace="acme").start()
    ids = [job.id for job in bench.hub.jobs.all()]
    active = await bench.call("ps")
    assert [each for each in ids if each in active.output] == ids[:2]
    assert "a\\|0" in active.output
    everything = await bench.call("ps", all=True)
    assert [each for each in ids if each in everything.output] == ids[:4]
    failed = await bench.call("ps", status="error")
    assert [each for each in ids if each in failed.output] == [ids[3]]
    assert ids[4] in (await bench.call("ps", namespace="acme")).output


async def test_ps_all_goes_through_pages_and_is_bounded(bench: Bench) -> None:
    bench.hub.jobs.page_size = 40
    for _ in range(130):
        bench.hub.jobs.add().end()
    result = await bench.call("ps", all=True)
    assert result.output.count("COMPLETED") == 100
    assert "Only the newest 100 are shown" in result.output


async def test_ps_marks_the_own_ones_wherever_they_run(bench: Bench) -> None:
    other = bench.hub.jobs.add()
    other.start()
    await bench.call("run", command=["sleep", "1"], wait=False)
    await bench.call("run", command=["sleep", "2"], wait=False, namespace="acme")
    await bench.call("run", backend="local", command=["sleep", "3"], wait=False)
    rows = [row for row in (await bench.call("ps")).output.splitlines() if row.startswith("|")][2:]
    own, acme = bench.hub.jobs.all()[1].id, bench.hub.jobs.all()[2].id
    assert [row for row in rows if row.startswith("| * |")] == [row for row in rows if other.id not in row]
    assert len(rows) == 4
    assert any(own in row for row in rows)
    assert any(acme in row and "job of acme" in row for row in rows)
    assert any("local-3" in row for row in rows)


async def test_ps_with_nothing_and_without_the_hub(bench: Bench) -> None:
    assert (await bench.call("ps")).output == "No jobs queued or running in tester. `all` shows what is over, too."
    await bench.call("run", backend="local", command=["sleep", "3"], wait=False)
    bench.hub.fail("GET", "/api/jobs/tester", status=500, times=9)
    result = await bench.call("ps")
    assert result.ok
    assert "local-1" in result.output
    assert "Other jobs are not shown" in result.output


# --- logs ------------------------------------------------------------------------------------------------------------


async def test_logs_of_the_own_job_come_from_the_desk(bench: Bench) -> None:
    bench.hub.jobs.script = [stage("RUNNING"), *[line(f"step {n}") for n in range(30)], stage("COMPLETED")]
    await bench.call("run", command=["true"])
    job = bench.hub.jobs.all()[0]
    streams = job.streams
    result = await bench.call("logs", job_id=job.id, tail="5")
    assert result.output.splitlines()[2:] == [f"step {n}" for n in range(25, 30)]
    assert "completed, 30 lines so far" in result.output
    assert str(bench.desk.known["000000000001"].log_path) in result.output
    assert job.streams == streams


async def test_logs_of_others_are_fetched(bench: Bench) -> None:
    job = bench.hub.jobs.add(namespace="acme")
    job.start()
    job.print("one", f"two {TOKEN}", "three")
    result = await bench.call("logs", job_id=f"acme/{job.id}")
    assert result.ok
    assert result.output.splitlines()[0] == f"Job {job.id} of acme: RUNNING, its last lines:"
    assert "one\ntwo [REDACTED:HF_TOKEN]\nthree" in result.output
    assert TOKEN not in result.output


async def test_logs_that_are_not_there(bench: Bench) -> None:
    missing = await bench.call("logs", job_id="nosuch")
    assert not missing.ok
    assert "no such job in this namespace" in missing.output
    for arguments in ({}, {"job_id": "a,b"}, {"job_id": "a b c; rm"}):
        assert not (await bench.call("logs", **arguments)).ok
    assert not (await bench.call("logs", job_id="a", tail="many")).ok


# --- inspect ---------------------------------------------------------------------------------------------------------


async def test_inspect_one_and_several(bench: Bench) -> None:
    one = bench.hub.jobs.add({"secrets": {"KEY": "s3cretvalue"}, "environment": {"API_TOKEN": "t0ken", "A": "1"}})
    two = bench.hub.jobs.add()
    two.start()
    single = await bench.call("inspect", job_id=one.id)
    data = data_of(single.output)
    assert (data["id"], data["word"], data["secrets"]) == (one.id, "SCHEDULING", ["KEY"])
    assert "s3cretvalue" not in single.output and "t0ken" not in single.output
    for given in (f"{one.id}, {two.id}", [one.id, two.id], json.dumps([one.id, two.id])):
        both = await bench.call("inspect", job_id=given)
        assert [each["id"] for each in data_of(both.output)] == [one.id, two.id]


async def test_inspect_of_what_is_not_there(bench: Bench) -> None:
    one = bench.hub.jobs.add()
    mixed = await bench.call("inspect", job_id=f"{one.id},nosuch")
    assert mixed.ok
    assert "no such job" in data_of(mixed.output)[1]["error"]
    assert not (await bench.call("inspect", job_id="nosuch")).ok
    assert not (await bench.call("inspect")).ok


async def test_inspect_of_own_work(bench: Bench) -> None:
    await bench.call("run", command=["true"], wait=False, secrets={"KEY": "s3cretvalue"}, namespace="acme")
    await bench.call("run", backend="local", command=["true"], wait=False)
    job = bench.hub.jobs.all()[0]
    data = data_of((await bench.call("inspect", job_id=job.id)).output)  # found in its organisation by itself
    assert (data["namespace"], data["lease_id"], data["backend"]) == ("acme", "000000000001", "hf_jobs")
    assert data["secrets"] == ["HF_TOKEN", "HUGGINGFACE_HUB_TOKEN", "KEY"]
    assert "s3cretvalue" not in json.dumps(data)
    assert data_of((await bench.call("inspect", job_id="local-2")).output)["backend"] == "local"


# --- cancel ----------------------------------------------------------------------------------------------------------


async def test_cancel_the_own_job_in_its_organisation(bench: Bench) -> None:
    await bench.call("run", command=["sleep", "9"], wait=False, namespace="acme")
    job = bench.hub.jobs.all()[0]
    result = await bench.call("cancel", job_id=job.id)
    assert result.ok
    assert job.stage == "CANCELED"
    assert bench.desk.cancelled == ["000000000001"]
    assert "is cancelled" in result.output


async def test_cancel_that_of_others(bench: Bench) -> None:
    job = bench.hub.jobs.add(namespace="acme")
    job.start()
    wrong = await bench.call("cancel", job_id=job.id)
    assert not wrong.ok  # not there is not the same as cancelled
    assert not job.is_over
    assert (await bench.call("cancel", job_id=job.id, namespace="acme")).ok
    assert job.stage == "CANCELED"


async def test_cancel_what_is_over(bench: Bench) -> None:
    bench.hub.jobs.script = [stage("RUNNING"), stage("COMPLETED")]
    await bench.call("run", command=["true"])
    result = await bench.call("cancel", job_id="000000000001")
    assert result.ok
    assert "was over already (completed)" in result.output
    assert not bench.desk.cancelled


async def test_cancel_that_does_not_work(bench: Bench) -> None:
    job = bench.hub.jobs.add()
    job.start()
    bench.hub.fail("POST", "/cancel", status=403, body={"error": "forbidden"}, times=9)
    result = await bench.call("cancel", job_id=job.id)
    assert not result.ok
    assert not job.is_over


# --- schedules -------------------------------------------------------------------------------------------------------


async def scheduled(bench: Bench, **more: Any) -> str:
    """The id of a new schedule."""
    result = await bench.call("scheduled run", **{"command": ["echo", "x"], "schedule": "@hourly", **more})
    assert result.ok, result.output
    return list(bench.hub.jobs.scheduled)[-1]


async def test_a_schedule_is_made_with_all_that_a_run_has(bench: Bench) -> None:
    result = await bench.call(
        "scheduled run",
        script="print(1)",
        dependencies=["trl"],
        schedule="0 9 * * 1",
        hardware_flavor="t4-small",
        timeout="2h",
        namespace="acme",
        env={"WANDB_API_KEY": "w1"},
    )
    assert result.ok
    assert result.cost_usd is None
    [one] = bench.hub.jobs.scheduled.values()
    assert (one.namespace, one.schedule, one.spec["flavor"], one.spec["timeoutSeconds"]) == (
        *("acme", "0 9 * * 1", "t4-small"),
        7200,
    )
    assert one.spec["secrets"] == {"WANDB_API_KEY": "w1", "HF_TOKEN": TOKEN, "HUGGINGFACE_HUB_TOKEN": TOKEN}
    assert "$0.80 for each run (0 9 * * 1)" in result.output
    assert "Next run: 20" in result.output
    assert TOKEN not in result.output
    assert not bench.desk.submitted


async def test_ps_hides_what_is_suspended(bench: Bench) -> None:
    active, paused = await scheduled(bench), await scheduled(bench)
    await bench.call("scheduled suspend", scheduled_job_id=paused)
    assert bench.hub.jobs.scheduled[paused].suspend
    shown = (await bench.call("scheduled ps")).output
    assert active in shown and paused not in shown
    assert "1 suspended not shown" in shown
    everything = (await bench.call("scheduled ps", all=True)).output
    assert active in everything and paused in everything


async def test_a_schedule_that_has_run_can_be_looked_at(bench: Bench) -> None:
    one = await scheduled(bench, secrets={"KEY": "s3cretvalue"})
    job = bench.hub.jobs.fire(one)
    shown = (await bench.call("scheduled ps")).output
    assert job.created_at.strftime("%Y-%m-%d %H:%M") in shown
    inspected = await bench.call("scheduled inspect", scheduled_job_id=one)
    data = data_of(inspected.output)
    assert data["last_job_id"] == job.id
    assert "KEY" in data["secrets"]
    assert "s3cretvalue" not in inspected.output


async def test_resume_and_delete(bench: Bench) -> None:
    one = await scheduled(bench)
    await bench.call("scheduled suspend", scheduled_job_id=one)
    resumed = await bench.call("scheduled resume", scheduled_job_id=one)
    assert "runs again (@hourly); next: 20" in resumed.output
    assert not bench.hub.jobs.scheduled[one].suspend
    assert (await bench.call("scheduled delete", scheduled_job_id=one)).ok
    assert not bench.hub.jobs.scheduled
    again = await bench.call("scheduled delete", scheduled_job_id=one)
    assert not again.ok
    assert (await bench.call("scheduled ps")).output == "No scheduled jobs in tester."


@pytest.mark.parametrize("operation", ["inspect", "delete", "suspend", "resume"])
async def test_schedules_need_an_id_that_is_there(bench: Bench, operation: str) -> None:
    none = await bench.call(f"scheduled {operation}")
    assert not none.ok
    assert "`scheduled ps` lists them" in none.output
    missing = await bench.call(f"scheduled {operation}", scheduled_job_id="nosuch")
    assert not missing.ok


@pytest.mark.parametrize("schedule", [None, "", "daily", "@minutely", "* * * *", "* * * * * *", "0 9 * * $(x)"])
async def test_schedules_that_are_none(bench: Bench, schedule: str | None) -> None:
    result = await bench.call("scheduled run", command=["true"], schedule=schedule)
    assert not result.ok
    assert "`schedule` must be one of @hourly" in result.output
    assert not bench.hub.jobs.scheduled


async def test_schedules_run_on_jobs_only(bench: Bench) -> None:
    result = await bench.call("scheduled run", command=["true"], schedule="@daily", backend="local")
    assert not result.ok
    assert "runs on hf_jobs only" in result.output


async def test_a_stopped_schedule_is_taken_back(tmp_path: Path) -> None:
    is_looking, may_go_on = asyncio.Event(), asyncio.Event()

    async def gate(_seconds: float) -> None:
        is_looking.set()
        await may_go_on.wait()

    with made_bench(tmp_path, sleep=gate) as bench:
        await bench.account.whoami()
        # The schedule is made and the answer lost: the tool is looking for it when it is stopped.
        bench.hub.fail("POST", "/api/scheduled-jobs/tester$", kind="after")
        call = asyncio.create_task(bench.call("scheduled run", command=["true"], schedule="@hourly"))
        await asyncio.wait_for(is_looking.wait(), 10)
        assert bench.hub.jobs.scheduled
        call.cancel()
        await asyncio.sleep(0)  # it hears of that
        may_go_on.set()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        assert call.cancelled()
        assert not bench.hub.jobs.scheduled
        assert "is deleted again" in bench.session.partials["call-1"]
