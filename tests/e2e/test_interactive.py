"""Conversations at a real terminal (a pty and a screen), with the installed command."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Terminal
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI

Talk = Callable[..., Terminal]


def bash(command: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": "bash", "arguments": {"command": command}}], **more}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    return path


@pytest.fixture
def talk(env: dict[str, str], tmp_path: Path, work: Path) -> Iterator[Talk]:
    """Start a conversation with a scripted model; it is at the prompt when this returns."""
    terminals: list[Terminal] = []

    def start(*answers: dict[str, Any], args: tuple[str, ...] = (), more_env: dict[str, str] | None = None) -> Terminal:
        script = tmp_path / "script.jsonl"
        script.write_text("\n".join(json.dumps(answer) for answer in answers))
        model = ("-m", f"replay/{script}") if answers else ()
        terminal = Terminal([*model, *args], env | (more_env or {}), cwd=work)
        terminals.append(terminal)
        if answers:
            terminal.wait_for("Ctrl-D leaves")
            terminal.wait_for(r"(?m)^> ")
        return terminal

    yield start
    for terminal in terminals:
        terminal.close()


def ask(terminal: Terminal, text: str) -> None:
    terminal.send(text).key("enter")


def test_a_conversation_with_markdown_tools_and_a_clean_end(talk: Talk, work: Path) -> None:
    code = "Here:\n\n```python\na = 1\n\nb = 2\n```\n\nDone with **care**."
    terminal = talk(bash("ls"), {"text": [code[i : i + 3] for i in range(0, len(code), 3)]})
    ask(terminal, "show me code")
    terminal.wait_for("Done with care")
    text = terminal.wait_for(r"✓ bash")
    assert text.count("a = 1") == 1
    terminal.wait_for(r"(?m)^> $", count=1)
    terminal.key("ctrl-d")
    assert terminal.exit_code() == 0
    terminal.assert_no_children()


def test_reading_runs_unasked_writing_asks_and_yes_runs_it(talk: Talk, work: Path) -> None:
    terminal = talk(bash("ls -la"), bash("echo hi > made.txt"), {"text": "Finished."})
    ask(terminal, "go")
    terminal.wait_for(r"\[y\]es / \[n\]o")
    assert not (work / "made.txt").exists()
    assert "echo hi > made.txt" in "\n".join(terminal.screen())
    ask(terminal, "y")
    terminal.wait_for("Finished.")
    assert (work / "made.txt").read_text() == "hi\n"


def test_a_no_with_reasons_reaches_the_model_verbatim(talk: Talk, openai_server: FakeOpenAI, work: Path) -> None:
    openai_server.script(reply.call("bash", {"command": "touch made"}), reply.text("As you wish."))
    terminal = talk(args=("-m", "vllm/m"), more_env={"VLLM_BASE_URL": openai_server.url})
    terminal.wait_for(r"(?m)^> ", timeout_s=40)
    ask(terminal, "go")
    terminal.wait_for(r"\[y\]es / \[n\]o", timeout_s=40)
    ask(terminal, "NOT now, Bob")
    terminal.wait_for("As you wish.")
    assert "NOT now, Bob" in openai_server.chat_requests[1]["messages"][-1]["content"]
    assert not (work / "made").exists()


def test_always_is_asked_once(talk: Talk, work: Path) -> None:
    terminal = talk(bash("git init -q ."), bash("git init -q sub"), {"text": "Finished."})
    ask(terminal, "go")
    terminal.wait_for(r"always would add the rule: bash\(git init[^\n]*\n[\s\S]*\[a\]lways /")
    ask(terminal, "a")
    terminal.wait_for("Finished.")
    assert (work / "sub" / ".git").is_dir()


def test_an_edit_of_a_start_file_shows_its_diff_first(talk: Talk, env: dict[str, str]) -> None:
    target = Path(env["HOME"]) / ".bashrc"
    target.write_text("old line\n")
    read = {"tool_calls": [{"name": "read", "arguments": {"path": str(target)}}]}
    change = {"path": str(target), "old_str": "old line", "new_str": "new line"}
    edit = {"tool_calls": [{"name": "edit", "arguments": change}]}
    terminal = talk(read, edit, {"text": "Finished."})
    ask(terminal, "go")
    terminal.wait_for(r"\[y\]es / \[n\]o")
    screen = "\n".join(terminal.screen())
    assert "-old line" in screen
    assert "+new line" in screen
    ask(terminal, "n")
    terminal.wait_for("Finished.")
    assert target.read_text() == "old line\n"


def test_ctrl_c_stops_the_turn_and_the_conversation_goes_on(talk: Talk, work: Path) -> None:
    terminal = talk(bash("touch up; sleep 600"), {"text": "Still here."}, args=("--yolo",))
    ask(terminal, "wait")
    terminal.wait_until(lambda: (work / "up").exists())
    terminal.key("ctrl-c")
    terminal.wait_for("Interrupted")
    ask(terminal, "are you there?")
    terminal.wait_for("Still here.")
    terminal.assert_no_children()


def test_ctrl_c_twice_during_a_turn_leaves(talk: Talk, work: Path) -> None:
    terminal = talk(bash("trap '' TERM INT; touch up; while true; do sleep 1; done"), {"text": "x"}, args=("--yolo",))
    ask(terminal, "wait")
    terminal.wait_until(lambda: (work / "up").exists())
    terminal.key("ctrl-c")
    terminal.wait_for("Interrupted")
    terminal.key("ctrl-c")
    assert terminal.exit_code() == 0
    terminal.assert_no_children()


def test_what_is_typed_before_an_approval_does_not_answer_it(talk: Talk, work: Path) -> None:
    wait = "until [ -e typed ]; do grep -c x /dev/null; done; ls"  # reads until the test has typed
    terminal = talk(bash(wait), bash("touch made"), {"text": "Fine."})
    ask(terminal, "go")
    terminal.wait_for("until [ -e typed")
    ask(terminal, "y")
    ask(terminal, "y")
    (work / "typed").touch()
    terminal.wait_for(r"\[y\]es / \[n\]o")
    ask(terminal, "no thanks")
    terminal.wait_for("Fine.")
    assert not (work / "made").exists()


def test_ctrl_c_twice_at_the_prompt_leaves_once_does_not(talk: Talk) -> None:
    terminal = talk({"text": "Hello there."})
    terminal.key("ctrl-c")
    terminal.wait_for("again to leave")
    ask(terminal, "hi")
    terminal.wait_for("Hello there.")
    terminal.wait_for(r"(?m)^> $")
    terminal.key("ctrl-c").key("ctrl-c")
    assert terminal.exit_code() == 0


def test_ctrl_c_at_an_approval_stops_the_turn(talk: Talk, work: Path) -> None:
    terminal = talk(bash("touch made"), {"text": "Fine."})
    ask(terminal, "go")
    terminal.wait_for(r"\[y\]es / \[n\]o")
    terminal.key("ctrl-c")
    terminal.wait_for("Interrupted")
    ask(terminal, "go on")
    terminal.wait_for("Fine.")
    assert not (work / "made").exists()


def test_termination_ends_the_child_and_saves(talk: Talk, env: dict[str, str], work: Path) -> None:
    terminal = talk(bash("touch up; sleep 600"), {"text": "x"}, args=("--yolo",))
    ask(terminal, "wait")
    terminal.wait_until(lambda: (work / "up").exists())
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.exit_code() == 143
    terminal.assert_no_children()
    (journal,) = Path(env["XDG_STATE_HOME"]).rglob("sessions/*/*/*/*.jsonl")
    assert '"kind":"end"' in journal.read_text()


def test_slash_commands(talk: Talk) -> None:
    terminal = talk({"text": "One."}, {"text": "Two."})
    ask(terminal, "/help")
    for name in ("/model", "/status", "/undo", "/compact", "/new", "/clear", "/yolo", "/quit"):
        terminal.wait_for(name)
    ask(terminal, "/statsu")
    terminal.wait_for("Did you mean /status")
    ask(terminal, "first")
    terminal.wait_for("One.")
    ask(terminal, "/undo")
    terminal.wait_for(r"(?i)undone|taken back|removed")
    ask(terminal, "/undo")
    terminal.wait_for(r"(?i)nothing")
    ask(terminal, "/compact")
    terminal.wait_for(r"(?i)compact|shorten")
    ask(terminal, "/yolo on")
    terminal.wait_for(r"approves by\s+itself")
    ask(terminal, "/status")
    terminal.wait_for(r"Approval: automatic")
    ask(terminal, "/model gpt-5")
    terminal.wait_for("openai/gpt-5")
    ask(terminal, "/undo 5")
    terminal.wait_for("/undo takes no argument")
    ask(terminal, "/model ollama/qwen3")
    terminal.wait_for("Model ollama/qwen3")
    ask(terminal, "/new")
    terminal.wait_for(r"(?i)new conversation|new session")
    ask(terminal, "/quit")
    assert terminal.exit_code() == 0


def test_a_prompt_that_begins_with_a_path_is_no_command(talk: Talk) -> None:
    terminal = talk({"text": "I looked."})
    ask(terminal, "/etc/hosts looks odd, why?")
    terminal.wait_for("I looked.")


def test_a_very_long_word_with_a_slash_is_no_crash(talk: Talk) -> None:
    terminal = talk({"text": "Fine."})
    ask(terminal, "/" + "a" * 300)
    terminal.wait_for("There is no command")
    ask(terminal, "hi")
    terminal.wait_for("Fine.")


def test_a_model_error_and_markup_in_it_leave_the_prompt_alive(talk: Talk) -> None:
    error = {"error": {"status": 400, "message": "bad thing at [/usr/lib/x] [red]\u001b[2J"}}
    terminal = talk(error, {"text": "Better [/b] now."})
    ask(terminal, "[/usr/lib/x] hi")
    terminal.wait_for(r"\[/usr/lib/x\]", count=2)
    ask(terminal, "again")
    terminal.wait_for(r"Better \[/b\] now")


def test_first_start_without_a_key_can_be_left_and_offers_the_demo(talk: Talk, env: dict[str, str]) -> None:
    names = ("OLLAMA_BASE_URL", "VLLM_BASE_URL", "LMSTUDIO_BASE_URL", "LLAMACPP_BASE_URL")
    closed = dict.fromkeys(names, "http://127.0.0.1:9")
    terminal = talk(more_env=closed)
    terminal.wait_for("1, 2, 3 or q")
    ask(terminal, "2")
    terminal.wait_for("No local server answers")
    ask(terminal, "1")
    terminal.wait_for("Token")
    ask(terminal, "")
    terminal.wait_for("1, 2, 3 or q", count=3)
    ask(terminal, "3")
    terminal.wait_for("Ctrl-D leaves")
    assert "replay/demo" in "\n".join(terminal.scrollback())
    again = talk(more_env=closed)
    again.wait_for("1, 2, 3 or q")
    again.key("ctrl-d")
    assert again.exit_code() == 3


@pytest.mark.parametrize("more_env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_is_not_forced_on_anyone(talk: Talk, more_env: dict[str, str]) -> None:
    terminal = talk({"text": "**Plain** answer."}, more_env=more_env)
    ask(terminal, "hi")
    terminal.wait_for("Plain.* answer")
    shown = terminal.raw_output().decode(errors="replace").split("hi", 1)[1]
    assert "\x1b[1m" not in shown if "TERM" in more_env else "\x1b[3" not in shown


def test_history_of_typed_lines_survives_the_session_in_a_private_file(talk: Talk, env: dict[str, str]) -> None:
    terminal = talk({"text": "ok"}, {"text": "ok"})
    ask(terminal, "a memorable line")
    terminal.wait_for(r"(?m)^ok\s+^> $")
    terminal.key("ctrl-d")
    terminal.exit_code()
    again = talk({"text": "ok again"})
    again.key("up")
    again.wait_for(r"> a memorable line")
    history = Path(env["XDG_STATE_HOME"]) / "ml-intern" / "history"
    assert history.stat().st_mode & 0o777 == 0o600
