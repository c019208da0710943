"""Tags of sessions. Most cases are snapshots made by hand, in the reference's form."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sft.tagger import tag_session


def event(event_type: str, **data: Any) -> dict[str, Any]:
    return {"timestamp": "2026-11-21T10:00:00+01:00", "event_type": event_type, "data": data}


def tags_of(*events: dict[str, Any], model: str = "anthropic/claude-opus-5", messages: Any = ()) -> set[str]:
    tags = tag_session({"session_id": "s", "model_name": model, "messages": list(messages), "events": list(events)})
    assert tags == sorted(set(tags))
    return set(tags)


def named(tags: set[str], name: str) -> set[str]:
    return {tag.partition(":")[2] for tag in tags if tag.startswith(f"{name}:")}


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return event("tool_call", tool=tool, arguments=arguments, tool_call_id=f"id-{tool}-{sorted(arguments.items())}")


def output(text: str, tool: str = "hf_jobs") -> dict[str, Any]:
    return event("tool_output", tool=tool, tool_call_id="1", output=text, success=True)


SUBMIT = event("hf_job_submit", job_id="1", flavor="a10g-large", push_to_hub=False)
DONE = event("turn_complete", history_size=3)
ERROR = event("error", error="no connection")
TURN = event("processing", message="")


def test_a_session_with_nothing_in_it_has_the_tags_that_every_session_has() -> None:
    assert tag_session({}) == ["cost:low", "feedback:none", "model:other", "outcome:ongoing", "turns:short"]


@pytest.mark.parametrize(
    ("model", "tag"),
    [
        ("anthropic/claude-Opus-5", "opus"),
        ("claude-sonnet-4-5", "sonnet"),
        ("moonshotai/Kimi-K3", "kimi"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "deepseek"),
        ("meta-llama/Llama-4", "llama"),
        ("replay/demo", "other"),
    ],
)
def test_the_family_of_the_model(model: str, tag: str) -> None:
    assert named(tags_of(model=model), "model") == {tag}


@pytest.mark.parametrize(("count", "tag"), [(0, "short"), (4, "short"), (5, "medium"), (20, "medium"), (21, "long")])
def test_turns_are_what_the_person_asked_for(count: int, tag: str) -> None:
    said = [{"role": "user", "content": f"do {number}"} for number in range(count)]
    ours = [
        {"role": "user", "content": "[ml-intern guard: open_plan]\ngo on"},
        {"role": "user", "content": "[SYSTEM: CONTINUATION GUARD] go on"},
        {"role": "user", "content": "and that, too", "origin": "steering"},
        {"role": "assistant", "content": "yes"},
    ]
    assert named(tags_of(messages=said + ours * 30), "turns") == {tag}


@pytest.mark.parametrize(
    ("costs", "tag"),
    [
        ([0.04, 0.05], "low"),
        ([0.06, 0.06], "med"),
        ([0.5, 0.5], "high"),
        ([0.01, None], "unknown"),
        ([3.0, None], "high"),
        ([True, float("nan"), 10**400, "2"], "low"),
    ],
)
def test_cost(costs: list[Any], tag: str) -> None:
    assert named(tags_of(*(event("llm_call", cost_usd=cost) for cost in costs)), "cost") == {tag}


# --- outcomes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "outcome", "earlier"),
    [
        ([TURN], {"ongoing"}, set()),
        ([TURN, DONE], {"completed"}, set()),
        ([ERROR, DONE], {"completed"}, {"errored"}),
        ([TURN, ERROR, TURN, DONE], {"completed"}, {"errored"}),
        ([TURN, DONE, TURN, ERROR], {"errored"}, set()),
        ([DONE, ERROR], {"errored"}, set()),
        ([TURN, DONE, TURN, event("interrupted")], {"interrupted"}, set()),
        ([TURN, event("interrupted"), TURN, DONE], {"completed"}, {"interrupted"}),
        ([TURN, DONE, TURN], {"ongoing"}, set()),
        ([TURN, event("approval_required", tools=[]), TURN, DONE], {"completed"}, set()),
        ([TURN, event("turn_complete", stop_reason="budget")], {"completed", "limit_reached"}, set()),
        ([TURN, DONE, event("error", error="no such model", kind="usage")], {"completed"}, set()),
        ([TURN, DONE, TURN, ERROR, event("undo_complete", removed_turns=1)], {"completed"}, set()),
        ([TURN, DONE, event("undo_complete", removed_turns=5)], {"ongoing"}, set()),
    ],
)
def test_the_last_turn_tells_the_outcome(events: list[Any], outcome: set[str], earlier: set[str]) -> None:
    """Defect 20: one early error hid a later success, and an error after a completed turn was ignored."""
    tags = tags_of(*events)
    assert named(tags, "outcome") == outcome
    assert named(tags, "earlier") == earlier


@pytest.mark.parametrize(
    "where",
    [
        {"messages": [{"role": "user", "content": "[ml-intern guard: repetition]\nREPETITION GUARD, warning 1"}]},
        {"messages": [{"role": "user", "content": "[SYSTEM: REPETITION GUARD] you keep …"}]},
        {"events": [event("tool_log", tool="system", log="Doom loop detected: bash")]},
        {"events": [event("error", kind="guard", error="Stopped: the agent kept repeating 'bash' with the same …")]},
    ],
)
def test_going_in_circles_is_seen_wherever_it_is_noted(where: dict[str, Any]) -> None:
    """Defect 20: "doom loop" was looked for where it is never logged."""
    assert "outcome:doom_loop" in tag_session(where)


def test_talk_of_loops_is_no_loop() -> None:
    tags = tags_of(
        event("tool_log", tool="bash", log="a paper about the doom loop"),
        messages=[
            {"role": "user", "content": "[ml-intern guard: repetition] what is that?", "origin": "person"},
            {"role": "assistant", "content": "[ml-intern guard: repetition]"},
        ],
    )
    assert "outcome:doom_loop" not in tags


def test_a_compaction_that_shortened_something_means_that_the_context_was_exceeded() -> None:
    assert "outcome:context_exceeded" in tags_of(event("compacted", old_tokens=9000, new_tokens=100))
    assert "outcome:context_exceeded" in tags_of(event("compacted"))
    assert "outcome:context_exceeded" not in tags_of(event("compacted", old_tokens=100, new_tokens=100))


# --- jobs, machines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("COMPLETED", {"succeeded"}),
        ("succeeded", {"succeeded"}),
        ("ERROR", {"failed"}),
        ("failed", {"failed"}),
        ("timeout", {"failed"}),
        ("Timed out", {"failed"}),
        ("CANCELED", {"failed", "cancelled"}),
        ("CANCELLED", {"failed", "cancelled"}),
        ("DELETED", {"failed", "cancelled"}),
        ("gone", {"failed"}),
        ("RUNNING", set()),
    ],
)
def test_how_jobs_end(word: str, expected: set[str]) -> None:
    """Defect 20: the Hub says CANCELED, with one L, and DELETED; neither was counted."""
    tags = tags_of(SUBMIT, event("hf_job_complete", job_id="1", final_status=word))
    assert named(tags, "hf_job") == {"submitted", *expected}


def test_several_jobs_and_one_that_saves_what_it_makes() -> None:
    tags = tags_of(SUBMIT, event("hf_job_submit", flavor="cpu-basic", push_to_hub=True))
    assert named(tags, "hf_job") == {"submitted", "multi", "push_to_hub"}
    assert named(tags, "gpu") == {"a10g"}


def test_jobs_without_an_accelerator() -> None:
    assert named(tags_of(event("hf_job_submit", flavor="cpu-upgrade")), "gpu") == {"none"}
    assert named(tags_of(event("hf_job_submit", flavor="l40sx4")), "gpu") == {"l40s", "multi"}
    assert named(tags_of(), "gpu") == set()


@pytest.mark.parametrize(
    "text",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "step 5\ntorch.cuda.OutOfMemoryError\n",
        "RuntimeError: CUDA error: out of memory",
        "job failed: OOMKilled",
        "exit code: 1, reason: OOM killed",
        "The process exited with code 137",
        "jaxlib: RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes",
    ],
)
def test_running_out_of_memory(text: str) -> None:
    assert "hf_job:oom" in tags_of(SUBMIT, output(text))
    assert named(tags_of(output(text, "bash")), "run") == {"oom"}


@pytest.mark.parametrize(
    "text",
    ["room for 5 in the zoom call", "bigscience/bloom", "boom", "except torch.cuda.OutOfMemoryError:", "line 1370"],
)
def test_what_only_sounds_like_running_out_of_memory(text: str) -> None:
    """Defect 20: "oom" matched room, zoom and bloom, without any job."""
    for tags in (tags_of(SUBMIT, output(text)), tags_of(output(text)), tags_of(output(text, "bash"))):
        assert "oom" not in named(tags, "hf_job") | named(tags, "run")


def test_what_others_write_about_memory_is_not_the_sessions_own() -> None:
    text = "How to avoid 'CUDA out of memory' errors"
    for tool in ("fetch_url", "hf_papers", "read", "web_search"):
        assert "oom" not in named(tags_of(SUBMIT, output(text, tool)), "hf_job")
    assert "oom" not in named(tags_of(SUBMIT, messages=[{"role": "user", "content": text}]), "hf_job")


def test_a_note_about_a_job_shows_its_last_lines() -> None:
    note = "[ml-intern note: work]\njob 68f (train), lease 1, is over: failed.\n  | CUDA out of memory"
    assert "hf_job:oom" in tags_of(messages=[{"role": "user", "content": note, "origin": "guard"}])


def test_sandboxes() -> None:
    assert named(tags_of(event("sandbox_create", hardware="t4-small")), "sandbox") == {"created", "gpu"}
    long = event("sandbox_destroy", hardware="cpu-basic", lifetime_s=1800.5)
    assert named(tags_of(event("sandbox_create", hardware="cpu-basic"), long), "sandbox") == {
        *("created", "cpu", "long_lived"),
    }
    assert named(tags_of(event("sandbox_destroy", lifetime_s=1800)), "sandbox") == set()


@pytest.mark.parametrize(
    ("ratings", "tag"),
    [
        ([], "none"),
        (["up"], "up"),
        (["outcome_fail", "down"], "down"),
        (["up", "outcome_fail"], "mixed"),
        (["x"], "none"),
    ],
)
def test_feedback(ratings: list[str], tag: str) -> None:
    assert named(tags_of(*(event("feedback", rating=rating) for rating in ratings)), "feedback") == {tag}


# --- tools, tasks ----------------------------------------------------------------------------------------------------


def test_tools_are_those_that_were_called() -> None:
    assert named(tags_of(call("bash"), call("bash"), call("hf_papers")), "tool") == {"bash", "hf_papers"}


def test_a_call_that_was_asked_about_counts_when_it_is_allowed() -> None:
    asked = [
        {"tool": "hf_jobs", "tool_call_id": "a", "arguments": {"script": "trainer = SFTTrainer(model)"}},
        {"tool": "bash", "tool_call_id": "b", "arguments": {"command": "rm -r x"}},
    ]
    tags = tags_of(
        event("approval_required", tools=asked, count=2),
        event("tool_state_change", tool="hf_jobs", tool_call_id="a", state="approved"),
        event("tool_state_change", tool="bash", tool_call_id="b", state="rejected"),
    )
    assert named(tags, "tool") == {"hf_jobs"}
    assert named(tags, "task") == {"training"}


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([call("hf_jobs", script="from trl import SFTConfig\nSFTConfig()")], "training"),
        ([call("hf_jobs", command=["trl", "sft", "--model", "x"])], "training"),
        ([call("write", content="loss.backward()\noptimizer.step()"), call("bash", command="ls")], "training"),
        ([call("bash", command="cd x && python3 -u train.py")], "training"),
        ([call("hf_jobs", script="scripts/train_sft.py")], "training"),
        ([call("hf_jobs", script="from transformers import pipeline\npipeline('text-generation')('hi')")], "inference"),
        ([call("bash", command="vllm serve Qwen/Qwen3")], "inference"),
        ([call("write", content="ds = load_dataset('x').filter(lambda r: r['ok'])")], "data_prep"),
        ([call("hf_inspect_dataset", dataset="x")], "data_prep"),
        ([call("hf_papers"), call("plan_tool"), call("web_search"), call("read", path="a")], "research_only"),
        ([call("mcp__hf__hub_repo_details"), call("plan")], "research_only"),
        ([call("hub_repo_details"), call("hf_repo_files", operation="list")], "research_only"),
        ([call("hf_repo_files", operation="upload")], None),
        ([call("bash", command="cat constraints.py"), call("hf_papers")], None),
        ([], None),
    ],
)
def test_the_kind_of_work(calls: list[Any], expected: str | None) -> None:
    """Defect 20: task:inference could not be reached, `plan` is no tool of ours, hub_repo_details made data_prep out of
    research."""
    assert named(tags_of(*calls), "task") == ({expected} if expected else set())


def test_arguments_may_be_json_text() -> None:
    assert "task:training" in tags_of(event("tool_call", tool="hf_jobs", arguments='{"script": "DPOTrainer(m)"}'))


# --- junk ------------------------------------------------------------------------------------------------------------

KINDS = [
    *("processing", "turn_complete", "error", "undo_complete", "llm_call", "tool_call", "tool_output", "tool_log"),
    *("tool_state_change", "approval_required", "hf_job_submit", "hf_job_complete", "sandbox_create", "compacted"),
    *("sandbox_destroy", "feedback"),
]
NAMES = [
    *("tool", "arguments", "tool_call_id", "output", "log", "state", "tools", "flavor", "hardware", "final_status"),
    *("cost_usd", "removed_turns", "lifetime_s", "rating", "old_tokens", "new_tokens", "stop_reason", "kind", "error"),
    *("role", "content", "tool_calls", "function", "operation", "script"),
]
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*KINDS, "hf_jobs", "user"]) | st.text()
)
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["model_name", "tools"]), JUNK),
    JUNK | st.lists(JUNK | st.fixed_dictionaries({"event_type": st.sampled_from(KINDS), "data": JUNK}), max_size=6),
    JUNK | st.lists(JUNK, max_size=4),
)
def test_junk_has_tags_as_well(rest: dict[str, Any], events: Any, messages: Any) -> None:
    tags = tag_session(rest | {"events": events, "messages": messages})
    assert tags == sorted(set(tags))
    assert all(tag.encode() for tag in tags)
    for name in ("model", "turns", "cost", "feedback"):
        assert len(named(set(tags), name)) == 1


@pytest.mark.parametrize("junk", [None, [], "x", 5])
def test_what_is_no_session_at_all(junk: Any) -> None:
    assert "outcome:ongoing" in tag_session(junk)
