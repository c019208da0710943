"""What is shown of the calls of each tool."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from agent.protocol.events import ApprovalItem
from agent.ui.approval_panel import editor_suffix, editor_text, prompt_hint, render_item
from tests.unit.ui.samples import HOSTILE, assert_calm, printed, recording_console

TOOLS = ("bash", "edit", "write", "propose_plan", "hf_jobs", "hf_repo_files", "hf_repo_git", "sandbox_create", "mcp")
EVERY_TOOL = (*TOOLS, "mcp__files__read")


def body(tool: str, width: int = 80, preview: str | None = None, **arguments: Any) -> list[str]:
    """The lines of the panel below its head, without their indent, and without the blanks that align them."""
    console = recording_console(width)
    render_item(console, ApprovalItem(tool, arguments, "1", preview=preview), 1, 1)
    head, _, rest = printed(console).removeprefix("\n").partition("\n\n")
    assert head == f"Approval: {tool}"
    return [re.sub(r"^  (\S[^:]*:) +", r"\1 ", line).removeprefix("  ") for line in rest.rstrip("\n").split("\n")]


def panel(item: ApprovalItem, width: int = 80, **environ: str) -> list[str]:
    """The lines of the whole panel as they are."""
    console = recording_console(width, **environ)
    render_item(console, item, 1, 1)
    return printed(console).strip("\n").split("\n")


JOB_FACTS = (
    ("namespace", "tester"),
    ("hardware", "a10g-large: 12 vCPU, 46 GB, A10G 24 GB, $1.50/h"),
    ("image", "ghcr.io/astral-sh/uv:python3.12-bookworm"),
    ("time limit", "2 h"),
    ("at most", "$3.00"),
    ("saves to", "tester/capybara-sft"),
    ("script from", "/work/train.py"),
)
JOB = ApprovalItem(
    "hf_jobs",
    {
        "operation": "run",
        "script": "import trl\ntrl.train()\n",
        "hardware_flavor": "a10g-large",
        "timeout": "2h",
        "namespace": "tester",
        "image": "ghcr.io/astral-sh/uv:python3.12-bookworm",
        "dependencies": ["trl", "peft"],
        "secrets": {"WANDB_API_KEY": "s3cret"},
        "wait": True,
    },
    "1",
    "starts a job on a10g-large",
    hints=("hands secrets over to the job",),
    facts=JOB_FACTS,
    estimated_cost_usd=3.0,
    remaining_cap_usd=7.5,
)


def test_a_job_that_was_looked_into_shows_the_price_first_and_nothing_twice() -> None:
    assert panel(JOB) == [
        "Approval: hf_jobs",
        "why: starts a job on a10g-large",
        "! hands secrets over to the job",
        "",
        "  script:",
        "  import trl",
        "  trl.train()",
        "  dependencies: trl, peft",
        "  secrets (names only): WANDB_API_KEY",
        "",
        "at most:         $3.00",
        "left of the cap: $7.50",
        "namespace:       tester",
        "hardware:        a10g-large: 12 vCPU, 46 GB, A10G 24 GB, $1.50/h",
        "image:           ghcr.io/astral-sh/uv:python3.12-bookworm",
        "time limit:      2 h",
        "saves to:        tester/capybara-sft",
        "script from:     /work/train.py",
    ]
    assert "\x1b[1m$3.00" in "\n".join(panel(JOB, FORCE_COLOR="1"))


def test_values_that_wrap_stay_in_their_column_where_there_is_room() -> None:
    where = replace(JOB, facts=(("at most", "$3.00"), ("saves to", "many words " * 6)))
    rows = panel(where, 60)
    at = next(index for index, row in enumerate(rows) if row.startswith("saves to:"))
    assert rows[at + 1].startswith(" " * 17 + "many words")
    assert "at most: $3.00" in panel(where, 40)


def test_a_job_that_nobody_waits_for_says_so() -> None:
    for facts in (JOB_FACTS, ()):
        shown = panel(replace(JOB, arguments={**JOB.arguments, "wait": False}, facts=facts))
        assert "waits for its end: no" in " ".join("\n".join(shown).split())
    odd = panel(replace(JOB, arguments={**JOB.arguments, "wait": "later"}))
    assert any(line.split() == ["wait:", "later"] for line in odd)


def test_an_upload_from_here_shows_which_files_once() -> None:
    item = ApprovalItem(
        "hf_repo_files",
        {"operation": "upload", "repo_id": "me/m", "path": "weights", "local_path": "out", "create_pr": True},
        "1",
        "uploads to me/m",
        facts=(("from", "/work/out"), ("size", "3 files, 1.2 GB"), ("left out", ".env (usually holds secrets)")),
    )
    assert panel(item) == [
        "Approval: hf_repo_files",
        "why: uploads to me/m",
        "",
        "  operation:         upload",
        "  repo:              me/m",
        "  type:              model",
        "  URL:               https://huggingface.co/me/m",
        "  branch:            main",
        "  path:              weights",
        "  as a pull request: yes",
        "",
        "from:     /work/out",
        "size:     3 files, 1.2 GB",
        "left out: .env (usually holds secrets)",
    ]
    assert "  from here:         out" in panel(replace(item, facts=()))


def test_a_job_is_shown_with_everything_that_it_takes_but_no_secret() -> None:
    shown = body(
        "hf_jobs",
        operation="scheduled run",
        script="import torch\ntorch.ones(2)\n",
        dependencies=["torch", "trl"],
        python="3.12",
        script_args=["--lr", "3e-4"],
        hardware_flavor="a10g-large",
        timeout="4h",
        schedule="@daily",
        env={"WANDB_PROJECT": "lora-secret-name"},
        secrets={"HF_TOKEN": "hf_abcdefgh"},
        namespace="acme",
        trackio_space_id="me/board",
    )
    assert shown == [
        "operation: scheduled run",
        "script:",
        "import torch",
        "torch.ones(2)",
        "dependencies: torch, trl",
        "python: 3.12",
        "args: --lr, 3e-4",
        "hardware: a10g-large",
        "timeout: 4h",
        "schedule: @daily",
        "namespace: acme",
        "env (names only): WANDB_PROJECT",
        "secrets (names only): HF_TOKEN",
        "trackio_space_id: me/board",
    ]


def test_a_job_in_an_image_has_the_usual_values_where_none_are_given() -> None:
    assert body("hf_jobs", operation="run", command=["python", "-c", "print('a b')"]) == [
        "operation: run",
        "image: python:3.12",
        "command:",
        "python -c 'print('\"'\"'a b'\"'\"')'",
        "hardware: cpu-basic",
        "timeout: 30m",
    ]


def test_nothing_of_a_job_goes_unseen() -> None:
    shown = "\n".join(body("hf_jobs", script="x()", command="rm -rf /", image="evil", flavor="a100", hardware="h200"))
    for part in ("x()", "rm -rf /", "evil", "a100", "h200"):
        assert part in shown
    assert body("hf_jobs", operation="scheduled delete", scheduled_job_id="s1", timeout="1h") == [
        "operation: scheduled delete",
        "scheduled_job_id: s1",
        "timeout: 1h",
    ]


def test_a_script_that_is_a_path_is_shown_as_its_content() -> None:
    shown = body("hf_jobs", preview="import x\n", script="/work/train.py")
    assert shown[:2] == ["script: /work/train.py", "import x"]


@pytest.mark.parametrize(
    "env", [{"A": "s3cret", "B": "s3cret"}, '{"A": "s3cret", "B": "s3cret"}', ["A=s3cret", "B=s3cret"]]
)
def test_values_of_the_environment_are_never_shown(env: Any) -> None:
    assert "env (names only): A, B" in body("hf_jobs", script="x", env=env)
    for odd in ("A=s3cret", 's3cret": 1', ["s3cret"], 5):
        assert "s3cret" not in "\n".join(body("hf_jobs", script="x", env=odd, secrets=odd))


def test_whether_a_model_outlives_the_job() -> None:
    loads = "AutoModel.from_pretrained('x')"
    assert "model saved: no: it loads a model and never calls push_to_hub" in body("hf_jobs", script=loads)
    assert "model saved: yes, it calls push_to_hub" in body("hf_jobs", script=f"{loads}.push_to_hub('y')")
    assert not any("saved" in line for line in body("hf_jobs", script="print(1)"))
    console = recording_console(80, FORCE_COLOR="1")
    render_item(console, ApprovalItem("hf_jobs", {"script": loads}, "1"), 1, 1)
    assert "\x1b[31mno: it loads" in printed(console)


def test_an_upload_shows_where_and_what() -> None:
    shown = body(
        "hf_repo_files",
        operation="upload",
        repo_id="me/data",
        repo_type="dataset",
        path="README.md",
        content="# Data\n\ntext\n",
        commit_message="More",
    )
    assert shown == [
        "operation: upload",
        "repo: me/data",
        "type: dataset",
        "URL: https://huggingface.co/datasets/me/data",
        "branch: main",
        "path: README.md",
        "as a pull request: no",
        "commit_message: More",
        "content: 3 lines, 13 bytes",
        "# Data",
        "",
        "text",
    ]


def test_long_content_is_cut_and_says_so() -> None:
    content = "\n".join(f"line {number}" for number in range(300))
    arguments = {"operation": "upload", "repo_id": "me/m", "path": "x", "content": content, "create_pr": True}
    shown = body("hf_repo_files", **arguments)
    assert "line 199" in shown
    assert "line 200" not in shown
    assert shown[-2:] == ["… 100 more lines", "Not all of it is shown; e opens the rest in your editor."]
    item = ApprovalItem("hf_repo_files", arguments, "1")
    assert editor_text(item) == content
    assert prompt_hint(item) == "[y]es / [n]o / [e] see all / or type why not"


def test_what_is_deleted_from_a_repository() -> None:
    assert body("hf_repo_files", operation="delete", repo_id="me/m", revision="dev", patterns=["*.bin", "old/*"]) == [
        "operation: delete",
        "repo: me/m",
        "type: model",
        "URL: https://huggingface.co/me/m",
        "branch: dev",
        "patterns: *.bin, old/*",
    ]


def test_git_operations_show_what_they_are_about() -> None:
    shown = body(
        "hf_repo_git",
        operation="create_repo",
        repo_id="me/app",
        repo_type="space",
        private=False,
        space_sdk="gradio",
        gated="auto",
        endpoint="https://hub.example/",
        exist_ok=True,
    )
    assert shown == [
        "operation: create_repo",
        "repo: me/app",
        "type: space",
        "URL: https://hub.example/spaces/me/app",
        "private: no",
        "gated: auto",
        "SDK: gradio",
        "exist_ok: yes",
    ]
    assert body("hf_repo_git", operation="create_repo", repo_id="me/m")[-1] == "private: yes (the default)"
    merged = body("hf_repo_git", operation="merge_pr", repo_id="me/m", pr_num=3)
    assert "pull request: 3" in merged


def test_a_sandbox_and_a_plan() -> None:
    assert body("sandbox_create", hardware="t4-small") == ["hardware: t4-small"]
    assert body("sandbox_create") == ["hardware: cpu-basic"]
    told = (("hardware", "t4-small: 4 vCPU, 15 GB, T4, $0.40/h"),)
    item = ApprovalItem("sandbox_create", {"hardware": "t4-small", "replace": True}, "1", facts=told)
    assert panel(item) == ["Approval: sandbox_create", "", "  replace: yes", "", f"hardware: {told[0][1]}"]
    del item.arguments["replace"]
    assert panel(item) == ["Approval: sandbox_create", "", f"hardware: {told[0][1]}"]
    assert body("propose_plan", plan="# Plan\n\n1. look\n2. *train*\n")[0] == "Plan"
    assert body("propose_plan", plan=3) == ["{", '  "plan": 3', "}"]


def test_a_long_diff_is_cut_and_can_be_read_in_the_editor() -> None:
    diff = "--- a/x\n+++ b/x\n@@ -1 +1,600 @@\n" + "+line\n" * 600
    item = ApprovalItem("edit", {"path": "x"}, "1", preview=diff)
    shown = body("edit", path="x", preview=diff)
    assert shown.count("+line") == 499
    assert shown[-2:] == ["… 101 more lines", "Not all of it is shown; e opens the rest in your editor."]
    assert (editor_text(item), editor_suffix(item)) == (diff, ".diff")
    short = ApprovalItem("edit", {"path": "x"}, "1", preview=diff[:40])
    assert editor_text(short) is None


def test_a_tool_of_a_server_is_shown_by_both_names_and_all_its_arguments() -> None:
    call = ApprovalItem("mcp__files__move_file", {"from": "a\x1b[2J.csv", "to": "", "force": True, "n": [1]}, "1")
    assert panel(call) == [
        "Approval: files: move_file  (mcp__files__move_file)",
        "",
        "  from:  a\\x1b[2J.csv",
        '  to:    ""',
        "  force: true",
        "  n:     [1]",
    ]
    assert panel(replace(call, arguments={}))[2:] == ["  no arguments"]
    assert panel(replace(call, arguments={"text": "one\n  two", "m": 1}))[2:] == [
        "  text:",
        "  one",
        "    two",
        "  m: 1",
    ]


def test_long_arguments_of_a_servers_tool_are_cut_and_can_be_read() -> None:
    item = ApprovalItem("mcp__files__write", {"rows": list(range(600)), "text": "x\n" * 600}, "1")
    assert len(panel(item)) < 1100
    text = editor_text(item) or ""
    assert text.count("\nx") >= 599
    assert "    599\n" in text


def test_long_arguments_of_unknown_tools_are_cut_and_can_be_read() -> None:
    item = ApprovalItem("mcp", {"a": list(range(600)), "text": "x\n" * 600}, "1")
    text = editor_text(item) or ""
    assert text.count("\nx") >= 599
    assert "    599\n" in text
    assert len(body("mcp", **item.arguments)) < 1100


ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(list(HOSTILE.values())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = "operation script command image env secrets content patterns repo_id repo_type plan path private hardware"


@settings(deadline=None)
@given(
    tool=st.sampled_from(EVERY_TOOL),
    arguments=st.dictionaries(st.sampled_from(KEYS.split()) | st.text(max_size=8), ANY_VALUE, max_size=6),
    preview=st.none() | st.text(max_size=50),
    width=st.integers(40, 200),
)
def test_whatever_a_model_sends_is_shown_calmly(
    tool: str, arguments: dict[str, Any], preview: str | None, width: int
) -> None:
    console = recording_console(width)
    item = ApprovalItem(tool, arguments, "1", preview=preview)
    render_item(console, item, 1, 2)
    assert_calm(printed(console), width)
    assert isinstance(prompt_hint(item), str)
    assert editor_text(item) is None or editor_suffix(item).startswith(".")


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_at_every_width(tool: str, width: int) -> None:
    arguments = dict.fromkeys(KEYS.split(), "word " * 60)
    console = recording_console(width)
    render_item(console, ApprovalItem(tool, arguments, "1", "reason " * 40, hints=("hint " * 40,)), 1, 2)
    for line in printed(console).split("\n"):
        assert cell_len(line) <= width


def test_a_long_script_leaves_the_price_on_the_screen() -> None:
    script = "\n".join(f"x = {n}" for n in range(300))
    item = replace(JOB, arguments={**JOB.arguments, "script": script}, editable="script")
    rows = panel(item)
    assert len(rows) < 110
    assert "  … 220 more lines; e opens all of it" in rows
    assert rows.index("at most:         $3.00") > rows.index("  x = 79")
