"""A site that does as it is told, a clock that runs when somebody sleeps, and clients that are closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from agent.web.client import WebClient
from tests.fakes.web_site import WebSite
from tests.unit.web.kit import FakeTime


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def site() -> Iterator[WebSite]:
    with WebSite() as server:
        yield server
        server.check()


NewClient = Callable[..., WebClient]


@pytest.fixture
async def new_client(time: FakeTime) -> AsyncIterator[NewClient]:
    """Makes clients with the fake time, or with what is given."""
    made: list[WebClient] = []

    def make(*args: Any, **named: Any) -> WebClient:
        made.append(WebClient(*args, **{"sleep": time.sleep, "clock": time, **named}))
        return made[-1]

    yield make
    for client in made:
        await client.close()


@pytest.fixture
def client(new_client: NewClient) -> WebClient:
    return new_client()
