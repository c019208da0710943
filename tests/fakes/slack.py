"""Slack and a webhook's receiver: what is posted is kept; answers can be scripted, one for each request to come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.http_base import Exchange, HttpFake


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: a status, a body (JSON, or bytes as they are) and headers; `cut` closes the connection instead."""

    status: int = 200
    body: Any = field(default_factory=lambda: {"ok": True, "ts": "1700000000.000100"})
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    stall: bool = False


class FakeSlack(HttpFake):
    """`POST /api/chat.postMessage` and `POST /hook`. `answers` come first, then everything goes well."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: deque[Said] = deque()

    @property
    def posts(self) -> list[Any]:
        """The bodies that were posted, in order."""
        return [request.json for request in self.requests]

    async def respond(self, exchange: Exchange) -> None:
        said = self.answers.popleft() if self.answers else Said()
        if said.cut:
            await exchange.cut()
        elif said.stall:
            await exchange.stall()
        else:
            await exchange.json(said.status, said.body, said.headers)
