"""The Hub's endpoints, searchable: full-text search in memory over what the Hub publishes about its API."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping

from agent.light_dataclass import dataclass
from agent.tools.docs.books import InThread
from agent.tools.docs.openapi import Api, Endpoint, read_api
from agent.tools.docs.words import TOKENIZER, match_expression, name_parts
from agent.web.client import OnWait, WebClient, WebRequest
from agent.web.errors import WebError
from agent.web.places import HUB

FRESH_S = 24 * 3_600.0
OPENAPI_PATH = "/.well-known/openapi.json"
_LIMIT_S = 60.0
_WEIGHTS = "3.0, 2.0, 2.0, 1.5, 1.0, 1.0"


class ApiUnavailable(Exception):
    """The description cannot be had; the message says why."""


class ApiIndex:
    """Endpoints and the words in them. Blocking; may be used from several threads."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.execute(
            "CREATE VIRTUAL TABLE endpoints USING fts5("
            f'summary, operation, path, tags, description, parameters, tokenize="{TOKENIZER}")'
        )
        self._db.executemany("INSERT INTO endpoints VALUES (?, ?, ?, ?, ?, ?)", map(_row, api.endpoints))
        self._db.commit()

    def search(self, query: str) -> list[tuple[Endpoint, float]]:
        """All endpoints that have any word of `query`, best first, with a score of which more is better."""
        expression = match_expression(query)
        if not expression:
            return []
        select = f"SELECT rowid, bm25(endpoints, {_WEIGHTS}) AS score FROM endpoints WHERE endpoints MATCH ?"
        with self._lock:
            rows = self._db.execute(f"{select} ORDER BY score, rowid", (expression,)).fetchall()
        return [(self.api.endpoints[rowid - 1], -score) for rowid, score in rows]


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    # a path's words count each for itself, and so do those of names: whoami is found in /api/whoami-v2
    names = " ".join(parameter.name for parameter in endpoint.parameters)
    return (
        endpoint.summary,
        f"{endpoint.operation} {name_parts(endpoint.operation)}",
        f"{endpoint.method} {endpoint.path} {name_parts(endpoint.path)}",
        " ".join(endpoint.tags),
        endpoint.description,
        f"{names} {name_parts(names)} " + " ".join(parameter.description for parameter in endpoint.parameters),
    )


@dataclass(frozen=True, slots=True)
class _Held:
    read_at: float
    address: str
    index: ApiIndex


class HubApi:
    """The description of the Hub's API: read when it is first asked for, kept a day, an older one used if need be.

    `now` is in seconds since 1970; `in_thread` runs blocking work.
    """

    def __init__(
        self,
        web: WebClient,
        environ: Mapping[str, str],
        *,
        now: Callable[[], float] = time.time,
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        self._web = web
        self._environ = environ
        self._now = now
        self.in_thread = in_thread
        self._lock = asyncio.Lock()
        self._held: _Held | None = None

    @property
    def base(self) -> str:
        """The Hub's address."""
        return HUB.base(self._environ)

    async def index(self, on_wait: OnWait | None = None) -> tuple[ApiIndex, str]:
        """The endpoints, and a note if they are not those of today ("" if all is well). Raises ApiUnavailable."""
        address = self.base + OPENAPI_PATH
        async with self._lock:  # several calls at once read it once
            held = self._held if self._held is not None and self._held.address == address else None
            if held is not None and self._now() - held.read_at < FRESH_S:
                return held.index, ""
            try:
                index = await self._read(address, on_wait)
            except (WebError, ApiUnavailable) as error:
                if held is None:
                    raise ApiUnavailable(str(error)) from error
                return held.index, f"It could not be read anew, so this is from an earlier reading: {error}"
            self._held = _Held(self._now(), address, index)
            return index, ""

    async def _read(self, address: str, on_wait: OnWait | None) -> ApiIndex:
        request = WebRequest(address, HUB.reach(self._environ, "huggingface.co"), fresh_s=FRESH_S, limit_s=_LIMIT_S)
        answer = await self._web.ask(request, on_wait)
        if not answer.ok:
            raise ApiUnavailable(f"{address} answers with HTTP {answer.status}.")
        try:
            index: ApiIndex = await self.in_thread(lambda: ApiIndex(read_api(json.loads(answer.body))))
        except (ValueError, RecursionError) as error:
            raise ApiUnavailable(f"{address} is no OpenAPI document ({error}).") from error
        if not index.api.endpoints:
            raise ApiUnavailable(f"{address} names no endpoints.")
        return index
