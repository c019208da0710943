"""Connections to the public internet: what was checked is what is connected to, under the name that was asked for."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.web.client import WebRequest
from agent.web.errors import WebError
from agent.web.reach import Reach
from agent.web.transport import proxy_for
from tests.fakes.web_site import Names, WebSite, redirect, reply
from tests.unit.web.conftest import NewClient

PUBLIC = Reach(is_public=True)
ADDRESS, OTHER_ADDRESS = "93.184.216.34", "93.184.216.35"


def public(url: str, **named: object) -> WebRequest:
    return WebRequest(url, PUBLIC, tries=1, **named)  # type: ignore[arg-type]


@pytest.fixture
def names(site: WebSite) -> Names:
    """`model.example` has a public address, which is the site."""
    names = Names()
    names.name("model.example", [ADDRESS])
    names.leads(ADDRESS, int(site.url.rpartition(":")[2]))
    return names


async def test_the_address_that_was_checked_is_connected_to(site: WebSite, names: Names, new_client: NewClient) -> None:
    """Rebinding: at the second look-up the name leads inside, but there is none."""
    names.name("model.example", [ADDRESS], ["127.0.0.1"])
    site.on("/x", reply(b"ok"))
    client = new_client(resolve=names.resolve, network=names)
    assert (await client.ask(public("http://model.example/x"))).body == b"ok"
    assert (names.looked_up, names.connected) == (["model.example"], [(ADDRESS, 80)])
    assert site.requests[0].headers["host"] == "model.example"


async def test_each_connection_is_checked_anew(site: WebSite, names: Names, new_client: NewClient) -> None:
    names.name("model.example", [ADDRESS], ["127.0.0.1"])
    site.on("/x", reply(b"ok"))
    client = new_client(resolve=names.resolve, network=names)
    await client.ask(public("http://model.example/x"))
    with pytest.raises(WebError, match="private network"):
        await client.ask(public("http://model.example/x"))
    assert len(names.connected) == 1


@pytest.mark.parametrize("target", ["http://inside.example/", "http://169.254.169.254/", "http://2130706433/"])
async def test_a_redirect_inside_is_not_followed(
    site: WebSite, names: Names, new_client: NewClient, target: str
) -> None:
    names.name("inside.example", ["10.0.0.7"])
    site.on("/x", redirect(target))
    client = new_client(resolve=names.resolve, network=names)
    with pytest.raises(WebError, match="private network"):
        await client.ask(public("http://model.example/x"))
    assert names.connected == [(ADDRESS, 80)]


async def test_the_next_address_is_tried_when_one_does_not_answer(
    site: WebSite, names: Names, new_client: NewClient
) -> None:
    names.name("model.example", [OTHER_ADDRESS, ADDRESS])
    site.on("/x", reply(b"ok"))
    client = new_client(resolve=names.resolve, network=names)
    assert (await client.ask(public("http://model.example/x"))).body == b"ok"
    assert names.connected == [(OTHER_ADDRESS, 80), (ADDRESS, 80)]


async def test_a_trusted_origin_is_reached_as_it_is(site: WebSite, names: Names, new_client: NewClient) -> None:
    site.on("/x", reply(b"ok"))
    reach = Reach(is_public=True, origins=(site.url,))
    client = new_client(resolve=names.resolve)
    assert (await client.ask(WebRequest(f"{site.url}/x", reach))).body == b"ok"
    assert names.looked_up == []


async def test_a_login_in_a_configured_address_is_sent_but_not_told(site: WebSite, new_client: NewClient) -> None:
    site.on("/x", redirect("/y"))
    site.on("/y", reply(b"ok"))
    url = site.url.replace("http://", "http://me:hunter2@") + "/x"
    answer = await new_client().ask(WebRequest(url, Reach(origins=(site.url,))))
    assert {request.headers["authorization"] for request in site.requests} == {"Basic bWU6aHVudGVyMg=="}
    assert answer.url == f"{site.url}/y"


# --- certificates ----------------------------------------------------------------------------------------------------


class TlsSite:
    """Answers every request with the name that the client asked for in its TLS greeting."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.greeted: list[str | None] = []
        context.sni_callback = lambda _socket, name, _context: self.greeted.append(name)
        self._context = context
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@pytest.fixture
async def tls_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TlsSite]:
    """A site with a certificate for model.example, which the client trusts."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, so there is no certificate to test with")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", "/CN=model.example", "-addext", "subjectAltName=DNS:model.example"),
        *("-keyout", str(key), "-out", str(certificate)),
    ]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    site = TlsSite(context)
    server = await site.start()
    yield site
    server.close()


async def test_certificate_and_greeting_are_for_the_name(tls_site: TlsSite, new_client: NewClient) -> None:
    names = Names()
    names.name("model.example", [ADDRESS])
    names.leads(ADDRESS, tls_site.port)
    client = new_client(resolve=names.resolve, network=names)
    assert (await client.ask(public("https://model.example/"))).body == b"secret"
    assert (tls_site.greeted, names.connected) == (["model.example"], [(ADDRESS, 443)])


async def test_another_name_at_the_same_address_gets_neither_certificate_nor_connection(
    tls_site: TlsSite, new_client: NewClient
) -> None:
    names = Names()
    for host in ("model.example", "other.example"):
        names.name(host, [ADDRESS])
    names.leads(ADDRESS, tls_site.port)
    client = new_client(resolve=names.resolve, network=names)
    await client.ask(public("https://model.example/"))  # its connection stays open
    with pytest.raises(WebError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        await client.ask(WebRequest("https://other.example/", PUBLIC))
    assert tls_site.greeted == ["model.example", "other.example"]  # and one try was enough
    assert caught.value.is_lasting


# --- proxies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://a.example/", ""),
        ({"HTTPS_PROXY": "http://p:1"}, "https://a.example/", "http://p:1"),
        ({"https_proxy": "p:1"}, "https://a.example/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://a.example/", ""),
        ({"ALL_PROXY": "http://p:1"}, "http://a.example/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "https://a.example/", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, "https://a.example/", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example:8443"}, "https://a.example:8443/", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "::1"}, "https://[::1]:8443/", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://a.example/", ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b.example"}, "https://a.example/", "http://p:1"),
    ],
)
def test_the_proxy_of_an_address(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, proxy: str
) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == proxy


async def test_a_proxy_is_asked_for_public_addresses_by_name(
    site: WebSite, new_client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.url.replace("http://", "http://me:pw@"))
    names = Names()
    names.name("model.example", [ADDRESS])
    site.on("/x", reply(b"through the proxy"))
    client = new_client(resolve=names.resolve, network=names)
    assert (await client.ask(public("http://model.example/x"))).body == b"through the proxy"
    assert site.requests[0].headers["host"] == "model.example"
    assert site.requests[0].headers["proxy-authorization"].startswith("Basic ")
    assert names.connected == []


async def test_what_only_the_proxy_can_look_up_is_left_to_it(
    site: WebSite, new_client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    site.on("/x", reply(b"ok"))
    assert (await new_client(resolve=Names().resolve).ask(public("http://model.example/x"))).body == b"ok"


@pytest.mark.parametrize("host", ["inside.example", "10.0.0.1", "metadata.google.internal"])
async def test_a_proxy_is_no_way_inside(
    site: WebSite, new_client: NewClient, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    names = Names()
    names.name("inside.example", ["10.0.0.1"])
    with pytest.raises(WebError, match="private network"):
        await new_client(resolve=names.resolve).ask(public(f"http://{host}/x"))
    assert site.requests == []


async def test_a_proxy_that_refuses_is_an_error(
    site: WebSite, new_client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", site.url.replace("http://", "http://me:hunter2@"))
    with pytest.raises(WebError, match=r"model\.example cannot be reached") as caught:
        await new_client(resolve=Names().resolve).ask(public("https://model.example/x"))
    assert site.requests[0].method == "CONNECT"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["gopher://me:hunter2@p:1", "socks9://me:hunter2@p:1"])
async def test_a_proxy_that_is_none_is_an_error_that_says_so(
    new_client: NewClient, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(WebError, match="HTTPS_PROXY") as caught:
        await new_client(resolve=Names().resolve).ask(public("https://model.example/x"))
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__!r}"
