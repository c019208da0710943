from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from agent.ui.editor import EditorError, edit_file, edit_text, editor_command

BIN = os.environ.get("PATH", "")


def script(tmp_path: Path, body: str) -> dict[str, str]:
    """An environment whose editor is this shell script; `$1` is the file."""
    path = tmp_path / "my editor.sh"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    temporary = tmp_path / "tmp"
    temporary.mkdir(exist_ok=True)
    return {"EDITOR": f"'{path}'", "PATH": BIN, "TMPDIR": str(temporary), "OUT": str(tmp_path / "out")}


def left_behind(environ: dict[str, str]) -> list[str]:
    return os.listdir(environ["TMPDIR"])  # noqa: PTH208


def test_visual_comes_before_editor_before_what_is_installed(tmp_path: Path) -> None:
    assert editor_command({"VISUAL": "code --wait", "EDITOR": "vim"}) == ["code", "--wait"]
    assert editor_command({"VISUAL": " ", "EDITOR": "'my vim' -n"}) == ["my vim", "-n"]
    assert editor_command({"PATH": str(tmp_path)}) is None
    for name in ("vi", "nano"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o700)
        assert editor_command({"PATH": str(tmp_path)}) == [str(tmp_path / name)]
    with pytest.raises(EditorError, match="VISUAL is no command"):
        editor_command({"VISUAL": "vim '"})


async def test_the_edited_text_comes_back_and_no_file_stays(tmp_path: Path) -> None:
    environ = script(tmp_path, 'cat "$1" > "$OUT"; echo "$1" >> "$OUT"; echo "größer" > "$1"')
    assert await edit_text("old: é", environ=environ, suffix=".py") == "größer"
    text, _, path = (tmp_path / "out").read_text().strip().partition("/")
    assert text == "old: é"
    assert path.endswith(".py")
    assert left_behind(environ) == []


@pytest.mark.parametrize(
    ("before", "written", "after"),
    [("a", "b\\n", "b"), ("a\n", "b\\n", "b\n"), ("a", "b\\n\\n", "b\n"), ("a\n", "b", "b"), ("", "", "")],
)
async def test_the_line_end_that_an_editor_adds_is_taken_off(
    tmp_path: Path, before: str, written: str, after: str
) -> None:
    environ = script(tmp_path, f"printf '{written}' > \"$1\"")
    assert await edit_text(before, environ=environ) == after


async def test_nobody_else_can_read_the_text(tmp_path: Path) -> None:
    modes: list[int] = []

    async def look(argv: Sequence[str], _environ: Mapping[str, str]) -> int:
        path = Path(argv[-1])
        modes.extend(stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent))
        return 0

    assert await edit_text("secret", environ={"EDITOR": "x", "TMPDIR": str(tmp_path)}, run=look) == "secret"
    assert modes == [0o600, 0o700]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('echo new > "$1"; exit 3', "exit code 3, so nothing is taken over"),
        ("kill -TERM $$", "signal 15"),
        ('rm "$1"', "cannot be read"),
        ("printf '\\377' > \"$1\"", "not UTF-8"),
    ],
)
async def test_what_goes_wrong_is_told_and_leaves_nothing(tmp_path: Path, body: str, said: str) -> None:
    environ = script(tmp_path, body)
    with pytest.raises(EditorError, match=said):
        await edit_text("old", environ=environ)
    assert left_behind(environ) == []


async def test_no_editor_and_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EditorError, match="export EDITOR="):
        await edit_text("x", environ={"PATH": str(tmp_path)})
    with pytest.raises(EditorError, match="does not start"):
        await edit_text("x", environ={"EDITOR": "no-such-editor", "PATH": str(tmp_path)})
    with pytest.raises(EditorError, match="broken characters"):
        await edit_text("\ud800", environ={"EDITOR": "true", "PATH": BIN})
    with pytest.raises(EditorError, match="TMPDIR"):
        await edit_text("x", environ={"EDITOR": "true", "TMPDIR": str(tmp_path / "missing")})


async def test_a_file_of_the_person_is_edited_in_place(tmp_path: Path) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text("a\n")
    await edit_file(notes, environ=script(tmp_path, 'echo b >> "$1"'))
    assert notes.read_text() == "a\nb\n"


async def test_ctrl_c_is_for_the_editor_and_not_for_us(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    # Sent to both, as a terminal does; the editor takes it as usual: the signal is not ignored there.
    environ = script(tmp_path, "trap 'echo caught > \"$1\"; exit 0' INT; kill -INT $PPID; kill -INT $$; exit 9")
    assert await edit_text("old", environ=environ) == "caught"
    assert signal.getsignal(signal.SIGINT) is before


async def test_the_loop_goes_on_and_a_cancelled_editor_is_ended(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "out")
    environ = script(tmp_path, 'echo $$ > "$OUT"; mkfifo "$1.wait"; exec cat "$1.wait"')
    editing = asyncio.create_task(edit_text("old", environ=environ))
    pid = int(await asyncio.to_thread((tmp_path / "out").read_text))
    editing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await editing
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert left_behind(environ) == []
