"""One GET, and in words why it did not work."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from agent.light_dataclass import dataclass
from agent.llm.params import is_loopback, url_host

TIMEOUT_S = 4.0
"""Less than a check has in all, so that it can still say who did not answer."""
MAX_ANSWER_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whatever its status."""

    status: int
    body: bytes


class UnreachableError(Exception):
    """No HTTP answer came; the text is the cause, `remedy` what to do."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.remedy = remedy


async def get(url: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Status and body of `GET url`; redirects are not followed, as `headers` may hold a token.

    Raises `UnreachableError`.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            client = await asyncio.to_thread(_client, url)  # loading certificates takes a while
            async with client, client.stream("GET", url, headers=headers) as response:
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        raise UnreachableError("the answer does not end", "See what listens at that address.")
                return Answer(response.status_code, bytes(body))
    except UnreachableError:
        raise
    except Exception as error:  # the door to the network: sockets, TLS, proxies, odd addresses, missing packages
        raise UnreachableError(*_explained(error, url)) from error


def _client(url: str) -> Any:
    from agent.lean_httpx import httpx

    return httpx.AsyncClient(timeout=TIMEOUT_S, verify=url.startswith("https:"), trust_env=not is_loopback(url))


def _explained(error: Exception, url: str) -> tuple[str, str]:
    """Cause and remedy of a request that got no answer."""
    from agent.lean_httpx import httpx

    host = url_host(url) or "the address"
    chain = list(_chain(error))

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(one, kinds) for one in chain)

    network = "Check the network connection and, where one is needed, HTTPS_PROXY."
    if has(httpx.InvalidURL, httpx.UnsupportedProtocol):
        return f"{host} is not written as an address", "Write it as https://host or http://host:port."
    if has(httpx.ProxyError):
        return f"the proxy does not let requests to {host} through", "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
    if has(ssl.SSLError):
        remedy = "Behind a proxy that reads along, set SSL_CERT_FILE to its bundle of certificates; check the clock."
        return f"the certificate of {host} is not trusted", remedy
    if has(socket.gaierror):
        return f"the name {host} cannot be resolved", network
    if has(TimeoutError, httpx.TimeoutException):
        return f"{host} did not answer within {TIMEOUT_S:g} s", network
    if has(httpx.ConnectError):
        return f"no connection to {host}", network
    return f"no answer from {host} ({type(error).__name__})", network


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
