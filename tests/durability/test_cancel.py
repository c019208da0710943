"""A turn can be stopped at every event and during every wait; it ends once, at once, and the next turn works."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.core.surroundings import Surroundings
from agent.core.wall_clock import WallClock
from agent.llm import litellm_backend
from agent.protocol.events import (
    ApprovalRequired,
    AssistantChunk,
    Compacted,
    Interrupted,
    Steered,
    ToolLog,
    TurnComplete,
)
from agent.protocol.operations import OpType
from agent.protocol.tools import ToolResult, ToolSpec
from tests.durability.cancel_person import ANSWER, NO_ARGUMENTS, QUESTION, SCRIPT, THOUGHTS, TOOLS, goes_on, stop, work
from tests.durability.cancel_servers import MODEL, SlowCatalog, answer, no_wait, nobody_accepts, over
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI
from tests.unit.core.loop import PATIENCE_S, Loop, call, calls, running, surroundings, write_script

STILL_THERE = {"when": f"(?m)^{QUESTION[:-1]}", "text": ANSWER}


def quick(tmp_path: Path) -> Surroundings:
    """A person sits in front of it, and retries come at once."""
    return replace(surroundings(tmp_path, headless=False), sleep=no_wait)


async def recorded(tmp_path: Path) -> tuple[int, int]:
    """How many events the turn has that nobody stops, and the place of the last one before the answer begins."""
    async with running(tmp_path, SCRIPT, tools=TOOLS, place=quick(tmp_path), yolo_mode=False, lockstep=True) as loop:
        end = (await work(loop)).payload
        assert isinstance(end, TurnComplete)
        assert end.final_response == "All is done."
        assert [compacted.summarised > 0 for compacted in loop.of(Compacted)] == [True]
        assert any("Trying again" in log.log for log in loop.of(ToolLog))
        assert len(loop.of(Steered)) == len(loop.of(ApprovalRequired)) == 1
        last_output = max(place for place, kind in enumerate(loop.kinds()) if kind == "tool_output")
        return len(loop.events), last_output


@pytest.mark.parametrize("ticks", [0, 1, 3, 10])
@pytest.mark.parametrize("first", [1, 2])
async def test_a_turn_can_be_stopped_at_every_event(first: int, ticks: int, tmp_path: Path) -> None:
    count, last_output = await recorded(tmp_path)
    assert count > 40
    for stop_at in range(first, count, 2):
        place = tmp_path / str(stop_at)
        place.mkdir()
        print(f"stopped after event {stop_at} of {count}")
        async with running(place, SCRIPT, tools=TOOLS, place=quick(place), yolo_mode=False, lockstep=True) as loop:
            end = (await work(loop, stop_at, ticks)).payload
            # once the answer comes, it may be whole before the stop is seen
            assert isinstance(end, Interrupted if stop_at <= last_output else (Interrupted, TurnComplete))
            await goes_on(loop)


# --- waits for a model -----------------------------------------------------------------------------------------------


async def until(condition: Callable[[], bool]) -> None:
    """Ask again and again, for what nobody announces."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def talking_to(server: FakeOpenAI, tmp_path: Path, *, stream: bool = True) -> AsyncIterator[Loop]:
    """A loop over `server`, which answers by itself once its script is played."""
    await asyncio.to_thread(litellm_backend.load)  # slow on a busy machine, and not what is waited for here
    server.script_function(answer)
    settings: dict[str, Any] = {"model_name": MODEL, "context_window": 32_000, "reasoning_effort": None}
    async with running(tmp_path, tools=TOOLS, place=over(server, tmp_path), stream=stream, **settings) as loop:
        yield loop


async def test_while_the_connection_is_being_made(tmp_path: Path) -> None:
    await asyncio.to_thread(litellm_backend.load)
    with nobody_accepts() as port:
        place = surroundings(tmp_path, headless=False, environ={"VLLM_BASE_URL": f"http://127.0.0.1:{port.port}"})
        async with running(tmp_path, place=place, model_name="vllm/model", context_window=32_000) as loop:
            waiting = port.waiting()
            await loop.submit(OpType.USER_INPUT, text="go")
            await until(lambda: port.waiting() > waiting)
            await stop(loop)
            await loop.operate(OpType.CONFIGURE, model_name=write_script(tmp_path, [STILL_THERE]))
            await goes_on(loop)


@pytest.mark.parametrize("stream", [True, False])
async def test_before_the_model_says_anything(stream: bool, openai_server: FakeOpenAI, tmp_path: Path) -> None:
    openai_server.script(reply.stall_before_headers())
    async with talking_to(openai_server, tmp_path, stream=stream) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await asyncio.to_thread(openai_server.wait_stalled)
        await stop(loop)
        await asyncio.to_thread(openai_server.wait_client_gone)
        await goes_on(loop)


async def test_in_the_middle_of_an_answer(openai_server: FakeOpenAI, tmp_path: Path) -> None:
    openai_server.script(reply.stall_after(2))
    async with talking_to(openai_server, tmp_path) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await asyncio.to_thread(openai_server.wait_stalled)
        while "word1" not in "".join(chunk.content for chunk in loop.of(AssistantChunk)):
            await loop.next()
        await stop(loop)
        await asyncio.to_thread(openai_server.wait_client_gone)
        assert loop.wire()[-1] == {"role": "assistant", "content": "word0 word1 "}
        await goes_on(loop)


async def test_while_the_price_is_looked_up(tmp_path: Path) -> None:
    with SlowCatalog() as server:
        async with talking_to(server, tmp_path) as loop:
            await loop.submit(OpType.USER_INPUT, text="go")
            await asyncio.to_thread(server.wait_stalled)
            await stop(loop)
            server.resume()
            await goes_on(loop)


async def test_while_a_retry_waits(tmp_path: Path) -> None:
    asleep = asyncio.Event()

    async def wait_forever(_delay_s: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    place = replace(surroundings(tmp_path, headless=False), sleep=wait_forever)
    script = [STILL_THERE, {"error": {"status": 503, "message": "overloaded"}}]
    async with running(tmp_path, script, place=place) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await asleep.wait()
        await stop(loop)
        await goes_on(loop)


def much(server: FakeOpenAI) -> None:
    """Let the next turn leave a history that a summary is worth while for."""
    server.script(*[reply.call("look", {"lines": lines}, text=(THOUGHTS,)) for lines in (1, 2, 3, 4)])


async def test_while_the_summariser_is_asked_in_a_turn(openai_server: FakeOpenAI, tmp_path: Path) -> None:
    much(openai_server)
    openai_server.script(reply.context_overflow(limit_tokens=8_000), reply.stall_before_headers())
    async with talking_to(openai_server, tmp_path) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await asyncio.to_thread(openai_server.wait_stalled)
        await stop(loop)
        await asyncio.to_thread(openai_server.wait_client_gone)
        assert loop.of(Compacted) == []
        await goes_on(loop)
        assert len(loop.of(Compacted)) == 1


async def test_while_the_summariser_is_asked_by_the_person(openai_server: FakeOpenAI, tmp_path: Path) -> None:
    much(openai_server)
    openai_server.script(reply.text("enough"), reply.stall_before_headers())
    async with talking_to(openai_server, tmp_path) as loop:
        await loop.turn()
        before = loop.wire()
        loop.outside_ends = 1
        await loop.submit(OpType.COMPACT)
        await asyncio.to_thread(openai_server.wait_stalled)
        await stop(loop)
        assert loop.wire() == before
        await goes_on(loop)


async def test_while_an_effort_is_probed(openai_server: FakeOpenAI, tmp_path: Path) -> None:
    openai_server.script(reply.stall_before_headers())
    async with talking_to(openai_server, tmp_path) as loop:
        loop.outside_ends = 1
        await loop.submit(OpType.CONFIGURE, reasoning_effort="high")
        await asyncio.to_thread(openai_server.wait_stalled)
        await stop(loop)
        await asyncio.to_thread(openai_server.wait_client_gone)
        assert loop.session.reasoning_effort is None
        await goes_on(loop)


# --- waits for a tool ------------------------------------------------------------------------------------------------


async def test_while_a_tool_swallows_its_cancellation(tmp_path: Path) -> None:
    begun, released = asyncio.Event(), asyncio.Event()

    async def stubborn(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        begun.set()
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()
        return ToolResult("too late")

    spec = ToolSpec("stubborn", "Does not stop.", NO_ARGUMENTS, stubborn)
    async with running(tmp_path, [STILL_THERE, calls(call("stubborn"))], tools=[spec]) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await begun.wait()
        await stop(loop)
        released.set()
        await goes_on(loop)
        assert "too late" not in str(loop.wire())


@pytest.mark.parametrize("count", [1, 33])
async def test_while_tools_block_threads(count: int, tmp_path: Path) -> None:
    begun, released = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        released.wait()

    async def blocking(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        await asyncio.to_thread(block)
        return ToolResult("too late")

    spec = ToolSpec("blocking", "Blocks.", NO_ARGUMENTS, blocking)
    async with running(tmp_path, [STILL_THERE, calls(*[call("blocking")] * count)], tools=[spec]) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await until(begun.is_set)
        try:
            await stop(loop)
        finally:
            released.set()
        await goes_on(loop)


async def test_while_a_preview_is_made(tmp_path: Path) -> None:
    begun, released = threading.Event(), threading.Event()

    def preview(_arguments: Any, _session: Any) -> str:
        begun.set()
        released.wait()
        return "too late"

    (spec,) = [replace(tool, preview=preview) for tool in TOOLS if tool.name == "launch"]
    script = [STILL_THERE, calls(call("launch"))]
    async with running(tmp_path, script, tools=[spec], headless=False, yolo_mode=False) as loop:
        await loop.submit(OpType.USER_INPUT, text="go")
        await until(begun.is_set)
        try:
            await stop(loop)
        finally:
            released.set()
        await goes_on(loop)


async def test_an_approved_call_is_stopped_when_the_time_is_up(tmp_path: Path) -> None:
    async def endless(_arguments: Any, _session: Any, _call_id: str) -> ToolResult:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    (spec,) = [replace(tool, handler=endless) for tool in TOOLS if tool.name == "launch"]
    script = [calls(call("launch"))]
    async with running(tmp_path, script, tools=[spec], headless=False, yolo_mode=False) as loop:
        asked = (await loop.turn()).payload
        loop.session.wall = WallClock(0.01)
        answers = [{"tool_call_id": item.tool_call_id, "approved": True} for item in asked.tools]
        await loop.submit(OpType.EXEC_APPROVAL, approvals=answers)
        assert (await loop.until_turn_ends()).payload.stop_reason == "time_limit"


async def test_while_a_command_ignores_signals(tmp_path: Path) -> None:
    command = "trap '' TERM INT HUP; echo some output; echo $$ > pid; while :; do sleep 1; done"
    async with running(tmp_path, [STILL_THERE, calls(call("bash", {"command": command}))]) as loop:
        pid_file = loop.session.workspace / "pid"
        await loop.submit(OpType.USER_INPUT, text="go")
        await until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
        await stop(loop)
        assert "some output" in loop.wire()[-1]["content"]
        await until(lambda: not is_alive(int(pid_file.read_text())))
        await goes_on(loop)


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
