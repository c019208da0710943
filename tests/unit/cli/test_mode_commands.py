"""The commands /mode, /plan and /yolo, on a real session."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from agent.cli.commands import find
from agent.cli.status import Status
from agent.protocol.events import Payload, SettingsChanged
from agent.protocol.modes import MEANINGS, MODES, Mode
from agent.protocol.operations import OpType
from agent.ui.notices import operation_lines
from tests.unit.core.loop import Loop, running


class Desk:
    """What the commands see of the terminal, and what a person would read there."""

    def __init__(self, loop: Loop) -> None:
        self.status = Status(mode=loop.session.mode)
        self.read: list[str] = []
        self.submitted: list[str] = []
        self._loop = loop

    def say(self, text: str) -> None:
        self.read += text.splitlines()

    def complain(self, text: str) -> None:
        self.read.append(text)

    def later(self, text: str) -> None:
        self.submitted.append(text)

    async def operate(self, op_type: OpType, data: dict[str, Any] | None = None) -> Payload:
        event = await self._loop.operate(op_type, **(data or {}))
        self.status.see(event)
        if isinstance(event.payload, SettingsChanged):
            self.read += operation_lines(event.payload)
        return event.payload

    async def type(self, text: str) -> list[str]:
        self.read = []
        command, argument = find(text)
        await command.run(cast(Any, self), argument)
        return self.read


@pytest.mark.parametrize("mode", MODES)
async def test_mode_switches_and_says_in_one_line_what_it_means(tmp_path: Path, mode: Mode) -> None:
    async with running(tmp_path, headless=False, mode="ask") as loop:
        desk = Desk(loop)
        assert await desk.type(f"/mode {mode.upper()}") == [f"Mode {mode}: {MEANINGS[mode]}."]
        assert (loop.session.mode, desk.status.mode) == (mode, mode)


async def test_mode_alone_shows_all_and_marks_the_present_one(tmp_path: Path) -> None:
    async with running(tmp_path, headless=False, mode="auto-edit") as loop:
        lines = await Desk(loop).type("/mode")
        assert [line.split()[0] for line in lines if not line.startswith("*")] == ["ask", "plan", "yolo"]
        assert "* auto-edit  edits" in "\n".join(lines)


async def test_an_unknown_mode_names_those_there_are(tmp_path: Path) -> None:
    async with running(tmp_path, headless=False, mode="ask") as loop:
        (line,) = await Desk(loop).type("/mode fast")
        assert all(f"/mode {mode}" in line for mode in MODES)
        assert loop.session.mode == "ask"


async def test_plan_switches_and_submits_the_task(tmp_path: Path) -> None:
    async with running(tmp_path, headless=False, mode="ask") as loop:
        desk = Desk(loop)
        assert await desk.type("/plan train a BERT") == [f"Mode plan: {MEANINGS['plan']}."]
        assert desk.submitted == ["train a BERT"]
        assert await desk.type("/plan another") == []
        assert desk.submitted == ["train a BERT", "another"]
        assert "already" in (await desk.type("/plan"))[0]
        assert loop.session.mode == "plan"


async def test_plan_alone_only_switches(tmp_path: Path) -> None:
    async with running(tmp_path, headless=False, mode="yolo") as loop:
        desk = Desk(loop)
        assert len(await desk.type("/plan")) == 1
        assert (desk.submitted, loop.session.mode) == ([], "plan")


async def test_yolo_toggles_and_takes_on_and_off(tmp_path: Path) -> None:
    async with running(tmp_path, headless=False, mode="ask") as loop:
        desk = Desk(loop)
        for typed, mode in [("", "yolo"), ("", "ask"), ("on", "yolo"), ("on", "yolo"), ("off", "ask")]:
            assert await desk.type(f"/yolo {typed}") == [f"Mode {mode}: {MEANINGS[mode]}."]
            assert loop.session.mode == mode
        assert await desk.type("/yolo maybe") == ["Say /yolo, /yolo on or /yolo off."]
