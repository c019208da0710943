from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.events import ApprovalItem, ToolCallStarted, ToolOutput, ToolStateChange
from agent.ui.hub_lines import HUB_CALLS
from agent.ui.research_lines import RESEARCH_CALLS
from agent.ui.sanitize import cell_width, visible
from agent.ui.tool_lines import (
    OpenCalls,
    call_summary,
    duration_text,
    reason_lines,
    result_summary,
    size_text,
    tool_title,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("tool", "title"),
    [
        ("mcp__files__read_file", "files: read_file"),
        ("mcp__my_files__read__all", "my_files: read__all"),
        ("mcp__files", "mcp__files"),
        ("mcp____x", "mcp____x"),
        ("bash", "bash"),
        ("", ""),
    ],
)
def test_a_tool_of_a_server_is_named_by_both(tool: str, title: str) -> None:
    assert tool_title(tool) == title


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("bash", {"command": "ls -la"}, "ls -la"),
        ("bash", {"command": "\n  cd x\nmake\n"}, "cd x …"),
        ("bash", {"command": "ls\n\n"}, "ls"),
        ("bash", {"command": ["ls"]}, '{"command": ["ls"]}'),
        ("read", {"path": "a/b.py", "offset": 3}, "a/b.py"),
        ("write", {"path": "a/b.py", "content": "x"}, "a/b.py"),
        ("edit", {"path": "ä\x1b[2J.py"}, "ä.py"),
        ("plan_tool", {"todos": [{}, {}]}, "2 steps"),
        ("plan_tool", {"todos": [{}]}, "1 step"),
        ("plan_tool", {"todos": 3}, '{"todos": 3}'),
        ("mcp", {"q": "é", "n": 1}, '{"q": "é", "n": 1}'),
        ("explore_hf_docs", {"endpoint": "trl", "query": "sft trainer"}, "trl: sft trainer"),
        ("explore_hf_docs", {"endpoint": "trl"}, "trl"),
        ("fetch_hf_docs", {"url": "https://huggingface.co/docs/trl/x"}, "huggingface.co/docs/trl/x"),
        ("fetch_url", {"url": "https://a.b/c", "offset": 12000}, "a.b/c from 12,000"),
        ("find_hf_api", {"query": "whoami", "tag": "auth"}, "whoami in auth"),
        ("web_search", {"query": "grpo", "allowed_domains": ["a.b", "c.d"]}, "grpo in a.b, c.d"),
        ("hf_papers", {"operation": "search", "query": "preference"}, "search preference"),
        ("hf_papers", {"operation": "read_paper", "arxiv_id": "2305.18290", "section": "4"}, "read 2305.18290, 4"),
        ("hf_papers", {"operation": "trending"}, "trending"),
        ("hf_papers", {"operation": "search", "query": "x", "min_citations": 9}, "search x, cited at least 9"),
        ("hf_inspect_dataset", {"dataset": "a/b", "config": "c", "split": "train"}, "a/b, c/train"),
        ("github_find_examples", {"repo": "trl", "org": "huggingface", "keyword": "grpo"}, "huggingface/trl: grpo"),
        ("github_list_repos", {"owner": "huggingface"}, "huggingface"),
        (
            "github_read_file",
            {"repo": "a/b", "path": "c.py", "ref": "v1", "line_end": 9},
            "a/b: c.py at v1, lines 1 to 9",
        ),
        ("research", {"task": "Find a recipe\nfor SFT"}, "Find a recipe for SFT"),
        ("notify", {"destinations": ["slack.default"], "message": "done"}, "slack.default: done"),
        ("mcp__files__read_file", {"path": "data/a.csv"}, "data/a.csv"),
        ("mcp__files__read_file", {"path": "a", "head": 3}, "path: a, head: 3"),
        ("mcp__files__list", {"path": "", "all": True}, 'path: "", all: true'),
        ("mcp__db__query", {"where": {"id": [1, 2]}}, '{"id": [1, 2]}'),
        ("mcp__db__query", {"sql": "select 1\n\x1b[2Jfrom x"}, "select 1 from x"),
        ("mcp__db__now", {}, ""),
        ("mcp", {}, ""),
        ("bash", {}, ""),
        ("mcp", {"text": "x" * 100}, '{"text": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'),
    ],
)
def test_call_summary(tool: str, arguments: dict[str, Any], expected: str) -> None:
    assert call_summary(tool, arguments, 40) == expected


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        (
            "hf_jobs",
            {"operation": "run", "script": "jobs/train.py", "hardware_flavor": "a10g-large", "timeout": "2h"},
            "run train.py on a10g-large, 2h",
        ),
        ("hf_jobs", {"operation": " Run", "script": "https://hub/x/sft.py?raw=1"}, "run sft.py on cpu-basic"),
        ("hf_jobs", {"operation": "run", "script": "a()\nb()\nc()\n"}, "run a script of 3 lines on cpu-basic"),
        ("hf_jobs", {"operation": "run", "script": "print('a/b')"}, "run print('a/b') on cpu-basic"),
        (
            "hf_jobs",
            {"operation": "run", "command": ["python", "-c", "print(1)\nf()"], "hardware_flavor": "t4-small"},
            "run python -c 'print(1) f()' on t4-small",
        ),
        ("hf_jobs", {"operation": "run", "script": "x.py", "backend": "local"}, "run x.py here"),
        (
            "hf_jobs",
            {"operation": "run", "script": "x.py", "backend": "hf_sandbox"},
            "run x.py in a sandbox, cpu-basic",
        ),
        (
            "hf_jobs",
            {"operation": "scheduled run", "script": "eval.py", "timeout": 600, "schedule": "@daily"},
            "scheduled run eval.py on cpu-basic, 600, @daily",
        ),
        ("hf_jobs", {"operation": "logs", "job_id": "68f0a1", "tail": 5}, "logs 68f0a1"),
        ("hf_jobs", {"operation": "inspect", "job_id": ["a", "b"]}, "inspect a, b"),
        (
            "hf_jobs",
            {"operation": "wait", "job_id": "68f0", "wait_timeout": "5m", "until": "loss"},
            "wait 68f0, at most 5m, until loss",
        ),
        ("hf_jobs", {"operation": "scheduled delete", "scheduled_job_id": "s1"}, "scheduled delete s1"),
        ("hf_jobs", {"operation": "ps", "all": True}, "ps"),
        (
            "hf_repo_files",
            {"operation": "upload", "repo_id": "me/m", "path": "x.txt", "content": "s"},
            "upload x.txt to me/m",
        ),
        (
            "hf_repo_files",
            {"operation": "upload", "repo_id": "me/d", "repo_type": "dataset", "local_path": "out", "create_pr": True},
            "upload out to dataset me/d, as a pull request",
        ),
        (
            "hf_repo_files",
            {"operation": "delete", "repo_id": "me/m", "patterns": ["*.bin", "old/*"], "revision": "dev"},
            "delete *.bin, old/* from me/m at dev",
        ),
        ("hf_repo_files", {"operation": "list", "repo_id": "me/m"}, "list me/m"),
        ("hf_repo_files", {"operation": "list", "repo_id": "me/m", "path": "data"}, "list data in me/m"),
        ("hf_repo_files", {"operation": "read", "repo_id": "me/m", "path": "a.json"}, "read a.json from me/m"),
        (
            "hf_repo_git",
            {"operation": "create_pr", "repo_id": "me/m", "title": "Better\nweights"},
            "create_pr me/m: Better weights",
        ),
        ("hf_repo_git", {"operation": "merge_pr", "repo_id": "me/m", "pr_num": 3}, "merge_pr me/m #3"),
        ("hf_repo_git", {"operation": "create_branch", "repo_id": "me/m", "branch": "dev"}, "create_branch me/m: dev"),
        ("hf_repo_git", {"operation": "list_refs", "repo_id": "me/m"}, "list_refs me/m"),
        ("sandbox_create", {"hardware": "t4-small", "replace": True}, "t4-small, replace"),
        ("sandbox_create", {"attach": "me/sandbox-1a"}, "attach me/sandbox-1a"),
        ("sandbox_create", {}, ""),
        ("hf_jobs", {}, ""),
    ],
)
def test_calls_to_the_hub_are_told_in_words(tool: str, arguments: dict[str, Any], expected: str) -> None:
    assert call_summary(tool, arguments, 100) == expected


@pytest.mark.parametrize("operation", ["run", "logs", None, 3])
def test_what_the_environment_of_a_job_holds_is_in_no_line(operation: Any) -> None:
    arguments = {"operation": operation, "env": {"A": "s3cret"}, "secrets": "s3cret", "script": "x.py"}
    assert "s3cret" not in call_summary("hf_jobs", arguments, 500)


@given(
    st.sampled_from(["bash", "read", "plan_tool", "other", *HUB_CALLS, *RESEARCH_CALLS]),
    st.dictionaries(
        st.sampled_from(
            "command path todos x operation script repo_id patterns job_id query url offset dataset org repo task "
            "destinations allowed_domains line_start endpoint".split()
        ),
        JSON,
    ),
    st.integers(1, 100),
)
def test_call_summary_takes_anything(tool: str, arguments: dict[str, Any], width: int) -> None:
    line = call_summary(tool, arguments, width)
    assert "\n" not in line
    assert cell_width(line) <= width
    assert visible(line) == line


def output(text: str, ok: bool = True, duration_s: float = 1.24, call_id: str = "1") -> ToolOutput:
    return ToolOutput("bash", call_id, text, ok, None, duration_s)


def test_result_summary() -> None:
    assert result_summary(output("a\nb\n"), 80) == "1.2s, 2 lines"
    assert result_summary(output("", duration_s=75), 80) == "1m 15s, no output"
    assert result_summary(output("x" * 200_000, duration_s=0.3), 80) == "0.3s, 1 line, 200.0 kB"
    assert (
        result_summary(output("\n\nls: cannot access 'x'\n[exit code 2]", ok=False), 80)
        == "1.2s: exit code 2: ls: cannot access 'x'"
    )
    assert result_summary(output("(no output)\n[exit code 2]", ok=False), 80) == "1.2s: exit code 2"
    assert result_summary(output("", ok=False), 80) == "1.2s: failed"
    assert len(result_summary(output("e" * 200_000, ok=False), 80)) == 80


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/w\n[exit code 137: ended by SIGKILL, often for want of memory]", "exit code 137 (SIGKILL): /w"),
        ("(no output)\n[exit code 139: ended by SIGSEGV]", "exit code 139 (SIGSEGV)"),
        ("(no output)\n[exit code 1]\n[timeout lowered from 9 to 8]", "exit code 1: [timeout lowered from 9 to 8]"),
        ("a\n[Timed out after 5 s: ended; above is what it had printed.]", "timed out after 5 s: a"),
        ("(no output)\n[Timed out after 5 s: ended; it had printed nothing.]", "timed out after 5 s"),
        ("y\n[Ended because it had printed more than 5,000 bytes. Filter it.]", "ended after 5,000 bytes of output: y"),
        ("(no output)", "failed"),
    ],
)
def test_how_a_command_ended_is_always_told(text: str, expected: str) -> None:
    assert result_summary(output(text, ok=False), 80) == f"1.2s: {expected}"


def test_no_output_is_not_a_line() -> None:
    assert result_summary(output("(no output)"), 80) == "1.2s, no output"


@pytest.mark.parametrize("tool", ["write", "edit"])
def test_a_change_tells_what_changed_not_the_size_of_the_reply(tool: str) -> None:
    diff = "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n-- a\n+++ b\n+c\n d\n@@ -9 +10 @@\n-x"
    assert result_summary(ToolOutput(tool, "1", "Done.", True, diff, 0.1), 80) == "0.1s, +2 −2"
    cut = f"{diff}\n... 9 more lines of this diff are not shown"
    assert result_summary(ToolOutput(tool, "1", "Done.", True, cut, 0.1), 80) == "0.1s, at least +2 −2"
    assert result_summary(ToolOutput(tool, "1", "Nothing to change.", True, None, 0.1), 80) == "0.1s"


def test_reasons_start_where_it_went_wrong() -> None:
    trace = (
        'epoch 1\nTraceback (most recent call last):\n  File "x", line 1\n    f()\nValueError: bad\nbye\n[exit code 1]'
    )
    assert reason_lines(trace, 6) == (["ValueError: bad", "bye"], 0)
    nested = "  Traceback (most recent call last):\n    File x\n  KeyError: 'a'"
    assert reason_lines(nested, 6)[0] == ["  KeyError: 'a'"]
    assert reason_lines("collecting\n1 passed\nFAILED a.py - ImportError: x\nc\nd", 2) == (
        ["FAILED a.py - ImportError: x", "c"],
        1,
    )
    assert reason_lines("one\ntwo\nthree", 2) == (["one", "two"], 1)
    assert reason_lines("Traceback (most recent call last):", 3)[0] == ["Traceback (most recent call last):"]
    assert reason_lines(" \n", 3) == ([], 0)


@given(st.text(st.sampled_from(" \nabTraceback (most recent call last):\x1b[")), st.integers(1, 5))
def test_reasons_of_anything(text: str, limit: int) -> None:
    lines, more = reason_lines(text, limit)
    assert len(lines) <= limit
    assert more >= 0
    assert bool(lines) == bool(visible(text).strip())


def test_numbers() -> None:
    assert [duration_text(s) for s in (0, 0.04, 9.96, 59.4, 59.6, 3599, 3725)] == [
        "0.0s",
        "0.0s",
        "10s",
        "59s",
        "1m 00s",
        "59m 59s",
        "1h 02m",
    ]
    assert size_text("a\ud800\n") == "1 line"


def test_a_result_names_its_call_unless_it_follows_it() -> None:
    calls = OpenCalls()
    assert calls.start(ToolCallStarted("bash", {"command": "a"}, "1")) is not None
    assert calls.finish(output("", call_id="1")) is None
    for call_id in "23":
        calls.start(ToolCallStarted("bash", {"command": call_id}, call_id))
    labels = [calls.finish(output("", call_id=call_id)) for call_id in "23"]
    assert [label and label.arguments["command"] for label in labels] == ["2", "3"]
    assert calls.finish(output("", call_id="unknown")) is None


def test_an_approved_call_starts_when_it_runs() -> None:
    calls = OpenCalls()
    calls.wait([ApprovalItem("bash", {"command": "a"}, "1"), ApprovalItem("bash", {"command": "b"}, "2")])
    assert calls.change(ToolStateChange("1", "bash", "approved")) is None
    assert calls.change(ToolStateChange("2", "bash", "rejected")) is None
    started = calls.change(ToolStateChange("1", "bash", "running"))
    assert started is not None
    assert started.arguments == {"command": "a"}
    assert calls.change(ToolStateChange("1", "bash", "running")) is None
    assert calls.start(ToolCallStarted("bash", {"command": "a"}, "1")) is None
    assert calls.finish(output("", call_id="1")) is None
    refused = calls.finish(output("", call_id="2", ok=False))
    assert refused is not None
    assert refused.arguments == {"command": "b"}
