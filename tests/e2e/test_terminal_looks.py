"""Plain lines, colours or none, light grounds, one's own status line, the first start: at a real terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conversation import (
    STATUS_LINE,
    Talk,
    ask,
    asked,
    assert_calm,
    assert_once_in_order,
    colours,
    lines_of,
    rest,
    sequences,
)
from tests.e2e.terminal import Terminal
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI

ANSWER = "# Title\n\nSome **bold** and `code`.\n\n```python\nx = 1  # note\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
HAS_COLOUR = re.compile(rb"(?:^|;)(?:3[0-7]|9[0-7]|4[0-7]|10[0-7]|[34]8)(?:;|$)")


def bash(command: str) -> dict[str, Any]:
    return {"tool_calls": [{"name": "bash", "arguments": {"command": command}}]}


def converse(terminal: Terminal) -> None:
    """An answer with everything in it, a failing command, and a command that is asked about and refused."""
    ask(terminal, "go")
    terminal.wait_for(r"\[y\]es / \[n\]o")
    asked(terminal)
    ask(terminal, "n")
    terminal.wait_for("The end")
    rest(terminal)


SCRIPT = ({"text": ANSWER, **bash("ls nowhere")}, bash("touch made"), {"text": "The end."})


@pytest.mark.parametrize("how", ["--plain", "TERM=dumb", "ML_INTERN_PLAIN"])
def test_plain_lines_have_no_control_sequences_and_do_everything(talk: Talk, work: Path, how: str) -> None:
    args = ("--plain",) if how == "--plain" else ()
    more_env = {"TERM=dumb": {"TERM": "dumb"}, "ML_INTERN_PLAIN": {"ML_INTERN_PLAIN": "true"}}.get(how, {})
    script = (*SCRIPT[:2], {"text": "Then once more."}, bash("touch yes"), {"text": "Yes."}, bash("sleep 600"))
    terminal = talk(*script, {"text": "Still here."}, args=args, more_env=more_env)
    ask(terminal, "go")
    terminal.wait_for(r"\[y\]es / \[n\]o")
    ask(terminal, "not like this")
    terminal.wait_for(r"(?m)^Then once more\.\s+^> $")
    ask(terminal, "again")
    terminal.wait_for(r"(?m)touch yes\n[\s\S]*why not $")
    ask(terminal, "y")
    terminal.wait_for(r"(?m)^Yes\.\s+^> $")
    assert (work / "yes").exists()
    assert not (work / "made").exists()
    ask(terminal, "/yolo on")
    terminal.wait_for(r"Mode yolo")
    ask(terminal, "sleep")
    terminal.wait_for(r"(?m)^running bash +sleep 600")
    terminal.key("ctrl-c")
    terminal.wait_for(r"(?m)^Interrupted\s+^> $")
    ask(terminal, "there?")
    terminal.wait_for(r"(?m)^Still here\.\s+^> $")
    # Nothing moves the cursor or clears anything; colours are another matter, below.
    assert sequences(terminal.raw_output()) <= (set() if how == "TERM=dumb" else {b"m"})
    assert not lines_of(terminal, "[✓✗▸○│─•]")
    assert_once_in_order(terminal, ["Title", "Some bold and code.", "x = 1"], r"Title|Some .*bold.*code.*\.|x = 1")
    terminal.key("ctrl-d")
    assert terminal.exit_code() == 0
    terminal.assert_no_children()


def test_plain_lines_have_no_escape_sequences_at_all(talk: Talk) -> None:
    terminal = talk({"text": ANSWER}, args=("--plain",))
    ask(terminal, "hi")
    terminal.wait_for(r"(?m)^1 \| 2\s+^> $")
    assert b"\x1b" not in terminal.raw_output()


def test_a_line_that_is_typed_in_plain_mode_stands_there_once(talk: Talk) -> None:
    terminal = talk({"text": "Hello."}, args=("--plain",))
    ask(terminal, "hi there")
    terminal.wait_for(r"(?m)^Hello\.\s+^> $")
    assert len(lines_of(terminal, "hi there")) == 1


def test_no_color_means_no_colours_but_the_same_screen(talk: Talk) -> None:
    terminal = talk(*SCRIPT, more_env={"NO_COLOR": "1"})
    converse(terminal)
    assert not [one for one in colours(terminal.raw_output()) if HAS_COLOUR.search(one)]
    assert_calm(terminal)
    assert "Some bold and code." in "\n".join(terminal.scrollback())


@pytest.mark.parametrize(
    ("args", "more_env"), [(("--theme", "light"), {}), ((), {"COLORFGBG": "0;15"}), ((), {"ML_INTERN_THEME": "light"})]
)
def test_a_light_ground_gets_no_colours_that_cannot_be_read_on_it(
    talk: Talk, args: tuple[str, ...], more_env: dict[str, str]
) -> None:
    terminal = talk(*SCRIPT, args=args, more_env=more_env)
    converse(terminal)
    used = {part for one in colours(terminal.raw_output()) for part in one.split(b";")}
    assert {b"34", b"32"} <= used  # code and tools; the mode
    assert not used & {b"33", b"37", b"36", b"93", b"96", b"97", b"40", b"47"}, used
    assert_calm(terminal)


def test_the_theme_is_changed_in_the_middle(talk: Talk) -> None:
    terminal = talk({"text": "`one`"}, {"text": "`two`"})
    ask(terminal, "go")
    terminal.wait_for("(?m)^one$")
    ask(terminal, "/theme light")
    rest(terminal)
    before = len(terminal.raw_output())
    ask(terminal, "go")
    terminal.wait_for("(?m)^two$")
    rest(terminal)
    assert any(b"36" in one for one in colours(terminal.raw_output()[:before]))
    assert not any(b"36" in one for one in colours(terminal.raw_output()[before:]))


def test_the_persons_own_status_line(talk: Talk, tmp_path: Path, work: Path) -> None:
    config = tmp_path / "config.json"
    command = 'cat > facts; printf "mine \\033[2J\\033[31m[bold] $(cat say)\\nsecond line\\n"; [ ! -e fail ]'
    config.write_text(json.dumps({"status_line_command": command}))
    (work / "say").write_text("one")
    terminal = talk({"text": "Hello."}, args=("--config", str(config)))
    terminal.wait_for("(?m)^mine \\[bold\\] one$")
    facts = json.loads((work / "facts").read_text())
    assert facts["mode"] == "ask"
    (work / "say").write_text("two")
    ask(terminal, "hi")
    terminal.wait_for("(?m)^mine \\[bold\\] two$")
    assert not [line for line in terminal.scrollback() if STATUS_LINE.match(line) or "second" in line]
    assert len(lines_of(terminal, "^mine")) == 1
    (work / "fail").touch()
    terminal.wait_for("(?m)^ask · ")
    terminal.key("ctrl-d")
    assert terminal.exit_code() == 0
    assert b"\x1b[2J" not in terminal.raw_output()
    terminal.assert_no_children()


def test_the_first_start_finds_a_local_server(talk: Talk, openai_server: FakeOpenAI) -> None:
    names = ("OLLAMA_BASE_URL", "LMSTUDIO_BASE_URL", "LLAMACPP_BASE_URL")
    more_env = dict.fromkeys(names, "http://127.0.0.1:9") | {"VLLM_BASE_URL": openai_server.url}
    openai_server.script(reply.text("Hello from here."))
    terminal = talk(more_env=more_env)
    terminal.wait_for("1, 2, 3 or q|Ctrl-D leaves")
    if "1, 2, 3 or q" in terminal.screen_text():
        ask(terminal, "what?")
        terminal.wait_for("Please answer 1, 2, 3 or q")
        ask(terminal, "1")
        terminal.wait_for("Token")
        ask(terminal, "no-token-at-all")
        terminal.wait_for("does not look like")
        assert "no-token" not in terminal.raw_output().decode()
        ask(terminal, "2")
    rest(terminal)
    ask(terminal, "hi")
    terminal.wait_for("Hello from here.")
    assert openai_server.chat_requests[0]["model"] == "test-model"
    assert_calm(terminal)
