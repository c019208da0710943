"""History: its invariants under everything that is done to it, and how much room it takes."""

from __future__ import annotations

import pytest

from agent.context_manager.manager import ContextManager
from agent.protocol.messages import assistant_message, tool_message, user_message
from tests.unit.context_manager.histories import check, history, texts, tool_call, undo


def test_results_go_to_their_place_whatever_the_order_they_come_in() -> None:
    a, b, c = (tool_call(name) for name in "abc")
    manager = history(user_message("go"), assistant_message(None, (a, b, c)))
    for call in (c, a, b):
        manager.add_result(tool_message(call, call.id))
    assert texts(manager)[3:] == ["a", "b", "c"]


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
    check(manager)
    assert "not executed" in str(manager.items[3].content)
    assert manager.items[4].content == "done"
    assert manager.repair() == []


def test_text_that_cannot_be_sent_is_mended() -> None:
    manager = history(user_message("half an emoji: \ud83d"))
    str(manager.items[1].content).encode()


# --- taking back -----------------------------------------------------------------------------------------------------


def test_history_is_cut_off_before_a_message() -> None:
    manager = history(user_message("one"), assistant_message("1"), user_message("two"), assistant_message("2"))
    system, first, *_ = manager.items
    assert manager.truncate_before("unknown") == 0
    assert manager.truncate_before(system.id) == 0
    assert manager.truncate_before(first.id) == 4
    assert manager.items == [system]


def test_a_conversation_is_taken_up_again_under_the_present_system_prompt() -> None:
    earlier = history(user_message("one"), assistant_message("x" * 4_000))
    manager = history(user_message("something else"))
    system = manager.items[0]
    manager.restore(earlier.items[1:])
    assert manager.items[0] is system
    assert manager.items[1:] == earlier.items[1:]
    assert manager.usage_tokens == earlier.usage_tokens


def test_thinking_is_dropped_where_there_is_any() -> None:
    manager = history(assistant_message("a", thinking_blocks=({"thinking": "hm"},)), assistant_message("b"))
    plain = manager.items[2]
    manager.drop_thinking()
    assert manager.items[1].thinking_blocks == ()
    assert manager.items[2] is plain


# --- counting --------------------------------------------------------------------------------------------------------


def test_the_provider_is_believed_about_tokens_and_what_came_since_counts_too() -> None:
    manager = history(user_message("word " * 4_000))
    manager.record_usage(6_000)
    assert 5_990 <= manager.usage_tokens <= 6_000
    manager.add_message(assistant_message("word " * 4_000))
    assert 11_900 < manager.usage_tokens < 12_100


@pytest.mark.parametrize("nonsense", [0, None, 1, 10_000_000])
def test_a_provider_that_reports_nonsense_or_nothing_does_no_harm(nonsense: int | None) -> None:
    manager = history(user_message("word " * 4_000))
    before = manager.usage_tokens
    manager.record_usage(nonsense)
    assert 0.25 * before < manager.usage_tokens < 4.1 * before
    assert not manager.needs_compaction


def test_a_request_that_was_answered_did_fit_the_window() -> None:
    manager = history(user_message("word " * 4_000), window=10_000)
    manager.record_usage(16_000)
    assert manager.usage_tokens <= 10_000


def test_the_count_stays_sensible_after_undo() -> None:
    manager = history(user_message("one"), assistant_message("1"), user_message("x" * 360_000))
    manager.record_usage(60_000)
    undo(manager)
    assert 0 < manager.usage_tokens < 100


def test_usage_counts_tools_and_shrinks_with_undo() -> None:
    bare, tooled = ContextManager("s", 1000), ContextManager("s", 1000, [{"function": {"description": "x" * 4_500}}])
    assert tooled.usage_tokens > bare.usage_tokens + 900
    before = tooled.usage_tokens
    tooled.add_message(user_message("x" * 1000))
    undo(tooled)
    assert tooled.usage_tokens == before


def test_another_model_is_not_judged_by_the_counts_of_the_last() -> None:
    manager = history(user_message("word " * 4_000))
    before = manager.usage_tokens
    manager.record_usage(2 * before)
    manager.forget_usage()
    assert manager.usage_tokens == before


def test_a_refusal_teaches_the_window_and_that_we_counted_too_little() -> None:
    manager = history(user_message("word " * 20_000), window=200_000)
    manager.learn_limit(32_000)
    assert manager.model_max_tokens == 32_000
    assert manager.usage_tokens >= 31_990
    assert manager.needs_compaction


def test_a_refusal_without_a_number_means_less_than_what_was_sent() -> None:
    manager = history(user_message("word " * 20_000), window=200_000)
    manager.learn_limit(None)
    assert manager.model_max_tokens == manager.usage_tokens
    assert manager.needs_compaction


def test_user_messages_side_by_side_go_out_as_one() -> None:
    said = user_message("one"), user_message("two", "shell"), assistant_message("ok", ()), user_message("three")
    wire = history(*said).wire_messages(replay_thinking=False)
    assert [message["content"] for message in wire[1:]] == ["one\n\ntwo", "ok", "three"]
