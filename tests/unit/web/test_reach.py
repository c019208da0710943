"""Where a request may go: named hosts, configured origins, or anywhere public and nowhere else (defect 1)."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest

from agent.web.client import WebClient, WebRequest
from agent.web.errors import WebError
from agent.web.reach import Reach, origin_of, public_addresses, shown_url

PUBLIC = Reach(is_public=True)
HUB = Reach(hosts=("huggingface.co",))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Hugging.Face/x", "https://hugging.face:443"),
        ("http://a.example.:8080", "http://a.example:8080"),
        ("http://[::1]/", "http://::1:80"),
        ("ftp://a.example", ""),
        ("file:///etc/passwd", ""),
        ("http://a.example:0/", ""),
        ("http://a.example:99999/", ""),
        ("http://[::1", ""),
        ("", ""),
        ("a.example", ""),
    ],
)
def test_origins(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize("url", ["https://huggingface.co/x", "https://cdn.huggingface.co", "https://HUGGINGFACE.CO./"])
def test_a_named_host_and_what_is_under_it(url: str) -> None:
    HUB.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://huggingface.co/",
        "https://huggingface.co:8443/",
        "https://nothuggingface.co/",
        "https://huggingface.co.evil.example/",
        "https://huggingface.co@evil.example/",
        "https://evil.example/?https://huggingface.co",
        "https://evil.example#@huggingface.co",
        "https://huggingface.co%2eevil.example/",
        "https://127.0.0.1/",
    ],
)
def test_what_only_looks_like_a_named_host(url: str) -> None:
    with pytest.raises(WebError, match="may not be visited") as caught:
        HUB.check(url)
    assert caught.value.problem == "refused"


@pytest.mark.parametrize(
    "url", ["https://example.com/", "http://1.1.1.1/", "https://[2606:4700::1111]:8443/", "http://a.example:8080"]
)
def test_public_addresses_may_be_visited(url: str) -> None:
    PUBLIC.check(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0177.1",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.9.9",
        "192.168.1.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2002:a00:1::1]",
        "[2001:4700::5efe:10.0.0.1]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[2606:4700::1111%25eth0]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "printer.local",
        "metadata.google.internal",
        "metadata",
        "metadata.goog",
        "instance-data.ec2.internal",
        "router.home.arpa",
        "intranet",
        "127%2e0%2e0%2e1",
    ],
)
def test_this_machine_and_its_network_may_not(host: str) -> None:
    for url in (f"http://{host}/", f"https://{host}:8080/x?y#z"):
        with pytest.raises(WebError) as caught:
            PUBLIC.check(url)
        assert caught.value.problem == "refused"


@pytest.mark.parametrize("port", [22, 25, 110, 143, 445, 873])
def test_ports_of_other_services_may_not(port: int) -> None:
    with pytest.raises(WebError, match="port"):
        PUBLIC.check(f"http://example.com:{port}/")


@pytest.mark.parametrize(
    "url", ["https://user@example.com/", "https://user:hunter2@example.com/", "https://@example.com"]
)
def test_addresses_with_a_login_may_not_and_are_not_repeated(url: str) -> None:
    with pytest.raises(WebError) as caught:
        PUBLIC.check(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://example.com", "//example.com", "example.com", "http:///x"]
)
def test_what_is_no_web_address_may_not(url: str) -> None:
    with pytest.raises(WebError, match="not a web address"):
        PUBLIC.check(url)


def test_a_configured_origin_is_the_only_exception() -> None:
    reach = Reach(is_public=True, origins=("http://10.0.0.5:8080",))
    reach.check("http://10.0.0.5:8080/wiki")
    for url in ("http://10.0.0.5/", "https://10.0.0.5:8080/", "http://10.0.0.6:8080/"):
        with pytest.raises(WebError):
            reach.check(url)


def test_a_shown_address_is_short_harmless_and_without_a_login() -> None:
    assert shown_url("https://user:pa@ss@host.example/a@b?c") == "https://host.example/a@b?c"
    assert shown_url("https://host.example/\x1b[2J[SYSTEM: x\n\ny") == "https://host.example/(SYSTEM: x y"
    assert len(shown_url("https://host.example/" + "a" * 10_000)) == 200


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["2606:4700::1111", "::1"], ["fe80::1%eth0"], [], ["nonsense"]],
)
async def test_a_name_that_leads_inside_is_refused_whole(addresses: Sequence[str]) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    with pytest.raises(WebError, match="private network") as caught:
        await public_addresses("inside.example", 443, resolve)
    assert caught.value.problem == "refused"


async def test_a_name_that_does_not_exist_is_not_asked_for_again() -> None:
    asked = 0

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        nonlocal asked
        asked += 1
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    client = WebClient(resolve=resolve)
    with pytest.raises(WebError, match=r"gone\.example was not found \(Name or service not known\)") as caught:
        await client.ask(WebRequest("https://gone.example/", PUBLIC))
    assert (caught.value.problem, asked) == ("unreachable", 1)
    await client.close()


async def test_the_systems_own_look_up_reads_every_spelling() -> None:
    """What `Reach.check` might overlook, the look-up does not: it gives the address itself."""
    for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        with pytest.raises(WebError, match="private network"):
            await public_addresses(host, 80)
