from __future__ import annotations

import fcntl
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prompt_toolkit.history import FileHistory

from agent.ui.composer.history import MAX_ENTRIES, MAX_ENTRY_CHARS, History
from tests.unit.ui.composer.harness import ENTER, UP, desk, pasted


async def entries(history: History) -> list[str]:
    return [entry async for entry in history.load()]


def written(path: Path, *texts: str) -> None:
    history = History(path)
    for text in texts:
        history.append_string(text)
    history.close()


async def test_kept_across_sessions_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "state" / "history"
    written(path, "one", "two\n\nlines", "two\n\nlines", "+plus\n# hash", "日本")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    expected = ["日本", "+plus\n# hash", "two\n\nlines", "one"]
    assert await entries(History(path)) == expected
    assert list(FileHistory(str(path)).load_history_strings()) == expected


async def test_reads_what_prompt_toolkit_wrote(tmp_path: Path) -> None:
    path = tmp_path / "history"
    old = FileHistory(str(path))
    for text in ("a", "a", "b\nc"):
        old.store_string(text)
    path.chmod(0o644)
    history = History(path)
    history.append_string("new")
    assert await entries(history) == ["new", "b\nc", "a"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    history.append_string("new")
    history.close()
    assert await entries(History(path)) == ["new", "b\nc", "a"]


async def test_a_torn_end_costs_one_entry(tmp_path: Path) -> None:
    path = tmp_path / "history"
    written(path, "one", "two")
    path.write_bytes(path.read_bytes()[:-3] + b"\xff")
    written(path, "three")
    assert (await entries(History(path)))[::2] == ["three", "one"]


async def test_the_file_stays_short(tmp_path: Path) -> None:
    path = tmp_path / "state" / "history"
    path.parent.mkdir()
    old = FileHistory(str(path))
    for n in range(2 * MAX_ENTRIES + 1):
        old.store_string(f"entry {n}")
    history = History(path)
    assert len(await entries(history)) == MAX_ENTRIES
    history.append_string("last")
    history.close()
    kept = list(FileHistory(str(path)).load_history_strings())
    assert len(kept) == MAX_ENTRIES + 1
    assert kept[:2] == ["last", f"entry {2 * MAX_ENTRIES}"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["history"]


async def test_several_programs_at_once(tmp_path: Path) -> None:
    path = tmp_path / "history"
    old = FileHistory(str(path))
    for n in range(2 * MAX_ENTRIES + 1):
        old.store_string(f"entry {n}")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda who: written(path, *(f"{who}\n{n}" for n in range(25))), range(4)))
    kept = list(FileHistory(str(path)).load_history_strings())
    for who in range(4):
        assert [entry for entry in kept if entry.startswith(f"{who}\n")] == [f"{who}\n{n}" for n in reversed(range(25))]


def test_a_lock_that_is_never_released_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "history"
    written(path, "one")
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        written(path, "two")
    assert list(FileHistory(str(path)).load_history_strings()) == ["two", "one"]


@pytest.mark.parametrize("path", ["/proc/nowhere/history", "/proc", "/dev/null", None])
async def test_memory_only_where_there_is_no_file(path: str | None) -> None:
    history = History(Path(path) if path else None)
    history.append_string("one")
    history.append_string("two")
    assert await entries(history) == ["two", "one"]
    assert history.get_strings() == ["one", "two"]
    history.close()


async def test_huge_entries_last_as_long_as_the_session(tmp_path: Path) -> None:
    path = tmp_path / "history"
    history = History(path)
    history.append_string("x" * (MAX_ENTRY_CHARS + 1))
    assert len(history.get_strings()) == 1
    history.close()
    assert await entries(History(path)) == []


async def test_what_a_composer_keeps(tmp_path: Path) -> None:
    path = tmp_path / "state" / "history"
    written(path, "earlier")
    history = History(path)
    async with desk(tmp_path, history=history) as at:
        await at.press(pasted("x" * 1_000), ENTER, pasted("y" * 30_000), ENTER)
        at.composer.begin_question("Token? ")
        await at.press("secret", ENTER)
        at.composer.end_question()
        await at.press(UP)
        assert at.composer.text == "y" * 30_000
        await at.press(UP, UP)
        assert at.composer.text == "earlier"
    assert await entries(History(path)) == ["[Pasted #2: 30,000 characters]", "x" * 1_000, "earlier"]


async def test_a_paste_is_not_taken_for_one_of_an_earlier_session(tmp_path: Path) -> None:
    path = tmp_path / "history"
    written(path, "[Pasted #1: 30,000 characters]")
    history = History(path)
    async with desk(tmp_path, history=history) as at:
        await at.press(pasted("z" * 30_000), ENTER)
        await at.press(UP, UP)
        assert at.composer.text == "[Pasted #1: 30,000 characters]"
