"""The installed command goes on with what it has saved, stops at its limits, and takes back what it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Finished, run_headless

PRICE = {"price": {"input_usd_per_million": 3.0, "output_usd_per_million": 15.0}, "goes_on": True}
USAGE = {"prompt_tokens": 5_000, "completion_tokens": 500}
"""0.0225 USD at this price."""


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "arguments": arguments}], "usage": USAGE}


def say(text: str) -> dict[str, Any]:
    return {"text": text, "usage": USAGE}


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A script that writes a file, changes it, answers, and answers two more questions."""
    answers = [
        PRICE,
        call("write", path="a.txt", content="one\n"),
        say("Written."),
        call("bash", command="echo two >> a.txt"),
        say("Changed."),
        say("Nothing more to do."),
    ]
    script = tmp_path / "script.jsonl"
    script.write_text("\n".join(map(json.dumps, answers)))
    return f"replay/{script}"


def ok(done: Finished) -> Finished:
    assert done.exit_code == 0, done.stderr
    return done


def listed(env: dict[str, str], *more: str) -> list[dict[str, Any]]:
    sessions: list[dict[str, Any]] = json.loads(ok(run_headless(["sessions", "list", "--json", *more], env=env)).stdout)
    return sessions


def test_continue_resume_and_fork_go_on_where_the_session_stood(env: dict[str, str], model: str) -> None:
    assert ok(run_headless(["--model", model, "write a file"], env=env)).stdout == "Written.\n"
    done = ok(run_headless(["--continue", "change it"], env=env))
    assert done.stdout == "Changed.\n"
    assert Path("a.txt").read_text() == "one\ntwo\n"
    (session,) = listed(env)
    assert (session["turns"], session["title"], session["cost_usd"]) == (2, "write a file", pytest.approx(0.09))
    forked = ok(run_headless(["--fork", session["id"], "and now?"], env=env))
    assert forked.stdout == "Nothing more to do.\n"
    resumed = ok(run_headless(["--resume", session["id"][:8], "--output-format", "json", "and now?"], env=env))
    result = json.loads(resumed.stdout)
    assert (result["session_id"], result["result"]) == (session["id"], "Nothing more to do.")
    by_id = {found["id"]: found for found in listed(env)}
    assert by_id[session["id"]]["turns"] == 3
    assert {found["parent"] for found in by_id.values()} == {None, session["id"]}


def test_rewind_takes_back_turns_and_files(env: dict[str, str], model: str) -> None:
    ok(run_headless(["--model", model, "write a file"], env=env))
    ok(run_headless(["--continue", "change it"], env=env))
    done = ok(run_headless(["sessions", "rewind", "1"], env=env))
    assert "a.txt" in done.stdout
    assert Path("a.txt").read_text() == "one\n"
    assert listed(env)[0]["turns"] == 1
    assert ok(run_headless(["--continue", "change it"], env=env)).stdout == "Changed.\n"
    ok(run_headless(["sessions", "rewind", "1", "--turns", "2", "--files"], env=env))
    assert not Path("a.txt").exists()
    assert listed(env)[0]["turns"] == 2
    ok(run_headless(["sessions", "rewind", "1", "--turns", "2", "--chat"], env=env))
    assert listed(env)[0]["turns"] == 0  # still there, to ask differently
    assert ok(run_headless(["--continue", "write a file"], env=env)).stdout == "Written.\n"


def test_the_budget_stops_the_run_with_code_5_and_a_higher_one_goes_on(env: dict[str, str], model: str) -> None:
    done = run_headless(["--model", model, "--max-cost-usd", "0.01", "write a file"], env=env)
    assert done.exit_code == 5
    assert "stopped at the budget" in done.stderr
    assert "--resume" in done.stderr
    assert Path("a.txt").exists()  # the step that reached the cap was finished
    more = run_headless(["--continue", "go on"], env=env)
    assert more.exit_code == 5  # the cap has come back, and what was spent counts
    assert ok(run_headless(["--continue", "--max-cost-usd", "1", "go on"], env=env)).stdout == "Written.\n"


def test_the_time_limit_stops_what_runs_with_code_5(env: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "slow.jsonl"
    script.write_text(json.dumps(call("bash", command="echo begun; sleep 600")))
    done = run_headless(["--model", f"replay/{script}", "--max-wall", "1s", "train"], env=env)
    assert done.exit_code == 5
    assert done.children == ()
    assert "time limit" in done.stderr


@pytest.mark.parametrize(
    ("argv", "cause"),
    [
        (["--continue", "go on"], "no session"),
        (["--resume", "nothing", "go on"], "nothing"),
        (["--resume", "--print"], "--continue"),
        (["--max-cost-usd", "much", "go"], "US dollars"),
        (["--max-wall", "soon", "go"], "duration"),
        (["sessions", "rewind", "1"], "no session"),
        (["sessions", "remove"], "rename"),
    ],
)
def test_what_cannot_be_is_said(env: dict[str, str], argv: list[str], cause: str) -> None:
    done = run_headless(argv, env=env, stdin=b"a prompt" if "--print" in argv else None)
    assert done.exit_code == 2
    assert cause in done.stderr


def test_another_model_may_be_named(env: dict[str, str], model: str, tmp_path: Path) -> None:
    ok(run_headless(["--model", model, "write a file"], env=env))
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"text": "Other."}))
    assert ok(run_headless(["--continue", "--model", f"replay/{other}", "who?"], env=env)).stdout == "Other.\n"
    assert listed(env)[0]["model"] == f"replay/{other}"
