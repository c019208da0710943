"""The HF router's catalog: which providers serve a model, with what window, at what price (spec llm.md §7).

    CatalogModel  ── providers ──>  CatalogProvider

Asked for at most every five minutes, kept on disk for a day (revalidated with its ETag), and never fatal: a router that
is away or answers rubbish leaves what was known before, else nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from agent.light_dataclass import dataclass
from agent.llm.params import is_loopback

logger = logging.getLogger(__name__)

TIMEOUT_S = 5.0
FRESH_S = 300.0
RETRY_S = 15.0
LONGEST_RETRY_S = 900.0
DISK_S = 24 * 3600.0
MAX_ANSWER_BYTES = 32 << 20
SIMILARITY = 0.4


@dataclass(frozen=True, slots=True)
class CatalogProvider:
    """A provider of a model. Prices are in USD per million tokens, as the router gives them; None is not known."""

    name: str
    is_live: bool
    context_tokens: int | None
    input_usd_per_million: float | None
    output_usd_per_million: float | None
    supports_tools: bool | None


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model of the router and who serves it."""

    id: str
    providers: tuple[CatalogProvider, ...]

    @property
    def live_providers(self) -> tuple[CatalogProvider, ...]:
        """Those that answer at the moment."""
        return tuple(provider for provider in self.providers if provider.is_live)

    def provider(self, name: str | None) -> CatalogProvider | None:
        """The provider called `name`, live or not."""
        return next((provider for provider in self.providers if provider.name == name), None)


@dataclass(frozen=True, slots=True)
class _Copy:
    """A catalog as it was fetched. `fetched_s` is wall-clock time: it must mean something to the next process."""

    models: Mapping[str, CatalogModel] = field(default_factory=dict)
    etag: str = ""
    fetched_s: float = 0.0
    url: str = ""


class RouterCatalog:
    """The models of the router at `base_url()`, a URL with `/v1`. `cache_dir` None keeps nothing on disk."""

    def __init__(
        self, base_url: Callable[[], str], cache_dir: Path | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._base_url = base_url
        self._path = cache_dir / "router_models.json" if cache_dir else None
        self._clock = clock
        self._copy = _Copy()
        self._next_try_s = 0.0
        self._failures = 0
        """In a row."""
        self._lock = asyncio.Lock()

    async def lookup(self, model_id: str) -> CatalogModel | None:
        """The entry of `org/model`, with or without a tag, whatever its case; None if there is none. Never raises."""
        return (await self.models()).get(model_id.partition(":")[0].lower())

    async def suggest(self, model_id: str, limit: int = 3) -> tuple[str, ...]:
        """The ids most like `model_id`, best first."""
        models = await self.models()
        wanted = model_id.partition(":")[0].lower()
        near = await asyncio.to_thread(difflib.get_close_matches, wanted, models, limit, SIMILARITY)
        return tuple(models[key].id for key in near)

    async def models(self) -> Mapping[str, CatalogModel]:
        """All entries by lower-case id, without tags; empty where the router has never answered. Never raises."""
        async with self._lock:
            url = f"{self._base_url()}/models"
            if self._copy.url != url:
                self._copy, self._next_try_s = await asyncio.to_thread(self._stored, url), 0.0
            now_s = self._clock()
            if now_s >= self._next_try_s and not 0 <= now_s - self._copy.fetched_s < FRESH_S:
                await self._refresh(url)
            return self._copy.models

    async def _refresh(self, url: str) -> None:
        """Ask the router; after a failure not again for a moment."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, etag, body = await _get(url, self._copy.etag)
            now_s = self._clock()
            if status == 304 and self._copy.etag:
                self._copy = _Copy(self._copy.models, self._copy.etag, now_s, url)
                await asyncio.to_thread(self._confirm)
                return
            if status != 200:
                raise ValueError(f"status {status}")
            models = await asyncio.to_thread(parse_catalog, body)
        except Exception:  # the door to the router: prices and windows are then what was known, or unknown
            logger.info("the router's catalog at %s cannot be had", url, exc_info=True)
            self._next_try_s = self._clock() + min(RETRY_S * 4**self._failures, LONGEST_RETRY_S)
            self._failures += 1
            return
        self._failures = 0
        self._copy = _Copy(models, etag, now_s, url)
        await asyncio.to_thread(self._store, body)

    # --- on disk ------------------------------------------------------------------------------------------------------

    def _stored(self, url: str) -> _Copy:
        """The copy on disk, if it is of `url` and not older than a day."""
        nothing = _Copy(url=url)
        try:
            if self._path is None or not self._path.is_file():
                return nothing
            fetched_s = self._path.stat().st_mtime
            head, _, body = self._path.read_bytes().partition(b"\n")
            about = json.loads(head)
            if about["url"] != url or not 0 <= self._clock() - fetched_s < DISK_S:
                return nothing
            return _Copy(parse_catalog(body), str(about["etag"]), fetched_s, url)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            logger.info("the stored catalog %s cannot be read", self._path, exc_info=True)
            return nothing

    def _store(self, body: bytes) -> None:
        """Keep the router's own words behind a line that says whose they are; the file's time is that of the answer."""
        if self._path is None:
            return
        about = json.dumps({"url": self._copy.url, "etag": self._copy.etag}).encode()
        draft = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(about + b"\n" + body)
            self._date(draft)
            draft.replace(self._path)
        except OSError:
            logger.info("the catalog cannot be stored at %s", self._path, exc_info=True)
            with contextlib.suppress(OSError):
                draft.unlink()

    def _confirm(self) -> None:
        """The router says that the stored copy is still right."""
        if self._path is not None:
            with contextlib.suppress(OSError):  # somebody has removed it
                self._date(self._path)

    def _date(self, path: Path) -> None:
        os.utime(path, (self._copy.fetched_s, self._copy.fetched_s))


async def _get(url: str, etag: str) -> tuple[int, str, bytes]:
    """Status, ETag and body of `GET url`; the body is empty unless the status is 200."""
    client = await asyncio.to_thread(_client, url)  # loading certificates takes a while
    async with client, client.stream("GET", url, headers={"If-None-Match": etag} if etag else {}) as response:
        body = bytearray()
        if response.status_code == 200:
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    raise ValueError(f"more than {MAX_ANSWER_BYTES} bytes")
        return response.status_code, response.headers.get("etag", ""), bytes(body)


def _client(url: str) -> Any:
    from agent.lean_httpx import httpx

    return httpx.AsyncClient(timeout=TIMEOUT_S, verify=url.startswith("https:"), trust_env=not is_loopback(url))


def parse_catalog(body: bytes) -> dict[str, CatalogModel]:
    """The models in the router's answer, by lower-case id. Odd entries are left out; ValueError if it is no catalog."""
    answer = json.loads(body)
    data = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(data, list):
        raise ValueError("no list of models")
    models: dict[str, CatalogModel] = {}
    for entry in data:
        if isinstance(entry, Mapping) and isinstance(entry.get("id"), str):
            providers = entry.get("providers")
            rows = providers if isinstance(providers, list) else []
            known = tuple(_provider(row) for row in rows if isinstance(row, Mapping) and row.get("provider"))
            models[entry["id"].lower()] = CatalogModel(entry["id"], known)
    return models


def _provider(row: Mapping[str, Any]) -> CatalogProvider:
    pricing = row.get("pricing")
    prices = pricing if isinstance(pricing, Mapping) else {}
    context, tools = _number(row.get("context_length")), row.get("supports_tools")
    return CatalogProvider(
        name=str(row["provider"]),
        is_live=row.get("status") == "live",
        context_tokens=int(context) if context else None,
        input_usd_per_million=_number(prices.get("input")),
        output_usd_per_million=_number(prices.get("output")),
        supports_tools=tools if isinstance(tools, bool) else None,
    )


def _number(value: Any) -> float | None:
    """A positive finite number; a price or a window of 0 is one that nobody filled in."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        return None
    return float(value)
