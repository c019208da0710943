"""Cutting and keeping long results, and cleaning what a terminal program printed."""

from __future__ import annotations

import os
import stat
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.redaction.live import LiveSecrets
from agent.tools.output import (
    HEAD_CHARS,
    MAX_OUTPUT_CHARS,
    NOTE_ALLOWANCE_CHARS,
    TAIL_CHARS,
    cap_output,
    prune_spills,
    scrub_file,
    spill_text,
    terminal_text,
)


def test_short_text_passes(tmp_path: Path) -> None:
    text = "x" * (MAX_OUTPUT_CHARS + NOTE_ALLOWANCE_CHARS)
    assert cap_output(text, tmp_path / "spill", "t") is text
    assert not (tmp_path / "spill").exists()


def test_long_text_is_cut_and_kept(tmp_path: Path) -> None:
    text = "".join(f"{number}\n" for number in range(10_000))
    capped = cap_output(text, tmp_path / "a" / "spill", "hf/papers: x")
    assert capped.startswith(text[:HEAD_CHARS])
    assert text[-TAIL_CHARS:] in capped
    assert f"{len(text):,} characters" in capped
    (path,) = (tmp_path / "a" / "spill").iterdir()
    assert str(path) in capped
    assert path.read_text() == text
    assert path.name.startswith("hf-papers-x-")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_capped_text_is_not_capped_again(tmp_path: Path) -> None:
    capped = cap_output("x" * 100_000, tmp_path / "spill", "t")
    assert cap_output(capped, tmp_path / "other", "t") is capped


def test_50_mb(tmp_path: Path) -> None:
    capped = cap_output("é" * 50_000_000, tmp_path / "spill", "t")
    assert len(capped) < MAX_OUTPUT_CHARS + NOTE_ALLOWANCE_CHARS
    assert "50,000,000 characters" in capped
    (path,) = (tmp_path / "spill").iterdir()
    assert path.stat().st_size == 100_000_000


def test_lone_surrogates_and_line_ends_are_kept(tmp_path: Path) -> None:
    path = spill_text("a\r\nb\ud83dc", tmp_path, "t")
    assert path.read_bytes() == b"a\r\nb\\ud83dc"


def test_unwritable_place_still_gives_an_excerpt(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    capped = cap_output("x" * 100_000, blocker / "spill", "t")
    assert "lost" in capped
    assert "Not a directory" in capped


# --- secrets ---------------------------------------------------------------------------------------------------------

TOKEN = "hf_abcdefghijklmnop"
SECRETS = LiveSecrets({"HF_TOKEN": TOKEN})


@pytest.mark.parametrize("before_bytes", [0, 1, (1 << 20) - 5, 1 << 20, (2 << 20) - 19, 5 << 20])
def test_a_secret_is_found_wherever_it_lies_in_a_kept_file(tmp_path: Path, before_bytes: int) -> None:
    path = spill_text("", tmp_path / "spill", "t")
    before, after = b"\xff" + b"x" * before_bytes, b"\r\n\xc3 \xe2\x82\xac" + b"y" * 100_000
    path.write_bytes(before + TOKEN.encode() + after + TOKEN.encode())
    scrub_file(path, SECRETS.scrub)
    assert path.read_bytes() == before + b"[REDACTED:HF_TOKEN]" + after + b"[REDACTED:HF_TOKEN]"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_file_without_secrets_is_left_alone(tmp_path: Path) -> None:
    path = spill_text("harmless\r\n", tmp_path, "t")
    before = path.stat()
    scrub_file(path, SECRETS.scrub)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_scrubbing_a_big_file_takes_little_memory(tmp_path: Path) -> None:
    path = spill_text("", tmp_path / "spill", "t")
    with path.open("wb") as file:
        for _ in range(70):
            file.write(b"z" * (1 << 20))
        file.write(TOKEN.encode())
    tracemalloc.start()
    try:
        scrub_file(path, SECRETS.scrub)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16 << 20
    assert path.stat().st_size == (70 << 20) + len("[REDACTED:HF_TOKEN]")


def test_a_file_that_cannot_be_scrubbed_is_not_kept(tmp_path: Path) -> None:
    path = spill_text(f"a {TOKEN}", tmp_path / "spill", "t")

    def broken(_text: str) -> str:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        scrub_file(path, broken)
    assert list(path.parent.iterdir()) == []


# --- the directory ---------------------------------------------------------------------------------------------------


def test_a_loose_directory_is_made_private(tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir(mode=0o755)
    spill_text("x", loose, "t")
    assert stat.S_IMODE(loose.stat().st_mode) == 0o700


def test_old_outputs_are_removed_oldest_first(tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    paths = [spill_text("x" * 10, spill, f"t{number}") for number in range(4)]
    for age, path in enumerate(paths):
        os.utime(path, (1_000 + age, 1_000 + age))
    (spill / "other.json").write_text("x" * 100)
    prune_spills(spill, keep_bytes=25)
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert (spill / "other.json").exists()
    prune_spills(tmp_path / "missing")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mx\x1b[m", "x"),
        ("\x1b]0;title\x07x\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "xlink"),
        ("\x1b(Bx\x1b7\x1b8\x1b=y", "xy"),
        ("a\x1b]never ended", "anever ended"),
        ("bell\x07 nul\x00 back\x08", "bell nul back"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("  1%\r 50%\r100%\n", "100%\n"),
        ("\r  1%\r100%", "100%"),
        ("working...\rdone      \n", "done\n"),
        ("long text\rshort", "shorttext"),  # as a terminal shows it
        ("long text\r\x1b[Kshort", "short"),
        ("long text\rshort\x1b[K\r", "short"),
        ("100%|██████| 3/3\r\nnext", "100%|██████| 3/3\nnext"),
    ],
)
def test_terminal_text(raw: str, shown: str) -> None:
    assert terminal_text(raw) == shown


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("ab \n\r\x1b[]0mK;\x07\\é")))
def test_terminal_text_is_plain_and_settled(raw: str) -> None:
    shown = terminal_text(raw)
    assert not set(shown) & set("\r\x1b\x07")
    assert terminal_text(shown) == shown
    assert shown.count("\n") == raw.count("\n") or "\x1b" in raw


def test_a_long_progress_bar_is_quick() -> None:
    assert terminal_text("\r".join(f"{n:>80}" for n in range(50_000))) == f"{49_999:>80}"
