"""Figures of the benchmark: what is judged, and how the tables read."""

from __future__ import annotations

import json

import pytest

from tests.bench.figures import (
    DIFFERENCE,
    ITSELF,
    MEGABYTES,
    MILLISECONDS,
    RATIO,
    SECONDS,
    Failed,
    Kind,
    Row,
    as_data,
    cells,
    lines,
    markdown,
)


def row(
    floor: tuple[float, ...], ours: tuple[float, ...], kind: Kind = RATIO, at_most: float | None = 2.0, name: str = "a"
) -> Row:
    """A row in milliseconds."""
    return Row(name, f"what {name} is", floor, ours, MILLISECONDS, kind, at_most)


def test_ratios_are_taken_pair_by_pair_and_their_median_is_judged() -> None:
    # The second round was slow for both: the ratio of the medians would be the same, that of the worst would not.
    slow = row((0.1, 0.4, 0.1), (0.15, 0.6, 0.35))
    assert slow.judged == pytest.approx((1.5, 1.5, 3.5))
    assert slow.is_met is True
    assert row((0.1, 0.1, 0.1), (0.15, 0.25, 0.35)).is_met is False


@pytest.mark.parametrize(("ours", "is_met"), [(0.2, True), (0.2001, False)])
def test_a_promise_is_kept_up_to_its_limit(ours: float, is_met: bool) -> None:
    assert row((0.1,), (ours,)).is_met is is_met


def test_a_difference_leaves_start_up_aside() -> None:
    listed = row((0.2, 0.3), (0.4, 0.6), DIFFERENCE, 0.3)
    assert listed.judged == pytest.approx((0.2, 0.3))
    assert cells(listed)[3:] == ("250.0 ms (200.0–300.0)", "300.0 ms", "met")


def test_a_value_is_judged_by_itself_and_needs_no_floor() -> None:
    assert cells(row((), (0.06, 0.04, 0.08), ITSELF, 0.05)) == (
        "what a is",
        "–",
        "60.0 ms (40.0–80.0)",
        "–",
        "50.0 ms",
        "MISSED",
    )


def test_without_a_promise_there_is_no_verdict() -> None:
    unjudged = row((0.1,), (0.5,), at_most=None)
    assert unjudged.is_met is None
    assert cells(unjudged)[3:] == ("5.00×", "–", "")


def test_pairs_of_different_number_are_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        _ = row((0.1, 0.1), (0.1,)).judged


def test_units() -> None:
    memory = Row("m", "memory", (40e6,), (80.04e6,), MEGABYTES, RATIO, 2.25)
    assert cells(memory)[1:3] == ("40.0 MB", "80.0 MB")
    wall = Row("w", "wall", (1.2345,), (1234.5,), SECONDS, RATIO, None)
    assert cells(wall)[1:3] == ("1.23 s", "1,234.50 s")


def test_a_row_that_failed_says_why_in_its_line() -> None:
    table = lines([row((0.1,), (0.15,)), Failed("litellm", "exit code 1: no key")])
    assert len(table) == 3
    assert table[1].endswith("met")
    assert table[2].startswith("litellm ") and table[2].endswith("failed: exit code 1: no key")


def test_columns_stand_under_each_other() -> None:
    header, first, second = lines([row((0.1,), (0.15,)), row((12.0,), (99.0,), name="longer")])
    assert header.index("at most") + len("at most") == first.index("2.00×") + 5 == second.index("2.00×") + 5


def test_markdown_is_one_table() -> None:
    table = markdown([row((0.1,), (0.15,)), Failed("x", "a | b")])
    assert table[0] == "|  | floor | ours | ours to floor | at most |  |"
    assert {line.replace("\\|", "").count("|") for line in table} == {7}
    assert "a \\| b" in table[3]


def test_data_holds_every_value() -> None:
    data = json.loads(json.dumps(as_data(row((0.1, 0.2), (0.15, 0.3)))))
    assert data["floor"] == [0.1, 0.2] and data["ours"] == [0.15, 0.3] and data["is_met"] is True
    assert as_data(Failed("x", "why")) == {"name": "x", "failed": "why"}
