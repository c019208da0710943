"""Unified diffs: the same changes that `patch` would make, quickly for large files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.tools.diffs import unified_diff


def test_a_change() -> None:
    old = "".join(f"{number}\n" for number in range(1, 11))
    assert unified_diff(old, old.replace("5\n", "five\n"), "x.txt").splitlines() == [
        *("--- a/x.txt", "+++ b/x.txt", "@@ -2,7 +2,7 @@"),
        *(" 2", " 3", " 4", "-5", "+five", " 6", " 7", " 8"),
    ]


def test_a_new_file() -> None:
    assert unified_diff(None, "a\nb\n", "x").splitlines() == ["--- /dev/null", "+++ b/x", "@@ -0,0 +1,2 @@", "+a", "+b"]


def test_absolute_paths_have_no_doubled_slash() -> None:
    assert unified_diff("a\n", "b\n", "/tmp/x").splitlines()[:2] == ["--- /tmp/x", "+++ /tmp/x"]
    assert unified_diff(None, "b\n", "/tmp/x").splitlines()[:2] == ["--- /dev/null", "+++ /tmp/x"]


def test_a_missing_line_end_shows() -> None:
    assert unified_diff("a", "a\n", "x").splitlines()[2:] == ["@@ -1 +1 @@", "-a", "\\ No newline at end of file", "+a"]


def test_no_change() -> None:
    assert unified_diff("a\n", "a\n", "x") == ""


def test_only_line_feeds_separate_lines() -> None:
    assert "-a\u2028b\x0c" in unified_diff("a\u2028b\x0c\n", "z\n", "x").split("\n")


def test_crlf_does_not_clutter() -> None:
    assert "\r" not in unified_diff("a\r\nb\r\n", "a\r\nc\r\n", "x")


def test_large_files_are_quick_and_cut() -> None:
    diff = unified_diff("a\nb\n" * 50_000, "b\nc\n" * 50_000, "x").split("\n")
    assert len(diff) < 2_010
    assert "more lines" in diff[-1]


LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30)


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, LINES, st.booleans(), st.booleans())
def test_patch_understands_it(tmp_path: Path, old: list[str], new: list[str], old_end: bool, new_end: bool) -> None:
    before, after = "\n".join(old) + "\n" * old_end, "\n".join(new) + "\n" * new_end
    diff = unified_diff(before, after, "x")
    (tmp_path / "x").write_text(before)
    if diff:
        command = ["patch", "-s", "-p1", "-d", str(tmp_path)]
        subprocess.run(command, input=diff + "\n", text=True, check=True, timeout=30)
    assert not after or (tmp_path / "x").read_text() == after
