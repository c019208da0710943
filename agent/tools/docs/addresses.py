"""Addresses of documentation pages: one page has many spellings, and only some hosts are read from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urljoin, urlsplit

from agent.light_dataclass import dataclass
from agent.tools.arguments import ArgumentError
from agent.web.places import GRADIO, HUB
from agent.web.reach import Reach, origin_of

HOSTS = ("huggingface.co", "hf.co", "gradio.app")
_HOMES = {
    "huggingface.co": HUB,
    "www.huggingface.co": HUB,
    "hf.co": HUB,
    "gradio.app": GRADIO,
    "www.gradio.app": GRADIO,
}
"""Hosts that the person's own address of a service stands for (a mirror, or a server on this machine)."""
_BOOK = re.compile(r"^(/(?:docs|learn)/[^/]+)(/(?:v\d[^/]*|main))?(?:/en(?=/|$))?(?=/|$)")
_PLAIN = re.compile(r"\.(?:md|txt)$")


@dataclass(frozen=True, slots=True)
class PageAddress:
    """A page: `url` without query, fragment and `.md`; `fragment` names a heading on it, "" for none."""

    url: str
    fragment: str = ""

    @property
    def markdown_url(self) -> str:
        """Where its Markdown is."""
        return self.url if _PLAIN.search(self.url) else f"{self.url}.md"

    @property
    def key(self) -> str:
        """The same for all spellings of this version of the page."""
        return self._spelled(lambda match: match[1] + (match[2] or ""))

    @property
    def versionless_key(self) -> str:
        """The same for every release of the page: what an address without a version means is the latest of them."""
        return self._spelled(lambda match: match[1] + ("/main" if match[2] == "/main" else ""))

    def _spelled(self, book: Callable[[re.Match[str]], str]) -> str:
        return origin_of(self.url) + _BOOK.sub(book, urlsplit(self.url).path)


def page_address(text: str, environ: Mapping[str, str], base: str = "") -> PageAddress:
    """The page that `text` means: an address, or a path on the Hub (below `base`, where links of a page are read).

    Raises ArgumentError for what is none. Whether it may be visited is `docs_reach`'s to say.
    """
    text = text.strip()
    if not base and "://" not in text:
        host = text.split("/")[0].lower()
        text = f"https://{text}" if host in _HOMES else f"{HUB.base(environ)}/{text.lstrip('/')}"
    try:
        parts = urlsplit(urljoin(base, text) if base else text)
        home = _HOMES.get((parts.hostname or "").lower()) if origin_of(parts.geturl()).endswith(":443") else None
    except ValueError as error:
        raise ArgumentError(f"{text[:200]!r} is no address of a page ({error}).") from error
    if parts.username or parts.password or ".." in unquote(parts.path).split("/"):
        raise ArgumentError(f"{text[:200]!r} is no plain address of a page: leave out user names and '..'.")
    origin = home.base(environ) if home is not None else f"{parts.scheme}://{parts.netloc}"
    path = parts.path.rstrip("/").removesuffix(".md")
    return PageAddress(origin + path, unquote(parts.fragment))


def docs_reach(environ: Mapping[str, str]) -> Reach:
    """Where documentation is read from, redirects included."""
    return Reach(hosts=HOSTS, origins=tuple(dict.fromkeys(origin_of(place.base(environ)) for place in (HUB, GRADIO))))


def is_hub_docs(url: str, environ: Mapping[str, str]) -> bool:
    """Whether `url` is documentation on the Hub itself: the only place that is told who asks."""
    base = HUB.base(environ)
    is_hub = origin_of(url) == origin_of(base) and url.startswith(base)
    return is_hub and url.removeprefix(base).startswith(("/docs/", "/learn/"))


def service_of(url: str, environ: Mapping[str, str]) -> str:
    """The name of the service that `url` belongs to, "" for one that has none."""
    return next((place.name for place in (HUB, GRADIO) if origin_of(place.base(environ)) == origin_of(url)), "")
