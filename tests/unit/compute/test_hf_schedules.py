"""Scheduled jobs over the fake Hub."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from agent.compute.hf_jobs import HfJobs
from agent.protocol.compute import ComputeError, Work
from tests.fakes.hub import FakeHub
from tests.unit.compute.jobs_hub import Pauses, account_at, fake_hub

NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
WORK = Work(
    "nightly", command=("python", "a.py"), image="python:3.12", timeout_s=600, secrets={"HF_TOKEN": "hf_very_secret"}
)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as fake:
        fake.now = lambda: NOW
        yield fake


@pytest.fixture
def jobs(hub: FakeHub) -> HfJobs:
    return HfJobs(account_at(hub), sleep=Pauses())


async def test_a_schedule_through_its_life(hub: FakeHub, jobs: HfJobs) -> None:
    made = await jobs.scheduled_run(WORK, "@daily")
    assert (made.schedule, made.suspended, made.last_run_at, made.last_job_id) == ("@daily", False, None, None)
    assert made.next_run_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert (made.command, made.secrets, made.namespace, made.name) == (
        "python a.py",
        ("HF_TOKEN",),
        "tester",
        "nightly",
    )
    assert "very_secret" not in repr(made)
    assert hub.jobs.scheduled[made.id].spec["secrets"] == {"HF_TOKEN": "hf_very_secret"}
    assert hub.jobs.scheduled[made.id].spec["timeoutSeconds"] == 600

    job = hub.jobs.fire(made.id)
    seen = await jobs.scheduled_inspect(made.id)
    assert (seen.last_job_id, seen.last_run_at) == (job.id, NOW)

    await jobs.scheduled_suspend(made.id)
    [listed] = await jobs.scheduled_list()
    assert (listed.suspended, listed.next_run_at) == (True, None)
    await jobs.scheduled_resume(made.id)
    assert not (await jobs.scheduled_inspect(made.id)).suspended
    await jobs.scheduled_delete(made.id)
    assert await jobs.scheduled_list() == []


async def test_in_an_organisation(jobs: HfJobs) -> None:
    made = await jobs.scheduled_run(Work("x", ("a",), "i", timeout_s=60, namespace="acme"), "@hourly")
    assert await jobs.scheduled_list() == []
    assert [row.id for row in await jobs.scheduled_list("acme")] == [made.id]


async def test_a_lost_answer_makes_one_schedule_only(hub: FakeHub, jobs: HfJobs) -> None:
    hub.fail("POST", "/api/scheduled-jobs/tester$", kind="after")
    made = await jobs.scheduled_run(WORK, "@daily")
    assert list(hub.jobs.scheduled) == [made.id]


async def test_failures(hub: FakeHub, jobs: HfJobs) -> None:
    with pytest.raises(ComputeError) as caught:
        await jobs.scheduled_run(WORK, "every now and then")
    assert (caught.value.kind, caught.value.nothing_started) == ("bad_request", True)
    hub.fail("POST", "/api/scheduled-jobs/tester$", status=503, times=9)
    with pytest.raises(ComputeError) as caught:
        await jobs.scheduled_run(WORK, "@daily")
    assert (caught.value.kind, caught.value.nothing_started) == ("server", False)
    with pytest.raises(ComputeError) as caught:
        await jobs.scheduled_inspect("0" * 24)
    assert caught.value.kind == "not_found"
