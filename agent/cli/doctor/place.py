"""Where the examination takes place: the environment and the configuration as a start would see them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, TextIO

from agent.cli.dotenv_layers import load_dotenv_layers
from agent.config import ConfigError, LoadedConfig, load_config
from agent.hub.tokens import resolve_hf_token
from agent.light_dataclass import dataclass
from agent.llm.local import LocalServer, detect_local_servers

LOCAL_TIMEOUT_S = 2.0
"""Longer than a start waits: here a slow server is worth knowing."""


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


@dataclass(frozen=True, slots=True)
class Place:
    """What the checks look at. `loaded` is None when the configuration cannot be used; `problems` then says why."""

    environ: Mapping[str, str]
    cwd: Path
    stdin: TextIO
    out: TextIO
    loaded: LoadedConfig | None
    problems: tuple[str, ...] = ()
    config_file: Path | None = None
    dotenv_sources: Mapping[str, Path] = field(default_factory=dict)
    dotenv_warnings: tuple[str, ...] = ()
    probe: bool = False
    free_bytes: Callable[[Path], int] = _free_bytes


def look_around(
    environ: Mapping[str, str],
    cwd: Path,
    stdin: TextIO,
    out: TextIO,
    *,
    config_file: str | None = None,
    flags: Mapping[str, Any] | None = None,
    probe: bool = False,
) -> Place:
    """The place with its `.env` files and its configuration read. Blocks for the disk; never raises for bad files."""
    dotenv = load_dotenv_layers(environ, cwd)
    file = Path(config_file) if config_file else None
    loaded: LoadedConfig | None = None
    problems: tuple[str, ...] = ()
    try:
        loaded = load_config(environ=dotenv.environ, cwd=cwd, config_file=file, flags=flags)
    except ConfigError as error:
        problems = error.problems
    return Place(
        environ=dotenv.environ,
        cwd=cwd,
        stdin=stdin,
        out=out,
        loaded=loaded,
        problems=problems,
        config_file=file,
        dotenv_sources=dotenv.sources,
        dotenv_warnings=tuple(dotenv.warnings),
        probe=probe,
    )


class Lookups:
    """What several checks wait for, looked up once. Make it inside the running loop."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._token = asyncio.ensure_future(asyncio.to_thread(resolve_hf_token, environ))
        self._servers = asyncio.ensure_future(detect_local_servers(environ, LOCAL_TIMEOUT_S))

    async def hf_token(self) -> str | None:
        """The person's Hugging Face token."""
        return await asyncio.shield(self._token)

    async def servers(self) -> Sequence[LocalServer]:
        """The local servers that answer."""
        return await asyncio.shield(self._servers)

    @property
    def known_token(self) -> str | None:
        """The token, if it has been found by now."""
        return self._token.result() if self._token.done() and not self._token.cancelled() else None
