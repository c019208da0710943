"""Conversations at a real terminal (a pty and a screen), with the installed command."""

from __future__ import annotations

import json
import os
import signal
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conversation import Talk, ask, colours, until, with_server
from tests.e2e.harness import COMMAND, Terminal
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI


def bash(command: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": "bash", "arguments": {"command": command}}], **more}


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


def terminal_mode(terminal: Terminal) -> list[Any]:
    """The terminal's own settings (`stty`), as the program has them now."""
    tty = os.open(f"/proc/{terminal.pid}/fd/0", os.O_RDONLY | os.O_NOCTTY)
    try:
        return termios.tcgetattr(tty)
    finally:
        os.close(tty)


@pytest.mark.parametrize("key", ["esc", "ctrl-c"])
def test_a_key_stops_a_stalled_answer(talk: Talk, openai_server: FakeOpenAI, key: str) -> None:
    stalled = reply.stall_after(2, reply.text("One.\n\n", "Two.\n\n", "Three."))
    terminal = with_server(talk, openai_server, stalled, reply.text("Still here."))
    ask(terminal, "go")
    terminal.wait_for("One.", timeout_s=40)
    terminal.key(key)
    terminal.wait_for("Interrupted")
    ask(terminal, "are you there?")
    terminal.wait_for("Still here.")
    terminal.wait_for(r"(?m)^> $")
    terminal.key("ctrl-d")
    assert terminal.exit_code() == 0


def test_a_signal_stops_the_turn_as_ctrl_c_does(talk: Talk, work: Path) -> None:
    terminal = talk(bash("touch up; sleep 600"), {"text": "Still here."}, args=("--yolo",))
    ask(terminal, "wait")
    terminal.wait_until(lambda: (work / "up").exists())
    os.kill(terminal.pid, signal.SIGINT)
    terminal.wait_for("Interrupted")
    ask(terminal, "are you there?")
    terminal.wait_for("Still here.")


def test_a_line_typed_during_a_turn_reaches_the_model_in_it(talk: Talk, openai_server: FakeOpenAI, work: Path) -> None:
    calls = reply.call("bash", {"command": until("typed")}), reply.text("As you like.")
    terminal = with_server(talk, openai_server, *calls)
    ask(terminal, "go")
    terminal.wait_for("until \\[ -e typed", timeout_s=40)
    terminal.send("use Adan").key("backspace").send("m").key("enter")
    terminal.wait_for(r"\(queued\) use Adam")
    terminal.paste("and then\nstop").key("enter")
    terminal.wait_for(r"\(queued\) and then stop")
    (work / "typed").touch()
    terminal.wait_for("As you like.")
    first, second = openai_server.chat_requests
    assert [m["content"] for m in first["messages"] if m["role"] == "user"][-1:] == ["go"]
    said = [message["content"] for message in second["messages"] if message["role"] == "user"]
    assert said[-1] == "use Adam\n\nand then\nstop"
    assert "> use Adam" in terminal.wait_for(r"(?m)^> $")


def test_what_the_turn_did_not_take_in_stands_at_the_next_prompt(talk: Talk, work: Path) -> None:
    terminal = talk(bash("touch up; sleep 600"), {"text": "Got it."}, args=("--yolo",))
    before = terminal_mode(terminal)
    ask(terminal, "wait")
    terminal.wait_until(lambda: (work / "up").exists())
    assert not terminal_mode(terminal)[3] & termios.ECHO
    ask(terminal, "a whole line")
    terminal.wait_for(r"\(queued\) a whole line")
    terminal.send("half a li").key("esc")
    terminal.wait_for("Interrupted")
    terminal.wait_for(r"(?m)^> a whole line\n\s*half a li")
    ask(terminal, "ne")
    terminal.wait_for("Got it.")
    terminal.wait_for(r"(?m)^> $")
    assert terminal_mode(terminal) == before
    terminal.key("ctrl-d")
    assert terminal.exit_code() == 0


@pytest.mark.parametrize("how", ["/quit\r", "\x03\x03", "SIGTERM"])
def test_leaving_in_a_turn_leaves_the_terminal_as_it_was(
    env: dict[str, str], tmp_path: Path, work: Path, how: str
) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps(bash("touch up; sleep 600")))
    shell = ("sh", "-c", 'stty -a > before; "$0" "$@"; stty -a > after; echo "is over"', *COMMAND)
    with Terminal(["-m", f"replay/{script}", "--yolo"], env, cwd=work, command=shell) as terminal:
        terminal.wait_for(r"(?m)^> ")
        ask(terminal, "wait")
        terminal.wait_until(lambda: (work / "up").exists())
        if how == "SIGTERM":
            os.kill(
                next(process.pid for process in terminal.children() if "ml-intern" in process.command), signal.SIGTERM
            )
        else:
            terminal.send(how)
        terminal.wait_for("(?m)^is over$")
    assert (work / "after").read_text() == (work / "before").read_text()


def test_ctrl_z_puts_a_running_turn_into_the_background(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text("\n".join(map(json.dumps, [bash(f"touch up; {until('typed')}"), {"text": "Done."}])))
    with Terminal([], env | {"PS1": "shell$ "}, cwd=work, command=("bash", "--norc", "--noprofile", "-i")) as terminal:
        terminal.wait_for("shell$ ")
        ask(terminal, f"{COMMAND[0]} -m replay/{script} --yolo")
        terminal.wait_for(r"(?m)^> ")
        ask(terminal, "go")
        terminal.wait_until(lambda: (work / "up").exists())
        terminal.send("half").key("ctrl-z")
        terminal.wait_for("Stopped")
        ask(terminal, "touch typed; fg")
        terminal.wait_for("Done.")
        terminal.wait_for(r"(?m)^> half$")


def test_commands_typed_during_a_turn_wait_for_its_end_but_leaving_does_not(talk: Talk, work: Path) -> None:
    wait = bash(until("typed"))
    terminal = talk(wait, {"text": "First."}, bash("touch up; sleep 600"), {"text": "x"}, args=("--yolo",))
    ask(terminal, "go")
    terminal.wait_for("until \\[ -e typed")
    ask(terminal, "/status")  # only looks: at once
    terminal.wait_for("Approval: automatic")
    ask(terminal, "/tools")
    terminal.wait_for(r"\(after this\) /tools")
    (work / "typed").touch()
    terminal.wait_for(r"First\.[\s\S]*hf_jobs ")
    ask(terminal, "again")
    terminal.wait_until(lambda: (work / "up").exists())
    ask(terminal, "/quit")
    assert terminal.exit_code() == 0
    terminal.assert_no_children()


def test_a_half_typed_line_is_no_answer_to_a_question_and_not_lost(talk: Talk, work: Path) -> None:
    terminal = talk(bash(until("typed")), bash("touch made"), {"text": "Fine."})
    ask(terminal, "go")
    terminal.wait_for("until \\[ -e typed")
    terminal.send("look\ry")
    terminal.wait_for(r"\(queued\) look")
    (work / "typed").touch()
    terminal.wait_for(r"(?m)^\[y\]es / \[n\]o[^\n]*why not\n> $")
    ask(terminal, "n")
    terminal.wait_for("Fine.")
    terminal.wait_for(r"(?m)^> y$")
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
    for name in (
        "/model",
        "/effort",
        "/budget",
        "/cost",
        "/undo",
        "/rewind",
        "/resume",
        "/rename",
        "/compact",
        "/quit",
    ):
        terminal.wait_for(name)
    ask(terminal, "/statsu")
    terminal.wait_for("Did you mean /status")
    ask(terminal, "first")
    terminal.wait_for("One.")
    ask(terminal, "/rewind 1")
    terminal.wait_for(r"taken back \(\d+ messages removed\)")
    terminal.wait_for(r"(?m)^> first$", count=2)  # ready to be asked in another way
    terminal.send("/undo")  # a command, not the end of that text
    terminal.key("enter")
    terminal.wait_for(r"(?i)nothing")
    terminal.wait_for(r"(?m)^> first$", count=2)
    terminal.key("ctrl-u")
    ask(terminal, "/compact")
    terminal.wait_for(r"(?i)compact|shorten")
    ask(terminal, "/yolo on")
    terminal.wait_for(r"Mode yolo")
    ask(terminal, "/status")
    terminal.wait_for(r"Approval: automatic")
    ask(terminal, "/model gpt-5")
    terminal.wait_for("openai/gpt-5")
    ask(terminal, "/undo 5")
    terminal.wait_for("Say /undo, /undo chat or /undo files")
    ask(terminal, "/status now")
    terminal.wait_for("/status takes no argument")
    ask(terminal, "/model ollama/qwen3")
    terminal.wait_for("ollama serve")  # nothing answers there: the model stays as it is
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
    shown = colours(terminal.raw_output().split(b"hi", 1)[1])
    parameters = {parameter for style in shown for parameter in style.split(b";")}
    assert b"1" not in parameters if "TERM" in more_env else not any(len(one) > 1 for one in parameters)


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


def test_a_line_typed_while_a_turn_is_being_stopped_comes_next(talk: Talk, work: Path) -> None:
    stubborn = "trap '' TERM INT; touch up; while true; do sleep 1; done"
    terminal = talk(bash(stubborn), {"text": "Still here."}, args=("--yolo",))
    ask(terminal, "wait")
    terminal.wait_until(lambda: (work / "up").exists())
    terminal.send("\x03and now?\r")
    terminal.wait_for("Still here.")


def test_rewind_takes_back_chat_and_files_and_offers_the_prompt(talk: Talk, work: Path) -> None:
    terminal = talk(
        bash("echo one > a.txt"), {"text": "First."}, bash("echo two > a.txt"), {"text": "Second."}, args=("--yolo",)
    )
    for text, answer in (("make one", "First."), ("make two", "Second.")):
        ask(terminal, text)
        terminal.wait_for(rf"(?m)^{answer}\n\s*^> $")
    ask(terminal, "/rewind files now")
    terminal.wait_for("Say /rewind, or a turn")
    ask(terminal, "/rewind files")
    terminal.wait_for(r"1  make one\n2  make two\n\nRewind to before which turn\?")
    ask(terminal, "2")
    terminal.wait_for(r"Put back as before: a.txt")
    assert (work / "a.txt").read_text() == "one\n"
    ask(terminal, "/rewind 1")
    terminal.wait_for(r"The last 2 turns are taken back")
    terminal.wait_for(r"(?m)^> make one$", count=2)
    assert not (work / "a.txt").exists()
    terminal.key("ctrl-u")
    ask(terminal, "/rewind")
    terminal.wait_for("There is no turn to go back to")


def test_budget_and_cost(talk: Talk) -> None:
    price = {"price": {"input_usd_per_million": 1000, "output_usd_per_million": 1000}}
    answer = {"text": "Hello.", "usage": {"prompt_tokens": 900, "completion_tokens": 100}}
    terminal = talk(price, answer)
    ask(terminal, "hi")
    terminal.wait_for(r"(?m)^Hello\.\n\s*^> $")
    ask(terminal, "/cost")
    terminal.wait_for(r"main +1 +900 +0 +100 +\$1\.00\n *total +1 +\$1\.00")
    ask(terminal, "/budget lots")
    terminal.wait_for("Say an amount in US dollars")
    ask(terminal, "/budget $5")
    terminal.wait_for(r"\$1\.00 of \$5\.00 spent; \$4\.00 left")
    ask(terminal, "/budget off")
    terminal.wait_for(r"\$1\.00 spent; no cap")


def test_effort_shows_the_levels_of_the_model_and_sets_one(talk: Talk, openai_server: FakeOpenAI) -> None:
    server = {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": openai_server.base_url}
    terminal = talk(args=("-m", "openai/gpt-5"), more_env=server)
    terminal.wait_for(r"(?m)^> ", timeout_s=40)
    ask(terminal, "/effort")
    terminal.wait_for("Now: high. Levels: minimal, low, medium, high, xhigh.")
    ask(terminal, "/effort extreme")
    terminal.wait_for("That is no level of openai/gpt-5")
    ask(terminal, "/effort low")
    terminal.wait_for("Model openai/gpt-5, effort low")
    ask(terminal, "/effort off")
    terminal.wait_for("Model openai/gpt-5; asks")


def test_a_session_is_renamed_found_and_resumed(talk: Talk) -> None:
    terminal = talk({"text": "Blue."})
    ask(terminal, "what colour?")
    terminal.wait_for(r"(?m)^Blue\.\n\s*^> $")
    ask(terminal, "/rename Colours [/x]")
    terminal.wait_for("now called “Colours")
    ask(terminal, "/resume")
    terminal.wait_for(r"(?m)No other session is saved here.*\n+^> $")
    terminal.key("ctrl-d")
    assert terminal.exit_code() == 0
    again = talk({"text": "Green."})
    ask(again, "/resume")
    again.wait_for(r"1  \w{8}  [-\d]+ [:\d]+  Colours \[/x\]  \(1 turn\)\n+Resume which one\?")
    again.key("ctrl-c")
    again.wait_for("Nothing is resumed")
    ask(again, "/resume nothing like it")
    again.wait_for("There is no session 'nothing like it'")
    ask(again, "/resume colour")
    again.wait_for(r"Resumed “Colours \[/x\]”: 2 messages")
    ask(again, "/status")
    again.wait_for(r"Session: +\w+, “Colours \[/x\]”")
    again.wait_for(r"Turns: +1,")
    ask(again, "and now?")
    again.wait_for("Green.|Blue.")


def test_a_session_is_picked_before_anything_else_is_asked(talk: Talk) -> None:
    terminal = talk({"text": "Blue."}, {"text": "Red."})
    ask(terminal, "which colour?")
    terminal.wait_for(r"(?m)^Blue\.\n\s*^> $")
    terminal.key("ctrl-d")
    terminal.wait_for("ml-intern --resume")  # how to come back
    assert terminal.exit_code() == 0
    again = talk(args=("--resume",))  # without a key: the session's own model is used
    again.wait_for("which colour")
    ask(again, "2")
    again.wait_for("There is no number 2")
    ask(again, "1")
    again.wait_for("Resumed")
    ask(again, "/rewind")
    again.wait_for("1  which colour")


def test_turns_are_counted_right_after_leaving_a_question(talk: Talk) -> None:
    terminal = talk(bash("touch a"), {"text": "two"}, {"text": "three"})
    ask(terminal, "alpha")
    terminal.wait_for(r"touch a")
    terminal.wait_for(r"(?m)^\[y\]es / \[n\]o[^\n]*$")
    terminal.key("ctrl-c")
    terminal.wait_for("Interrupted")
    ask(terminal, "beta")
    terminal.wait_for("two")
    ask(terminal, "/rewind")
    terminal.wait_for(r"1  alpha\s+2  beta")
