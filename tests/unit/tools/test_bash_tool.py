"""`bash`: real commands, real processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from agent.protocol.tools import ToolResult, ToolSpec, never_asks
from agent.redaction.live import LiveSecrets
from agent.tools.bash_tool import MAX_TIMEOUT_S, bash_spec
from agent.tools.output import HEAD_CHARS, TAIL_CHARS
from tests.unit.tools.conftest import FakeSession, is_alive, pid_in, wait_until

BASH = bash_spec(never_asks)

STUBBORN = "trap '' TERM INT HUP; echo $$ > {pid}; while :; do read -t 1 < /dev/zero || :; done"


async def run(session: FakeSession, command: str, spec: ToolSpec = BASH, **more: object) -> ToolResult:
    return await session.call(spec, command=command, **more)


async def start(session: FakeSession, command: str, *pid_files: Path) -> tuple[asyncio.Task[ToolResult], list[int]]:
    """A running call, and the processes that have written their ids to these files."""
    task = asyncio.create_task(run(session, command))
    pids = [await asyncio.to_thread(pid_in, path) for path in pid_files]
    return task, pids


# --- results ---------------------------------------------------------------------------------------------------------


async def test_output_and_success(session: FakeSession) -> None:
    assert await run(session, "echo hello") == ToolResult("hello", ok=True)


async def test_stderr_is_interleaved(session: FakeSession) -> None:
    result = await run(session, "echo one; echo two >&2; echo three")
    assert result.output.splitlines() == ["one", "two", "three"]


async def test_no_output(session: FakeSession) -> None:
    assert (await run(session, "true")).output == "(no output)"
    assert (await run(session, "printf '\\n\\n'")).output == "(no output)"


async def test_exit_code_is_told(session: FakeSession) -> None:
    result = await run(session, "echo before; exit 3")
    assert not result.ok
    assert result.output.splitlines() == ["before", "[exit code 3]"]


@pytest.mark.parametrize("command", ["kill -SEGV $$", "sh -c 'kill -SEGV $$'; exit $?"])
async def test_signal_is_named(session: FakeSession, command: str) -> None:
    result = await run(session, command)
    assert not result.ok
    assert "[exit code 139: ended by SIGSEGV]" in result.output


async def test_killed_mentions_memory(session: FakeSession) -> None:
    assert "memory" in (await run(session, "kill -KILL $$")).output


async def test_output_that_is_not_utf8_survives(session: FakeSession) -> None:
    result = await run(session, r"printf 'caf\xe9 ok\n'")
    assert result.output == "caf� ok"


async def test_ansi_and_progress_bars(session: FakeSession) -> None:
    command = r"printf '\033[31mred\033[0m\n'; for i in 1 2 3; do printf '\rstep %d/3' $i; done; printf '\ndone\r\n'"
    assert (await run(session, command)).output.splitlines() == ["red", "step 3/3", "done"]


async def test_bash_rather_than_sh(session: FakeSession) -> None:
    assert (await run(session, "[[ abc == a* ]] && echo ${BASH_VERSION:+bash}")).output == "bash"


async def test_environment_is_only_what_the_session_gives(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    session.child_env = {"PATH": os.environ["PATH"], "GREETING": "hi"}
    output = (await run(session, "env")).output
    assert "GREETING=hi" in output
    assert "sk-secret" not in output


async def test_no_terminal_input_is_inherited(session: FakeSession) -> None:
    result = await run(session, "cat; read x || echo eof")
    assert result.output == "eof"


async def test_spec(session: FakeSession) -> None:
    assert BASH.parameters["additionalProperties"] is False
    assert BASH.parameters["required"] == ["command"]
    assert set(BASH.parameters["properties"]) == {"command", "description", "work_dir", "timeout"}
    assert BASH.subject({"command": "ls -l"}, Path("/")) == "ls -l"
    assert BASH.subject({"command": None}, Path("/")) == ""


# --- arguments -------------------------------------------------------------------------------------------------------


async def test_work_dir(session: FakeSession) -> None:
    inner = session.workspace / "inner"
    inner.mkdir()
    assert (await run(session, "pwd")).output == str(session.workspace)
    assert (await run(session, "pwd", work_dir="inner")).output == str(inner)
    assert (await run(session, "pwd", work_dir=str(inner))).output == str(inner)
    assert (await run(session, "pwd", work_dir="~")).output == str(Path.home())
    missing = await run(session, "pwd", work_dir="nowhere")
    assert not missing.ok
    assert "nowhere" in missing.output and "does not exist" in missing.output
    assert not (await run(session, "pwd", work_dir="a\0b")).ok


@pytest.mark.parametrize("timeout", ["5", " 5 ", 5, 5.0, None])
async def test_timeout_accepted(session: FakeSession, timeout: object) -> None:
    assert (await run(session, "echo ok", timeout=timeout)).ok


@pytest.mark.parametrize("timeout", [-1, "-5", 0, "soon", 1.5, True, [5], "9" * 5000])
async def test_timeout_refused_with_a_reason(session: FakeSession, timeout: object) -> None:
    result = await run(session, "touch ran", timeout=timeout)
    assert not result.ok
    assert "`timeout`" in result.output
    assert not (session.workspace / "ran").exists()


async def test_timeout_too_long_is_lowered_and_said(session: FakeSession) -> None:
    result = await run(session, "echo ok", timeout=10 * MAX_TIMEOUT_S)
    assert result.ok
    assert str(MAX_TIMEOUT_S) in result.output


@pytest.mark.parametrize("command", ["", "  \n", None, 7, "echo a\0b", "echo \ud83d"])
async def test_commands_that_cannot_be_run(session: FakeSession, command: object) -> None:
    result = await session.call(BASH, command=command)
    assert not result.ok
    assert "command" in result.output


async def test_command_longer_than_the_system_takes(session: FakeSession) -> None:
    result = await run(session, "echo " + "x" * 3_000_000)
    assert not result.ok
    assert "file" in result.output


# --- long output -----------------------------------------------------------------------------------------------------


def spilled(result: ToolResult, session: FakeSession) -> Path:
    (path,) = session.spill_dir.iterdir()
    assert str(path) in result.output
    return path


async def test_long_output_is_cut_and_kept(session: FakeSession) -> None:
    result = await run(session, "seq 1 20000")
    assert result.ok
    everything = "\n".join(map(str, range(1, 20001)))
    assert result.output.startswith(everything[:HEAD_CHARS] + "\n\n[")
    assert everything[-TAIL_CHARS:] in result.output
    assert f"{len(everything):,} characters" in result.output
    assert "no need to run it again" in result.output
    path = spilled(result, session)
    assert path.read_text() == everything + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(session.spill_dir.stat().st_mode) == 0o700


TOKEN = "hf_abcdefghijklmnop"
SECRETS = LiveSecrets({"HF_TOKEN": TOKEN})


@pytest.mark.parametrize("lines", [20_000, 1_000_000])
async def test_a_kept_output_holds_no_secret(session: FakeSession, lines: int) -> None:
    session.secrets = SECRETS
    result = await run(session, f"echo {TOKEN}; seq 1 {lines}; echo {TOKEN}")
    kept = spilled(result, session).read_text()
    assert TOKEN not in kept + result.output
    assert kept.startswith("[REDACTED:HF_TOKEN]\n1\n2\n")
    assert kept.endswith(f"\n{lines}\n[REDACTED:HF_TOKEN]\n")


async def test_where_long_output_is_cut_no_half_of_a_secret_is_left(session: FakeSession) -> None:
    session.secrets = SECRETS
    before = HEAD_CHARS - len(TOKEN) // 2
    result = await run(session, f"head -c {before} /dev/zero | tr '\\0' x; echo {TOKEN}; seq 1 20000")
    assert TOKEN[:4] not in result.output


async def test_a_stopped_command_leaves_no_secret_behind(session: FakeSession) -> None:
    session.secrets = SECRETS
    command = f"echo {TOKEN}; seq 1 20000; echo $$ > pid; sleep 60"
    task, _ = await start(session, command, session.workspace / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (path,) = [path for path in session.spill_dir.iterdir() if str(path) in session.partials["call-1"]]
    assert TOKEN not in session.partials["call-1"]
    await asyncio.to_thread(wait_until, lambda: TOKEN not in path.read_text())
    assert path.read_text().startswith("[REDACTED:HF_TOKEN]\n1\n")


async def test_the_person_is_told_the_true_size_of_what_was_cut(session: FakeSession) -> None:
    result = await run(session, "seq 1 200000")
    (path,) = session.spill_dir.iterdir()
    *shown, size = (result.display or "").split("\n")
    assert shown == [str(number) for number in range(199_981, 200_001)]
    assert size == f"[1,288,895 bytes, 200,000 lines in all: {path}]"


async def test_how_a_command_with_long_output_ended_is_told_to_the_person_too(session: FakeSession) -> None:
    result = await run(session, "seq 1 1000000; printf unfinished; exit 3")
    *shown, size, ending = (result.display or "").split("\n")
    assert (shown[-2:], ending) == (["1000000", "unfinished"], "[exit code 3]")
    assert size.startswith("[6,888,906 bytes, 1,000,001 lines in all: ")


async def test_what_is_too_much_to_be_counted_is_told_in_bytes(session: FakeSession) -> None:
    result = await run(session, "head -c 80000000 /dev/zero | tr '\\0' '\\n'")
    assert "\n[80,000,000 bytes in all: " in f"\n{result.display}"


async def test_output_that_is_not_cut_is_the_same_for_everybody(session: FakeSession) -> None:
    assert (await run(session, "seq 1 1000")).display is None


async def test_long_output_of_a_stopped_command_ends_with_its_size(session: FakeSession) -> None:
    task, _ = await start(session, "seq 1 20000; echo $$ > pid; sleep 60", session.workspace / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (path,) = session.spill_dir.iterdir()
    assert session.partials["call-1"].endswith(f"\n20000\n\n[108,894 bytes, 20,000 lines in all: {path}]")


async def test_exactly_25000_characters_are_not_cut(session: FakeSession) -> None:
    result = await run(session, "head -c 25000 /dev/zero | tr '\\0' x")
    assert result.output == "x" * 25_000
    assert list(session.spill_dir.iterdir()) == []


async def test_short_output_leaves_no_file(session: FakeSession) -> None:
    await run(session, "echo hello")
    assert list(session.spill_dir.iterdir()) == []


async def test_50_mb_are_not_loaded(session: FakeSession) -> None:
    tracemalloc.start()
    try:
        result = await run(session, "yes 0123456789abcdef | head -c 52428800; echo; echo last")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.ok
    assert len(result.output) < 26_000
    assert "52,428,806 bytes" in result.output
    assert result.output.startswith("0123456789abcdef\n")
    assert "\nlast\n" in result.output
    assert peak < 25_000_000
    assert spilled(result, session).stat().st_size == 52_428_806


async def test_a_flood_is_stopped(session: FakeSession) -> None:
    spec = bash_spec(never_asks, max_output_file_bytes=5_000_000)
    result = await run(session, "yes", spec)
    assert not result.ok
    assert "5,000,000 bytes" in result.output
    assert result.output.startswith("y\ny\n")


async def test_a_flood_that_ignores_term_is_stopped(session: FakeSession) -> None:
    spec = bash_spec(never_asks, max_output_file_bytes=1_000_000)
    result = await run(session, "trap '' TERM; echo $$ > pid; while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyy; done", spec)
    assert not result.ok
    assert not is_alive(pid_in(session.workspace / "pid"))


async def test_unusable_spill_dir_does_not_take_bash_away(session: FakeSession, tmp_path: Path) -> None:
    blocker = tmp_path / "blocker"
    blocker.write_text("")
    session.spill_dir = blocker / "spill"
    assert (await run(session, "echo hello")).output == "hello"


async def test_unusable_places_for_output_are_told(
    session: FakeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker = tmp_path / "blocker"
    blocker.write_text("")
    session.spill_dir = blocker / "spill"
    monkeypatch.setenv("TMPDIR", str(blocker))
    result = await run(session, "touch ran")
    assert not result.ok
    assert f"keep the command's output in {blocker}: a part of the path is a file" in result.output
    assert not (session.workspace / "ran").exists()


ON_SMALL_DISK = """
import asyncio, sys
from pathlib import Path
from agent.protocol.tools import never_asks
from agent.tools.bash_tool import bash_spec
from tests.unit.tools.conftest import FakeSession

root = Path(sys.argv[1])
session = FakeSession(workspace=root, spill_dir=root / "disk" / "spill")
print(asyncio.run(session.call(bash_spec(never_asks), command=sys.argv[2])).output[-300:])
"""


def on_small_disk(root: Path, tmpdir: Path, command: str, *, full: bool) -> str:
    """What `bash` says where the output goes to a disk of 64 kB, full already or not."""
    disk = root / "disk"
    disk.mkdir()
    fill = f"head -c 1000000 /dev/zero > {disk}/filler 2> /dev/null;" if full else ""
    script = f'mount -t tmpfs -o size=64k none {disk} && {{ {fill} exec "$@"; }}'
    argv = ["unshare", "-rm", "sh", "-c", script, "sh", sys.executable, "-c", ON_SMALL_DISK, str(root), command]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "TMPDIR": str(tmpdir)}
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("needs user namespaces")
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_full_disk_is_named_or_avoided(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    assert on_small_disk(tmp_path / "a", tmp_path, "echo hello", full=True) == "hello"
    neither = on_small_disk(tmp_path / "b", tmp_path / "b" / "disk", "echo hello", full=True)
    assert neither.startswith(f"Cannot keep the command's output in {tmp_path}/b/disk: the disk is full")
    filled = on_small_disk(tmp_path / "c", tmp_path, "head -c 1000000 /dev/zero | tr '\\0' x; exit 3", full=False)
    assert "is full: what was printed may be lost" in filled
    assert filled.endswith("[exit code 3]")


async def test_truncating_stderr_leaves_no_hole(session: FakeSession) -> None:
    output = (await run(session, "echo before; echo err > /dev/stderr; echo after")).output
    assert output == "err\nafter"


# --- background ------------------------------------------------------------------------------------------------------


async def test_background_child_does_not_block(session: FakeSession) -> None:
    began = time.monotonic()
    result = await run(session, "sleep 60 & echo $! > pid; echo started")
    assert result.ok
    assert time.monotonic() - began < 10
    pid = pid_in(session.workspace / "pid")
    assert is_alive(pid)
    assert result.output.startswith("started")
    os.kill(pid, 9)


async def test_output_of_a_background_child_can_be_read_later(session: FakeSession) -> None:
    result = await run(session, "(until [ -e go ]; do read -t 0.02 < <(:); done; echo late) & echo now")
    path = spilled(result, session)
    (session.workspace / "go").touch()
    await asyncio.to_thread(wait_until, lambda: "late" in path.read_text())
    assert path.read_text() == "now\nlate\n"


async def test_background_child_with_its_own_log_is_not_mentioned(session: FakeSession) -> None:
    result = await run(session, "nohup sleep 60 > run.log 2>&1 & echo $! > pid")
    assert result.output == "(no output)"
    assert list(session.spill_dir.iterdir()) == []
    os.kill(pid_in(session.workspace / "pid"), 9)


async def test_background_flood_is_stopped(session: FakeSession) -> None:
    spec = bash_spec(never_asks, max_output_file_bytes=1_000_000)
    result = await run(session, "yes & echo $! > pid", spec)
    assert result.ok
    pid = pid_in(session.workspace / "pid")
    await asyncio.to_thread(wait_until, lambda: not is_alive(pid))


# --- ending ----------------------------------------------------------------------------------------------------------


async def test_timeout_keeps_partial_output_and_ends_children(session: FakeSession) -> None:
    result = await run(session, "echo partial; sleep 60 & echo $! > pid; sleep 60", timeout=1)
    assert not result.ok
    assert result.output.startswith("partial\n")
    assert "Timed out after 1 s" in result.output
    assert "above is what it had printed" in result.output
    assert "nohup" in result.output
    assert not is_alive(pid_in(session.workspace / "pid"))


async def test_timeout_without_output(session: FakeSession) -> None:
    output = (await run(session, "sleep 60", timeout=1)).output
    assert output.startswith("(no output)\n[Timed out after 1 s")
    assert "it had printed nothing" in output
    assert "above" not in output


async def test_timeout_ends_what_ignores_term(session: FakeSession) -> None:
    result = await run(session, STUBBORN.format(pid="pid"), timeout=1)
    assert "Timed out" in result.output
    assert not is_alive(pid_in(session.workspace / "pid"))


async def test_term_is_a_chance_to_clean_up(session: FakeSession) -> None:
    result = await run(session, "trap 'echo saved; exit 0' TERM; echo running; while :; do sleep 0.05; done", timeout=1)
    assert result.output.startswith("running\n")
    assert "\nsaved\n" in result.output
    assert not result.ok


async def test_cancel_ends_everything_quickly(session: FakeSession) -> None:
    work = session.workspace
    child = STUBBORN.format(pid=work / "stubborn").replace("$$", r"\$\$")
    command = (
        f'bash -c "{child}" & '  # ignores TERM
        f"sleep 60 & echo $! > {work / 'sleeper'}; "
        f"timeout 60 bash -c 'echo $$ > {work / 'grouped'}; sleep 60; :'; :"  # a process group of its own
    )
    spans_s = []
    for _ in range(3):  # the machine may be busy once
        pid_files = [work / "stubborn", work / "sleeper", work / "grouped"]
        task, pids = await start(session, command, *pid_files)
        assert all(map(is_alive, pids))
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        spans_s.append(time.monotonic() - began)
        assert not any(map(is_alive, pids))
        assert list(session.spill_dir.iterdir()) == []
        for path in pid_files:
            path.unlink()
    assert min(spans_s) < 0.5


async def test_what_a_cancelled_command_had_printed_is_not_lost(session: FakeSession) -> None:
    task, _ = await start(session, "echo epoch 1; echo epoch 2; echo $$ > pid; sleep 60", session.workspace / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert session.partials == {"call-1": "epoch 1\nepoch 2"}


async def test_impatient_cancels_do_not_leave_anything(session: FakeSession) -> None:
    task, pids = await start(session, STUBBORN.format(pid="pid"), session.workspace / "pid")
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(map(is_alive, pids))


async def test_cancel_during_the_end_of_a_timeout(session: FakeSession) -> None:
    command = "trap 'touch ending' TERM; echo $$ > pid; while :; do sleep 0.02; done"
    task = asyncio.create_task(run(session, command, timeout=1))
    await asyncio.to_thread(wait_until, (session.workspace / "ending").exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_alive(pid_in(session.workspace / "pid"))


async def test_without_proc_the_group_is_ended(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""

    def no_proc(_path: object) -> list[str]:
        raise FileNotFoundError

    task, pids = await start(session, STUBBORN.format(pid="pid") + " & wait", session.workspace / "pid")
    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", no_proc)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not any(map(is_alive, pids))


async def test_cancel_after_the_shell_ended(session: FakeSession) -> None:
    """The result would be lost, and with it the only word of the background process."""
    pid_file = session.workspace / "pid"
    for _ in range(20):  # the moment between the shell's end and the result's is short
        task, (pid,) = await start(session, "sleep 60 & echo $! > pid", pid_file)
        shell = Path(f"/proc/{os.getsid(pid)}")
        await asyncio.to_thread(wait_until, lambda shell=shell: not shell.exists())
        for _ in range(20):  # turns of the loop, for the tool to take notice
            await asyncio.sleep(0)
        pid_file.unlink()
        if task.cancel():
            break
        os.kill(pid, 9)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_alive(pid)


@pytest.mark.parametrize("turns", range(12))
async def test_cancel_at_any_moment_of_the_start(session: FakeSession, turns: int) -> None:
    session.child_env = {**session.child_env, "MARK": str(session.workspace)}
    task = asyncio.create_task(run(session, "sleep 61 & sleep 62"))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert marked_processes(str(session.workspace)) == []
    assert not session.spill_dir.exists() or list(session.spill_dir.iterdir()) == []


def marked_processes(mark: str) -> list[int]:
    """Living processes that carry this mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and is_alive(int(entry.name)):
            try:
                if f"MARK={mark}\0".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("command", ["ls -la src", "git status && cat a.py | head -3", "grep -rn loss src 2>/dev/null"])
def test_a_command_that_only_looks_changes_nothing(session: FakeSession, command: str) -> None:
    assert BASH.changes({"command": command}, session.workspace) == ()


@pytest.mark.parametrize("command", ["python train.py", "ls > a.txt", "sed -i s/a/b/ x", "cat a; rm b", "if ("])
def test_of_any_other_command_it_is_not_known_what_it_changes(session: FakeSession, command: str) -> None:
    assert BASH.changes({"command": command}, session.workspace) is None


async def test_loop_stays_free_and_calls_run_at_once(session: FakeSession) -> None:
    """Two commands that wait for each other can only end if neither blocks the loop."""
    one = run(session, "touch a; until [ -e b ]; do sleep 0.01; done; echo one", timeout=20)
    two = run(session, "touch b; until [ -e a ]; do sleep 0.01; done; echo two", timeout=20)
    results = await asyncio.gather(one, two)
    assert [result.output for result in results] == ["one", "two"]


def test_the_end_of_the_program_ends_the_command(session: FakeSession) -> None:
    """asyncio.run cancels what is left; the command must not outlive it."""

    async def abandon() -> None:
        task, _ = await start(session, STUBBORN.format(pid="pid"), session.workspace / "pid")
        assert not task.done()

    asyncio.run(abandon())
    wait_until(lambda: not is_alive(pid_in(session.workspace / "pid")))
