"""History: its invariants under everything that is done to it, and compaction that always shrinks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.context_manager.compaction import shorten
from agent.context_manager.manager import ContextManager
from agent.context_manager.tokens import estimate_message
from agent.protocol.messages import FunctionCall, Message, ToolCall, assistant_message, tool_message, user_message
from tests.grammar import check_history

SYSTEM = Message(role="system", content="You are helpful.", origin="system")


def tool_call(call_id: str, **arguments: object) -> ToolCall:
    return ToolCall(call_id, FunctionCall("bash", json.dumps(arguments)))


def history(*messages: Message, window: int = 200_000) -> ContextManager:
    manager = ContextManager("You are helpful.", window)
    for message in messages:
        manager.add_message(message)
    return manager


def wire(manager: ContextManager) -> list[dict[str, object]]:
    return manager.wire_messages(replay_thinking=False)


def test_results_go_to_their_place_whatever_the_order_they_come_in() -> None:
    a, b, c = (tool_call(name) for name in "abc")
    manager = history(user_message("go"), assistant_message(None, (a, b, c)))
    for call in (c, a, b):
        manager.add_result(tool_message(call, call.id))
    assert [m.content for m in manager.items[3:]] == ["a", "b", "c"]


def test_repair_answers_dangling_calls_and_drops_orphans() -> None:
    a, b = tool_call("a"), tool_call("b")
    manager = history(
        user_message("go"),
        assistant_message(None, (a, b)),
        tool_message(b, "done"),
        user_message("next"),
        tool_message(a, "too late"),
    )
    assert len(manager.repair()) == 1
    check_history(wire(manager))
    assert "not executed" in str(manager.items[3].content)
    assert manager.items[4].content == "done"
    assert manager.repair() == []


def test_undo_removes_a_turn_with_what_the_guards_added() -> None:
    manager = history(
        user_message("one"),
        assistant_message("1"),
        user_message("two"),
        user_message("note", "guard"),
        assistant_message("2"),
    )
    assert manager.undo_last_turn() == 3
    assert [m.content for m in manager.items[1:]] == ["one", "1"]
    assert manager.undo_last_turn() == 2
    assert manager.undo_last_turn() == 0


def test_the_provider_is_believed_about_tokens() -> None:
    manager = history(user_message("hi"))
    manager.record_usage(5_000)
    assert manager.usage_tokens == 5_000
    manager.add_message(assistant_message("x" * 3_600))
    assert 5_900 < manager.usage_tokens < 6_200


def test_the_count_stays_sensible_after_undo() -> None:
    manager = history(user_message("one"), assistant_message("1"), user_message("x" * 360_000))
    manager.record_usage(60_000)
    manager.undo_last_turn()
    assert 0 < manager.usage_tokens < 100


def test_usage_counts_tools_and_shrinks_with_undo() -> None:
    bare, tooled = ContextManager("s", 1000), ContextManager("s", 1000, [{"function": {"description": "x" * 3_600}}])
    assert tooled.usage_tokens > bare.usage_tokens + 900
    before = tooled.usage_tokens
    tooled.add_message(user_message("x" * 1000))
    tooled.undo_last_turn()
    assert tooled.usage_tokens == before


texts = st.one_of(st.text(max_size=40), st.integers(1, 60_000).map(lambda n: "word " * n))


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    messages = [SYSTEM]
    number = 0
    for _ in range(draw(st.integers(1, 4))):
        messages.append(user_message(draw(texts)))
        for _ in range(draw(st.integers(0, 12))):
            calls = []
            for _ in range(draw(st.integers(0, 3))):
                number += 1
                calls.append(tool_call(f"c{number}", text=draw(texts)))
            messages.append(assistant_message(draw(texts), tuple(calls)))
            messages += [tool_message(call, draw(texts)) for call in calls]
            if draw(st.booleans()):
                messages.append(user_message("note", "guard"))
    return messages


@settings(max_examples=60, deadline=None)
@given(conversations(), st.integers(3_000, 100_000))
def test_compaction_fits_shrinks_and_keeps_pairs(messages: list[Message], room: int) -> None:
    shorter = shorten(messages, room, cut_person=True)
    size = sum(map(estimate_message, messages))
    if size <= room:
        assert shorter is None
        return
    assert shorter is not None
    new_size = sum(map(estimate_message, shorter))
    assert new_size < size
    assert new_size <= room
    check_history([message.to_wire() for message in shorter])
    assert shorter[0] == SYSTEM
    assert any(m.role == "user" for m in shorter[:2])


@pytest.mark.parametrize("window", [8_000, 32_000, 200_000])
def test_a_headless_run_with_one_request_can_always_be_shortened(window: int) -> None:
    """The reference gave up here: everything between the first user message and the tail was never summarised."""
    manager = history(user_message("train it"), window=window)
    for n in range(400):
        call = tool_call(f"c{n}", command=f"python step.py {n}")
        manager.add_message(assistant_message("next", (call,)))
        manager.add_result(tool_message(call, f"loss {n} " * 200))
        if manager.needs_compaction:
            before, after = manager.compact()
            assert after < before
            assert not manager.needs_compaction
    check_history(wire(manager))
    assert manager.items[1].content == "train it"
    assert "loss 399" in str(manager.items[-1].content)


def test_what_the_person_wrote_is_cut_only_on_demand() -> None:
    first, latest = user_message("a" * 50_000), user_message("b" * 50_000)
    manager = history(first, assistant_message("c" * 50_000), latest, window=30_000)
    manager.compact()
    contents = [m.content for m in manager.items]
    assert first.content in contents
    assert latest.content in contents
    manager.compact(forced=True)
    assert latest.content not in [m.content for m in manager.items]
    assert not manager.needs_compaction


def test_compaction_with_nothing_to_gain_changes_nothing() -> None:
    manager = history(user_message("hi"), assistant_message("hello"))
    before, after = manager.compact()
    assert before == after
    assert len(manager.items) == 3
