"""What kind of session it was, in tags like `outcome:completed` or `gpu:a100`, to choose training data by.

A session comes in the form of the saved snapshots (`messages`, `events`, `model_name`), the reference's and ours. What
is missing in it or of a wrong type is passed over: tags are never a reason to fail.

| tag | when |
|---|---|
| `model:X` | the first of `MODELS` that is in the model's name, else other |
| `turns:short/medium/long` | the person asked less than 5 times, up to 20 times, more often |
| `cost:low/med/high/unknown` | of the model calls: below $0.10, below $1, more; below $1, as far as prices are known |
| `tool:NAME` | it was called; where the person was asked, only if it was allowed |
| `outcome:completed/interrupted/errored/ongoing` | how the last turn ended (`ongoing`: it has not, or there is none) |
| `outcome:limit_reached` | the last turn was completed, but only as a limit on steps, time or money ended it |
| `earlier:errored`, `earlier:interrupted` | so ended a turn before the last one |
| `outcome:doom_loop`, `outcome:context_exceeded` | it went in circles; its history had to be shortened |
| `hf_job:submitted/multi/push_to_hub` | jobs were submitted: one, several, one that saves what it makes |
| `hf_job:succeeded/failed/cancelled` | how jobs ended; a cancelled one (or a deleted one) has failed as well |
| `hf_job:oom`, `run:oom` | a job, another program ran out of memory |
| `gpu:FAMILY`, `gpu:none`, `gpu:multi` | what the jobs ran on; none: no accelerator at all |
| `sandbox:created/cpu/gpu/long_lived` | a sandbox was made; what it has; it lived for more than half an hour |
| `feedback:up/down/mixed/none` | how the person rated answers |
| `task:training/inference/data_prep/research_only` | see agent/sft/tasks.py |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from agent.protocol.messages import valid_text
from agent.sft.flavors import machine
from agent.sft.tasks import bare, task
from agent.traces.saying import arguments_of, number

MODELS = ("opus", "sonnet", "haiku", "kimi", "gpt", "deepseek", "qwen", "llama")
LONG_LIVED_S = 1800.0

Data = Mapping[str, Any]
Events = list[tuple[str, Data]]
"""The events that make sense: type and data."""


def tag_session(trajectory: Mapping[str, Any]) -> list[str]:
    """The tags of a session, sorted, each once. Pure; never raises, whatever `trajectory` holds."""
    session = trajectory if isinstance(trajectory, Mapping) else {}
    events = [
        (event["event_type"], _mapping(event.get("data")))
        for event in _mappings(session.get("events"))
        if isinstance(event.get("event_type"), str)
    ]
    messages = _mappings(session.get("messages"))
    tags = {_model_tag(session.get("model_name")), _turns_tag(messages), *_loop_tags(events, messages)}
    tags.update(_tool_tags(_calls_made(events, messages)))
    for rule in _EVENT_RULES:
        tags.update(rule(events))
    if _job_note_tells_oom(messages):
        tags.add("hf_job:oom")
    return sorted(valid_text(tag) for tag in tags)


def _model_tag(model: Any) -> str:
    name = _text(model).lower()
    return f"model:{next((family for family in MODELS if family in name), 'other')}"


# --- what was said ---------------------------------------------------------------------------------------------------

_OURS = ("[ml-intern ", "[SYSTEM:", "[The person ran this command")
"""How notes of the program to the model begin (agent/prompts; the reference's), where nothing else tells them apart."""
_REPETITION = ("[ml-intern guard: repetition]", "[SYSTEM: REPETITION GUARD")
_JOB_NOTE = re.compile(r"\[ml-intern note: work\]\s+(?:There is trouble with )?job\b", re.IGNORECASE)


def is_of_person(message: Data) -> bool:
    """Whether this chat message begins a turn: something the person asked for."""
    origin = message.get("origin")
    if message.get("role") != "user" or origin not in (None, "person"):
        return False
    return origin is not None or not _content(message).startswith(_OURS)


def _turns_tag(messages: Iterable[Data]) -> str:
    turns = sum(map(is_of_person, messages))
    return f"turns:{'short' if turns < 5 else 'medium' if turns <= 20 else 'long'}"


def _loop_tags(events: Events, messages: Iterable[Data]) -> Iterator[str]:
    logged = (
        "doom loop" in _text(data.get("log")).lower()
        for kind, data in events
        if kind == "tool_log" and data.get("tool") in (None, "system")
    )
    stopped = (
        data.get("kind") == "guard" and "kept repeating" in _text(data.get("error"))
        for kind, data in events
        if kind == "error"
    )
    warned = (
        _content(message).startswith(_REPETITION) and message.get("origin") in (None, "guard")
        for message in messages
        if message.get("role") == "user"
    )
    if any(logged) or any(stopped) or any(warned):
        yield "outcome:doom_loop"


def _content(message: Data) -> str:
    """The text of a message, whose content may be a list of blocks."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(_text(block.get("text")) for block in _mappings(content))
    return _text(content)


# --- out of memory ---------------------------------------------------------------------------------------------------

_OOM = re.compile(
    r"(?:CUDA|HIP|MPS backend|XPU|CUBLAS) (?:error: )?out of memory|\bRESOURCE_EXHAUSTED: Out of memory"
    r"|^(?!.*\b(?:except|import|raise|catch|isinstance)\b).*\b(?:OutOfMemoryError|OutOfMemoryException)\b"
    r"|\bOOM[- ]?Killed\b|\boom-kill(?:er)?\b|\bexit(?:ed)?(?: with)?(?: code| status)?:? 137\b"
    r"|\bcan't allocate memory: you tried to allocate\b|\bCUBLAS_STATUS_ALLOC_FAILED\b",
    re.IGNORECASE | re.MULTILINE,
)
_JOB_TOOLS = frozenset({"hf_jobs", "jobs"})
_RUNNING_TOOLS = frozenset({"bash", "sandbox_exec", "sandbox", "sandbox_create"})


def _oom_tags(events: Events) -> Iterator[str]:
    """What papers, pages and files say about memory is not looked at: only what programs have printed."""
    has_job = any(kind == "hf_job_submit" for kind, _ in events)
    for kind, data in events:
        if kind != "tool_output" or not _OOM.search(_text(data.get("output"))):
            continue
        tool = bare(_text(data.get("tool")))
        if tool in _JOB_TOOLS or (not tool and has_job):
            yield "hf_job:oom"
        elif tool in _RUNNING_TOOLS:
            yield "run:oom"


def _job_note_tells_oom(messages: Iterable[Data]) -> bool:
    """Whether a note about a job, which quotes its last lines, shows it."""
    texts = (_content(message) for message in messages if message.get("role") == "user")
    return any(_JOB_NOTE.match(text) and _OOM.search(text) for text in texts)


# --- how turns ended -------------------------------------------------------------------------------------------------

_ENDS: Mapping[str, str] = {
    "turn_complete": "completed",
    "interrupted": "interrupted",
    "error": "errored",
    "session_terminated": "errored",
}


_LIMITS = ("iteration_limit", "budget", "time_limit")


def _outcome_tags(events: Events) -> Iterator[str]:
    turns = _turn_ends(events)
    outcome, is_limited = turns[-1] if turns else ("ongoing", False)
    yield f"outcome:{outcome}"
    if is_limited:
        yield "outcome:limit_reached"
    for earlier, _ in turns[:-1]:
        if earlier in ("errored", "interrupted"):
            yield f"earlier:{earlier}"
    if any(kind == "compacted" and _has_shortened(data) for kind, data in events):
        yield "outcome:context_exceeded"


def _turn_ends(events: Events) -> list[tuple[str, bool]]:
    """How each turn ended that was not taken back, and whether a limit did it."""
    turns: list[tuple[str, bool]] = []
    for kind, data in events:
        is_open = bool(turns) and turns[-1][0] == "ongoing"
        if kind == "processing" and not is_open:
            turns.append(("ongoing", False))
        elif kind == "undo_complete":
            count = max(0, int(number(data.get("removed_turns", 1))))
            turns = turns[: max(0, len(turns) - count)]
        elif kind in _ENDS:
            if is_open:
                turns.pop()
            elif "kind" in data:  # a command of the person failed, between two turns
                continue
            turns.append((_ENDS[kind], data.get("stop_reason") in _LIMITS))
    return turns


def _has_shortened(data: Data) -> bool:
    """A compaction with nothing to shorten says so by equal numbers."""
    old_tokens, new_tokens = number(data.get("old_tokens")), number(data.get("new_tokens"))
    return new_tokens < old_tokens or not old_tokens


# --- money, tools ----------------------------------------------------------------------------------------------------


def _cost_tags(events: Events) -> Iterator[str]:
    costs = [data.get("cost_usd", 0.0) for kind, data in events if kind == "llm_call"]
    usd = sum(map(number, costs))
    if usd >= 1:
        yield "cost:high"
    elif None in costs:
        yield "cost:unknown"
    else:
        yield "cost:low" if usd < 0.10 else "cost:med"


def _calls_made(events: Events, messages: Iterable[Data]) -> list[tuple[str, Data]]:
    """The tools that were called, with their arguments.

    A call that the person was asked about has no `tool_call` of its own, but changes its state when it is allowed.
    """
    asked = (item for kind, data in events if kind == "approval_required" for item in _mappings(data.get("tools")))
    known = {_text(item.get("tool_call_id")): _arguments(item) for item in asked if "arguments" in item}
    for call in (call for message in messages for call in _mappings(message.get("tool_calls"))):
        known[_text(call.get("id"))] = _arguments(_mapping(call.get("function")))
    made: dict[str | int, tuple[str, Data]] = {}
    for place, (kind, data) in enumerate(events):
        if kind == "tool_call" or (kind == "tool_state_change" and data.get("state") in ("approved", "running")):
            call_id, tool = _text(data.get("tool_call_id")), _text(data.get("tool"))
            if tool:
                made.setdefault(call_id or place, (tool, _arguments(data) or known.get(call_id, {})))
    return list(made.values())


def _tool_tags(calls: Iterable[tuple[str, Data]]) -> Iterator[str]:
    yield from (f"tool:{tool}" for tool, _ in calls)
    if found := task(calls):
        yield f"task:{found}"


def _arguments(data: Data) -> Data:
    arguments = data.get("arguments")
    return arguments_of(arguments) if isinstance(arguments, str) else _mapping(arguments)


# --- machines --------------------------------------------------------------------------------------------------------

_STAGES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("completed", "succeeded", "success"), ("succeeded",)),
    **dict.fromkeys(("failed", "failure", "error", "timeout", "timed_out", "gone"), ("failed",)),
    **dict.fromkeys(("canceled", "cancelled", "deleted", "stopped"), ("failed", "cancelled")),
}
"""The last word of a job, the Hub's or ours, in lower case."""


def _job_tags(events: Events) -> Iterator[str]:
    submitted = [data for kind, data in events if kind == "hf_job_submit"]
    if submitted:
        yield "hf_job:submitted"
    if len(submitted) > 1:
        yield "hf_job:multi"
    if any(data.get("push_to_hub") is True for data in submitted):
        yield "hf_job:push_to_hub"
    for kind, data in events:
        if kind == "hf_job_complete":
            word = re.sub(r"[\s-]+", "_", _text(data.get("final_status")).strip().lower())
            yield from (f"hf_job:{how}" for how in _STAGES.get(word, ()))
    machines = [machine(_text(data.get("flavor"))) for data in submitted]
    families = {each.family for each in machines if each.family is not None and each.chips}
    yield from (f"gpu:{family}" for family in families)
    if submitted and not families:
        yield "gpu:none"
    if any(each.chips > 1 for each in machines):
        yield "gpu:multi"


def _sandbox_tags(events: Events) -> Iterator[str]:
    for kind, data in events:
        if kind == "sandbox_create":
            yield "sandbox:created"
            hardware = machine(_text(data.get("hardware")))
            if hardware.family is not None:
                yield "sandbox:gpu" if hardware.chips else "sandbox:cpu"
        elif kind == "sandbox_destroy" and number(data.get("lifetime_s")) > LONG_LIVED_S:
            yield "sandbox:long_lived"


_RATINGS: Mapping[str, str] = {"up": "up", "outcome_success": "up", "down": "down", "outcome_fail": "down"}


def _feedback_tags(events: Events) -> Iterator[str]:
    ratings = {_RATINGS.get(_text(data.get("rating"))) for kind, data in events if kind == "feedback"} - {None}
    yield f"feedback:{'mixed' if len(ratings) > 1 else next(iter(ratings), 'none')}"


_EVENT_RULES: tuple[Callable[[Events], Iterator[str]], ...] = (
    _outcome_tags,
    _cost_tags,
    _job_tags,
    _oom_tags,
    _sandbox_tags,
    _feedback_tags,
)


# --- junk ------------------------------------------------------------------------------------------------------------


def _mapping(value: Any) -> Data:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Data]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
