"""What the reference got wrong in running things: commands and files in a sandbox have none of it either.

Numbers are those of the list of defects in the project's specification; the tools of this machine have the same tests
in tests/unit/tools (edit_utils, bash_tool, read_tool, write_and_edit).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol.compute import Running, Status, Work
from agent.protocol.messages import utc_now
from tests.fakes.hub import TOKEN, FakeHub
from tests.unit.compute.sandbox.conftest import until
from tests.unit.compute.sandbox.server_process import ServerProcess
from tests.unit.compute.sandbox.space_hub import LEASE, SpaceHub
from tests.unit.tools.conftest import is_alive, pid_in
from tests.unit.tools.sandbox_kit import Bench, bench_on, space_hub


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SpaceHub, Running]]:
    """One sandbox for all of this file."""
    with space_hub(tmp_path_factory.mktemp("hub")) as hub:
        backend = hub.backend()

        async def make() -> Running:
            handle = await backend.submit(Work("a machine"), LEASE)
            await backend.close()
            return Running(
                LEASE, "sandbox", "a machine", "cpu-basic", handle, Status("running"), utc_now(), "s-1", "c", 0.0
            )

        yield hub, asyncio.run(make())


@pytest.fixture
async def bench(made: tuple[SpaceHub, Running], tmp_path: Path) -> Bench:
    hub, running = made
    bench = bench_on(hub, tmp_path)
    bench.desk.known[LEASE] = running
    return bench


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as process:
        yield process


# --- 4: edits --------------------------------------------------------------------------------------------------------

LOOP = (
    "class A:\n    def run(self):\n        for epoch in range(3):\n            self.step(epoch)\n        print(epoch)\n"
)


@pytest.mark.parametrize(
    ("content", "old", "new", "expected"),
    [
        pytest.param(
            LOOP, "print(epoch) ", "print(1)", LOOP.replace("print(epoch)", "print(1)"), id="the line that was meant"
        ),
        pytest.param(
            LOOP,
            "for epoch in range(3):\n    self.step(epoch)\n",
            "for epoch in range(9):\n    if epoch:\n        self.step(epoch)\n",
            LOOP.replace("range(3):\n            self", "range(9):\n            if epoch:\n                self"),
            id="indented like the file",
        ),
        pytest.param("a = 1\r\nb = 2\r\n", "a = 1\n", "a = 3\n", "a = 3\r\nb = 2\r\n", id="line ends"),
        pytest.param("value = compute(“a”) + 1\n", 'compute("a")', "b", None, id="a part of a line"),
        pytest.param("import os\n\n", "   ", "x", None, id="three spaces"),
        pytest.param("import os\n\n", "", "x", None, id="nothing"),
        pytest.param("if a:\n    run()\nif b:\n  run()\n", "run() ", "stop()", None, id="two loose places"),
    ],
)
async def test_an_edit_hits_what_was_meant_or_nothing(
    bench: Bench, content: str, old: str, new: str, expected: str | None
) -> None:
    path = bench.file("edited.py")
    path.write_bytes(content.encode())
    assert (await bench.call("read", path="edited.py")).ok
    result = await bench.call("edit", path="edited.py", old_str=old, new_str=new)
    assert result.ok == (expected is not None), result.output
    assert path.read_bytes().decode() == (content if expected is None else expected)


@pytest.mark.parametrize("mode", ["replace", "append_after", "prepend_before"])
@pytest.mark.parametrize("old", ["", "   ", "\n", "run() ", "run()", "nowhere"])
def test_the_servers_own_route_changes_nothing_that_is_in_doubt(server: ServerProcess, old: str, mode: str) -> None:
    content = "if a:\n    run()\nif b:\n  run()\n"
    server.post("write", path="doubt.py", content=content)
    said = server.post("edit", path="doubt.py", old_str=old, new_str="stop()", mode=mode).json()
    assert not said["success"] and said["error"]
    assert (server.work_dir / "doubt.py").read_text() == content


# --- 5, 6: commands --------------------------------------------------------------------------------------------------


async def test_commands_run_beside_each_other_and_beside_all_else(bench: Bench) -> None:
    """Each waits for what the other makes: one after the other they would wait for ever."""
    first = "touch one; while [ ! -e two ]; do sleep 0.02; done; echo first; rm two"
    second = "touch two; while [ ! -e one ]; do sleep 0.02; done; echo second; rm one"
    async with asyncio.timeout(30):
        results = await asyncio.gather(bench.bash(first), bench.bash(second))
    assert [result.output for result in results] == ["first", "second"]


async def test_it_is_bash_without_input_and_any_bytes_are_shown(bench: Bench) -> None:
    assert (await bench.bash("[[ abc == a* ]] && echo ${BASH_VERSION:+bash}")).output == "bash"
    assert (await bench.bash("cat; echo over")).output == "over"
    assert (await bench.bash("printf 'a\\xffb\\n'")).output == "a\ufffdb"
    assert (await bench.bash("echo out; echo err >&2; echo out")).output == "out\nerr\nout"  # 29, too


async def test_a_time_limit_ends_children_and_keeps_what_was_printed(bench: Bench) -> None:
    own = "timeout 600 sh -c 'echo $$ > own; sleep 600; :'"  # a process group of its own
    command = f"echo so far; {own} & sleep 600 & echo $! > child; wait"
    result = await bench.bash(command, timeout="1")  # 6: a number in words will do
    assert not result.ok and result.output.startswith("so far\n[Timed out after 1 s")
    pids = [await asyncio.to_thread(pid_in, bench.file(name)) for name in ("child", "own")]
    assert not any(map(is_alive, pids))


@pytest.mark.parametrize("timeout", [-1, "-1", 0, "soon", 1.5, True, [1]])
async def test_a_time_limit_that_is_none_is_refused(bench: Bench, timeout: object) -> None:
    result = await bench.bash("touch ran", timeout=timeout)
    assert not result.ok and "`timeout` must be" in result.output
    assert not bench.file("ran").exists()


# --- 7: secrets ------------------------------------------------------------------------------------------------------


async def test_a_command_knows_no_key_and_its_output_shows_none(bench: Bench, made: tuple[SpaceHub, Running]) -> None:
    key = made[1].handle.private["api_token"]
    assert key not in (await bench.bash("env; tr '\\0' '\\n' < /proc/$PPID/environ")).output
    shown = (await bench.bash(f"echo {TOKEN}; echo {TOKEN} >&2; exit 1")).output
    assert TOKEN not in shown and shown.count("[REDACTED:HF_TOKEN]") == 2
    assert key not in repr(made[1]) and key not in repr(bench.desk.known)


# --- 8, 9, 10: files -------------------------------------------------------------------------------------------------


def test_a_write_that_does_not_fit_leaves_what_was_there(tmp_path: Path) -> None:
    """8: a short write counted as done."""
    with ServerProcess(tmp_path) as server:
        server.post("write", path="kept.txt", content="old")
        limited = ["prlimit", "--fsize=1000", "--pid"]
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        try:
            for pid in (str(server.process.pid), *children):
                subprocess.run([*limited, pid], check=True, capture_output=True)
        except (FileNotFoundError, subprocess.CalledProcessError):
            pytest.skip("needs prlimit")
        said = server.post("write", path="kept.txt", content="y" * 100_000).json()
        assert not said["success"]
        raw = server.client.put("/api/file", params={"path": "kept.txt"}, content=b"y" * 100_000)
        assert raw.status_code >= 400
        assert (server.work_dir / "kept.txt").read_text() == "old"
        assert [path.name for path in server.work_dir.iterdir()] == ["kept.txt"]


async def test_what_somebody_else_changed_is_not_overwritten_though_its_time_is_the_same(bench: Bench) -> None:
    """9: neither its name nor its time, the content itself tells."""
    path = bench.file("guarded.txt")
    path.write_text("one\n")
    assert (await bench.call("read", path="guarded.txt")).ok
    times = path.stat()
    path.write_text("two\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not (await bench.call("write", path="guarded.txt", content="three\n")).ok
    assert not (await bench.call("edit", path="guarded.txt", old_str="two", new_str="three")).ok
    assert path.read_text() == "two\n"
    path.write_text("one\n")
    os.utime(path)  # a new time alone is no change
    assert (await bench.call("write", path="guarded.txt", content="three\n")).ok


async def test_a_page_is_bounded_in_all_directions(bench: Bench) -> None:
    """10, 29."""
    bench.file("wide.txt").write_text("".join(f"{number:04d} {'x' * 3000}\n" for number in range(1, 2001)))
    whole = await bench.call("read", path="wide.txt")
    assert len(whole.output) < 26_000 and "go on with offset=9]" in whole.output
    bench.file("long.txt").write_text("y" * 1_000_000 + "\nnext\n")
    cut = (await bench.call("read", path="long.txt")).output
    assert len(cut) < 5_000 and "1,000,000 bytes" in cut and cut.endswith("     2\tnext")
    bench.file("odd.txt").write_text("a\u2028b\x0cc\x0bd\x85e\nf\n")
    assert (await bench.call("read", path="odd.txt")).output == "     1\ta\u2028b\x0cc\x0bd\x85e\n     2\tf"
    for more in ({"limit": -1}, {"limit": 0}, {"offset": -1}, {"offset": "two"}):
        refused = await bench.call("read", path="odd.txt", **more)
        assert not refused.ok and f"`{next(iter(more))}` must be" in refused.output


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", "/proc/self/fd/0", "pipe"])
async def test_what_never_ends_is_not_read(bench: Bench, path: str) -> None:
    """10."""
    if path == "pipe" and not bench.file("pipe").exists():
        os.mkfifo(bench.file("pipe"))
    async with asyncio.timeout(20):
        assert not (await bench.call("read", path=path)).ok
        assert not (await bench.call("write", path=path, content="x")).ok


# --- 11: checking a script does not run it ---------------------------------------------------------------------------


async def test_a_written_script_is_not_run_and_what_it_imports_is_not_either(bench: Bench) -> None:
    spy = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n\ndef f(a):\n    return a\n"
    bench.file("spy.py").write_text(spy)
    script = "import spy\nfrom spy import f\n\nspy.f(1, b=2)\nf(x=1)\n"
    server = bench.hub.started[-1]
    assert (await bench.call("write", path="train.py", content=script)).ok
    assert (await bench.call("edit", path="train.py", old_str="f(x=1)", new_str="f(y=1)")).ok
    key = {"X-Sandbox-Authorization": f"Bearer {bench.desk.known[LEASE].handle.private['api_token']}"}
    for route, body in (("write", {"content": script}), ("edit", {"old_str": "b=2", "new_str": "b=3"})):
        answer = server.client.post(f"/api/{route}", json={"path": "served.py", **body}, headers=key)
        assert answer.json()["success"], answer.text
    assert not bench.file("spy.ran").exists()
    assert not list(bench.file(".").rglob("*.pyc"))
    assert (await bench.bash("python3 -c 'import spy'")).ok  # that would tell
    assert bench.file("spy.ran").exists()


# --- 14: the address of a Space --------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", ["some_body", "Some.Body", "a-b_c.d"])
async def test_the_address_of_a_space_is_asked_for_not_guessed(tmp_path: Path, owner: str) -> None:
    with SpaceHub(tmp_path) as hub, hub.host:
        hub.user = owner
        backend = hub.backend()
        handle = await backend.submit(Work("a machine"), LEASE)
        assert handle.id == f"{owner}/sandbox-{LEASE[:8]}"
        assert (await (await backend.connect(handle)).run("echo here")).output == "here"
        await backend.teardown(handle)
        assert hub.spaces.of(owner) == []
        hub.check()


# --- 16: what the server ends ----------------------------------------------------------------------------------------


async def test_kill_ends_what_ignores_the_signal_and_nothing_is_left_unreaped(server: ServerProcess) -> None:
    body = {"command": "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > deaf; while :; do sleep 0.05; done' & wait"}
    running = asyncio.create_task(asyncio.to_thread(server.post, "bash", **body))
    await until((server.work_dir / "deaf").exists)
    pid = await asyncio.to_thread(pid_in, server.work_dir / "deaf")
    assert (await asyncio.to_thread(server.post, "kill")).json()["success"]
    assert not (await running).json()["success"]
    await until(lambda: not Path(f"/proc/{pid}").exists())  # a zombie would still be there


@pytest.mark.parametrize("timeout", [1e9, float("inf")])
def test_no_time_limit_is_beyond_the_longest(server: ServerProcess, timeout: float) -> None:
    server.client.headers["Content-Type"] = "application/json"
    answer = server.client.post("/api/bash", content=json.dumps({"command": "echo x", "timeout": timeout}))
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        assert answer.json()["output"] == "x"


# --- 18: the end of the program --------------------------------------------------------------------------------------

FOLLOWS = """
import asyncio, sys
from agent.compute.hf_jobs import HfJobs
from agent.hub.account import HubAccount
from agent.protocol.compute import Handle

async def main():
    jobs = HfJobs(HubAccount("hf_test_token_value", {{"HF_ENDPOINT": {url!r}, "OPENID_PROVIDER_URL": {url!r}}}))
    following = aiter(jobs.logs(Handle("hf_jobs", {job!r}, "tester")))
    print((await anext(following)).text, flush=True)
    waiting = asyncio.ensure_future(anext(following))
    hanging = asyncio.ensure_future(jobs.status(Handle("hf_jobs", {job!r}, "tester")))
    print(sys.stdin.readline().strip(), flush=True)  # the stream is silent and the Hub stalls by now
    for task in (waiting, hanging):
        task.cancel()

asyncio.run(main())
"""


def test_a_silent_stream_does_not_keep_the_program_from_ending(env: dict[str, str]) -> None:
    """Threads of the default pool that read a log were waited for at the end."""
    with FakeHub() as hub:
        job = hub.jobs.add()
        job.start()
        job.print("on")
        del env["HF_HUB_OFFLINE"]
        program = subprocess.Popen(
            [sys.executable, "-c", FOLLOWS.format(url=hub.url, job=job.id)],
            env=env | {"HF_ENDPOINT": hub.url, "PYTHONPATH": f"{Path(__file__).parents[3]}:{env['PYTHONPATH']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdin is not None and program.stdout is not None
        assert program.stdout.readline() == "on\n"
        hub.fail("GET", f"{job.id}$", kind="stall", times=99)
        try:
            output, _ = program.communicate("end\n", timeout=30)
        finally:
            program.kill()
        assert (output, program.returncode) == ("end\n", 0)
        assert not job.is_over
