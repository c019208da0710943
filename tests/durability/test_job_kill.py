"""`kill -9` while a job runs: the next program finds it, follows it, and charges it once; nobody else touches it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.compute.leases import Lease
from tests.e2e.harness import Finished, Headless, run_headless, start_headless
from tests.e2e.hub_runs import (
    CALL,
    FIRST_JOB,
    HubClock,
    assert_nothing_left,
    at_hub,
    events_of,
    hf_jobs,
    job,
    journal_of,
    leases_of,
    listed,
    model,
    store_of,
)
from tests.fakes.hub import FakeHub
from tests.fakes.hub_jobs import Job, line, stage

LINES = [f"line {number}" for number in range(1, 8)]
WAITS = hf_jobs("wait", call_id="wait_1", job_id=FIRST_JOB)
STREAM = ("--no-budget", "--output-format", "stream-json")


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running
        running.check()


@pytest.fixture
def clock(hub: FakeHub) -> HubClock:
    """The Hub's time."""
    return HubClock(hub)


@pytest.fixture
def mine(env: dict[str, str], hub: FakeHub) -> dict[str, str]:
    """The environment of somebody whose Hub is `hub`."""
    return at_hub(env, hub)


class Person:
    """Starts programs in one workspace, one after the other or at once."""

    def __init__(self, env: dict[str, str], tmp_path: Path, hub: FakeHub) -> None:
        self.env, self.hub = env, hub
        self.tmp_path = tmp_path
        self.workspace = tmp_path / "project"
        self.workspace.mkdir()

    def model(self, *answers: dict[str, Any]) -> list[str]:
        """A model that goes on where the conversation stands."""
        return model(self.tmp_path, {"goes_on": True}, *answers, *[{"text": "All done."}] * 3)

    def start(self, *args: str) -> Headless:
        """A program."""
        return start_headless([*args, *STREAM], env=self.env, cwd=self.workspace)

    def killed_when(self, reached: Callable[[Headless], object], *answers: dict[str, Any]) -> None:
        """Begin the conversation, and kill the program as soon as `reached` returns."""
        with self.start(*self.model(*answers), "-p", "train it") as program:
            reached(program)
            program.signal_group(signal.SIGKILL)
            assert program.wait().exit_code == -signal.SIGKILL

    def go_on(self) -> Finished:
        """The conversation is taken up by another program, which comes to its end."""
        with self.start("--continue", "-p", "go on") as program:
            return program.wait()

    @property
    def made(self) -> Job:
        """The only job that was ever made."""
        (made,) = self.hub.jobs.all()
        return made

    @property
    def lease(self) -> Lease:
        """The only lease."""
        (lease,) = leases_of(self.env)
        return lease

    def ages(self, **changes: timedelta) -> None:
        """Some times of the lease are so much earlier."""
        lease = self.lease
        store_of(self.env).write(
            replace(lease, **{name: getattr(lease, name) - much for name, much in changes.items()})
        )


@pytest.fixture
def person(mine: dict[str, str], tmp_path: Path, hub: FakeHub) -> Person:
    return Person(mine, tmp_path, hub)


def told(env: dict[str, str], call_id: str) -> str:
    """The result of a call, as the model was told it."""
    records = [record["data"] for record in journal_of(env) if record["kind"] == "message"]
    (message,) = [each for each in records if each.get("tool_call_id") == call_id]
    return str(message["content"])


def assert_charged_once(person: Person, usd: float) -> None:
    """The job is charged once, in the journal and in what the person is shown of the session."""
    charges = events_of(journal_of(person.env), "tool_charge")
    assert [(charge["tool_call_id"], charge["charged_usd"]) for charge in charges] == [(CALL, usd)]
    (row,) = run_headless(["sessions", "list", "--json"], env=person.env, cwd=person.workspace).json()
    assert row["cost_usd"] == usd


def assert_each_line_once(output: str, lines: list[str]) -> None:
    found = [text for text in output.splitlines() if text.startswith("line ")]
    assert found == lines


# --- while a job is waited for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_on_disk", [False, True], ids=["shown", "on disk"])
def test_a_job_that_was_waited_for_is_found_followed_and_charged_once(
    person: Person, hub: FakeHub, clock: HubClock, is_on_disk: bool
) -> None:
    hub.jobs.script = [stage("RUNNING"), *map(line, LINES[:3])]

    def reached(program: Headless) -> None:
        program.wait_for_stdout("line 3")
        if is_on_disk:
            log = store_of(person.env).log_path(person.lease.id)
            program.wait_until(lambda: log.exists() and "line 3" in log.read_text())

    person.killed_when(reached, job(), WAITS)
    assert not person.made.is_over
    assert person.lease.state == "running"
    person.made.print(*LINES[3:5])  # while nobody looks
    with person.start("--continue", "-p", "go on") as program:
        program.wait_for_stdout("wait_1")
        person.made.print(*LINES[5:])
        clock.passes(minutes=30).act(person.made)  # type: ignore[misc]
        person.made.end()
        done = program.wait()
    assert done.exit_code == 0, done.stderr
    result = told(person.env, "wait_1")
    assert "completed after 30 min, $0.75" in result
    assert_each_line_once(result, LINES)
    notes = str([record["data"] for record in journal_of(person.env) if record["kind"] == "message"])
    assert "taken up again" in notes
    assert f"job {FIRST_JOB}" in notes
    assert_charged_once(person, 0.75)
    assert_nothing_left(person.env, hub)


def test_a_job_that_ended_while_nobody_looked_is_told_and_charged_once(
    person: Person, hub: FakeHub, clock: HubClock
) -> None:
    hub.jobs.script = [stage("RUNNING"), *map(line, LINES[:3])]
    person.killed_when(lambda program: program.wait_for_stdout("line 3"), job(), WAITS)
    person.made.print(*LINES[3:])
    clock.passes(minutes=30).act(person.made)  # type: ignore[misc]
    person.made.end("ERROR", "Job timeout exceeded")
    done = person.go_on()
    assert done.exit_code == 0, done.stderr
    result = told(person.env, "wait_1")
    assert "FAILED" in result
    assert_each_line_once(result, LINES)
    assert_charged_once(person, 0.75)
    assert_nothing_left(person.env, hub)
    again = person.go_on()  # nothing of it comes back
    assert again.exit_code == 0, again.stderr
    assert_charged_once(person, 0.75)


def test_killed_twice_it_is_still_followed_to_its_end_and_charged_once(
    person: Person, hub: FakeHub, clock: HubClock
) -> None:
    hub.jobs.script = [stage("RUNNING"), *map(line, LINES[:3])]
    person.killed_when(lambda program: program.wait_for_stdout("line 3"), job(), WAITS, WAITS | {"text": "Again."})
    with person.start("--continue", "-p", "go on") as program:
        program.wait_for_stdout("wait_1")
        clock.passes(minutes=30).act(person.made)  # type: ignore[misc]
        person.made.end()
        program.wait_for_stdout('"event_type":"hf_job_complete"')
        program.signal_group(signal.SIGKILL)
        program.wait()
    done = person.go_on()
    assert done.exit_code == 0, done.stderr
    assert_charged_once(person, 0.75)
    assert_nothing_left(person.env, hub)


# --- between asking for it and the answer ----------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["not sent", "lost"])
def test_a_job_whose_answer_never_came_is_found(person: Person, hub: FakeHub, clock: HubClock, answer: str) -> None:
    programs: list[Headless] = []

    def kill(_job: Job) -> None:
        programs[0].signal_group(signal.SIGKILL)

    def reached(program: Headless) -> None:
        hub.jobs.wait_for(1)
        if answer == "lost":
            program.wait_until(lambda: bool(hub.jobs.all()))

    if answer == "lost":
        hub.fail("POST", "^/api/jobs/tester$", kind="after")
    else:
        hub.jobs.on_submit = kill
    with person.start(*person.model(job(), WAITS), "-p", "train it") as program:
        programs.append(program)
        reached(program)
        program.signal_group(signal.SIGKILL)
        program.wait()
    assert (person.lease.state, person.lease.handle) == ("creating", None)
    shown = listed(person.env, "ps")
    assert all(part in shown.stdout for part in (person.lease.id, FIRST_JOB, "queued", "$1.50")), shown.stdout
    person.made.start()
    person.made.print(*LINES)
    clock.passes(minutes=30).act(person.made)  # type: ignore[misc]
    person.made.end()
    done = person.go_on()
    assert done.exit_code == 0, done.stderr
    assert_each_line_once(told(person.env, "wait_1"), LINES)
    assert_charged_once(person, 0.75)
    assert_nothing_left(person.env, hub)


def test_what_was_never_made_is_forgotten_when_that_is_sure(person: Person, hub: FakeHub) -> None:
    hub.fail("POST", "^/api/jobs/tester$", kind="stall")
    person.killed_when(lambda _program: hub.wait_stalled(1), job())
    assert hub.jobs.all() == []
    assert person.lease.state == "creating"
    early = listed(person.env, "gc")
    assert (early.exit_code, person.lease.state) == (0, "creating"), early.stdout
    person.ages(created_at=timedelta(minutes=11))
    done = person.go_on()
    assert done.exit_code == 0, done.stderr
    assert events_of(journal_of(person.env), "tool_charge") == []
    assert hub.jobs.all() == []
    assert leases_of(person.env) == []


# --- never taken up again --------------------------------------------------------------------------------------------


def test_a_job_whose_session_nobody_takes_up_is_seen_and_ended_from_the_command_line(
    person: Person, hub: FakeHub
) -> None:
    hub.jobs.script = [stage("RUNNING"), *map(line, LINES[:3])]
    person.killed_when(lambda program: program.wait_for_stdout("line 3"), job())
    shown = listed(person.env, "ps")
    assert all(part in shown.stdout for part in (FIRST_JOB, "running", "$1.50", "its program is gone")), shown.stdout
    (row,) = listed(person.env, "ps", "--json").json()
    assert (row["is_orphan"], row["is_expired"], row["usd_per_hour"]) == (True, False, 1.5)
    ended = listed(person.env, "gc", FIRST_JOB)
    assert (ended.exit_code, person.made.stage) == (0, "CANCELED"), ended.stdout
    assert listed(person.env, "ps").stdout.startswith("Nothing runs")


def test_when_its_lease_has_run_out_the_next_program_ends_it(person: Person, hub: FakeHub) -> None:
    hub.now = lambda: datetime.now(UTC) - timedelta(days=1)  # its time limit counts from when it has begun
    hub.jobs.script = [stage("RUNNING"), *map(line, LINES[:3])]
    person.killed_when(lambda program: program.wait_for_stdout("line 3"), job())
    done = run_headless([*person.model({"text": "Hi."}), "-p", "hi"], env=person.env, cwd=person.workspace)
    assert (done.exit_code, person.made.stage) == (0, "RUNNING")  # it is not its business yet
    person.ages(created_at=timedelta(days=1), expires_at=timedelta(days=1))
    with start_headless(
        [*person.model({"text": "Hi.", "delay_s": 600}), *STREAM, "-p", "hi"], env=person.env, cwd=person.workspace
    ) as program:
        program.wait_for_stdout("Left by an earlier session")
        program.signal_group(signal.SIGTERM)
        program.wait()
    assert person.made.stage == "CANCELED"


# --- while its program lives -----------------------------------------------------------------------------------------


def test_other_programs_leave_alone_what_a_living_one_looks_after(person: Person, hub: FakeHub) -> None:
    hub.jobs.script = [stage("RUNNING"), *map(line, LINES[:3])]
    with person.start(*person.model(job()), "-p", "train it") as owner:
        owner.wait_for_stdout("line 3")
        lease = person.lease
        person.ages(created_at=timedelta(days=1), expires_at=timedelta(days=1))  # even then
        other = run_headless([*person.model({"text": "Hi."}), "-p", "hi"], env=person.env, cwd=person.workspace)
        assert other.exit_code == 0, other.stderr
        forked = run_headless(
            [*person.model({"text": "Hi."}), "--resume", lease.session_id, "-p", "hi"],
            env=person.env,
            cwd=person.workspace,
        )
        assert forked.exit_code == 0, forked.stderr
        swept = listed(person.env, "gc")
        assert (swept.exit_code, swept.stdout[:15]) == (0, "Nothing to end:")
        assert (person.lease.owner, person.lease.state, person.made.stage) == (lease.owner, "running", "RUNNING")
        person.made.end()
        done = owner.wait()
    assert done.exit_code == 0, done.stderr
    assert_nothing_left(person.env, hub)
