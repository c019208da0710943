"""`bash`, `read`, `write` and `edit` in a sandbox. One Space for the whole file; each test finds it empty."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol.compute import Running, Status, Work
from agent.protocol.events import ToolProgress
from agent.protocol.messages import utc_now
from agent.protocol.tools import ApprovalContext
from agent.redaction.live import LiveSecrets
from agent.tools.output import HEAD_CHARS, TAIL_CHARS
from agent.tools.sandbox.heard import WINDOW_CHARS, Heard
from tests.fakes.hub import TOKEN
from tests.unit.compute.sandbox.conftest import until
from tests.unit.compute.sandbox.space_hub import LEASE, SpaceHub
from tests.unit.tools.conftest import is_alive, pid_in
from tests.unit.tools.sandbox_kit import Bench, bench_on, space_hub

CONTEXT = ApprovalContext(Path("/workspace"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SpaceHub, Running]]:
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
    for entry in bench.file(".").iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    return bench


# --- bash ------------------------------------------------------------------------------------------------------------


async def test_output_and_exit_code(bench: Bench) -> None:
    assert await bench.bash("echo out; echo err >&2") == await bench.bash("printf 'out\\nerr\\n'")
    assert (await bench.bash("pwd")).output == str(bench.file("."))
    assert (await bench.bash("true")).output == "(no output)"
    failed = await bench.bash("echo x; exit 3")
    assert (failed.output, failed.ok, failed.display) == ("x\n[exit code 3]", False, None)
    assert (await bench.bash("kill -9 $$")).output.endswith(
        "[exit code 137: ended by SIGKILL, often for want of memory]"
    )
    bench.file("sub").mkdir()
    assert (await bench.bash("pwd", work_dir="sub")).output == str(bench.file("sub"))
    assert "no such directory" in (await bench.bash("pwd", work_dir="elsewhere")).output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"command": "  "}, "`command` is empty"),
        ({"command": "true", "timeout": 0}, "`timeout` must be at least 1"),
        ({"command": "true", "timeout": "soon"}, "`timeout` must be a whole number"),
        ({"command": "a\0b"}, "NUL character"),
        ({"command": "true", "work_dir": 3}, "`work_dir` must be"),
    ],
)
async def test_arguments_that_make_no_sense(bench: Bench, arguments: dict[str, object], said: str) -> None:
    result = await bench.call("bash", **arguments)
    assert not result.ok and said in result.output


async def test_long_output_is_cut_and_kept_there(bench: Bench) -> None:
    result = await bench.bash("seq 1 20000; echo the end")
    assert result.ok and result.output.startswith("1\n2\n3\n") and len(result.output) < 26_000
    assert "the end" in result.output and result.display is not None and len(result.display) < 4_500
    path = result.output.rpartition("all of it is in ")[2].split(" ")[0]
    again = await bench.call("read", path=path, offset=9_999, limit=1)
    assert again.output.startswith("  9999\t9999") and path in result.display


async def test_a_time_limit_ends_the_command_and_keeps_its_output(bench: Bench) -> None:
    result = await bench.bash("echo before; echo $$ > pid; sleep 600", timeout=1)
    assert not result.ok and result.output.startswith("before\n[Timed out after 1 s")
    assert not is_alive(pid_in(bench.file("pid")))
    assert "timeout lowered from 9999" in (await bench.bash("true", timeout=9999)).output


async def test_background_children_go_on(bench: Bench) -> None:
    result = await bench.bash("(echo $BASHPID > pid; sleep 600; echo late) & echo started")
    assert result.ok and "started" in result.output and "Background processes go on" in result.output
    pid = pid_in(bench.file("pid"))
    assert is_alive(pid)
    os.kill(pid, 9)


async def test_output_is_told_while_it_comes_and_scrubbed(bench: Bench) -> None:
    call = asyncio.create_task(
        bench.bash(f"echo first {TOKEN}; until [ -e go ]; do sleep 0.02; done; echo last {TOKEN}")
    )

    def is_told() -> bool:
        return any(isinstance(event, ToolProgress) and "first" in event.text for event in bench.session.emitted)

    await until(is_told)
    bench.file("go").touch()
    result = await call
    assert result.output.count("last") == 1 and TOKEN not in result.output
    assert not any(isinstance(event, ToolProgress) and TOKEN in event.text for event in bench.session.emitted)


async def test_a_cancelled_command_is_ended_there_and_what_it_printed_is_kept(bench: Bench) -> None:
    call = asyncio.create_task(bench.bash("echo so far; echo $$ > pid; sleep 600"))
    pid = await asyncio.to_thread(pid_in, bench.file("pid"))

    def is_told() -> bool:
        return any(isinstance(event, ToolProgress) and "so far" in event.text for event in bench.session.emitted)

    await until(is_told)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert bench.session.partials == {"call-1": "so far"}
    await until(lambda: not is_alive(pid))


async def test_a_sandbox_that_cannot_be_reached_is_said(bench: Bench) -> None:
    assert (await bench.bash("true")).ok
    url, bench.hub.host.backend = bench.hub.host.backend, None
    result = await bench.bash("true")
    bench.hub.host.backend = url
    assert not result.ok and "cannot be reached" in result.output


@pytest.mark.parametrize(
    "command",
    [
        "hf upload tester/model .",
        "git add . && git push origin main",
        "python -c 'model.push_to_hub(\"a/b\")'",
        "python - <<'E'\nHfApi().delete_repo('a/b')\nE",
        "curl -X DELETE https://huggingface.co/api/repos/delete",
        "bash run.sh",
        "pip install torch && python train.py > log 2>&1",
        "rm -rf / --no-preserve-root",
    ],
)
async def test_what_has_the_persons_token_and_does_more_than_look_is_asked(bench: Bench, command: str) -> None:
    """What a script does with the token, its words do not tell."""
    need = bench.specs["bash"].approval({"command": command}, CONTEXT)
    assert need.kind == "ask" and "Hugging Face token" in need.reason
    without_token = bench.remade(shares_token=False)
    assert without_token.specs["bash"].approval({"command": command}, CONTEXT).kind == "free"


@pytest.mark.parametrize("command", ["ls -l", "git log --oneline; echo push", "cat train.py | head", "echo uploaded"])
async def test_looking_is_free(bench: Bench, command: str) -> None:
    assert bench.specs["bash"].approval({"command": command}, CONTEXT).kind == "free"


async def test_a_command_without_end_is_judged_in_no_time(bench: Bench) -> None:
    """It was quadratic: a minute for what a model can well send."""
    command = "hf " * 60_000 + "; curl " * 20_000
    assert bench.specs["bash"].approval({"command": command}, CONTEXT).kind == "ask"


# --- read ------------------------------------------------------------------------------------------------------------


async def test_read_pages_as_here(bench: Bench) -> None:
    bench.file("a.txt").write_text("one\ntwo\u2028still two\nthree\n")
    assert (await bench.call("read", path="a.txt")).output == "     1\tone\n     2\ttwo\u2028still two\n     3\tthree"
    part = await bench.call("read", path=str(bench.file("a.txt")), offset="2", limit=1)
    assert part.output == "     2\ttwo\u2028still two\n\n[Lines 2-2 of 3; go on with offset=3]"
    beyond = await bench.call("read", path="a.txt", offset=9)
    assert not beyond.ok and "has 3 lines" in beyond.output
    bench.file("empty").touch()
    assert (await bench.call("read", path="empty")).output.endswith("is empty)")
    bench.file("wide").write_text("x" * 9_000)
    assert "[... line cut; it has 9,000 bytes]" in (await bench.call("read", path="wide")).output


async def test_read_refuses_what_is_no_text_file(bench: Bench) -> None:
    bench.file("b.bin").write_bytes(b"\x89PNG\r\n" + bytes(50))
    assert "a PNG image" in (await bench.call("read", path="b.bin")).output
    os.mkfifo(bench.file("pipe"))
    assert "not a regular file" in (await bench.call("read", path="pipe")).output
    assert "`path` is required" in (await bench.call("read", path=" ")).output
    bench.file("config.yaml").touch()
    lost = await bench.call("read", path="confg.yaml")
    assert not lost.ok and "No such file" in lost.output and "config.yaml" in lost.output
    assert "nowhere does not exist" in (await bench.call("read", path="nowhere/a.py")).output


async def test_read_lists_a_directory(bench: Bench) -> None:
    assert (await bench.call("read", path=".")).output.endswith("is an empty directory.")
    for name in ("b c.py", ".hidden", "it's"):
        bench.file(name).touch()
    bench.file("sub").mkdir()
    listed = await bench.call("read", path=".")
    assert listed.ok and listed.output.split("\n")[1:] == [".hidden", "b c.py", "it's", "sub/"]
    bench.file("many").mkdir()
    for number in range(2_500):
        bench.file(f"many/a-file-with-a-rather-long-name-{number:04}").touch()
    many = (await bench.call("read", path="many")).output.split("\n")
    assert len(many) == 202 and many[1].endswith("-0000") and "2,300 more" in many[-1]


async def test_a_large_file_is_fetched_no_further_than_needed_and_can_be_edited_after(bench: Bench) -> None:
    lines = [f"line {number} {'x' * 80}\n" for number in range(1, 100_001)]
    bench.file("large.log").write_text("".join(lines))
    before = len(bench.hub.host.requests)
    first = await bench.call("read", path="large.log", limit=2)
    assert "[Lines 1-2; go on with offset=3]" in first.output
    fetched = [request for request in bench.hub.host.requests[before:] if request.path == "/api/file"]
    assert len(fetched) == 1
    deep = await bench.call("read", path="large.log", offset=99_999)
    assert deep.output.endswith(f"100000\t{lines[-1].rstrip()}")
    edited = await bench.call("edit", path="large.log", old_str="line 50000 ", new_str="LINE ")
    assert edited.ok, edited.output
    assert bench.file("large.log").read_text() == "".join(lines).replace("line 50000 ", "LINE ")


# --- write and edit --------------------------------------------------------------------------------------------------


async def test_write_creates_with_diff_and_warnings(bench: Bench) -> None:
    result = await bench.call("write", path="src/new/train.py", content="def broken(:\n")
    assert result.ok and "Created src/new/train.py: 1 lines, 13 bytes." in result.output
    assert "Syntax error in train.py" in result.output and "+def broken(:" in (result.display or "")
    assert bench.file("src/new/train.py").read_text() == "def broken(:\n"
    again = await bench.call("write", path="./src/new/train.py", content="x = 1\n")  # written counts as read
    assert again.ok and "Replaced" in again.output and "-def broken(:" in (again.display or "")


async def test_a_file_must_be_read_before_it_is_changed(bench: Bench) -> None:
    bench.file("a.txt").write_text("theirs\n")
    for call in ({"tool": "write", "content": "mine\n"}, {"tool": "edit", "old_str": "theirs", "new_str": "mine"}):
        refused = await bench.call(path="a.txt", **call)
        assert not refused.ok and "has not been read in this session" in refused.output
    assert (await bench.call("read", path="a.txt", limit=1)).ok
    bench.file("a.txt").write_text("changed meanwhile\n")
    stale = await bench.call("edit", path="a.txt", old_str="changed", new_str="mine")
    assert not stale.ok and "has changed since it was last read" in stale.output
    assert bench.file("a.txt").read_text() == "changed meanwhile\n"
    assert (await bench.call("read", path="a.txt")).ok
    assert (await bench.call("write", path="a.txt", content="mine\n")).ok
    bench.session = bench.next_session()  # another conversation has read nothing yet
    assert "has not been read" in (await bench.call("write", path="a.txt", content="x")).output


async def test_edit_says_what_it_did_and_why_it_did_not(bench: Bench) -> None:
    bench.file("a.py").write_text("def f():\n    return 1\n\n\ndef g():\n    return 1\n")
    assert (await bench.call("read", path="a.py")).ok
    twice = await bench.call("edit", path="a.py", old_str="    return 1", new_str="    return 2")
    assert not twice.ok and "lines 2, 6" in twice.output and "is unchanged" in twice.output
    loose = await bench.call("edit", path="a.py", old_str="def g():\n  return 1", new_str="def g():\n  return 2")
    assert loose.ok and "(matched after trimming whitespace)" in loose.output
    assert bench.file("a.py").read_text() == "def f():\n    return 1\n\n\ndef g():\n    return 2\n"
    assert "-    return 1\n+    return 2" in (loose.display or "")
    both = await bench.call("edit", path="a.py", old_str="    return ", new_str="    yield ", replace_all=True)
    assert "2 places changed" in both.output
    assert "No such file" in (await bench.call("edit", path="b.py", old_str="a", new_str="b")).output


async def test_edits_of_one_batch_work_on_each_others_result(bench: Bench) -> None:
    assert (await bench.call("write", path="a.txt", content="1\n2\n3\n")).ok
    edits = [bench.call("edit", path="a.txt", old_str=str(n), new_str=f"{n}{n}") for n in (1, 2, 3)]
    assert all(result.ok for result in await asyncio.gather(*edits))
    assert bench.file("a.txt").read_text() == "11\n22\n33\n"


async def test_mode_links_line_ends_and_odd_bytes_survive(bench: Bench) -> None:
    target = bench.file("real.sh")
    target.write_bytes(b"\xef\xbb\xbfone\r\ntw\xffo\r\n")
    target.chmod(0o750)
    bench.file("link.sh").symlink_to("real.sh")
    assert "Not all of it is UTF-8" in (await bench.call("read", path="link.sh")).output
    edited = await bench.call("edit", path="real.sh", old_str="one\n", new_str="1\nI\n")  # the same file
    assert edited.ok, edited.output
    assert target.read_bytes() == b"\xef\xbb\xbf1\r\nI\r\ntw\xffo\r\n" and bench.file("link.sh").is_symlink()
    assert (await bench.call("write", path="link.sh", content="all\nnew\n")).ok
    assert target.read_bytes() == b"\xef\xbb\xbfall\r\nnew\r\n" and stat.S_IMODE(target.stat().st_mode) == 0o750


async def test_the_persons_own_files_are_not_touched(bench: Bench) -> None:
    here = bench.session.workspace / "a.txt"
    here.write_text("mine\n")
    assert (await bench.call("write", path="a.txt", content="there\n")).ok
    assert here.read_text() == "mine\n" and bench.session.known_files == {}


# --- what is heard of a command --------------------------------------------------------------------------------------


def test_heard_is_bounded_and_keeps_both_ends() -> None:
    heard = Heard(lambda text: text)
    for start in range(0, 60_000, 100):
        heard.add("".join(f"line {number}\n" for number in range(start, start + 100)))
    text = heard.so_far()
    assert text.startswith("line 0\n") and "line 59999" in text and len(text) < HEAD_CHARS + TAIL_CHARS + 300
    assert heard.last_lines().split("\n") == [f"line {number}" for number in range(59_980, 60_000)]


def test_no_half_of_a_secret_is_heard() -> None:
    secret = "hf_" + "s" * 60
    heard = Heard(LiveSecrets({"HF_TOKEN": secret}).scrub)
    heard.add(secret + "." * (WINDOW_CHARS - 20))  # the window begins within the secret
    assert "sss" not in heard.last_lines() + heard.so_far()
    heard.add("\r10%\r\x1b[31m" + secret[:30])
    heard.add(secret[30:] + "\x1b[0m done")
    assert "sss" not in heard.last_lines() and "done" in heard.last_lines()
