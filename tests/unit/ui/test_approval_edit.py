"""Editing a call before answering."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.protocol.events import ApprovalItem
from agent.protocol.operations import ApprovalAnswer
from agent.ui.approval_panel import (
    EDIT,
    answer_for,
    editor_suffix,
    editor_text,
    parse_answer,
    prompt_hint,
    render_item,
    with_edited,
)
from tests.unit.ui.samples import assert_calm, printed, recording_console

BASH = ApprovalItem(
    "bash",
    {"command": "rm -r build\nmake", "timeout": 5},
    "1",
    "it changes something",
    always_rule="bash(make *)",
    hints=("deletes files (rm -r build)",),
    editable="command",
)


def panel(item: ApprovalItem) -> str:
    console = recording_console(80)
    render_item(console, item, 1, 1)
    return printed(console)


@pytest.mark.parametrize("text", ["e", "E", " edit ", "EDIT"])
def test_e_opens_the_editor_where_something_can_be_edited(text: str) -> None:
    assert parse_answer(text, BASH) is EDIT
    assert parse_answer(text, replace(BASH, editable=None)) is None
    assert prompt_hint(BASH) == "[y]es / [n]o / [a]lways / [e]dit / or type why not"


def test_the_editor_gets_the_argument_as_it_is() -> None:
    assert (editor_text(BASH), editor_suffix(BASH)) == ("rm -r build\nmake", ".sh")
    write = ApprovalItem("write", {"path": "a/train.py", "content": "x\x1b"}, "1", editable="content")
    assert (editor_text(write), editor_suffix(write)) == ("x\x1b", ".py")
    assert editor_suffix(replace(write, arguments={"path": "a/x.p y", "content": "x"})) == ".txt"


def test_an_edited_call_is_shown_with_what_changed() -> None:
    edited = with_edited(BASH, "make\n", hints=("runs make",))
    assert panel(edited) == (
        "\nApproval: bash\n"
        "why: it changes something\n"
        "! runs make\n"
        "\n  make\n  timeout: 5\n"
        "  what you changed:\n"
        "  --- as the agent wrote it\n  +++ as you changed it\n  @@ -1,2 +1 @@\n  -rm -r build\n   make\n"
    )
    assert_calm(panel(with_edited(BASH, "a\x1b[2Jb\u202e")), 80)


def test_an_edited_file_is_shown_whole_with_what_changed() -> None:
    diff = "--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+one\n"
    item = ApprovalItem("write", {"path": "x", "content": "one\n"}, "1", preview=diff, editable="content")
    shown = panel(with_edited(item, "two\n"))
    assert "+one" not in shown
    assert "  two\n" in shown
    assert "  -one\n  +two\n" in shown


def test_nothing_that_was_said_of_the_first_text_is_said_of_the_second() -> None:
    edited = with_edited(replace(BASH, preview="about the first"), "rm -r /other")
    assert (edited.preview, edited.always_rule, edited.hints) == (None, None, ())
    assert edited.arguments == {"command": "rm -r /other", "timeout": 5}
    assert BASH.arguments["command"] == "rm -r build\nmake"
    assert parse_answer("a", edited) is None


def test_text_left_as_it_was_is_the_call_as_it_was() -> None:
    assert with_edited(BASH, "rm -r build\nmake") is BASH
    again = with_edited(with_edited(BASH, "make"), "rm -r build\nmake")
    assert again is BASH
    looked_at = ApprovalItem("edit", {"path": "x"}, "1", preview="diff")
    assert with_edited(looked_at, "whatever") is looked_at


def test_a_second_edit_is_compared_with_what_the_agent_wrote() -> None:
    twice = with_edited(with_edited(BASH, "make"), "make all")
    assert "  -rm -r build\n  -make\n  +make all\n" in panel(twice)


def test_a_yes_carries_the_edited_text() -> None:
    edited = with_edited(BASH, "make")
    yes, no = ApprovalAnswer("1", True), ApprovalAnswer("1", False, feedback="No, do not")
    assert answer_for(BASH, edited, yes) == ApprovalAnswer("1", True, edited_script="make")
    assert answer_for(BASH, edited, no) == no
    assert answer_for(BASH, BASH, yes) == yes


def test_only_line_ends_and_very_long_texts() -> None:
    assert "only line ends changed" in panel(with_edited(BASH, "rm -r build\r\nmake"))
    long = replace(BASH, arguments={"command": "x\n" * 3000})
    assert "3,000 lines became 3,001; too many to compare" in panel(with_edited(long, "x\n" * 3001))
