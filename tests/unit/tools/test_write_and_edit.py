"""`write` and `edit`: nothing is lost, neither the person's changes nor what a file is besides its text."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.protocol.tools import ToolResult, ToolSpec
from agent.tools.edit_tool import edit_spec
from agent.tools.files import MAX_EDIT_BYTES
from agent.tools.read_tool import read_spec
from agent.tools.write_tool import write_spec
from tests.unit.tools.conftest import FakeSession

READ, WRITE, EDIT = read_spec(), write_spec(), edit_spec()


async def read(session: FakeSession, path: object) -> None:
    assert (await session.call(READ, path=str(path))).ok


async def write(session: FakeSession, path: object, content: object) -> ToolResult:
    return await session.call(WRITE, path=str(path), content=content)


async def edit(session: FakeSession, path: object, old: object, new: object, **more: object) -> ToolResult:
    return await session.call(EDIT, path=str(path), old_str=old, new_str=new, **more)


def known(session: FakeSession, name: str, content: bytes) -> Path:
    """A file that the session has read."""
    path = session.workspace / name
    path.write_bytes(content)
    asyncio.run(read(session, path))
    return path


def leftovers(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.name.startswith(".ml-intern")]


# --- write -----------------------------------------------------------------------------------------------------------


async def test_a_new_file_with_its_directories(session: FakeSession) -> None:
    result = await write(session, "a/b/c.txt", "one\ntwo\n")
    path = session.workspace / "a/b/c.txt"
    assert result.ok
    assert result.output == f"Created {path}: 2 lines, 8 bytes."
    assert result.display == "--- /dev/null\n+++ b/a/b/c.txt\n@@ -0,0 +1,2 @@\n+one\n+two"
    assert path.read_bytes() == b"one\ntwo\n"
    assert leftovers(path.parent) == []


async def test_a_new_file_has_the_mode_of_the_umask(session: FakeSession) -> None:
    old = os.umask(0o027)
    try:
        await write(session, "a.txt", "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((session.workspace / "a.txt").stat().st_mode) == 0o640


async def test_an_existing_file_must_be_read_first(session: FakeSession) -> None:
    path = session.workspace / "a.txt"
    path.write_text("precious")
    refused = await write(session, path, "new")
    assert not refused.ok
    assert "Read it first" in refused.output
    assert path.read_text() == "precious"
    await read(session, path)
    assert (await write(session, path, "new")).ok
    assert path.read_text() == "new"


async def test_writing_counts_as_reading(session: FakeSession) -> None:
    for content in ("one", "two", "three"):
        assert (await write(session, "a.txt", content)).ok
    assert (await edit(session, "a.txt", "three", "four")).ok
    assert (await write(session, "a.txt", "five")).ok


@pytest.mark.parametrize("spec", [WRITE, EDIT])
def test_the_file_to_keep_a_copy_of_is_named(session: FakeSession, tmp_path: Path, spec: ToolSpec) -> None:
    (session.workspace / "link.txt").symlink_to(tmp_path / "outside.txt")
    assert spec.changes({"path": "a/b.txt"}, session.workspace) == (session.workspace / "a/b.txt",)
    assert spec.changes({"path": "link.txt"}, session.workspace) == (tmp_path / "outside.txt",)
    assert spec.changes({}, session.workspace) == ()


@pytest.mark.parametrize("tool", ["write", "edit"])
async def test_a_change_by_someone_else_is_not_overwritten(session: FakeSession, tool: str) -> None:
    """Also one that keeps size and time: the content counts."""
    path = session.workspace / "a.txt"
    path.write_text("a = 1\n")
    await read(session, path)
    before = path.stat()
    path.write_text("a = 2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = await (write(session, path, "a = 9\n") if tool == "write" else edit(session, path, "a =", "b ="))
    assert not result.ok
    assert "Read it again" in result.output
    assert path.read_text() == "a = 2\n"


async def test_a_new_time_alone_is_no_change(session: FakeSession) -> None:
    path = session.workspace / "a.txt"
    path.write_text("a")
    await read(session, path)
    os.utime(path, (1, 1))
    assert (await write(session, path, "b")).ok


async def test_what_one_session_read_another_has_not(session: FakeSession, tmp_path: Path) -> None:
    path = session.workspace / "a.txt"
    path.write_text("a")
    await read(session, path)
    other = FakeSession(workspace=session.workspace, spill_dir=tmp_path / "spill")
    assert not (await write(other, path, "b")).ok


async def test_a_file_that_was_removed_is_made_again(session: FakeSession) -> None:
    await write(session, "a.txt", "a")
    (session.workspace / "a.txt").unlink()
    assert (await write(session, "a.txt", "b")).output.startswith("Created")


@pytest.mark.parametrize("mode", [0o755, 0o600, 0o640, 0o4711])
@pytest.mark.parametrize("tool", ["write", "edit"])
async def test_the_mode_is_kept(session: FakeSession, mode: int, tool: str) -> None:
    path = session.workspace / "run.sh"
    path.write_text("echo a\n")
    path.chmod(mode)
    await read(session, path)
    result = await (write(session, path, "echo b\n") if tool == "write" else edit(session, path, "a", "b"))
    assert result.ok
    assert path.read_text() == "echo b\n"
    assert stat.S_IMODE(path.stat().st_mode) == mode


async def test_the_owner_is_kept(session: FakeSession) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    path = session.workspace / "a.txt"
    path.write_text("a")
    os.chown(path, 12345, 12346)
    await read(session, path)
    await write(session, path, "b")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


async def test_symlinks_stay(session: FakeSession, tmp_path: Path) -> None:
    target = tmp_path / "target.txt"
    target.write_text("a\n")
    link = session.workspace / "link.txt"
    link.symlink_to(target)
    await read(session, link)
    assert (await write(session, link, "b\n")).ok
    assert (await edit(session, link, "b", "c")).ok
    assert link.is_symlink()
    assert target.read_text() == "c\n"
    dangling = session.workspace / "dangling"
    dangling.symlink_to("born/later.txt")
    assert (await write(session, dangling, "x")).ok
    assert (session.workspace / "born/later.txt").read_text() == "x"


async def test_crlf_and_bom_are_kept(session: FakeSession) -> None:
    path = session.workspace / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    await read(session, path)
    assert (await edit(session, path, "one\ntwo\n", "1\n2\n3\n")).ok
    assert path.read_bytes() == b"\xef\xbb\xbf1\r\n2\r\n3\r\n"
    assert (await write(session, path, "x\ny\n")).ok
    assert path.read_bytes() == b"\xef\xbb\xbfx\r\ny\r\n"
    assert (await write(session, path, "\ufeffx\r\nz\n")).ok
    assert path.read_bytes() == b"\xef\xbb\xbfx\r\nz\r\n"


async def test_bytes_that_are_not_utf8_survive_an_edit(session: FakeSession) -> None:
    path = session.workspace / "latin.txt"
    path.write_bytes(b"caf\xe9\nb\n")
    await read(session, path)
    assert (await edit(session, path, "b", "c")).ok
    assert path.read_bytes() == b"caf\xe9\nc\n"


async def test_python_is_checked(session: FakeSession) -> None:
    result = await write(session, "a.py", "if x\n")
    assert result.ok  # it is written all the same: the model may go on in steps
    assert "Warning: Syntax error in a.py, line 1" in result.output
    assert (await edit(session, "a.py", "if x", "x = SFTConfig()")).output.count("Warning") == 1
    assert "Warning" not in (await write(session, "a.txt", "if x\n")).output


@pytest.mark.parametrize("content", [None, 5, {"a": 1}, "half \ud83d"])
async def test_content_that_is_no_text(session: FakeSession, content: object) -> None:
    result = await write(session, "a.txt", content)
    assert not result.ok
    assert "`content`" in result.output
    assert not (session.workspace / "a.txt").exists()


@pytest.mark.parametrize("kind", ["directory", "pipe", "device", "binary", "file as directory", "long name"])
async def test_places_that_cannot_be_written(session: FakeSession, kind: str) -> None:
    path = session.workspace / "a"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/null")
    elif kind == "binary":
        path.write_bytes(b"\x89PNG\0")
    elif kind == "file as directory":
        path.write_text("x")
        path = path / "b"
    else:
        path = session.workspace / ("x" * 300)
    for result in (await write(session, path, "x"), await edit(session, path, "a", "b")):
        assert not result.ok
        assert str(path) in result.output
    assert leftovers(session.workspace) == []


async def test_a_file_too_large_to_edit(session: FakeSession) -> None:
    path = session.workspace / "big.txt"
    with path.open("wb") as file:
        file.write(b"text\n")
        file.truncate(MAX_EDIT_BYTES + 1)
    assert "16 MiB" in (await edit(session, path, "text", "b")).output


# --- edit ------------------------------------------------------------------------------------------------------------


async def test_edit(session: FakeSession) -> None:
    path = session.workspace / "a.py"
    path.write_text("def f():\n    return 1\n")
    await read(session, path)
    result = await edit(session, path, "return 1", "return 2")
    assert result == ToolResult(
        f"Edited {path}: 1 place changed.",
        display="--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n def f():\n-    return 1\n+    return 2",
    )
    loose = await edit(session, path, "return 2  ", "return 3")
    assert "(matched after trimming whitespace)" in loose.output
    assert path.read_text() == "def f():\n    return 3\n"
    assert (await edit(session, path, "return 3", "\n    pass", mode="append_after")).ok
    assert path.read_text() == "def f():\n    return 3\n    pass\n"


async def test_edit_flags(session: FakeSession) -> None:
    await write(session, "a.txt", "x x")
    assert not (await edit(session, "a.txt", "x", "y")).ok
    assert not (await edit(session, "a.txt", "x", "y", replace_all="perhaps")).ok
    result = await edit(session, "a.txt", "x", "y", replace_all="true", mode=None)
    assert "2 places" in result.output
    assert not (await edit(session, "a.txt", "y y", "z", mode="insert")).ok


async def test_an_edit_that_fails_says_why_and_changes_nothing(session: FakeSession) -> None:
    path = session.workspace / "a.txt"
    await write(session, path, "alpha\nbeta\n")
    before = path.stat().st_mtime_ns
    for old, new, said in (("gamma", "x", "not in the file"), ("  ", "x", "blank"), ("a", "x", "3 times")):
        result = await edit(session, path, old, new)
        assert not result.ok
        assert said in result.output
        assert "unchanged" in result.output
    assert path.stat().st_mtime_ns == before


async def test_edit_needs_an_existing_file_that_was_read(session: FakeSession) -> None:
    (session.workspace / "train.py").write_text("a\n")
    assert "train.py" in (await edit(session, "trian.py", "a", "b")).output
    assert "Read it first" in (await edit(session, "train.py", "a", "b")).output


async def test_edits_of_one_batch_do_not_undo_each_other(session: FakeSession) -> None:
    await write(session, "a.txt", "".join(f"line {number}.\n" for number in range(20)))
    calls = [edit(session, "a.txt", f"line {number}.", f"LINE {number}.") for number in range(20)]
    assert all(result.ok for result in await asyncio.gather(*calls))
    assert (session.workspace / "a.txt").read_text() == "".join(f"LINE {number}.\n" for number in range(20))


# --- previews --------------------------------------------------------------------------------------------------------


async def test_previews_are_what_will_happen(session: FakeSession) -> None:
    assert WRITE.preview and EDIT.preview
    path = session.workspace / "a.txt"
    wanted = {"path": "a.txt", "content": "one\ntwo\n"}
    preview = WRITE.preview(wanted, session)
    assert not path.exists()
    assert preview == (await session.call(WRITE, **wanted)).display
    change = {"path": "a.txt", "old_str": "two", "new_str": "2"}
    preview = EDIT.preview(change, session)
    assert path.read_text() == "one\ntwo\n"
    assert preview == (await session.call(EDIT, **change)).display


async def test_no_preview_of_what_would_fail(session: FakeSession) -> None:
    assert WRITE.preview and EDIT.preview
    (session.workspace / "a.txt").write_text("unread")
    assert WRITE.preview({"path": "a.txt", "content": "x"}, session) is None
    assert WRITE.preview({"path": "a.txt"}, session) is None
    assert WRITE.preview({}, session) is None
    assert EDIT.preview({"path": "a.txt", "old_str": "unread", "new_str": "x"}, session) is None
    assert EDIT.preview({"path": "b.txt", "old_str": "a", "new_str": "x"}, session) is None
    await read(session, "a.txt")
    assert EDIT.preview({"path": "a.txt", "old_str": "absent", "new_str": "x"}, session) is None
    assert WRITE.preview({"path": "a.txt", "content": "unread"}, session) == "(no change)"


# --- trouble with the disk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["fsync", "fchmod", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
async def test_nothing_is_half_written(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    path = session.workspace / "a.txt"
    await write(session, path, "old")
    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        result = await write(session, path, "new")
    assert not result.ok
    assert str(path) in result.output
    assert path.read_text() == "old"
    assert leftovers(session.workspace) == []
    assert (await write(session, path, "new")).ok  # what it knew of the file is still true


SMALL_DISK = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tests.unit.tools.conftest import FakeSession
from agent.tools.edit_tool import edit_spec
from agent.tools.write_tool import write_spec

async def main():
    disk = Path({disk!r})
    session = FakeSession(workspace=disk, spill_dir=disk / "spill")
    print(await session.call(write_spec(), path="small.txt", content="x = 1\\n"))
    print(await session.call(write_spec(), path="large.txt", content="y" * 1_000_000))
    print(await session.call(write_spec(), path="small.txt", content="y" * 1_000_000))
    print(await session.call(edit_spec(), path="small.txt", old_str="1", new_str="1" * 1_000_000))
    print(sorted(path.name for path in disk.iterdir()), (disk / "small.txt").read_text().strip())
    import subprocess
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    print(await session.call(edit_spec(), path="small.txt", old_str="1", new_str="2"))
    print(await session.call(write_spec(), path="new.txt", content="x"))

asyncio.run(main())
"""


def test_a_full_disk_and_a_read_only_one(tmp_path: Path) -> None:
    """On a real file system of 256 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = tmp_path / "script.py"
    script.write_text(SMALL_DISK.format(disk=str(disk), tests=str(Path(__file__).parents[3])))
    inside = f'mount -t tmpfs -o size=256k none "{disk}" && exec "{sys.executable}" "{script}"'
    unshare = shutil.which("unshare")
    if (
        not unshare
        or subprocess.run([unshare, "-rm", "mount", "-t", "tmpfs", "none", str(disk)], check=False).returncode
    ):
        pytest.skip("needs a mount namespace")
    run = subprocess.run([unshare, "-rm", "sh", "-c", inside], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    created, *full, names, edited, written = run.stdout.splitlines()
    assert "ok=True" in created
    assert len(full) == 3
    for line in full:
        assert "ok=False" in line
        assert "the disk is full" in line
    assert names == "['small.txt'] x = 1"
    for line in (edited, written):
        assert "ok=False" in line
        assert "read-only" in line


async def test_a_file_without_write_permission_is_not_replaced(session: FakeSession) -> None:
    path = session.workspace / "a.txt"
    path.write_text("a")
    await read(session, path)
    path.chmod(0o444)
    if os.access(path, os.W_OK):
        pytest.skip("root may write anywhere")
    result = await write(session, path, "b")
    assert not result.ok
    assert "permission" in result.output


async def test_a_directory_that_takes_no_files(session: FakeSession) -> None:
    result = await write(session, "/sys/ml-intern-test", "x")
    assert not result.ok
    assert "/sys/ml-intern-test" in result.output


# --- properties ------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0\ufeff"), max_size=8), min_size=1
    ),
    eol=st.sampled_from(["\n", "\r\n"]),
    bom=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    mode=st.sampled_from([0o644, 0o755, 0o600]),
)
def test_a_round_trip_keeps_everything(session: FakeSession, lines: list[str], eol: str, bom: bytes, mode: int) -> None:
    """Whatever is edited and edited back, or written again as read, is the same file byte for byte."""
    content = bom + eol.join(["START", *lines, "END", ""]).encode()
    path = session.workspace / "a.txt"
    path.write_bytes(content)
    path.chmod(mode)

    async def there_and_back() -> None:
        await read(session, path)
        assert (await edit(session, path, f"{(lines[-1])}\nEND\n", f"{lines[-1]}\nmore\nTHE-END\n")).ok
        assert path.read_bytes() == content.removesuffix(f"END{eol}".encode()) + f"more{eol}THE-END{eol}".encode()
        assert (await edit(session, path, "more\nTHE-END", "END")).ok
        assert path.read_bytes() == content
        assert (await write(session, path, "\n".join(["START", *lines, "END", ""]))).ok
        assert path.read_bytes() == content

    if "END" not in "".join(lines) and "more" not in "".join(lines):
        asyncio.run(there_and_back())
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert leftovers(session.workspace) == []
