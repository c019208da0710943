"""What the tests of the web client share."""

from __future__ import annotations

import asyncio
from typing import Any

from agent.web.client import WebRequest
from agent.web.reach import Reach, origin_of


class FakeTime:
    """`clock` for WebClient, with its `sleep`."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.now_s += delay_s
        await asyncio.sleep(0)


def to(url: str, **named: Any) -> WebRequest:
    """A request that may go to the origin of `url`."""
    return WebRequest(url, **{"reach": Reach(origins=(origin_of(url),)), **named})
