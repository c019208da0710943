"""Files of a sandbox that are uploaded to the Hub: what is fetched, and what is not."""

from __future__ import annotations

import pytest

from agent.tools.files import FileToolError
from agent.tools.sandbox.fetching import fetch
from tests.unit.tools.sandbox_kit import Bench
from tests.unit.tools.test_sandbox_tools_work import bench, made

__all__ = ["bench", "made"]


async def test_a_file_comes_with_its_name(bench: Bench) -> None:
    bench.file("model.bin").write_bytes(b"\0\1\2")
    assert await fetch(bench.sandboxes, "model.bin", bench.session) == [("model.bin", b"\0\1\2")]


async def test_a_directory_comes_without_git_and_links(bench: Bench) -> None:
    out = bench.file("out dir")
    (out / "deep").mkdir(parents=True)
    (out / ".git").mkdir()
    (out / ".git" / "config").write_text("x")
    (out / "a.txt").write_text("a")
    (out / "deep" / "ü b.txt").write_text("b")
    (out / "link").symlink_to("/etc/passwd")
    found = await fetch(bench.sandboxes, "out dir", bench.session)
    assert sorted(found) == [("a.txt", b"a"), ("deep/ü b.txt", b"b")]


async def test_what_is_not_there_or_too_much_is_said(bench: Bench) -> None:
    with pytest.raises(FileToolError, match=r"nothing\.bin"):
        await fetch(bench.sandboxes, "nothing.bin", bench.session)
    with bench.file("large.bin").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(FileToolError, match="too much to be brought here"):
        await fetch(bench.sandboxes, "large.bin", bench.session)
