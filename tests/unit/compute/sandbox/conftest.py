"""A sandbox's server, started once for each test file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.compute.sandbox.server_process import ServerProcess
from tests.unit.compute.sandbox.space_hub import SpaceHub


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("space")) as process:
        yield process


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[SpaceHub]:
    with SpaceHub(tmp_path) as hub, hub.host:
        yield hub
        hub.check()


async def until(true: Callable[[], bool | Awaitable[bool]], limit_s: float = 15.0) -> None:
    """Wait for a condition outside of this process, which nothing tells of."""
    async with asyncio.timeout(limit_s):
        while True:
            answer = true()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


def runs(pid: str | int) -> bool:
    """Whether a process is there and not only waiting to be reaped."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return line[line.rfind(b")") + 2 :][:1] not in (b"Z", b"X")
