"""Writing at a real terminal: completion, several lines, history, the person's own editor, vi's keys, typing ahead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conversation import Talk, ask, assert_calm, lines_of, rest
from tests.e2e.harness import Terminal

ECHO: dict[str, Any] = {"when": "(?s).", "text": "Answered."}
"""A model that answers everything."""


def composed(terminal: Terminal, *lines: str) -> None:
    """Wait until these lines stand in the composer, cursor or not."""
    first, *more = lines
    expected = [f"> {first}".rstrip(), *(f"  {line}".rstrip() for line in more)]
    terminal.wait_until(lambda: "\n".join(["", *expected, ""]) in "\n".join(["", *terminal.screen(), ""]))


def test_files_and_commands_are_completed(talk: Talk, work: Path) -> None:
    (work / "src").mkdir()
    for name in ("src/train_model.py", "src/trainer notes.md", "README.md"):
        (work / name).write_text("")
    terminal = talk(ECHO)
    terminal.send("look at @trmo")
    terminal.wait_for(r"(?m)^ +src/train_model\.py$")
    terminal.key("tab")
    composed(terminal, "look at @src/train_model.py")
    terminal.key("enter")  # takes it
    terminal.key("enter")
    terminal.wait_for("Answered.")
    rest(terminal)
    assert len(lines_of(terminal, r"^> look at @src/train_model\.py$")) == 1

    terminal.send("/")
    terminal.wait_for(r"(?m)^  /\w+ .*\w\.$")
    terminal.send("stat")
    terminal.wait_for(r"(?m)^> /stat$\n^  /status +\w")
    terminal.key("esc")  # closes the menu, and keeps what is typed
    terminal.wait_until(lambda: not any(line.startswith("  /status") for line in terminal.screen()))
    terminal.key("ctrl-u").send("/mod")
    terminal.wait_for(r"(?m)^  /mode ")
    terminal.key("tab").key("tab").key("shift-tab")
    terminal.key("ctrl-u")
    rest(terminal)
    assert_calm(terminal)
    assert not lines_of(terminal, r"^  /mode ")  # no menu is left behind


def test_several_lines_are_written_and_sent_as_one_request(talk: Talk, work: Path) -> None:
    heard = {"when": "^one\ntwo\n\n  three\nfour$", "text": "All four."}
    terminal = talk({"text": "Not that."}, heard, ECHO)
    terminal.send("one").key("alt-enter").send("two\\").key("enter").key("alt-enter")
    terminal.send("  three").key("ctrl-j").send("four")
    composed(terminal, "one", "two", "", "  three", "four")
    terminal.key("enter")
    assert "All four." in terminal.wait_for(r"All four\.|Not that\.|Answered\.")
    rest(terminal)
    assert "> one\n  two\n\n    three\n  four\n" in "\n".join(terminal.scrollback())
    terminal.key("up")
    composed(terminal, "one", "two", "", "  three", "four")
    terminal.key("ctrl-c")
    rest(terminal)
    terminal.paste("short\npaste \x1b[2J[b]x[/b]")
    composed(terminal, "short", "paste [b]x[/b]")
    terminal.key("ctrl-c")
    rest(terminal)
    assert_calm(terminal)


def test_earlier_lines_are_found_again(talk: Talk) -> None:
    terminal = talk(ECHO)
    for number, text in enumerate(("train a small model", "how is the weather", "evaluate it"), 1):
        ask(terminal, text)
        terminal.wait_for("Answered.", count=number)
        rest(terminal)
    terminal.key("up").key("up")
    composed(terminal, "how is the weather")
    terminal.key("down").key("down")
    rest(terminal)
    terminal.key("ctrl-r").send("small")
    terminal.wait_for(r"(?m)^> train a small model\n\(search\) small")
    terminal.key("enter")
    terminal.wait_until(lambda: not any(line.startswith("(search)") for line in terminal.screen()))
    composed(terminal, "train a small model")
    terminal.key("enter")
    terminal.wait_for("Answered.", count=4)
    rest(terminal)
    assert len(lines_of(terminal, "^> train a small model$")) == 2
    terminal.key("ctrl-r").send("zzz").key("ctrl-c")
    rest(terminal)
    assert_calm(terminal)


def test_a_request_is_written_in_the_persons_editor(talk: Talk, tmp_path: Path) -> None:
    program = tmp_path / "ed"
    program.write_text('#!/bin/sh\ncp "$1" before\nprintf "first\\nsecond [b]\\n" > "$1"\n[ ! -e fail ]\n')
    program.chmod(0o755)
    terminal = talk(ECHO, more_env={"EDITOR": str(program)})
    terminal.send("draft")
    terminal.key("ctrl-g")
    composed(terminal, "first", "second [b]")
    assert (tmp_path / "project" / "before").read_text() == "draft"
    (tmp_path / "project" / "fail").touch()
    terminal.key("ctrl-u").key("backspace").key("ctrl-u").send("mine")
    composed(terminal, "mine")
    terminal.key("ctrl-g")
    terminal.wait_for(r"exit\s+code\s+1, so nothing")
    composed(terminal, "mine")
    terminal.key("enter")
    terminal.wait_for("Answered.")
    rest(terminal)
    assert_calm(terminal)


def test_output_that_was_cut_is_shown_in_full(talk: Talk) -> None:
    commands = (f"seq {start} {start + 29}" for start in (100, 200))
    calls = [{"tool_calls": [{"name": "bash", "arguments": {"command": command}}]} for command in commands]
    terminal = talk(*calls, {"text": "Counted."})
    terminal.key("ctrl-o")
    terminal.wait_for(r"There is no .*output")
    ask(terminal, "go")
    terminal.wait_for("Counted.")
    rest(terminal)
    assert "Ctrl-O shows all" in "\n".join(terminal.screen())
    assert not lines_of(terminal, r"^ +205$")
    terminal.key("ctrl-o")
    terminal.wait_for(r"(?m)^ +205$")
    terminal.key("ctrl-o")  # the one before
    terminal.wait_for(r"(?m)^ +105$")
    rest(terminal)
    assert lines_of(terminal, r"(?<=^  )[12]05$") == ["205", "105"]
    assert_calm(terminal)


def test_vi_keys_if_the_configuration_says_so(talk: Talk, tmp_path: Path) -> None:
    config = tmp_path / "vi.json"
    config.write_text('{"vi_mode": true}')
    terminal = talk(ECHO, args=("--config", str(config)))
    terminal.send("helo worle").key("esc")
    terminal.wait_for("> helo worle")
    terminal.send("xad")  # at the end: delete, append
    composed(terminal, "helo world")
    terminal.key("esc").send("0flal")
    composed(terminal, "hello world")
    column, _ = terminal.cursor()
    terminal.key("esc")
    terminal.wait_until(lambda: terminal.cursor()[0] == column - 1)  # as it does when insertion ends
    terminal.key("enter")
    terminal.wait_for("Answered.")
    rest(terminal)
    terminal.send("inserted at once")
    composed(terminal, "inserted at once")
    terminal.key("ctrl-c")
    rest(terminal)
    assert_calm(terminal)


@pytest.mark.parametrize("typed", ["hello there\r", "hello there\rsecond\r", "half a li"])
def test_what_is_typed_before_the_program_is_up_is_taken_once(
    env: dict[str, str], tmp_path: Path, work: Path, typed: str
) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps(ECHO))
    with Terminal(["-m", f"replay/{script}"], env, cwd=work) as terminal:
        terminal.send(typed)
        *whole, rest_of_it = typed.split("\r")
        if whole:
            terminal.wait_for("Answered.", count=len(whole))
            rest(terminal)
        else:
            composed(terminal, rest_of_it)
            terminal.key("ctrl-u")
            rest(terminal)
        assert lines_of(terminal, r"(?<=^> )\w.*") == whole
        assert_calm(terminal)


def test_a_quick_escape_and_enter_of_vi_send_the_text(talk: Talk) -> None:
    terminal = talk(ECHO, more_env={"ML_INTERN_VI_MODE": "true"})
    terminal.send("hello").key("esc")
    terminal.wait_until(lambda: terminal.cursor()[0] == len("> hell"), 0.2)
    terminal.key("enter")
    terminal.wait_for("Answered.", 5)
