"""Work on this machine, with real processes: it outlives its program, keeps its time limit, and ends as a whole."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.compute.local import LocalProcesses
from agent.compute.processes import start_of
from agent.protocol.compute import ComputeError, Handle, LogLine, Status, Work

LEASE = "1a2b3c4d5e6f"
WAIT_S = 60.0
BIG = 1 << 20


@pytest.fixture
def place(tmp_path: Path) -> LocalProcesses:
    return LocalProcesses(tmp_path / "state", {"PATH": os.environ["PATH"]}, grace_s=0.5)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return tmp_path / "state" / "work" / LEASE


def shell(script: str, tmp_path: Path, **fields: object) -> Work:
    return Work("a test", ("sh", "-c", script), work_dir=tmp_path, **fields)  # type: ignore[arg-type]


async def output(place: LocalProcesses, handle: Handle, skip: int = 0) -> list[str]:
    async with asyncio.timeout(WAIT_S):
        return [line.text async for line in place.logs(handle, skip=skip)]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def over(place: LocalProcesses, handle: Handle) -> Status:
    async with asyncio.timeout(WAIT_S):
        while not (status := await place.status(handle)).is_over:
            await asyncio.sleep(0.01)
    return status


def written(path: Path) -> Callable[[], bool]:
    return lambda: path.exists() and path.read_text().endswith("\n")


# --- the plain way ---------------------------------------------------------------------------------------------------


async def test_output_exit_code_and_cost(place: LocalProcesses, tmp_path: Path) -> None:
    handle = await place.submit(shell("echo one; echo two >&2; printf three; exit 3", tmp_path), LEASE)
    assert await output(place, handle) == ["one", "two", "three"]
    status = await place.status(handle)
    assert (status.stage, status.word, status.billed_s) == ("failed", "exit code 3", 0.0)
    assert status.started_at is not None and status.ended_at is not None and status.started_at <= status.ended_at
    assert (await place.price("anything")).usd_per_hour == 0.0
    ending = await place.cancel(handle)
    assert ending.worked and "exit code 3" in ending.text


async def test_success_and_a_signal(place: LocalProcesses, tmp_path: Path) -> None:
    fine = await place.submit(shell("true", tmp_path), "a1")
    assert (await over(place, fine)).stage == "completed"
    killed = await place.submit(shell("kill -9 $$", tmp_path), "a2")
    status = await over(place, killed)
    assert (status.stage, status.word) == ("failed", "ended by signal 9")


async def test_the_environment_is_exactly_what_was_given(tmp_path: Path) -> None:
    place = LocalProcesses(tmp_path / "state", {"PATH": os.environ["PATH"], "A": "outer", "ODD": "\udcff"})
    work = Work("env", ("env", "-0"), env={"A": "inner", "B": "x y\nz"}, secrets={"TOKEN": "ü"}, work_dir=tmp_path)
    handle = await place.submit(work, LEASE)
    await over(place, handle)
    data = (tmp_path / "state" / "work" / LEASE / "output.log").read_bytes()
    expected = {
        f"PATH={os.environ['PATH']}".encode(),
        b"A=inner",
        b"ODD=\xff",
        b"B=x y\nz",
        "TOKEN=ü".encode(),
        f"ML_INTERN_WORK={tmp_path / 'state' / 'work' / LEASE}".encode(),
    }
    assert set(data.rstrip(b"\0").split(b"\0")) == expected


async def test_it_runs_detached_in_its_directory(place: LocalProcesses, tmp_path: Path) -> None:
    there = tmp_path / "with space"
    there.mkdir()
    script = "import os,sys; print(os.getcwd()); print(os.getsid(0) == os.getpid()); print(repr(sys.stdin.read()))"
    work = Work("python", (sys.executable, "-c", script), work_dir=there)
    handle = await place.submit(work, LEASE)
    assert await output(place, handle) == [str(there), "True", "''"]


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (Work("none", (), work_dir=Path("/")), "command"),
        (Work("no dir", ("true",), work_dir=Path("/no/such/dir")), "/no/such/dir"),
        (Work("no dir", ("true",)), "None"),
        (Work("no command", ("no-such-command",), work_dir=Path("/")), "no-such-command"),
        (Work("no program", ("/etc/passwd",), work_dir=Path("/")), "/etc/passwd"),
        (Work("zero", ("echo", "a\0b"), work_dir=Path("/")), "null"),
        (Work("name", ("true",), env={"A=B": "c"}, work_dir=Path("/")), "A=B"),
    ],
)
async def test_what_cannot_start_says_why_and_leaves_nothing(
    place: LocalProcesses, files: Path, work: Work, said: str
) -> None:
    with pytest.raises(ComputeError, match=said) as raised:
        await place.submit(work, LEASE)
    assert (raised.value.kind, raised.value.nothing_started) == ("bad_request", True)
    assert not files.exists() and await place.find(LEASE, None) is None


async def test_a_lease_is_used_once(place: LocalProcesses, tmp_path: Path) -> None:
    handle = await place.submit(shell("echo first", tmp_path), LEASE)
    with pytest.raises(ComputeError) as raised:
        await place.submit(shell("echo second", tmp_path), LEASE)
    assert raised.value.kind == "conflict" and not raised.value.nothing_started
    assert await output(place, handle) == ["first"]


async def test_what_is_not_there(place: LocalProcesses) -> None:
    assert await place.find(LEASE, None) is None
    handle = Handle("local", LEASE)
    assert (await place.status(handle)).stage == "gone"
    assert await output(place, handle) == []
    assert (await place.cancel(handle)).worked
    await place.teardown(handle)
    with pytest.raises(ComputeError):
        await place.find("../../etc", None)


# --- output ----------------------------------------------------------------------------------------------------------


def finished(files: Path, data: bytes) -> Handle:
    """Work that is over and has printed `data`."""
    files.mkdir(parents=True, exist_ok=True)
    (files / "output.log").write_bytes(data)
    (files / "exit.json").write_text(json.dumps({"why": "exited", "code": 0, "ended_at": 0}))
    return Handle("local", LEASE)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b" 1%\r 50%\r100%\ndone\r", [" 1%", " 50%", "100%", "done"]),
        (b"\xff\xfe ok\n", ["\ufffd\ufffd ok"]),
        ("ü\u2028\x0bü\n".encode(), ["ü\u2028\x0bü"]),
    ],
)
async def test_how_output_becomes_lines(place: LocalProcesses, files: Path, data: bytes, lines: list[str]) -> None:
    assert await output(place, finished(files, data)) == lines


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
async def test_lines_do_not_depend_on_how_the_file_is_read(place: LocalProcesses, files: Path, offset: int) -> None:
    data = b"x" * (BIG + offset) + b"\r\n" + b"\ry\r\r\n" + b"z" * (1 << 16) + b"\r\n" + "ü".encode() * BIG + b"\nlast"
    handle = finished(files, data)
    lines = await output(place, handle)
    assert "".join(lines).replace("\ufffd", "") == data.replace(b"\r", b"").replace(b"\n", b"").decode()
    assert max(map(len, lines)) <= 1 << 16
    assert lines[-1] == "last" and lines[-2] != ""
    for skip in (1, 16, 18, len(lines) - 1, len(lines), len(lines) + 1):
        assert await output(place, handle, skip) == lines[skip:]


async def test_lines_come_while_it_runs(place: LocalProcesses, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo early; while [ ! -e {go} ]; do sleep 0.02; done; echo late"
    handle = await place.submit(shell(script, tmp_path), LEASE)
    lines = place.logs(handle)
    async with asyncio.timeout(WAIT_S):
        assert await anext(lines) == LogLine("early")
        assert (await place.status(handle)).stage == "running"
        go.touch()
        assert [line.text async for line in lines] == ["late"]


async def test_files_are_private(place: LocalProcesses, files: Path, tmp_path: Path) -> None:
    await over(place, await place.submit(shell("echo x", tmp_path), LEASE))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (files.parent, files, *files.iterdir())}
    assert modes == {"work": 0o700, LEASE: 0o700, "output.log": 0o600, "process.json": 0o600, "exit.json": 0o600}


async def test_output_is_kept_for_a_month(place: LocalProcesses, files: Path, tmp_path: Path) -> None:
    for lease_id in ("old", "young", "running"):
        await place.submit(shell("exec sleep 1000" if lease_id == "running" else "echo x", tmp_path), lease_id)
    await over(place, Handle("local", "old"))
    await over(place, Handle("local", "young"))
    os.utime(files.parent / "old" / "exit.json", (0, time.time() - 32 * 86_400))
    os.utime(files.parent / "running", (0, 0))
    await over(place, await place.submit(shell("true", tmp_path), LEASE))
    assert {path.name for path in files.parent.iterdir()} == {"young", "running", LEASE}
    await place.teardown(Handle("local", "running"))


# --- without the program that started it -----------------------------------------------------------------------------

SUBMITTER = """
import asyncio, os, sys
from pathlib import Path
from agent.compute.local import LocalProcesses
from agent.protocol.compute import Work

async def main(state, lease, timeout_s, directory, script):
    place = LocalProcesses(Path(state), {"PATH": os.environ["PATH"]}, grace_s=0.3)
    work = Work("w", ("sh", "-c", script), timeout_s=float(timeout_s) or None, work_dir=Path(directory))
    await place.submit(work, lease)
    print("submitted", flush=True)
    sys.stdin.read()

asyncio.run(main(*sys.argv[1:]))
"""


def submitted_and_killed(tmp_path: Path, script: str, timeout_s: float = 0) -> None:
    """Work submitted by a process that is dead now, killed with all of its process group, as a closed terminal does."""
    argv = [sys.executable, "-c", SUBMITTER, str(tmp_path / "state"), LEASE, str(timeout_s), str(tmp_path), script]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "submitted\n"
        os.killpg(process.pid, signal.SIGHUP)
        os.killpg(process.pid, signal.SIGKILL)


async def test_it_outlives_its_program_and_is_found_again(place: LocalProcesses, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"seq 1 500; while [ ! -e {go} ]; do sleep 0.02; done; seq 501 1000; printf end; exit 7"
    await asyncio.to_thread(submitted_and_killed, tmp_path, script)
    handle = await place.find(LEASE, None)
    assert handle is not None
    assert (await place.status(handle)).stage == "running"
    lines = place.logs(handle, skip=10)
    async with asyncio.timeout(WAIT_S):
        first = [(await anext(lines)).text for _ in range(490)]
        go.touch()
        rest = [line.text async for line in lines]
    assert first + rest == [*map(str, range(11, 1001)), "end"]
    status = await place.status(handle)
    assert (status.stage, status.word) == ("failed", "exit code 7")
    await place.teardown(handle)
    assert await place.find(LEASE, None) is None


async def test_the_time_limit_holds_without_its_program(place: LocalProcesses, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 1000 & echo $$ $! > {pids}; echo begun; wait; wait; sleep 1000"
    await asyncio.to_thread(submitted_and_killed, tmp_path, script, 0.5)
    handle = Handle("local", LEASE)
    assert await output(place, handle) == ["begun"]
    status = await place.status(handle)
    assert (status.stage, status.word) == ("failed", "ended by signal 9")
    assert status.message is not None and "time limit" in status.message
    assert [start_of(int(pid)) for pid in pids.read_text().split()] == [None, None]


# --- ending ----------------------------------------------------------------------------------------------------------


async def test_cancel_ends_all_that_was_started(place: LocalProcesses, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    stubborn = "trap '' TERM; echo $$ >> pids; while :; do sleep 0.05; done"
    script = f'(setsid sh -c "{stubborn}" &); (sh -c "{stubborn}" &); timeout 999 sh -c "{stubborn}"; echo after'
    handle = await place.submit(shell(script, tmp_path), LEASE)
    await until(lambda: written(pids)() and len(pids.read_text().split()) == 3)
    ending = await place.cancel(handle)
    assert ending.worked
    assert [start_of(int(pid)) for pid in pids.read_text().split()] == [None, None, None]
    assert (await place.status(handle)).stage == "canceled"


async def test_a_command_may_save_its_work_when_it_is_told_to_end(place: LocalProcesses, tmp_path: Path) -> None:
    script = "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.02; done"
    handle = await place.submit(shell(script, tmp_path), LEASE)
    async with asyncio.timeout(WAIT_S):
        assert await anext(place.logs(handle)) == LogLine("ready")
    assert (await place.cancel(handle)).worked
    first, *_, last = await output(place, handle)
    assert (first, last) == ("ready", "saved")
    assert (await place.status(handle)).stage == "canceled"


async def test_what_is_left_in_the_background_ends_with_the_command(place: LocalProcesses, tmp_path: Path) -> None:
    handle = await place.submit(shell("setsid sleep 1000 & echo $!; exit 0", tmp_path), LEASE)
    [pid] = await output(place, handle)
    assert (await place.status(handle)).stage == "completed"
    assert start_of(int(pid)) is None


async def test_without_its_supervisor_it_runs_on_and_can_be_ended(
    place: LocalProcesses, files: Path, tmp_path: Path
) -> None:
    handle = await place.submit(shell("sleep 1000", tmp_path), LEASE)
    runner, leader = (json.loads((files / "process.json").read_text())[name][0] for name in ("runner", "leader"))
    os.kill(runner, signal.SIGKILL)
    await until(lambda: start_of(runner) is None)
    assert (await place.status(handle)).stage == "running"
    assert (await place.cancel(handle)).worked
    assert start_of(leader) is None
    assert (await place.status(handle)).stage == "canceled"


async def test_without_an_exit_code_it_is_gone(place: LocalProcesses, files: Path, tmp_path: Path) -> None:
    handle = await place.submit(shell("exec sleep 1000", tmp_path), LEASE)
    for pid, _ in map(json.loads((files / "process.json").read_text()).get, ("runner", "leader")):
        os.kill(pid, signal.SIGKILL)
        await until(lambda pid=pid: start_of(pid) is None)
    status = await place.status(handle)
    assert status.stage == "gone" and status.message is not None
    assert await output(place, handle) == []


async def test_after_a_restart_of_the_machine_it_is_gone(place: LocalProcesses, files: Path, tmp_path: Path) -> None:
    handle = await place.submit(shell("sleep 1000", tmp_path), LEASE)
    path = files / "process.json"
    record = path.read_text()
    path.write_text(json.dumps(json.loads(record) | {"boot": "an earlier one"}))
    assert (await place.status(handle)).stage == "gone"
    path.write_text(json.dumps(json.loads(record) | {"host": "elsewhere"}))
    with pytest.raises(ComputeError, match="elsewhere"):
        await place.status(handle)
    path.write_text(record)
    await place.teardown(handle)
    assert not files.exists()


async def test_a_number_that_another_process_has_got_is_left_alone(
    place: LocalProcesses, files: Path, tmp_path: Path
) -> None:
    stranger = await asyncio.to_thread(subprocess.Popen, ["sleep", "1000"], start_new_session=True)
    try:
        files.mkdir(parents=True)
        pid, started = stranger.pid, start_of(stranger.pid)
        assert started is not None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        record = {"host": os.uname().nodename, "boot": boot, "started_at": 0.0}
        (files / "process.json").write_text(
            json.dumps(record | {"runner": [pid, started - 1], "leader": [pid, started - 1], "mark": "A=b"})
        )
        await place.teardown(Handle("local", LEASE))
        assert start_of(pid) == started and not files.exists()
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_cancelled_submission_leaves_nothing(place: LocalProcesses, files: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    submission = asyncio.create_task(place.submit(shell(f"echo $$ > {begun}; sleep 1000", tmp_path), LEASE))
    await until(files.exists)
    submission.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submission
    assert not files.exists()
    assert not begun.exists() or start_of(int(begun.read_text() or "0")) is None


# --- the supervisor's order ------------------------------------------------------------------------------------------


def run_supervisor(directory: Path, order: bytes) -> subprocess.CompletedProcess[bytes]:
    code = "import sys; from pathlib import Path; from agent.compute.local_runner import main; main(Path(sys.argv[1]))"
    argv = [sys.executable, "-c", code, str(directory)]
    return subprocess.run(argv, input=order, capture_output=True, check=False, timeout=WAIT_S)


def an_order(tmp_path: Path, **changes: object) -> bytes:
    order = {
        "argv": ["touch", str(tmp_path / "ran")],
        "cwd": str(tmp_path),
        "env": {"PATH": os.environ["PATH"], "ML_INTERN_WORK": str(tmp_path)},
        "timeout_s": None,
        "grace_s": 0.1,
        "ordered_at": time.time(),
    }
    return json.dumps(order | changes).encode()


async def test_half_an_order_is_none(place: LocalProcesses, files: Path, tmp_path: Path) -> None:
    files.mkdir(parents=True)
    done = run_supervisor(files, an_order(tmp_path)[:-1])
    assert done.returncode != 0 and list(files.iterdir()) == []
    assert (await place.status(Handle("local", LEASE))).stage == "creating"
    late = LocalProcesses(tmp_path / "state", {}, now=lambda: time.time() + 3600)
    assert (await late.status(Handle("local", LEASE))).stage == "gone"


@pytest.mark.parametrize("why", ["old", "canceled"])
async def test_an_order_that_was_given_up_is_not_carried_out(
    place: LocalProcesses, files: Path, tmp_path: Path, why: str
) -> None:
    files.mkdir(parents=True)
    handle = Handle("local", LEASE)
    if why == "canceled":
        assert (await place.cancel(handle)).worked
    done = run_supervisor(files, an_order(tmp_path, **({"ordered_at": 0.0} if why == "old" else {})))
    assert b"canceled" in done.stdout
    assert (await place.status(handle)).stage == "canceled"
    assert not (tmp_path / "ran").exists()


# --- secrets ---------------------------------------------------------------------------------------------------------


async def test_secrets_are_in_the_environment_of_the_command_alone(
    place: LocalProcesses, files: Path, tmp_path: Path
) -> None:
    secret = "hf_" + "s3cr3t" * 5
    work = shell('printf %s "$TOKEN" | wc -c; sleep 1000', tmp_path, secrets={"TOKEN": secret})
    handle = await place.submit(work, LEASE)
    async with asyncio.timeout(WAIT_S):
        assert (await anext(place.logs(handle))).text.strip() == str(len(secret))
    for path in (tmp_path / "state").rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert secret.encode() not in path.read_bytes(), path
        except (FileNotFoundError, ProcessLookupError):
            continue
    runner = json.loads((files / "process.json").read_text())["runner"][0]
    assert secret.encode() not in Path(f"/proc/{runner}/environ").read_bytes()
    assert secret not in repr(work) and secret not in repr(handle)
    assert (await place.cancel(handle)).worked
