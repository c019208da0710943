"""One operation at a time between the terminal and the session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.cli.connection import Connection, LoopEndedError
from agent.cli.exchange import TURN_PAUSES, Exchange
from agent.config import Config
from agent.protocol.events import Compacted, ContextReport, Event, Ready, SettingsChanged, TurnComplete
from agent.protocol.operations import OpType
from tests.unit.core.loop import surroundings


@contextlib.asynccontextmanager
async def exchange(tmp_path: Path) -> AsyncIterator[tuple[Exchange, list[Event], asyncio.Task[None]]]:
    script = tmp_path / "script.jsonl"
    script.write_text('{"text": "Hello."}\n')
    shown: list[Event] = []
    between = Exchange(shown.append)
    config = Config(model_name=f"replay/{script}", save_sessions=False)
    async with Connection(config, surroundings(tmp_path), stream=True, on_event=between.see) as connection:
        listening = asyncio.create_task(between.listen(connection))
        await asyncio.sleep(0)
        yield between, shown, listening
        listening.cancel()
        await asyncio.wait({listening})


async def test_operations_at_the_same_time_get_an_end_each_of_their_own(tmp_path: Path) -> None:
    async with exchange(tmp_path) as (between, shown, _):
        ends = await asyncio.gather(
            between.carry_out(OpType.CONFIGURE, {"mode": "plan"}),
            between.carry_out(OpType.COMPACT),
            between.carry_out(OpType.CONTEXT),
            between.carry_out(OpType.CONFIGURE, {"mode": "ask"}),
            between.carry_out(OpType.USER_INPUT, {"text": "hi"}, TURN_PAUSES),
        )
        assert [type(end) for end in ends] == [
            SettingsChanged,
            Compacted,
            ContextReport,
            SettingsChanged,
            TurnComplete,
        ]
        assert isinstance(shown[0].payload, Ready)


async def test_when_the_session_ends_by_itself_nobody_waits_for_ever(tmp_path: Path) -> None:
    async with exchange(tmp_path) as (between, _, listening):
        await between.connection.submit(OpType.SHUTDOWN)
        with pytest.raises(LoopEndedError):
            await listening
        with pytest.raises(LoopEndedError):
            await between.carry_out(OpType.COMPACT)
