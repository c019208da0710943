"""Modes, `!cmd`, `#note` and what is typed while something runs, at a real terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.e2e.conversation import (
    Talk,
    ask,
    asked,
    assert_calm,
    bash,
    lines_of,
    rest,
    said,
    take_turn,
    until,
    with_server,
)
from tests.e2e.terminal import Terminal
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "arguments": arguments}]}


def mode(terminal: Terminal, name: str) -> None:
    """Press Shift-Tab once; the status line shows `name` then."""
    terminal.key("shift-tab")
    terminal.wait_until(lambda: any(line.startswith(f"{name} · ") for line in terminal.screen()))


def test_shift_tab_cycles_the_modes_and_says_only_of_yolo_what_it_means(talk: Talk) -> None:
    terminal = talk({"text": "ok"})
    ask(terminal, "hi")  # then the session is open, and a mode is in force as soon as it is chosen
    terminal.wait_for("ok")
    rest(terminal)
    terminal.send("half")
    for name in ("auto-edit", "plan", "yolo", "ask"):
        mode(terminal, name)
    terminal.key("ctrl-u")
    rest(terminal)
    assert [line[:10] for line in terminal.scrollback() if line.startswith("Mode ")] == ["Mode yolo:"]
    ask(terminal, "/mode")
    terminal.wait_for(r"(?m)^\* ask +\w")


def test_auto_edit_writes_without_asking_but_a_command_is_still_asked_about(talk: Talk, work: Path) -> None:
    terminal = talk(
        call("write", path="a.txt", content="one\n"), call("bash", command="touch b"), {"text": "Finished."}
    )
    mode(terminal, "auto-edit")
    ask(terminal, "go")
    assert "Approval: bash" in asked(terminal)
    assert (work / "a.txt").read_text() == "one\n"
    assert not (work / "b").exists()
    ask(terminal, "y")
    terminal.wait_for("Finished.")
    assert len(lines_of(terminal, "^Approval")) == 1


def test_plan_mode_denies_writing_until_the_plan_is_accepted(talk: Talk, work: Path) -> None:
    first, second = call("write", path="a.txt", content="early\n"), call("write", path="a.txt", content="late\n")
    plan = call("propose_plan", plan="# The plan\n\n1. Write **a.txt**.\n")
    terminal = talk({"text": "Hello."}, first, plan, plan, second, {"text": "Finished."})
    mode(terminal, "auto-edit")
    ask(terminal, "hi")  # a mode that was only passed through is none to go back to
    terminal.wait_for("Hello.")
    rest(terminal)
    mode(terminal, "plan")
    ask(terminal, "go")
    terminal.wait_for(r"(?m)^✗ write .*")
    assert "The plan" in asked(terminal)
    assert not (work / "a.txt").exists()
    ask(terminal, "shorter, please")
    terminal.wait_for("Approval: propose_plan", count=2)
    asked(terminal)
    assert any(line.startswith("plan · ") for line in terminal.screen())
    ask(terminal, "y")
    terminal.wait_for("Finished.")
    rest(terminal)
    assert (work / "a.txt").read_text() == "late\n"
    assert any(line.startswith("auto-edit · ") for line in terminal.screen())
    assert_calm(terminal)


def test_what_a_command_of_the_person_prints_reaches_the_model_and_a_note_the_guidance(
    talk: Talk, openai_server: FakeOpenAI, work: Path
) -> None:
    terminal = with_server(talk, openai_server)
    ask(terminal, "!printf 'loss %s\\n' 0.5; exit 3")
    terminal.wait_for(r"(?m)^  loss 0\.5$|exit code 3")
    rest(terminal)
    ask(terminal, "#use [bold]bf16[/bold]")
    terminal.wait_for(r"Noted in\s")
    rest(terminal)
    assert "use [bold]bf16[/bold]" in (work / "AGENTS.md").read_text()
    assert not openai_server.chat_requests
    take_turn(terminal, openai_server, "what now?", reply.text("Lower it."))
    (request,) = openai_server.chat_requests
    heard = "\n".join(said(request))
    assert re.search(r"printf 'loss[\s\S]*loss 0\.5", heard), heard
    assert heard.index("loss 0.5") < heard.index("what now?")
    assert "bf16" in heard

    openai_server.script(bash(until("typed")), reply.text("Both heard."))
    ask(terminal, "go")
    terminal.wait_for(r"until \[ -e typed")
    ask(terminal, "use Adam")
    terminal.wait_for(r"(?m)^\(queued\) use Adam$")
    ask(terminal, "!echo from $((40 + 2))")
    terminal.wait_for(r"(?m)^\(after this\) !echo from")
    ask(terminal, "/rename Busy times")
    terminal.wait_for(r"(?m)^\(after this\) /rename Busy times$")
    assert any("3 queued" in line for line in terminal.screen())
    assert "from 42" not in "\n".join(terminal.scrollback())
    (work / "typed").touch()
    terminal.wait_for("now called “Busy times”")
    rest(terminal)
    order = lines_of(terminal, r"^> use Adam|Both heard\.|^  from 42|now called")
    assert order == ["> use Adam", "Both heard.", "  from 42", "now called"]
    assert said(openai_server.chat_requests[-1])[-1].endswith("use Adam")
    assert not lines_of(terminal, r"\(queued\)|\(after this\)")
    assert_calm(terminal)


def test_a_mode_chosen_while_a_turn_runs_holds_from_the_next_on(talk: Talk, work: Path) -> None:
    script = [call("bash", command=until("typed")), call("bash", command="touch a"), {"text": "First."}]
    terminal = talk(*script, call("bash", command="touch b"), {"text": "Second."})
    ask(terminal, "go")
    terminal.wait_for(r"until \[ -e typed")
    for name in ("auto-edit", "plan", "yolo"):
        mode(terminal, name)
    (work / "typed").touch()
    asked(terminal)  # what runs goes on as it began
    ask(terminal, "y")
    terminal.wait_for("First.")
    rest(terminal)
    ask(terminal, "go")
    terminal.wait_for("Second.")
    assert (work / "b").exists()
