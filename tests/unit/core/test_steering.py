"""What the person types while a turn runs becomes part of it."""

import asyncio
from pathlib import Path
from typing import Any

from agent.protocol.events import AssistantChunk, Interrupted, Steered, ToolCallStarted
from agent.protocol.operations import OpType
from agent.protocol.tools import ToolResult, ToolSpec
from tests.unit.core.loop import call, calls, running


class Gate:
    """A tool that runs until it is let go."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.spec = ToolSpec("gate", "Waits.", {"type": "object", "properties": {}}, self._run)

    async def _run(self, _arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        await self.open.wait()
        return ToolResult("through")


async def test_it_reaches_the_model_after_the_running_step(tmp_path: Path) -> None:
    gate = Gate()
    async with running(tmp_path, [calls(call("gate")), {"text": "ok"}], tools=[gate.spec]) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await loop.until(ToolCallStarted)
        loop.session.steer("use the small model")
        gate.open.set()
        await loop.until(Steered)
        await loop.until_turn_ends()
        assert [m["role"] for m in loop.wire()[1:]] == ["user", "assistant", "tool", "user", "assistant"]
        assert loop.wire()[4]["content"] == "use the small model"


async def test_an_answer_is_not_the_last_word_while_something_waits(tmp_path: Path) -> None:
    async with running(tmp_path, [{"text": "first"}, {"text": "second"}], lockstep=True) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await loop.until(AssistantChunk)
        loop.session.steer("and this?")
        end = await loop.until_turn_ends()
        assert end.payload.final_response == "second"
        assert len(loop.of(Steered)) == 1


async def test_what_the_model_has_not_seen_does_not_leak_into_the_next_turn(tmp_path: Path) -> None:
    gate = Gate()
    async with running(tmp_path, [calls(call("gate")), {"text": "ok"}], tools=[gate.spec]) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await loop.until(ToolCallStarted)
        loop.session.steer("never mind")
        loop.session.cancel()
        await loop.until(Interrupted)
        await loop.turn("something else")
        assert "never mind" not in str(loop.wire())


async def test_undo_takes_back_the_whole_turn(tmp_path: Path) -> None:
    gate = Gate()
    async with running(tmp_path, [calls(call("gate")), {"text": "ok"}], tools=[gate.spec]) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await loop.until(ToolCallStarted)
        loop.session.steer("faster")
        gate.open.set()
        await loop.until_turn_ends()
        undone = (await loop.operate(OpType.UNDO)).payload
        assert (undone.removed_messages, undone.prompt) == (5, "go")
        assert len(loop.wire()) == 1
