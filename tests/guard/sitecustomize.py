"""No test reaches the network: sockets may connect to loopback and Unix addresses only.

Two ways in. The tests' own process calls `install()` (tests/conftest.py); a refusal there is a `NetworkRefused`, which
is an AssertionError and therefore not mistaken for a network failure. Python subprocesses find this directory on
PYTHONPATH and import the file at start as `sitecustomize`; there a refusal is the `OSError` of a machine without
network, so that the program under test behaves as it would on one. Both add a line to the log file named by
TEST_NETWORK_LOG, and the isolation fixture fails the test if the log is not empty.

Standard library only, and old-Python friendly: any Python that a subprocess starts may import it.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from typing import Any

LOG_VARIABLE = "TEST_NETWORK_LOG"

CLOSED_PROXY_HOST = "127.66.6.6"
"""A loopback address where nothing listens: the HTTP proxy of subprocesses. To connect there is to try the network."""

_LOCAL_NAMES = {"", "localhost", "ip6-localhost", socket.gethostname()}


class NetworkRefused(AssertionError):
    """A test tried to reach something other than this machine."""


def is_local(host: Any) -> bool:
    """Whether a host name or address, as given to `connect` or `getaddrinfo`, can only be this machine."""
    if host is None:
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name in _LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _is_numeric(host: Any) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def install(*, strict: bool) -> None:
    """Guard this process from now on. `strict`: raise NetworkRefused, otherwise the OSError of a missing network."""
    connect, connect_ex, sendto = socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto
    getaddrinfo = socket.getaddrinfo

    def refuse(what: str, error: OSError) -> None:
        _log(what)
        if strict:
            raise NetworkRefused("a test must not reach the network: " + what)
        raise error

    def check(sock: socket.socket, address: Any) -> None:
        if sock.family == getattr(socket, "AF_UNIX", None):
            return
        unreachable = OSError(errno.ENETUNREACH, "Network is unreachable (refused by tests)")
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or not is_local(address[0]):
            refuse(f"connect to {address!r}", unreachable)
        elif address[0] == CLOSED_PROXY_HOST:
            refuse("connect to some host through the closed proxy", unreachable)

    def guarded_connect(self: socket.socket, address: Any) -> None:
        check(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        check(self, address)
        return connect_ex(self, address)

    def guarded_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        check(self, rest[-1])
        return sendto(self, data, *rest)

    def guarded_getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
        if not (is_local(host) or _is_numeric(host)):
            refuse(f"look up {host!r}", socket.gaierror(socket.EAI_NONAME, "Name or service not known (by tests)"))
        return getaddrinfo(host, *rest, **named)

    socket.socket.connect = guarded_connect  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = guarded_connect_ex  # type: ignore[method-assign, assignment]
    socket.socket.sendto = guarded_sendto  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = guarded_getaddrinfo


def _log(what: str) -> None:
    path = os.environ.get(LOG_VARIABLE)
    if path:
        with open(path, "a", encoding="utf-8") as log:  # noqa: PTH123 - importing pathlib would slow every subprocess
            log.write(f"{what} by {' '.join(sys.argv[:3])}\n")


if __name__ == "sitecustomize" and LOG_VARIABLE in os.environ:
    install(strict=False)
