"""/help, and the commands about the conversation."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli import commands
from agent.cli.commands.registry import GROUPS, REGISTRY
from agent.protocol.operations import OpType
from tests.unit.cli.commands.recording import RecordingApp


@pytest.mark.parametrize("width", [40, 80, 120, 200])
async def test_the_help_lists_every_command_once_below_its_heading_and_within_the_width(
    tmp_path: Path, width: int
) -> None:
    app = RecordingApp(tmp_path, width=width)
    await app.type("/help")
    lines = app.text.split("\n")
    assert max(map(len, lines)) < width
    used = [group for group in GROUPS if any(one.group == group for one in REGISTRY.values())]
    assert [line for line in lines if line[:1].strip()] == [*used, "Keys"]
    for name in REGISTRY:
        assert sum(line.strip().split(" ")[0] == f"/{name}" for line in lines) == 1
    for key in ("Up", "Ctrl-Z", "Ctrl-R", "Ctrl-G", "Ctrl-O", "Shift-Tab", "Esc Esc", "@file", "!command", "#note"):
        assert any(line.strip().startswith(key) for line in lines)


async def test_names_and_meanings_are_aligned(tmp_path: Path) -> None:
    app = RecordingApp(tmp_path)
    await app.type("/help")
    columns = {line.index(text) for line in app.text.split("\n") for text in ("Leave;", "search what") if text in line}
    assert len(columns) == 1


async def test_a_question_mark_asks_for_help(tmp_path: Path) -> None:
    app = RecordingApp(tmp_path)
    await app.enter("/? effort")
    assert app.text.startswith("/effort [level|off]\n  Show or change")
    assert commands.is_command("/?")


async def test_help_for_one_command(tmp_path: Path) -> None:
    app = RecordingApp(tmp_path)
    await app.type("/help effort")
    assert "/effort [level|off]" in app.text
    assert "minimal, low" in app.text
    await app.type("/help /clear")
    assert "/new (also /clear)" in app.said[-1]
    assert "/resume goes on with it" in app.said[-1]
    await app.type("/help statsu")
    assert "Did you mean /status" in app.complaints[-1]
    await app.type("/help share-traces")
    assert "/share-traces [on|off|private|public]" in app.said[-1]


@pytest.mark.parametrize("line", ["/new", "/clear"])
async def test_a_new_conversation_leaves_the_screen_as_it_is(tmp_path: Path, line: str) -> None:
    app = RecordingApp(tmp_path)
    await app.type(line)
    assert app.operations == [(OpType.NEW, {"clear_screen": False})]


async def test_compact_rename_and_quit(tmp_path: Path) -> None:
    app = RecordingApp(tmp_path)
    await app.type("/compact the metrics")
    await app.type("/rename  Colours and more ")
    await app.type("/rename")
    assert app.operations == [
        (OpType.COMPACT, {"instructions": "the metrics"}),
        (OpType.RENAME, {"title": "Colours and more"}),
    ]
    assert app.complaints == ["Say which title: /rename TITLE."]
    await app.type("/exit")
    assert app.has_left
