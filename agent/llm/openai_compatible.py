"""The backend for servers that speak OpenAI's chat completions: httpx alone, one connection kept between the calls.

Imports httpx: to be imported when a call needs it. Raises `ProviderError` for what a server says, and exceptions of
httpx for what happens on the way there; `agent.llm.classification` knows both.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, TypeVar
from urllib.request import getproxies, proxy_bypass

from agent import __version__
from agent.lean_httpx import httpx
from agent.llm.backends import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, WHOLE_TIMEOUT_S
from agent.llm.failures import ProviderError
from agent.llm.openai_answer import MAX_ERROR_BYTES, chunk_delta, no_answer, parse, refusal
from agent.llm.params import is_loopback, url_host
from agent.llm.sse_stream import merge_events
from agent.llm.stream import Delta
from agent.llm.wire import body_bytes

KEEP_ALIVE_S = 60.0
"""How long an unused connection is kept: a tool may take a while. Servers may close it earlier, which is noticed."""
DRAIN_S = 0.2
"""How long to wait for the end of an answer that has said all, for the sake of the connection."""
REST_S = 5.0
"""How long to wait for what may come behind an answer's finish reason (its token counts), where nothing ends it."""
MAX_REDIRECTS = 5
_END = "[DONE]"
_EVENTS = re.compile(rb"\s*(?:data|event|id|retry)?:")
"""How a stream of events begins, also one that calls itself JSON."""

T = TypeVar("T")


class OpenAICompatible:
    """One HTTP client for each server that is talked to. Safe to share between tasks."""

    def __init__(self) -> None:
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def stream(
        self, params: Mapping[str, Any], request: Mapping[str, Any], on_sent: Callable[[], None]
    ) -> AsyncGenerator[Delta, None]:
        """See `agent.llm.backends.Backend`."""
        response = await self._post(params, request, on_sent)
        try:
            async with contextlib.aclosing(_deltas(response, is_stream=request["stream"])) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close the connections. Another call opens new ones."""
        clients, self._clients = self._clients, {}
        if self._loop is asyncio.get_running_loop():
            for client in clients.values():
                await client.aclose()

    async def _post(
        self, params: Mapping[str, Any], request: Mapping[str, Any], on_sent: Callable[[], None]
    ) -> httpx.Response:
        """The response to the request, its body unread. Redirects that keep the request what it is are followed."""

        has_connected = False

        async def trace(step: str, _info: Mapping[str, Any]) -> None:
            nonlocal has_connected
            has_connected = has_connected or step == "connection.connect_tcp.started"
            if step.endswith("send_request_body.complete"):
                on_sent()

        url = httpx.URL(f"{params['api_base']}/chat/completions")
        read_s = READ_TIMEOUT_S if request["stream"] else WHOLE_TIMEOUT_S
        message = httpx.Request(
            "POST",
            url,
            headers=_headers(params),
            content=body_bytes(params, request),
            extensions={"timeout": httpx.Timeout(read_s, connect=CONNECT_TIMEOUT_S).as_dict(), "trace": trace},
        )
        try:
            response = await self._send(message)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            if has_connected:
                raise
            response = await self._send(message)  # the server had closed the connection that was kept
        for _ in range(MAX_REDIRECTS):
            following = response.next_request
            if response.status_code not in (307, 308) or following is None or _is_worse(following.url, url):
                break
            if _origin(following.url) != _origin(url):  # httpx has left out the key
                for name in params.get("extra_headers", {}):
                    following.headers.pop(name, None)
            await response.aclose()
            response = await self._send(following)
        return response

    async def _send(self, message: httpx.Request) -> httpx.Response:
        client = await self._client(message.url)
        try:
            return await client.send(message, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            proxy = _proxy_for(message.url)
            if proxy is None or "SSL" in str(error):
                raise
            raise httpx.ProxyError(f"Cannot connect to host {url_host(proxy)}: {error}") from error

    async def _client(self, url: httpx.URL) -> httpx.AsyncClient:
        """The client for the server of `url`: no other is ever sent anything through it."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._clients, self._loop = {}, loop  # the connections of a loop that has ended went with it
        origin = _origin(url)
        if origin not in self._clients:
            context = await _ssl_context(url)
            self._clients.setdefault(origin, _new_client(context, knows_proxies=not is_loopback(str(url))))
        return self._clients[origin]


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


def _is_worse(to: httpx.URL, url: httpx.URL) -> bool:
    """Whether a redirect would send what was said, and was to be encrypted, in clear text."""
    return url.scheme == "https" and to.scheme != "https"


def _new_client(context: ssl.SSLContext, *, knows_proxies: bool) -> httpx.AsyncClient:
    limits = httpx.Limits(keepalive_expiry=KEEP_ALIVE_S)
    try:
        return httpx.AsyncClient(verify=context, limits=limits, trust_env=knows_proxies)
    except (ValueError, httpx.InvalidURL) as error:  # a proxy variable that holds no address
        raise httpx.ProxyError(str(error)) from error


async def _ssl_context(url: httpx.URL) -> ssl.SSLContext:
    """What a server is verified with. For `http://` a context that trusts nobody: loading certificates takes 25 ms."""
    if url.scheme == "http" and _proxy_for(url) is None:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return await asyncio.to_thread(httpx.create_ssl_context)
    except OSError as error:
        raise ProviderError(
            f"The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error}. Correct the variable, "
            "or unset it.",
            400,
            is_complete=True,
        ) from error


def _proxy_for(url: httpx.URL) -> str | None:
    """The proxy of the environment on the way to `url`."""
    if is_loopback(str(url)):  # a proxy cannot reach this machine's own servers
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(url.netloc.decode()):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _headers(params: Mapping[str, Any]) -> httpx.Headers:
    """The headers of a request. Raises `ProviderError`, which does not show it, for a value that no header can have."""
    key = params.get("api_key") or ""
    if not _is_header_text(key):
        raise ProviderError("it contains a line break, or characters that are no ASCII", 401)
    headers = {"User-Agent": f"ml-intern/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
    headers["Content-Type"] = "application/json"
    headers |= {"Authorization": f"Bearer {key}"} if key else {}
    for name, value in params.get("extra_headers", {}).items():
        if not _is_header_text(value):
            raise ProviderError(f"the header {name} would contain a line break, or characters that are no ASCII", 400)
        headers[name] = value
    return httpx.Headers(headers)


def _is_header_text(value: str) -> bool:
    return value.isascii() and (value.isprintable() or not value)


# --- the answer ------------------------------------------------------------------------------------------------------


async def _deltas(response: httpx.Response, *, is_stream: bool) -> AsyncGenerator[Delta, None]:
    """The deltas of an answer, whichever form it has."""
    if not response.is_success:
        raise await _refusal(response)
    if not _is_event_stream(response, is_stream=is_stream):
        body = await response.aread()
        if not (is_stream and _EVENTS.match(body)):
            yield _whole(body)
            return
        response = httpx.Response(200, content=body + b"\n\n")
    is_finished = False
    async with contextlib.aclosing(_event_data(response)) as events:
        while (event := await _next(events, REST_S if is_finished else None)) is not None:
            data, is_error = event
            if data == _END:
                is_finished = True
                await _drain(events)
                break
            chunk = parse(data)
            if isinstance(chunk, dict):
                delta = chunk_delta({"error": chunk.get("error") or chunk} if is_error else chunk)
                is_finished = is_finished or delta.finish_reason is not None
                yield delta
    if not is_finished:
        raise ProviderError("connection reset: the stream ended before the answer did", 502)


async def _next(events: AsyncIterator[T], patience_s: float | None) -> T | None:
    """The next event; None at the end, or when `patience_s` is over."""
    try:
        async with asyncio.timeout(patience_s) as patience:
            return await anext(events, None)
    except TimeoutError:
        if not patience.expired():
            raise
        return None


async def _event_data(response: httpx.Response) -> AsyncGenerator[tuple[str, bool], None]:
    """The data of each event, and whether the event calls itself an error."""
    from httpx_sse import EventSource  # behind `agent.lean_httpx`, as it imports httpx itself

    response.headers["Content-Type"] = "text/event-stream"  # whatever the server calls it
    merge_events(response)
    async with contextlib.aclosing(EventSource(response).aiter_sse()) as events:
        async for event in events:
            if event.data:
                yield event.data.strip(), event.event == "error"


async def _drain(events: AsyncIterator[Any]) -> None:
    """Read to the end, so that the connection can be used again; a server that goes on talking is left."""
    with contextlib.suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in events:
                pass


def _is_event_stream(response: httpx.Response, *, is_stream: bool) -> bool:
    """Whether to read an answer as events: servers call these all sorts of things, but hardly JSON or a web page."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "text/event-stream" or (is_stream and not media_type.endswith(("json", "html")))


def _whole(body: bytes) -> Delta:
    """A whole answer as one delta."""
    answer = parse(body)
    if not isinstance(answer, dict):
        raise no_answer(body)
    delta = chunk_delta(answer)
    if not answer.get("choices"):
        raise no_answer(body)
    return delta


async def _refusal(response: httpx.Response) -> ProviderError:
    if response.is_redirect:
        words = f"it redirects to {url_host(response.headers.get('location', '')) or 'another place'}; use that address"
        return ProviderError(words, 400)
    body = bytearray()
    with contextlib.suppress(httpx.HTTPError):  # half an error message is better than none
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > MAX_ERROR_BYTES:
                break
    return refusal(response.status_code, response.reason_phrase, response.headers, bytes(body))
