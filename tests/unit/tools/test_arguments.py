"""Tool arguments: spelling is forgiven, meaning is not guessed."""

from __future__ import annotations

import pytest

from agent.tools.arguments import ArgumentError, bool_argument, int_argument, text_argument, utf8_argument


@pytest.mark.parametrize(("raw", "value"), [(5, 5), ("5", 5), (" 5 ", 5), (5.0, 5), (None, 7)])
def test_numbers(raw: object, value: int) -> None:
    assert int_argument({"n": raw}, "n", 7, minimum=1) == value


@pytest.mark.parametrize("raw", ["", "five", 5.5, float("nan"), float("inf"), True, [], {}, 0, -1, "-1", "9" * 5000])
def test_bad_numbers(raw: object) -> None:
    with pytest.raises(ArgumentError, match="`n`"):
        int_argument({"n": raw}, "n", 7, minimum=1)


def test_text() -> None:
    assert text_argument({"t": ""}, "t") == ""
    assert utf8_argument({"t": "é\x00"}, "t") == "é\x00"
    for bad in (None, 5, ["x"]):
        with pytest.raises(ArgumentError, match="`t`"):
            text_argument({"t": bad}, "t")
    with pytest.raises(ArgumentError, match="character 1"):
        utf8_argument({"t": "a\udc80"}, "t")


@pytest.mark.parametrize(
    ("raw", "value"), [(True, True), (False, False), ("true", True), ("False", False), (None, False)]
)
def test_booleans(raw: object, value: bool) -> None:
    assert bool_argument({"b": raw}, "b") is value


@pytest.mark.parametrize("raw", ["yes", 1, 0, []])
def test_bad_booleans(raw: object) -> None:
    with pytest.raises(ArgumentError, match="`b`"):
        bool_argument({"b": raw}, "b")
