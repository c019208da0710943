"""A web site that answers as it is told to, also as no decent server does: what it can do wrong is a function here.

    site.on("/page", reply(b"hello"), reply(status=503), cut())   # one answer after the other; the last one stays

Beside it `Names`, a name server and network in one: names have the addresses that the test gives them, and a connection
to a public address ends at the loopback server that stands for it.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable, Sequence
from itertools import repeat
from typing import Any

import httpcore

from tests.fakes.http_base import Exchange, Headers, HttpFake

Answer = Callable[[Exchange], Awaitable[None]]


def reply(body: bytes = b"", headers: Headers = (), *, status: int = 200) -> Answer:
    """A whole answer."""

    async def answer(exchange: Exchange) -> None:
        await exchange.head(status, headers, length_bytes=len(body))
        await exchange.body(body, last=True)

    return answer


def redirect(location: str, status: int = 302, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    """To another address."""
    return reply(b"over there", [("Location", location), *headers], status=status)


def to_end(body: bytes, headers: Headers = ()) -> Answer:
    """A body whose end is the end of the connection."""

    async def answer(exchange: Exchange) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in dict(headers).items())
        await exchange.raw(b"HTTP/1.1 200 OK\r\n" + lines.encode() + b"\r\n" + body)
        await exchange.cut()

    return answer


def cut(after: bytes = b"") -> Answer:
    """The connection ends without an answer, or in the middle of one."""

    async def answer(exchange: Exchange) -> None:
        if after:
            await exchange.head(200, length_bytes=len(after) + 10)
            await exchange.body(after)
        await exchange.cut()

    return answer


def stall(*, after_head: bool = False) -> Answer:
    """Nothing (more) comes until the test says `resume`; then a whole answer."""

    async def answer(exchange: Exchange) -> None:
        if after_head:
            await exchange.head(200)
        await exchange.stall()
        if not after_head:
            await exchange.head(200)
        await exchange.body(b"late", last=True)

    return answer


def endless(piece: bytes = b"x" * 65536, headers: Headers = ()) -> Answer:
    """A body without an end."""

    async def answer(exchange: Exchange) -> None:
        await exchange.head(200, headers)
        for chunk in repeat(piece):
            await exchange.body(chunk)

    return answer


def drip() -> Answer:
    """A byte now and then, for ever: never silent for long enough to be called dead."""

    async def answer(exchange: Exchange) -> None:
        await exchange.head(200)
        while True:
            await exchange.body(b".")
            await asyncio.sleep(0.02)

    return answer


def endless_headers() -> Answer:
    """One header after the other."""

    async def answer(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\n")
        for number in range(1_000_000):
            await exchange.raw(b"X-%d: %s\r\n" % (number, b"y" * 1000))

    return answer


def bomb(encoding: str, size_bytes: int) -> bytes:
    """`size_bytes` zeros, packed: `gzip`, `deflate`, or `raw` for deflate without its envelope."""
    bits = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS, "raw": -zlib.MAX_WBITS}[encoding]
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    block = bytes(1 << 20)
    return b"".join([*(packer.compress(block) for _ in range(size_bytes >> 20)), packer.flush()])


def packed(body: bytes, encoding: str = "gzip") -> bytes:
    """`body` in one of the three packings."""
    if encoding == "gzip":
        return gzip.compress(body)
    whole = zlib.compress(body)
    return whole if encoding == "deflate" else whole[2:-4]


class WebSite(HttpFake):
    """Answers by path."""

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[str, list[Answer]] = {}

    def on(self, path: str, *answers: Answer) -> str:
        """Give `answers` one after the other, the last one for ever. Returns the address of `path`."""
        self._answers[path] = list(answers)
        return self.url + path

    async def respond(self, exchange: Exchange) -> None:
        answers = self._answers.get(exchange.request.path)
        if not answers:
            await reply(b"no such page", status=404)(exchange)
        else:
            await (answers.pop(0) if len(answers) > 1 else answers[0])(exchange)


class Names(httpcore.AsyncNetworkBackend):
    """What names mean, one look-up after the other (the last one stays), and where connections to addresses end."""

    def __init__(self, **answers: Any) -> None:
        self.looked_up: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self._answers: dict[str, list[Sequence[str]]] = {}
        self._ends: dict[str, int] = {}
        self._inner = httpcore.AnyIOBackend()

    def name(self, host: str, *addresses: Sequence[str]) -> None:
        """`host` has these addresses at the first look-up, those at the second …"""
        self._answers[host] = list(addresses)

    def leads(self, address: str, port: int) -> None:
        """A connection to `address` ends at `port` of this machine."""
        self._ends[address] = port

    async def resolve(self, host: str, _port: int) -> Sequence[str]:
        self.looked_up.append(host)
        answers = self._answers.get(host)
        if answers is None:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def connect_tcp(self, host: str, port: int, *rest: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        if host not in self._ends:
            raise httpcore.ConnectError(f"nothing answers at {host}")
        return await self._inner.connect_tcp("127.0.0.1", self._ends[host], *rest, **named)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
