"""Sessions to keep: journals as a real run leaves them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from agent.protocol.events import Event, LLMCall, ToolCallStarted, ToolOutput, TurnComplete
from agent.protocol.messages import FunctionCall, ToolCall, assistant_message, tool_message, user_message
from agent.redaction.live import LiveSecrets
from agent.sessions.journal import Journal, journal_path

NO_SECRETS = LiveSecrets({})
STARTED = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def llm_call(cost_usd: float | None = 0.25, kind: str = "main", prompt_tokens: int = 100) -> LLMCall:
    return LLMCall(
        model="replay/demo",
        kind=kind,
        latency_ms=5,
        finish_reason="stop",
        cost_usd=cost_usd,
        cost_known=cost_usd is not None,
        prompt_tokens=prompt_tokens,
        charged_usd=1.5 if cost_usd is None else cost_usd,
    )


def call(call_id: str, name: str = "bash", arguments: str = '{"command": "ls"}') -> ToolCall:
    return ToolCall(call_id, FunctionCall(name, arguments))


def start(journal: Journal, cwd: str = "/work", **more: object) -> None:
    head = {"id": journal.path.stem, "cwd": cwd, "version": "1.0", "model": "replay/demo", "effort": None}
    journal.append("start", head | more)


def add_turn(journal: Journal, prompt: str, answer: str = "Done.") -> None:
    """A turn with one tool call."""
    journal.append_message(user_message(prompt))
    tool_call = call(f"call-{journal.bytes_written}")
    journal.append_event(Event(llm_call()))
    journal.append_message(assistant_message(None, (tool_call,)))
    journal.append_running([tool_call])
    journal.append_event(Event(ToolCallStarted("bash", {"command": "ls"}, tool_call.id)))
    journal.append_message(tool_message(tool_call, "a.py"))
    journal.append_event(Event(ToolOutput("bash", tool_call.id, "a.py", True, display="1 file")))
    journal.append_message(assistant_message(answer))
    journal.append_event(Event(TurnComplete(4, answer)))


def keep_session(state_dir: Path, session_id: str, *prompts: str, cwd: str = "/work") -> Path:
    """A closed session with a turn for each of `prompts`; returns its file."""
    journal = Journal.create(journal_path(state_dir, session_id, STARTED), NO_SECRETS)
    start(journal, cwd)
    for prompt in prompts:
        add_turn(journal, prompt)
    journal.append("end", {"turns": len(prompts)})
    journal.close()
    return journal.path
