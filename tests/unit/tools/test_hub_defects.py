"""What the reference got wrong with the Hub, jobs and sandboxes: here it is right, from the tool down to the Hub.

Numbers in names and docstrings are those of the list of defects in the project's specification. The tools are called as
the loop calls them, over the real desk (see `real_desk`), so that money and leases are part of what is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.events import ToolProgress
from agent.protocol.tools import ToolResult
from tests.fakes.hub import TOKEN
from tests.fakes.hub_job import Cut, Step, line, polled, stage, streamed
from tests.unit.tools.conftest import is_alive, pid_in
from tests.unit.tools.real_desk import KEY, Office, office, until

REPO = "tester/thing"


@pytest.fixture
async def o(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as made:
        yield made


def ok(result: ToolResult) -> str:
    """The output of a call that worked."""
    assert result.ok, result.output
    return result.output


# --- jobs ------------------------------------------------------------------------------------------------------------


async def test_a_job_is_waited_for_and_charged_whole_however_its_log_breaks(o: Office) -> None:
    """1 and 19: a log that ends early is not the end of the job; each line comes once; the Hub's hours are charged."""
    lines = [f"step {number}" for number in range(1, 41)]
    o.hub.jobs.cuts = [Cut(1, "end"), Cut(3), Cut(3, "end"), 20, Cut(21, "end"), None]
    o.hub.jobs.script = [
        stage("RUNNING"),
        *[step for text in lines for step in (line(text), o.clock.passes(45.0))],
        streamed(5),
        line("the last line"),
        stage("COMPLETED"),
    ]
    result = await o.jobs("run", script="print(1)", hardware_flavor="a10g-large", timeout="2h")
    job = o.hub.jobs.all()[0]
    assert " completed after 30 min" in ok(result)
    printed = [text for text in result.output.splitlines() if text.startswith(("step ", "the last"))]
    assert printed == [*lines, "the last line"]
    assert job.streams >= 6
    assert o.side.charged == [pytest.approx(0.75)]  # half an hour, not the 20 seconds of a first look
    assert o.side.ledger.reserved_usd == 0
    assert o.leases.all() == []


@pytest.mark.parametrize(("end", "said"), [("ERROR", "FAILED"), ("CANCELED", "was cancelled"), ("DELETED", "is gone")])
async def test_a_job_that_did_not_complete_is_no_success(o: Office, end: str, said: str) -> None:
    """19: each of the Hub's ends is known, and only one of them is good."""
    o.hub.jobs.script = [stage("RUNNING"), line("so far"), stage(end)]
    result = await o.jobs("run", command=["python", "x.py"])
    assert not result.ok
    assert said in result.output and "so far" in result.output
    assert o.leases.all() == []


async def test_a_queued_job_is_waited_for(o: Office) -> None:
    """1: SCHEDULING is not an end, however often it is seen."""
    o.hub.jobs.holds_open = False
    o.hub.jobs.script = [polled(40), stage("RUNNING"), line("at last"), stage("COMPLETED")]
    assert "at last" in ok(await o.jobs("run", command=["true"]))


async def test_a_stopped_job_of_an_organisation_is_cancelled_there(o: Office) -> None:
    """18: without its namespace the order would go nowhere, and the job would go on costing."""
    o.hub.jobs.script = [stage("RUNNING"), line("running"), o.clock.passes(3600.0)]

    def is_shown() -> bool:
        return any("running" in event.text for event in o.side.of(ToolProgress))

    said = await o.stopped(is_shown, "hf_jobs", operation="run", command=["sleep"], namespace="acme")
    [job] = o.hub.jobs.all()
    assert (job.namespace, job.stage) == ("acme", "CANCELED")
    assert f"Job {job.id} is cancelled" in said
    await until(lambda: not o.leases.all())
    assert o.side.charged == [pytest.approx(0.01)]  # what it ran for


async def test_what_a_job_printed_is_bounded_in_the_result_and_whole_on_disk(o: Office) -> None:
    """19: logs had no bound."""
    long = [f"line {number} {'x' * 200}" for number in range(3_000)]

    def print_all(job: object) -> None:
        job.print(*long)  # type: ignore[attr-defined]

    o.hub.jobs.script = [stage("RUNNING"), Step(print_all), stage("COMPLETED")]
    result = await o.jobs("run", command=["true"])
    assert len(ok(result)) < 27_000
    assert "line 0 " in result.output and "line 2999 " in result.output
    kept = re.search(r"All of it is in (\S+\.log)", result.output)
    assert kept is not None and Path(kept[1]).read_text().splitlines() == long


async def test_nobody_is_told_the_token(o: Office) -> None:
    """7: it goes to the job as a secret, and comes back out of nothing that is told or kept."""
    o.hub.jobs.script = [stage("RUNNING"), line(f"token {TOKEN[:9]}…, {TOKEN}, {KEY}"), stage("COMPLETED")]
    result = await o.jobs("run", script=f"# {TOKEN}\n", wait=True)
    [job] = o.hub.jobs.all()
    assert job.secrets == {"HF_TOKEN": TOKEN, "HUGGINGFACE_HUB_TOKEN": TOKEN}
    told = f"{result} {o.side.events} {o.side.notes} {o.session.emitted}"
    assert TOKEN not in told and KEY not in told
    assert KEY not in repr(job.spec)


# --- the other places ------------------------------------------------------------------------------------------------


async def test_work_on_this_machine(o: Office) -> None:
    """Each operation on a process here; 7: no key of a provider's is in its environment; it costs nothing."""
    done = await o.jobs("run", backend="local", command=["sh", "-c", "env; pwd; echo out; echo err >&2; exit 3"])
    assert not done.ok and "FAILED" in done.output
    assert KEY not in done.output and TOKEN not in done.output and "OPENAI_API_KEY" not in done.output
    assert str(o.session.workspace) in done.output and "out\nerr" in done.output
    (o.session.workspace / "train.py").write_text("import sys\nprint('trained', sys.argv[1:])\n")
    assert "trained ['a b']" in ok(await o.jobs("run", backend="local", script="train.py", script_args=["a b"]))
    endless = ["sh", "-c", "echo $$ > pid; echo on; sleep 600"]
    begun = ok(await o.jobs("run", backend="local", command=endless, wait=False))
    [lease] = [lease for lease in o.leases.all() if lease.state != "ended"]
    assert lease.id in begun
    pid = await asyncio.to_thread(pid_in, o.session.workspace / "pid")
    assert lease.id in ok(await o.jobs("ps"))
    await until(lambda: o.desk.find(lease.id).seen_lines == 1)  # type: ignore[union-attr]
    assert ok(await o.jobs("logs", job_id=lease.id)).endswith("\n\non")
    assert '"local"' in ok(await o.jobs("inspect", job_id=lease.id))
    assert "`wait_timeout` has passed" in ok(await o.jobs("wait", job_id=lease.id, wait_timeout="0.1"))
    assert is_alive(pid)
    ok(await o.jobs("cancel", job_id=lease.id))
    assert not is_alive(pid)
    assert "was cancelled" in (await o.jobs("wait", job_id=lease.id)).output
    assert sum(o.side.charged) == 0
    assert not o.hub.jobs.all() and not o.hub.spaces.of()


async def test_work_in_a_sandbox_of_its_own(o: Office) -> None:
    """Each operation on a command in a machine that was made for it; the machine goes with the work."""
    done = await o.jobs(
        "run", backend="hf_sandbox", hardware_flavor="t4-small", command=["sh", "-c", "echo there; exit 4"]
    )
    assert not done.ok and "there" in done.output and "exit code 4" in done.output
    assert o.hub.spaces.of() == [] and o.leases.all() == []
    ok(await o.jobs("run", backend="hf_sandbox", command=["sh", "-c", "echo ready; sleep 600"], wait=False))
    [running] = o.desk.running
    assert running.handle.id in ok(await o.jobs("ps"))
    await until(lambda: o.desk.running[0].seen_lines == 1)
    assert "ready" in ok(await o.jobs("logs", job_id=running.handle.id))
    assert '"hf_sandbox"' in ok(await o.jobs("inspect", job_id=running.lease_id))
    ok(await o.jobs("cancel", job_id=running.lease_id))
    assert o.hub.spaces.of() == [] and o.leases.all() == []


async def test_a_failed_process_says_its_exit_code(o: Office) -> None:
    """5: the exit code was not told."""
    assert "exit code 3" in (await o.jobs("run", backend="local", command=["sh", "-c", "exit 3"])).output


async def test_that_a_machine_went_with_its_work_is_said(o: Office) -> None:
    """12: what costs by the hour is said to be gone."""
    result = await o.jobs("run", backend="hf_sandbox", command=["echo", "there"])
    assert o.hub.spaces.of() == []
    assert "delet" in ok(result).splitlines()[-1]


async def test_a_sandbox_through_its_life(o: Office) -> None:
    """sandbox_create: made, used, paused, attached, replaced, gone; always with a lease on disk, and only then."""
    made = ok(await o.call("sandbox_create", hardware="t4-small"))
    [first] = o.leases.all()
    assert first.handle is not None and first.handle.id in made and first.usd_per_hour == pytest.approx(0.4)
    ok(await o.call("bash", command="echo kept > a.txt"))
    assert "kept" in ok(await o.call("read", path="a.txt"))
    assert "paused" in ok(await o.call("sandbox_create", pause=True))
    assert o.hub.spaces.get(first.handle.id).stage == "PAUSED"
    assert not (await o.call("bash", command="true")).ok
    assert [lease.id for lease in o.leases.all()] == [first.id]
    assert "t4-small" in ok(await o.call("sandbox_create", attach=first.handle.id))
    assert ok(await o.call("bash", command="echo on")) == "on"
    assert "cannot be changed" in ok(await o.call("sandbox_create", hardware="l4x1"))
    assert "was deleted" in ok(await o.call("sandbox_create", hardware="cpu-basic", replace=True))
    [second] = o.leases.all()
    assert second.id != first.id and second.handle is not None
    assert [space.repo_id for space in o.hub.spaces.of()] == [second.handle.id]
    await o.desk.close()
    assert o.hub.spaces.of() == [] and o.leases.all() == []


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("BUILD_ERROR", "could not be built"),
        ("CONFIG_ERROR", "configuration was refused"),
        ("PAUSED", "was paused"),
        ("repos/create", "not you"),
        ("commit", "not you"),
        ("402", "paid by tester"),
    ],
)
async def test_a_sandbox_that_cannot_be_made_leaves_nothing(o: Office, trouble: str, said: str) -> None:
    """12: neither a Space nor a lease nor held money, and the reason is said."""
    if trouble.isupper():  # a stage
        o.hub.builds = False
        o.hub.spaces.stages = ["BUILDING", trouble]
    elif trouble == "402":
        o.hub.spaces.no_credit.add("tester")
    else:
        o.hub.fail("POST", f"/{trouble}", status=403, body={"error": "not you"}, times=9)
    result = await o.call("sandbox_create", hardware="t4-small")
    assert not result.ok
    assert said in result.output
    assert o.hub.spaces.of() == [] and o.leases.all() == []
    assert o.side.ledger.reserved_usd == 0 and o.side.charged == []


# --- the event loop --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def no_waiting_in_the_loop() -> Iterator[None]:
    """Inside of it a connection of the main thread's that could make it wait is an error."""
    waited: list[object] = []
    connect = socket.socket.connect

    def watched(self: socket.socket, address: object) -> None:
        if threading.current_thread() is threading.main_thread() and self.gettimeout() != 0:
            waited.append(address)
        connect(self, address)  # type: ignore[arg-type]

    socket.socket.connect = watched  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
    assert waited == []


async def test_no_operation_of_hf_repo_git_runs_on_the_event_loop(o: Office) -> None:
    """17, and that each of the operations works."""
    steps: list[tuple[str, dict[str, Any]]] = [
        ("create_repo", {"repo_id": "thing"}),
        ("create_branch", {"branch": "b"}),
        ("create_tag", {"tag": "t"}),
        ("list_refs", {}),
        ("delete_branch", {"branch": "b"}),
        ("delete_tag", {"tag": "t"}),
        ("create_pr", {"title": "One"}),
        ("create_pr", {"title": "Two"}),
        ("list_prs", {}),
        ("get_pr", {"pr_num": 1}),
        ("comment_pr", {"pr_num": 1, "comment": "so"}),
        ("change_pr_status", {"pr_num": 1, "new_status": "open"}),
        ("merge_pr", {"pr_num": 1}),
        ("close_pr", {"pr_num": 2}),
        ("update_repo", {"private": False}),
    ]
    assert {name for name, _ in steps} == set(
        o.specs["hf_repo_git"].parameters["properties"]["operation"]["enum"]
    )  # all 14
    with no_waiting_in_the_loop():
        for operation, more in steps:
            if operation == "merge_pr":  # one without a change cannot be merged
                o.hub.repos.commit(REPO, files={"a": "1"}, revision="refs/pr/1")
            ok(await o.call("hf_repo_git", **{"operation": operation, "repo_id": REPO, **more}))
    repo = o.hub.repos.get(REPO)
    assert repo is not None and not repo.private
    assert [each.status for each in repo.discussions] == ["merged", "closed"]
    assert o.hub.repos.files(REPO)["a"] == b"1"


async def test_no_operation_of_hf_jobs_runs_on_the_event_loop(o: Office) -> None:
    """17 and 26, and that each of the operations works: the Hub is asked once who the person is."""
    o.hub.jobs.holds_open = False
    with no_waiting_in_the_loop():
        preflight = o.specs["hf_jobs"].preflight
        assert preflight is not None
        await preflight({"operation": "run", "script": "x = 1", "hardware_flavor": "t4-small"}, o.session)
        ok(await o.jobs("run", script="x = 1", hardware_flavor="t4-small", trackio_space_id="runs", wait=False))
        [job] = o.hub.jobs.all()
        job.advance(stage("RUNNING"), line("on"))
        other = o.hub.jobs.add(namespace="acme")
        other.start()
        for operation in ("ps", "logs", "inspect"):
            ok(await o.jobs(operation, job_id=job.id))
            ok(await o.jobs(operation, job_id=other.id, namespace="acme", all=True))
        ok(await o.jobs("wait", job_id=job.id, wait_timeout="0.05"))
        ok(await o.jobs("cancel", job_id=job.id))
        ok(await o.jobs("cancel", job_id=other.id, namespace="acme"))
        ok(await o.jobs("scheduled run", command=["true"], schedule="@daily"))
        [scheduled_id] = o.hub.jobs.scheduled
        for operation in ("ps", "inspect", "suspend", "resume", "delete"):
            ok(await o.jobs(f"scheduled {operation}", scheduled_job_id=scheduled_id))
    assert {job.stage, other.stage} == {"CANCELED"}
    assert not o.hub.jobs.scheduled
    assert o.hub.repos.get("tester/runs", "space") is not None
    assert len([each for each in o.hub.requests if each.path.startswith("/api/whoami-v2")]) == 1


async def test_no_step_of_a_sandbox_runs_on_the_event_loop(o: Office) -> None:
    """17 and 26."""
    with no_waiting_in_the_loop():
        ok(await o.call("sandbox_create", hardware="cpu-basic"))
        assert ok(await o.call("bash", command="echo there")) == "there"
        ok(await o.call("write", path="a.py", content="x = 1\n"))
        ok(await o.call("edit", path="a.py", old_str="1", new_str="2"))
        ok(await o.call("read", path="a.py"))
        ok(await o.call("sandbox_create", pause=True))
    assert len([each for each in o.hub.requests if each.path.startswith("/api/whoami-v2")]) == 1


async def test_a_hub_that_hangs_stops_neither_other_calls_nor_the_person(o: Office) -> None:
    """17 and 18: the person can stop a call at once, and what runs beside it goes on."""
    for operation, tool in (("list", "hf_repo_files"), ("list_refs", "hf_repo_git"), ("scheduled ps", "hf_jobs")):
        o.hub.fail("GET", "/tree/|/refs|/scheduled-jobs/", kind="stall")
        o.hub.repos.create(f"tester/{tool.replace('_', '-')}")
        hanging = asyncio.create_task(
            o.call(tool, operation=operation, repo_id=f"tester/{tool.replace('_', '-')}", namespace="tester")
        )
        await asyncio.to_thread(o.hub.wait_stalled)
        ok(await o.jobs("ps"))
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
