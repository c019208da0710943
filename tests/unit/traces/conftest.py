"""Fixtures of the tests about uploads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.hub import FakeHub
from tests.unit.traces.uploads.upload_runs import Person


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A running Hub; an exception inside it fails the test."""
    with FakeHub() as running:
        yield running
        running.check()


@pytest.fixture
def person(hub: FakeHub, env: dict[str, str]) -> Person:
    """Somebody who shares sessions there."""
    return Person.at(hub, env)
