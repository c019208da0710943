"""Readers by others find in an exported trace what the journal says: prompts, calls, results, usage, cost and times.

What is expected comes from the journal's own records and from `restore`, not from the view that the trace is made of.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import get_session_messages, list_sessions
from claude_code_log.converter import convert_jsonl_to_html, load_transcript
from claude_code_log.models import AssistantTranscriptEntry, UserTranscriptEntry
from claude_code_log.parser import parse_timestamp

from agent.protocol.messages import Message
from agent.redaction.redactor import Redactor
from agent.sessions.reader import read_records
from agent.sessions.records import load_message
from agent.sessions.restore import RestoredSession, restore
from agent.traces import claude_code
from agent.traces.timeline import read_timeline
from tests.unit.traces.trace_sessions import SESSIONS

READERS = Path(__file__).parents[2] / "trace_readers" / "node_modules"
NATIVE = READERS / "@ccusage" / "ccusage-linux-x64" / "bin" / "ccusage"
SCRIPT = READERS / "ccusage" / "dist" / "index.js"

NAMES = sorted(SESSIONS)


@pytest.fixture
def claude_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the readers look for traces."""
    home = tmp_path / "claude"
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home))
    return home


async def export(name: str, tmp_path: Path, home: Path) -> tuple[Path, Path]:
    """Make the session `name` and its trace, where Claude Code would have it: the journal and the trace."""
    journal = await SESSIONS[name](tmp_path)
    return journal, write_trace(journal, home, name)


def write_trace(journal: Path, home: Path, project: str) -> Path:
    timeline = read_timeline(journal)
    trace = home / "projects" / project / f"{uuid.UUID(timeline.session_id)}.jsonl"
    trace.parent.mkdir(parents=True, exist_ok=True)
    trace.write_text("".join(f"{line}\n" for line in claude_code.lines(timeline, Redactor())), "ascii")
    return trace


# --- what is expected ------------------------------------------------------------------------------------------------


def readable(text: str) -> str:
    """`text` as a reader can have it at best."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def words(message: Message) -> Iterator[tuple[Any, ...]]:
    """What a message says, piece by piece; nothing for those that we wrote in the person's place."""
    text = readable(message.content or "")
    if message.role == "tool":
        yield ("result", message.tool_call_id, text)
    elif message.role == "assistant":
        if text:
            yield ("answer", text)
        for call in message.tool_calls:
            arguments = call.function.arguments
            try:
                value = json.loads(arguments)
            except ValueError:
                value = None
            value = value if isinstance(value, dict) else {"_raw": arguments}
            yield ("call", call.id, call.function.name, readable(json.dumps(value, ensure_ascii=False, sort_keys=True)))
    elif message.origin in {"person", "steering"}:
        yield ("prompt", text)


def expected_words(restored: RestoredSession) -> list[tuple[Any, ...]]:
    return [word for message in restored.transcript for word in words(message)]


def words_of_line(role: str, content: Any) -> Iterator[tuple[Any, ...]]:
    """The same for the message of a trace line."""
    if isinstance(content, str):
        yield ("prompt" if role == "user" else "answer", content)
        return
    for block in content:
        match block["type"]:
            case "text" if role == "assistant" and block["text"]:
                yield ("answer", block["text"])
            case "tool_use":
                arguments = json.dumps(block["input"], ensure_ascii=False, sort_keys=True)
                yield ("call", block["id"], block["name"], arguments)
            case "tool_result":
                yield ("result", block["tool_use_id"], block["content"])


@dataclass(frozen=True)
class Spending:
    """What the answered calls of a session took."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_creation_tokens: int
    cost_usd: float


def spending(journal: Path, among: Container[str] | None = None) -> Spending:
    """By the journal's records: each `llm_call` that an assistant message (one of the ids in `among`) comes after,
    before another call."""
    answered: list[dict[str, Any]] = []
    waiting: dict[str, Any] | None = None
    for record in read_records(journal):
        data = record.data
        if record.kind == "event" and data["event_type"] == "llm_call":
            call = data["data"]
            if call["kind"] == "main" and call["finish_reason"] != "lost":
                waiting = call
        elif record.kind == "message" and data["role"] == "assistant" and waiting is not None:
            if among is None or data["id"] in among:
                answered.append(waiting)
            waiting = None
    cached = [call["cache_read_tokens"] + call["cache_creation_tokens"] for call in answered]
    return Spending(
        sum(call["prompt_tokens"] for call in answered) - sum(cached),
        sum(call["completion_tokens"] for call in answered),
        sum(call["cache_read_tokens"] for call in answered),
        sum(call["cache_creation_tokens"] for call in answered),
        sum(call["cost_usd"] or 0.0 for call in answered),
    )


def all_said(journal: Path) -> dict[str, Message]:
    """Every message of the journal that is not the system's, by the uuid that its line must have."""
    found = [load_message(record.data) for record in read_records(journal) if record.kind == "message"]
    return {claude_code.line_uuid(message.id): message for message in found if message.role != "system"}


# --- claude-agent-sdk ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
async def test_anthropics_sdk_sees_the_conversation_as_the_person_does(
    name: str, tmp_path: Path, claude_home: Path
) -> None:
    """Rule 5: it walks from the last leaf to the root. Defect 12: history before a compaction is there."""
    journal, trace = await export(name, tmp_path, claude_home)
    found = get_session_messages(trace.stem)
    seen = [word for message in found for word in words_of_line(message.type, message.message["content"])]
    assert seen == expected_words(restore(journal))


@pytest.mark.parametrize("name", NAMES)
async def test_anthropics_sdk_lists_the_session(name: str, tmp_path: Path, claude_home: Path) -> None:
    journal, trace = await export(name, tmp_path, claude_home)
    restored = restore(journal)
    prompts = [text for kind, text, *_ in expected_words(restored) if kind == "prompt"]
    found = [info for info in list_sessions() if info.session_id == trace.stem]
    if not prompts:  # all was taken back: there is nothing to show
        assert found == []
        return
    (info,) = found
    first = prompts[0].replace("\n", " ").strip()
    assert info.first_prompt == first
    assert info.created_at == int(restored.started.timestamp() * 1_000)


# --- claude-code-log -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
async def test_claude_code_log_takes_every_line(
    name: str, tmp_path: Path, claude_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule 4: it rejected all lines of the reference. Defect 11: each line has its own time, usage and outcome."""
    journal, trace = await export(name, tmp_path, claude_home)
    entries = load_transcript(trace, silent=True)
    assert capsys.readouterr().out == ""  # it prints what it rejects
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    assert len(entries) == sum("uuid" in line or line["type"] == "ai-title" for line in lines)

    said = {
        entry.uuid: entry for entry in entries if isinstance(entry, (AssistantTranscriptEntry, UserTranscriptEntry))
    }
    live = {message.id for message in restore(journal).transcript}
    messages = {line_uuid: message for line_uuid, message in all_said(journal).items() if message.id in live}
    assert said.keys().isdisjoint(all_said(journal).keys() - messages.keys())  # what was taken back is shown nowhere
    assert messages.keys() <= said.keys()
    for line_uuid, message in messages.items():
        time = parse_timestamp(said[line_uuid].timestamp)
        assert time is not None
        assert timedelta(0) <= message.created_at - time < timedelta(milliseconds=1)

    used: Counter[str] = Counter()
    for entry in said.values():
        if isinstance(entry, AssistantTranscriptEntry) and entry.message.usage:
            used.update({key: count for key, count in entry.message.usage if isinstance(count, int)})
    expected = spending(journal, live)
    assert used["input_tokens"] == expected.input_tokens
    assert used["output_tokens"] == expected.output_tokens
    assert used["cache_read_input_tokens"] == expected.cache_read_tokens
    assert used["cache_creation_input_tokens"] == expected.cache_creation_tokens


@pytest.mark.parametrize(
    "name", ["compacted_twice", "undone_and_said_anew", "parallel_tools_that_end_in_another_order", "odd_characters"]
)
async def test_claude_code_log_draws_a_page(name: str, tmp_path: Path, claude_home: Path) -> None:
    journal, trace = await export(name, tmp_path, claude_home)
    page = convert_jsonl_to_html(trace, silent=True).read_text()
    for kind, text, *_ in expected_words(restore(journal)):
        if kind == "prompt" and text.isascii() and text.isalpha():
            assert text in page


# --- ccusage ---------------------------------------------------------------------------------------------------------


def ccusage(command: list[str], home: Path) -> dict[str, Any]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "CLAUDE_CONFIG_DIR": str(home), "TZ": "UTC"}
    words = [*command, "session", "--offline", "--json", "--mode", "display"]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture
def native(tmp_path: Path) -> list[str]:
    """ccusage 20. npm packs it without the right to be run."""
    if not NATIVE.exists():
        pytest.skip("ccusage 20 is not installed: npm ci --prefix tests/trace_readers")
    copy = tmp_path / "ccusage"
    shutil.copy(NATIVE, copy)
    copy.chmod(0o700)
    return [str(copy), "claude"]


@pytest.fixture
def script() -> list[str]:
    """ccusage 18, in JavaScript."""
    node = shutil.which("node")
    if node is None or not SCRIPT.exists():
        pytest.skip("ccusage 18 is not installed: npm ci --prefix tests/trace_readers (and Node.js)")
    return [node, str(SCRIPT)]


@pytest.mark.parametrize("version", ["native", "script"])
async def test_ccusage_counts_the_same_tokens_and_cost(
    version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Rules 1, 2, 3, 6 and 7: it drops a line for a space, an offset, a name in the version; it counts a pair of
    message id and request id once. Defect 11: there was no usage at all."""
    command: list[str] = request.getfixturevalue(version)
    for name in NAMES:
        home = tmp_path / name
        home.mkdir()
        journal, _ = await export(name, home, home / "claude")
        expected = spending(journal)  # taken back or not: it was paid
        totals = ccusage(command, home / "claude")["totals"]
        assert (name, totals["inputTokens"]) == (name, expected.input_tokens)
        assert totals["outputTokens"] == expected.output_tokens
        assert totals["cacheReadTokens"] == expected.cache_read_tokens
        assert totals["cacheCreationTokens"] == expected.cache_creation_tokens
        assert totals["totalCost"] == pytest.approx(expected.cost_usd)


@pytest.mark.parametrize("version", ["native", "script"])
async def test_ccusage_counts_a_fork_and_a_second_export_once(
    version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    command: list[str] = request.getfixturevalue(version)
    home = tmp_path / "claude"
    fork, _ = await export("fork_of_a_compacted_one", tmp_path, home)
    journals = sorted((tmp_path / "state" / "sessions").rglob("*.jsonl"))
    assert len(journals) == 2
    for journal in journals:
        write_trace(journal, home, "p")
        write_trace(journal, home, "again")
    both = [spending(journal) for journal in journals]
    totals = ccusage(command, home)["totals"]
    assert totals["inputTokens"] == sum(each.input_tokens for each in both)
    assert totals["totalCost"] == pytest.approx(sum(each.cost_usd for each in both))
    assert spending(fork).input_tokens == 1_000
