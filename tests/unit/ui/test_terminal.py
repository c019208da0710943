from __future__ import annotations

import io
import logging
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from agent.protocol import events as e
from agent.ui.terminal import TerminalRenderer
from tests.unit.ui.samples import HOSTILE, all_events, assert_calm, printed, recording_console
from tests.unit.ui.test_markdown_stream import ANYTHING

WIDTHS = (40, 80, 120)


def play(*payloads: e.Payload, width: int = 80, live: bool = True, **environ: str) -> str:
    console = recording_console(width, **environ)
    renderer = TerminalRenderer(console, live=live, clock=lambda: 0.0)
    for seq, payload in enumerate(payloads, 1):
        renderer.handle(e.Event(payload, seq))
    renderer.close()
    return printed(console)


def answer(text: str, size: int = 7) -> tuple[e.Payload, ...]:
    pieces = [e.AssistantChunk(text[i : i + size]) for i in range(0, len(text), size)]
    return (*pieces, e.AssistantStreamEnd())


def test_a_diff_that_was_approved_is_not_shown_again_but_a_changed_one_is() -> None:
    diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new"
    item = e.ApprovalItem("edit", {"path": "x"}, "1", preview=diff)
    asked = (e.ApprovalRequired((item,), 1), e.ToolStateChange("1", "edit", "running"))
    assert "+new" not in play(*asked, e.ToolOutput("edit", "1", "done", True, diff))
    assert "+newer" in play(*asked, e.ToolOutput("edit", "1", "done", True, diff.replace("+new", "+newer")))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_text_in_any_event(text: str, width: int, colours: bool, caplog: pytest.LogCaptureFixture) -> None:
    environ = {"FORCE_COLOR": "3"} if colours else {}
    events = all_events(text)
    for live in (True, False):
        for event in events:
            assert_calm(play(event.payload, width=width, live=live, **environ), width, colours)
        assert_calm(play(*(event.payload for event in events), width=width, live=live, **environ), width, colours)
    assert_calm(play(*answer(f"```python\n{text}\n```\n\n- {text}\n"), width=width, **environ), width, colours)
    assert not caplog.records


@settings(max_examples=150, deadline=None)
@given(ANYTHING, st.sampled_from([10, 40]))
def test_any_markdown(source: str, width: int) -> None:
    records: list[Any] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger("agent.ui").addHandler(handler)
    try:
        assert_calm(play(*answer(source), width=width), width)
    finally:
        logging.getLogger("agent.ui").removeHandler(handler)
    assert not records


@pytest.mark.parametrize("width", WIDTHS)
def test_huge_lines(width: int) -> None:
    began = time.process_time()
    for huge in ("x" * 200_000, "漢字" * 70_000, "word " * 40_000):
        text = play(
            *answer(huge),
            *answer(f"```py\n{huge}\n```"),
            e.ToolCallStarted("bash", {"command": huge}, "1"),
            e.ToolOutput("bash", "1", huge, True, None, 1),
            e.ToolOutput("bash", "2", huge, False, None, 1),
            e.ToolOutput("edit", "3", huge, True, f"@@ -1 +1 @@\n+{huge}", 1),
            e.ToolLog("system", huge),
            width=width,
        )
        assert_calm(text, width)
    assert time.process_time() - began < 60


def test_code_is_never_torn_and_loses_nothing() -> None:
    code = "def f():\n\n    return '[/usr/lib/x]'"
    shown = play(*answer(f"Look:\n\n```python\n{code}\n```\n\nDone **now**.\n"))
    assert shown == f"Look:\n\n```python\n{code}\n```\n\nDone now.\n"


def test_blocks_appear_when_they_are_complete() -> None:
    console = recording_console(80)
    renderer = TerminalRenderer(console)
    renderer.handle(e.Event(e.AssistantChunk("One.\n\nTw")))
    assert printed(console) == "One.\n"
    renderer.handle(e.Event(e.AssistantChunk("o.")))
    renderer.handle(e.Event(e.AssistantStreamEnd()))
    assert printed(console) == "One.\n\nTwo.\n"


def test_markdown_keeps_what_rich_would_drop() -> None:
    source = (
        "1. one\n2. <b>two</b> ![alt](img.png) [t](http://u) <http://v>\n\n"
        "<div>\n**raw**\n</div>\n\n[link] [x] :smile:\n\n[1]: http://w\n"
    )
    assert play(*answer(source)) == (
        " 1. one\n 2. <b>two</b> alt (img.png) t (http://u) http://v\n\n"
        "<div> raw </div>\n\n[link] [x] :smile:\n\n[1]: http://w\n"
    )


@given(st.text(st.sampled_from("aé漢1 .,-_/(!\n\t&*|:=+>#")), st.sampled_from([5, 40]))
def test_prose_looks_as_markdown_does(text: str, width: int) -> None:
    """Paragraphs without markup take a shorter way, which shows the same."""
    assert play(*answer(f"a {text}"), width=width) == play(*answer(f"&#97; {text}"), width=width)


def test_wide_tables_keep_every_word() -> None:
    row = "| " + " | ".join(f"column{i}" for i in range(12)) + " |\n"
    shown = play(*answer(row + "|---" * 12 + "|\n" + row), width=40)
    assert shown.replace("\n", " ").count("column") == 24
    word = "x" * 70
    assert play(*answer(f"| a | b |\n|---|---|\n| {word} | y |\n"), width=40).count("x") == 70


def test_the_final_response_is_shown_once() -> None:
    assert play(*answer("yes"), e.TurnComplete(1, "yes")) == "yes\n"
    assert play(e.AssistantMessage("yes"), e.TurnComplete(1, "yes")) == "yes\n"
    assert play(e.TurnComplete(1, "yes")) == "yes\n"


def test_no_output_is_said_once() -> None:
    assert play(e.ToolOutput("bash", "1", "(no output)", True)) == "✓ bash  0.0s, no output\n"
    assert play(e.ToolOutput("bash", "1", "(no output)\n[exit code 3]", False)) == "✗ bash  0.0s: exit code 3\n"


CALLS: tuple[e.Payload, ...] = (
    e.Processing(),
    *answer("I look."),
    e.ToolCallStarted("bash", {"command": "python train.py"}, "1"),
    e.ToolOutput("bash", "1", "\n".join(f"epoch {i}" for i in range(6)), True, None, 1.23),
    e.ToolCallStarted("read", {"path": "a.py"}, "2"),
    e.ToolCallStarted("read", {"path": "b.py"}, "3"),
    e.ToolOutput("read", "2", "x\n", True, None, 0.01),
    e.ToolOutput("read", "3", "No such file: b.py", False, None, 0.01),
    e.ToolOutput("bash", "4", "make\nerror: one\ntwo\nthree\n[exit code 2]", False, None, 3),
    e.ToolLog("system", "Retrying"),
    e.ToolCallStarted("hf_jobs", {"operation": "wait", "job_id": "1"}, "5"),
    e.ToolStateChange("5", "hf_jobs", "running", jobUrl="https://hf.co/jobs/1"),
    e.ToolOutput("hf_jobs", "5", "Job 1 completed.", True, "Job 1 completed.", 2.0),
    e.ToolStateChange("5", "hf_jobs", "completed", jobUrl="https://hf.co/jobs/1"),
    *answer("Done."),
)


def test_each_call_appears_once() -> None:
    assert play(*CALLS) == (
        "\nI look.\n"
        "\n"
        "✓ bash  python train.py  1.2s, 6 lines\n"
        "  … 2 lines before (Ctrl-O shows all)\n"
        "  epoch 2\n  epoch 3\n  epoch 4\n  epoch 5\n"
        "✓ read  a.py  0.0s, 1 line\n"
        "✗ read  b.py  0.0s: No such file: b.py\n"
        "✗ bash  3.0s: exit code 2\n"
        "  error: one\n  two\n  three\n"
        "  Retrying\n"
        "  hf_jobs running: https://hf.co/jobs/1\n"
        "✓ hf_jobs  wait 1  2.0s\n"
        "  Job 1 completed.\n"
        "\nDone.\n"
    )


def test_a_job_is_called_by_the_name_of_its_script_and_told_once_for_each_state() -> None:
    arguments = {"operation": "run", "script": "import x\nx.run()\n", "hardware_flavor": "l4x1", "timeout": "2h"}
    item = e.ApprovalItem("hf_jobs", arguments, "1", facts=(("at most", "$1.60"), ("script from", "/w/train.py")))
    url = "https://hf.co/jobs/me/1"
    display = "Job 1 (train.py) on l4x1 completed after 2 min, $0.03.\n" + "\n".join(f"step {n}" for n in range(9))
    assert play(
        e.Processing(),
        e.ApprovalRequired((item,), 1),
        e.ToolStateChange("1", "hf_jobs", "running"),
        *(e.ToolStateChange("1", "hf_jobs", state, jobUrl=url) for state in ("queued", "running", "completed")),
        e.ToolOutput("hf_jobs", "1", display, True, display, 130.0),
        e.ToolStateChange("1", "hf_jobs", "gone", jobUrl=url),
    ) == (
        f"\n  hf_jobs queued: {url}\n"
        "  hf_jobs running\n"
        "✓ hf_jobs  run train.py on l4x1, 2h  2m 10s\n"
        "  Job 1 (train.py) on l4x1 completed after 2 min, $0.03.\n"
        "  … 5 lines before (Ctrl-O shows all)\n"
        "  step 5\n  step 6\n  step 7\n  step 8\n"
    )


def test_without_live_lines_calls_are_told_in_words() -> None:
    plan = (e.PlanItem("1", "Load", "completed"), e.PlanItem("2", "Train", "in_progress"))
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n"
    assert play(*CALLS, e.PlanUpdate(plan), *answer(table), live=False) == (
        "\nI look.\n"
        "\n"
        "running bash  python train.py\n"
        "ok bash 1.2s, 6 lines\n"
        "  … 2 lines before\n"
        "  epoch 2\n  epoch 3\n  epoch 4\n  epoch 5\n"
        "running read  a.py\n"
        "running read  b.py\n"
        "ok read 0.0s, 1 line  (a.py)\n"
        "failed read 0.0s: No such file: b.py  (b.py)\n"
        "failed bash 3.0s: exit code 2\n"
        "  error: one\n  two\n  three\n"
        "  Retrying\n"
        "running hf_jobs  wait 1\n"
        "  hf_jobs running: https://hf.co/jobs/1\n"
        "ok hf_jobs 2.0s\n"
        "  Job 1 completed.\n"
        "\nDone.\n"
        "\nPlan, 1 of 2 done\n"
        "done: Load\n"
        "now: Train\n"
        "\na | b\n1 | 2\n"
        "\n* * *\n"
    )


def test_approved_calls_are_named() -> None:
    item = e.ApprovalItem("bash", {"command": "rm x"}, "1")
    approved = (
        e.ApprovalRequired((item,), 1),
        e.ToolStateChange("1", "bash", "approved"),
        e.ToolStateChange("1", "bash", "running"),
        e.ToolOutput("bash", "1", "", True),
    )
    assert play(*approved) == "✓ bash  rm x  0.0s, no output\n"
    assert play(*approved, live=False) == "running bash  rm x\nok bash 0.0s, no output\n"


def test_refused_calls_are_named() -> None:
    item = e.ApprovalItem("bash", {"command": "rm x"}, "1")
    refused = (e.ApprovalRequired((item,), 1), e.ToolOutput("bash", "1", "Not run: no", False))
    assert play(*refused) == "✗ bash  rm x  0.0s: Not run: no\n"


def test_diffs_are_coloured_and_bounded() -> None:
    diff = "--- a/x\n+++ b/x\n@@ -1,100 +1,100 @@\n" + "-old [/a]\n+new\n" * 50
    edit = e.ToolOutput("edit", "1", "ok", True, diff, 0.1)
    plain = play(edit)
    assert plain.count("\n") == 1 + 60 + 1
    assert plain.endswith("  … 43 more lines (Ctrl-O shows all)\n")
    colour = play(edit, FORCE_COLOR="1")
    assert "\x1b[31m-old [/a]\x1b[0m" in colour
    assert "\x1b[32m+new\x1b[0m" in colour


def test_the_plan_is_shown_when_it_changes() -> None:
    plan = (
        e.PlanItem("1", "Load [/x]", "completed"),
        e.PlanItem("2", "Train", "in_progress"),
        e.PlanItem("3", "Report", "pending"),
    )
    assert play(e.PlanUpdate(plan), e.PlanUpdate(plan)) == "Plan, 1 of 3 done\n✓ Load [/x]\n▸ Train\n○ Report\n"


def test_ends_and_operations() -> None:
    shown = play(
        e.Interrupted(),
        e.Compacted(171_000, 62_000, 48),
        e.Compacted(9_000, 8_500),
        e.Compacted(500, 500),
        e.UndoComplete(0),
        e.NewComplete("s2", "s1", 1, 2, "/tmp/s1.jsonl", False),
        e.TurnComplete(1, None, "iteration_limit"),
        e.ErrorRaised("No key [/x].\nSet ANTHROPIC_API_KEY.", "auth"),
    )
    assert shown == (
        "Interrupted\n\n"
        "Context shortened: 171k → 62k tokens (48 messages summarised).\n"
        "Context shortened: 9k → 8.5k tokens.\n"
        "Nothing to shorten (500 tokens).\n"
        "Nothing to undo.\n"
        "New conversation, session s2. The previous one is saved in /tmp/s1.jsonl.\n"
        "Stopped at the iteration limit. Say how to go on.\n\n"
        "Error: No key [/x].\nSet ANTHROPIC_API_KEY.\n"
    )


def test_what_is_taken_back_is_named() -> None:
    files = tuple(f"f{i}.py" for i in range(10))
    shown = play(
        e.UndoComplete(4, 1, "do", ("a.py",)),
        e.UndoComplete(6, 2, "do", files, ("mine.py",), "files over 2 MiB"),
        e.UndoComplete(0, 0, None, ("a.py",)),
        width=120,
    )
    assert shown == (
        "The last turn is taken back (4 messages removed).\n"
        "Put back as before: a.py.\n"
        "The last 2 turns are taken back (6 messages removed).\n"
        "Put back as before: f0.py, f1.py, f2.py, f3.py, f4.py, f5.py, f6.py, f7.py and 2 more.\n"
        "Kept as they are, since somebody has changed them: mine.py.\n"
        "Not put back, as there is no copy: files over 2 MiB.\n"
        "Put back as before: a.py.\n"
    )


def test_a_resumed_session_says_what_it_is() -> None:
    resumed = e.ResumeComplete(
        "/s/1.jsonl",
        12,
        1,
        "m",
        None,
        False,
        False,
        session_id="s1",
        title="Train [/x]",
        cost_usd=0.5,
        cost_known=False,
        unfinished=("bash", "hf_jobs"),
        cwd="/other",
    )
    assert play(resumed, e.Renamed("New name"), e.SettingsChanged("m", False, "high"), width=120) == (
        "Resumed “Train [/x]”: 12 messages, model m, $0.50 and calls of unknown price so far.\n"
        "Running when it ended, with an unknown outcome: bash, hf_jobs.\n"
        "It ran in /other; tools now work in the current directory.\n"
        "1 record could not be read and left out.\n"
        "This session is now called “New name”.\n"
        "Model m, effort high; asks before it acts.\n"
    )


def test_a_limit_on_money_or_time_says_how_to_go_on() -> None:
    budget = e.BudgetStatus(5.0, 0.0, 0.0, 5.0)
    assert play(budget, e.TurnComplete(1, None, "budget")) == (
        "Stopped at the budget: $5.00 of $5.00 spent. Raise the cap with /budget USD (or\n"
        "/budget off), then say how to go on.\n"
    )
    assert play(e.TurnComplete(1, None, "time_limit")).startswith("Stopped at the time limit, after 0.0s.")


def test_steering_stands_among_the_work() -> None:
    shown = play(
        e.Processing(),
        e.AssistantChunk("I look"),
        e.Steered("also the tests\nplease"),
        e.ToolCallStarted("bash", {"command": "ls"}, "1"),
    )
    assert shown == "\nI look\n\n> also the tests\n  please\n\n✗ bash  ls  0.0s, interrupted\n"


def test_notes_do_not_tear_an_answer() -> None:
    console = recording_console(80)
    renderer = TerminalRenderer(console)
    renderer.handle(e.Event(e.AssistantChunk("One.\n\nTw")))
    renderer.note("(queued) \x1b[2Jhello")
    renderer.handle(e.Event(e.AssistantChunk("o.")))
    renderer.handle(e.Event(e.AssistantStreamEnd()))
    assert printed(console) == "One.\n\n(queued) hello\n\nTwo.\n"


def test_the_person_s_own_command_shows_what_it_prints() -> None:
    lines = [f"line {number}" for number in range(40)]
    text = "\n".join([*lines[:30], "", *lines[31:]])
    command = e.ToolCallStarted("bash", {"command": "make"}, "shell_1")
    shown = "  … 10 lines before (Ctrl-O shows all)\n" + "".join(
        f"  {line}".rstrip() + "\n" for line in text.split("\n")[10:]
    )
    assert play(command, e.ToolOutput("bash", "shell_1", text, True)) == f"✓ bash  make  0.0s, 40 lines\n{shown}"
    failed = e.ToolOutput("bash", "shell_1", f"{text}\n[exit code 2]", False)
    assert play(command, failed) == f"✗ bash  make  0.0s: exit code 2\n{shown}"
    stopped = e.ToolOutput("bash", "shell_1", "x", False, "one\ntwo\n[stopped]", 3)
    assert play(command, stopped) == "✗ bash  make  3.0s: stopped\n  one\n  two\n"
    assert play(command, e.ToolOutput("bash", "shell_1", "x", False, "stopped", 3)) == "✗ bash  make  3.0s: stopped\n"


def test_what_the_person_is_told_stands_in_place_of_what_the_model_reads() -> None:
    item = e.ApprovalItem("bash", {"command": "rm x"}, "1")
    asked = (e.ApprovalRequired((item,), 1), e.ToolOutput("read", "0", "seen", True))
    rejected = e.ToolOutput("bash", "1", "This call was not approved, and was not run.", False, "rejected: keep x")
    assert play(*asked, rejected).endswith("✗ bash  rm x  rejected: keep x\n")
    console = recording_console(80)
    renderer = TerminalRenderer(console)
    for payload in (*asked, rejected):
        renderer.handle(e.Event(payload))
    assert renderer.expand_last()
    assert printed(console).endswith("read  1 line\n  seen\n")


def test_own_lines_keep_their_margin_when_they_wrap() -> None:
    console = recording_console(20)
    renderer = TerminalRenderer(console)
    renderer.note("  one two three four five", "short")
    renderer.say(Text("title\n    [/x] two three four\n\n  end"))
    assert printed(console) == ("  one two three four\n  five\nshort\ntitle\n    [/x] two three\n    four\n\n  end\n")


def test_what_comes_after_the_banner_stands_apart() -> None:
    console = recording_console(80)
    console.print("ml-intern")
    renderer = TerminalRenderer(console)
    renderer.begin()
    renderer.echo("hello", "> ")
    assert printed(console) == "ml-intern\n\n> hello\n"


def test_a_resumed_session_shows_where_it_was_left() -> None:
    resumed = e.ResumeComplete("/s/1.jsonl", 2, 0, "m", None, False, False)
    prompt = "Train [/x]\n" + "w" * 100 + "\nand\nreport"
    answer = "Done:\n\n" + "\n".join(f"- step **{number}**" for number in range(20))
    console = recording_console(40)
    renderer = TerminalRenderer(console)
    renderer.handle(e.Event(replace(resumed, last_prompt=prompt, last_answer=answer)))
    renderer.echo("go on", "> ")
    steps = "".join(f" • step {number}\n" for number in range(10))
    assert printed(console).partition("so far.\n")[2] == (
        f"\n> Train [/x]\n  {'w' * 35}…\n  and …\n\nDone:\n\n{steps}… 10 more lines\n\n> go on\n"
    )
    assert play(resumed).count("\n") == 1


def test_nothing_ever_moves_the_cursor() -> None:
    class Spy(io.StringIO):
        def isatty(self) -> bool:
            return True

    from agent.ui.console import make_console

    spy = Spy()
    renderer = TerminalRenderer(make_console(spy, {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}))
    for text in HOSTILE.values():
        for event in all_events(text):
            renderer.handle(event)
    renderer.close()
    assert "\x1b[" in spy.getvalue()
    assert_calm(spy.getvalue(), 80, colours=True)


def test_a_reader_who_left_does_not_stop_the_turn() -> None:
    import os

    from agent.ui.console import make_console, output_failure

    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        console = make_console(stream, {})
        renderer = TerminalRenderer(console)
        for event in all_events("x" * 10_000):
            renderer.handle(event)
        assert isinstance(output_failure(console), BrokenPipeError)
