"""Where a session runs: all that it takes from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from datetime import date
from pathlib import Path

from agent.light_dataclass import dataclass
from agent.llm.timeouts import Timeouts
from agent.tools.process_session import SESSION_VARIABLE
from agent.traces.uploads.entries import Owner

__all__ = ["SESSION_VARIABLE", "Surroundings"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a session runs: everything it takes from outside, handed in by the composition root."""

    workspace: Path
    state_dir: Path
    config_dir: Path
    home: Path
    environ: Mapping[str, str]
    platform: str
    today: date
    headless: bool = False
    hf_token: str | None = None
    hf_user: str | None = None
    shares_as: Owner = field(default_factory=Owner)
    """The account that sessions are shared by; unknown where there is none of the person's own."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """How a retry waits."""
    first_session_id: str | None = None
    """The id of the session that is begun first; None: a fresh one."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    """How long a silent model is waited for."""
