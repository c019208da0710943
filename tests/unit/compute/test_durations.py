"""Time limits as models write them."""

from __future__ import annotations

import math

import pytest

from agent.compute.durations import in_words, parse_timeout_s


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 1800.0),
        ("", 1800.0),
        (90, 90.0),
        (0.5, 0.5),
        ("90", 90.0),
        ("45s", 45.0),
        ("30m", 1800.0),
        ("1.5h", 5400.0),
        ("2D", 172_800.0),
        ("1h30m", 5400.0),
        (" 2h ", 7200.0),
        (True, None),
        (0, None),
        (-5, None),
        ("0h", None),
        ("-1h", None),
        ("soon", None),
        ("2 weeks", None),
        (math.inf, None),
        (math.nan, None),
        ("inf", None),
        ("9" * 400, None),
        (10**400, None),
        ([1], None),
    ],
)
def test_timeouts(value: object, seconds: float | None) -> None:
    assert parse_timeout_s(value) == seconds


def test_the_default_can_be_another_one() -> None:
    assert parse_timeout_s(None, 60.0) == 60.0


@pytest.mark.parametrize(
    ("seconds", "words"), [(45, "45 s"), (720, "12 min"), (5400, "1 h 30 min"), (7200, "2 h"), (36_000, "10 h")]
)
def test_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
