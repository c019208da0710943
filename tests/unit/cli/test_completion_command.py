"""`ml-intern completion`: what real shells make of the scripts."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli.args import SHELLS, run_parser
from agent.cli.completion_command import run_completion

Complete = Callable[..., set[str]]


def script(shell: str) -> str:
    out = io.StringIO()
    assert run_completion(shell, out) == 0
    return out.getvalue()


@pytest.fixture
def complete(tmp_path: Path) -> Complete:
    """What bash offers for the last word of a line; `ml-intern` itself is a program that knows two sessions."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    sessions = [{"id": "0a1b2c3d-0001", "title": 'my "id": "x"'}, {"id": "ffff0000-0002"}, {"id": "$(touch hacked)"}]
    program = tmp_path / "bin" / "ml-intern"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(sessions, indent=2)}\nEND\n")
    program.chmod(0o755)
    (tmp_path / "script").write_text(script("bash"))

    def complete(*words: str) -> set[str]:
        lines = [
            f"source {tmp_path}/script",
            'COMP_WORDS=(ml-intern "$@")',
            "COMP_CWORD=$#",
            "_ml_intern",
            'printf "%s\\n" "${COMPREPLY[@]}"',
        ]
        environ = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            [bash, "--norc", "-c", "\n".join(lines), "bash", *words],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return set(done.stdout.split())

    return complete


def test_bash_takes_the_script() -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", 'eval "$1"; complete -p ml-intern', "bash", script("bash")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "complete -o default -F _ml_intern ml-intern\n"
    assert done.stderr == ""


def test_commands_and_what_comes_after_them(complete: Complete) -> None:
    assert complete("") == {"config", "sessions", "trace", "doctor", "ps", "gc", "mcp", "completion"}
    assert complete("do") == {"doctor"}
    assert complete("config", "") == {"show"}
    assert complete("mcp", "") == {"add", "list", "test", "remove"}
    assert complete("completion", "") == set(SHELLS)
    assert complete("sessions", "r") == {"rm", "rename", "rewind"}
    assert complete("trace", "") == {"view"}
    assert complete("trace", "view", "--n") == {"--no-open"}
    assert complete("sessions", "export", "1", "--format", "cl") == {"claude-code"}
    assert complete("sessions", "sft", "--no") == {"--not-tag"}
    assert complete("sessions", "rewind", "--f") == {"--files"}


def test_every_flag_of_the_parser_is_offered(complete: Complete) -> None:
    help_text = run_parser().format_help()
    offered = complete("--")
    assert {"--mode", "--resume", "--output-format", "--version"} <= offered
    assert all(flag in help_text for flag in offered)
    assert complete("doctor", "--pro") == {"--probe"}
    assert complete("config", "show", "--js") == {"--json"}
    assert complete("--debug", "--out") == {"--output-format"}


def test_choices_follow_their_flag(complete: Complete) -> None:
    assert complete("--mode", "") == {"ask", "auto-edit", "plan", "yolo"}
    assert complete("--output-format", "=", "st") == {"stream-json"}
    assert complete("--output-format", "=") == {"text", "json", "stream-json"}
    assert complete("doctor", "--theme", "d") == {"dark"}


def test_session_ids_are_asked_of_the_program(complete: Complete, tmp_path: Path) -> None:
    both = {"0a1b2c3d-0001", "ffff0000-0002"}
    assert complete("--resume", "") == both
    assert complete("-r", "ff") == {"ffff0000-0002"}
    assert complete("sessions", "show", "") == both
    assert complete("sessions", "rm", "ffff0000-0002", "0a") == {"0a1b2c3d-0001"}
    assert not Path("hacked").exists()  # an id is never run


def test_file_names_are_left_to_the_shell(complete: Complete) -> None:
    assert complete("--config", "") == set()
    assert complete("--max-iterations", "") == set()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_theirs(shell: str, tmp_path: Path) -> None:
    text = script(shell)
    assert "sessions rewind" in text
    assert "auto-edit" in text
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    (tmp_path / "script").write_text(text)
    subprocess.run([program, "--no-execute", str(tmp_path / "script")], check=True)
