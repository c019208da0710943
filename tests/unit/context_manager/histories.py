"""Histories and aids for the tests of this directory."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.context_manager.compaction import Aids
from agent.context_manager.manager import ContextManager
from agent.protocol.messages import FunctionCall, Message, ToolCall
from tests.grammar import check_history

SYSTEM_PROMPT = "You are helpful."


class Shelf:
    """Where compaction keeps what it takes out."""

    def __init__(self) -> None:
        self.kept: dict[Path, str] = {}

    def __call__(self, text: str, name: str) -> Path | None:
        path = Path(f"/state/spill/{name}-{len(self.kept)}.txt")
        self.kept[path] = text
        return path


def keeps_nothing(_text: str, _name: str) -> None:
    """A full disk."""


class Summariser:
    """A model that answers every prompt with the same text, and remembers the prompts."""

    def __init__(self, answer: str = "## State\nThe tokenizer is trained.\n## Next\nTrain the model.") -> None:
        self.answer = answer
        self.prompts: list[str] = []

    async def __call__(self, prompt: str) -> str:
        prompt.encode()  # as it is sent
        self.prompts.append(prompt)
        return self.answer


def aids(
    summarise: Callable[[str], Awaitable[str]] | None = None,
    spill: Callable[[str, str], Path | None] | None = None,
    *,
    facts: str = "",
    instructions: str = "",
) -> Aids:
    """Aids with a shelf of their own."""
    return Aids(summarise, spill or Shelf(), facts, instructions)


def tool_call(call_id: str, tool: str = "bash", /, **arguments: object) -> ToolCall:
    """A call with these arguments."""
    return ToolCall(call_id, FunctionCall(tool, json.dumps(arguments)))


def history(*messages: Message, window: int = 200_000) -> ContextManager:
    """A history with these messages after a short system prompt."""
    manager = ContextManager(SYSTEM_PROMPT, window)
    for message in messages:
        manager.add_message(message)
    return manager


def check(manager: ContextManager) -> None:
    """Assert that a provider would take the history of `manager`."""
    check_history(manager.wire_messages(replay_thinking=False))


def texts(manager: ContextManager) -> list[str | None]:
    """The contents of all messages."""
    return [message.content for message in manager.items]


def undo(manager: ContextManager) -> int:
    """Take back the last turn."""
    return manager.truncate_before([message.id for message in manager.items if message.begins_turn][-1])
