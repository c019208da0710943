"""A loopback HTTP/1.1 server whose every byte the test controls: the base of all fakes of outside services.

It runs an asyncio loop in a daemon thread of its own, so in-process async tests and subprocesses of the test can both
use it. h11 parses requests and frames answers; below that a test may write raw bytes, cut the connection or stall.
Each connection carries one request (`Connection: close`), so no client can hold a stale one over into the next test.

    with HttpFake() as server:
        server.route("GET", "/health", {"ok": True})
        ...                                     # a client talks to server.url
        server.wait_for_requests(1)

The `wait_*` methods block the calling thread: in an async test call them through `asyncio.to_thread`.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.client import responses
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import h11

Headers = Mapping[str, str] | Iterable[tuple[str, str]]

_READ_SIZE_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came over the wire.

    `path` is without the query. `headers` have lower-case names, repeated ones are joined with ", ". `json` is the
    parsed body, or None if the body is empty or not JSON. `time_s` is `time.monotonic()` when the body was complete.
    """

    method: str
    path: str
    query: dict[str, str]
    query_pairs: tuple[tuple[str, str], ...]
    """The query with repeated names, of which `query` has the last."""
    headers: dict[str, str]
    raw_body: bytes
    json: Any
    time_s: float


class Exchange:
    """One request and the answer being given to it, with exact control over what the client sees."""

    def __init__(self, server: HttpFake, request: Request, connection: h11.Connection, writer: asyncio.StreamWriter):
        self.request = request
        self.ended = False
        """The answer is all sent, or cut by us: a client that leaves now has not given up on it."""
        self._server = server
        self._connection = connection
        self._writer = writer

    @property
    def head_sent(self) -> bool:
        """Whether the status line has been sent."""
        return self._connection.our_state is not h11.SEND_RESPONSE

    async def head(self, status: int, headers: Headers = (), *, length_bytes: int | None = None) -> None:
        """Send status and headers. The body is chunked unless `length_bytes` is given."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        pairs += [("Connection", "close")]
        pairs += [("Content-Length", str(length_bytes))] if length_bytes is not None else []
        reason = responses.get(status, "Fault").encode()
        await self._send(h11.Response(status_code=status, headers=pairs, reason=reason))

    async def body(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the body, as one HTTP chunk; with `last`, end the answer in the same write."""
        events: list[h11.Event] = [h11.Data(data=data)] if data else []
        if last:
            self.ended = True
            events.append(h11.EndOfMessage())
        await self._send(*events)

    async def json(self, status: int, value: Any, headers: Headers = ()) -> None:
        """Send a whole JSON answer."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        await self.head(status, [("Content-Type", "application/json"), *pairs], length_bytes=len(data))
        await self.body(data, last=True)

    async def raw(self, data: bytes) -> None:
        """Send bytes past h11, e.g. half a status line."""
        self._writer.write(data)
        await self._writer.drain()

    async def cut(self) -> None:
        """Close the connection after all that was sent so far has left; the answer stays incomplete."""
        self.ended = True
        self._writer.close()
        await self._writer.wait_closed()

    async def stall(self) -> None:
        """Send nothing more until the client goes away, the server is closed, or the test calls `resume()`."""
        await self._server.stalled(self)

    async def _send(self, *events: h11.Event) -> None:
        data = b"".join(self._connection.send(event) or b"" for event in events)
        await self.raw(data)


@dataclass(frozen=True, slots=True)
class _Counts:
    """What has happened at a server so far."""

    requests: int
    stalled: int
    gone: int


class HttpFake:
    """A loopback server. Subclasses override `respond`; `route` adds fixed JSON answers to any of them.

    Thread-safe. As a context manager it starts on entry and is closed on exit; `close` ends stalled answers.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._errors: list[Exception] = []
        self._routes: dict[tuple[str, str], tuple[int, Any]] = {}
        self._stalled = 0
        self._gone = 0
        self._port = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name=type(self).__name__, daemon=True)

    # --- for tests ---------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`, without a path."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order in which their bodies were complete."""
        with self._changed:
            return list(self._requests)

    @property
    def errors(self) -> list[Exception]:
        """Exceptions raised while answering: faults of the test or of the fake. The client got a 500."""
        with self._changed:
            return list(self._errors)

    def route(self, method: str, path: str, value: Any, *, status: int = 200) -> None:
        """Answer `method path` with `value` as JSON (bytes are sent as they are), before anything else is tried."""
        with self._changed:
            self._routes[method, path] = (status, value)

    def wait_for_requests(self, count: int, timeout_s: float = 10.0) -> list[Request]:
        """All requests, once there are at least `count`. Raises AssertionError on timeout."""
        self._wait(lambda counts: counts.requests >= count, f"{count} requests", timeout_s)
        return self.requests

    def wait_stalled(self, count: int = 1, timeout_s: float = 10.0) -> None:
        """Wait until `count` answers in all have come to their stall. Raises AssertionError on timeout."""
        self._wait(lambda counts: counts.stalled >= count, f"{count} stalled answers", timeout_s)

    def wait_client_gone(self, count: int = 1, timeout_s: float = 10.0) -> None:
        """Wait until `count` clients in all have left before their answer was complete. AssertionError on timeout."""
        self._wait(lambda counts: counts.gone >= count, f"{count} clients gone", timeout_s)

    def resume(self) -> None:
        """Let all stalled answers, and all to come, go on."""
        self._loop.call_soon_threadsafe(self._resumed.set)

    def check(self) -> None:
        """Raise the first exception that answering a request raised, if any."""
        for error in self.errors:
            raise error

    def forget_errors(self) -> None:
        """For a test that made the fake fail on purpose."""
        with self._changed:
            self._errors.clear()

    def start(self) -> Self:
        """Start listening on a free port of 127.0.0.1."""
        self._thread.start()
        if not self._started.wait(10):
            raise RuntimeError("the fake server did not start")
        return self

    def close(self) -> None:
        """Drop all connections and stop. Calling it again does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- for subclasses ----------------------------------------------------------------------------------------------

    async def respond(self, exchange: Exchange) -> None:
        """Answer one request, in the server's own thread. The base knows only its routes."""
        request = exchange.request
        await exchange.json(404, {"error": {"message": f"the fake has no {request.method} {request.path}"}})

    async def stalled(self, _exchange: Exchange) -> None:
        """Record a stall and sit it out."""
        with self._changed:
            self._stalled += 1
            self._changed.notify_all()
        await self._resumed.wait()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _wait(self, reached: Callable[[_Counts], bool], what: str, timeout_s: float) -> None:
        def counts() -> _Counts:
            return _Counts(len(self._requests), self._stalled, self._gone)

        with self._changed:
            if not self._changed.wait_for(lambda: reached(counts()), timeout_s):
                raise AssertionError(f"waited {timeout_s} s for {what}; there are {counts()}")

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._resumed = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stopped.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)  # drain() then means: handed to the kernel
        connection = h11.Connection(h11.SERVER)
        try:
            request = await _read_request(connection, reader)
            with self._changed:
                self._requests.append(request)
                self._changed.notify_all()
            await self._answer(Exchange(self, request, connection, writer), reader)
        except (ConnectionError, h11.RemoteProtocolError):
            pass  # the client broke off, or spoke no HTTP: nobody is left to tell
        finally:
            writer.close()

    async def _answer(self, exchange: Exchange, reader: asyncio.StreamReader) -> None:
        """Answer while watching the client; when it leaves before the end, stop and count it as gone."""
        answering = asyncio.create_task(self._respond(exchange))
        watching = asyncio.create_task(_until_closed(reader))
        try:
            await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            watching.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)
        if not exchange.ended:
            with self._changed:
                self._gone += 1
                self._changed.notify_all()

    async def _respond(self, exchange: Exchange) -> None:
        request = exchange.request
        try:
            if (request.method, request.path) in self._routes:
                await exchange.json(*self._routes[request.method, request.path])
            else:
                await self.respond(exchange)
        except ConnectionError:
            raise
        except Exception as error:
            with self._changed:
                self._errors.append(error)
            if not exchange.head_sent:
                await exchange.json(500, {"error": {"message": f"the fake failed: {error!r}", "type": "fake_error"}})
            else:
                await exchange.cut()


async def _read_request(connection: h11.Connection, reader: asyncio.StreamReader) -> Request:
    """Read one whole request. Raises ConnectionResetError if the client leaves before it is complete."""
    head: h11.Request | None = None
    parts: list[bytes] = []
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                connection.receive_data(await reader.read(_READ_SIZE_BYTES))
            case h11.Request() as head:
                pass
            case h11.Data() as piece:
                parts.append(bytes(piece.data))
            case h11.EndOfMessage() if head is not None:
                return _request(head, b"".join(parts))
            case _:
                raise ConnectionResetError("the client left before its request was complete")


def _request(head: h11.Request, body: bytes) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode().lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    target = urlsplit(head.target.decode())
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    pairs = tuple(parse_qsl(target.query, keep_blank_values=True))
    return Request(head.method.decode(), target.path, dict(pairs), pairs, headers, body, parsed, time.monotonic())


async def _until_closed(reader: asyncio.StreamReader) -> None:
    """Wait until the client closes its side; whatever it still sends is dropped."""
    try:
        while await reader.read(_READ_SIZE_BYTES):
            pass
    except ConnectionError:
        pass
