"""A server that is reached over HTTP: the library's transports, with a limit to what a server may send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from agent.tools.mcp.messages import MAX_MESSAGE_BYTES, reduced, too_large
from agent.web.bodies import ACCEPTED_ENCODINGS, read_capped
from agent.web.errors import WebError

if TYPE_CHECKING:
    import httpx2
    from fastmcp.client.transports.base import ClientTransport, TransportOptions
    from mcp import ClientSession

MAX_EVENT_BYTES = 4 << 20
"""One event of a stream, which the library reads on the event loop; its own limit is too low for a picture."""


def streamable_http(url: str, headers: Mapping[str, str]) -> ClientTransport:
    """The transport to a server that answers each message with JSON or a stream of events."""
    from fastmcp.client.transports.base import ClientTransport, TransportOptions
    from mcp.client.streamable_http import streamable_http_client

    class StreamableHttp(ClientTransport):
        @contextlib.asynccontextmanager
        async def connect_session(
            self, *, transport_options: TransportOptions | None = None, **session_kwargs: Any
        ) -> AsyncIterator[ClientSession]:
            options = transport_options or TransportOptions()
            async with (
                capped_client(dict(headers)) as client,
                streamable_http_client(url, http_client=client, max_sse_event_size=MAX_EVENT_BYTES) as (said, told),
                options.session_class(said, told, **session_kwargs) as session,
            ):
                yield session

    return StreamableHttp()


def event_stream(url: str, headers: Mapping[str, str]) -> ClientTransport:
    """The transport to a server of the older kind: one stream of events for everything."""
    from fastmcp.client.transports import SSETransport

    return SSETransport(url, headers=dict(headers), httpx_client_factory=capped_client)


def capped_client(
    headers: dict[str, str] | None = None,
    timeout: httpx2.Timeout | None = None,
    auth: httpx2.Auth | None = None,
) -> httpx2.AsyncClient:
    """The library's HTTP client. Answers are read up to `MAX_MESSAGE_BYTES`; streams of events are not touched, as the
    library limits each event."""
    from mcp.shared._httpx_utils import create_mcp_http_client

    client = create_mcp_http_client({"Accept-Encoding": ACCEPTED_ENCODINGS} | (headers or {}), timeout, auth)
    client.event_hooks["response"].append(_cap)
    return client


async def _cap(response: httpx2.Response) -> None:
    """Put what was read of an answer's body in the place of the body. What is neither JSON nor events nobody reads."""
    import httpx2

    class Body(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            if problem:
                raise httpx2.StreamError(problem)  # which the library tells as the answer to the request
            yield data

    kind = response.headers.get("content-type", "").lower()
    if kind.startswith("text/event-stream"):
        return
    data, problem = b"", ""
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    try:
        if kind.startswith("application/json"):
            data, problem = await _body(stream, response.headers.get("content-encoding", ""))
    finally:
        await stream.aclose()
    for name in ("content-encoding", "content-length", "transfer-encoding"):
        response.headers.pop(name, None)
    response.stream = Body()


async def _body(stream: httpx2.AsyncByteStream, encoding: str) -> tuple[bytes, str]:
    """The unpacked body of an answer, made easy to read; or what is wrong with it."""
    try:
        data, is_cut = await read_capped(aiter(stream), encoding, MAX_MESSAGE_BYTES)
    except WebError as error:
        return b"", str(error)
    if is_cut:
        return b"", too_large()
    return await asyncio.to_thread(reduced, data), ""
