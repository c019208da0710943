"""Whatever happens, nothing runs that is not known of: a thousand random courses of events, with random faults."""

from __future__ import annotations

import pytest

from tests.durability.orphan_course import course

CHUNKS, SEQUENCES = 8, 125

pytestmark = pytest.mark.filterwarnings("ignore:coroutine 'connect_tcp:RuntimeWarning")
"""A program that is killed while it connects to a sandbox: the client forgets a coroutine."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
async def test_everything_that_runs_has_a_lease_whatever_happens(chunk: int) -> None:
    for number in range(SEQUENCES):
        seed = 1_000 * chunk + number
        async with course(seed) as acted:
            for _ in range(acted.rng.choice([3, 3, 3, 4, 4, 5, 6])):
                await acted.act()
            await acted.finish()
