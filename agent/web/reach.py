"""Which addresses a request may visit: checked for the first address and again for each one it is redirected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from agent.light_dataclass import dataclass
from agent.protocol.untrusted import harmless
from agent.web.errors import WebError

_PORTS = {"http": 80, "https": 443}
_LOCAL_SUFFIXES = (
    *(".localhost", ".localdomain", ".local", ".internal", ".intranet", ".private", ".corp", ".home", ".lan"),
    *(".home.arpa", ".in-addr.arpa", ".ip6.arpa", ".onion"),
)
_METADATA_NAMES = frozenset({"metadata.goog", "instance-data.ec2.internal"})
_MAX_SHOWN_CHARS = 200

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""`await resolve(host, port)`: the addresses of a name, as text. Raises OSError if there are none."""


def origin_of(url: str) -> str:
    """`scheme://host:port` in lower case, with the port always there; "" for what is no http address."""
    try:
        parts = urlsplit(url)
        port = _PORTS.get(parts.scheme.lower()) if parts.port is None else parts.port
    except ValueError:
        return ""
    host = (parts.hostname or "").rstrip(".")
    return f"{parts.scheme.lower()}://{host}:{port}" if port and host and parts.scheme.lower() in _PORTS else ""


def shown_url(url: str) -> str:
    """`url` for a message: in one short harmless line, without the user name and password that may be in it."""
    scheme, slashes, rest = url.partition("//")
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0]
    if slashes and "@" in authority:
        rest = rest[authority.rindex("@") + 1 :]
    return " ".join(harmless(f"{scheme}{slashes}{rest}"[: 2 * _MAX_SHOWN_CHARS]).split())[:_MAX_SHOWN_CHARS]


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a request may go.

    `hosts`: these and their subdomains, over https. `origins`: exactly these, as `origin_of` gives them; they come from
    the person's own configuration, so that they may be on this machine. `is_public`: any public address of the internet
    (never this machine, its network or a cloud's metadata service).
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    is_public: bool = False

    def is_trusted(self, url: str) -> bool:
        """Whether `url` is named: its host needs no further check."""
        origin = origin_of(url)
        if not origin:
            return False
        if origin in self.origins:
            return True
        host = (urlsplit(url).hostname or "").rstrip(".")
        is_named = any(host == name or host.endswith(f".{name}") for name in self.hosts)
        return is_named and origin == f"https://{host}:443"

    def check(self, url: str) -> None:
        """Raises WebError (`refused`) for an address that may not be visited. Names are not looked up here."""
        origin = origin_of(url)
        if not origin:
            raise WebError(f"{shown_url(url)} is not a web address: give one that begins with https://", "refused")
        if self.is_trusted(url):
            return
        if not self.is_public:
            allowed = ", ".join((*self.hosts, *self.origins))
            raise WebError(
                f"{shown_url(url)} may not be visited by this tool; it reads from {allowed} only.", "refused"
            )
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None:
            raise WebError("An address with a user name or password in it is not visited.", "refused")
        host = (parts.hostname or "").rstrip(".")
        _check_public_host(host, url)
        port = int(origin.rpartition(":")[2])
        if port < 1024 and port not in _PORTS.values():
            raise WebError(
                f"{shown_url(url)} has a port that is not one of web servers, so it is not visited.", "refused"
            )


async def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses that the system knows for `host`. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def public_addresses(host: str, port: int, resolve: Resolve = look_up) -> Sequence[str]:
    """The addresses of `host`, all of them public. Raises WebError: a name that also leads inside is refused whole.

    What is connected to has to be one of these: a second look-up could tell something else.
    """
    try:
        addresses = await resolve(host, port)
    except (OSError, UnicodeError) as error:
        is_lasting = isinstance(error, UnicodeError) or error.errno == socket.EAI_NONAME
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise WebError(
            f"{shown_url(host)} was not found ({why}). Check the address.", "unreachable", is_lasting=is_lasting
        ) from error
    if not addresses or not all(_is_public_text(address) for address in addresses):
        raise _private(host)
    return addresses


def _check_public_host(host: str, url: str) -> None:
    if host == "localhost" or host.endswith(_LOCAL_SUFFIXES) or host in _METADATA_NAMES:
        raise _private(url)
    if "." not in host and ":" not in host:  # a name of the own network, or a number such as 2130706433
        raise _private(url)
    if "%" in host:  # an IPv6 zone is a door of this machine; elsewhere it is a name spelled to deceive
        raise _private(url)
    if (address := _literal(host)) is not None and not _is_public(address):
        raise _private(url)


def _private(address: str) -> WebError:
    return WebError(
        f"{shown_url(address)} leads to this machine or a private network, which is not visited. The person can allow "
        "a host of theirs with fetch_private_hosts in ~/.config/ml-intern/cli_agent_config.json.",
        "refused",
    )


def _literal(host: str) -> _Address | None:
    """The address that `host` spells, also in the ways that only a resolver understands (`127.1`, `0x7f000001`)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.ip_address(socket.inet_aton(host)) if host[:1].isdigit() else None
    except (OSError, UnicodeError):
        return None


def _is_public_text(address: str) -> bool:
    try:
        return "%" not in address and _is_public(ipaddress.ip_address(address))
    except ValueError:
        return False


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and (address in _NAT64 or int(address) >> 32 & 0xFFFFFFFF in _ISATAP):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and not _is_public(inner):
            return False
        if address in _NAT64 or address.ipv4_mapped is not None:
            return True  # by the address inside, which alone is reached
    is_ordinary = address.is_global and not address.is_multicast and not address.is_reserved
    return is_ordinary and not any(address.version == net.version and address in net for net in _NOT_PUBLIC)


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments; Oracle's metadata service is 192.0.0.192
            "168.63.129.16/32",  # Azure's own service, reachable from its machines alone
            "192.88.99.0/24",  # relays into other networks
            "64:ff9b:1::/48",  # NAT64 inside a network: what it leads to is that network's choice
            "fec0::/10",  # site-local
            "3fff::/20",  # documentation
            "5f00::/16",  # segment routing inside a network
        ),
    )
)
"""Beyond what Python's registry of the version at hand says."""
