"""A question to the web, and what came back."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import Any
from urllib.parse import urlsplit

from agent.light_dataclass import dataclass
from agent.web.charsets import declared_charset, known_charset
from agent.web.errors import WebError
from agent.web.pace import DEFAULT_PACE, Pace
from agent.web.reach import Reach

MAX_BYTES = 20 << 20

OnWait = Callable[[str], Awaitable[None]]
"""Told, in a line for the person, that a service has asked to wait."""


@dataclass(frozen=True, slots=True)
class WebRequest:
    """What to ask, and its limits.

    `params` are added to the query that `url` has. `private_headers` (a token, a key) go to the origin of `url` alone,
    wherever the request is redirected. `limit_s` is for everything together: waiting in line, tries, pauses, redirects.
    `fresh_s`: an answer kept for less time is taken as it is, an older one is asked for again, by its ETag or its date
    if it has one; None: nothing is kept. `max_bytes` cuts the body. A POST is repeated like a GET: none of our
    questions changes anything. `final_codes`: with one of these in its X-Error-Code, an error is not asked about again.
    `lane` names a part of the service that is limited apart from the rest of it: pauses and pace are for that part.
    """

    url: str
    reach: Reach
    method: str = "GET"
    params: Mapping[str, str | int] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    private_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    service: str = ""
    """Its name in messages; by default the host."""
    pace: Pace = DEFAULT_PACE
    lane: str = ""
    timeout_s: float = 20.0
    limit_s: float = 30.0
    tries: int = 4
    final_codes: frozenset[str] = frozenset()
    fresh_s: float | None = None
    max_bytes: int = MAX_BYTES


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """What a server said. `url` is where it came from after redirects; header names are in lower case.

    `retry_after_s`: in how many seconds the server wants to be asked again, where it says so. A 403 that has it is a
    rate limit.
    """

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes
    is_cut: bool = False
    is_kept: bool = False
    """It came from the cache."""
    retry_after_s: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    @property
    def content_type(self) -> str:
        """Without its parameters, in lower case."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as text, by its declared character set or UTF-8; what cannot be read is replaced.

        Decoded anew at each access, 20 MB in some 20 ms: keep what you get, and call it in a thread (with the parsing)
        where more than ~100 kB may come.
        """
        charset = known_charset(declared_charset(self.headers.get("content-type", "")))
        return self.body.decode(charset or "utf-8", "replace").removeprefix("\ufeff")

    def json(self) -> Any:
        """The body as JSON. Raises WebError (`garbled`) if it is none.

        Parsed anew at each call, 20 MB in some 300 ms: call it in a thread where more than ~100 kB may come.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            kind = self.content_type or "no declared type"
            raise WebError(f"{urlsplit(self.url).hostname} did not answer with JSON ({kind}).", "garbled") from error
