"""The research sub-agent, in the installed command: without a person, and at a real terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.e2e.conversation import Talk, ask, assert_calm, lines_of, rest, with_server
from tests.e2e.harness import run_headless
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI
from tests.grammar import check_turn_grammar

TASK = "Which learning rate do the notes recommend for the small model?"


def _researches() -> reply.Reply:
    return reply.call("research", {"task": TASK, "context": "One GPU."})


def _reads(path: str) -> reply.Reply:
    return reply.call("read", {"path": path})


def test_a_headless_run_delegates_and_goes_on_with_the_report(
    env: dict[str, str], work: Path, openai_server: FakeOpenAI
) -> None:
    (work / "notes.md").write_text("learning rate: 3e-4\n")
    openai_server.script(_researches(), _reads("notes.md"), reply.text("They say 3e-4."), reply.text("Use 3e-4."))
    args = ["-m", "vllm/m", "--output-format", "stream-json", "Set it up."]
    done = run_headless(args, env=env | {"VLLM_BASE_URL": openai_server.url}, cwd=work)
    assert done.exit_code == 0, done.stderr
    events = done.events()
    check_turn_grammar(events)
    assert "Use 3e-4." in str(events)
    assert [event["data"]["kind"] for event in events if event["event_type"] == "llm_call"] == [
        *("main", "research", "research", "main")
    ]
    main, first, second, last = openai_server.chat_requests
    assert "learning rate: 3e-4" in str(second["messages"])
    assert {one["function"]["name"] for one in main["tools"]} > {one["function"]["name"] for one in first["tools"]}
    assert not {"bash", "write", "edit", "research", "hf_jobs"} & {one["function"]["name"] for one in first["tools"]}
    told = str(last["messages"][-1]["content"])
    assert told.startswith('<external_data source="research sub-agent">\nThey say 3e-4.')
    assert "[Research complete. 2 model calls, 1 tool call, " in told
    assert "notes.md" not in str(last["messages"])


def test_the_persons_deny_rule_holds_for_a_sub_agent(
    env: dict[str, str], work: Path, openai_server: FakeOpenAI
) -> None:
    (work / "secret.md").write_text("the secret recipe\n")
    settings = work.parent / "settings.json"
    settings.write_text(json.dumps({"permissions": {"deny": ["read(secret.md)"]}}))
    openai_server.script(_researches(), _reads("secret.md"), reply.text("Could not."), reply.text("Well."))
    args = ["-m", "vllm/m", "--config", str(settings), "Set it up."]
    done = run_headless(args, env=env | {"VLLM_BASE_URL": openai_server.url}, cwd=work)
    assert done.exit_code == 0, done.stderr
    assert "forbids it" in str(openai_server.chat_requests[2]["messages"])
    assert "the secret recipe" not in str(openai_server.chat_requests)


def test_at_the_terminal_its_work_is_a_live_block_and_then_one_line(
    talk: Talk, openai_server: FakeOpenAI, work: Path
) -> None:
    (work / "notes.md").write_text("learning rate: 3e-4\n")
    server = openai_server
    terminal = with_server(talk, server)
    server.script(
        _researches(), _reads("notes.md"), reply.stall_after(1, reply.text("They say ", "3e-4.")), reply.text("Use it.")
    )
    ask(terminal, "Set it up.")
    terminal.wait_for(r"▸ research: Which learning rate do the notes recommend .*1 tool use · \d+ tokens")
    terminal.wait_for(r"read  \{.*notes\.md")
    server.resume()
    terminal.wait_for("Use it.")
    rest(terminal)
    (line,) = lines_of(terminal, r"^. research.*tool use.*$")
    assert re.search(r"\(1 tool use · \d+ tokens · ", line)
    assert not lines_of(terminal, r"read  \{")
    assert_calm(terminal)


def test_esc_stops_it_and_the_session_goes_on(talk: Talk, openai_server: FakeOpenAI, work: Path) -> None:
    server = openai_server
    terminal = with_server(talk, server)
    server.script(_researches(), reply.stall_after(1, reply.text("They say ", "3e-4.")))
    ask(terminal, "Set it up.")
    terminal.wait_for(r"▸ research: Which learning rate")
    terminal.key("esc")
    terminal.wait_for("Interrupted")
    rest(terminal)
    server.resume()
    server.script(reply.text("Still here."))
    ask(terminal, "And now?")
    terminal.wait_for("Still here.")
    rest(terminal)
    assert "Interrupted by the person" in str(server.chat_requests[-1]["messages"])
    assert_calm(terminal)
