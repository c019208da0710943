"""Which dataset is meant: a name, or the address of its page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from agent.light_dataclass import dataclass
from agent.tools.arguments import ArgumentError
from agent.web.places import HUB
from agent.web.reach import origin_of

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?:{_PART}/)?{_PART}")
_PAGES_BELOW = frozenset("viewer tree blob raw resolve discussions settings commit commits embed".split())
_HUB_HOSTS = ("huggingface.co", "hf.co")
_LONGEST_CHARS = 255
_HINT = "Give org/name as on the Hub (such as trl-lib/Capybara), or the address of its page."


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be looked at: `config` and `split` are "" where the tool may choose."""

    dataset: str
    config: str = ""
    split: str = ""


def read_wanted(given: str, config: str, split: str, environ: Mapping[str, str]) -> Wanted:
    """What `given` names. An address of the viewer may name config and split too; the arguments win.

    Raises ArgumentError, before anything is asked, for what is no name of a dataset.
    """
    text = given.strip()
    path = _path_of(text, environ)
    parts = [unquote(part) for part in path.split("/") if part]
    if path != text:
        has_owner = len(parts) > 1 and parts[1] not in _PAGES_BELOW
        name, below = "/".join(parts[: 1 + has_owner]), parts[1 + has_owner :]
        if below[:1] == ["viewer"]:
            config, split = config or "".join(below[1:2]), split or ("" if config else "".join(below[2:3]))
    else:
        name = text
    if not _NAME.fullmatch(name) or "--" in name or ".." in name:
        raise ArgumentError(f"`dataset` {given[:100]!r} is no name of a dataset. {_HINT}")
    for what, value in (("config", config), ("split", split)):
        if len(value) > _LONGEST_CHARS:
            raise ArgumentError(f"`{what}` has {len(value):,} characters; names have at most {_LONGEST_CHARS}.")
    return Wanted(name, config.strip(), split.strip())


def _path_of(text: str, environ: Mapping[str, str]) -> str:
    """What follows `datasets/` in an address; `text` itself if it is none. Raises ArgumentError for other addresses."""
    if text.startswith(("huggingface.co/", "hf.co/", "www.huggingface.co/")):
        text = f"https://{text}"
    if text.startswith("hf://"):
        path = text.removeprefix("hf://")
    elif "://" in text:
        try:
            parts = urlsplit(text)
            host = (parts.hostname or "").lower().removeprefix("www.")
        except ValueError:
            host = ""
        if host not in _HUB_HOSTS and origin_of(text) != origin_of(HUB.base(environ)):
            raise ArgumentError(f"`dataset` {text[:100]!r} is no address on the Hub. {_HINT}")
        path = parts.path.lstrip("/")
    else:
        return text.removeprefix("datasets/")
    if not path.startswith("datasets/"):
        raise ArgumentError(
            f"`dataset` {text[:100]!r} is not the page of a dataset: that has /datasets/ in it. {_HINT}"
        )
    return path.removeprefix("datasets/")
