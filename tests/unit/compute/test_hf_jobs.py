"""Hugging Face Jobs as a backend, over the fake Hub."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.compute.hf_jobs import HfJobs
from agent.compute.job_commands import Script, uv_command
from agent.protocol.compute import LEASE_LABEL, ComputeBackend, ComputeError, Handle, Price, Work
from tests.fakes.hub import FakeHub
from tests.fakes.hub_job import Job
from tests.unit.compute.jobs_hub import Pauses, account_at, fake_hub

LEASE = "0123456789ab"
START = datetime(2026, 1, 1, tzinfo=UTC)
WORK = Work(
    "train: a small model!",
    command=("python", "-c", "print('hi')"),
    image="python:3.12",
    flavor="t4-small",
    timeout_s=3600.7,
    env={"A": "1", "MY_TOKEN": "visible-by-mistake"},
    secrets={"HF_TOKEN": "hf_very_secret"},
    labels={"team": "ml"},
)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as fake:
        fake.now = lambda: START
        yield fake


@pytest.fixture
def jobs(hub: FakeHub) -> HfJobs:
    return HfJobs(account_at(hub), sleep=Pauses(), clock=lambda: START + timedelta(seconds=90))


def test_it_is_a_backend(jobs: HfJobs) -> None:
    backend: ComputeBackend = jobs
    assert (backend.name, backend.kind) == ("hf_jobs", "job")


# --- starting ---


async def test_what_is_sent(hub: FakeHub, jobs: HfJobs) -> None:
    handle = await jobs.submit(WORK, LEASE)
    [job] = hub.jobs.all()
    assert handle == Handle("hf_jobs", job.id, "tester", f"{hub.url}/jobs/tester/{job.id}")
    assert job.spec["timeoutSeconds"] == 3600
    assert job.spec["command"] == ["python", "-c", "print('hi')"]
    assert job.spec["flavor"] == "t4-small"
    assert job.secrets == {"HF_TOKEN": "hf_very_secret"}
    assert "hf_very_secret" not in str(job.spec["environment"])
    assert job.labels == {LEASE_LABEL: LEASE, "team": "ml", "name": "train-a-small-model"}
    assert "hf_very_secret" not in repr(WORK)


async def test_in_the_namespace_of_an_organisation(hub: FakeHub, jobs: HfJobs) -> None:
    handle = await jobs.submit(replace(WORK, namespace="acme"), LEASE)
    assert handle.namespace == "acme"
    assert hub.jobs.get(handle.id).namespace == "acme"


async def test_no_credit_names_the_billing_page_and_leaves_nothing(hub: FakeHub, jobs: HfJobs) -> None:
    hub.jobs.no_credit.add("tester")
    with pytest.raises(ComputeError, match=r"huggingface\.co/settings/billing") as caught:
        await jobs.submit(WORK, LEASE)
    assert (caught.value.kind, caught.value.nothing_started) == ("payment", True)
    assert hub.jobs.all() == []


@pytest.mark.parametrize("status", [400, 401, 403, 409, 429])
async def test_a_refusal_has_started_nothing_and_is_not_repeated(hub: FakeHub, jobs: HfJobs, status: int) -> None:
    hub.fail("POST", "/api/jobs/", status=status, times=9)
    with pytest.raises(ComputeError) as caught:
        await jobs.submit(WORK, LEASE)
    assert caught.value.nothing_started
    assert len([each for each in hub.requests if each.method == "POST"]) == 1


@pytest.mark.parametrize(
    "work",
    [replace(WORK, timeout_s=None), replace(WORK, timeout_s=0.2), replace(WORK, command=()), replace(WORK, image="")],
)
async def test_what_no_job_can_be_is_not_sent(hub: FakeHub, jobs: HfJobs, work: Work) -> None:
    with pytest.raises(ComputeError) as caught:
        await jobs.submit(work, LEASE)
    assert (caught.value.kind, caught.value.nothing_started) == ("bad_request", True)
    assert hub.requests == []


async def test_without_a_token(hub: FakeHub) -> None:
    account = account_at(hub)
    account.token = None
    with pytest.raises(ComputeError, match="hf auth login") as caught:
        await HfJobs(account).submit(WORK, LEASE)
    assert (caught.value.kind, caught.value.nothing_started) == ("no_token", True)


async def test_a_lost_answer_is_found_by_the_label(hub: FakeHub, jobs: HfJobs) -> None:
    hub.jobs.add()  # somebody else's
    hub.fail("POST", "/api/jobs/tester$", kind="after")
    handle = await jobs.submit(WORK, LEASE)
    assert hub.jobs.get(handle.id).labels[LEASE_LABEL] == LEASE
    assert len(hub.jobs.all()) == 2, "it was not sent again"


async def test_an_unreadable_answer_is_found_by_the_label_too(hub: FakeHub, jobs: HfJobs) -> None:
    made = hub.jobs.add({"labels": {LEASE_LABEL: LEASE}})
    hub.fail("POST", "/api/jobs/tester$", status=200, body=b"<html>not JSON")
    assert (await jobs.submit(WORK, LEASE)).id == made.id


async def test_a_failure_that_may_have_started_something_says_so(hub: FakeHub, jobs: HfJobs) -> None:
    hub.fail("POST", "/api/jobs/tester$", status=502)
    with pytest.raises(ComputeError) as caught:
        await jobs.submit(WORK, LEASE)
    assert (caught.value.kind, caught.value.nothing_started) == ("server", False)
    assert [each.query["label"] for each in hub.requests if each.path == "/api/jobs/tester" and each.method == "GET"]


async def test_looking_for_a_lost_job_survives_trouble(hub: FakeHub, jobs: HfJobs) -> None:
    hub.fail("POST", "/api/jobs/tester$", kind="after")
    hub.fail("GET", "/api/jobs/tester$", status=503, times=4)  # one look with all its attempts
    assert (await jobs.submit(WORK, LEASE)).id == hub.jobs.all()[0].id


async def test_cancelled_while_submitting_the_job_is_cancelled(hub: FakeHub, jobs: HfJobs) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    hub.jobs.on_submit = lambda _: loop.call_soon_threadsafe(begun.set)  # type: ignore[assignment, return-value]
    submitting = asyncio.create_task(jobs.submit(WORK, LEASE))
    await begun.wait()
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting
    assert [job.stage for job in hub.jobs.all()] == ["CANCELED"]


async def test_cancelled_before_anything_is_sent_nothing_is_made(hub: FakeHub, jobs: HfJobs) -> None:
    hub.fail("GET", "whoami", kind="stall")
    submitting = asyncio.create_task(jobs.submit(WORK, LEASE))
    await asyncio.to_thread(hub.wait_stalled)
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting
    assert [each.method for each in hub.requests] == ["GET"]


async def test_cancelled_twice_the_job_is_cancelled_nevertheless(hub: FakeHub, jobs: HfJobs) -> None:
    hub.fail("POST", "/cancel$", kind="after", times=1)
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    hub.jobs.on_submit = lambda _: loop.call_soon_threadsafe(begun.set)  # type: ignore[assignment, return-value]
    submitting = asyncio.create_task(jobs.submit(WORK, LEASE))
    await begun.wait()
    submitting.cancel()
    await asyncio.sleep(0)
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting
    await asyncio.to_thread(hub.jobs.wait, lambda: not hub.jobs.running(), "the job to be cancelled")


async def test_a_submission_that_hangs_is_given_up_after_a_while(hub: FakeHub) -> None:
    jobs = HfJobs(account_at(hub), sleep=Pauses(), patience_s=0.05)
    hub.fail("POST", "/api/jobs/tester$", kind="stall")
    submitting = asyncio.create_task(jobs.submit(WORK, LEASE))
    await asyncio.to_thread(hub.wait_stalled)
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting


async def test_find(hub: FakeHub, jobs: HfJobs) -> None:
    assert await jobs.find(LEASE, None) is None
    job = hub.jobs.add({"labels": {LEASE_LABEL: LEASE}}, "acme")
    assert await jobs.find(LEASE, None) is None
    assert await jobs.find(LEASE, "acme") == Handle("hf_jobs", job.id, "acme", f"{hub.url}/jobs/acme/{job.id}")


# --- looking ---


@pytest.mark.parametrize(
    ("word", "stage", "billed_s"),
    [
        ("SCHEDULING", "queued", 0.0),
        ("RUNNING", "running", 80.0),
        ("COMPLETED", "completed", 50.0),
        ("ERROR", "failed", 50.0),
        ("CANCELED", "canceled", 50.0),
        ("DELETED", "gone", 50.0),
        ("UPDATING", "running", 80.0),
    ],
)
async def test_status(hub: FakeHub, jobs: HfJobs, word: str, stage: str, billed_s: float) -> None:
    job = hub.jobs.add()
    hub.now = lambda: START + timedelta(seconds=10)
    if word != "SCHEDULING":
        job.start()
    hub.now = lambda: START + timedelta(seconds=60)
    job.set_stage(word, "because")
    status = await jobs.status(handle_of(job))
    assert (status.stage, status.word, status.message, status.billed_s) == (stage, word, "because", billed_s)
    assert status.is_over == (stage in ("completed", "failed", "canceled", "gone"))
    assert status.started_at == (None if word == "SCHEDULING" else START + timedelta(seconds=10))


async def test_a_job_cancelled_in_the_queue_costs_nothing(hub: FakeHub, jobs: HfJobs) -> None:
    job = hub.jobs.add()
    job.end("CANCELED")
    assert (await jobs.status(handle_of(job))).billed_s == 0.0


async def test_a_word_of_tomorrow_counts_as_running(hub: FakeHub, jobs: HfJobs) -> None:
    job = hub.jobs.add()
    hub.fail("GET", f"{job.id}$", status=200, body=job.answer() | {"status": {"stage": "MIGRATING", "message": None}})
    status = await jobs.status(handle_of(job))
    assert (status.stage, status.word) == ("running", "MIGRATING")


async def test_an_unknown_job_is_gone(jobs: HfJobs) -> None:
    status = await jobs.status(Handle("hf_jobs", "0" * 24, "tester"))
    assert (status.stage, status.is_over) == ("gone", True)


async def test_a_hub_in_trouble_is_not_a_job_that_is_gone(hub: FakeHub, jobs: HfJobs) -> None:
    job = hub.jobs.add()
    hub.fail("GET", f"{job.id}$", status=500, times=99)
    with pytest.raises(ComputeError) as caught:
        await jobs.status(handle_of(job))
    assert caught.value.kind == "server"


async def test_rows_have_no_secrets_and_readable_commands(hub: FakeHub, jobs: HfJobs) -> None:
    command = uv_command(Script("x = 1\n" * 9, name="train.py"), dependencies=["trl"])
    handle = await jobs.submit(replace(WORK, command=command), LEASE)
    row = await jobs.inspect(None, handle.id)
    assert (row.id, row.namespace, row.flavor, row.image) == (handle.id, "tester", "t4-small", "python:3.12")
    assert row.command == "uv run --with trl train.py"
    assert row.secrets == ("HF_TOKEN",)
    assert row.env == {"A": "1", "MY_TOKEN": "(hidden)"}
    assert "very_secret" not in repr(row) and "by-mistake" not in repr(row)


async def test_the_list_shows_what_is_active_by_default(hub: FakeHub, jobs: HfJobs) -> None:
    queued, running, over = (hub.jobs.add() for _ in range(3))
    running.start()
    over.end("ERROR")
    foreign = hub.jobs.add(namespace="acme")
    assert {row.id for row in await jobs.list(all=True)} == {queued.id, running.id, over.id}
    assert [row.id for row in await jobs.list(stage="error")] == [over.id]
    assert [row.id for row in await jobs.list("acme")] == [foreign.id]
    assert {row.id for row in await jobs.list()} == {queued.id, running.id}


async def test_the_list_reads_all_pages_but_no_more_than_asked_for(hub: FakeHub, jobs: HfJobs) -> None:
    hub.jobs.page_size = 2
    made = [hub.jobs.add().id for _ in range(7)]
    assert [row.id for row in await jobs.list(all=True)] == made[::-1]
    hub_requests = len(hub.requests)
    assert [row.id for row in await jobs.list(all=True, limit=4)] == made[:2:-1]
    assert len(hub.requests) - hub_requests <= 3  # whoami may be one


async def test_the_end_of_a_log(hub: FakeHub, jobs: HfJobs) -> None:
    job = hub.jobs.add()
    job.start()
    job.print("one", "\x1b[1mtwo\x1b[0m", "three")
    job.end()
    assert [line.text for line in await jobs.log_lines("tester", job.id, tail=2)] == ["two", "three"]


async def test_following(hub: FakeHub, jobs: HfJobs) -> None:
    job = hub.jobs.add(namespace="acme")
    job.start()
    job.print("one", "two", "three")
    job.end()
    assert [line.text async for line in jobs.logs(handle_of(job), skip=1)] == ["two", "three"]


# --- ending ---


async def test_cancel_goes_to_the_namespace_of_the_job(hub: FakeHub, jobs: HfJobs) -> None:
    job = hub.jobs.add(namespace="acme")
    job.start()
    ending = await jobs.cancel(handle_of(job))
    assert ending.worked and job.id in ending.text
    assert job.stage == "CANCELED"


async def test_cancel_waits_for_a_status_that_lags(hub: FakeHub, jobs: HfJobs) -> None:
    job = hub.jobs.add()
    job.start()
    job.status_lag = 3
    assert (await jobs.cancel(handle_of(job))).worked


async def test_a_cancel_that_does_not_work_is_told(hub: FakeHub, jobs: HfJobs) -> None:
    job = hub.jobs.add()
    job.start()
    hub.fail("POST", "/cancel$", status=200, body={}, times=9)
    ending = await jobs.cancel(handle_of(job))
    assert not ending.worked and "still RUNNING" in ending.text
    with pytest.raises(ComputeError):
        await jobs.teardown(handle_of(job))


async def test_what_is_over_or_gone_counts_as_stopped(hub: FakeHub, jobs: HfJobs) -> None:
    job = hub.jobs.add()
    job.end("COMPLETED")
    ending = await jobs.cancel(handle_of(job))
    assert ending.worked and "COMPLETED" in ending.text
    gone = await jobs.cancel(Handle("hf_jobs", "0" * 24, "tester"))
    assert gone.worked
    await jobs.teardown(Handle("hf_jobs", "0" * 24, "tester"))


async def test_a_refused_cancel_is_an_error_and_trouble_is_retried(hub: FakeHub, jobs: HfJobs) -> None:
    job = hub.jobs.add()
    job.start()
    hub.fail("POST", "/cancel$", status=403, body={"error": "read-only token"})
    with pytest.raises(ComputeError, match="read-only token") as caught:
        await jobs.cancel(handle_of(job))
    assert caught.value.kind == "forbidden"
    hub.fail("POST", "/cancel$", kind="after", times=2)
    assert (await jobs.cancel(handle_of(job))).worked


async def test_teardown_cancels_what_runs(hub: FakeHub, jobs: HfJobs) -> None:
    job = hub.jobs.add()
    await jobs.teardown(handle_of(job))
    assert job.stage == "CANCELED"


# --- prices ---


async def test_prices_are_the_hubs_own(jobs: HfJobs) -> None:
    assert await jobs.price("a10g-large") == Price(1.5, "live")


async def test_prices_of_the_table_when_the_hub_does_not_tell(hub: FakeHub, jobs: HfJobs) -> None:
    hub.fail("GET", "/hardware$", status=500, times=9)
    assert await jobs.price("a100x4") == Price(10.0, "table")


async def test_hardware_that_is_not_there(jobs: HfJobs) -> None:
    with pytest.raises(ComputeError, match="h200") as caught:
        await jobs.price("h100")
    assert (caught.value.kind, caught.value.nothing_started) == ("bad_request", True)


def handle_of(job: Job) -> Handle:
    return Handle("hf_jobs", job.id, job.namespace)
