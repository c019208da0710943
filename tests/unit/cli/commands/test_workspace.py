"""`/context`, `/tools`, `/diff` and `/feedback`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.commands.workspace import BAR_CELLS, context_text
from agent.protocol.events import ContextReport, ErrorRaised, Feedback, Payload, ToolInfo, WorkspaceDiff
from agent.protocol.operations import OpType
from tests.unit.cli.commands.recording import RecordingApp

TOOLS = (ToolInfo("bash", "Run a \x1b[31mcommand.", 400), ToolInfo("write_file", "Write a file.", 100))
REPORT = ContextReport(200_000, 180_000, 30_000, 5_000, 15_000, 10_000, 12, TOOLS, ("/w/AGENTS.md",))


async def entered(line: str, end: Payload) -> RecordingApp:
    """A command typed where every operation ends with `end`."""
    app = RecordingApp(Path("/w"))
    app.ends = dict.fromkeys(OpType, end)
    await app.type(line)
    return app


async def test_context_is_a_small_table() -> None:
    app = await entered("/context", REPORT)
    assert "\n".join(app.said).split("\n") == [
        "█▓▒░░░░░░░░░░░░░░░░░  about 30,000 of 200,000 tokens",
        "█ System prompt    5,000    2 %",
        "▓ Tools (2)       15,000    8 %",
        "▒ Messages (12)   10,000    5 %",
        "░ Free           170,000   85 %",
        "Above 180,000 tokens the conversation is shortened.",
        "Memory: /w/AGENTS.md",
    ]


@given(sizes=st.lists(st.integers(0, 10**6), min_size=3, max_size=3), window=st.integers(1, 10**6))
def test_the_bar_has_its_cells_whatever_the_figures(sizes: list[int], window: int) -> None:
    bar = context_text(ContextReport(window, window, sum(sizes), *sizes, 1)).split("  ")[0]
    assert len(bar) == (BAR_CELLS if sum(sizes) or window else 0)


async def test_tools_are_listed() -> None:
    app = await entered("/tools", REPORT)
    assert app.operations == [(OpType.CONTEXT, None)]
    assert app.said[0].split("\n")[1] == "write_file  Write a file."
    assert "\x1b" not in app.said[0]


async def test_a_diff_is_shown_whole_and_harmless() -> None:
    diff = "--- a/f\n+++ b/f\n@@ -1 +1,3000 @@\n" + "\n".join(f"+line {n}\x1b[2J" for n in range(3000))
    app = await entered("/diff", WorkspaceDiff(diff, "too large to be kept: data.csv"))
    assert app.said[0].startswith("--- a/f\n+++ b/f\n")
    assert "+line 2999" in app.said[0]
    assert "\x1b" not in app.said[0]
    assert app.said[1:] == ["Note: too large to be kept: data.csv"]


async def test_no_changes() -> None:
    assert (await entered("/diff", WorkspaceDiff(""))).said == ["No changes."]


@pytest.mark.parametrize("line", ["/diff", "/context", "/tools", "/feedback good"])
async def test_a_failed_operation_is_left_to_its_event(line: str) -> None:
    assert (await entered(line, ErrorRaised("No."))).said == []


async def test_feedback() -> None:
    app = await entered("/feedback bad  it forgot the tests", Feedback("down"))
    assert app.operations == [(OpType.FEEDBACK, {"rating": "down", "comment": "it forgot the tests"})]
    assert "this machine" in app.said[0]


@pytest.mark.parametrize("line", ["/feedback", "/feedback meh"])
async def test_feedback_needs_a_rating(line: str) -> None:
    app = await entered(line, Feedback("up"))
    assert app.operations == []
    assert len(app.complaints) == 1
