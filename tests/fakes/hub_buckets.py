"""Storage buckets of the fake Hub: that they exist and what is in them; uploads go by Xet, which is not faked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.fakes.http_base import Exchange
from tests.fakes.hub_part import Part, Refused, Route, object_of, send_json, stamp

if TYPE_CHECKING:
    from tests.fakes.hub import FakeHub


@dataclass(slots=True)
class Bucket:
    """A bucket; tests may put files into it."""

    bucket_id: str
    private: bool
    created: datetime
    files: dict[str, bytes] = field(default_factory=dict)


class Buckets(Part):
    """Routes under `/api/buckets`. The namespace `me` is the token's owner."""

    def __init__(self, hub: FakeHub) -> None:
        super().__init__(hub)
        self.by_id: dict[str, Bucket] = {}

    def create(self, bucket_id: str, private: bool = True, files: dict[str, bytes] | None = None) -> Bucket:
        """A bucket, made by a test."""
        return self.by_id.setdefault(bucket_id, Bucket(bucket_id, private, self.hub.now(), dict(files or {})))

    def routes(self) -> Iterable[Route]:
        """All routes about buckets."""
        one = r"/api/buckets/(?P<namespace>[^/]+)/(?P<name>[^/]+)"
        yield Route("GET", r"/api/buckets/(?P<namespace>[^/]+)", self._list)
        yield Route("POST", one, self._create)
        yield Route("GET", one, self._get)
        yield Route("DELETE", one, self._delete)
        yield Route("GET", rf"{one}/tree(?:/(?P<prefix>.+))?", self._tree)

    async def _list(self, exchange: Exchange, namespace: str) -> None:
        owner, query = self._owner(namespace), exchange.request.query
        found = [each for each in list(self.by_id.values()) if each.bucket_id.startswith(f"{owner}/")]
        found = [each for each in found if query.get("search", "") in each.bucket_id and self._seen(exchange, each)]
        await send_json(exchange, 200, [_facts(each) for each in found])

    async def _create(self, exchange: Exchange, namespace: str, name: str) -> None:
        owner, sent = self._owner(namespace), object_of(exchange)
        self.hub.repos.writable(exchange, owner, "create a bucket")
        bucket_id = f"{owner}/{name}"
        url = f"{self.hub.url}/buckets/{bucket_id}"
        if bucket_id in self.by_id:
            raise Refused(409, "This bucket already exists", url=url)
        self.create(bucket_id, sent.get("private") is True or sent.get("visibility") == "private")
        await send_json(exchange, 201, {"url": url})

    async def _get(self, exchange: Exchange, namespace: str, name: str) -> None:
        await send_json(exchange, 200, _facts(self._found(exchange, namespace, name)))

    async def _delete(self, exchange: Exchange, namespace: str, name: str) -> None:
        found = self._found(exchange, namespace, name)
        self.hub.repos.writable(exchange, self._owner(namespace), "delete a bucket")
        del self.by_id[found.bucket_id]
        await send_json(exchange, 200, {})

    async def _tree(self, exchange: Exchange, namespace: str, name: str, prefix: str = "") -> None:
        """Files only, as in a recursive listing."""
        found = self._found(exchange, namespace, name)
        answer = [
            {
                "type": "file",
                "path": path,
                "size": len(content),
                "xetHash": hashlib.sha256(content).hexdigest(),
                "mtime": stamp(found.created),
                "uploadedAt": stamp(found.created),
            }
            for path, content in sorted(found.files.items())
            if path.startswith(prefix)
        ]
        await send_json(exchange, 200, answer)

    def _owner(self, namespace: str) -> str:
        return self.hub.user if namespace == "me" else namespace

    def _seen(self, exchange: Exchange, found: Bucket) -> bool:
        mine = found.bucket_id.partition("/")[0] in (self.hub.user, *self.hub.orgs)
        return not found.private or (mine and "authorization" in exchange.request.headers)

    def _found(self, exchange: Exchange, namespace: str, name: str) -> Bucket:
        found = self.by_id.get(f"{self._owner(namespace)}/{name}")
        if found is None or not self._seen(exchange, found):
            raise Refused(404, "Bucket not found", "RepoNotFound")
        return found


def _facts(found: Bucket) -> dict[str, Any]:
    return {
        "id": found.bucket_id,
        "private": found.private,
        "createdAt": stamp(found.created),
        "size": sum(map(len, found.files.values())),
        "totalFiles": len(found.files),
    }
