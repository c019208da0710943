"""The program behind `tests.fakes.mcp_server.stdio_server`: an MCP server over stdio, by a plan. It imports no package.

python fake_stdio.py PLAN.json LOG.jsonl
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

VERSION = "2025-06-18"


def tool(name: str, **more: Any) -> dict[str, Any]:
    """A tool without arguments, as a server lists it."""
    return {"name": name, "description": f"Does {name}.", "inputSchema": {"type": "object"}} | more


def text(words: str, *, is_error: bool = False) -> dict[str, Any]:
    """The answer of a tool."""
    return {"content": [{"type": "text", "text": words}], "isError": is_error}


def reply_to(message: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer to a request, by `plan`; None to a notification."""
    if "id" not in message:
        return None
    method = message["method"]
    if method == "initialize":
        capabilities = {"tools": {"listChanged": True}}
        info = {"name": "fake", "version": "1"}
        result: Any = {"protocolVersion": VERSION, "capabilities": capabilities, "serverInfo": info}
    elif method == "tools/list":
        result = {"tools": plan["tools"]}
    elif method == "tools/call":
        answer = plan["answers"].get(message["params"]["name"], text("ok"))
        if isinstance(answer, dict) and "error" in answer:
            return {"jsonrpc": "2.0", "id": message["id"], "error": answer["error"]}
        result = answer
    elif method == "ping":
        result = {}
    else:
        return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": f"no method {method}"}}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


class Program:
    """The running server."""

    def __init__(self, plan: dict[str, Any], log_path: Path) -> None:
        self.plan = plan
        self.log_path = log_path
        self.is_busy = False
        """Whether the next list of tools is refused."""

    def run(self) -> None:
        """Serve until stdin is closed, or for ever."""
        pids = [os.getpid()]
        if self.plan["lingers"]:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
            pids.append(subprocess.Popen([sys.executable, "-c", child]).pid)
        self.log({"method": "start", "pids": pids})
        if self.plan["stderr"]:
            print(self.plan["stderr"], file=sys.stderr, flush=True)
        if self.plan["start"] == "die":
            sys.exit(3)
        if self.plan["start"] == "noise":
            print("Welcome to the fake server!", flush=True)
        for line in sys.stdin:
            message = json.loads(line)
            self.log(message)
            if self.plan["start"] != "silent":
                self.answer(message)
        while self.plan["lingers"]:
            time.sleep(1)

    def answer(self, message: dict[str, Any]) -> None:
        """Answer a message, or do what the plan has instead."""
        called = message["params"]["name"] if message["method"] == "tools/call" else None
        fault = self.plan["answers"].get(called)
        if message["method"] == "tools/list" and self.is_busy:
            self.is_busy = False
            self.send({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32603, "message": "busy"}})
        elif isinstance(fault, str):
            self.FAULTS[fault](self, message)
        elif (answer := reply_to(message, self.plan)) is not None:
            self.send(answer)

    def result(self, message: dict[str, Any], words: str) -> None:
        """Answer a call with a text."""
        self.send({"jsonrpc": "2.0", "id": message["id"], "result": text(words)})

    def die(self, _message: dict[str, Any]) -> None:
        """End in the middle of a call."""
        sys.exit(4)

    def hang(self, _message: dict[str, Any]) -> None:
        """Never answer."""

    def progress(self, message: dict[str, Any]) -> None:
        """Take a while, with signs of life."""
        token = message["params"]["_meta"]["progressToken"]
        for step in (1, 2, 3):
            time.sleep(0.2)
            params = {"progressToken": token, "progress": step, "total": 3, "message": f"step {step}\x1b[2J"}
            self.send({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        self.result(message, "done")

    def changed(self, message: dict[str, Any]) -> None:
        """Have one tool more from now on."""
        self.plan["tools"] = [*self.plan["tools"], tool("newcomer")]
        self.send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        self.result(message, "changed")

    def busy(self, message: dict[str, Any]) -> None:
        """Have one tool more from now on, but refuse to list them the next time."""
        self.is_busy = True
        self.changed(message)

    def mute(self, _message: dict[str, Any]) -> None:
        """Close stdout, and go on."""
        os.close(1)

    def flood(self, message: dict[str, Any]) -> None:
        """Answer with 17 MB."""
        self.result(message, "x" * (17 << 20))

    def env(self, message: dict[str, Any]) -> None:
        """Tell the environment."""
        self.result(message, json.dumps(dict(os.environ)))

    FAULTS: Mapping[str, Callable[[Any, dict[str, Any]], None]] = {
        "die": die,
        "hang": hang,
        "progress": progress,
        "changed": changed,
        "busy": busy,
        "mute": mute,
        "flood": flood,
        "env": env,
    }

    def log(self, message: Any) -> None:
        """Write down what was heard."""
        with self.log_path.open("a") as file:
            file.write(json.dumps(message) + "\n")

    def send(self, message: Any) -> None:
        """Say something."""
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    Program(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])).run()
