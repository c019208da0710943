"""`ml-intern sessions …`: what is printed, written and removed, and the exit codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli.sessions_command import run_sessions
from agent.protocol.events import Event, ToolOutput
from agent.protocol.messages import assistant_message, tool_message, user_message
from agent.sessions.journal import Journal
from tests.unit.sessions.keeping import NO_SECRETS, call, keep_session

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ml-intern"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "project"
    work.mkdir()
    return work


@pytest.fixture
def run(environ: dict[str, str], work: Path) -> Run:
    def run(*argv: str) -> tuple[int, str]:
        out = io.StringIO()
        return run_sessions(list(argv), environ=environ, cwd=work, out=out), out.getvalue()

    return run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# --- list ------------------------------------------------------------------------------------------------------------


def test_the_list_fits_80_columns_and_says_how_to_see_more(run: Run, state: Path, work: Path) -> None:
    for number in range(3):
        keep_session(state, f"{number}{number}{number}{number}aaaa9999", f"{number} 训练一个模型 " * 20, cwd=str(work))
    keep_session(state, "ffffffff", "elsewhere", cwd="/somewhere/" + "else/" * 40)
    code, text = run("list", "-n", "2")
    assert code == 0
    heading, *rows, hint = text.splitlines()
    assert heading.split() == ["#", "last", "used", "id", "turns", "title"]
    assert [row.split()[0] for row in rows] == ["1", "2"]
    assert "2222aaaa" in rows[0] and "1111aaaa" in rows[1] and rows[0].endswith("…")
    assert hint == "There are more: -n 4 lists twice as many."
    code, text = run("--all")
    assert "elsewhere" in text and "/somewhere/else" in text
    assert all(width(line) <= 80 for line in text.splitlines())
    assert run() == run("list")


def width(line: str) -> int:
    return sum(2 if "\u4e00" <= char <= "\u9fff" else 1 for char in line)


def test_a_search_and_an_empty_list(run: Run, state: Path, work: Path) -> None:
    assert run("list") == (
        0,
        "No sessions in this directory; 'ml-intern sessions list --all' looks everywhere.\n",
    )
    keep_session(state, "aaaa", "train it", cwd=str(work))
    keep_session(state, "bbbb", "write it", cwd=str(work))
    assert "bbbb" not in run("list", "IT", "train")[1]
    assert run("list", "--all", "nothing", "at", "all") == (0, "No sessions about 'nothing at all'.\n")
    assert run("list", "--all", "--json", "nothing") == (0, "[]\n")


def test_the_list_as_json(run: Run, state: Path, work: Path) -> None:
    path = keep_session(state, "aaaa", "train it", cwd=str(work))
    (item,) = json.loads(run("list", "--json")[1])
    assert item["path"] == str(path) and item["turns"] == 1 and item["cost_usd"] == 0.25
    assert set(item) == set(
        "id path title preview cwd model started last_used turns messages cost_usd cost_known size_bytes is_running "
        "parent".split()
    )


# --- show ------------------------------------------------------------------------------------------------------------


def said(state: Path, work: Path) -> Path:
    """A session with hostile text, one call with arguments, and an answer with a code block."""
    path = keep_session(state, "abcd1234", "train \x1b[31mit\x07", cwd=str(work))
    journal = Journal.reopen(path, NO_SECRETS)
    tool_call = call("c9", "bash", json.dumps({"command": "python train.py --epochs 3"}))
    prompt = user_message("and now\nwith care")
    journal.append_message(prompt)
    journal.append_message(user_message("the guard speaks", "guard"))
    journal.append_message(assistant_message("I will run it.", (tool_call,)))
    journal.append_message(tool_message(tool_call, "loss 0.1\n```\nnot the end"))
    journal.append_event(Event(ToolOutput("bash", "c9", "loss 0.1\n```\nnot the end", True)))
    journal.append_message(assistant_message("Trained:\n```python\nx\n```"))
    journal.append("checkpoint", {"turn_id": prompt.id, "paths": ["train.py", "data/a.csv"]})
    journal.append("checkpoint", {"turn_id": "taken back", "paths": ["other.py"]})
    journal.append("title", {"title": "My run", "by": "person"})
    journal.close()
    return path


def test_show_prints_the_facts_and_what_was_said(run: Run, state: Path, work: Path) -> None:
    path = said(state, work)
    code, text = run("show", "1")
    assert code == 0 and "\x1b" not in text and "\x07" not in text
    head, _, conversation = text.partition("\n\n")
    facts = dict(line.split(":", 1) for line in head.splitlines())
    assert {name: value.strip() for name, value in facts.items() if name not in {"started", "last used"}} == {
        "title": "My run",
        "id": "abcd1234",
        "state": "was cut off",
        "model": "replay/demo",
        "directory": str(work),
        "turns": "2",
        "cost": "$0.25",
        "files changed": "train.py, data/a.csv",
        "file": str(path),
    }
    assert conversation == (
        "> train it\n\n  * bash ls\n\nDone.\n\n> and now\n> with care\n\nI will run it.\n"
        "  * bash python train.py --epochs 3\n\nTrained:\n```python\nx\n```\n"
    )


def test_show_as_json(run: Run, state: Path, work: Path) -> None:
    said(state, work)
    shown = json.loads(run("show", "My run", "--json")[1])
    assert shown["session"]["files_changed"] == ["train.py", "data/a.csv"]
    assert [message["role"] for message in shown["messages"]][:4] == ["user", "assistant", "tool", "assistant"]


# --- rm --------------------------------------------------------------------------------------------------------------


def test_rm_asks_on_a_terminal(run: Run, state: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keep_session(state, "abcd1234", "hello", cwd=str(work))
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    code, text = run("rm", "abcd")
    assert code == 0 and "hello" in text and "Remove 1 session for good? [y/N]" in text
    assert path.exists()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    code, text = run("rm", "abcd", "abcd1234")
    assert code == 0 and text.count("Removed abcd1234 hello") == 1
    assert not path.exists()


def test_rm_without_a_terminal_needs_a_yes(
    run: Run, state: Path, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = keep_session(state, "abcd1234", "hello", cwd=str(work))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert run("rm", "abcd") == (2, "")
    assert capsys.readouterr().err == "ml-intern: nothing was removed: without a terminal to ask on, say --yes\n"
    assert path.exists()
    assert run("rm", "--yes", "abcd")[0] == 0
    assert not path.exists()


def test_rm_removes_nothing_if_one_of_the_names_is_wrong(
    run: Run, state: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = keep_session(state, "abcd1234", "hello", cwd=str(work))
    assert run("rm", "--yes", "abcd", "zzzz")[0] == 2
    assert capsys.readouterr().err.startswith("ml-intern: there is no session 'zzzz'")
    assert path.exists()


# --- rename ----------------------------------------------------------------------------------------------------------


def test_rename(run: Run, state: Path, work: Path, environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    environ["HF_TOKEN"] = "hf_abcdefghijk"
    path = keep_session(state, "abcd1234", "hello", cwd=str(work))
    said = run("rename", "1", "The", "hf_abcdefghijk ", "run")
    assert said == (0, "abcd1234 is now called The [REDACTED:HF_TOKEN] run\n")
    assert "The [REDACTED:HF_TOKEN] run" in run("list")[1]
    assert "hf_abc" not in path.read_text()
    assert run("rename", "1", " ")[0] == 2
    journal = Journal.reopen(path, NO_SECRETS)
    journal.append("resume", {"cwd": str(work)})
    capsys.readouterr()
    assert run("rename", "1", "Other") == (1, "")
    assert "use /rename there" in capsys.readouterr().err
    journal.close()


# --- export ----------------------------------------------------------------------------------------------------------


def test_export_as_markdown_keeps_its_blocks_closed(run: Run, state: Path, work: Path) -> None:
    said(state, work)
    code, text = run("export", "1")
    assert code == 0 and "\x1b" not in text
    assert text.startswith("# My run\n\n```\ntitle:")
    assert "````\nloss 0.1\n```\nnot the end\n````" in text
    assert '```json\n{\n  "command": "python train.py --epochs 3"\n}\n```' in text
    assert "the guard speaks" not in text


def test_export_as_json_is_whole(run: Run, state: Path, work: Path) -> None:
    said(state, work)
    code, text = run("export", "abcd", "--format", "json")
    whole: dict[str, Any] = json.loads(text)
    assert code == 0 and set(whole) == {"session", "messages", "events"}
    assert [message["role"] for message in whole["messages"]].count("tool") == 2
    outputs = [event["data"] for event in whole["events"] if event["event_type"] == "tool_output"]
    assert [data["output"] for data in outputs] == ["a.py", "loss 0.1\n```\nnot the end"]
    (started,) = [event["data"] for event in whole["events"] if event["event_type"] == "tool_call"]
    assert started["arguments"] == {"command": "ls"}


def test_export_to_a_private_file_that_is_not_overwritten(
    run: Run, state: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(state, work)
    target = work / "run.md"
    assert run("export", "1", "-o", "run.md") == (0, f"Written to {target}\n")
    assert target.stat().st_mode & 0o777 == 0o600
    target.write_text("mine")
    target.chmod(0o644)
    assert run("export", "1", "-o", "run.md")[0] == 2
    assert capsys.readouterr().err == f"ml-intern: {target} exists; say --force to overwrite it\n"
    assert target.read_text() == "mine"
    assert run("export", "1", "-o", "run.md", "--force")[0] == 0
    assert target.read_text().startswith("# My run")
    assert target.stat().st_mode & 0o777 == 0o600
    assert run("export", "1", "-o", "no/such/run.md")[0] == 1


# --- usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["show"], ["frobnicate"], ["list", "-n", "0"], ["export", "1", "--format", "pdf"]])
def test_usage_errors(run: Run, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*argv) == (2, "")
    assert "usage: ml-intern sessions" in capsys.readouterr().err


def test_a_journal_of_a_newer_program(run: Run, state: Path, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = keep_session(state, "abcd1234", "hello", cwd=str(work))
    with path.open("a") as file:
        file.write('{"v":2,"seq":100,"ts":"","kind":"end","data":{}}\n')
    assert run("show", "abcd")[0] == 1
    assert "update ml-intern" in capsys.readouterr().err


def test_as_a_command(tmp_path: Path, environ: dict[str, str], state: Path, work: Path) -> None:
    keep_session(state, "abcd1234", "train a model", cwd=str(work))
    code = (
        "import sys, os; from pathlib import Path; from agent.cli.sessions_command import run_sessions; "
        "code = run_sessions(sys.argv[1:], environ=os.environ, cwd=Path.cwd(), out=sys.stdout); "
        "heavy = {'litellm', 'prompt_toolkit', 'rich', 'pydantic', 'asyncio'} & set(sys.modules); "
        "sys.exit(f'imports {heavy}' if heavy else code)"
    )
    command = [sys.executable, "-c", code, "list"]
    done = subprocess.run(command, env=environ, cwd=work, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "abcd1234      1  train a model" in done.stdout
