"""MCP servers that are programs: what they are given, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.tools.mcp.addresses import Place
from agent.tools.mcp.server import Patience
from tests.fakes.mcp_server import stdio_server, tool
from tests.unit.tools.conftest import FakeSession, is_alive, wait_until
from tests.unit.tools.mcp_runs import TOKEN, connected, make, no_progress, place_in


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_in(tmp_path)


async def test_a_program_sees_no_secret_but_its_own(tmp_path: Path, place: Place, session: FakeSession) -> None:
    fake = stdio_server(tmp_path, tools=[tool("env")], answers={"env": "env"}, env={"MY_API_KEY": "abc"})
    async with connected(place, fake.config) as server:
        result = await server.call("env", {}, no_progress)
    seen = json.loads(result.content[0].text)
    assert seen["MY_API_KEY"] == "abc"
    assert seen["HOME"] == os.environ["HOME"]
    assert TOKEN not in seen.values()
    assert "HF_TOKEN" not in seen


async def test_a_server_that_will_not_end_is_ended_with_its_children(tmp_path: Path, place: Place) -> None:
    fake = stdio_server(tmp_path, lingers=True)
    async with connected(place, fake.config):
        pids = fake.heard("start")[0]["pids"]
        assert all(is_alive(pid) for pid in pids)
    assert len(pids) == 2
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="only where Linux has setpriv")
def test_a_server_that_does_not_read_ends_when_we_are_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    server = f"import os, pathlib, time; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(600)"
    ours = (
        "import asyncio, sys, pathlib\n"
        "from agent.config_keys import McpServer\n"
        "from tests.unit.tools.mcp_runs import make, place_in\n"
        f"config = {{'command': sys.executable, 'args': ['-c', {server!r}]}}\n"
        f"asyncio.run(make(place_in(pathlib.Path({str(tmp_path)!r})), config).connect())\n"
    )
    with subprocess.Popen([sys.executable, "-c", ours], cwd=Path(__file__).parents[3]) as program:
        wait_until(lambda: pid_file.exists() and pid_file.read_text() != "")
        pid = int(pid_file.read_text())
        program.kill()
    wait_until(lambda: not is_alive(pid))


async def test_a_setpriv_that_cannot_do_it_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "bin" / "setpriv"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho unrecognized option >&2\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
    fake = stdio_server(tmp_path, tools=[tool("a")])
    async with connected(place_in(tmp_path), fake.config) as server:
        assert [one.name for one in server.tools] == ["a"]


async def test_stopped_while_a_server_is_given_up(tmp_path: Path, place: Place) -> None:
    fake = stdio_server(tmp_path, start="silent", lingers=True)
    server = make(place, fake.config, patience=Patience(connect_s=1.0))
    connecting = asyncio.create_task(server.connect())
    async with asyncio.timeout(20):
        while server.state == "connecting":
            await asyncio.sleep(0.005)
    connecting.cancel()  # it may have come to its end by itself
    await asyncio.wait({connecting})
    assert server.state == "failed"
    assert server.problem.startswith("it did not answer within 1 s")
    await server.close()


async def test_a_long_log_is_emptied_at_the_end(tmp_path: Path, place: Place) -> None:
    fake = stdio_server(tmp_path, stderr="x" * (3 << 20), tools=[tool("a")])
    async with connected(place, fake.config):
        pass
    assert place.log_path("fake").stat().st_size == 0


async def test_ending_while_connecting_leaves_nothing(tmp_path: Path, place: Place) -> None:
    fake = stdio_server(tmp_path, start="silent")
    server = make(place, fake.config)
    connecting = asyncio.create_task(server.connect())
    await asyncio.to_thread(wait_until, lambda: bool(fake.heard("server/discover") or fake.heard("initialize")))
    connecting.cancel()
    await asyncio.wait({connecting})
    await server.close()
    assert not any(is_alive(pid) for pid in fake.heard("start")[0]["pids"])
    assert not await server.connect()  # it is over


async def test_the_log_of_a_program_holds_no_keys(tmp_path: Path, place: Place) -> None:
    key = "ghp_" + "aB3dE5gH7j" * 4
    fake = stdio_server(
        tmp_path, stderr=f"token {key}\nmine: own-value-1\nlast", tools=[tool("a")], env={"MY_TOKEN": "own-value-1"}
    )
    async with connected(place, fake.config):
        pass
    assert place.log_path("fake").read_text().split("\n")[:3] == [
        "token [REDACTED_GITHUB_TOKEN]",
        "mine: [REDACTED:MY_TOKEN]",
        "last",
    ]
