"""A small session for tools to run in, and ways to wait for the outside world without sleeping blindly."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.protocol.events import Payload
from agent.protocol.tools import FileFingerprint, ToolResult, ToolSpec
from agent.redaction.live import LiveSecrets


@dataclass
class FakeSession:
    """What the tools see of a session."""

    workspace: Path
    spill_dir: Path
    session_id: str = "s-1"
    child_env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    known_files: dict[Path, FileFingerprint] = field(default_factory=dict)
    emitted: list[Payload] = field(default_factory=list)
    secrets: LiveSecrets = field(default_factory=lambda: LiveSecrets({}))
    partials: dict[str, str] = field(default_factory=dict)

    def scrub(self, text: str) -> str:
        """Without `secrets`."""
        return self.secrets.scrub(text)

    def keep_partial(self, tool_call_id: str, output: str) -> None:
        """Keep the output."""
        self.partials[tool_call_id] = output

    async def emit(self, payload: Payload) -> None:
        """Keep the event."""
        self.emitted.append(payload)

    async def call(self, spec: ToolSpec, **arguments: Any) -> ToolResult:
        """Call a tool as the router would."""
        return await spec.handler(arguments, self, "call-1")


@pytest.fixture
def session(tmp_path: Path) -> FakeSession:
    """A session in an empty workspace."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    return FakeSession(workspace=workspace, spill_dir=tmp_path / "state" / "spill")


def wait_until(condition: Callable[[], bool], deadline_s: float = 10.0) -> None:
    """Return once `condition` holds; fail the test when it does not in time. Not for use on an event loop."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return line[line.rindex(")") + 2] not in "ZX"


def pid_in(path: Path) -> int:
    """The process id that a command has written to a file, once it has."""
    wait_until(lambda: path.exists() and path.read_text().strip().isdecimal())
    return int(path.read_text())
