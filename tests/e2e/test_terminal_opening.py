"""The prompt is there before the session is: what is typed meanwhile counts, and nothing of it is lost."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conversation import ask, assert_calm, assert_once_in_order, lines_of
from tests.e2e.harness import Terminal

ROOT = Path(__file__).parents[2]
BEHIND_THE_PROMPT = (
    "httpx",
    "pydantic",
    "jsonschema",
    "jinja2",
    "sqlite3",
    "litellm",
    "huggingface_hub",
    "markdown_it",
    "pygments",
    "agent.core.agent_loop",
    "agent.core.tools",
    "agent.cli.commands",
)

Start = Callable[..., Terminal]


class Gate:
    """What the opening of the session waits for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDWR)  # held open: it may be read later, or by nobody

    def open(self, word: str = "go") -> None:
        """Let it go on, or ("fail") end."""
        os.write(self._end, f"{word}\n".encode())

    def close(self) -> None:
        """Nobody waits any more."""
        os.close(self._end)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with contextlib.closing(Gate(tmp_path / "gate")) as one:
        yield one


@pytest.fixture
def start(env: dict[str, str], work: Path, tmp_path: Path, gate: Gate) -> Iterator[Start]:
    """Start a conversation with a scripted model; the prompt is there, the session is not."""
    terminals: list[Terminal] = []

    def begin(*answers: dict[str, Any]) -> Terminal:
        script = tmp_path / "script.jsonl"
        script.write_text("\n".join(json.dumps(answer) for answer in answers))
        command = (sys.executable, "-m", "tests.e2e.slow_opening")
        more = {"PYTHONPATH": str(ROOT)}
        terminals.append(Terminal([f"replay/{script}", str(gate.path)], env | more, cwd=work, command=command))
        terminals[0].wait_for(r"(?m)^> ")
        return terminals[0]

    yield begin
    for terminal in terminals:
        terminal.close()


def test_what_is_sent_early_waits_in_sight_and_what_is_being_typed_stays(start: Start, gate: Gate) -> None:
    terminal = start({"text": "First."}, {"text": "Second."})
    ask(terminal, "one")
    terminal.wait_for(r"\(queued\) one")
    ask(terminal, "two")
    terminal.wait_for(r"\(queued\) two")
    terminal.send("half a thought")
    terminal.wait_for("Opening the session…")
    gate.open()
    terminal.wait_for("Second.")
    terminal.wait_until(lambda: "> half a thought" in terminal.screen() and not lines_of(terminal, "queued"))
    assert_once_in_order(terminal, ["> one", "First.", "> two", "Second."], r"^> (?:one|two)$|^(?:First|Second)\.$")
    assert not lines_of(terminal, "Opening the session")


def test_a_mode_chosen_early_is_in_force_for_what_was_sent_early(start: Start, gate: Gate, work: Path) -> None:
    write = {"tool_calls": [{"name": "write", "arguments": {"path": "a.txt", "content": "one\n"}}]}
    terminal = start(write, {"text": "Written."})
    terminal.key("shift-tab")
    terminal.wait_for("(?m)^auto-edit · ")
    ask(terminal, "go")
    terminal.wait_for(r"\(queued\) go")
    gate.open()
    terminal.wait_for("Written.")
    assert (work / "a.txt").read_text() == "one\n"
    assert_calm(terminal)


def test_ctrl_c_empties_the_composer_and_twice_leaves(start: Start, gate: Gate) -> None:
    terminal = start({"text": "Never said."})
    terminal.send("half a thought")
    terminal.wait_for("> half a thought")
    terminal.key("ctrl-c")
    terminal.wait_until(lambda: "> half a thought" not in terminal.screen())
    terminal.key("ctrl-c")
    terminal.wait_for("Press Ctrl-C again to leave")
    terminal.key("ctrl-c")
    gate.open()  # what waits in a thread cannot be broken off
    assert terminal.exit_code() == 0
    assert not lines_of(terminal, "ml-intern --resume")


def test_ctrl_d_leaves_once_the_session_is_there(start: Start, gate: Gate) -> None:
    terminal = start({"text": "Never said."})
    terminal.key("ctrl-d")
    gate.open()
    assert terminal.exit_code() == 0


def test_a_session_that_does_not_open_gives_the_terminal_back(start: Start, gate: Gate) -> None:
    terminal = start({"text": "Never said."})
    ask(terminal, "one")
    terminal.wait_for(r"\(queued\) one")
    gate.open("fail")
    assert terminal.exit_code() == 2
    shown = [line for line in terminal.scrollback() if line]
    assert shown[-1] == "failed: the session is gone; echo is on"
    assert not [line for line in shown if line.startswith((">", "ask · "))]
    assert b"\x1b[?2004l" in terminal.raw_output().rpartition(b"\x1b[?2004h")[2]


def test_the_prompt_needs_none_of_what_comes_behind_it() -> None:
    code = "import sys, agent.cli.start, agent.cli.interactive; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(BEHIND_THE_PROMPT) & set(loaded.stdout.split())
