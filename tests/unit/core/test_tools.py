"""Where a call meets its tool: what becomes of what the tool returns."""

from __future__ import annotations

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
