"""Collections of the fake Hub."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.fakes.http_base import Exchange
from tests.fakes.hub_part import Part, Refused, Route, object_of, send_json, stamp

if TYPE_CHECKING:
    from tests.fakes.hub import FakeHub

MAX_TITLE_CHARS = 59
MAX_NOTE_CHARS = 500
_REPO_TYPES = ("model", "dataset", "space")


@dataclass(slots=True)
class Collection:
    """A collection. `items` are as on the wire: `{_id, id, type, position, note?: {text}}`."""

    slug: str
    title: str
    owner: str
    private: bool
    updated: datetime
    description: str | None = None
    items: list[dict[str, Any]] = field(default_factory=list)


class Collections(Part):
    """Routes under `/api/collections`."""

    def __init__(self, hub: FakeHub) -> None:
        super().__init__(hub)
        self.by_slug: dict[str, Collection] = {}
        self._items = 0

    def create(self, title: str, owner: str | None = None, *, private: bool = True) -> Collection:
        """A collection, made by a test."""
        return self._add(title, owner or self.hub.user, private, None)

    def routes(self) -> Iterable[Route]:
        """All routes about collections."""
        one = r"/api/collections/(?P<slug>[^/]+/[^/]+)"
        yield Route("GET", "/api/collections", self._list)
        yield Route("POST", "/api/collections", self._create)
        yield Route("GET", one, self._get)
        yield Route("PATCH", one, self._change)
        yield Route("DELETE", one, self._delete)
        yield Route("POST", f"{one}/items", self._add_item)
        yield Route("PATCH", f"{one}/items/(?P<item>[^/]+)", self._change_item)
        yield Route("DELETE", f"{one}/items/(?P<item>[^/]+)", self._delete_item)

    async def _list(self, exchange: Exchange) -> None:
        owner = exchange.request.query.get("owner")
        found = [each for each in list(self.by_slug.values()) if owner in (None, each.owner)]
        answers = [self._facts(each) for each in found if self._seen(exchange, each)]
        for answer in answers:
            del answer["position"]  # the client counts it in lists
        await send_json(exchange, 200, answers)

    async def _create(self, exchange: Exchange) -> None:
        sent = object_of(exchange)
        title, owner = str(sent.get("title") or ""), str(sent.get("namespace") or self.hub.user)
        self.hub.repos.writable(exchange, owner, "create a collection")
        if not 0 < len(title) <= MAX_TITLE_CHARS:
            raise Refused(400, f'"title" length must be between 1 and {MAX_TITLE_CHARS} characters')
        for each in list(self.by_slug.values()):
            if (each.owner, each.title) == (owner, title):
                raise Refused(409, "This collection already exists", slug=each.slug)
        made = self._add(title, owner, sent.get("private") is True, sent.get("description"))
        await send_json(exchange, 200, self._facts(made))

    async def _get(self, exchange: Exchange, slug: str) -> None:
        await send_json(exchange, 200, self._facts(self._found(exchange, slug)))

    async def _change(self, exchange: Exchange, slug: str) -> None:
        found, sent = self._owned(exchange, slug), object_of(exchange)
        found.title = sent.get("title", found.title)
        found.private = sent.get("private", found.private)
        found.description = sent.get("description", found.description)
        await send_json(exchange, 200, {"success": True, "data": self._facts(found)})

    async def _delete(self, exchange: Exchange, slug: str) -> None:
        del self.by_slug[self._owned(exchange, slug).slug]
        await send_json(exchange, 200, {"success": True})

    async def _add_item(self, exchange: Exchange, slug: str) -> None:
        found, sent = self._owned(exchange, slug), object_of(exchange)
        wanted, note = sent.get("item") or {}, str(sent.get("note") or "")
        kind, item_id = str(wanted.get("type")), str(wanted.get("id"))
        if len(note) > MAX_NOTE_CHARS:
            raise Refused(400, f'"note" length must be at most {MAX_NOTE_CHARS} characters')
        if kind in _REPO_TYPES:
            self.hub.repos.visible(exchange, kind, item_id)
        if any((item["type"], item["id"]) == (kind, item_id) for item in found.items):
            raise Refused(409, "This item is already in the collection")
        self._items += 1
        item: dict[str, Any] = {"_id": f"{self._items:024x}", "id": item_id, "type": kind, "position": len(found.items)}
        found.items.append(item | ({"note": {"text": note, "html": note}} if note else {}))
        found.updated = self.hub.now()
        await send_json(exchange, 200, self._facts(found))

    async def _change_item(self, exchange: Exchange, slug: str, item: str) -> None:
        found, sent = self._owned(exchange, slug), object_of(exchange)
        changed = self._item(found, item)
        if "note" in sent:
            changed["note"] = {"text": sent["note"], "html": sent["note"]}
        if "position" in sent:
            found.items.remove(changed)
            found.items.insert(int(sent["position"]), changed)
            self._number(found)
        await send_json(exchange, 200, {"success": True})

    async def _delete_item(self, exchange: Exchange, slug: str, item: str) -> None:
        found = self._owned(exchange, slug)
        found.items.remove(self._item(found, item))
        self._number(found)
        await send_json(exchange, 200, {"success": True})

    def _add(self, title: str, owner: str, private: bool, description: str | None) -> Collection:
        words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        slug = f"{owner}/{words}-{len(self.by_slug) + 1:024x}"
        made = Collection(slug, title, owner, private, self.hub.now(), description)
        self.by_slug[slug] = made
        return made

    def _seen(self, exchange: Exchange, found: Collection) -> bool:
        mine = found.owner in (self.hub.user, *self.hub.orgs) and "authorization" in exchange.request.headers
        return mine or not found.private

    def _found(self, exchange: Exchange, slug: str) -> Collection:
        found = self.by_slug.get(slug)
        if found is None or not self._seen(exchange, found):
            raise Refused(404, "Collection not found")
        return found

    def _owned(self, exchange: Exchange, slug: str) -> Collection:
        found = self._found(exchange, slug)
        self.hub.repos.writable(exchange, found.owner, "change a collection")
        return found

    def _item(self, found: Collection, item: str) -> dict[str, Any]:
        for each in found.items:
            if each["_id"] == item:
                return each
        raise Refused(404, "Item not found")

    def _number(self, found: Collection) -> None:
        for position, item in enumerate(found.items):
            item["position"] = position

    def _facts(self, found: Collection) -> dict[str, Any]:
        return {
            "slug": found.slug,
            "title": found.title,
            "owner": {"name": found.owner, "type": "user" if found.owner == self.hub.user else "org"},
            "items": found.items,
            "lastUpdated": stamp(found.updated),
            "position": 0,
            "private": found.private,
            "theme": "green",
            "upvotes": 0,
            "description": found.description,
        }
