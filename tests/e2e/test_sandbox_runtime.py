"""Shell and files in a sandbox (`--sandbox-tools`), through the installed command: the server in the Space is real."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import run_headless, start_headless
from tests.e2e.hub_runs import (
    assert_nothing_left,
    assert_secret,
    at_hub,
    events_of,
    journal_of,
    leases_of,
    listed,
    model,
    result_of,
    store_of,
    tool,
)
from tests.unit.compute.sandbox.space_hub import SpaceHub

OWN_KEY = "own-key-of-the-person"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[SpaceHub]:
    root = tmp_path / "spaces"
    root.mkdir()
    running = SpaceHub(root)
    running.spaces.stages = ["RUNNING"]
    with running.host, running:
        yield running
        running.check()


@pytest.fixture
def mine(env: dict[str, str], hub: SpaceHub) -> dict[str, str]:
    """The environment of somebody whose Hub is `hub`."""
    return at_hub(env, hub, ANTHROPIC_API_KEY=OWN_KEY)


def bash(command: str, call_id: str = "bash_1") -> dict[str, Any]:
    return tool("bash", call_id=call_id, command=command)


def test_the_tools_work_in_the_sandbox_and_it_goes_with_the_program(
    mine: dict[str, str], hub: SpaceHub, tmp_path: Path, work: Path
) -> None:
    script = model(
        tmp_path,
        tool("write", call_id="write_1", path="train.py", content="print('a loss of 0.5')\n"),
        tool("edit", call_id="edit_1", path="train.py", old_str="0.5", new_str="0.25"),
        bash("pwd; python3 train.py | tee loss.txt; env; exit 3"),
        tool("read", call_id="read_1", path="loss.txt"),
        {"text": "It is 0.25."},
    )
    args = [*script, "--sandbox-tools", "--output-format", "stream-json", "-p", "go"]
    with start_headless(args, env=mine, cwd=work) as running:
        done = running.wait()
    assert done.exit_code == 0, done.stderr
    outputs = {data["tool_call_id"]: data for event in done.events() if (data := event["data"]).get("duration_s")}
    assert all(outputs[name]["success"] for name in ("write_1", "edit_1", "read_1"))
    printed = outputs["bash_1"]["output"]
    (server,) = hub.started
    assert str(server.work_dir) in printed
    assert "a loss of 0.25" in printed
    assert "exit code 3" in printed.lower()
    assert "a loss of 0.25" in outputs["read_1"]["output"]
    assert (server.work_dir / "loss.txt").read_text() == "a loss of 0.25\n"
    assert list(work.iterdir()) == []
    assert OWN_KEY not in printed
    assert_nothing_left(mine, hub)
    assert_secret(mine, hub.token, done.stdout, done.stderr)
    assert [request.method for request in hub.requests].count("DELETE") == 1


def test_a_sandbox_whose_build_fails_leaves_nothing_and_says_why(
    mine: dict[str, str], hub: SpaceHub, tmp_path: Path, work: Path
) -> None:
    hub.builds = False
    hub.spaces.stages = ["BUILD_ERROR"]

    def keep_log(_request: str) -> None:
        for space in hub.spaces.of():
            space.build_log = ["Step 1\n", "no space left on the builder\n"]

    hub.watch = keep_log
    script = model(tmp_path, bash("touch here"), {"text": "It cannot be built."})
    done = run_headless([*script, "--sandbox-tools", "-p", "go"], env=mine, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "It cannot be built.\n"), done.stderr
    result = result_of("bash_1", mine)
    assert not result["success"]
    assert "its image could not be built" in result["output"]
    assert "no space left on the builder" in result["output"]
    assert list(work.iterdir()) == []  # it does not run here instead
    assert_nothing_left(mine, hub)


def killed(env: dict[str, str], hub: SpaceHub, tmp_path: Path, work: Path) -> None:
    """A program dies while a command runs in its sandbox."""
    script = model(tmp_path, bash("touch begun; sleep 1000"))
    with start_headless([*script, "--sandbox-tools", "-p", "go"], env=env, cwd=work) as running:
        running.wait_until(lambda: any((server.work_dir / "begun").exists() for server in hub.started))
        running.signal_group(signal.SIGKILL)
        running.wait()
    assert [lease.kind for lease in leases_of(env)] == ["sandbox"]
    assert len(hub.spaces.of()) == 1


def test_after_a_kill_a_later_program_deletes_it_once_its_lease_has_run_out(
    mine: dict[str, str], hub: SpaceHub, tmp_path: Path, work: Path
) -> None:
    killed(mine, hub, tmp_path, work)
    hello = model(tmp_path, {"text": "Hello."})
    assert run_headless([*hello, "-p", "hi"], env=mine, cwd=work).exit_code == 0
    assert len(hub.spaces.of()) == 1  # it may still be taken up
    (lease,) = leases_of(mine)
    store_of(mine).write(replace(lease, expires_at=lease.created_at - timedelta(minutes=1)))
    patient = model(tmp_path, {"text": "Hello.", "delay_s": 600})
    with start_headless([*patient, "--output-format", "stream-json", "-p", "hi"], env=mine, cwd=work) as running:
        running.wait_for_stdout("Left by an earlier session")
        running.send_signal(signal.SIGTERM)
        running.wait()
    assert_nothing_left(mine, hub)


def test_after_a_kill_it_is_listed_and_deleted_by_command(
    mine: dict[str, str], hub: SpaceHub, tmp_path: Path, work: Path
) -> None:
    killed(mine, hub, tmp_path, work)
    (lease,), (space,) = leases_of(mine), hub.spaces.of()
    shown = listed(mine, "ps")
    assert all(part in shown.stdout for part in (lease.id, space.repo_id, "running", "its program is gone"))
    ended = listed(mine, "gc", lease.id)
    assert ended.exit_code == 0, ended.stdout
    assert_nothing_left(mine, hub)


@pytest.mark.parametrize("goes_on", [False, True], ids=["gc", "--continue"])
def test_killed_while_it_is_made_it_is_found_and_deleted(
    mine: dict[str, str], hub: SpaceHub, tmp_path: Path, work: Path, goes_on: bool
) -> None:
    hub.spaces.stages = ["BUILDING"]
    script = model(tmp_path, {"goes_on": True}, {"text": "Well."}, bash("true"), {"text": "Well, well."})
    args = ["--sandbox-tools", "-p", "go"]
    assert run_headless([*script, "-p", "begin"], env=mine, cwd=work).exit_code == 0
    with start_headless(["--continue", *args], env=mine, cwd=work) as running:
        running.wait_until(lambda: any(space.polls for space in hub.spaces.of()))
        running.signal_group(signal.SIGKILL)
        running.wait()
    (lease,) = leases_of(mine)
    assert (lease.kind, lease.state, lease.handle) == ("sandbox", "creating", None)
    if goes_on:
        done = run_headless(["--continue", "-p", "go on"], env=mine, cwd=work)
        assert done.exit_code == 0, done.stderr
    else:
        ended = listed(mine, "gc", lease.id)
        assert ended.exit_code == 0, ended.stdout
    assert_nothing_left(mine, hub)


def test_work_in_a_sandbox_of_its_own_is_charged_and_the_sandbox_deleted(
    mine: dict[str, str], hub: SpaceHub, tmp_path: Path, work: Path
) -> None:
    command = ["sh", "-c", "echo trained; exit 0"]
    call = tool(
        "hf_jobs", call_id="job_1", operation="run", backend="hf_sandbox", command=command, hardware_flavor="t4-small"
    )
    script = model(tmp_path, call, {"text": "Done."})
    done = run_headless([*script, "--no-budget", "-p", "go"], env=mine, cwd=work)
    assert done.exit_code == 0, done.stderr
    result = result_of("job_1", mine)
    assert result["success"]
    assert "trained" in result["output"]
    assert [data["tool_call_id"] for data in events_of(journal_of(mine), "tool_charge")] == ["job_1"]
    assert_nothing_left(mine, hub)
