"""The bundled demonstration, played by hand: its script fails, its edit repairs it, the report reads real output."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import agent.llm

DEMO = Path(agent.llm.__file__).parent / "replays" / "demo.jsonl"
NAME = re.compile(r"\{\{(\w+)\}\}")


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    lines = DEMO.read_text(encoding="utf-8").splitlines()
    parsed = [json.loads(line) for line in lines if line.strip() and not line.startswith("#")]
    return [answer for answer in parsed if not answer.get("restart")]


def text_of(answer: dict[str, Any]) -> str:
    text = answer["text"]
    return text if isinstance(text, str) else "".join(text)


def only_call(answer: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    (call,) = answer["tool_calls"]
    return call["name"], call["arguments"]


def run(command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """As the bash tool does it: one stream. `python3` is this interpreter, wherever the machine keeps its own."""
    program, *arguments = command.split()
    assert program == "python3"
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )


def test_answers_follow_the_story_and_the_tools_arguments(answers: list[dict[str, Any]]) -> None:
    names = [only_call(answer)[0] for answer in answers[:-1]]
    assert names == ["plan_tool", "write", "bash", "edit", "bash", "plan_tool"]
    assert "tool_calls" not in answers[-1]
    shapes = {
        "plan_tool": {"todos"},
        "write": {"path", "content"},
        "bash": {"command", "description"},
        "edit": {"path", "old_str", "new_str"},
    }
    for answer in answers[:-1]:
        name, arguments = only_call(answer)
        assert set(arguments) == shapes[name]
        assert text_of(answer)


def test_plan_opens_with_one_step_in_progress_and_closes_completed(answers: list[dict[str, Any]]) -> None:
    first, last = (only_call(answers[index])[1]["todos"] for index in (0, 5))
    assert [item["status"] for item in first] == ["in_progress", "pending", "pending", "pending"]
    assert [item["status"] for item in last] == ["completed"] * 4
    assert [(item["id"], item["content"]) for item in first] == [(item["id"], item["content"]) for item in last]


def test_script_fails_is_repaired_and_reports_real_numbers(answers: list[dict[str, Any]], tmp_path: Path) -> None:
    written, edit = only_call(answers[1])[1], only_call(answers[3])[1]
    assert written["path"] == edit["path"] == "train.py"
    assert len(written["content"].splitlines()) < 70
    path = tmp_path / written["path"]
    path.write_text(written["content"], encoding="utf-8")

    failed = run(only_call(answers[2])[1]["command"], tmp_path)
    assert failed.returncode != 0
    assert "Traceback" in failed.stdout

    assert written["content"].count(edit["old_str"]) == 1
    path.write_text(written["content"].replace(edit["old_str"], edit["new_str"]), encoding="utf-8")
    repaired = run(only_call(answers[4])[1]["command"], tmp_path)
    assert repaired.returncode == 0, repaired.stdout
    assert re.search(r"(?m)^step 0 loss \d", repaired.stdout)

    captured: dict[str, str] = {}
    for answer, output in ((answers[3], failed.stdout), (answers[5], repaired.stdout)):
        for name, pattern in answer["capture"].items():
            match = re.search(pattern, output)
            assert match, f"{name}: {pattern!r} is not in {output!r}"
            captured[name] = match.group(1)
    assert captured["error"].startswith("TypeError: ")
    assert float(captured["last_loss"]) < float(captured["first_loss"])
    assert float(captured["baseline"]) + 0.2 < float(captured["accuracy"]) < 1


def test_final_answer_names_only_what_was_captured_and_holds_no_number_of_its_own(
    answers: list[dict[str, Any]],
) -> None:
    known: set[str] = set()
    for answer in answers:
        known |= set(answer.get("capture", {}))
        assert set(NAME.findall(text_of(answer))) <= known
    final = text_of(answers[-1])
    assert {"baseline", "accuracy", "error"} <= set(NAME.findall(final))
    assert not re.search(r"\d\.\d", final)
    assert final.endswith("these numbers come from the run above.")


def test_script_runs_twice_to_the_same_numbers(answers: list[dict[str, Any]], tmp_path: Path) -> None:
    written, edit = only_call(answers[1])[1], only_call(answers[3])[1]
    (tmp_path / "train.py").write_text(written["content"].replace(edit["old_str"], edit["new_str"]), encoding="utf-8")
    assert run("python3 train.py", tmp_path).stdout == run("python3 train.py", tmp_path).stdout
