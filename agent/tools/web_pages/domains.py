"""Which sites a search may bring: a host with everything below it, or a path of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from agent.light_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """A host and its subdomains; with `path` ("/foo"), only what lies there."""

    host: str
    path: str = ""

    def has(self, url: str) -> bool:
        """Whether `url` is on it. Hosts match by whole labels: x.com does not have netflix.com."""
        try:
            parts = urlsplit(url)
            host = _ascii(parts.hostname or "")
        except ValueError:
            return False
        if host != self.host and not host.endswith(f".{self.host}"):
            return False
        return not self.path or parts.path.rstrip("/") == self.path or parts.path.startswith(f"{self.path}/")


@dataclass(frozen=True, slots=True)
class DomainFilter:
    """`allowed` empty: everything is."""

    allowed: tuple[Site, ...] = ()
    blocked: tuple[Site, ...] = ()

    def lets(self, url: str) -> bool:
        """Whether a result may be shown."""
        if any(site.has(url) for site in self.blocked):
            return False
        return not self.allowed or any(site.has(url) for site in self.allowed)


def read_sites(spelled: Sequence[str]) -> tuple[Site, ...]:
    """Sites as people write them: `x.com`, `*.x.com`, `https://docs.rs/foo`. Raises ValueError, naming what is none."""
    return tuple(_site(text) for text in spelled)


def _site(text: str) -> Site:
    bare = re.sub(r"^[a-z][a-z0-9+.-]*://", "", text.strip(), flags=re.IGNORECASE)
    bare = re.sub(r"^(?:\*\.|\.|www\.)+", "", bare, flags=re.IGNORECASE)
    try:
        parts = urlsplit(f"//{bare}")
        host = _ascii(parts.hostname or "")
    except ValueError:
        host = ""
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[?[0-9a-f:]+\]?", host):
        raise ValueError(f"{text[:100]!r} is no domain; write it like docs.python.org or docs.rs/tokio.")
    return Site(host, parts.path.rstrip("*").rstrip("/"))


def _ascii(host: str) -> str:
    """A host in lower case and as name servers know it: bücher.de is xn--bcher-kva.de."""
    host = host.lower().rstrip(".")
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host
