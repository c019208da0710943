"""The limit on time, on a clock of our own."""

import pytest

from agent.compute.durations import in_words
from agent.core.wall_clock import WallClock


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_it_warns_once_and_then_is_over() -> None:
    clock = Clock()
    wall = WallClock(1_000.0, clock)
    seen = []
    for clock.now_s in (100.0, 899.0, 900.0, 950.0, 1_100.0, 2_000.0):
        seen.append((wall.remaining_s, wall.warning_due(), wall.is_over))
    assert seen == [
        (1_000.0, False, False),
        (201.0, False, False),
        (200.0, True, False),
        (150.0, False, False),
        (0.0, False, True),
        (0.0, False, True),
    ]


def test_without_a_limit_it_never_is() -> None:
    wall = WallClock(None, Clock())
    assert (wall.remaining_s, wall.warning_due(), wall.is_over) == (None, False, False)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (45, "45 s"), (720, "12 min"), (3_600, "60 min"), (5_400, "1 h 30 min"), (28_800, "8 h")],
)
def test_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
