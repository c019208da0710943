"""The fake Hub's people: who the token's owner is, and what people do together (discussions, collections, buckets)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tests.fakes.http_base import Exchange
from tests.fakes.hub_buckets import Buckets
from tests.fakes.hub_collections import Collections
from tests.fakes.hub_discussions import Discussions
from tests.fakes.hub_part import Part, Route, send_json

if TYPE_CHECKING:
    from tests.fakes.hub import FakeHub


class Social(Part):
    """Whoami, and the parts `discussions`, `collections` and `buckets`."""

    def __init__(self, hub: FakeHub) -> None:
        super().__init__(hub)
        self.role = "write"
        """What the token may do: `write`, or `read` (then everything that changes something answers 403)."""
        self.is_pro = False
        self.pays: dict[str, bool] = {}
        """`canPay` by name of the user or an organization; who is absent gets no such field."""
        self.whoami_extra: dict[str, Any] = {}
        self.discussions, self.collections, self.buckets = Discussions(hub), Collections(hub), Buckets(hub)

    def routes(self) -> Iterable[Route]:
        """All routes about people."""
        yield Route("GET", "/api/whoami-v2", self._whoami)
        for part in (self.discussions, self.collections, self.buckets):
            yield from part.routes()

    async def _whoami(self, exchange: Exchange) -> None:
        self.hub.repos.signed_in(exchange)
        user, orgs = self.hub.user, self.hub.orgs
        answer: dict[str, Any] = {
            "type": "user",
            "id": _identifier(user),
            "name": user,
            "fullname": user.title(),
            "email": f"{user}@example.com",
            "isPro": self.is_pro,
            **self._pays(user),
            "orgs": [
                {"type": "org", "id": _identifier(org), "name": org, "fullname": org.title(), **self._pays(org)}
                for org in orgs
            ],
            "auth": {"type": "access_token", "accessToken": {"displayName": "test", "role": self.role}},
            **self.whoami_extra,
        }
        await send_json(exchange, 200, answer)

    def _pays(self, name: str) -> dict[str, bool]:
        return {"canPay": self.pays[name]} if name in self.pays else {}


def _identifier(name: str) -> str:
    return name.encode().hex().ljust(24, "0")[:24]
