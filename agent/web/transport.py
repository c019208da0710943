"""Connections: to named services, and to the public internet only, where what was checked is what is connected to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.web.errors import WebError
from agent.web.reach import Resolve, look_up, public_addresses

if TYPE_CHECKING:
    import ssl

    import httpcore

    from agent.lean_httpx import httpx

_TRIED_ADDRESSES = 3


class Connections:
    """Open connections, kept for the next request. One for an event loop; `close` it at the end.

    `resolve` looks names up and `network` opens sockets: seams for tests.
    """

    def __init__(self, resolve: Resolve = look_up, network: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._resolve = resolve
        self._network = network
        self._tls: ssl.SSLContext | None = None
        self._open: dict[tuple[bool, str], httpx.AsyncHTTPTransport] = {}
        self._making = asyncio.Lock()

    async def to(self, url: str, *, is_public: bool) -> httpx.AsyncHTTPTransport:
        """What to ask `url` with: through the person's proxy if they have one for it, else directly.

        Public and direct: only public addresses are connected to, others raise WebError (`refused`) when asked. Public
        and by proxy: it is the proxy that looks the name up, so the name is refused here if what it means here is not
        public; what only the proxy can look up is left to it.
        """
        proxy = proxy_for(url)
        if is_public and proxy:
            await self._refuse_private(url)
        key = (is_public and not proxy, proxy)
        await self.prepare()
        if key not in self._open:
            self._open[key] = self._transport(*key)
        return self._open[key]

    async def prepare(self) -> None:
        """Have what every request needs: the certificates, and modules that are slow to import. Once, in a thread."""
        async with self._making:
            if self._tls is None:
                self._tls = await asyncio.to_thread(_tls)

    async def close(self) -> None:
        """Close what is open. Requests under way fail."""
        transports, self._open = list(self._open.values()), {}
        for transport in transports:
            await transport.aclose()

    async def _refuse_private(self, url: str) -> None:
        parts = urlsplit(url)
        try:
            await public_addresses(parts.hostname or "", parts.port or 443, self._resolve)
        except WebError as error:
            if error.problem == "refused":
                raise

    def _transport(self, is_pinned: bool, proxy: str) -> httpx.AsyncHTTPTransport:
        """Not an httpx client: that would keep cookies, read redirects and add logins by itself."""
        import httpcore

        from agent.lean_httpx import httpx

        assert self._tls is not None
        if proxy:
            try:
                return httpx.AsyncHTTPTransport(verify=self._tls, proxy=proxy)
            except (ValueError, ImportError, httpx.InvalidURL) as error:
                raise WebError(
                    "The proxy that the environment names cannot be used: HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is to "
                    f"be of the form http://host:port ({type(error).__name__}).",
                    "unreachable",
                    is_lasting=True,
                ) from None  # the error may quote the password
        network = self._network or httpcore.AnyIOBackend()
        transport = httpx.AsyncHTTPTransport(verify=self._tls)
        # httpx has no parameter for it. Rewriting the address in the URL instead would let two names with one address
        # share a connection, on which the certificate of one of them was checked.
        transport._pool = httpcore.AsyncConnectionPool(
            ssl_context=self._tls,
            network_backend=_pinned(network, self._resolve) if is_pinned else network,
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
        )
        return transport


def proxy_for(url: str) -> str:
    """The proxy that the environment names for `url`, with its scheme; "" if there is none, or NO_PROXY names it."""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    parts = urlsplit(url)
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not proxy or proxy_bypass(host if ":" in host else f"{host}:{port}"):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _tls() -> ssl.SSLContext:
    """Blocking: it reads all certificates that are trusted (SSL_CERT_FILE replaces them), and imports what asks."""
    import anyio
    import httpcore  # noqa: F401

    from agent.lean_httpx import httpx

    anyio.run(anyio.sleep, 0)  # it imports most of itself when it first runs
    return httpx.create_ssl_context()


def _pinned(network: httpcore.AsyncNetworkBackend, resolve: Resolve) -> httpcore.AsyncNetworkBackend:
    """`network`, which connects to public addresses alone.

    A name is looked up once for a connection, and the address that was checked is connected to: a name server that
    answers differently the next time changes nothing. Above this everything goes by the name: Host, SNI, certificate.
    """
    import httpcore

    class Pinned(httpcore.AsyncNetworkBackend):
        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,  # noqa: ASYNC109 - the name that httpcore gives it
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore.AsyncNetworkStream:
            addresses = (await public_addresses(host, port, resolve))[:_TRIED_ADDRESSES]
            share_s = None if timeout is None else timeout / len(addresses)
            failure: Exception | None = None
            for address in addresses:
                try:
                    return await network.connect_tcp(address, port, share_s, local_address, socket_options)
                except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                    failure = error
            assert failure is not None
            raise failure

        async def sleep(self, seconds: float) -> None:
            await network.sleep(seconds)

    return Pinned()
