from __future__ import annotations

import io
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from agent.protocol import events as e
from agent.ui.text import TextRenderer
from tests.unit.ui.samples import HOSTILE, all_events, assert_calm


def play(*payloads: e.Payload, verbose: bool = False) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    renderer = TextRenderer(out, err, verbose=verbose)
    for seq, payload in enumerate(payloads, 1):
        renderer.handle(e.Event(payload, seq))
    renderer.close()
    renderer.close()
    return out.getvalue(), err.getvalue()


def answer(text: str) -> tuple[e.Payload, ...]:
    return (*(e.AssistantChunk(char) for char in text), e.AssistantStreamEnd())


CALL = e.ToolCallStarted("bash", {"command": "python train.py"}, "1")
OK = e.ToolOutput("bash", "1", "a\nb\n", True, None, 1.2)


def test_a_tool_of_a_server_is_named_in_plain_words() -> None:
    tool, arguments = "mcp__files__read_file", {"path": "a.csv"}
    item = e.ApprovalItem(tool, arguments, "1", "asks")
    started = (e.ApprovalRequired((item,), 1), e.ToolStateChange("1", tool, "running"))
    _, err = play(*started, e.ToolOutput(tool, "1", "x", True, None, 1.2))
    assert err.splitlines() == [
        "needs approval: files: read_file  a.csv (asks)",
        "▸ files: read_file  a.csv",
        "✓ files: read_file 1.2s, 1 line",
    ]


def test_a_whole_turn() -> None:
    out, err = play(
        e.Ready("ready", 5, "s1", "replay/demo"),
        e.Processing(),
        *answer("I will look."),
        e.LLMCall("m", "main", 1, "stop", None, False),
        CALL,
        e.ToolLog("system", "Retrying in 3 s"),
        e.ToolLog("hf_jobs", "step 1"),
        OK,
        e.PlanUpdate((e.PlanItem("1", "Load", "completed"), e.PlanItem("2", "Train", "in_progress"))),
        e.PlanUpdate((e.PlanItem("1", "Load", "completed"), e.PlanItem("2", "Train", "in_progress"))),
        *answer("# Done\n\naccuracy 0.9\n\n"),
        e.TurnComplete(5, "# Done\n\naccuracy 0.9\n\n"),
        e.Shutdown(),
    )
    assert out == "# Done\n\naccuracy 0.9\n"
    assert err.splitlines() == [
        "session s1, model replay/demo",
        "I will look.",
        "▸ bash  python train.py",
        "note: Retrying in 3 s",
        "  hf_jobs: step 1",
        "✓ bash 1.2s, 2 lines",
        "Plan, 1 of 2 done",
        "  ✓ Load",
        "  ▸ Train",
    ]


def test_only_the_final_response_is_the_answer() -> None:
    assert play(*answer("one"), *answer("two"), e.TurnComplete(1, "two")) == ("two\n", "one\n")
    assert play(*answer("one"), e.TurnComplete(1, "other")) == ("other\n", "one\n")
    assert play(*answer("one"), e.TurnComplete(1, None)) == ("", "one\n")
    assert play(*answer("half"), e.Interrupted()) == ("", "half\ninterrupted\n")
    assert play(*answer("half"), e.ErrorRaised("no key [/x]", "auth")) == ("", "half\nerror: no key [/x]\n")
    assert play(e.AssistantMessage("one"), CALL, e.AssistantMessage("two"), e.TurnComplete(1, "two")) == (
        "two\n",
        "one\n▸ bash  python train.py\n",
    )
    assert play(*answer("one")) == ("", "one\n")


def test_the_iteration_limit_is_said() -> None:
    assert play(e.TurnComplete(1, "so far", "iteration_limit")) == (
        "so far\n",
        'note: stopped at the iteration limit; to go on: ml-intern --continue "go on"\n',
    )


def test_a_limit_on_money_or_time_is_said_with_the_way_on() -> None:
    ready = e.Ready("ready", 5, "s1", "m")
    status = e.BudgetStatus(4.984, 1.2, 0.0, 5.0)
    assert play(ready, status, e.TurnComplete(1, "so far", "budget")) == (
        "so far\n",
        "session s1, model m\n"
        "note: stopped at the budget: $4.98 of $5.00 spent, up to $1.20 of it at unknown prices; "
        'to go on: ml-intern --resume s1 --max-cost-usd MORE "go on"\n',
    )
    renderer = TextRenderer(io.StringIO(), err := io.StringIO())
    began = datetime(2026, 11, 21, tzinfo=UTC)
    renderer.handle(e.Event(ready, 1, began))
    renderer.handle(e.Event(e.TurnComplete(1, None, "time_limit"), 2, began + timedelta(hours=1, minutes=2)))
    assert err.getvalue().splitlines()[1:] == [
        'note: stopped at the time limit, after 1h 02m; to go on: ml-intern --resume s1 --max-wall MORE "go on"'
    ]


def test_steering_is_a_detail_and_the_budget_no_line() -> None:
    payloads = e.Steered("also the\ntests"), e.BudgetStatus(1.0, 0.0, 0.0, None)
    assert play(*payloads) == ("", "")
    assert play(*payloads, verbose=True) == ("", "> also the tests\n")


def test_refused_and_failed_calls_show_why() -> None:
    item = e.ApprovalItem("hf_jobs", {"operation": "logs", "job_id": "68f0"}, "9", "scheduled jobs need a person")
    _, err = play(
        e.ApprovalRequired((item,), 1),
        e.ToolStateChange("9", "hf_jobs", "rejected"),
        e.ToolOutput("hf_jobs", "9", "The person did not approve this call.", False),
        CALL,
        e.ToolOutput("bash", "1", "x\nValueError: bad\n[exit code 1]", False, None, 0.3),
    )
    assert err.splitlines() == [
        "needs approval: hf_jobs  logs 68f0 (scheduled jobs need a person)",
        "✗ hf_jobs 0.0s: The person did not approve this call.  (logs 68f0)",
        "▸ bash  python train.py",
        "✗ bash 0.3s: exit code 1: ValueError: bad",
    ]


def test_verbose_adds_model_calls_and_telemetry() -> None:
    call = e.LLMCall("m", "main", 1500, "stop", 0.0123, True, prompt_tokens=12_300, completion_tokens=45)
    job = e.HfJobSubmit("j", "u", "a10g", "1h", "uv", "i", "n", True)
    assert play(call, job) == ("", "")
    _, err = play(call, job, verbose=True)
    assert err.splitlines()[0] == "· m (main): 12.3k in, 45 out, $0.0123, 1.5s"
    assert err.splitlines()[1].startswith('· hf_job_submit {"job_id": "j"')


@pytest.mark.parametrize("verbose", [True, False])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_text_in_any_event(text: str, verbose: bool) -> None:
    for event in all_events(text):
        for shown in play(event.payload, verbose=verbose):
            assert_calm(shown)
    for shown in play(*(event.payload for event in all_events(text)), verbose=verbose):
        assert_calm(shown)


def test_control_sequences_cut_by_chunks_are_still_caught() -> None:
    out, _ = play(*answer("a\x1b[2Jb\x1b]52;c;x\x07"), e.TurnComplete(1, "a\x1b[2Jb\x1b]52;c;x\x07"))
    assert out == "ab\n"


def test_progress_is_plain_ascii_where_the_terminal_is() -> None:
    raw = io.BytesIO()
    renderer = TextRenderer(io.StringIO(), io.TextIOWrapper(raw, encoding="ascii"))
    for payload in (CALL, OK):
        renderer.handle(e.Event(payload))
    assert raw.getvalue() == b"> bash  python train.py\n+ bash 1.2s, 2 lines\n"


def test_a_reader_who_left_does_not_stop_the_run() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        renderer = TextRenderer(stream, io.StringIO())
        assert not renderer.broken_pipe
        renderer.handle(e.Event(e.TurnComplete(1, "x" * 100_000)))
        renderer.handle(e.Event(CALL))
        renderer.close()
        assert renderer.broken_pipe


def test_headless_output_needs_no_terminal_library() -> None:
    code = (
        "import sys, agent.ui.text, agent.ui.json_lines, agent.ui.renderer\n"
        "print(sorted({'rich', 'prompt_toolkit', 'pygments', 'markdown_it'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
