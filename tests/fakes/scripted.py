"""The part that all fake model servers share: a queue of scripted replies, and how a reply's fault is played."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.http_base import Exchange, HttpFake
from tests.fakes.reply import Cut, EarlyEnd, HalfHead, HttpError, Reply, Stall, StreamError

ReplyFunction = Callable[[dict[str, Any]], Reply]

SSE_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A reply in a provider's bytes: what opens the stream, one entry per piece, what closes it; and the whole JSON."""

    opening: bytes
    pieces: list[bytes]
    closing: bytes
    whole: bytes


class ScriptedModel(HttpFake):
    """A model server that answers from a script. Subclasses say on which path, and in which bytes."""

    chat_path = ""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._replies: deque[Reply] = deque()
        self._function: ReplyFunction | None = None
        self._number = 0

    def script(self, *replies: Reply) -> None:
        """Add replies, to be given one per model call, in order."""
        with self._lock:
            self._replies.extend(replies)

    def script_function(self, function: ReplyFunction) -> None:
        """Answer every call that finds no scripted reply with `function(request_json)`, run in the server's thread."""
        with self._lock:
            self._function = function

    @property
    def remaining(self) -> int:
        """How many scripted replies have not been asked for."""
        with self._lock:
            return len(self._replies)

    @property
    def chat_requests(self) -> list[dict[str, Any]]:
        """The JSON bodies of the model calls so far."""
        return [request.json for request in self.requests if request.path == self.chat_path]

    async def respond(self, exchange: Exchange) -> None:
        """Play the next reply to a model call; anything else is left to the base."""
        if (exchange.request.method, exchange.request.path) != ("POST", self.chat_path):
            await super().respond(exchange)
            return
        reply, number = self._next(exchange.request.json)
        if reply is None:
            await self.send_error(exchange, self._unexpected(exchange, number))
            return
        await self._play(exchange, reply, number)

    def render(self, reply: Reply, request: dict[str, Any], number: int) -> Rendered:
        """The bytes of `reply`, the server's `number`th, to `request`."""
        raise NotImplementedError

    def error_body(self, error: HttpError) -> dict[str, Any]:
        """`error` in the provider's shape."""
        raise NotImplementedError

    def error_event(self, error: HttpError) -> bytes:
        """`error` as an event inside a stream."""
        raise NotImplementedError

    async def send_error(self, exchange: Exchange, error: HttpError) -> None:
        """Answer with `error` in the provider's shape, or with its own body."""
        body = self.error_body(error) if error.body is None else error.body
        await exchange.json(error.status, body, error.headers)

    def _next(self, request: dict[str, Any]) -> tuple[Reply | None, int]:
        with self._lock:
            self._number += 1
            if self._replies:
                return self._replies.popleft(), self._number
            function, number = self._function, self._number
        return (function(request) if function else None), number

    def _unexpected(self, exchange: Exchange, number: int) -> HttpError:
        request = exchange.request.json if isinstance(exchange.request.json, dict) else {}
        messages = request.get("messages") or [{}]
        message = (
            f"unexpected request: model call {number} found the script empty (model {request.get('model')!r}, "
            f"{len(messages)} messages, the last is {str(messages[-1])[:300]})"
        )
        return HttpError(500, "script_exhausted", message)

    async def _play(self, exchange: Exchange, reply: Reply, number: int) -> None:
        match reply.fault:
            case HttpError() as error:
                await self.send_error(exchange, error)
                return
            case HalfHead():
                await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Ty")
                await exchange.cut()
                return
            case Stall(None):
                await exchange.stall()
        rendered = self.render(reply, exchange.request.json, number)
        if exchange.request.json.get("stream"):
            await self._play_stream(exchange, reply, rendered)
        else:
            await self._play_whole(exchange, reply, rendered.whole)

    async def _play_whole(self, exchange: Exchange, reply: Reply, body: bytes) -> None:
        if isinstance(reply.fault, StreamError):
            await self.send_error(exchange, reply.fault.error)
            return
        half = len(body) // 2
        await asyncio.sleep(reply.delay_s)
        headers = {"Content-Type": "application/json", **reply.headers}
        await exchange.head(200, headers, length_bytes=len(body))
        await exchange.body(body[:half])
        match reply.fault:
            case Cut():
                await exchange.cut()
                return
            case Stall(int()):
                await exchange.stall()
        await exchange.body(body[half:], last=True)

    async def _play_stream(self, exchange: Exchange, reply: Reply, rendered: Rendered) -> None:
        place = getattr(reply.fault, "after_pieces", None)
        if place is not None and not 0 <= place <= len(rendered.pieces):
            raise ValueError(f"the fault comes after {place} pieces, but the reply has {len(rendered.pieces)}")
        await exchange.head(200, {**SSE_HEADERS, **reply.headers})
        await exchange.body(rendered.opening)
        for count, piece in enumerate(rendered.pieces):
            if count == place and not await self._survives(exchange, reply):
                return
            await asyncio.sleep(reply.delay_s)
            await exchange.body(piece)
        if place == len(rendered.pieces) and not await self._survives(exchange, reply):
            return
        await exchange.body(rendered.closing, last=True)

    async def _survives(self, exchange: Exchange, reply: Reply) -> bool:
        """Play the fault of a stream that has come to it. Returns whether the answer goes on afterwards."""
        match reply.fault:
            case Cut():
                await exchange.cut()
                return False
            case EarlyEnd():
                await exchange.body(b"", last=True)
                return False
            case StreamError(error=error):
                await exchange.body(self.error_event(error), last=True)
                return False
            case Stall():
                await exchange.stall()
        return True
