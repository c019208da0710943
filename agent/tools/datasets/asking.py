"""Asking the Hub and its dataset viewer: what came, or why nothing came, each told apart.

Endpoints and error codes: the dataset viewer's OpenAPI description. An error is `{"error", "cause_exception"?,
"cause_message"?}` with its code in the header X-Error-Code.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal
from urllib.parse import urlsplit

from agent.light_dataclass import dataclass
from agent.web.client import OnWait, WebAnswer, WebClient, WebRequest
from agent.web.errors import WebError
from agent.web.failures import service_words
from agent.web.places import DATASETS_SERVER, HUB, Place

TroubleKind = Literal[
    "missing",
    "no_access",
    "bad_token",
    "not_ready",
    "blocked",
    "disabled",
    "private",
    "unsupported",
    "failed",
    "silent",
]
Json = dict[str, Any]

_MAX_SAID_CHARS = 400
_KINDS_BY_CODE: tuple[tuple[str, TroubleKind], ...] = (
    ("ResponseNotReady", "not_ready"),
    ("BlockList", "blocked"),
    ("DisabledViewer", "disabled"),
    ("DisabledRepository", "disabled"),
    ("PrivateRepository", "private"),
    ("NotSupported", "unsupported"),
    ("ExternalUnauthenticated", "no_access"),
    ("ExternalAuthenticated", "no_access"),
    ("GatedRepo", "no_access"),
    ("RepoNotFound", "missing"),
    ("NotFound", "missing"),
)
"""The first fragment that an error code has in it."""
_KINDS_BY_STATUS: Mapping[int, TroubleKind] = {
    401: "no_access",
    403: "no_access",
    404: "missing",
    408: "silent",
    429: "silent",
    501: "unsupported",
    502: "silent",
    503: "silent",
    504: "silent",
}
_FINAL_CODES = frozenset(
    """
    CastError ConfigNamesError DataFilesNotFoundError DatasetGenerationCastError DatasetGenerationError
    DatasetModuleNotInstalledError DatasetWithTooManyConfigsError DatasetWithTooManySplitsError EmptyDatasetError
    FeaturesError FeaturesResponseEmptyError FileFormatMismatchBetweenSplitsError InfoError NormalRowsError
    NoSupportedFeaturesError ParquetResponseEmptyError PolarsParquetReadError RowsPostProcessingError
    SplitNamesFromStreamingError SplitsNamesError StatisticsComputationError StreamingRowsError TooBigContentError
    TooBigRowsError TooManyColumnsError
    """.split()
)
"""What is wrong with the dataset itself, sent with HTTP 500: it is the same the next time."""
_TRIES = 6
"""An answer that is not ready is being made, and mostly there after some seconds."""
_PAGE_FIELDS = ("gated", "private", "disabled", "lastModified", "tags")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a part is not there. `said` names the service and has its own words, on one line: other people's text.

    `silent`: no answer came, or one that has nothing to do with the question (a proxy's, too many requests).
    """

    kind: TroubleKind
    said: str
    status: int | None = None


Part = Json | Trouble
"""An object that a service answered with, or why there is none."""


@dataclass(frozen=True, slots=True)
class HubPage:
    """What the Hub itself says of a dataset. `gated`: "auto" (access on asking), "manual" (somebody decides) or ""."""

    name: str
    """As it is called today: a dataset that was renamed or moved answers under its old name too."""
    gated: str = ""
    is_private: bool = False
    is_disabled: bool = False
    changed_on: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks for one person, and says in a line when a service makes us wait."""

    web: WebClient
    environ: Mapping[str, str]
    token: str | None = field(default=None, repr=False)
    on_wait: OnWait | None = None

    @property
    def viewer_has_token(self) -> bool:
        """Whether the dataset viewer is told who asks."""
        return bool(self.token) and may_have_token(DATASETS_SERVER.base(self.environ))

    async def viewer(self, endpoint: str, limit_s: float, **params: str | int) -> Part:
        """What the dataset viewer answers. Never raises but for cancellation."""
        url = f"{DATASETS_SERVER.base(self.environ)}/{endpoint}"
        return await self._ask(DATASETS_SERVER, url, params, limit_s, self.token if self.viewer_has_token else None)

    async def page(self, name: str, limit_s: float) -> HubPage | Trouble:
        """What the Hub says of the dataset. Never raises but for cancellation."""
        fields = "&".join(f"expand={each}" for each in _PAGE_FIELDS)
        found = await self._ask(HUB, f"{HUB.base(self.environ)}/api/datasets/{name}?{fields}", {}, limit_s, self.token)
        return found if isinstance(found, Trouble) else _page(found, name)

    async def _ask(
        self, place: Place, url: str, params: Mapping[str, str | int], limit_s: float, token: str | None
    ) -> Part:
        request = WebRequest(
            url,
            place.reach(self.environ),
            params=params,
            private_headers={"authorization": f"Bearer {token}"} if token else {},
            service=place.name,
            pace=place.pace,
            timeout_s=limit_s,
            limit_s=limit_s,
            tries=_TRIES,
            final_codes=_FINAL_CODES,
        )
        try:
            answer = await self.web.ask(request, self.on_wait)
            if answer.is_cut:
                return Trouble("failed", f"the answer of {place.name} is too large to be read here", answer.status)
            if not answer.ok:
                return _refusal(place.name, answer, bool(token))
            found = await asyncio.to_thread(answer.json)
        except WebError as error:
            return Trouble("silent", str(error).rstrip("."))
        if not isinstance(found, dict):
            return Trouble("failed", f"{place.name} answered with something else than an object", answer.status)
        return found


def may_have_token(base: str) -> bool:
    """Whether a server at `base` is the Hub's own, so that the Hub's token may go to it (or runs on this machine)."""
    parts = urlsplit(base)
    host = (parts.hostname or "").lower().rstrip(".")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_hub = any(host == name or host.endswith(f".{name}") for name in ("huggingface.co", "hf.co"))
        return is_hub and parts.scheme == "https"


def on_one_line(text: str, limit: int = _MAX_SAID_CHARS) -> str:
    """`text` without line breaks and runs of blanks, not longer than `limit` characters."""
    line = " ".join(text[: limit * 4].split())
    return line if len(line) <= limit else f"{line[:limit]} …"


def _page(found: Json, asked: str) -> HubPage:
    name, gated, tags = found.get("id"), found.get("gated"), found.get("tags")
    is_name = isinstance(name, str) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name, re.ASCII)
    return HubPage(
        str(name) if is_name else asked,
        gated=gated if isinstance(gated, str) else "",
        is_private=found.get("private") is True,
        is_disabled=found.get("disabled") is True,
        changed_on=str(found.get("lastModified") or "")[:10],
        tags=tuple(each for each in tags if isinstance(each, str)) if isinstance(tags, list) else (),
    )


def _refusal(service: str, answer: WebAnswer, had_token: bool) -> Trouble:
    code = answer.headers.get("x-error-code", "").strip()[:80]
    text = service_words(answer, _MAX_SAID_CHARS)
    said = f"{service} says: HTTP {answer.status}{f' {code}' if code else ''}{f', {text}' if text else ''}".rstrip(". ")
    return Trouble(_kind(answer.status, code, text, had_token), said, answer.status)


def _kind(status: int, code: str, text: str, had_token: bool) -> TroubleKind:
    if status == 401 and not code and had_token and re.search(r"token|credential", text, re.IGNORECASE):
        return "bad_token"
    by_code: TroubleKind | None = next((kind for fragment, kind in _KINDS_BY_CODE if fragment in code), None)
    return by_code or _KINDS_BY_STATUS.get(status, "failed")
