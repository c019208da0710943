"""What a part of the fake Hub is: routes, and what they share."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.fakes.http_base import Exchange

if TYPE_CHECKING:
    from tests.fakes.hub import FakeHub

Handler = Callable[..., Awaitable[None]]
"""`await handler(exchange, **named_groups_of_the_path)`; groups are percent-decoded."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method, a regular expression that the whole raw path must match, and who answers."""

    method: str
    pattern: str
    handler: Handler


class Refused(Exception):
    """Raised by a handler instead of answering: the Hub says no. `extra` joins `{"error": text}` in the body."""

    def __init__(self, status: int, text: str, code: str | None = None, **extra: object) -> None:
        super().__init__(text)
        self.status, self.text, self.code, self.extra = status, text, code, extra


class Part:
    """Answers some routes of the Hub, and holds the state behind them."""

    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub

    def routes(self) -> Iterable[Route]:
        """All routes of this part, the more special ones first."""
        raise NotImplementedError


async def send(exchange: Exchange, status: int, data: bytes, headers: Mapping[str, str]) -> None:
    """A whole answer; to HEAD the same one without its body."""
    await exchange.head(status, headers, length_bytes=len(data))
    await exchange.body(b"" if exchange.request.method == "HEAD" else data, last=True)


async def send_json(exchange: Exchange, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
    """A whole JSON answer, to HEAD requests, too; bytes are sent as they are."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    await send(exchange, status, data, {"Content-Type": "application/json", **(headers or {})})


async def error(exchange: Exchange, status: int, text: str, code: str | None = None, **extra: object) -> None:
    """Answer like the Hub: `{"error": text}`, with `X-Error-Code` where the client looks for one."""
    headers = {"X-Error-Code": code, "X-Error-Message": text} if code else {}
    await send_json(exchange, status, {"error": text, **extra}, headers)


def stamp(moment: datetime) -> str:
    """A time as the Hub writes it: `2026-01-31T12:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def object_of(exchange: Exchange) -> dict[str, Any]:
    """The JSON object a request came with; an empty one if it brought none."""
    sent = exchange.request.json
    return sent if isinstance(sent, dict) else {}
