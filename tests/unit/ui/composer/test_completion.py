from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ui.composer.completion import CommandHint
from agent.ui.composer.files import FileIndex
from agent.ui.composer.ranking import best_matches
from tests.unit.ui.composer.harness import (
    BACKSPACE,
    CTRL_C,
    CTRL_J,
    DOWN,
    ENTER,
    ESC,
    SHIFT_TAB,
    TAB,
    UP,
    Desk,
    desk,
)

MODES = pytest.mark.parametrize("vi", [False, True], ids=["emacs", "vi"])
NAMES = st.text(st.sampled_from("abAB/._-é漢*[^\\"), max_size=12)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name in ("train.py", "src/model.py", "src/data/train_set.txt", "notes/my notes.md", "node_modules/x/train.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def shown(at: Desk) -> list[str]:
    state = at.composer.buffer.complete_state
    return [one.display_text for one in state.completions] if state else []


async def type_to_menu(at: Desk, keys: str) -> list[str]:
    await at.press(keys)
    await at.until(at.composer.has_menu)
    return shown(at)


@MODES
async def test_commands_are_offered_with_their_help(tmp_path: Path, vi: bool) -> None:
    async with desk(tmp_path, vi=vi) as at:
        assert await type_to_menu(at, "/e") == ["/effort [level]", "/help", "/model [name]"]
        await at.press(DOWN)
        assert await at.frame() == [
            "> /effort",
            "› /effort [level]  How hard the model thinks.",
            "  /help            Show all commands.",
            "  /model [name]    Choose a model.",
            "[status]",
        ]


@MODES
async def test_enter_takes_the_chosen_one_and_then_submits(tmp_path: Path, vi: bool) -> None:
    async with desk(tmp_path, vi=vi) as at:
        await type_to_menu(at, "/ef")
        await at.press(TAB, ENTER)
        assert (at.composer.text, at.sent) == ("/effort ", [])
        await at.until(at.composer.has_menu)
        assert shown(at) == ["low", "medium", "high"]  # as they were given
        await at.press(UP, ENTER, ENTER)
        assert at.sent == ["/effort high"]


@MODES
async def test_enter_takes_the_first_command_for_a_part_of_a_name(tmp_path: Path, vi: bool) -> None:
    async with desk(tmp_path, vi=vi) as at:
        await type_to_menu(at, "/mod")
        await at.press(ENTER)
        assert (at.composer.text, at.sent) == ("/model ", [])
        at.composer.clear()
        await type_to_menu(at, "/h")
        await at.press(ENTER)
        assert (at.composer.text, at.sent) == ("/help", [])  # nobody has said it whole
        await at.press(ENTER)
        assert at.sent == ["/help"]
        assert await at.frame() == [">", "[status]"]


async def test_enter_submits_a_chosen_command_that_takes_no_argument(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await type_to_menu(at, "/e")
        await at.press(DOWN, DOWN, ENTER)
        assert at.sent == ["/help"]


@pytest.mark.parametrize("name", ["/mode", "/MODE", "/style"])
async def test_enter_submits_a_name_as_it_is(tmp_path: Path, name: str) -> None:
    commands = (CommandHint("mode", "[mode]", aliases=("style",)), CommandHint("model"), CommandHint("mystyle"))
    async with desk(tmp_path, commands=commands) as at:
        await type_to_menu(at, name)
        await at.press(ENTER)
        assert at.sent == [name]


async def test_enter_submits_a_part_of_a_name_where_no_menu_is_open(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await type_to_menu(at, "/mod")
        await at.press(ESC)
        await at.press(ENTER, "/xq", ENTER)
        assert at.sent == ["/mod", "/xq"]


async def test_enter_submits_while_files_are_offered(workspace: Path) -> None:
    async with desk(workspace) as at:
        await type_to_menu(at, "@tra")
        await at.press(ENTER)
        assert at.sent == ["@tra"]


async def test_commands_that_begin_so_come_first_each_kind_by_name(tmp_path: Path) -> None:
    names = ("resume", "new", "help", "export", "effort", "e-mail-long", "wxexh")
    async with desk(tmp_path, commands=[CommandHint(name) for name in names]) as at:
        found = await type_to_menu(at, "/ex")
        assert found == ["/export", "/wxexh"]
        await at.press(BACKSPACE)
        await at.until(at.composer.has_menu)
        assert shown(at) == ["/e-mail-long", "/effort", "/export", "/help", "/new", "/resume", "/wxexh"]
        await at.press(BACKSPACE)
        await at.until(at.composer.has_menu)
        assert shown(at) == [f"/{name}" for name in sorted(names)]


@pytest.mark.parametrize(
    ("keys", "taken"),
    [("/he", "/help"), ("/e", "/effort "), ("see @tra", "see @train.py "), ("/help", "/help"), ("@zzz", "@zzz")],
)
async def test_tab_right_after_the_letters_takes_the_first(workspace: Path, keys: str, taken: str) -> None:
    async with desk(workspace) as at:
        await at.press(keys + TAB)
        await at.until(lambda: at.composer.text == taken)
        await at.press("!")
        assert at.composer.text == f"{taken}!"


async def test_tab_takes_nothing_for_a_text_that_has_changed(workspace: Path) -> None:
    async with desk(workspace) as at:
        await at.press("@tr" + TAB + "a")
        await at.until(at.composer.has_menu)
        assert at.composer.text == "@tra"


@MODES
async def test_esc_closes_the_menu_only(tmp_path: Path, vi: bool) -> None:
    async with desk(tmp_path, vi=vi) as at:
        await type_to_menu(at, "/mo")
        await at.press(TAB, ESC)
        assert at.composer.text == "/mo"
        assert await at.frame() == ["> /mo", "[status]"]
        assert at.actions_done() == []
        assert await type_to_menu(at, "d") == ["/model [name]"]


async def test_shift_tab_goes_back_in_a_menu(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await type_to_menu(at, "/e")
        await at.press(TAB, TAB, SHIFT_TAB)
        assert at.composer.text == "/effort "
        assert at.actions_done() == []


async def test_deleting_offers_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await type_to_menu(at, "/helpx" + BACKSPACE + BACKSPACE)
        assert shown(at) == ["/help"]
        await at.press(TAB)
        assert at.composer.text == "/help"


@pytest.mark.parametrize("text", ["a/", "see /h", "/home/", CTRL_J + "/h", "me@ho", "/model x"])
async def test_where_nothing_is_meant_nothing_is_offered(workspace: Path, text: str) -> None:
    async with desk(workspace) as at:
        await at.press(text, TAB)
        assert not at.composer.wants_completion()
        assert at.composer.buffer.complete_state is None


async def test_files_after_an_at_sign(workspace: Path) -> None:
    async with desk(workspace) as at:
        assert await type_to_menu(at, "look at @train") == ["train.py", "src/data/train_set.txt"]
        await at.press(TAB, ENTER, "and @mynot")
        await at.until(at.composer.has_menu)
        await at.press(TAB, ENTER, ENTER)
        assert at.sent == ['look at @train.py and @"notes/my notes.md" ']


async def test_a_directory_leads_on(workspace: Path) -> None:
    async with desk(workspace) as at:
        assert (await type_to_menu(at, "@src"))[0] == "src/"
        await at.press(TAB, ENTER)
        await at.until(at.composer.has_menu)
        assert at.composer.text == "@src/"
        assert shown(at) == ["src/data/", "src/model.py", "src/data/train_set.txt"]
        await at.press(DOWN, ENTER)
        assert at.composer.text == "@src/data/"


async def test_a_quote_begins_a_path_with_blanks(workspace: Path) -> None:
    async with desk(workspace) as at:
        assert await type_to_menu(at, 'in @"my n') == ["notes/my notes.md"]
        await at.press(TAB)
        assert at.composer.text == 'in @"notes/my notes.md" '


async def test_a_long_menu_scrolls_and_is_cut_to_the_width(tmp_path: Path) -> None:
    commands = tuple(CommandHint(f"command-{n:02}", "[argument]", "Help. " * 20) for n in range(30))
    async with desk(tmp_path, commands=commands, columns=40) as at:
        await type_to_menu(at, "/c")
        lines = await at.frame()
        assert len(lines) == 11
        assert all(len(line) <= 40 for line in lines)
        assert lines[9] == "  ↓ 22 more"
        await at.press(UP)
        lines = await at.frame()
        assert lines[8].startswith("› /command-29")
        assert lines[9] == "  ↑ 22 more"


@pytest.mark.parametrize("rows", [2, 3, 4, 10])
@pytest.mark.parametrize("count", [1, 8, 9])
async def test_all_entries_can_be_reached_in_any_room(tmp_path: Path, rows: int, count: int) -> None:
    commands = tuple(CommandHint(f"command-{n}") for n in range(count))
    async with desk(tmp_path, commands=commands, rows=rows) as at:
        await type_to_menu(at, "/c")
        for command in commands:
            await at.press(DOWN)
            lines = await at.frame()
            assert rows < 3 or f"› /{command.name}" in lines
            assert any("more" in line for line in lines) == (rows > 3 and count > min(8, rows - 2))


async def test_lines_do_not_come_and_go_while_typing(workspace: Path) -> None:
    async with desk(workspace) as at:
        await type_to_menu(at, "@")
        at.heights.clear()
        for key in "tra":
            await at.feed(key)
            await at.until(lambda: not at.app.invalidated)
        await at.until(lambda: shown(at) == ["train.py", "src/data/train_set.txt"])
        assert min(at.heights) > 2


async def test_foreign_names_cannot_draw(tmp_path: Path) -> None:
    for name in ("a\x1b[2J.txt", 'a"b.txt', "a\nb.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / os.fsdecode(b"a\xff.txt")).write_text("")
    (tmp_path / "a.txt").write_text("")
    assert FileIndex(tmp_path).search("a") == ["a.txt"]


async def test_ctrl_c_is_told_with_a_menu_open(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await type_to_menu(at, "/h")
        await at.press(CTRL_C)
        assert at.actions_done() == ["interrupt"]


# --- the index --------------------------------------------------------------------------------------------------------


def test_without_git_what_is_never_meant_is_left_out(workspace: Path) -> None:
    assert FileIndex(workspace).search("") == [
        "src/", "notes/", "train.py", "src/data/", "src/model.py", "notes/my notes.md", "src/data/train_set.txt",
    ]  # fmt: skip


def test_with_git_what_it_ignores_is_left_out(workspace: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=workspace, check=True)
    (workspace / ".gitignore").write_text("*.txt\nnode_modules\n")
    subprocess.run(["git", "add", "train.py"], cwd=workspace, check=True)
    assert FileIndex(workspace).search("t") == ["train.py", "notes/", ".gitignore", "notes/my notes.md"]
    assert FileIndex(workspace / "src").search("") == ["model.py"]


def test_git_runs_no_program_of_the_repository(workspace: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=workspace, check=True)
    monitor = workspace / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch '{workspace}/was run'\n")
    monitor.chmod(0o755)
    subprocess.run(["git", "config", "core.fsmonitor", str(monitor)], cwd=workspace, check=True)
    assert "train.py" in FileIndex(workspace).search("")
    assert not (workspace / "was run").exists()


@pytest.mark.parametrize("with_git", [False, True])
def test_a_huge_tree_is_cut(workspace: Path, with_git: bool) -> None:
    if with_git:
        subprocess.run(["git", "init", "-q"], cwd=workspace, check=True)
    assert len(FileIndex(workspace, max_entries=3).search("")) == 3


async def test_an_old_list_is_used_until_a_new_one_is_there(workspace: Path) -> None:
    now_s = [0.0]
    index = FileIndex(workspace, clock=lambda: now_s[0])
    assert "new.py" not in index.search("")
    (workspace / "new.py").write_text("")
    now_s[0] = 4.9
    assert "new.py" not in index.search("")
    now_s[0] = 5.0
    while "new.py" not in index.search("new"):
        pass


# --- ranking ----------------------------------------------------------------------------------------------------------


@given(NAMES, st.lists(NAMES, max_size=30), st.integers(0, 10))
def test_whatever_is_found_contains_the_query_in_order(query: str, names: list[str], limit: int) -> None:
    found = best_matches(query, ((name.lower(), name) for name in names), limit)

    def contains(name: str) -> bool:
        left = iter(name.lower())
        return all(char in left for char in query.lower())

    assert len(found) == min(limit, sum(map(contains, names)))
    assert all(map(contains, found))


def test_the_likeliest_first() -> None:
    names = ["d/xmain.py", "src/main/a.py", "src/main.py", "main.py", "my/a/i/n.py", "MAIN_LONGER.md", "other"]
    found = best_matches("main", [(name.lower(), name) for name in names], 50)
    assert found == ["main.py", "src/main.py", "MAIN_LONGER.md", "d/xmain.py", "src/main/a.py", "my/a/i/n.py"]
    assert best_matches("src/m", [(name.lower(), name) for name in names], 1) == ["src/main.py"]
