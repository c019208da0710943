"""Claude Code traces: the rules that readers were found to have, line by line."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.events import Event
from agent.protocol.messages import Message, assistant_message, user_message
from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import RedactionError, Redactor
from agent.sessions.restore import restore
from agent.traces import sub_agents
from agent.traces.claude_code import is_trace, line_uuid
from agent.traces.timeline import read_timeline
from tests.unit.sessions.keeping import call as tool_call
from tests.unit.traces.claude_lines import TAKEN_BACK, chained, check_chain, exported, texts
from tests.unit.traces.trace_sessions import SESSIONS, Kept, kept, spent

NAMES = sorted(SESSIONS)

SECRET = "correct-horse-battery-staple"


@pytest.mark.parametrize("name", NAMES)
async def test_every_line_is_as_readers_need_it(name: str, tmp_path: Path) -> None:
    """Rules 1 to 4, 6 and 8; defects 11 and 19."""
    path = await SESSIONS[name](tmp_path)
    pairs = []
    for text in texts(path):
        line = json.loads(text)
        assert text.isascii()
        assert text == json.dumps(line, separators=(",", ":"))  # compact, and nothing that only Python can read
        json.dumps(line, ensure_ascii=False).encode()  # fails for half a surrogate pair
        if "uuid" not in line:
            assert line["type"] == "ai-title" or line["type"].startswith("x-ml-intern-")
            assert '"usage":{' not in text
            continue
        assert line.get("was", line["type"]) in {"user", "assistant", "system"}
        assert ("was" in line) == (line["type"] == TAKEN_BACK)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])
        assert re.match(r"\d+\.\d+\.\d+", line["version"])
        assert (line["isSidechain"], line["userType"]) == (False, "external")
        assert {"cwd", "gitBranch", "sessionId", "parentUuid"} <= line.keys()
        if line.get("was", line["type"]) == "assistant":
            message = line["message"]
            assert message["id"].startswith("msg_") and line["requestId"].startswith("req_")
            assert message["type"] == "message" and message["content"]
            pairs.append((message["id"], line["requestId"]))
            inputs = [block["input"] for block in message["content"] if block["type"] == "tool_use"]
            assert all(isinstance(each, dict) for each in inputs)
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("name", NAMES)
async def test_the_chain_is_whole(name: str, tmp_path: Path) -> None:
    """Rule 5, defect 12."""
    path = await SESSIONS[name](tmp_path)
    check_chain(exported(path), restore(path).transcript)


async def test_uuids_are_the_same_in_a_fork_and_in_every_export(tmp_path: Path) -> None:
    """Defect 12: an index-derived uuid was another one after each compaction and undo."""
    fork = await SESSIONS["fork_of_a_compacted_one"](tmp_path)
    (original,) = [path for path in (tmp_path / "state" / "sessions").rglob("*.jsonl") if path != fork]
    assert texts(original) == texts(original)
    copied = {line["uuid"]: line for line in chained(exported(fork))}
    said = [message for message in restore(original).transcript if message.role != "system"]
    assert {line_uuid(message.id) for message in said} <= copied.keys()
    before = {line["uuid"]: line for line in chained(exported(original))}
    for message in said:
        here, there = before[line_uuid(message.id)], copied[line_uuid(message.id)]
        assert here["timestamp"] == there["timestamp"]
        if message.role == "assistant":
            assert here["message"]["id"] == there["message"]["id"]
            assert "usage" in here["message"] and "usage" not in there["message"]


async def test_results_are_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    found = exported(await SESSIONS["parallel_tools_that_end_in_another_order"](tmp_path))
    contents = [line["message"]["content"] for line in found if line["type"] == "user"]
    assert [content[0]["content"] for content in contents if isinstance(content, list)] == ["three", "two", "one"]


async def test_compactions_go_on_with_the_chain(tmp_path: Path) -> None:
    """Rule 9, defect 12: nothing from before it is missing, and the summary is nobody's prompt."""
    found = exported(await SESSIONS["compacted_twice"](tmp_path))
    marks = [line for line in found if line.get("subtype") == "compact_boundary"]
    assert [line["compactMetadata"]["trigger"] for line in marks] == ["manual", "manual"]
    for mark in marks:
        assert mark["parentUuid"] is not None
        assert mark["compactMetadata"]["preTokens"] > mark["compactMetadata"]["postTokens"]
        (summary,) = [line for line in found if line.get("parentUuid") == mark["uuid"]]
        assert summary["isCompactSummary"] and summary["isMeta"] and summary["isVisibleInTranscriptOnly"]
        assert "a summary" in summary["message"]["content"]
    prompts = [line["message"]["content"] for line in found if is_prompt(line)]
    assert prompts == ["first", "second", "third", "fourth"]


def is_prompt(line: dict[str, Any]) -> bool:
    is_text = line["type"] == "user" and isinstance(line["message"]["content"], str)
    return is_text and not line.get("isMeta")


@pytest.mark.parametrize(
    ("name", "prompts"),
    [
        ("steered", ["go", "use the small model"]),
        ("guarded", ["go"]),
        ("undone_at_the_end", ["first"]),
        ("undone_altogether", []),
        ("undone_and_said_anew", ["first", "second, but better"]),
        ("empty_words_thoughts_and_lost_calls", ["go", "steer"]),
    ],
)
async def test_prompts_are_the_persons_own(name: str, prompts: list[str], tmp_path: Path) -> None:
    found = exported(await SESSIONS[name](tmp_path))
    assert [line["message"]["content"] for line in found if is_prompt(line)] == prompts


async def test_our_own_words_are_marked(tmp_path: Path) -> None:
    found = exported(await SESSIONS["guarded"](tmp_path))
    assert sum(line.get("isMeta", False) for line in found) >= 1


async def test_what_was_taken_back_stays_as_a_branch(tmp_path: Path) -> None:
    """Defect 12: an undo deleted from the trace. What it cost stays."""
    found = exported(await SESSIONS["undone_at_the_end"](tmp_path))
    *_, answer, prompt, taken_back = chained(found)
    assert [line["type"] for line in chained(found)] == ["user", "assistant", TAKEN_BACK, TAKEN_BACK]
    assert [line["was"] for line in (prompt, taken_back)] == ["user", "assistant"]
    assert (prompt["parentUuid"], taken_back["parentUuid"]) == (answer["uuid"], prompt["uuid"])
    assert taken_back["message"]["usage"] == answer["message"]["usage"]
    (tmp_path / "again").mkdir()
    again = exported(await SESSIONS["undone_altogether"](tmp_path / "again"))
    assert {line["type"] for line in chained(again)} == {TAKEN_BACK}


async def test_results_say_whether_they_are_errors(tmp_path: Path) -> None:
    """Defect 11."""

    async def errors(name: str) -> list[bool | None]:
        found = exported(await SESSIONS[name](tmp_path / name))
        contents = [line["message"]["content"] for line in found if line["type"] == "user"]
        blocks = [block for content in contents if isinstance(content, list) for block in content]
        return [block.get("is_error") for block in blocks if block["type"] == "tool_result"]

    for name in SESSIONS:
        (tmp_path / name).mkdir(exist_ok=True)
    assert await errors("plain") == [False]
    assert await errors("failed_and_denied_tools") == [True] * 3
    assert await errors("interrupted_in_a_tool") == [True] * 2
    assert await errors("arguments_that_are_no_object") == [True] * 4
    assert await errors("still_running") == [None]


async def test_interrupted_turns_are_marked_as_claude_code_does(tmp_path: Path) -> None:
    for name, marks in (
        ("interrupted_in_a_tool", ["[Request interrupted by user for tool use]"]),
        ("interrupted_before_the_answer", ["[Request interrupted by user]"]),
        ("interrupted_in_the_answer", ["[Request interrupted by user]"]),
        ("plain", []),
    ):
        (tmp_path / name).mkdir()
        found = exported(await SESSIONS[name](tmp_path / name))
        contents = [line["message"]["content"] for line in found if line["type"] == "user"]
        blocks = [block for content in contents if isinstance(content, list) for block in content]
        assert [block["text"] for block in blocks if block["type"] == "text"] == marks


async def test_what_comes_after_an_interruption_is_said_after_its_mark(tmp_path: Path) -> None:
    found = exported(await SESSIONS["interrupted_in_a_tool"](tmp_path))
    (mark,) = [line for line in chained(found) if "[Request interrupted" in json.dumps(line["message"])]
    (after,) = [line for line in chained(found) if line["parentUuid"] == mark["uuid"]]
    assert after["message"]["content"] == "go on"


async def test_arguments_that_are_no_object_stay_readable(tmp_path: Path) -> None:
    """Rule 8."""
    call = tool_call("call-1", arguments='{"x": NaN}')
    deep = tool_call("call-2", arguments='{"a":' * 5_000 + "1" + "}" * 5_000)
    with kept(tmp_path) as keeping:
        keeping.ask("go")
        keeping.answer(None, call, deep, tool_call("call-3", arguments="[1]"), tool_call("call-4"))
    (line,) = [line for line in exported(keeping.journal.path) if line["type"] == "assistant"]
    inputs = [block["input"] for block in line["message"]["content"]]
    assert inputs == [
        {"_raw": call.function.arguments},
        {"_raw": deep.function.arguments},
        {"_raw": "[1]"},
        {"command": "ls"},
    ]


async def test_thoughts_usage_and_cost(tmp_path: Path) -> None:
    """Rule 7, defect 11."""
    found = exported(await SESSIONS["empty_words_thoughts_and_lost_calls"](tmp_path))
    empty, signed, unpriced = [line for line in found if line["type"] == "assistant"]
    assert empty["message"]["content"] == [{"type": "text", "text": ""}]
    assert signed["message"]["content"] == [{"type": "thinking", "thinking": "I think", "signature": "c2ln"}]
    assert unpriced["message"]["content"] == [
        {"type": "thinking", "thinking": "plain thoughts", "signature": ""},
        {"type": "text", "text": "no price"},
    ]
    assert empty["message"]["usage"] == {
        "input_tokens": 60,
        "output_tokens": 20,
        "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 10,
    }
    assert empty["costUSD"] == 0.01
    assert "costUSD" not in unpriced
    assert [line["message"]["stop_reason"] for line in (empty, signed)] == ["end_turn", "end_turn"]
    others = [line for line in found if line["type"] == "x-ml-intern-call"]
    assert [(line["kind"], line["finishReason"], line["costUSD"]) for line in others] == [
        ("main", "lost", None),
        ("research", "stop", 0.4),
    ]


@pytest.mark.parametrize(
    ("finish_reason", "expected"), [("length", "max_tokens"), ("stop", "end_turn"), ("stream_cut", None)]
)
async def test_why_an_answer_ended(finish_reason: str, expected: str | None, tmp_path: Path) -> None:
    with kept(tmp_path) as keeping:
        keeping.ask("go")
        keeping.journal.append_event(Event(spent("main", 0.1, finish_reason)))
        keeping.add(assistant_message("so"))
    (line,) = [line for line in exported(keeping.journal.path) if line["type"] == "assistant"]
    assert line["message"]["stop_reason"] == expected


async def test_the_head_tells_of_the_session(tmp_path: Path) -> None:
    with kept(tmp_path, parent="p" * 32) as keeping:
        keeping.journal.append("place", {"git_branch": "main", "tools": "ab12"})
        keeping.ask("train it")
        keeping.answer("ok")
        keeping.journal.append("title", {"title": "A small classifier", "by": "person"})
    head, title, first, _ = exported(keeping.journal.path)
    assert (head["type"], head["program"], head["version"]) == ("x-ml-intern-session", "ml-intern", "0.2.0")
    assert (head["title"], head["tools"], head["parentSession"]) == ("A small classifier", "ab12", "p" * 32)
    assert (title["type"], title["aiTitle"]) == ("ai-title", "A small classifier")
    assert first["gitBranch"] == "main"


async def test_times_are_utc_whatever_the_journal_has(tmp_path: Path) -> None:
    """Defect 19."""
    said = Message("user", "hi", created_at=datetime.fromisoformat("2026-11-21T12:00:00.123999+02:00"))
    with kept(tmp_path) as keeping:
        keeping.add(said)
        keeping.answer("hello")
    assert chained(exported(keeping.journal.path))[0]["timestamp"] == "2026-11-21T10:00:00.123Z"


async def test_secrets_are_replaced_wherever_something_was_said(tmp_path: Path) -> None:
    """But never in ids and stamps."""
    block = {"type": "thinking", "thinking": f"is it {SECRET}?", "signature": "c2ln"}
    with kept(tmp_path, cwd=f"/work/{SECRET}") as keeping:
        keeping.journal.append("place", {"git_branch": SECRET, "tools": None})
        keeping.journal.append("title", {"title": f"about {SECRET}", "by": "person"})
        keeping.ask(f"the key is {SECRET}")
        call = tool_call("call-1", arguments=json.dumps({"nested": [{"deep": SECRET}]}))
        keeping.answer(f"so {SECRET}", call, tool_call("call-2", arguments=SECRET), thinking_blocks=(block,))
        keeping.result(call, f"found {SECRET}")
        summary = user_message(f"they use {SECRET}", "summary")
        keeping.become([summary], "compaction")
        keeping.answer("ok", reasoning_content=SECRET)
    redactor = Redactor(LiveSecrets({}, {"MY_KEY": SECRET}))
    found = texts(keeping.journal.path, redactor)
    assert SECRET not in "\n".join(found)
    assert "\n".join(found).count("[REDACTED:MY_KEY]") >= 10
    assert '"signature":"c2ln"' not in "\n".join(found)  # it was for other words
    plain = [json.loads(line) for line in texts(keeping.journal.path)]
    pairs = [(line["uuid"], line["timestamp"]) for line in chained(plain)]
    assert [(line["uuid"], line["timestamp"]) for line in chained([json.loads(line) for line in found])] == pairs


@pytest.mark.parametrize("is_given", [True, False])
async def test_a_title_never_ends_in_half_a_secret(is_given: bool, tmp_path: Path) -> None:
    """Titles are cut after 72 characters, and half a secret is known by no redactor."""
    text = f"{'x' * 55} {SECRET} and more of it"
    with kept(tmp_path) as keeping:
        keeping.ask(text)
        keeping.answer("ok")
        if is_given:
            keeping.journal.append("title", {"title": f"My {text}", "by": "person"})
    found = texts(keeping.journal.path, Redactor(LiveSecrets({}, {"MY_KEY": SECRET})))
    assert SECRET[:10] not in "\n".join(found)
    assert json.loads(found[0])["title"] == (f"My {'x' * 55}…" if is_given else f"{'x' * 55}…")


async def test_what_cannot_be_redacted_is_not_exported(tmp_path: Path) -> None:
    class Failing(Redactor):
        def text(self, text: str) -> str:
            raise RedactionError("no")

    path = await SESSIONS["plain"](tmp_path)
    with pytest.raises(RedactionError):
        texts(path, Failing())


async def test_a_session_without_an_answer_is_no_trace(tmp_path: Path) -> None:
    """Rule 12."""
    with kept(tmp_path) as keeping:
        keeping.ask("anybody?")
    assert not is_trace(read_timeline(keeping.journal.path))
    assert is_trace(read_timeline(await SESSIONS["plain"](tmp_path)))
    (tmp_path / "undone").mkdir()
    assert not is_trace(read_timeline(await SESSIONS["undone_altogether"](tmp_path / "undone")))


async def test_sub_agents_are_apart_and_are_traces_of_their_own(tmp_path: Path) -> None:
    """Rule 10."""
    state = tmp_path / "state"
    for name in ("call_b", "call_a"):
        keeping = Kept(state / "agents" / "abc" / f"{name}.jsonl", id=f"abc/{name}", parent="abc", agent="research")
        keeping.ask("find it")
        keeping.answer("found")
        keeping.journal.close()
    found = sub_agents.journals(state, "abc")
    assert [path.stem for path in found] == ["call_a", "call_b"]
    lines_of_it = exported(found[0])
    assert {line["sessionId"] for line in lines_of_it} == {"abc_call_a"}
    assert not any(line["isSidechain"] for line in chained(lines_of_it))
    for nothing in ("other", "", "..", "../agents/abc"):
        assert sub_agents.journals(state, nothing) == []
