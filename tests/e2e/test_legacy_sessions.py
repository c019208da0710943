"""The installed command goes on with session files of the reference, and leaves them as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conversation import Talk, ask, rest, said, take_turn, with_server
from tests.e2e.harness import run_headless
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI
from tests.unit.traces.legacy import reference_files as legacy


@pytest.fixture
def server_env(env: dict[str, str], openai_server: FakeOpenAI) -> dict[str, str]:
    return env | {"VLLM_BASE_URL": openai_server.url}


def history(request: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(message["role"], message.get("content")) for message in request["messages"] if message["role"] != "system"]


def test_a_file_is_resumed_with_its_history_and_not_written(
    server_env: dict[str, str], openai_server: FakeOpenAI
) -> None:
    path = legacy.keep(Path.cwd(), legacy.snapshot(model_name="huggingface/vllm/m"))
    before = path.read_bytes()
    openai_server.script(reply.text("Going on."))
    done = run_headless(["--resume", str(path), "--output-format", "json", "and now?"], env=server_env)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["session_id"] == legacy.SESSION_ID
    sent = history(openai_server.chat_requests[-1])
    assert sent[0] == ("user", "train a\nclassifier")
    assert ("tool", "ls: no such directory") in sent
    assert ("assistant", "Made.") in sent
    assert sent[-1][0] == "user"
    assert "and now?" in sent[-1][1]
    assert path.read_bytes() == before

    openai_server.script(reply.text("Still here."))  # by the beginning of its id; what was said here is part of it
    again = run_headless(["--resume", legacy.SESSION_ID[:8], "once more"], env=server_env)
    assert (again.exit_code, again.stdout) == (0, "Still here.\n"), again.stderr
    assert ("assistant", "Going on.") in history(openai_server.chat_requests[-1])
    listed = json.loads(run_headless(["sessions", "list", "--json"], env=server_env).stdout)
    assert [(info["id"], info["turns"]) for info in listed] == [(legacy.SESSION_ID, 4)]

    openai_server.script(reply.text("The same."))  # the file again: not its old state
    third = run_headless(["--resume", f"session_logs/{path.name}", "thrice"], env=server_env)
    assert third.stdout == "The same.\n", third.stderr
    assert ("assistant", "Still here.") in history(openai_server.chat_requests[-1])


@pytest.mark.parametrize(
    ("content", "cause"),
    [("{", "no JSON"), ('{"messages": 1}', "no list of messages"), (None, "there is no file")],
)
def test_files_that_cannot_be_resumed_are_told(env: dict[str, str], content: str | None, cause: str) -> None:
    path = Path("odd.json")
    if content is not None:
        path.write_text(content)
    done = run_headless(["--resume", str(path), "go"], env=env)
    assert (done.exit_code, done.stdout) == (2, "")
    assert cause in done.stderr
    assert "Traceback" not in done.stderr


def test_the_lists_show_the_files_of_this_directory(talk: Talk, openai_server: FakeOpenAI, work: Path) -> None:
    said_before = legacy.messages()
    said_before[1]["content"] = "paint it \x1b[2Jred"
    path = legacy.keep(work, legacy.snapshot(model_name="vllm/m", messages=said_before))
    before = path.read_bytes()
    terminal = with_server(talk, openai_server)
    ask(terminal, "/resume")
    terminal.wait_for("from ./session_logs")
    terminal.wait_for("paint it red")
    terminal.wait_for("Resume which one")
    ask(terminal, "1")
    terminal.wait_for("Resumed “")
    rest(terminal)
    take_turn(terminal, openai_server, "and blue", reply.text("Painted."))
    assert "paint it" in str(said(openai_server.chat_requests[-1]))
    assert path.read_bytes() == before
    ask(terminal, f"/resume session_logs/{path.name[:-5]}x.json")
    terminal.wait_for("There is no file")


def test_resume_without_an_argument_offers_them(talk: Talk, openai_server: FakeOpenAI, work: Path) -> None:
    legacy.keep(work, legacy.snapshot(model_name="vllm/m"))
    terminal = talk(args=("--resume",), more_env={"VLLM_BASE_URL": openai_server.url})
    terminal.wait_for("from ./session_logs")
    terminal.wait_for("Go on with which one")
    ask(terminal, "1")
    terminal.wait_for("Resumed “")
    rest(terminal)
    take_turn(terminal, openai_server, "go on", reply.text("Gone on."))
    assert "train a" in str(said(openai_server.chat_requests[-1]))
