"""What the tests of jobs share: an account at the fake Hub, and pauses that take no time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from agent.hub.account import HubAccount
from tests.fakes.hub import FakeHub


class Pauses:
    """A `sleep` that returns at once and remembers what was asked of it."""

    def __init__(self) -> None:
        self.taken_s: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken_s.append(seconds)
        await asyncio.sleep(0)


def account_at(hub: FakeHub, token: str | None = None) -> HubAccount:
    """An account whose retries don't wait."""
    environ = {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url}
    return HubAccount(token or hub.token, environ, sleep=Pauses())


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A running Hub; an exception inside of it fails the test."""
    with FakeHub() as hub:
        yield hub
        hub.check()
