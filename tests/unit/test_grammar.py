"""The checkers of tests/grammar.py accept what is right, and each rule can fail."""

from __future__ import annotations

from typing import Any

import pytest

from agent.protocol.events import Event, Payload, Processing, Ready, Shutdown, TurnComplete
from tests.grammar import check_history, check_turn_grammar

Word = str | tuple[str, dict[str, Any]]


def session(*words: Word) -> list[dict[str, Any]]:
    """A stream of events after `ready`; a bare word has no data."""
    pairs = [("ready", {}), *(word if isinstance(word, tuple) else (word, {}) for word in words)]
    return [{"seq": seq, "event_type": kind, "data": data} for seq, (kind, data) in enumerate(pairs, 1)]


def started(call_id: str) -> Word:
    return "tool_call", {"tool": "bash", "arguments": {}, "tool_call_id": call_id}


def output(call_id: str) -> Word:
    return "tool_output", {"tool": "bash", "tool_call_id": call_id, "output": "", "success": True}


def state(call_id: str, name: str) -> Word:
    return "tool_state_change", {"tool": "bash", "tool_call_id": call_id, "state": name}


def asked(*call_ids: str, count: int | None = None) -> Word:
    tools = [{"tool": "bash", "arguments": {}, "tool_call_id": call_id} for call_id in call_ids]
    return "approval_required", {"tools": tools, "count": len(tools) if count is None else count}


CHUNKS: tuple[Word, ...] = ("assistant_chunk", "assistant_chunk", "llm_call", "assistant_stream_end")

GOOD: dict[str, list[dict[str, Any]]] = {
    "nothing happened": session(),
    "plain, streamed": session("processing", *CHUNKS, "turn_complete", "shutdown"),
    "plain, not streamed": session("processing", "assistant_message", "llm_call", "turn_complete"),
    "tools": session(
        *("processing", "llm_call", "assistant_stream_end", started("1"), started("2"), "tool_log"),
        *(output("1"), output("2"), *CHUNKS, started("3"), output("3"), *CHUNKS, "turn_complete"),
    ),
    "outputs as they come": session(
        *("processing", started("1"), started("2"), output("2"), output("1"), asked("3", "4")),
        *(output("4"), output("3"), "processing", "turn_complete"),
    ),
    "one by one": session("processing", started("1"), output("1"), started("2"), output("2"), "turn_complete"),
    "retry after a cut stream": session(
        "processing", "assistant_chunk", "assistant_stream_end", "tool_log", *CHUNKS, "turn_complete"
    ),
    "compaction inside a turn": session("processing", "compacted", *CHUNKS, "turn_complete"),
    "interrupted before the outputs": session(
        "processing", started("1"), started("2"), state("1", "cancelled"), state("2", "cancelled"), "interrupted"
    ),
    "interrupted between the outputs": session(
        "processing", started("1"), started("2"), output("1"), state("2", "cancelled"), "interrupted"
    ),
    "interrupted, with stub outputs": session(
        "processing", started("1"), state("1", "cancelled"), output("1"), "interrupted"
    ),
    "left waiting": session("processing", asked("1")),
    "left waiting, then shut down": session("processing", asked("1"), "shutdown"),
    "approved": session(
        *(
            "processing",
            started("0"),
            output("0"),
            asked("1", "2", "3"),
            state("1", "approved"),
            state("2", "rejected"),
        ),
        *(state("3", "approved"), output("1"), output("3"), output("2"), "processing", *CHUNKS, "turn_complete"),
    ),
    "approved and announced": session(
        "processing", asked("1"), state("1", "approved"), started("1"), output("1"), "processing", "turn_complete"
    ),
    "abandoned": session("processing", asked("1"), state("1", "abandoned"), "processing", *CHUNKS, "turn_complete"),
    "interrupted while waiting": session("processing", asked("1"), state("1", "cancelled"), "interrupted"),
    "other operations": session(
        *("undo_complete", "compacted", "new_complete", "processing", "turn_complete", "resume_complete", "tool_log"),
        "shutdown",
    ),
    "a command of the person's own": session(
        *(started("shell_1"), "tool_progress", output("shell_1"), "command_run"),
        *(started("shell_2"), state("shell_2", "cancelled"), output("shell_2"), "interrupted"),
        *("processing", "turn_complete", "shutdown"),
    ),
}

BAD: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "no event at all": ("first event", []),
    "first event": ("first event", session("processing", "turn_complete")[1:]),
    "ready twice": ("ready came again", session("ready")),
    "after shutdown": ("after shutdown", session("shutdown", "tool_log")),
    "unknown word": ("unknown event", session("procesing")),
    "same seq": ("does not rise", [{"seq": 1, "event_type": kind, "data": {}} for kind in ("ready", "tool_log")]),
    "no end": ("never ended", session("processing")),
    "no end before the next turn": ("has no end", session("processing", "processing", "turn_complete")),
    "no end before shutdown": ("has no end", session("processing", "shutdown")),
    "two ends, complete": ("exactly one end", session("processing", "error", "turn_complete")),
    "two ends, interrupted": ("a second end", session("processing", "error", "interrupted")),
    "text outside a turn": ("outside a turn", session("assistant_chunk")),
    "tool outside a turn": ("outside a turn", session("processing", "turn_complete", started("1"))),
    "undo inside a turn": ("inside a turn", session("processing", "undo_complete", "turn_complete")),
    "complete while waiting": ("approval is pending", session("processing", asked("1"), "turn_complete")),
    "no output": ("has no tool_output", session("processing", started("1"), "turn_complete")),
    "no output after an error": ("has no tool_output", session("processing", started("1"), "error")),
    "no output, interrupted": ("has no tool_output", session("processing", started("1"), "interrupted")),
    "cancelled in a whole turn": (
        "has no tool_output",
        session("processing", started("1"), state("1", "cancelled"), "turn_complete"),
    ),
    "no output before the approval": ("has no tool_output", session("processing", started("1"), asked("2"))),
    "approval not settled": ("has no tool_output", session("processing", asked("1"), "processing", "turn_complete")),
    "rejected without output": (
        "has no tool_output",
        session("processing", asked("1"), state("1", "rejected"), "processing", "turn_complete"),
    ),
    "two outputs": ("second tool_output", session("processing", started("1"), output("1"), output("1"))),
    "two outputs, late": (
        "too late, or twice",
        session("processing", started("1"), output("1"), started("2"), output("1")),
    ),
    "output without call": ("never called", session("processing", output("1"), "turn_complete")),
    "output before call": ("never called", session("processing", output("1"), started("1"), "turn_complete")),
    "output in the next turn": (
        "too late, or twice",
        session("processing", started("1"), state("1", "cancelled"), "interrupted", "processing", output("1")),
    ),
    "id again": ("came before", session("processing", started("1"), output("1"), started("1"), output("1"))),
    "no id": ("without an id", session("processing", started(""))),
    "an output after the model's next words": (
        "has no tool_output",
        session("processing", started("1"), started("2"), output("2"), *CHUNKS, output("1"), "turn_complete"),
    ),
    "no stream end": ("no assistant_stream_end", session("processing", "assistant_chunk", "llm_call", "turn_complete")),
    "no stream end before a tool": ("no assistant_stream_end", session("processing", "assistant_chunk", started("1"))),
    "two stream ends": ("twice", session("processing", *CHUNKS, "assistant_stream_end", "turn_complete")),
    "wrong count": ("counts 2 of 1", session("processing", asked("1", count=2))),
    "asked for what has run": ("came before", session("processing", started("1"), output("1"), asked("1"))),
    "text while waiting": ("approval is pending", session("processing", asked("1"), "assistant_chunk")),
    "new call while waiting": ("approval is pending", session("processing", asked("1"), started("2"))),
    "cancelled, yet the turn goes on": (
        "has no tool_output",
        session("processing", asked("1"), state("1", "cancelled"), "processing", "turn_complete"),
    ),
    "error, the approval unanswered": ("has no tool_output", session("processing", asked("1"), "error")),
    "own command without output": ("own runs", session(started("shell_1"), "command_run")),
    "own command without end": ("own runs", session(started("shell_1"), output("shell_1"), started("shell_2"))),
    "own command left open": ("own runs", session(started("shell_1"), output("shell_1"), "shutdown")),
    "output of another command": ("own runs", session(started("shell_1"), output("shell_2"))),
    "asked while waiting": ("another approval", session("processing", asked("1"), asked("2"))),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_events_pass(name: str) -> None:
    check_turn_grammar(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_each_event_rule_can_fail(name: str) -> None:
    problem, events = BAD[name]
    with pytest.raises(AssertionError, match=problem):
        check_turn_grammar(events)


def test_event_objects_are_read_too() -> None:
    payloads: tuple[Payload, ...] = (Ready("", 0, "s", "m"), Processing(), TurnComplete(1, "hi"), Shutdown())
    events = [Event(payload, seq) for seq, payload in enumerate(payloads, 1)]
    check_turn_grammar(events)
    with pytest.raises(AssertionError, match="does not rise"):
        check_turn_grammar([*events[:2], Event(Shutdown(), 1)])


def test_ends_outside_turns_must_be_announced() -> None:
    events = session("error", "processing", "turn_complete", "interrupted")
    check_turn_grammar(events, outside_ends=2)
    with pytest.raises(AssertionError, match="second end"):
        check_turn_grammar(events, outside_ends=1)


def test_another_operation_may_fail_while_an_approval_is_pending() -> None:
    check_turn_grammar(session("processing", asked("1"), "error", "shutdown"), outside_ends=1)


def test_a_cut_off_turn_is_accepted_only_when_asked_for() -> None:
    check_turn_grammar(session("processing", started("1")), finished=False)


def assistant(*call_ids: str, arguments: str = "{}") -> dict[str, Any]:
    calls = [{"id": i, "type": "function", "function": {"name": "bash", "arguments": arguments}} for i in call_ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "content": "ok", "tool_call_id": call_id}


USER = {"role": "user", "content": "hi"}

BAD_HISTORIES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "no result at the end": ("have no result", [USER, assistant("1")]),
    "no result": ("have no result", [assistant("1"), USER]),
    "not right after": ("have no result", [assistant("1"), USER, result("1")]),
    "one of two": ("have no result", [assistant("1", "2"), result("1"), USER]),
    "order": ("is due for '1'", [assistant("1", "2"), result("2"), result("1")]),
    "orphan": ("answers no call", [USER, result("1")]),
    "two results": ("answers no call", [assistant("1"), result("1"), result("1")]),
    "other id": ("is due for", [assistant("1"), result("2")]),
    "repeated id": ("repeated", [assistant("1"), result("1"), assistant("1"), result("1")]),
    "repeated id in one message": ("repeated", [assistant("1", "1"), result("1"), result("1")]),
    "missing id": ("missing", [assistant(""), result("")]),
    "malformed arguments": ("JSON object", [assistant("1", arguments='{"a": '), result("1")]),
    "list as arguments": ("JSON object", [assistant("1", arguments="[]"), result("1")]),
    "empty arguments": ("JSON object", [assistant("1", arguments=""), result("1")]),
    "user calls": ("only the assistant", [{**assistant("1"), "role": "user"}, result("1")]),
    "role": ("unknown role", [{"role": "robot", "content": ""}]),
}


def test_a_good_history_passes() -> None:
    check_history([])
    check_history([USER, assistant("1", "2"), result("1"), result("2"), assistant(), USER, assistant("3"), result("3")])
    check_history([USER, assistant("1", "2"), result("1")], pending={"2"})


@pytest.mark.parametrize("name", BAD_HISTORIES)
def test_each_history_rule_can_fail(name: str) -> None:
    problem, messages = BAD_HISTORIES[name]
    with pytest.raises(AssertionError, match=problem):
        check_history(messages)
