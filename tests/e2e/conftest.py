"""Fixtures of the tests that run the installed command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conversation import Talk
from tests.e2e.terminal import Terminal


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The project that the command works in."""
    path = tmp_path / "project"
    path.mkdir()
    return path


@pytest.fixture
def talk(env: dict[str, str], tmp_path: Path, work: Path) -> Iterator[Talk]:
    """Start a conversation with a scripted model; it is at the prompt when this returns."""
    terminals: list[Terminal] = []

    def start(
        *answers: dict[str, Any],
        args: tuple[str, ...] = (),
        more_env: dict[str, str] | None = None,
        columns: int = 100,
        rows: int = 30,
    ) -> Terminal:
        script = tmp_path / "script.jsonl"
        script.write_text("\n".join(json.dumps(answer) for answer in answers))
        model = ("-m", f"replay/{script}") if answers else ()
        terminal = Terminal([*model, *args], env | (more_env or {}), cwd=work, columns=columns, rows=rows)
        terminals.append(terminal)
        if answers:
            terminal.wait_for("Ctrl-D leaves")
            terminal.wait_for(r"(?m)^> ")
        return terminal

    yield start
    for terminal in terminals:
        terminal.close()
