"""The conversation of a row."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol.messages import FunctionCall, Message, ToolCall, assistant_message, tool_message, user_message
from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import Redactor
from agent.sft.chat import KEYS, Chat, chat_of
from agent.traces.saying import compact_json
from agent.traces.timeline import read_timeline
from tests.unit.sessions.keeping import call
from tests.unit.sft.journals import begin, exchange, timeline_of


def chat(tmp_path: Path, *said: Any, redactor: Redactor | None = None) -> Chat:
    found = chat_of(timeline_of(tmp_path, *said), redactor or Redactor())
    check(found)
    return found


def check(chat: Chat) -> None:
    """What every row promises."""
    open_calls: list[str] = []
    seen: set[str] = set()
    before = None
    for message in chat:
        assert tuple(message) == KEYS
        assert isinstance(message["content"], str)
        assert isinstance(message["reasoning_content"], str)
        role = message["role"]
        if role == "tool":
            assert message["tool_call_id"] == open_calls.pop(0)
            assert message["name"]
        else:
            assert not open_calls, "a call without its result"
            assert role != before, "roles take turns"
            assert message["tool_call_id"] is None
        for each in message["tool_calls"] or ():
            assert role == "assistant"
            assert re.fullmatch(r"[a-z0-9]{9}", each["id"])
            assert each["id"] not in seen
            assert isinstance(json.loads(each["function"]["arguments"]), dict)
            seen.add(each["id"])
            open_calls.append(each["id"])
        assert message["tool_calls"] != []
        before = role
    assert not open_calls
    compact_json(chat).encode().decode()


def texts(chat: Chat) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in chat]


def test_a_turn_with_calls_whose_results_came_in_another_order(tmp_path: Path) -> None:
    one, two = call("a"), call("b", "read", '{"path": "x"}')
    found = chat(
        tmp_path,
        Message(role="system", content="You are an agent.", origin="system"),
        user_message("look"),
        assistant_message("I look.", (one, two), reasoning_content="hm"),
        tool_message(two, "second"),
        user_message("also this", "steering"),
        tool_message(one, "first"),
        assistant_message("Done."),
    )
    assert texts(found) == [
        ("system", "You are an agent."),
        ("user", "look"),
        ("assistant", "I look."),
        ("tool", "first"),
        ("tool", "second"),
        ("user", "also this"),
        ("assistant", "Done."),
    ]
    assert found[2]["reasoning_content"] == "hm"
    assert found[2]["tool_calls"][1] == {
        "id": "call00002",
        "type": "function",
        "function": {"name": "read", "arguments": '{"path": "x"}'},
    }
    assert found[4]["name"] == "read"


def test_notes_to_the_model_stay_and_user_messages_in_a_row_become_one(tmp_path: Path) -> None:
    found = chat(
        tmp_path,
        user_message("[The person ran this command]", "shell"),
        user_message("hi"),
        assistant_message("half an ans"),
        user_message("[ml-intern guard: truncated_text] go on", "guard"),
        assistant_message("wer"),
        user_message("What was said before, in short", "summary"),
    )
    assert texts(found) == [
        ("user", "[The person ran this command]\n\nhi"),
        ("assistant", "half an ans"),
        ("user", "[ml-intern guard: truncated_text] go on"),
        ("assistant", "wer"),
    ]


def test_calls_that_have_no_result_go(tmp_path: Path) -> None:
    done, cut = call("a"), call("b")
    said = [user_message("go"), assistant_message(None, (done, cut)), tool_message(done, "ok")]
    found = chat(tmp_path, *said, assistant_message(None, (call("c"),)))
    assert texts(found) == [("user", "go"), ("assistant", ""), ("tool", "ok")]
    assert len(found[1]["tool_calls"]) == 1


def test_what_was_compacted_away_is_there_and_what_was_taken_back_is_not(tmp_path: Path) -> None:
    """The reference had the current context: compaction took the history out of the rows."""
    old = [user_message("old"), assistant_message("old answer")]
    undone = [user_message("undone"), assistant_message("undone answer")]
    journal = begin(tmp_path, "s1", *old)
    summary = [user_message("in short: old", "summary")]
    journal.append_context(old, summary, "compaction")
    for message in undone:
        journal.append_message(message)
    journal.append_context(summary + undone, summary, "undo")
    for message in (user_message("new"), assistant_message("new answer")):
        journal.append_message(message)
    journal.close()
    found = chat_of(read_timeline(journal.path), Redactor())
    check(found)
    assert [text for _, text in texts(found)] == ["old", "old answer", "new", "new answer"]


def test_a_session_without_an_answer_has_no_chat(tmp_path: Path) -> None:
    assert chat(tmp_path, user_message("anyone there?"), assistant_message("")) == []


def test_arguments_that_are_no_object_and_half_surrogate_pairs(tmp_path: Path) -> None:
    odd, half = call("a", "bash", "[1, 2"), call("b", "bash", '{"command": "\\ud800"}')
    said = [user_message("\ud800 hi"), assistant_message("\udfff", (odd, half))]
    found = chat(tmp_path, *said, tool_message(odd, "no\u2028"), tool_message(half, "\ud83d"))
    row = json.loads(compact_json(found))
    assert json.dumps(row, ensure_ascii=False).encode(), "no half pair is left"
    assert row[1]["tool_calls"][0]["function"]["arguments"] == '{"_raw": "[1, 2"}'
    assert json.loads(row[1]["tool_calls"][1]["function"]["arguments"]) == {"command": "\ufffd"}


def test_secrets_are_nowhere(tmp_path: Path) -> None:
    secret = "s3cr3t-value-of-mine"
    redactor = Redactor(LiveSecrets({"MY_TOKEN": secret}))
    one = ToolCall(secret, FunctionCall(f"tool-{secret}", json.dumps({"env": {"k": [f"x{secret}"]}, secret: 1})))
    found = chat(
        tmp_path,
        Message(role="system", content=secret, origin="system"),
        user_message(f"use {secret}"),
        user_message(f"and {secret}", "steering"),
        assistant_message(f"ok {secret}", (one,), reasoning_content=f"so it is {secret}"),
        tool_message(one, f"printed {secret}"),
        redactor=redactor,
    )
    assert secret not in compact_json(found)
    assert redactor.text(f"use {secret}") in compact_json(found)


TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
IDS = st.sampled_from(["a", "b", "c"])
CALLS = st.builds(ToolCall, IDS, st.builds(FunctionCall, st.just("bash"), TEXTS | st.just('{"command": "ls"}')))
MESSAGES = st.one_of(
    st.builds(user_message, TEXTS, st.sampled_from(["person", "steering", "guard", "shell", "summary"])),
    st.builds(
        lambda text, calls: assistant_message(text, tuple(calls)), TEXTS | st.none(), st.lists(CALLS, max_size=3)
    ),
    st.builds(tool_message, CALLS, TEXTS),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(MESSAGES, max_size=12))
def test_whatever_was_said_the_chat_is_valid(said: list[Message]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        chat(Path(directory), *said)


def test_a_turn_without_tools(tmp_path: Path) -> None:
    assert texts(chat(tmp_path, *exchange())) == [("user", "hi"), ("assistant", "hello")]
