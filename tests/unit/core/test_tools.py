"""Where a call meets its tool: what becomes of what the tool returns."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from agent.core.tools import ToolRouter
from agent.protocol.tools import ToolResult, ToolSession, ToolSpec
from agent.redaction.live import LiveSecrets
from agent.tools.output import HEAD_CHARS
from tests.unit.tools.conftest import FakeSession

TOKEN = "hf_abcdefghijklmnop"


async def call(session: FakeSession, result: ToolResult) -> ToolResult:
    """What comes back from a tool that returns `result`."""

    async def handle(_arguments: dict[str, Any], _session: ToolSession, _call_id: str) -> ToolResult:
        return result

    async with ToolRouter([ToolSpec("look", "Looks.", {"type": "object"}, handle)]) as router:
        return await router.call_tool("look", {}, session, "c1")


def session_in(directory: Path) -> FakeSession:
    return FakeSession(directory, directory / "spill", secrets=LiveSecrets({"HF_TOKEN": TOKEN}))


async def test_what_is_kept_of_a_long_output_holds_no_secret(tmp_path: Path) -> None:
    before = "x" * (HEAD_CHARS - len(TOKEN) // 2)
    session = session_in(tmp_path)
    result = await call(session, ToolResult(before + TOKEN + "y" * 50_000))
    (path,) = session.spill_dir.iterdir()
    assert path.read_text() == before + "[REDACTED:HF_TOKEN]" + "y" * 50_000
    assert TOKEN[:4] not in result.output


async def test_all_else_of_a_result_is_as_it_was_when_its_output_is_cut(tmp_path: Path) -> None:
    result = await call(session_in(tmp_path), ToolResult("x" * 50_000, ok=False, display="much", cost_usd=0.5))
    assert (result.ok, result.display, result.cost_usd) == (False, "much", 0.5)


async def test_warming_loads_what_the_first_calls_need_and_is_done_at_the_end() -> None:
    loaded: list[str] = []
    all_are = threading.Event()

    async def handle(_arguments: dict[str, Any], _session: ToolSession, _call_id: str) -> ToolResult:
        return ToolResult("looked")

    def load(name: str) -> None:
        loaded.append(name)
        if name == "three":
            all_are.set()

    def spec(name: str) -> ToolSpec:
        return ToolSpec(name, "Looks.", {"type": "object"}, handle, load=lambda: load(name))

    async with ToolRouter(
        [spec("one"), ToolSpec("two", "Looks.", {"type": "object"}, handle), spec("three")]
    ) as router:
        assert loaded == []
        router.warm()
        router.warm()
        assert await asyncio.to_thread(all_are.wait, 20)
    assert loaded == ["one", "three"]


async def test_an_end_does_not_wait_for_all_that_would_be_loaded() -> None:
    began, go_on = threading.Event(), threading.Event()
    loaded: list[str] = []

    def slow() -> None:
        began.set()
        go_on.wait(20)

    async def handle(_arguments: dict[str, Any], _session: ToolSession, _call_id: str) -> ToolResult:
        return ToolResult("looked")

    async with ToolRouter(
        [
            ToolSpec("one", "", {"type": "object"}, handle, load=slow),
            ToolSpec("two", "", {"type": "object"}, handle, load=lambda: loaded.append("two")),
        ]
    ) as router:
        router.warm()
        await asyncio.to_thread(began.wait, 20)
        asyncio.get_running_loop().call_soon(go_on.set)
    assert loaded == []
