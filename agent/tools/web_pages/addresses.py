"""Addresses of pages: how people write them, and the sites that another tool of ours reads better."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urldefrag, urlsplit

from agent.web.reach import Reach, origin_of

_BARE = re.compile(r"[\w-]+(\.[\w-]+)*\.[a-z]{2,}(:\d+)?(/.*)?", re.IGNORECASE | re.DOTALL)
_FILE_VIEWS = (
    (re.compile(r"https?://(?:www\.)?github\.com/([^/]+/[^/]+)/blob/(.+)"), r"https://raw.githubusercontent.com/\1/\2"),
    (re.compile(r"https?://huggingface\.co/(.+?)/blob/(.+)"), r"https://huggingface.co/\1/raw/\2"),
)
_BETTER = (
    (
        re.compile(r"https?://(?:www\.|export\.)?arxiv\.org/(?:abs|pdf|html)/"),
        "hf_papers (read_paper) reads arXiv papers by section.",
    ),
    (
        re.compile(r"https?://huggingface\.co/docs(?:/|$)"),
        "fetch_hf_docs reads the Hugging Face documentation as Markdown.",
    ),
    (
        re.compile(r"https?://huggingface\.co/(?:datasets/|spaces/)?[^/]+/[^/]+/(?:blob|raw|resolve|tree)/"),
        "hf_repo_files reads files of the Hub with the person's account.",
    ),
    (
        re.compile(r"https?://(?:(?:www\.)?github\.com/[^/]+/[^/]+/(?:blob|raw|tree)/|raw\.githubusercontent\.com/)"),
        "github_read_file reads files on GitHub by line ranges.",
    ),
)


def page_address(written: str) -> str:
    """The address to ask for: without a fragment, with a scheme, and the file itself where it names a file's view."""
    url = urldefrag(written.strip().strip("<>")).url
    if _BARE.fullmatch(url):
        url = f"https://{url}"
    for pattern, target in _FILE_VIEWS:
        if found := pattern.fullmatch(url):
            return found.expand(target)
    return url


def better_tool(url: str) -> str:
    """Which tool reads this address better, in a sentence; "" if none."""
    return next((advice for pattern, advice in _BETTER if pattern.match(url)), "")


def reach_of(url: str, private_hosts: Sequence[str]) -> Reach:
    """Where a request for `url` may go: anywhere public; the person's own hosts only if `url` is on one of them.

    `private_hosts` are `host` (ports 80 and 443) or `host:port`. A public page cannot send a request to them.
    """
    origins = tuple(
        origin
        for host in private_hosts
        for scheme in ("http", "https")
        if (origin := origin_of(f"{scheme}://{urlsplit(host).netloc if '://' in host else host.strip()}"))
    )
    return Reach(is_public=True, origins=origins if origin_of(url) in origins else ())
