"""MCP through the installed command, with servers written by others: the protocol's own "everything" and "filesystem".

They are installed by `npm ci --prefix tests/mcp_servers` (.ci/run does it), never by a test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Finished, run_headless, start_headless
from tests.fakes.mcp_server import FakeMcp, stdio_server, tool

SERVERS = Path(__file__).parents[1] / "mcp_servers" / "node_modules" / "@modelcontextprotocol"
EVERYTHING = SERVERS / "server-everything" / "dist" / "index.js"
FILESYSTEM = SERVERS / "server-filesystem" / "dist" / "index.js"

by_others = pytest.mark.skipif(
    shutil.which("node") is None or not EVERYTHING.exists() or not FILESYSTEM.exists(),
    reason="needs Node.js and the servers: npm ci --prefix tests/mcp_servers",
)


@pytest.fixture
def mine(env: dict[str, str]) -> dict[str, str]:
    """The environment, with the token of somebody who has one."""
    return env | {"HF_TOKEN": "hf_abcdefghijklmnop"}


def configure(env: dict[str, str], **servers: dict[str, Any]) -> None:
    file = Path(env["XDG_CONFIG_HOME"]) / "ml-intern" / "cli_agent_config.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"mcpServers": servers}))


def run(env: dict[str, str], work: Path, tmp_path: Path, *answers: dict[str, Any]) -> Finished:
    script = tmp_path / "script.jsonl"
    script.write_text("\n".join(json.dumps(answer) for answer in answers))
    words = ["-m", f"replay/{script}", "--no-budget", "--output-format", "stream-json", "-p", "go"]
    return run_headless(words, env=env, cwd=work)


def uses(name: str, **arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"id": f"call_{name}", "name": name, "arguments": arguments}]}


def outputs(done: Finished) -> dict[str, str]:
    return {
        event["data"]["tool"]: event["data"]["output"]
        for event in done.events()
        if event["event_type"] == "tool_output"
    }


@by_others
def test_everything_over_stdio(mine: dict[str, str], work: Path, tmp_path: Path) -> None:
    configure(mine, all={"command": "node", "args": [str(EVERYTHING)], "env": {"GIVEN": "yes"}})
    done = run(
        mine,
        work,
        tmp_path,
        uses("mcp__all__echo", message="hello"),
        uses("mcp__all__get-sum", a=2, b=3),
        uses("mcp__all__get-tiny-image"),
        uses("mcp__all__get-env"),
        uses("mcp__all__trigger-long-running-operation", duration=0.4, steps=2),
        uses("mcp__all__get-resource-links", count=1),
        uses("mcp__all__get-structured-content", location="Chicago"),
        {"text": "Done."},
    )
    assert done.exit_code == 0, done.stderr
    said = outputs(done)
    assert "Echo: hello" in said["mcp__all__echo"]
    assert "5" in said["mcp__all__get-sum"]
    assert re.search(r"\[image: image/png, \d+", said["mcp__all__get-tiny-image"])
    assert '"GIVEN": "yes"' in said["mcp__all__get-env"]
    assert "HF_TOKEN" not in said["mcp__all__get-env"]
    assert "hf_abcdefghijklmnop" not in done.stdout + done.stderr
    assert "completed" in said["mcp__all__trigger-long-running-operation"]
    assert "[resource: " in said["mcp__all__get-resource-links"]
    assert "temperature" in said["mcp__all__get-structured-content"]


@by_others
def test_the_filesystem_over_stdio(mine: dict[str, str], work: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "a.txt").write_text("from the file")
    configure(mine, files={"command": "node", "args": [str(FILESYSTEM), str(shared)]})
    done = run(
        mine,
        work,
        tmp_path,
        uses("mcp__files__read_text_file", path=str(shared / "a.txt")),
        uses("mcp__files__write_file", path=str(shared / "b.txt"), content="written"),
        uses("mcp__files__list_directory", path="/etc"),
        {"text": "Done."},
    )
    assert done.exit_code == 0, done.stderr
    said = outputs(done)
    assert "from the file" in said["mcp__files__read_text_file"]
    assert (shared / "b.txt").read_text() == "written"
    assert "denied" in said["mcp__files__list_directory"]  # what is configured counts, not our workspace


@pytest.fixture
def everything_http(env: dict[str, str]) -> Iterator[str]:
    """The server over streamable HTTP; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["node", str(EVERYTHING), "streamableHttp"],
        env=env | {"PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        assert any("listening" in line for line in process.stderr), "the server has ended"
        threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe would stop it
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait(10)


@by_others
def test_everything_over_http(mine: dict[str, str], work: Path, tmp_path: Path, everything_http: str) -> None:
    configure(mine, all={"url": everything_http})
    done = run(
        mine,
        work,
        tmp_path,
        uses("mcp__all__echo", message="hello"),
        uses("mcp__all__trigger-long-running-operation", duration=0.4, steps=2),
        uses("mcp__all__get-structured-content", location="Chicago"),
        {"text": "Done."},
    )
    assert done.exit_code == 0, done.stderr
    said = outputs(done)
    assert "Echo: hello" in said["mcp__all__echo"]
    assert "completed" in said["mcp__all__trigger-long-running-operation"]
    assert "temperature" in said["mcp__all__get-structured-content"]


@by_others
def test_adding_and_trying_from_the_shell(env: dict[str, str], work: Path) -> None:
    added = run_headless(["mcp", "add", "all", "--", "node", str(EVERYTHING)], env=env, cwd=work)
    assert added.exit_code == 0, added.stderr
    tried = run_headless(["mcp", "test", "all"], env=env, cwd=work)
    assert tried.exit_code == 0, tried.stderr
    assert "echo" in tried.stdout
    assert tried.stderr == ""
    listed = run_headless(["mcp"], env=env, cwd=work)
    assert "all" in listed.stdout


def test_a_server_that_is_no_good_is_one_line(env: dict[str, str], work: Path) -> None:
    with FakeMcp([tool("a", description="x" * (17 << 20))]) as fake:
        configure(env, big=fake.config)
        done = run_headless(["mcp", "test", "big"], env=env, cwd=work)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "a message of more than 16 MB" in line


# --- how servers end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_servers_end_with_the_program(env: dict[str, str], work: Path, tmp_path: Path, number: signal.Signals) -> None:
    stubborn = stdio_server(tmp_path, tools=[tool("hang")], answers={"hang": "hang"}, lingers=True)
    configure(env, s=stubborn.config)
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps(uses("mcp__s__hang")))
    with start_headless(["-m", f"replay/{script}", "--no-budget", "-p", "go"], env=env, cwd=work) as running:
        running.wait_until(lambda: bool(stubborn.heard("tools/call")))
        running.send_signal(number)
        done = running.wait(15)
        assert done.exit_code == 128 + number, done.stderr
        running.assert_no_children()
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_server_hears_that_the_program_was_killed(env: dict[str, str], work: Path, tmp_path: Path) -> None:
    fake = stdio_server(tmp_path, tools=[tool("a")])
    configure(env, s=fake.config)
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps({"tool_calls": [{"name": "bash", "arguments": {"command": "sleep 60"}}]}))
    with start_headless(["-m", f"replay/{script}", "--no-budget", "-p", "go"], env=env, cwd=work) as running:
        running.wait_until(lambda: bool(fake.heard("tools/list")))
        (pid,) = fake.heard("start")[0]["pids"]
        os.kill(running.pid, signal.SIGKILL)
        running.wait_until(lambda: not Path(f"/proc/{pid}").exists())
