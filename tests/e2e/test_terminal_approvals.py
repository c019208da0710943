"""What a person can answer when the agent asks, at a real terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conversation import Talk, ask, asked, assert_calm, lines_of, rest
from tests.e2e.terminal import Terminal


def bash(command: str) -> dict[str, Any]:
    return {"tool_calls": [{"name": "bash", "arguments": {"command": command}}]}


def heard(text: str, answer: str) -> dict[str, Any]:
    """The model says `answer` to whatever ends with something that has `text` in it."""
    return {"when": re.escape(text), "text": answer}


def editor(path: Path, script: str) -> str:
    """A program that stands for the person's editor: it is given the file as $1."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_what_is_typed_is_given_as_the_reason_verbatim_and_shown_once(talk: Talk, work: Path) -> None:
    reason = "NOT now,  Bob: [b]use[/b] `make` – „später“"
    terminal = talk(bash("touch made"), {"text": "Not heard."}, heard(reason, "As you wish."))
    ask(terminal, "go")
    asked(terminal)
    terminal.send("not").key("esc")  # empties the answer
    asked(terminal)
    ask(terminal, "ok")  # neither a yes nor a reason
    terminal.wait_for(r"why not ok")
    asked(terminal)
    ask(terminal, "/budget")  # looking something up is no answer
    terminal.wait_for(r"no cap")
    asked(terminal)
    ask(terminal, "/new")
    terminal.wait_for("Answer this first")
    asked(terminal)
    ask(terminal, reason)
    terminal.wait_for("As you wish.")
    rest(terminal)
    assert not (work / "made").exists()
    assert len(lines_of(terminal, re.escape(f"why not {reason}"))) == 1
    assert_calm(terminal)


def test_always_holds_for_what_its_rule_says_and_for_nothing_else(talk: Talk, work: Path) -> None:
    calls = (bash("touch one"), bash("touch two three"), bash("mkdir four"))
    terminal = talk(*calls, {"text": "Finished."})
    ask(terminal, "go")
    assert "always would add the rule: bash(touch *)" in asked(terminal)
    ask(terminal, "A")
    terminal.wait_for(r"(?m)^  mkdir four$")  # the second one has not been asked about
    asked(terminal)
    assert (work / "three").exists()
    ask(terminal, "y")
    terminal.wait_for("Finished.")
    rest(terminal)
    assert (work / "four").is_dir()
    assert lines_of(terminal, r"^Approval.*") == ["Approval: bash"] * 2
    assert lines_of(terminal, r"^✓ bash  \w+ \w+") == ["✓ bash  touch one", "✓ bash  touch two", "✓ bash  mkdir four"]


def test_several_calls_are_asked_about_one_by_one(talk: Talk, work: Path) -> None:
    both = {"tool_calls": [*bash("touch one")["tool_calls"], *bash("touch two")["tool_calls"]]}
    terminal = talk(both, {"text": "One of them."})
    ask(terminal, "go")
    assert "Approval 1 of 2" in asked(terminal)
    ask(terminal, "n")
    terminal.wait_for("Approval 2 of 2")
    asked(terminal)
    ask(terminal, "y")
    terminal.wait_for("One of them.")
    assert not (work / "one").exists()
    assert (work / "two").exists()


def edited(talk: Talk, tmp_path: Path, *asides: dict[str, Any]) -> Terminal:
    """The agent wants `touch made`; the person makes `touch mine` of it and is about to be asked again."""
    replace = editor(tmp_path / "my editor", 'cp "$1" opened; sed -i s/made/mine/ "$1"')
    script = (bash("touch made"), {"text": "Not told."}, *asides)
    terminal = talk(*script, more_env={"EDITOR": f"'{replace}'"})
    ask(terminal, "go")
    assert "[e]dit" in asked(terminal)
    ask(terminal, "e")
    terminal.wait_for("what you changed:")
    asked(terminal)
    return terminal


def test_a_command_is_edited_before_it_runs(talk: Talk, work: Path, tmp_path: Path) -> None:
    terminal = edited(talk, tmp_path, heard("[The person changed this call", "I see."))
    shown = "\n".join(terminal.screen())
    assert re.search(r"what you changed:[\s\S]*-touch made\n[\s\S]*\+touch mine\n", shown), shown
    assert "rule" not in shown.split("what you changed")[1]  # it is not the call that the rule was made for
    assert not any((work / name).exists() for name in ("made", "mine"))
    ask(terminal, "y")
    terminal.wait_for("I see.")
    rest(terminal)
    assert (work / "opened").read_text() == "touch made"
    assert (work / "mine").exists()
    assert not (work / "made").exists()
    assert_calm(terminal)


def test_what_is_shown_as_run_is_what_was_run(talk: Talk, tmp_path: Path) -> None:
    terminal = edited(talk, tmp_path)
    ask(terminal, "y")
    terminal.wait_for("Not told.")
    assert lines_of(terminal, r"^✓ bash  .*(?=  0)") == ["✓ bash  touch mine"]


def test_the_model_is_told_what_was_run_in_place_of_its_command(talk: Talk, tmp_path: Path) -> None:
    terminal = edited(talk, tmp_path, heard("touch mine", "I see: mine."))
    ask(terminal, "y")
    assert "I see: mine." in terminal.wait_for(r"I see: mine\.|Not told\.")


@pytest.mark.parametrize("program", ["", "/nowhere/editor", "exit 3"])
def test_an_editor_that_fails_changes_nothing_and_it_is_asked_again(
    talk: Talk, work: Path, tmp_path: Path, program: str
) -> None:
    if program == "exit 3":
        program = editor(tmp_path / "failing", 'echo "touch mine" > "$1"; exit 3')
    path = "/nowhere" if not program else None  # no editor anywhere
    more_env = {"EDITOR": program} | ({"PATH": path} if path else {})
    terminal = talk(bash("touch made"), {"text": "Fine."}, more_env=more_env)
    ask(terminal, "go")
    asked(terminal)
    ask(terminal, "e")
    terminal.wait_for(r"There is no editor|does not start|ended\s+with\s+exit\s+code 3")
    shown = terminal.wait_for(r"\[y\]es / \[n\]o", count=2)  # what is asked about stands above still
    assert "touch made" in shown
    assert "touch mine" not in shown
    ask(terminal, "n")
    terminal.wait_for("Fine.")
    assert not any((work / name).exists() for name in ("made", "mine"))


def test_leaving_a_question_stops_the_turn_and_the_conversation_goes_on(talk: Talk, work: Path) -> None:
    asking = [bash("touch made")] * 3
    terminal = talk(*asking, {"text": "Still here."})
    for number, key in enumerate(("esc", "ctrl-c", "ctrl-d"), 1):
        ask(terminal, f"go {number}")
        terminal.wait_for("Approval: bash", count=number)
        asked(terminal)
        terminal.key(key)
        terminal.wait_for("Interrupted", count=number)
        rest(terminal)
    ask(terminal, "are you there?")
    terminal.wait_for("Still here.")
    rest(terminal)
    assert not (work / "made").exists()
    assert_calm(terminal)
