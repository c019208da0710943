"""Lanes: how many at once, how far apart, and pauses that a host has asked for (defect 17)."""

from __future__ import annotations

import asyncio

import pytest

from agent.web.errors import WebError
from agent.web.pace import Lanes, Pace
from tests.unit.web.kit import FakeTime


async def starts(lanes: Lanes, time: FakeTime, hosts: list[str], pace: Pace) -> list[float]:
    """When each of these gets its turn, in seconds from now, in the order in which they ask."""
    begun, times = time(), [0.0] * len(hosts)

    async def one(index: int, host: str) -> None:
        async with lanes.turn(host, pace):
            times[index] = time() - begun

    for index, host in enumerate(hosts):
        await one(index, host)
    return times


async def test_requests_to_a_host_keep_their_distance(time: FakeTime) -> None:
    lanes = Lanes(time, time.sleep)
    assert await starts(lanes, time, ["arxiv"] * 4, Pace(1, 3.0)) == [0, 3, 6, 9]


async def test_hosts_do_not_wait_for_each_other(time: FakeTime) -> None:
    lanes = Lanes(time, time.sleep)
    assert await starts(lanes, time, ["a", "b", "c"], Pace(1, 3.0)) == [0, 0, 0]


async def test_time_that_has_passed_counts(time: FakeTime) -> None:
    lanes = Lanes(time, time.sleep)
    await starts(lanes, time, ["a"], Pace(1, 3.0))
    time.now_s += 2
    assert await starts(lanes, time, ["a"], Pace(1, 3.0)) == [1]


@pytest.mark.parametrize("parallel", [1, 2, 5])
async def test_no_more_than_so_many_at_once(time: FakeTime, parallel: int) -> None:
    lanes, inside, most = Lanes(time, time.sleep), 0, 0

    async def one() -> None:
        nonlocal inside, most
        async with lanes.turn("a", Pace(parallel)):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(one() for _ in range(20)))
    assert most == parallel


async def test_who_is_in_line_keeps_a_pause_that_is_asked_for_meanwhile(time: FakeTime) -> None:
    lanes, went = Lanes(time, time.sleep), []
    async with lanes.turn("a", Pace(2, 1.0)):
        pass

    async def one() -> None:
        async with lanes.turn("a", Pace(2, 1.0)):
            went.append(time())

    waiting = asyncio.create_task(one())
    await asyncio.sleep(0)  # it has counted its second of distance, and sleeps
    lanes.hold("a", 30)
    until = time() + 29
    await waiting
    assert went[0] >= until


async def test_a_pause_is_for_that_host_alone(time: FakeTime) -> None:
    lanes = Lanes(time, time.sleep)
    lanes.hold("a", 10)
    assert await starts(lanes, time, ["b", "a"], Pace()) == [0, 10]


async def test_a_pause_beyond_the_limit_is_an_error_at_once(time: FakeTime) -> None:
    """In words that are the same all through the pause (defect 20), and without a place in the line."""
    lanes = Lanes(time, time.sleep, lambda: 1_800_000_000.0 + time())
    lanes.hold("https://arxiv.org:443", 60)
    said = set()
    for _ in range(3):
        with pytest.raises(WebError) as caught:
            async with lanes.turn("https://arxiv.org:443", Pace(1, 3.0), time() + 30):
                pass
        time.now_s += 7
        said.add(str(caught.value))
        assert (caught.value.problem, caught.value.is_lasting, time.slept) == ("timeout", True, [])
    (text,) = said
    assert text.startswith("arxiv.org:443 is not to be asked before 2027-01-15 08:17:40 UTC")
    assert await starts(lanes, time, ["https://arxiv.org:443"], Pace(1, 3.0)) == [60 - 3 * 7]


async def test_who_gives_up_in_line_leaves_the_place_to_others(time: FakeTime) -> None:
    lanes, pace = Lanes(time, time.sleep), Pace(1)

    async def one() -> None:
        async with lanes.turn("a", pace):
            pass

    async with lanes.turn("a", pace):
        queue = [asyncio.create_task(one()) for _ in range(3)]
        await asyncio.sleep(0)
        queue[0].cancel()
    await asyncio.wait_for(asyncio.gather(*queue[1:]), 5)


async def test_each_pace_is_kept_whoever_came_first(time: FakeTime) -> None:
    """Reading pages of a host at leisure does not loosen the lane of its API."""
    lanes, strict, inside, most = Lanes(time, time.sleep), Pace(1), 0, 0
    async with lanes.turn("a", Pace(6)):
        pass

    async def one() -> None:
        nonlocal inside, most
        async with lanes.turn("a", strict):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(one() for _ in range(5)))
    assert most == 1
