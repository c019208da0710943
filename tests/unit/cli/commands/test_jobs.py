"""`/jobs`: what runs elsewhere, its output, and its end; and what of it stands in the status line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.cli.commands.jobs import jobs_text
from agent.cli.status import Status
from agent.cli.status_facts import facts
from agent.protocol.compute import Ending
from agent.protocol.events import Event, WorkItem, WorkStatus
from tests.unit.cli.commands.recording import RecordingApp

JOB = WorkItem(
    id="a1b2c3d4e5f6",
    kind="job",
    name="train.py",
    backend="hf_jobs",
    place_id="68f0aa11",
    flavor="a10g-large",
    stage="running",
    is_over=False,
    created_at="2026-01-02T03:04:05+00:00",
    usd_per_hour=1.5,
    url="https://huggingface.co/jobs/acme/68f0aa11",
    last_line="step 12 \x1b[2Jloss 0.5",
    metrics={"loss": 0.5},
)
NOW = datetime(2026, 1, 2, 5, tzinfo=UTC)
SANDBOX = replace(JOB, id="ffeeddccbbaa", kind="sandbox", name="sandbox", place_id="tester/sandbox-1", usd_per_hour=0.0)


def app_with(*items: WorkItem) -> RecordingApp:
    app = RecordingApp(Path("/w"))
    app.status.see(Event(WorkStatus(items)))
    return app


async def test_the_list_has_a_price_an_address_and_the_latest_output() -> None:
    app = app_with(JOB, SANDBOX)
    await app.type("/jobs")
    lines = app.text.split("\n")
    assert lines == [
        "a1b2c3d4e5f6  running  job      train.py on a10g-large  $1.50/h",
        "  https://huggingface.co/jobs/acme/68f0aa11",
        "  step 12 loss 0.5",
        "ffeeddccbbaa  running  sandbox  sandbox on a10g-large  free",
        "  https://huggingface.co/jobs/acme/68f0aa11",
        "  step 12 loss 0.5",
        "Together $1.50 an hour. /jobs logs ID shows its output, /jobs cancel ID ends it.",
    ]


def test_the_list_fits_tells_for_how_long_and_does_not_add_up_what_is_over() -> None:
    began = NOW - timedelta(minutes=2, seconds=5)
    running = replace(
        JOB,
        name="a-very-long-name-of-a-script-in-a-directory/train.py",
        flavor="rtx-pro-6000x4-and-more",
        started_at=began.isoformat(),
        last_line="Saving",
        metrics={"loss": 0.25, "epoch": 1.0},
        url=None,
    )
    ended = replace(running, stage="completed", is_over=True, ended_at=(began + timedelta(hours=1)).isoformat())
    unknown = replace(JOB, usd_per_hour=None)
    lines = jobs_text((running, replace(ended, cost_usd=1.5), unknown), NOW).split("\n")
    assert lines[0].endswith("…  $1.50/h, 2m 05s") and lines[4].endswith("…  $1.50, 1h 00m")
    assert lines[1:4] == ["  68f0aa11", "  loss 0.25  epoch 1", "  Saving"]
    assert lines[-1].startswith("Together $1.50 an hour, and 1 whose price is not known.")
    assert max(len(line) for line in lines[:-1]) <= 80
    assert "  deleted  sandbox" in jobs_text((replace(SANDBOX, stage="canceled", is_over=True),), NOW)
    assert not jobs_text((ended,), NOW).split("\n")[-1].startswith("Together")


async def test_nothing_runs() -> None:
    app = app_with()
    await app.type("/jobs")
    assert app.text == "Nothing runs outside of this program."


async def test_output_is_the_end_of_the_kept_file(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"line {n}\n" for n in range(100)))
    app = app_with(replace(JOB, log_path=str(path)))
    await app.type("/jobs logs a1b2 3")
    assert app.text == "line 97\nline 98\nline 99"


async def test_output_that_is_not_there_yet(tmp_path: Path) -> None:
    app = app_with(replace(JOB, log_path=str(tmp_path / "none.log")))
    await app.type("/jobs logs 68f0")
    assert app.text == "It has printed nothing yet."


@pytest.mark.parametrize("worked", [True, False])
async def test_cancel_says_whether_it_worked(worked: bool) -> None:
    app = app_with(JOB)
    app.ending = Ending(worked, "as it is")
    await app.type("/jobs cancel 68f0aa11")
    assert app.canceled == [JOB.id]
    assert (app.said if worked else app.complaints) == ["as it is"]


@pytest.mark.parametrize("line", ["/jobs cancel zzz", "/jobs logs", "/jobs stop a1", "/jobs cancel"])
async def test_what_cannot_be_done_is_said(line: str) -> None:
    app = app_with(JOB)
    await app.type(line)
    assert len(app.complaints) == 1
    assert not app.canceled


async def test_an_ambiguous_beginning_is_nobody() -> None:
    app = app_with(JOB, replace(JOB, id="a1b2ffffffff", place_id="other"))
    await app.type("/jobs cancel a1b2")
    assert not app.canceled


def test_the_status_line_counts_what_runs() -> None:
    status = Status()
    ended = replace(JOB, is_over=True, stage="completed")
    status.see(Event(WorkStatus((JOB, SANDBOX, ended))))
    now = facts(status)
    assert (now.jobs, now.sandboxes, now.per_hour_usd) == (1, 1, 1.5)
    status.see(Event(WorkStatus((replace(JOB, usd_per_hour=None),))))
    assert facts(status).per_hour_usd is None
