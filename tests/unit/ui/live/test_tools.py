from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agent.protocol import events as e
from agent.ui.live.progress import bar_line
from agent.ui.sanitize import cell_width
from agent.ui.terminal import TerminalRenderer
from tests.unit.ui.live.test_answer import text_of
from tests.unit.ui.samples import printed, recording_console
from tests.unit.ui.test_snapshots import Clock

START = e.ToolCallStarted("bash", {"command": "make"}, "1")


class Stage:
    """A renderer, its console and its clock."""

    def __init__(self, *payloads: e.Payload, width: int = 80) -> None:
        self.console: Console = recording_console(width)
        self.clock = Clock()
        self.changes = 0
        self.renderer = TerminalRenderer(self.console, on_change=self._changed, clock=self.clock)
        self.play(*payloads)

    def _changed(self) -> None:
        self.changes += 1

    def play(self, *payloads: e.Payload) -> None:
        for payload in payloads:
            self.renderer.handle(e.Event(payload))

    def live(self, width: int = 80, rows: int = 20) -> str:
        return text_of(self.renderer.live_lines(width, rows))

    @property
    def printed(self) -> str:
        return printed(self.console)


def test_a_call_is_live_until_its_result() -> None:
    stage = Stage(START)
    assert stage.live() == "▸ bash  make  0s"
    stage.clock.now = 125
    assert stage.renderer.is_ticking
    assert stage.live() == "▸ bash  make  2m 05s"
    assert stage.printed == ""
    stage.play(e.ToolOutput("bash", "1", "ok\n", True, None, 125.0))
    assert stage.live() == ""
    assert not stage.renderer.is_ticking
    assert stage.printed == "✓ bash  make  2m 05s, 1 line\n  ok\n"


def test_every_event_says_that_the_lines_may_have_changed() -> None:
    stage = Stage(START)
    stage.renderer.note("x")
    assert stage.changes == 2


def test_the_tail_follows_what_is_printed() -> None:
    stage = Stage(START, e.ToolProgress("bash", "1", "\n".join(f"step {n}" for n in range(9))))
    assert stage.live().split("\n")[1:] == [f"  step {n}" for n in range(4, 9)]
    stage.play(e.ToolProgress("bash", "1", "over\x1b[2J\n\n"), e.ToolProgress("bash", "unknown", "x"))
    assert stage.live().split("\n")[1:] == ["  over"]
    assert stage.live(rows=1) == "▸ bash  make  0s"


def test_a_stopped_call_is_said_to_be_interrupted_once() -> None:
    stage = Stage(e.Processing(), START, e.ToolCallStarted("bash", {"command": "sleep"}, "2"))
    stage.clock.now = 12
    stage.play(
        e.ToolStateChange("1", "bash", "cancelled"),
        e.ToolOutput("bash", "1", "half\n[stopped]", False, None, 12.0),
        e.Interrupted(),
        e.ToolOutput("bash", "2", "late", True),
    )
    assert stage.printed == ("\n✗ bash  make  12s, interrupted\n✗ bash  sleep  12s, interrupted\n\nInterrupted\n")
    assert stage.live() == ""
    assert stage.renderer.expand_last()
    assert stage.printed.endswith("bash  make  2 lines\n  half\n  [stopped]\n")


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (e.ToolProgress("t", "1", done=1, total=4, unit="files"), "█████░░░░░░░░░░░░░░░ 25% 1 of 4 files"),
        (e.ToolProgress("t", "1", done=5, total=4), "████████████████████ 100% 5 of 4"),
        (e.ToolProgress("t", "1", done=2_500_000, unit="bytes", label="x.bin"), "x.bin 2.5 MB"),
        (e.ToolProgress("t", "1", done=3, total=0, unit="jobs"), "3 jobs"),
        (e.ToolProgress("t", "1", done=float("nan"), total=1), ""),
        (e.ToolProgress("t", "1", total=1), ""),
    ],
)
def test_progress_is_a_bar_where_the_total_is_known(progress: e.ToolProgress, line: str) -> None:
    assert bar_line(progress, 60) == line


@given(st.none() | st.floats(), st.none() | st.floats(), st.text(), st.text(), st.integers(0, 200))
def test_any_progress_fits(done: float | None, total: float | None, unit: str, label: str, width: int) -> None:
    line = bar_line(e.ToolProgress("t", "1", done=done, total=total, unit=unit, label=label), width)
    assert cell_width(line) <= width
    assert "\n" not in line


def test_outputs_are_expanded_one_before_the_other() -> None:
    outputs = [e.ToolOutput("bash", str(n), "\n".join(f"{n}.{line}" for line in range(10)), True) for n in range(2)]
    stage = Stage(*outputs)
    renderer = stage.renderer
    before = len(stage.printed)
    assert renderer.expand_last()
    assert stage.printed[before:] == "\nbash  10 lines\n" + "".join(f"  1.{line}\n" for line in range(10))
    assert renderer.expand_last()
    assert stage.printed.endswith("  0.9\n")
    assert not renderer.expand_last()
    stage.play(e.ToolOutput("read", "9", "new", True))
    assert renderer.expand_last()
    assert stage.printed.endswith("read  1 line\n  new\n")


def test_what_a_running_call_has_printed_can_be_expanded() -> None:
    before = e.ToolOutput("read", "0", "old", True)
    so_far = e.ToolProgress("bash", "1", "\n".join(f"step {n}" for n in range(9)))
    stage = Stage(before, START, so_far)
    assert stage.renderer.expand_last()
    assert stage.printed.endswith("\nbash  make  (so far)  9 lines\n" + "".join(f"  step {n}\n" for n in range(9)))
    assert stage.renderer.expand_last()
    assert stage.printed.endswith("read  1 line\n  old\n")
    stage.play(so_far, e.ToolOutput("read", "9", "new", True))
    assert stage.renderer.expand_last()
    assert stage.printed.endswith("read  1 line\n  new\n")


def test_the_person_s_own_command_is_at_work() -> None:
    stage = Stage(e.PlanUpdate((e.PlanItem("1", "Train", "in_progress"),)))
    stage.play(e.ToolCallStarted("bash", {"command": "make all"}, "shell_1"))
    stage.clock.now = 3
    assert stage.live().split("\n")[-1] == "Working… 3s · running make all · Esc stops"
    assert stage.renderer.is_ticking
    stage.play(e.ToolOutput("bash", "shell_1", "ok", True), e.CommandRun("make all", "ok", True))
    assert stage.live() == ""
    assert not stage.renderer.is_ticking
    stage.play(e.Processing())
    assert stage.live().strip() == "Working… 0s · Train · Esc stops"


def test_expanded_output_is_bounded() -> None:
    stage = Stage(e.ToolOutput("read", "1", "\n".join(str(line) for line in range(5_000)), True))
    assert stage.renderer.expand_last()
    lines = stage.printed.split("\n")
    assert len(lines) == 1 + 1 + 1 + 2_001 + 1
    assert "  … 3000 lines left out here" in lines
    assert lines[-2] == "  4999"


def test_nothing_to_expand() -> None:
    assert not Stage(e.ToolOutput("bash", "1", "(no output)", True)).renderer.expand_last()


def test_sub_agents_become_one_line() -> None:
    research = e.ToolCallStarted("research", {"task": "x"}, "r")
    stage = Stage(e.Processing(), research, e.ToolLog("research", "tools:3", "r", "Look [/x]"))
    stage.play(*(e.ToolLog("research", f"▸ papers {n}", "r", "Look [/x]") for n in range(6)))
    for counter in ("tokens:12000", "tokens:", "tokens:-1", "tools:9e99", "tokens:" + "9" * 5_000):
        stage.play(e.ToolLog("research", counter, "r", "Look [/x]"))
    assert stage.live(rows=5) == (
        "▸ Look [/x] (3 tool uses · 12k tokens · 0s)\n  papers 2\n  papers 3\n  papers 4\n"
        "Working… 0s · running research · Esc stops"
    )
    stage.clock.now = 61
    stage.play(e.ToolOutput("research", "r", "Answer", True, None, 61.0), e.ToolLog("research", "late", "r"))
    assert stage.printed == "\n✓ Look [/x] (3 tool uses · 12k tokens · 1m 01s)\n"
    stage.play(e.TurnComplete(1, None))
    assert stage.live() == ""
    assert stage.printed.count("Look") == 1


def test_the_activity_names_what_is_going_on() -> None:
    stage = Stage(e.Processing())
    assert stage.live() == "\nWorking… 0s · waiting for the model · Esc stops"
    stage.play(e.ToolLog("system", "The model is busy, again in 4 s"))
    assert "· The model is busy, again in 4 s ·" in stage.live()
    stage.play(e.AssistantChunk("Hi"))
    assert "· writing ·" in stage.live()
    stage.play(START)
    assert "· running bash ·" in stage.live()
    stage.play(e.PlanUpdate((e.PlanItem("1", "Train", "in_progress"),)))
    assert "· Train ·" in stage.live()
    assert stage.live(width=24, rows=1) == "Working… 0s · Train"
    assert stage.live(width=5, rows=1) == "Work…"


def test_the_person_s_time_does_not_count() -> None:
    stage = Stage(e.Processing())
    stage.clock.now = 10
    stage.play(e.ApprovalRequired((), 0))
    assert stage.live() == ""
    assert not stage.renderer.is_ticking
    stage.clock.now = 1_000
    stage.play(e.Processing())
    stage.clock.now = 1_005
    assert "Working… 15s" in stage.live()
    stage.play(e.TurnComplete(1, None))
    stage.play(e.Processing())
    assert "Working… 0s" in stage.live()


def test_nothing_is_live_in_plain_mode() -> None:
    renderer = TerminalRenderer(recording_console(80), live=False)
    for payload in (e.Processing(), START, e.AssistantChunk("x")):
        renderer.handle(e.Event(payload))
        assert renderer.live_lines(80, 20) == []
        assert not renderer.is_ticking
