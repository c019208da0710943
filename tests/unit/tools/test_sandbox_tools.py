"""`sandbox_create`, and the free sandbox that is made in advance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.compute import ComputeError, Handle, Running, Status, Work
from agent.protocol.events import ToolLog, ToolProgress, ToolStateChange
from agent.protocol.messages import utc_now
from agent.protocol.tools import ApprovalContext
from agent.tools.files import FileToolError
from tests.unit.compute.sandbox.server_process import ServerProcess
from tests.unit.tools.sandbox_kit import Bench, bench_on, space_hub

FIRST, SECOND = "tester/sandbox-00000001", "tester/sandbox-00000002"
CONTEXT = ApprovalContext(Path("/workspace"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with space_hub(tmp_path) as hub:
        yield bench_on(hub, tmp_path)


def once(bench: Bench, method: str, ending: str, then: Callable[[], Any]) -> None:
    """Do something at the first request whose path ends so, before it is answered."""

    def watch(request: str) -> None:
        if request.startswith(method) and request.endswith(ending):
            bench.hub.watch = lambda _request: None
            then()

    bench.hub.watch = watch


# --- the one made in advance -----------------------------------------------------------------------------------------


async def test_a_free_one_is_made_in_advance_and_waited_for(bench: Bench) -> None:
    await bench.sandboxes.start_preload(bench.session)
    await bench.sandboxes.start_preload(bench.session)
    results = await asyncio.gather(bench.bash("echo $PWD"), bench.call("write", path="a.txt", content="x\n"))
    assert [result.ok for result in results] == [True, True], results
    assert bench.file("a.txt").read_text() == "x\n" and bench.spaces == [FIRST]
    assert bench.hub.spaces.get(FIRST).requested == "cpu-basic"
    assert ToolProgress("bash", "call-1", "The sandbox is starting.") in bench.session.emitted
    await bench.sandboxes.start_preload(bench.session)
    assert len(bench.desk.submitted) == 1
    active = await bench.create()
    assert active.ok and active.cost_usd == 0 and FIRST in active.output and "cpu-basic" in active.output
    assert (await bench.create(hardware="cpu-basic")).output == active.output and len(bench.desk.submitted) == 1


async def test_without_a_preload_the_first_tool_makes_it(bench: Bench) -> None:
    assert (await bench.bash("echo hello")).output == "hello" and bench.spaces == [FIRST]


async def test_a_failure_is_told_then_tried_once_more(bench: Bench) -> None:
    bench.hub.fail("POST", "/repos/create$", status=403, body={"error": "no plan"}, times=2)
    await bench.sandboxes.start_preload(bench.session)
    first = await bench.bash("true")
    assert not first.ok and "no plan" in first.output and "tries once more" in first.output
    second = await bench.bash("true")
    assert not second.ok and "no plan" in second.output and "not tried again by itself" in second.output
    third = await bench.call("read", path="a")
    assert not third.ok and "no plan" in third.output and len(bench.desk.submitted) == 2
    made = await bench.create()
    assert made.ok and (await bench.bash("echo ok")).output == "ok"


async def test_a_failure_that_passes_is_over_with_the_next_call(bench: Bench) -> None:
    bench.hub.fail("POST", "/repos/create$", status=403, body={"error": "not now"})
    await bench.sandboxes.start_preload(bench.session)
    assert "not now" in (await bench.bash("true")).output
    assert (await bench.bash("echo ok")).output == "ok"


async def test_a_stopped_call_does_not_stop_the_preload(bench: Bench) -> None:
    is_building = asyncio.Event()
    loop = asyncio.get_running_loop()
    once(bench, "POST", "/commit/main", lambda: loop.call_soon_threadsafe(is_building.set))
    await bench.sandboxes.start_preload(bench.session)
    call = asyncio.create_task(bench.bash("true"))
    await is_building.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await bench.bash("echo ok")).output == "ok" and len(bench.desk.submitted) == 1


async def test_close_gives_up_the_preload(bench: Bench) -> None:
    is_building = asyncio.Event()
    loop = asyncio.get_running_loop()
    once(bench, "POST", "/commit/main", lambda: loop.call_soon_threadsafe(is_building.set))
    await bench.sandboxes.start_preload(bench.session)
    await is_building.wait()
    await bench.sandboxes.close()
    assert bench.spaces == [] and not bench.sandboxes.is_starting


async def test_one_that_has_ended_is_told_and_made_anew(bench: Bench) -> None:
    assert (await bench.bash("echo x > kept")).ok
    bench.desk.end(next(iter(bench.desk.known)), "gone")
    ended = await bench.bash("cat kept")
    assert not ended.ok and FIRST in ended.output and "files are lost" in ended.output
    assert (await bench.bash("ls")).output == "(no output)" and len(bench.desk.submitted) == 2


async def test_a_resumed_conversation_goes_on_with_its_sandbox(bench: Bench) -> None:
    assert (await bench.bash("echo x > kept")).ok
    again = bench.remade()
    assert (await again.bash("cat kept")).output == "x" and len(bench.desk.submitted) == 1


async def test_a_machine_made_for_one_command_is_not_worked_in(bench: Bench) -> None:
    handle = Handle("hf_sandbox", "tester/sandbox-0000000f", "tester", None, {"flavour": "space", "work": "f" * 12})
    bench.desk.known["f" * 12] = Running(
        "f" * 12, "sandbox", "a run", "cpu-basic", handle, Status("running"), utc_now(), "s-1", "c", 0.0
    )
    assert (await bench.bash("echo ok")).output == "ok" and bench.spaces == [FIRST]


async def test_where_even_the_smallest_costs_none_is_made_unasked(bench: Bench) -> None:
    bench.desk.backend = bench.hub.backend(flavour="job")
    await bench.sandboxes.start_preload(bench.session)
    result = await bench.bash("true")
    assert not result.ok and "sandbox_create" in result.output and bench.desk.submitted == []


# --- sandbox_create --------------------------------------------------------------------------------------------------


async def test_other_hardware_takes_the_place_of_an_unused_one(bench: Bench) -> None:
    await bench.sandboxes.start_preload(bench.session)
    assert (await bench.create()).ok  # it is there, and nothing was done in it
    result = await bench.create(hardware="t4-small")
    assert result.ok and result.cost_usd is None and bench.spaces == [SECOND]
    for told in (SECOND, f"{bench.hub.url}/spaces/{SECOND}", "t4-small ($0.40/h)", "Visibility: private"):
        assert told in result.output
    repo = bench.hub.repos.get(SECOND, "space")
    assert repo is not None and repo.private and bench.hub.spaces.get(SECOND).sleep_time_s == 2700
    assert (await bench.bash("echo there")).output == "there"


async def test_one_that_is_being_made_is_given_up_for_other_hardware(bench: Bench) -> None:
    await bench.sandboxes.start_preload(bench.session)
    waiting = asyncio.create_task(bench.bash("true"))
    await asyncio.sleep(0)
    assert (await bench.create(hardware="l4x1")).ok
    given_up = await waiting
    assert not given_up.ok and "Send the call again" in given_up.output
    assert [bench.hub.spaces.get(space).requested for space in bench.spaces] == ["l4x1"]


async def test_one_in_use_keeps_its_hardware_unless_replaced(bench: Bench) -> None:
    assert (await bench.bash("echo x > kept")).ok
    for _ in range(2):
        refused = await bench.create(hardware="a10g-small")
        assert refused.ok and refused.cost_usd == 0
        assert all(word in refused.output for word in (FIRST, "cannot be changed", "a10g-small", "replace=true"))
    assert (await bench.bash("cat kept")).output == "x" and len(bench.desk.submitted) == 1
    replaced = await bench.create(hardware="a10g-small", replace=True)
    assert replaced.ok and f"The sandbox {FIRST} (cpu-basic) was deleted" in replaced.output
    assert bench.spaces == [SECOND] and (await bench.bash("ls")).output == "(no output)"


async def test_a_replacement_that_fails_leaves_the_present_one(bench: Bench) -> None:
    assert (await bench.bash("echo x > kept")).ok
    bench.hub.spaces.no_credit.add("tester")
    result = await bench.create(hardware="a100-large", replace=True)
    assert not result.ok and "a100-large is paid by tester" in result.output
    states = [event for event in bench.session.emitted if isinstance(event, ToolStateChange)]
    assert [state.state for state in states] == ["billing_required"]
    assert bench.spaces == [FIRST] and (await bench.bash("cat kept")).output == "x"


async def test_a_cancelled_creation_leaves_what_was_there(bench: Bench) -> None:
    assert (await bench.bash("echo x > kept")).ok
    call: list[asyncio.Task[Any]] = []
    loop = asyncio.get_running_loop()
    once(bench, "POST", "/commit/main", lambda: loop.call_soon_threadsafe(lambda: call[0].cancel()))
    call.append(asyncio.create_task(bench.create(hardware="t4-small", replace=True)))
    with pytest.raises(asyncio.CancelledError):
        await call[0]
    bench.hub.host.backend = bench.hub.started[0].url
    assert bench.spaces == [FIRST] and (await bench.bash("cat kept")).output == "x"


async def test_two_at_once_are_made_one_after_the_other(bench: Bench) -> None:
    first, second = await asyncio.gather(bench.create(hardware="t4-small"), bench.create(hardware="l4x1"))
    assert first.ok and SECOND not in bench.spaces and bench.spaces == [FIRST]
    assert first.output.startswith("The sandbox is ready") and "cannot be changed" not in first.output
    assert len(bench.desk.submitted) == 1 and "replace=true" in second.output


async def test_the_dashboard_is_made_ready_and_named_in_the_sandbox(bench: Bench) -> None:
    seeded: list[str] = []

    async def seed(space_id: str, log: Callable[[str], None]) -> bool:
        seeded.append(space_id)
        log(f"seeding {space_id}")
        return True

    bench = bench.remade(seed_trackio=seed)
    result = await bench.create(trackio_space_id="board", trackio_project="it's p")
    assert result.ok and seeded == ["tester/board"] and f"{bench.hub.url}/spaces/tester/board" in result.output
    assert ToolLog("sandbox_create", "seeding tester/board") in bench.session.emitted
    shown = "echo $TRACKIO_SPACE_ID/$TRACKIO_PROJECT"
    assert (await bench.bash(shown)).output == "tester/board/it's p"
    assert bench.desk.submitted[0].env == {"TRACKIO_SPACE_ID": "tester/board", "TRACKIO_PROJECT": "it's p"}
    assert (await bench.create(trackio_project="other")).ok  # of one that is there already
    assert (await bench.bash(shown)).output == "tester/board/other"


async def test_pause_and_attach(bench: Bench) -> None:
    assert (await bench.create(hardware="t4-small")).ok
    paused = await bench.create(pause=True)
    assert paused.ok and "paused" in paused.output and bench.hub.spaces.get(FIRST).stage == "PAUSED"
    refused = await bench.bash("true")
    assert not refused.ok and f'attach="{FIRST}"' in refused.output
    assert "is paused" in (await bench.create(hardware="t4-small")).output
    attached = await bench.create(attach=FIRST)
    assert attached.ok and "t4-small" in attached.output and (await bench.bash("echo on")).output == "on"
    assert "active already" in (await bench.create(attach=FIRST)).output
    assert bench.spaces == [FIRST] and len(bench.desk.submitted) == 1


async def test_nothing_to_pause(bench: Bench) -> None:
    result = await bench.create(pause=True)
    assert not result.ok and "no sandbox to pause" in result.output


OTHER = "tester/sandbox-abcdef01"


def asked_to_change(bench: Bench) -> list[str]:
    """What was asked for that would change a Space."""
    return [
        request.path.rpartition("/")[2]
        for request in bench.hub.requests
        if request.path.startswith(f"/api/spaces/{OTHER}/") and request.method == "POST"
    ]


async def test_a_paid_one_of_another_session_is_not_attached(bench: Bench) -> None:
    """No lease of this session would end it."""
    handle = await bench.backend.submit(Work("another's", flavor="t4-small"), "abcdef012345")
    await bench.backend.pause(handle)
    before = asked_to_change(bench)
    for text in (str((await bench.ahead(attach=OTHER)).problem), (await bench.create(attach=OTHER)).output):
        assert "t4-small ($0.40/h)" in text and "cpu-basic" in text and f"{OTHER}/settings" in text
    assert asked_to_change(bench) == before and bench.hub.spaces.get(OTHER).stage == "PAUSED"


@pytest.mark.parametrize(("tag", "private", "said"), [("other", True, "is no sandbox"), (None, False, "is public")])
async def test_what_is_no_private_sandbox_is_not_attached(
    bench: Bench, tag: str | None, private: bool, said: str
) -> None:
    card = f"---\nsdk: docker\ntags:\n- {tag or 'ml-intern-sandbox'}\n---\n"
    bench.hub.builds = False
    bench.hub.repos.create(OTHER, "space", {"README.md": card}, private=private, sdk="docker")
    bench.hub.spaces.get(OTHER).stages = ["PAUSED"]
    result = await bench.create(attach=OTHER)
    assert not result.ok and said in result.output and asked_to_change(bench) == []


async def test_an_attach_that_fails_leaves_it_paused(bench: Bench) -> None:
    handle = await bench.backend.submit(Work("another's"), "abcdef012345")
    await bench.backend.pause(handle)
    bench.hub.spaces.restart_stages = ["RUNTIME_ERROR"]
    result = await bench.create(attach=OTHER)
    assert not result.ok and bench.hub.spaces.get(OTHER).stage == "PAUSED"
    assert asked_to_change(bench)[-2:] == ["restart", "pause"]
    bench.hub.fail("POST", "/pause$", status=403, body={"error": "no"})
    assert "could not be paused again" in (await bench.create(attach=OTHER)).output


async def test_ones_own_that_fails_to_start_again_is_paused_again(bench: Bench) -> None:
    assert (await bench.create(hardware="t4-small")).ok and (await bench.create(pause=True)).ok
    bench.hub.spaces.restart_stages = ["RUNTIME_ERROR"]
    assert not (await bench.create(attach=FIRST)).ok and bench.hub.spaces.get(FIRST).stage == "PAUSED"


async def test_attaching_one_of_another_session_gives_it_a_new_key(bench: Bench) -> None:
    other = OTHER
    handle = await bench.backend.submit(Work("another's"), "abcdef012345")
    old_key = handle.private["api_token"]
    running = await bench.create(attach=other)
    assert not running.ok and "key is known only" in running.output

    def restart() -> None:
        space, server = bench.hub.spaces.get(other), bench.hub.started[-1]
        root = bench.hub.root / "again"
        root.mkdir()
        again = ServerProcess(root, token=None, files=server.files, **space.secrets)
        bench.hub.started.append(again.__enter__())
        bench.hub.host.backend = again.url

    once(bench, "POST", "/restart", restart)
    await bench.backend.pause(handle)
    found = await bench.ahead(attach=other)
    assert found.estimate is None and ("namespace", "tester") in found.facts
    attached = await bench.create(attach=other)
    assert attached.ok and attached.cost_usd == 0 and "does not delete it" in attached.output
    assert bench.hub.spaces.get(other).secrets["SANDBOX_API_TOKEN"] != old_key
    assert (await bench.bash("echo on")).output == "on"
    replaced = await bench.create(replace=True)
    assert replaced.ok and "left as it is" in replaced.output and bench.spaces == [other, FIRST]
    await bench.sandboxes.close()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("tester/my-demo", "is no sandbox"),
        ("somebody/sandbox-abcdef01", "may not run anything under somebody"),
        ("tester/sandbox-abcdef01", "no sandbox tester/sandbox-abcdef01"),
    ],
)
async def test_what_cannot_be_attached(bench: Bench, wanted: str, said: str) -> None:
    bench.hub.repos.create("tester/my-demo", "space", {"app.py": "x"}, sdk="gradio")
    result = await bench.create(attach=wanted)
    assert not result.ok and said in result.output
    assert not any("secrets" in request.path or "restart" in request.path for request in bench.hub.requests)


async def test_what_does_not_go_together_is_said(bench: Bench) -> None:
    for arguments in ({"pause": True, "replace": True}, {"attach": FIRST, "hardware": "t4-small"}):
        assert "cannot be combined" in (text := (await bench.create(**arguments)).output) or "leave `hardware`" in text
        assert (await bench.ahead(**arguments)).problem is not None
    assert "Near it: a10g-small" in (await bench.create(hardware="a10g")).output and bench.desk.submitted == []


# --- looking ahead ---------------------------------------------------------------------------------------------------


async def test_looking_ahead_tells_price_and_payer(bench: Bench) -> None:
    found = await bench.ahead(hardware="t4-small")
    assert found.problem is None and found.estimate is not None and found.estimate.usd == 0.4
    facts = dict(found.facts)
    assert facts["namespace"] == "tester" and facts["hardware"] == "t4-small: 4 vCPU, 15 GB, T4, $0.40/h"
    assert facts["visibility"] == "private"
    assert facts["at most"] == "$0.40 for the first hour, then by the hour"
    free = await bench.ahead()
    assert free.problem is None and free.estimate is None and bench.desk.submitted == []
    assert "at most" not in dict(free.facts) and "dashboard" not in dict(free.facts)
    bench = bench.remade(seed_trackio=seeds_nothing)
    with_board = await bench.ahead(trackio_space_id="board")
    assert "the Space tester/board and the bucket tester/board-bucket" in dict(with_board.facts)["dashboard"]
    assert (await bench.bash("true")).ok
    with_board = await bench.ahead(trackio_space_id="acme/board")
    assert with_board.problem is None and "acme/board-bucket" in dict(with_board.facts)["dashboard"]


async def test_looking_ahead_asks_nobody_where_nothing_would_start(bench: Bench) -> None:
    assert (await bench.create(hardware="t4-small")).ok
    assert "active already" in str((await bench.ahead(hardware="t4-small")).problem)
    assert "cannot be changed" in str((await bench.ahead(hardware="l4x1")).problem)
    assert (await bench.ahead(pause=True)).problem is None
    replaced = await bench.ahead(hardware="l4x1", replace=True)
    assert replaced.problem is None and replaced.estimate is not None and replaced.estimate.usd == 0.8
    assert any(FIRST in hint and "deletes" in hint for hint in replaced.hints)
    await bench.create(pause=True)
    again = await bench.ahead(attach=FIRST)  # its lease is charged all the time
    assert again.problem is None and again.estimate is None


async def test_looking_ahead_without_a_token(bench: Bench) -> None:
    bench.account.token = None
    assert "no Hugging Face token" in str((await bench.ahead(hardware="t4-small")).problem)
    result = await bench.bash("true")
    assert not result.ok and "no Hugging Face token" in result.output


def test_who_is_asked(bench: Bench) -> None:
    rule = bench.specs["sandbox_create"].approval
    assert rule({}, CONTEXT).kind == rule({"hardware": "cpu-basic"}, CONTEXT).kind == "free"
    assert rule({"pause": True}, CONTEXT).kind == "free"
    assert (paid := rule({"hardware": "t4-small"}, CONTEXT)).kind == "ask" and paid.billable
    assert (attached := rule({"attach": FIRST}, CONTEXT)).kind == "ask" and attached.billable
    assert rule({"attach": FIRST, "pause": True}, CONTEXT).kind == "ask"


async def seeds_nothing(_space_id: str, _log: Callable[[str], None]) -> bool:
    """For `seed_trackio`."""
    return False


async def test_what_loses_files_or_makes_a_dashboard_is_asked(bench: Bench) -> None:
    bench = bench.remade(seed_trackio=seeds_nothing)
    rule = bench.specs["sandbox_create"].approval
    board = rule({"trackio_space_id": "me/board"}, CONTEXT)
    assert board.kind == "ask" and "Space me/board and the bucket me/board-bucket" in board.reason
    await bench.sandboxes.start_preload(bench.session)
    assert (await bench.create()).ok  # nothing was done in it yet
    losing: tuple[dict[str, Any], ...] = ({"pause": True}, {"replace": True}, {"replace": "true"})
    assert [rule(arguments, CONTEXT).kind for arguments in losing] == ["free"] * 3
    assert (await bench.bash("echo x > kept")).ok
    for arguments in losing:
        need = rule(arguments, CONTEXT)
        assert need.kind == "ask" and FIRST in need.reason and "files" in need.reason and not need.billable
    both = rule({"replace": True, "hardware": "t4-small", "trackio_space_id": "me/board"}, CONTEXT)
    assert both.billable and all(word in both.reason for word in ("t4-small", FIRST, "me/board"))
    assert rule({}, CONTEXT).kind == "free"


def test_the_tools_and_what_the_loop_knows_of_them(bench: Bench, tmp_path: Path) -> None:
    assert list(bench.specs) == ["sandbox_create", "bash", "read", "write", "edit"]
    assert all(spec.changes({"command": "rm -r /", "path": "a"}, tmp_path) == () for spec in bench.specs.values())
    assert bench.specs["read"].subject({"path": "../etc/x"}, tmp_path) == "/etc/x"
    assert bench.specs["write"].subject({"path": "a/b"}, tmp_path) == "/app/a/b"
    looks = bench.specs["bash"].only_looks
    assert looks({"command": "ls -l"}, tmp_path) and not looks({"command": "touch a"}, tmp_path)


# --- for hf_jobs -----------------------------------------------------------------------------------------------------


async def test_read_script(bench: Bench) -> None:
    code = "".join(f"print({number})\n" for number in range(60_000))
    assert (await bench.call("write", path="train.py", content=code)).ok
    assert await bench.sandboxes.read_script("train.py", bench.session) == code
    with pytest.raises(FileNotFoundError, match=r"trian\.py.*Similar names.*train\.py"):
        await bench.sandboxes.read_script("trian.py", bench.session)
    assert (await bench.bash("head -c 1100000 /dev/zero | tr '\\0' a > big.py; printf '\\377' > bad.py")).ok
    for path, said in (("big.py", "more than 1 MiB"), ("bad.py", "not UTF-8"), (".", "is a directory")):
        with pytest.raises(FileToolError, match=said):
            await bench.sandboxes.read_script(path, bench.session)
    bench.hub.host.backend = None
    with pytest.raises(ComputeError, match="cannot be reached"):
        await bench.sandboxes.read_script("train.py", bench.session)
