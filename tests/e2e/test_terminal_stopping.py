"""Ctrl-C, Esc, Ctrl-D and Ctrl-Z at a real terminal: at rest, while the model answers, while a tool runs."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conversation import (
    STATUS_LINE,
    Talk,
    ask,
    assert_calm,
    assert_once_in_order,
    bash,
    lines_of,
    rest,
    said,
    take_turn,
    with_server,
)
from tests.e2e.harness import COMMAND, Terminal
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI


def test_what_was_said_before_a_stop_stays_exactly_once_and_the_model_knows_it(
    talk: Talk, openai_server: FakeOpenAI, work: Path
) -> None:
    terminal = with_server(talk, openai_server)
    code = "Whole one.\n\n", "Begun two:\n\n```python\na = 1\n\n", "b = 2\nc = ", "3\n```\n"
    for number, key in enumerate(("ctrl-c", "esc"), 1):
        openai_server.script(reply.stall_after(3, reply.text(*code)))
        ask(terminal, f"go {number}")
        terminal.wait_for(r"(?m)c =$", count=number)
        terminal.key(key)
        terminal.wait_for("Interrupted", count=number)
        rest(terminal)
        expected = ["Whole one.", "Begun two:", "a = 1", "b = 2", "c ="] * number
        assert_once_in_order(terminal, expected, r"Whole one\.|Begun two:|a = 1|b = 2|c =")
        assert_calm(terminal)
    take_turn(terminal, openai_server, "go on", reply.text("Going on."))
    assert any("Begun two" in text for text in said(openai_server.chat_requests[-1], "assistant"))

    openai_server.script(bash("grep -c x /dev/null; touch up; sleep 600"), reply.text("Never asked for."))
    ask(terminal, "/yolo on")
    terminal.wait_for("yolo · ")
    ask(terminal, "work")
    terminal.wait_until(lambda: (work / "up").exists())
    terminal.key("ctrl-c")
    terminal.wait_for("Interrupted", count=3)
    rest(terminal)
    terminal.assert_no_children()
    (line,) = lines_of(terminal, r"^[^>].*touch up.*")
    assert line.startswith("✗ bash")
    assert "interrupted" in line
    assert openai_server.remaining == 1
    ask(terminal, "and now?")
    terminal.wait_for("Never asked for.")  # it is, now
    assert any("interrupted" in text.lower() for text in said(openai_server.chat_requests[-1], "tool"))
    rest(terminal)

    openai_server.script(reply.stall_after(1, reply.text("Wait for ", "the end.")))
    ask(terminal, "one more")
    terminal.wait_for("Wait for")
    terminal.key("ctrl-d")
    terminal.wait_for("Leaving when this is done")
    openai_server.resume()
    assert terminal.exit_code() == 0
    assert len(lines_of(terminal, "Wait for the end.")) == 1
    assert not [line for line in terminal.screen() if STATUS_LINE.match(line)]  # nothing live is left behind


def test_ctrl_c_and_ctrl_d_with_text_in_the_composer_do_not_leave(talk: Talk) -> None:
    terminal = talk({"text": "Here."})
    terminal.send("half a thought").key("ctrl-d").key("ctrl-c")
    rest(terminal)
    ask(terminal, "hi")
    terminal.wait_for("Here.")
    rest(terminal)
    assert not lines_of(terminal, "half a thought")
    terminal.key("ctrl-c")
    terminal.wait_for("Press Ctrl-C again to leave")
    terminal.key("ctrl-c")
    assert terminal.exit_code() == 0
    assert len(lines_of(terminal, "ml-intern --resume")) == 1
    assert not [line for line in terminal.scrollback() if STATUS_LINE.match(line) or line == ">"]


def test_ctrl_z_at_rest_gives_the_shell_and_fg_comes_back(env: dict[str, str], work: Path) -> None:
    shell = ("bash", "--norc", "--noprofile", "-i")
    with Terminal([], env | {"PS1": "shell$ "}, cwd=work, command=shell) as terminal:
        terminal.wait_for("shell$ ")
        ask(terminal, f"{COMMAND[0]} -m replay/demo")
        rest(terminal)
        terminal.send("half")
        terminal.wait_for(r"(?m)^> half$")
        terminal.key("ctrl-z")
        terminal.wait_for("Stopped")
        ask(terminal, "echo in the $((1 + 1))nd shell; fg")
        terminal.wait_for("in the 2nd shell")
        terminal.wait_until(lambda: "> half" in terminal.screen())
        terminal.key("ctrl-u")
        rest(terminal)
        assert len(lines_of(terminal, STATUS_LINE.pattern)) <= 2  # one may stay above the shell's lines
        ask(terminal, "/status")
        terminal.wait_for("Approval:")
        terminal.key("ctrl-d")
        terminal.wait_for(r"(?m)^shell\$ $")
