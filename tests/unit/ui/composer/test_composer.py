from __future__ import annotations

import math
from pathlib import Path

import pytest

from agent.ui.composer.history import History
from tests.unit.ui.composer.harness import (
    BACKSPACE,
    CTRL_A,
    CTRL_C,
    CTRL_D,
    CTRL_G,
    CTRL_J,
    CTRL_L,
    CTRL_R,
    DELETE,
    DOWN,
    ENTER,
    ESC,
    LEFT,
    SHIFT_ENTERS,
    SHIFT_TAB,
    UP,
    desk,
    pasted,
)

MODES = pytest.mark.parametrize("vi", [False, True], ids=["emacs", "vi"])


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@MODES
async def test_enter_submits_and_empties(tmp_path: Path, vi: bool) -> None:
    async with desk(tmp_path, vi=vi) as at:
        await at.press("fix the bug", ENTER, ENTER, "  ", ENTER)
        assert at.sent == ["fix the bug"]
        assert at.composer.text == "  "


@MODES
@pytest.mark.parametrize("newline", [ESC + ENTER, CTRL_J, "\\" + ENTER, *SHIFT_ENTERS], ids=repr)
async def test_newlines(tmp_path: Path, vi: bool, newline: str) -> None:
    async with desk(tmp_path, vi=vi) as at:
        await at.press("a", newline, "b", ENTER)
        assert at.sent == ["a\nb"]


@pytest.mark.parametrize("sequence", SHIFT_ENTERS)
async def test_shift_enter_in_pieces(tmp_path: Path, sequence: str) -> None:
    async with desk(tmp_path) as at:
        await at.feed("a")
        for piece in sequence:
            await at.feed(piece)
        await at.press("b")
        assert at.composer.text == "a\nb"
        assert at.actions_done() == []


async def test_backslash_and_enter_break_the_line_wherever_the_cursor_is(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.press("ab", LEFT, "\\", ENTER)
        assert (at.composer.text, at.sent) == ("a\nb", [])


async def test_a_backslash_elsewhere_is_text(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.press("a\\bc", LEFT, ENTER)
        assert at.sent == ["a\\bc"]


async def test_drawn_with_prompt_and_continuation(tmp_path: Path) -> None:
    async with desk(tmp_path, columns=20) as at:
        await at.press("one", CTRL_J, "two")
        assert await at.frame() == ["> one", "  two", "[status]"]
        await at.press(CTRL_J, "x" * 25)
        assert await at.frame() == ["> one", "  two", "  " + "x" * 18, "  " + "x" * 7, "[status]"]


@pytest.mark.parametrize(("rows", "most"), [(24, 8), (6, 3)])
async def test_grows_to_a_third_of_the_terminal(tmp_path: Path, rows: int, most: int) -> None:
    async with desk(tmp_path, rows=rows) as at:
        await at.press(*(f"{n}{CTRL_J}" for n in range(40)), "end")
        lines = await at.frame()
        assert len(lines) == most + 1
        assert lines[-2:] == ["  end", "[status]"]


@MODES
async def test_keys_that_ask_for_something(tmp_path: Path, vi: bool) -> None:
    async with desk(tmp_path, vi=vi) as at:
        await at.press("draft", CTRL_C, SHIFT_TAB, CTRL_G, "\x1a", CTRL_L)
        assert at.actions_done() == ["interrupt", "cycle_mode", "edit", "suspend"]
        assert at.composer.text == "draft"
        at.composer.clear()
        await at.press(CTRL_D)
        assert at.actions_done()[-1] == "leave"


async def test_ctrl_d_deletes_where_there_is_text(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.press("ab", CTRL_A, CTRL_D)
        assert at.composer.text == "b"
        assert at.actions_done() == []


async def test_esc_alone_is_told_after_a_moment(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.feed(ESC)
        await at.until(lambda: at.done == ["escape"])


async def test_esc_esc_rewinds_on_an_empty_composer(tmp_path: Path) -> None:
    clock = Clock()
    async with desk(tmp_path, clock=clock) as at:
        await at.press(ESC)
        clock.now_s += 0.5
        await at.press(ESC)
        assert at.actions_done() == ["escape", "rewind"]
        await at.press(ESC)
        clock.now_s += 0.7
        await at.press(ESC)
        assert at.actions_done() == ["escape", "rewind", "escape", "escape"]
        await at.press("draft", ESC, ESC)
        assert at.actions_done()[4:] == ["escape", "escape"]
        assert at.composer.text == "draft"


async def test_esc_esc_at_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.feed(ESC + ESC)
        await at.until(lambda: at.done == ["escape", "rewind"])


async def test_esc_in_vi_goes_to_navigation_first(tmp_path: Path) -> None:
    async with desk(tmp_path, vi=True) as at:
        await at.press("word", ESC, "x")
        assert at.composer.text == "wor"
        assert at.actions_done() == []
        await at.press("d", ESC)  # an operator that is given up
        assert at.actions_done() == []
        await at.press(ESC)
        assert at.actions_done() == ["escape"]
        await at.press(ENTER, "next")
        assert at.sent == ["wor"]
        assert at.composer.text == "next"


async def test_prompt_toolkits_own_keys_stay(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.press("one two", "\x17")  # Ctrl-W
        assert at.composer.text == "one "
        await at.press("\x19")  # Ctrl-Y
        assert at.composer.text == "one two"
        await at.press("\x1f")  # Ctrl-_
        assert at.composer.text == "one "
        await at.press(CTRL_A, ESC + "f", "!")
        assert at.composer.text == "one! "


@MODES
async def test_a_long_paste_is_folded_and_sent_whole(tmp_path: Path, vi: bool) -> None:
    log = "\r\n".join(f"line {n}\t\x1b[31mred\x00" for n in range(10_000))
    async with desk(tmp_path, vi=vi) as at:
        await at.press("see ", pasted(log), " and ", pasted("y" * 12_345), pasted("short\rone\x00"))
        folded = "see [Pasted #1: 10,000 lines] and [Pasted #2: 12,345 characters]short\none"
        assert at.composer.buffer.text == folded
        whole = "\n".join(f"line {n}\tred" for n in range(10_000))
        assert at.composer.text == f"see {whole} and {'y' * 12_345}short\none"
        await at.press(ENTER)
        assert at.sent == [f"see {whole} and {'y' * 12_345}short\none"]
        await at.press(UP, UP)
        assert at.composer.text == at.sent[0]


async def test_a_placeholder_goes_as_a_whole(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.press("a", pasted("x\n" * 50), BACKSPACE)
        assert at.composer.buffer.text == "a"
        await at.press("\x1f")
        assert at.composer.text == "a" + "x\n" * 50
        await at.press(CTRL_A, "\x1b[C", DELETE)
        assert at.composer.buffer.text == "a"
        await at.press("[Pasted #9: 50 lines]", BACKSPACE)
        assert at.composer.text == "a[Pasted #9: 50 lines"


@pytest.mark.parametrize("cut", ["\x17", ESC + BACKSPACE], ids=["Ctrl-W", "Alt-Backspace"])
async def test_a_placeholder_is_cut_and_yanked_as_a_whole(tmp_path: Path, cut: str) -> None:
    async with desk(tmp_path) as at:
        await at.press("a ", pasted("x\n" * 50), cut)
        assert at.composer.buffer.text == "a "
        await at.press("b\x19")
        assert at.composer.text == "a b" + "x\n" * 50


async def test_setting_the_text_folds_nothing_and_can_be_undone(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.press("before")
        at.composer.text = "x\r\n" * 20
        assert at.composer.buffer.text == "x\n" * 20
        await at.press("\x1f")
        assert at.composer.text == "before"


@MODES
async def test_a_question_puts_the_draft_aside(tmp_path: Path, vi: bool) -> None:
    async with desk(tmp_path, vi=vi) as at:
        await at.press("earlier", ENTER, "half a dr", LEFT, LEFT)
        cursor = at.composer.buffer.cursor_position
        at.composer.begin_question("Why? ", "be")
        assert at.composer.is_asking
        assert await at.frame() == ["Why? be", "[status]"]
        await at.press("cause", UP, CTRL_R, "/")
        assert at.composer.text == "because/"
        await at.press(BACKSPACE, ENTER, ENTER)
        assert at.sent == ["earlier", "because", ""]
        at.composer.end_question()
        assert not at.composer.is_asking
        assert (at.composer.text, at.composer.buffer.cursor_position) == ("half a dr", cursor)
        at.composer.clear()
        await at.press(UP)
        assert at.composer.text == "earlier"


async def test_a_question_offers_no_commands(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.composer.begin_question("Why? ")
        await at.press("/", "\t")
        assert await at.frame() == ["Why? /", "[status]"]


async def test_a_long_question_stands_above_its_answer(tmp_path: Path) -> None:
    async with desk(tmp_path, columns=20) as at:
        at.composer.begin_question("What\n\x1b[31mshould " + "really " * 9)
        await at.press("ok")
        lines = await at.frame()
        asked = lines.index("> ok")
        assert "".join(lines[:asked]).replace(" ", "") == "Whatshould" + "really" * 9


async def test_a_long_question_breaks_between_words(tmp_path: Path) -> None:
    async with desk(tmp_path, columns=20) as at:
        at.composer.begin_question("[y]es / [n]o, or type why not: ")
        assert await at.frame() == ["[y]es / [n]o, or", "type why not:", ">", "[status]"]
        at.composer.begin_question("What of 漢字漢字漢字漢字漢字漢字, then? ")
        assert await at.frame() == ["What of", "漢字漢字漢字漢字漢字", "漢字, then?", ">", "[status]"]


async def test_an_unsent_draft_is_kept_for_the_next_session(tmp_path: Path) -> None:
    path = tmp_path / "history"
    async with desk(tmp_path, history=History(path)) as at:
        await at.press("sent", ENTER, "half a", CTRL_J, pasted("x\n" * 50))
        at.composer.begin_question("Why? ")
        await at.press("an answer")
        at.composer.keep_draft()
    async with desk(tmp_path, history=History(path)) as at:
        at.composer.keep_draft()  # there is none
        await at.press(UP)
        assert at.composer.text == "half a\n" + "x\n" * 50
        at.composer.keep_draft()  # it is the last one already
    assert path.read_text().count("+half a") == 1


async def test_quiet_since_the_last_key_that_typed(tmp_path: Path) -> None:
    clock = Clock()
    async with desk(tmp_path, clock=clock) as at:
        assert at.composer.quiet_since_s == -math.inf
        await at.press("a")
        assert at.composer.quiet_since_s == 100.0
        clock.now_s = 101.0
        at.composer.text = "given"
        await at.press(LEFT)
        assert at.composer.quiet_since_s == 100.0
        at.composer.begin_question("Sure? ")
        await at.press("y")
        assert at.composer.quiet_since_s == 101.0
        at.composer.clear()
        assert at.composer.quiet_since_s == -math.inf


@MODES
async def test_history_by_arrows_and_search(tmp_path: Path, vi: bool) -> None:
    async with desk(tmp_path, vi=vi) as at:
        await at.press("train a model", ENTER, "list\\", ENTER, "jobs", ENTER, "draft")
        await at.press(UP)
        assert at.composer.text == "list\njobs"
        await at.press(UP, UP)
        assert at.composer.text == "train a model"
        await at.press(DOWN, DOWN, DOWN)
        assert at.composer.text == "draft"
        await at.press(CTRL_R, "TRAIN")
        assert await at.frame() == ["> train a model", "(search) TRAIN", "[status]"]
        await at.press(ENTER)
        assert at.composer.text == "train a model"
        assert len(at.sent) == 2


async def test_ctrl_c_in_a_search_leaves_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.press("older", ENTER, "draft", CTRL_R, "old", pasted("e\nr"), CTRL_C)
        assert at.actions_done() == ["submit", "interrupt"]
        assert await at.frame() == ["> draft", "[status]"]
