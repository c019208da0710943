"""`read`: pages of text files, whatever else may lie at a path."""

from __future__ import annotations

import hashlib
import os
import socket
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.protocol.tools import ApprovalContext, FileFingerprint
from agent.tools.file_reading import MAX_LINE_LENGTH
from agent.tools.read_tool import read_spec
from tests.unit.tools.conftest import FakeSession

READ = read_spec()


def put(session: FakeSession, name: str, content: str | bytes) -> Path:
    path = session.workspace / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


async def read(session: FakeSession, path: object, **more: object) -> str:
    """The output of a call that works."""
    result = await session.call(READ, path=str(path), **more)
    assert result.ok, result.output
    return result.output


async def refusal(session: FakeSession, path: object, **more: object) -> str:
    """The output of a call that does not."""
    result = await session.call(READ, path=path, **more)
    assert not result.ok
    return result.output


# --- text ------------------------------------------------------------------------------------------------------------


async def test_lines_are_numbered(session: FakeSession) -> None:
    put(session, "a.txt", "one\n\ttwo\n\nfour")
    assert await read(session, "a.txt") == "     1\tone\n     2\t\ttwo\n     3\t\n     4\tfour"


async def test_page(session: FakeSession) -> None:
    put(session, "a.txt", "".join(f"line {number}\n" for number in range(1, 5001)))
    page = (await read(session, "a.txt", offset="3", limit=2)).splitlines()
    assert page == ["     3\tline 3", "     4\tline 4", "", "[Lines 3-4 of 5,000; go on with offset=5]"]
    assert await read(session, "a.txt", offset=4999) == "  4999\tline 4999\n  5000\tline 5000"
    first = (await read(session, "a.txt")).splitlines()
    shown = len(first) - 2
    assert first[-1] == f"[Lines 1-{shown} of 5,000; go on with offset={shown + 1}]"


async def test_at_most_2000_lines(session: FakeSession) -> None:
    put(session, "a.txt", "x\n" * 2001)
    assert "[Lines 1-2000 of 2,001; go on with offset=2001]" in await read(session, "a.txt")


async def test_the_whole_result_is_capped(session: FakeSession) -> None:
    """The reference returned results of 8 MB."""
    put(session, "a.txt", "".join(f"{number:04d} {'x' * 3000}\n" for number in range(1, 2001)))
    output = await read(session, "a.txt")
    assert len(output) < 26_000
    assert "[Lines 1-8 of 2,000; go on with offset=9]" in output
    assert (await read(session, "a.txt", offset=9)).startswith("     9\t0009 ")


async def test_long_lines_are_cut_with_a_note(session: FakeSession) -> None:
    put(session, "a.txt", "é" * 10_000 + "\nnext\n")
    first, second = (await read(session, "a.txt")).splitlines()
    assert first.startswith("     1\t" + "é" * MAX_LINE_LENGTH + " [")
    assert "20,000 bytes" in first
    assert second == "     2\tnext"
    put(session, "b.txt", "x" * MAX_LINE_LENGTH + "\r\n")
    assert await read(session, "b.txt") == "     1\t" + "x" * MAX_LINE_LENGTH


async def test_only_line_feeds_separate_lines(session: FakeSession) -> None:
    put(session, "a.txt", "a\u2028b\x0cc\x0bd\x85e\nf\n")
    assert await read(session, "a.txt") == "     1\ta\u2028b\x0cc\x0bd\x85e\n     2\tf"


async def test_crlf_and_bom_do_not_show(session: FakeSession) -> None:
    put(session, "a.txt", b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert await read(session, "a.txt") == "     1\tone\n     2\ttwo"


async def test_empty_file_says_so(session: FakeSession) -> None:
    put(session, "a.txt", "")
    assert "empty" in await read(session, "a.txt")


async def test_other_encodings_are_shown_as_far_as_possible(session: FakeSession) -> None:
    put(session, "a.txt", b"caf\xe9\n")
    output = await read(session, "a.txt")
    assert output.startswith("     1\tcaf�\n")
    assert "UTF-8" in output
    put(session, "b.txt", "a true � is fine\n")
    assert "UTF-8" not in await read(session, "b.txt")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.sampled_from(["", "a", "é" * 9, "x" * 700_000]), max_size=8),
    final=st.booleans(),
    offset=st.integers(1, 9),
    limit=st.integers(1, 9),
)
async def test_pages_are_slices(session: FakeSession, lines: list[str], final: bool, offset: int, limit: int) -> None:
    """Wherever the file's pieces of 1 MiB begin and end."""
    put(session, "a.txt", "\n".join(lines) + "\n" * final)
    real = ("\n".join(lines) + "\n" * final).split("\n")
    real = real if real[-1] else real[:-1]
    result = await session.call(READ, path="a.txt", offset=offset, limit=limit)
    if not real:
        assert "empty" in result.output
        return
    assert result.ok == (offset <= len(real))
    if not result.ok:
        assert f"has {len(real)} lines" in result.output
        return
    page = real[offset - 1 : offset - 1 + limit]
    shown = result.output.split("\n\n[Lines")[0].split("\n")
    assert [line.split("\t")[1].split(" [")[0] for line in shown] == [line[:4000] for line in page[: len(shown)]]
    assert len(shown) == len(page) or len(result.output) > 20_000


# --- what it remembers -----------------------------------------------------------------------------------------------


async def test_the_fingerprint_is_of_the_whole_content(session: FakeSession) -> None:
    content = b"x\r\n" * 500_000
    path = put(session, "a.txt", content)
    await read(session, "a.txt", offset=5, limit=1)
    assert session.known_files == {path: FileFingerprint(len(content), hashlib.sha256(content).hexdigest())}


async def test_a_link_is_known_by_its_target(session: FakeSession) -> None:
    path = put(session, "a.txt", "x")
    (session.workspace / "link").symlink_to("a.txt")
    await read(session, "link")
    assert list(session.known_files) == [path]


async def test_a_huge_file_is_not_loaded(session: FakeSession) -> None:
    """300 MB (sparse, but for `read` as long as any), one line of it 299 MB long: neither loaded nor hashed."""
    path = session.workspace / "huge.txt"
    with path.open("wb") as file:
        file.write(b"first\n" + b"second\n" * 2_000_000)
        file.truncate(300 << 20)
    tracemalloc.start()
    try:
        output = await read(session, path, limit=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert output == "     1\tfirst\n     2\tsecond\n\n[Lines 1-2; go on with offset=3]"
    assert peak < 10_000_000
    assert session.known_files == {}


async def test_a_long_line_is_not_loaded(session: FakeSession) -> None:
    path = put(session, "one-line.json", b"[" + b"1," * 20_000_000 + b"1]\n")
    tracemalloc.start()
    try:
        output = await read(session, path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(output) < 5_000
    assert "40,000,003 bytes" in output
    assert peak < 10_000_000


# --- what is no text file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "PNG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"PK\x03\x04\x14", "zip"),
        ("wide".encode("utf-16"), "UTF-16"),
        (b"some\0thing", "no known kind"),
    ],
)
async def test_binary_files_are_recognised(session: FakeSession, content: bytes, kind: str) -> None:
    put(session, "a.bin", content)
    said = await refusal(session, "a.bin")
    assert "binary" in said
    assert kind in said
    assert session.known_files == {}


async def test_devices_pipes_and_sockets_are_refused(session: FakeSession) -> None:
    fifo = session.workspace / "fifo"
    os.mkfifo(fifo)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")  # relative: the names of sockets are short
        assert "named pipe" in await refusal(session, str(fifo))
        assert "socket" in await refusal(session, str(Path("socket").absolute()))
    assert "device" in await refusal(session, "/dev/zero")
    assert "device" in await refusal(session, "/dev/null")


async def test_a_directory_gives_its_entries(session: FakeSession) -> None:
    (session.workspace / "inner").mkdir()
    put(session, "a.txt", "x")
    output = await read(session, ".")
    assert output.splitlines()[1:] == ["a.txt", "inner/"]
    assert "empty directory" in await read(session, "inner")
    for number in range(300):
        (session.workspace / "inner" / f"{number:03d}").touch()
    assert "[100 more" in await read(session, "inner")


async def test_a_missing_file_names_its_neighbours(session: FakeSession) -> None:
    put(session, "train.py", "x")
    put(session, "README.md", "x")
    (session.workspace / "sub").mkdir()
    assert "train.py" in await refusal(session, "trian.py")
    assert "README.md" in await refusal(session, "readme.MD")
    said = await refusal(session, "sbu/x/y.txt")
    assert f"{session.workspace / 'sbu'} does not exist" in said
    assert "Similar names" in said


async def test_other_dead_ends(session: FakeSession) -> None:
    put(session, "file", "x")
    (session.workspace / "loop").symlink_to("loop")
    assert "circle" in await refusal(session, "loop")
    assert "part of the path is a file" in await refusal(session, "file/inner")
    assert "too long" in await refusal(session, "x" * 300)
    assert "NUL" in await refusal(session, "a\0b")
    for path in ("", "  ", None, 5, ["a"]):
        assert "`path`" in await refusal(session, path)


async def test_this_programs_environment_is_not_shown(session: FakeSession) -> None:
    for path in ("/proc/self/environ", f"/proc/{os.getpid()}/environ", "/proc/self/task/../environ"):
        assert "environment" in await refusal(session, path)
    assert "Name:" in await read(session, "/proc/self/status")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"offset": -1}, "`offset`"),
        ({"limit": -1}, "`limit`"),
        ({"limit": 0}, "`limit`"),
        ({"offset": "two"}, "`offset`"),
        ({"offset": 9}, "has 2 lines"),
    ],
)
async def test_bad_pages(session: FakeSession, more: dict[str, object], said: str) -> None:
    put(session, "a.txt", "x\ny\n")
    assert said in await refusal(session, "a.txt", **more)


async def test_home_is_expanded(session: FakeSession) -> None:
    (Path.home() / "notes.txt").write_text("hi\n")
    assert await read(session, "~/notes.txt") == "     1\thi"
    assert "No such file" in await refusal(session, "~nobody-here/x")


# --- the spec --------------------------------------------------------------------------------------------------------


def test_spec(session: FakeSession) -> None:
    assert READ.parameters["additionalProperties"] is False
    assert set(READ.parameters["properties"]) == {"path", "offset", "limit"}
    (session.workspace / "link").symlink_to("target")
    assert READ.subject({"path": "link"}, session.workspace) == str(session.workspace / "target")
    assert READ.subject({}, session.workspace) == ""


@pytest.mark.parametrize(
    ("path", "kind"), [("a.py", "free"), ("/etc/hosts", "free"), (".env", "ask"), ("~/.ssh/id_rsa", "ask")]
)
def test_only_secrets_need_a_yes(session: FakeSession, path: str, kind: str) -> None:
    assert READ.approval({"path": path}, ApprovalContext(session.workspace)).kind == kind
    assert READ.approval({}, ApprovalContext(session.workspace)).kind == "free"
