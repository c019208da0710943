"""Making and ending sandbox Spaces, over a fake Hub with the real client; the server in them is real."""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import replace

import pytest

from agent.compute.sandbox.space import TEMPLATE_SPACE
from agent.compute.sandbox.words import ABSENT, FileConflict, Sandbox
from agent.protocol.compute import ComputeError, Handle, Work
from tests.unit.compute.sandbox.conftest import until
from tests.unit.compute.sandbox.space_hub import LEASE, SPACE, SpaceHub

MACHINE = Work("a machine")


async def test_a_machine_is_made_used_and_deleted(hub: SpaceHub) -> None:
    hub.spaces.stages = ["404", "BUILDING", "RUNNING"]
    told: list[str] = []
    backend = hub.backend()
    work = Work("a machine", flavor="t4-small", env={"TRACKIO_PROJECT": "p"}, progress=told.append)
    handle = await backend.submit(work, LEASE)
    assert (handle.backend, handle.id, handle.namespace) == ("hf_sandbox", SPACE, "tester")
    assert handle.url == f"{hub.url}/spaces/{SPACE}" and handle.private["api_token"] not in repr(handle)
    space, repo = hub.spaces.get(SPACE), hub.repos.get(SPACE, "space")
    assert repo is not None and repo.private and (space.requested, space.sleep_time_s) == ("t4-small", 2700)
    assert list(space.secrets) == ["SANDBOX_API_TOKEN"]
    card = hub.repos.files(SPACE, "space")["README.md"].decode()
    assert LEASE in card and "ml-intern-sandbox" in card and "2026-01-01T" in card
    assert "The Space is running" in told and any("t4-small" in line for line in told) and len(told) < 8

    sandbox = await backend.connect(handle)
    assert await backend.connect(handle) is sandbox and sandbox.hardware == "t4-small"
    result = await sandbox.run("echo $TRACKIO_PROJECT $HF_TOKEN")
    assert (result.output, result.exit_code) == ("p", 0)
    assert (await backend.status(handle)).stage == "running"
    await backend.teardown(handle)
    assert hub.spaces.of() == [] and (await backend.status(handle)).stage == "gone"
    await backend.teardown(handle)


async def test_a_space_is_made_by_one_request_and_holds_nothing_but_ours(hub: SpaceHub) -> None:
    """Nobody else's program runs in it: neither a template's, nor one of ours before its key is there."""
    work = Work("a machine", flavor="t4-small", env={"A": "b"})
    handle = await hub.backend().submit(work, LEASE)
    changes = [request for request in hub.requests if request.method in ("POST", "PUT", "DELETE")]
    made, *rest = [each.path for each in changes if not each.path.endswith(("/preupload/main", "/validate-yaml"))]
    assert made == "/api/repos/create" and rest == [f"/api/spaces/{SPACE}/commit/main"]
    assert changes[0].json == {
        "name": SPACE.partition("/")[2],
        "organization": "tester",
        "type": "space",
        "sdk": "docker",
        "visibility": "private",
        "hardware": "t4-small",
        "sleepTimeSeconds": 2700,
        "secrets": [{"key": "SANDBOX_API_TOKEN", "value": handle.private["api_token"]}],
        "variables": [{"key": "A", "value": "b"}],
    }


async def test_free_hardware_that_needs_a_plan_is_duplicated_and_none_of_it_stays(hub: SpaceHub) -> None:
    hub.repos.needs_plan.add("docker")
    theirs = {"Dockerfile": "FROM scratch", "app.py": "theirs", "deep/x": "y", ".gitattributes": "*.bin"}
    hub.repos.delete(TEMPLATE_SPACE, "space")
    hub.repos.create(TEMPLATE_SPACE, "space", theirs, private=False, sdk="docker")
    handle = await hub.backend().submit(MACHINE, LEASE)
    files = hub.repos.files(SPACE, "space")
    assert not {"app.py", "deep/x"} & set(files) and "sandbox_server.py" in files and ".gitattributes" in files
    [sent] = [request.json for request in hub.requests if request.path.endswith("/duplicate")]
    assert sent["hardware"] == "cpu-basic" and "sleepTimeSeconds" not in sent and sent["visibility"] == "private"
    assert sent["secrets"] == [{"key": "SANDBOX_API_TOKEN", "value": handle.private["api_token"]}]
    assert not any(request.path.endswith(("/secrets", "/restart", "/hardware")) for request in hub.requests)


async def test_paid_hardware_that_is_refused_is_not_duplicated(hub: SpaceHub) -> None:
    hub.repos.needs_plan.add("docker")
    with pytest.raises(ComputeError, match="cpu-basic is free") as caught:
        await hub.backend().submit(Work("a machine", flavor="t4-small"), LEASE)
    assert (caught.value.kind, caught.value.nothing_started) == ("payment", True)
    assert not any(request.path.endswith("/duplicate") for request in hub.requests)


async def test_a_template_of_the_persons_own_is_taken(hub: SpaceHub) -> None:
    hub.repos.create("acme/template", "space", {"Dockerfile": "FROM scratch", "old": "x"}, private=False, sdk="docker")
    backend = hub.backend(environ={"ML_INTERN_SANDBOX_TEMPLATE": "acme/template"})
    await backend.submit(MACHINE, LEASE)
    assert any(request.path == "/api/spaces/acme/template/duplicate" for request in hub.requests)
    assert "old" not in hub.repos.files(SPACE, "space")


async def test_a_name_that_the_client_refuses_is_known_to_have_made_nothing(hub: SpaceHub) -> None:
    backend = hub.backend(environ={"ML_INTERN_SANDBOX_TEMPLATE": "not a/valid id"})
    with pytest.raises(ComputeError) as caught:
        await backend.submit(MACHINE, LEASE)
    assert caught.value.nothing_started and not any(request.method == "POST" for request in hub.requests)


async def test_a_space_that_still_looks_empty_after_the_commit_is_waited_for(hub: SpaceHub) -> None:
    hub.spaces.stages = ["NO_APP_FILE", "NO_APP_FILE", "BUILDING", "RUNNING"]
    backend = hub.backend()
    assert (await backend.connect(await backend.submit(MACHINE, LEASE))).id == SPACE
    await backend.close()


async def test_the_token_is_shared_only_where_that_was_asked_for(hub: SpaceHub) -> None:
    backend = hub.backend(forward_token=True)
    handle = await backend.submit(MACHINE, LEASE)
    sandbox = await backend.connect(handle)
    assert (await sandbox.run("echo $HF_TOKEN")).output == hub.token
    again = hub.backend(forward_token=True)
    assert (await (await again.connect(handle)).run("echo $HF_TOKEN")).output == hub.token
    without = hub.backend()
    assert (await (await without.connect(handle)).run("echo $HF_TOKEN")).output == ""
    await again.restart(handle)
    assert (await (await again.connect(handle)).run("echo $HF_TOKEN")).output == hub.token
    for each in (backend, again, without):
        await each.close()


async def test_no_secret_of_the_persons_is_ever_in_the_space(hub: SpaceHub) -> None:
    """Its variables are public, and what a template's program did with its secrets nobody knows."""
    backend = hub.backend(forward_token=True)
    command = ("sh", "-c", "echo $MY_KEY $HF_TOKEN")
    work = Work("train", command, secrets={"MY_KEY": "hidden-value"}, env={"OPEN": "yes"}, timeout_s=60)
    handle = await backend.submit(work, LEASE)
    assert [line.text async for line in backend.logs(handle)] == [f"hidden-value {hub.token}"]
    space = hub.spaces.get(SPACE)
    assert list(space.secrets) == ["SANDBOX_API_TOKEN"] and space.variables == {"OPEN": "yes"}
    asked = [request for request in hub.requests if "/api/spaces/" in request.path or "/commit/" in request.path]
    held = "".join([str(request.json) + str(request.raw_body) for request in asked])
    assert "hidden-value" not in held and hub.token not in held and "hidden-value" not in repr(handle)
    assert "hidden-value" not in str(handle.private)
    await backend.teardown(handle)


async def test_a_build_that_is_not_known_gets_no_secret(hub: SpaceHub) -> None:
    """A Space that another session began may still hold the template's program, which may know our routes."""
    backend = hub.backend(forward_token=True)
    handle = await backend.submit(MACHINE, LEASE)
    await backend.close()
    private = {name: value for name, value in handle.private.items() if name != "build"}
    sandbox = await hub.backend(forward_token=True).connect(replace(handle, private=private))
    assert (await sandbox.run("echo $HF_TOKEN")).output == ""
    await sandbox.close()
    other = replace(handle, private={**private, "build": "of-somebody-else"})
    with pytest.raises(ComputeError, match="not ready in time"):
        await hub.backend(forward_token=True).connect(other)


async def test_the_templates_program_is_not_asked_where_the_hub_says_which_commit_runs(hub: SpaceHub) -> None:
    """A request opens the private Space's door with the account's token."""
    hub.spaces.stages = ["RUNNING"]
    hub.running_commits = ["of-the-template", "of-the-template", "head"]
    backend = hub.backend()
    await backend.submit(MACHINE, LEASE)
    assert hub.running_commits == ["head"]
    looks = [request.time_s for request in hub.requests if request.path.endswith("/runtime")]
    assert min(request.time_s for request in hub.host.requests) > looks[2]
    await backend.close()


@pytest.mark.parametrize("stage", ["BUILD_ERROR", "RUNTIME_ERROR", "CONFIG_ERROR", "NO_APP_FILE", "PAUSED"])
async def test_a_space_that_fails_is_deleted_at_once(hub: SpaceHub, stage: str) -> None:
    hub.builds = False
    hub.spaces.stages = ["BUILDING", stage]

    def add_log(request: str) -> None:
        for space in hub.spaces.of():
            space.build_log, space.run_log = ["one\n", "no such image\n"], ["it fell over\n"]

    hub.watch = add_log
    with pytest.raises(ComputeError) as caught:
        await hub.backend().submit(MACHINE, LEASE)
    assert caught.value.nothing_started and f"/spaces/{SPACE}" in str(caught.value)
    assert ("no such image" in str(caught.value)) == (stage == "BUILD_ERROR")
    assert ("it fell over" in str(caught.value)) == (stage == "RUNTIME_ERROR")
    assert hub.spaces.of() == [] and sum(hub.clock.slept) < 30


async def test_no_credit_is_explained_and_leaves_nothing(hub: SpaceHub) -> None:
    hub.spaces.no_credit.add("tester")
    with pytest.raises(ComputeError, match="cpu-basic is free") as caught:
        await hub.backend().submit(Work("a machine", flavor="t4-small"), LEASE)
    assert (caught.value.kind, caught.value.nothing_started) == ("payment", True)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/repos/create$"), ("POST", "/preupload/"), ("POST", "/commit/"), ("GET", "/whoami")],
)
async def test_a_refusal_at_any_step_leaves_nothing(hub: SpaceHub, method: str, path: str) -> None:
    hub.fail(method, path, status=403, body={"error": "not you"}, times=9)
    with pytest.raises(ComputeError, match="not you") as caught:
        await hub.backend().submit(Work("a machine", env={"A": "b"}), LEASE)
    assert caught.value.nothing_started and hub.spaces.of() == []


async def test_a_space_of_that_name_which_is_there_already_is_left_alone(hub: SpaceHub) -> None:
    hub.repos.create(SPACE, "space", {"README.md": "somebody's"}, sdk="docker")
    with pytest.raises(ComputeError) as caught:
        await hub.backend().submit(MACHINE, LEASE)
    assert (caught.value.kind, caught.value.nothing_started) == ("conflict", True)
    assert hub.repos.get(SPACE, "space") is not None


async def test_a_lost_answer_to_its_making_is_followed_up(hub: SpaceHub) -> None:
    hub.fail("POST", "/repos/create$", kind="after")
    with pytest.raises(ComputeError) as caught:
        await hub.backend().submit(MACHINE, LEASE)
    assert caught.value.nothing_started and hub.spaces.of() == []
    assert any(request.method == "DELETE" for request in hub.requests)


async def test_where_nobody_knows_whether_it_was_made_it_is_said(hub: SpaceHub) -> None:
    hub.fail("POST", "/repos/create$", kind="cut")
    with pytest.raises(ComputeError, match="not known") as caught:
        await hub.backend().submit(MACHINE, LEASE)
    assert not caught.value.nothing_started


async def test_a_running_build_that_is_not_ours_is_waited_out(hub: SpaceHub) -> None:
    """The template's own build may run, and answer, before ours does (defect 13)."""
    hub.builds = False
    hub.spaces.stages = ["RUNNING", "RUNNING", "RUNNING_BUILDING", "RUNNING"]
    from tests.unit.compute.sandbox.server_process import ServerProcess

    root = hub.root / "old"
    root.mkdir()
    with ServerProcess(root, build="of-the-template") as old:
        hub.host.backend = old.url

        def build_at_last(request: str) -> None:
            if "runtime" in request and hub.spaces.get(SPACE).polls == 3 and not hub.started:
                hub.builds = True
                hub._build(hub.repos.get(SPACE, "space"), "refs/heads/main")

        hub.watch = build_at_last
        backend = hub.backend()
        sandbox = await backend.connect(await backend.submit(MACHINE, LEASE))
        assert (await sandbox.health()).build not in ("", "of-the-template")
        assert hub.spaces.get(SPACE).polls >= 4


async def test_one_that_never_answers_is_deleted_in_the_end(hub: SpaceHub) -> None:
    hub.builds = False
    with pytest.raises(ComputeError, match="not ready in time") as caught:
        await hub.backend().submit(MACHINE, LEASE)
    assert caught.value.nothing_started and hub.spaces.of() == []
    assert 180 <= sum(hub.clock.slept) < 600


async def test_other_hardware_than_asked_for_is_not_taken(hub: SpaceHub) -> None:
    hub.spaces.stages = ["RUNNING"]

    def grant(request: str) -> None:
        for space in hub.spaces.of():
            space.grants = space.requested = "cpu-basic"

    hub.watch = grant
    with pytest.raises(ComputeError, match="not ready in time"):
        await hub.backend().submit(Work("a machine", flavor="t4-small"), LEASE)
    assert hub.spaces.of() == []


async def test_pages_that_are_shown_while_it_wakes_are_no_answers(hub: SpaceHub) -> None:
    hub.host.waking = [503, 200, 404]
    backend = hub.backend()
    sandbox = await backend.connect(await backend.submit(MACHINE, LEASE))
    hub.host.waking = [200, 503]
    assert await sandbox.exists(".")
    hub.host.waking = [200, 503]
    assert (await sandbox.run("echo once")).output == "once"
    hub.host.waking = [503] * 3
    with pytest.raises(ComputeError, match="cannot be reached") as caught:
        await sandbox.exists(".")
    assert caught.value.kind == "network" and SPACE in str(caught.value)


STEPS = [
    "GET /api/whoami",
    "/repos/create$",
    "/preupload/",
    "/commit/",
    "/runtime$",
    f"GET /api/spaces/{SPACE}$",
]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("step", STEPS)
async def test_a_cancellation_at_any_step_leaves_nothing(hub: SpaceHub, step: str, times: int) -> None:
    """The request during which it comes still takes its effect. A second one comes while the Space is deleted."""
    hub.builds = False
    loop = asyncio.get_running_loop()
    making = asyncio.ensure_future(hub.backend().submit(Work("a machine", env={"A": "b"}), LEASE))
    seen: list[str] = []
    is_there = threading.Event()

    def cancel_now() -> None:
        making.cancel()
        is_there.set()

    def cancel(request: str) -> None:
        if (not seen and re.search(step, request)) or (seen and times == 2 and request.startswith("DELETE")):
            seen.append(request)
            loop.call_soon_threadsafe(cancel_now)
            assert is_there.wait(10)

    hub.watch = cancel
    with pytest.raises(asyncio.CancelledError):
        await making
    assert seen and hub.spaces.of() == []


async def test_a_deletion_that_fails_is_tried_again_and_looked_after(hub: SpaceHub) -> None:
    backend = hub.backend()
    handle = await backend.submit(MACHINE, LEASE)
    hub.fail("DELETE", "/api/repos/delete", status=500, times=2)
    await backend.teardown(handle)
    assert hub.spaces.of() == []


async def test_a_deletion_that_fails_for_good_is_said(hub: SpaceHub) -> None:
    hub.builds = False
    hub.spaces.stages = ["BUILD_ERROR"]
    hub.fail("DELETE", "/api/repos/delete", status=500, times=3)
    with pytest.raises(ComputeError, match="may still exist") as caught:
        await hub.backend().submit(MACHINE, LEASE)
    assert not caught.value.nothing_started and "could not be built" in str(caught.value)
    found = await hub.backend().find(LEASE, None)
    assert found is not None
    await hub.backend().teardown(found)
    assert hub.spaces.of() == []


async def test_a_token_that_ran_out_does_not_pass_for_a_deletion(hub: SpaceHub) -> None:
    backend = hub.backend()
    handle = await backend.submit(MACHINE, LEASE)
    hub.token = "hf_another"
    with pytest.raises(ComputeError):
        await backend.teardown(handle)
    with pytest.raises(ComputeError):
        await backend.status(handle)
    assert len(hub.spaces.of()) == 1


async def test_a_401_for_what_is_gone_is_understood_if_the_token_is_good(hub: SpaceHub) -> None:
    """The client takes such an answer for "not found", whichever of the two it means."""
    backend = hub.backend()
    handle = await backend.submit(MACHINE, LEASE)
    answer = {"status": 401, "headers": {"X-Error-Code": "RepoNotFound"}, "body": {"error": "x"}}
    hub.fail("GET", "/runtime$", **answer)
    assert (await backend.status(handle)).stage == "gone"
    hub.fail("*", "/api/", times=99, **answer)
    with pytest.raises(ComputeError):
        await backend.status(handle)
    with pytest.raises(ComputeError, match="may still exist"):
        await backend.teardown(handle)


async def test_it_is_found_by_its_lease_but_not_its_key(hub: SpaceHub) -> None:
    backend = hub.backend()
    assert await backend.find(LEASE, None) is None
    await backend.submit(MACHINE, LEASE)
    other = hub.backend()
    found = await other.find(LEASE, "tester")
    assert found is not None and found.id == SPACE
    with pytest.raises(ComputeError, match="key"):
        await other.connect(found)


async def test_pausing_and_starting_again(hub: SpaceHub) -> None:
    backend = hub.backend()
    handle = await backend.submit(MACHINE, LEASE)
    assert (await backend.cancel(handle)).worked
    assert (await backend.status(handle)).stage == "paused"
    with pytest.raises(ComputeError, match="paused"):
        await backend.connect(handle)
    sandbox = await backend.restart(handle)
    assert (await sandbox.run("echo again")).output == "again"


async def test_another_program_takes_it_up_by_the_handle(hub: SpaceHub) -> None:
    handle = await hub.backend().submit(MACHINE, LEASE)
    saved = Handle(handle.backend, handle.id, handle.namespace, handle.url, dict(handle.private))
    assert (await (await hub.backend().connect(saved)).run("echo hi")).output == "hi"


async def test_the_address_comes_from_the_environment_if_it_is_there(hub: SpaceHub) -> None:
    hub.spaces.host_url = None
    backend = hub.backend(environ={"ML_INTERN_SANDBOX_URL": hub.host.url})
    sandbox = await backend.connect(await backend.submit(MACHINE, LEASE))
    assert (await sandbox.run("echo here")).output == "here"


async def test_the_keys_go_to_no_address_without_encryption(hub: SpaceHub) -> None:
    hub.spaces.host_url = "http://192.0.2.1"  # the network guard would tell
    with pytest.raises(ComputeError, match="not ready"):
        await hub.backend().submit(MACHINE, LEASE)
    assert hub.spaces.of() == []


# --- the client ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def sandbox(hub: SpaceHub) -> Sandbox:
    backend = hub.backend()
    return await backend.connect(await backend.submit(MACHINE, LEASE))


@pytest.mark.parametrize("mood", ["before", "after"])
async def test_a_connection_that_breaks_runs_nothing_twice(hub: SpaceHub, sandbox: Sandbox, mood: str) -> None:
    hub.host.cuts = [mood]  # type: ignore[list-item]
    result = await sandbox.run("echo x >> ran; wc -l < ran")
    assert (result.output, result.exit_code) == ("1", 0)


@pytest.mark.parametrize("mood", ["before", "after"])
async def test_a_write_whose_answer_was_lost_is_no_conflict(hub: SpaceHub, sandbox: Sandbox, mood: str) -> None:
    hub.host.cuts = [mood]  # type: ignore[list-item]
    written = await sandbox.write("deep/a.txt", b"\x00data", expect=ABSENT)
    assert await sandbox.read("deep/a.txt") == b"\x00data"
    with pytest.raises(FileConflict, match="exists already"):
        await sandbox.write("deep/a.txt", b"other", expect=ABSENT)
    seen = await sandbox.stat("deep/a.txt", digest=True)
    assert seen.sha256 == written.sha256 and seen.kind == "file"
    await sandbox.write("deep/a.txt", b"other", expect=seen.sha256)
    with pytest.raises(FileConflict, match="has changed"):
        await sandbox.write("deep/a.txt", b"third", expect=seen.sha256)
    assert await sandbox.read("deep/a.txt", offset=1, limit_bytes=2) == b"th"


async def test_output_arrives_while_the_command_runs(hub: SpaceHub, sandbox: Sandbox) -> None:
    heard: list[str] = []
    running = asyncio.ensure_future(
        sandbox.run("echo first; while [ ! -e go ]; do sleep 0.02; done; echo second", on_output=heard.append)
    )
    await until(lambda: "".join(heard) == "first\n")
    await sandbox.write("go", b"")
    assert (await running).output == "first\nsecond" and "".join(heard) == "first\nsecond\n"


async def test_a_cancelled_command_is_ended_there(hub: SpaceHub, sandbox: Sandbox) -> None:
    heard: list[str] = []
    running = asyncio.ensure_future(sandbox.run("echo $$; sleep 300", on_output=heard.append))
    await until(lambda: bool(heard))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gone = f"until ! kill -0 {heard[0].strip()} 2>/dev/null; do sleep 0.02; done; echo gone"
    async with asyncio.timeout(20):  # it gets some time to end by itself
        assert (await sandbox.run(gone)).output == "gone"


async def test_kill_all_ends_what_runs(hub: SpaceHub, sandbox: Sandbox) -> None:
    heard: list[str] = []
    running = asyncio.ensure_future(sandbox.run("echo x; sleep 300", on_output=heard.append))
    await until(lambda: bool(heard))
    assert await sandbox.kill_all() == 1
    result = await running
    assert result.killed and result.exit_code is None and result.output == "x"


async def test_a_time_limit_is_told_apart(hub: SpaceHub, sandbox: Sandbox) -> None:
    result = await sandbox.run("echo x; sleep 300", timeout_s=0.3)
    assert result.timed_out and result.exit_code is None and result.output == "x"


async def test_what_the_server_says_is_passed_on(hub: SpaceHub, sandbox: Sandbox) -> None:
    with pytest.raises(ComputeError, match="no such directory") as caught:
        await sandbox.run("true", work_dir="/not/there")
    assert caught.value.kind == "bad_request"
    with pytest.raises(ComputeError) as missing:
        await sandbox.read("missing")
    assert missing.value.kind == "not_found"


async def test_a_sandbox_that_was_restarted_does_not_run_the_command_again(hub: SpaceHub, sandbox: Sandbox) -> None:
    heard: list[str] = []
    running = asyncio.ensure_future(sandbox.run("echo started; sleep 300", on_output=heard.append))
    await until(lambda: bool(heard))
    old = hub.started[0]
    hub._build(hub.repos.get(SPACE, "space"), "refs/heads/main")
    await asyncio.to_thread(old.__exit__)
    hub.started.remove(old)
    with pytest.raises(ComputeError, match="started anew"):
        await running


# --- work in it ------------------------------------------------------------------------------------------------------


async def test_a_command_in_its_background_is_followed_to_its_end(hub: SpaceHub) -> None:
    backend = hub.backend(work_root="work")
    argv = ("sh", "-c", "echo $A; while [ ! -e go ]; do sleep 0.02; done; printf 'last \"line\"'; exit 3")
    handle = await backend.submit(Work("w", argv, env={"A": "b"}, timeout_s=3600, flavor="t4-small"), LEASE)
    assert hub.spaces.get(SPACE).sleep_time_s == 4200
    assert (await backend.status(handle)).stage == "running"
    lines = backend.logs(handle)
    assert (await anext(lines)).text == "b"
    await (await backend.connect(handle)).write("go", b"")
    assert [line.text async for line in lines] == ['last "line"']
    status = await backend.status(handle)
    assert (status.stage, status.message) == ("failed", "exit code 3")
    assert [line.text async for line in backend.logs(handle, skip=1)] == ['last "line"']
    assert (await backend.cancel(handle)).worked
    await backend.teardown(handle)
    assert hub.spaces.of() == []


async def test_a_command_that_cannot_tell_of_its_end_is_over_at_its_time_limit(hub: SpaceHub) -> None:
    """A full disk, for one: the machine is paid for as long as the command counts as running."""
    backend = hub.backend(work_root="work")
    spoil = f"rm work/{LEASE}/exit.new; ln -s /dev/full work/{LEASE}/exit.new; echo x"
    handle = await backend.submit(Work("w", ("sh", "-c", spoil), timeout_s=3600), LEASE)
    await until((hub.started[0].work_dir / "work" / LEASE / "exit.new").is_symlink)
    assert (await backend.status(handle)).stage == "running"
    await hub.clock.sleep(3600 + 60)
    assert (await backend.status(handle)).stage == "running", "its server is given some time to end it"
    await hub.clock.sleep(120)
    status = await backend.status(handle)
    assert (status.stage, status.word) == ("failed", "TIMED_OUT") and "time limit" in str(status.message)
    assert [line.text async for line in backend.logs(handle)] in (["x"], [])
    hub.host.backend = None  # nor does one that answers no more go on for ever
    assert (await backend.status(handle)).stage == "failed"
    assert [line async for line in backend.logs(handle)] == []
    await backend.teardown(handle)


async def test_variables_of_the_sandboxs_own_are_refused(hub: SpaceHub) -> None:
    for given in ({"env": {"SANDBOX_API_TOKEN": "x"}}, {"secrets": {"SANDBOX_BUILD": "x"}}):
        with pytest.raises(ComputeError, match="SANDBOX_") as caught:
            await hub.backend().submit(Work("w", **given), LEASE)
        assert caught.value.nothing_started and hub.spaces.of() == []


async def test_it_tells_whose_account_it_uses(hub: SpaceHub) -> None:
    assert await hub.backend().account() == "tester"


async def test_a_command_can_be_stopped(hub: SpaceHub) -> None:
    backend = hub.backend(work_root="work")
    handle = await backend.submit(Work("w", ("sleep", "300")), LEASE)
    assert (await backend.cancel(handle)).worked
    assert (await backend.status(handle)).stage == "canceled"
    await backend.close()


async def test_the_end_of_the_machine_is_the_end_of_its_command(hub: SpaceHub) -> None:
    backend = hub.backend(work_root="work")
    handle = await backend.submit(Work("w", ("sh", "-c", "echo x; sleep 300")), LEASE)
    lines = backend.logs(handle)
    assert (await anext(lines)).text == "x"
    await backend.pause(handle)
    assert [line async for line in lines] == []
    assert (await backend.status(handle)).stage == "failed"
    hub.repos.delete(SPACE, "space")
    assert (await backend.status(handle)).stage == "gone"
    slept = len(hub.clock.slept)
    assert [line async for line in backend.logs(handle)] == []
    assert len(hub.clock.slept) == slept, "a machine that is gone is not waited for"


async def test_one_that_cannot_be_started_takes_its_machine_along(hub: SpaceHub) -> None:
    hub.host.cuts = [None, "before", "before", "before"]  # the health, then the command's start
    with pytest.raises(ComputeError) as caught:
        await hub.backend().submit(Work("w", ("true",)), LEASE)
    assert caught.value.nothing_started and hub.spaces.of() == []


async def test_prices(hub: SpaceHub) -> None:
    backend = hub.backend()
    assert (await backend.price("cpu-basic")).source == "free"
    assert (await backend.price("t4-small")).usd_per_hour == pytest.approx(0.4)
    with pytest.raises(ComputeError, match="a10g-small"):
        await backend.price("a10g")
