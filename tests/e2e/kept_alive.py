"""A model server that keeps its connections, as real ones do, and hangs up when it is told to.

with KeptAlive(bash("ls"), text("done")) as server:
    ...                          # a run with VLLM_BASE_URL=server.url
    server.calls                 # each with the connection it came over
    server.hang_up()
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any, Self

from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.reply import Reply

_CHAT = b"POST /v1/chat/completions "
_NOTHING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A model call. `connection` is the number of the connection it came over, from 0."""

    connection: int
    request: dict[str, Any]


class KeptAlive:
    """It streams its replies, one for each model call; `hangs_up`: it closes the connection behind each of them, and
    says nothing of it."""

    def __init__(self, *replies: Reply, hangs_up: bool = False) -> None:
        self.calls: list[ModelCall] = []
        self.answered = 0
        self._replies = deque(replies)
        self._hangs_up = hangs_up
        self._model = FakeOpenAI()  # for its words alone
        self._connections = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`, without a path."""
        return f"http://127.0.0.1:{self._port}"

    def hang_up(self) -> None:
        """Close all connections. Returns when the other side can know."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(10)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(10):
            raise RuntimeError("the server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    async def _main(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stopped.wait()
        server.close()
        await self._hang_up()

    async def _hang_up(self) -> None:
        writers = list(self._open)
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self._connections = self._connections, self._connections + 1
        self._open.add(writer)
        try:
            while await self._exchange(number, reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # one of the two has hung up
        finally:
            self._open.discard(writer)
            writer.close()

    async def _exchange(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; whether there may be another."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split()
        body = await reader.readexactly(int(length[0]) if length else 0)
        is_call = head.startswith(_CHAT)
        if is_call:
            self.calls.append(ModelCall(number, json.loads(body)))
        if not (is_call and self._replies):
            writer.write(_NOTHING)
            await writer.drain()
            return True
        rendered = self._model.render(self._replies.popleft(), self.calls[-1].request, len(self.calls))
        answer = b"".join((rendered.opening, *rendered.pieces, rendered.closing))
        writer.write(_HEAD + b"%x\r\n%s\r\n" % (len(answer), answer))
        await writer.drain()
        writer.write(b"0\r\n\r\n")  # the end comes by itself, behind the last event
        await writer.drain()
        self.answered += 1
        return not self._hangs_up
