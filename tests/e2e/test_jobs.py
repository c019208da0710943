"""Jobs through the installed command, without a terminal, over the loopback Hub and the real client."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conversation import said
from tests.e2e.harness import Finished, run_headless, start_headless
from tests.e2e.hub_runs import (
    CALL,
    FIRST_JOB,
    SCRIPT,
    assert_nothing_left,
    assert_secret,
    at_hub,
    events_of,
    half_an_hour,
    hf_jobs,
    job,
    journal_of,
    leases_of,
    listed,
    model,
    result_of,
)
from tests.fakes import reply
from tests.fakes.hub import FakeHub
from tests.fakes.hub_jobs import Job, line, stage
from tests.fakes.openai_server import FakeOpenAI
from tests.grammar import check_turn_grammar


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running
        running.check()


@pytest.fixture
def mine(env: dict[str, str], hub: FakeHub) -> dict[str, str]:
    """The environment of somebody whose Hub is `hub`."""
    return at_hub(env, hub)


def charges(env: dict[str, str]) -> list[tuple[str, float]]:
    """What was charged, as the journal has it: call id and US dollars."""
    return [(data["tool_call_id"], data["charged_usd"]) for data in events_of(journal_of(env), "tool_charge")]


def asked_of_jobs(hub: FakeHub) -> list[str]:
    """The paths of the requests to start something."""
    return [request.path for request in hub.requests if request.method == "POST"]


# --- a job that is waited for ----------------------------------------------------------------------------------------


def test_the_model_is_told_how_a_job_ended_what_it_cost_and_what_it_printed(
    mine: dict[str, str], hub: FakeHub, openai_server: FakeOpenAI, work: Path
) -> None:
    hub.jobs.script = half_an_hour(hub, "epoch 1", "loss 0.25")
    openai_server.script(
        reply.call("hf_jobs", {"operation": "run", "script": SCRIPT, "hardware_flavor": "a10g-large", "timeout": "2h"}),
        reply.text("The loss is 0.25."),
    )
    env = mine | {"VLLM_BASE_URL": openai_server.url}
    done = run_headless(["-m", "vllm/m", "--no-budget", "-p", "train it"], env=env, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "The loss is 0.25.\n"), done.stderr
    (told,) = said(openai_server.chat_requests[-1], "tool")
    (made,) = hub.jobs.all()
    assert told.startswith(f"Job {made.id} ")
    assert "on a10g-large completed after 30 min, $0.75." in told
    assert told.index("epoch 1") < told.index("loss 0.25")
    assert (made.spec["flavor"], made.spec["timeoutSeconds"], made.stage) == ("a10g-large", 7200, "COMPLETED")
    assert_nothing_left(env, hub)


def test_the_person_is_told_how_it_ended_and_what_it_cost(
    mine: dict[str, str], hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    hub.jobs.script = half_an_hour(hub, "epoch 1")
    done = run_headless([*model(tmp_path, job(), {"text": "Done."}), "--no-budget", "-p", "go"], env=mine, cwd=work)
    assert "completed" in done.stderr
    assert "$0.75" in done.stderr


def test_the_events_of_a_job_are_a_stream_that_can_be_read(
    mine: dict[str, str], hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    hub.jobs.script = half_an_hour(hub, "epoch 1", "loss 0.25")
    script = model(tmp_path, job(), {"text": "Done."})
    done = run_headless([*script, "--no-budget", "--output-format", "stream-json", "-p", "go"], env=mine, cwd=work)
    events = done.events()
    check_turn_grammar(events)
    (made,) = hub.jobs.all()

    def data_of(event_type: str) -> list[dict[str, Any]]:
        return [event["data"] for event in events if event["event_type"] == event_type]

    (submitted,), (completed,) = data_of("hf_job_submit"), data_of("hf_job_complete")
    assert (submitted["job_id"], submitted["flavor"], submitted["namespace"]) == (made.id, "a10g-large", "tester")
    assert (completed["final_status"], completed["billable_seconds_estimate"]) == ("COMPLETED", 1800.0)
    assert (completed["estimated_cost_usd"], completed["cost_estimate_source"]) == (0.75, "live")
    states = [item for data in data_of("work_status") for item in data["items"]]
    assert [state["stage"] for state in (states[0], states[-1])] == ["queued", "completed"]
    assert [state["is_over"] for state in (states[0], states[-1])] == [False, True]
    (charge,) = data_of("tool_charge")
    assert (charge["tool_call_id"], charge["cost_usd"], charge["charged_usd"]) == (CALL, 0.75, 0.75)
    assert data_of("budget_status")[-1] == {
        "spent_usd": 0.75,
        "unknown_usd": 0.0,
        "reserved_usd": 0.0,
        "elsewhere_usd": 0.0,
    }
    stages = [data["state"] for data in data_of("tool_state_change")]
    assert (stages[0], stages[-1]) == ("queued", "completed")


def test_a_job_that_fails_is_a_failed_call_with_advice_and_is_charged(
    mine: dict[str, str], hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    hub.jobs.script = half_an_hour(hub, "torch.OutOfMemoryError: CUDA out of memory.", ending="ERROR")
    done = run_headless([*model(tmp_path, job(), {"text": "Oh."}), "--no-budget", "-p", "go"], env=mine, cwd=work)
    assert done.exit_code == 0, done.stderr
    result = result_of(CALL, mine)
    assert not result["success"]
    assert "FAILED after 30 min, $0.75" in result["output"]
    assert "gradient accumulation" in result["output"]
    assert charges(mine) == [(CALL, 0.75)]
    assert_nothing_left(mine, hub)


# --- what does not run -----------------------------------------------------------------------------------------------


def refused(
    env: dict[str, str], tmp_path: Path, work: Path, call: dict[str, Any], *args: str
) -> tuple[Finished, dict[str, Any]]:
    """A run whose only call starts nothing; how it ended, and the call's result."""
    arguments = args or ("--no-budget",)
    done = run_headless([*model(tmp_path, call, {"text": "I see."}), *arguments, "-p", "go"], env=env, cwd=work)
    assert done.stdout == "I see.\n", done.stderr
    result = result_of(CALL, env)
    assert not result["success"]
    assert charges(env) == []
    return done, result


def test_no_credit_is_told_with_its_cause_and_nothing_else_is_tried(
    mine: dict[str, str], hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    hub.jobs.no_credit.add("tester")
    done, result = refused(mine, tmp_path, work, job())
    assert done.exit_code == 0
    assert "credit" in result["output"]
    assert "billing" in result["output"]
    assert "Nothing was started in its place" in result["output"]
    assert asked_of_jobs(hub) == ["/api/jobs/tester"]
    assert [data["state"] for data in events_of(journal_of(mine), "tool_state_change")] == ["billing_required"]
    assert_nothing_left(mine, hub)


def test_hardware_that_there_is_not_is_refused_before_anything_is_asked_for(
    mine: dict[str, str], hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    _, result = refused(mine, tmp_path, work, job(hardware_flavor="a10g-larg"))
    assert "a10g-larg" in result["output"]
    assert "a10g-large" in result["output"].replace("a10g-larg'", "")
    assert asked_of_jobs(hub) == []
    assert_nothing_left(mine, hub)


def test_a_job_that_may_cost_more_than_the_cap_does_not_run(
    mine: dict[str, str], hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    _, result = refused(mine, tmp_path, work, job(), "--max-cost-usd", "2.99")
    assert "$3.00" in result["output"]
    assert "$2.99" in result["output"]
    assert asked_of_jobs(hub) == []
    assert_nothing_left(mine, hub)


def test_without_a_token_nothing_is_asked_for(env: dict[str, str], hub: FakeHub, tmp_path: Path, work: Path) -> None:
    mine = at_hub(env, hub)
    del mine["HF_TOKEN"]
    _, result = refused(mine, tmp_path, work, job())
    assert "token" in result["output"]
    assert asked_of_jobs(hub) == []
    assert_nothing_left(mine, hub)


# --- a job that goes on ----------------------------------------------------------------------------------------------


def test_what_still_runs_is_listed_at_the_end_and_can_be_ended_from_the_command_line(
    mine: dict[str, str], hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    hub.jobs.script = [stage("RUNNING"), line("epoch 1")]
    script = model(tmp_path, job(wait=False), {"text": "Started."})
    done = run_headless([*script, "--no-budget", "-p", "go"], env=mine, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "Started.\n")
    (lease,), (made,) = leases_of(mine), hub.jobs.all()
    last = done.stderr.rstrip().splitlines()[-1]
    assert last.startswith("ml-intern: Still running: ")
    assert all(part in last for part in (made.id, "a10g-large", "$1.50/h", f"'ml-intern gc {lease.id}'"))
    assert not made.is_over
    shown = listed(mine, "ps")
    assert shown.exit_code == 0
    assert all(
        part in shown.stdout for part in (lease.id, made.id, "a10g-large", "running", "$1.50", "its program is gone")
    )
    (row,) = listed(mine, "ps", "--json").json()
    assert (row["id"], row["place_id"], row["stage"], row["is_orphan"]) == (lease.id, made.id, "running", True)
    untouched = listed(mine, "gc")  # it is not expired
    assert (untouched.exit_code, made.is_over) == (0, False)
    ended = listed(mine, "gc", lease.id)
    assert (ended.exit_code, made.stage) == (0, "CANCELED"), ended.stdout
    assert listed(mine, "ps").stdout.startswith("Nothing runs")


def test_the_model_waits_for_a_line_and_cancels_what_it_has_started(
    mine: dict[str, str], hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    hub.jobs.script = [stage("RUNNING"), line("epoch 1")]
    script = model(
        tmp_path,
        job(wait=False),
        hf_jobs("wait", call_id="wait_1", job_id=FIRST_JOB, until="nan"),
        hf_jobs("cancel", call_id="cancel_1", job_id=FIRST_JOB),
        {"text": "It had diverged."},
    )
    args = [*script, "--no-budget", "--output-format", "stream-json", "-p", "go"]
    with start_headless(args, env=mine, cwd=work) as running:
        running.wait_for_stdout("wait_1")
        (made,) = hub.jobs.all()

        def has_seen_it() -> bool:
            made.print("loss is nan")  # again and again: only what comes while it waits counts
            return "cancel_1" in running.stdout

        running.wait_until(has_seen_it)
        done = running.wait()
    assert done.exit_code == 0, done.stderr
    assert "loss is nan" in result_of("wait_1", mine)["output"]
    assert result_of("cancel_1", mine)["success"]
    assert [call_id for call_id, _ in charges(mine)] == [CALL]
    assert "Still running" not in done.stderr
    assert_nothing_left(mine, hub)


def test_a_run_that_is_told_to_end_leaves_its_job_running_and_says_so(
    mine: dict[str, str], hub: FakeHub, tmp_path: Path, work: Path
) -> None:
    hub.jobs.script = [stage("RUNNING"), line("epoch 1")]
    script = model(tmp_path, job(), {"text": "Done."})
    args = [*script, "--no-budget", "--output-format", "stream-json", "-p", "go"]
    with start_headless(args, env=mine, cwd=work) as running:
        running.wait_for_stdout("epoch 1")
        running.send_signal(signal.SIGTERM)
        done = running.wait()
    assert done.exit_code == 143, done.stderr
    assert [each.stage for each in hub.jobs.all()] == ["RUNNING"]
    assert "Still running: job" in done.stderr
    assert listed(mine, "gc", "--all").exit_code == 0
    assert [each.stage for each in hub.jobs.all()] == ["CANCELED"]


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output_format", ["stream-json", "text"])
@pytest.mark.parametrize("is_repeated", [False, True], ids=["", "by the model too"])
def test_the_token_reaches_the_job_and_no_output_file_or_event(
    mine: dict[str, str], hub: FakeHub, tmp_path: Path, work: Path, output_format: str, is_repeated: bool
) -> None:
    def go_on(made: Job) -> None:
        made.start()
        made.print(f"logged in with {hub.token}!")
        if len(hub.jobs.all()) == 1:  # the other one goes on
            made.end()

    hub.jobs.on_submit = go_on
    given: dict[str, Any] = {"secrets": {"HF_TOKEN": "$HF_TOKEN"}}
    given |= {"script": f"token = '{hub.token}'\n", "env": {"OTHER": hub.token}} if is_repeated else {}
    script = model(tmp_path, job(**given), job(call_id="job_2", wait=False, **given), {"text": "Done."})
    args = ["--no-budget", "--output-format", output_format, "--debug", "-p", f"use {hub.token}"]
    done = run_headless([*script, *args], env=mine, cwd=work)
    assert done.exit_code == 0, done.stderr
    for made in hub.jobs.all():
        assert made.secrets["HF_TOKEN"] == hub.token
        visible = {name: value for name, value in made.spec.items() if name not in ("secrets", "command", "arguments")}
        assert hub.token not in str(visible)
    assert "logged in with" in result_of(CALL, mine)["output"]
    shown = [listed(mine, "ps"), listed(mine, "ps", "--json"), listed(mine, "gc", "--all")]
    assert hub.jobs.running() == []
    assert_secret(mine, hub.token, *[text for each in (done, *shown) for text in (each.stdout, each.stderr)])
