"""What is made of the times of 300 requests."""

from __future__ import annotations

import json

import pytest

from tests.bench.model_server_process import Request
from tests.bench.turn_rows import body_of, encoding_s, turn_s, turn_without_encoding_s


def requests(gaps_s: list[float], body_bytes: int = 10_000) -> list[Request]:
    """Requests with these times between them."""
    times = [sum(gaps_s[:number]) for number in range(len(gaps_s) + 1)]
    return [Request("/x", at_s, body_bytes) for at_s in times]


def test_a_turn_is_the_median_of_the_gaps_of_its_part() -> None:
    assert turn_s(requests([9.0, 1.0, 2.0, 30.0, 9.0]), (1, 4)) == pytest.approx(2.0)


@pytest.mark.parametrize("turn", [0, 15, 290])
def test_the_body_that_is_encoded_has_the_size_of_the_request(turn: int) -> None:
    body = body_of(90_000, turn)
    assert len(json.dumps(body, separators=(",", ":"))) == 90_000
    assert len(body["messages"]) == 1 + 2 * turn


def test_encoding_is_taken_off_a_turn_and_only_once() -> None:
    assert 0 < encoding_s(90_000, 290) < 1.0
    came = requests([1.0] * 20, 90_000)
    assert 0.0 < turn_without_encoding_s(came, (5, 15)) < turn_s(came, (5, 15))
