"""A loopback Hugging Face Hub: state behind the routes that the unmodified huggingface_hub client uses.

    with FakeHub() as hub:
        account = HubAccount(hub.token, {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url})

It is a fake of the service, written from its wire facts; it imports nothing from `agent`. Parts: see `hub_*.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote

from tests.fakes.http_base import Exchange, HttpFake
from tests.fakes.hub_part import Part, Refused, Route, error, send_json

TOKEN = "hf_test_token_value"


@dataclass(slots=True)
class Fault:
    """What happens to requests instead of their answer: `status` with `body`, a cut, or a stall.

    `kind`: "answer" sends `status`/`body`/`headers`; "cut" closes without an answer; "after" lets the request take its
    effect and then closes without an answer; "stall" never answers; "late" lets it take its effect and never answers;
    "hold" waits for `resume()`, then answers as if nothing were.
    """

    method: str
    pattern: re.Pattern[str]
    kind: str = "answer"
    status: int = 500
    body: bytes | Mapping[str, object] = field(default_factory=lambda: {"error": "a scripted fault"})
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    skip: int = 0


class FakeHub(HttpFake):
    """The Hub. `user` owns the token; `orgs` are theirs too."""

    def __init__(self, user: str = "tester", orgs: tuple[str, ...] = ("acme",), token: str = TOKEN) -> None:
        from tests.fakes.hub_jobs import Jobs
        from tests.fakes.hub_repos import Repos
        from tests.fakes.hub_social import Social
        from tests.fakes.hub_spaces import Spaces

        super().__init__()
        self.user, self.orgs, self.token = user, orgs, token
        self.faults: list[Fault] = []
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        """The Hub's clock; tests may replace it."""
        self.repos = Repos(self)  # first: the others listen to what happens to repositories
        self.social, self.jobs, self.spaces = Social(self), Jobs(self), Spaces(self)
        parts: tuple[Part, ...] = (self.jobs, self.spaces, self.social, self.repos)
        self._table: list[Route] = [route for part in parts for route in part.routes()]

    def fail(self, method: str, pattern: str, **fault: object) -> Fault:
        """Let the next requests that match (`pattern` is searched in the raw path) fail; see `Fault`."""
        added = Fault(method, re.compile(pattern), **fault)  # type: ignore[arg-type]
        with self._changed:
            self.faults.append(added)
        return added

    async def respond(self, exchange: Exchange) -> None:
        """Faults first, then the token, then the route."""
        request = exchange.request
        fault = self._due(request.method, request.path)
        if fault is not None and fault.kind == "hold":
            await exchange.stall()
            fault = None
        if fault is not None and fault.kind not in ("after", "late"):
            await self._apply(fault, exchange)
            return
        if request.headers.get("authorization", "") not in ("", f"Bearer {self.token}"):
            text = "Invalid credentials in Authorization header"
            await send_json(exchange, 401, {"error": text}, {"X-Error-Message": text})
            return
        if fault is not None:
            await self._routed(_Unheard(exchange))
            await (exchange.cut() if fault.kind == "after" else exchange.stall())
        elif not await self._routed(exchange):
            await super().respond(exchange)

    async def _routed(self, exchange: Exchange) -> bool:
        """Answer by the first route that matches; whether there was one."""
        request = exchange.request
        for route in self._table:
            if route.method == request.method and (match := re.fullmatch(route.pattern, request.path)):
                named = {name: unquote(value) for name, value in match.groupdict().items() if value is not None}
                try:
                    await route.handler(exchange, **named)
                except Refused as refused:
                    await error(exchange, refused.status, refused.text, refused.code, **refused.extra)
                return True
        return False

    def _due(self, method: str, path: str) -> Fault | None:
        with self._changed:
            for fault in self.faults:
                if fault.method in (method, "*") and fault.pattern.search(path) and fault.times > 0:
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    async def _apply(self, fault: Fault, exchange: Exchange) -> None:
        if fault.kind == "cut":
            await exchange.cut()
        elif fault.kind == "stall":
            await exchange.stall()
        else:
            await send_json(exchange, fault.status, fault.body, fault.headers)


class _Unheard(Exchange):
    """An exchange whose answer nobody gets: the request takes effect, and the connection is gone."""

    def __init__(self, exchange: Exchange) -> None:
        self.request = exchange.request
        self.ended = False

    async def head(self, status: int, headers: object = (), *, length_bytes: int | None = None) -> None:
        """Nothing is sent."""

    async def body(self, data: bytes, *, last: bool = False) -> None:
        """Nothing is sent."""

    async def raw(self, data: bytes) -> None:
        """Nothing is sent."""

    async def cut(self) -> None:
        """The caller cuts the connection."""

    async def stall(self) -> None:
        """Nobody waits for the rest."""
