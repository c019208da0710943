"""Reading how long a service asks to be left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.pauses import LONGEST_PAUSE_S, pause_s

NOW_S = 1_800_000_000.0


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (200, {}, b"", None),
        (503, {"retry-after": "120"}, b"", 120),
        (429, {"retry-after": "9" * 30}, b"", LONGEST_PAUSE_S),
        (429, {"ratelimit": '"api";r=0;t=55'}, b"", 55),
        (200, {"ratelimit": '"api";r=0;t=55'}, b"", None),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000060"}, b"", 60),
        (429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1799999999"}, b"", 0),
        (403, {"x-ratelimit-remaining": "12", "x-ratelimit-reset": "1800000060"}, b"", None),
        (404, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000060"}, b"", None),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "99999999999999"}, b"", None),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, b"", None),
        (403, {}, b'{"message": "You have exceeded a secondary rate limit."}', 60),
        (403, {"retry-after": "7"}, b'{"message": "You have exceeded a secondary rate limit."}', 7),
        (403, {}, b'{"message": "Must have admin rights"}', None),
    ],
)
def test_what_services_send(status: int, headers: dict[str, str], body: bytes, expected: float | None) -> None:
    assert pause_s(status, headers, body, NOW_S) == expected


@given(st.sampled_from([200, 403, 429, 503]), st.text(), st.text(), st.binary())
def test_whatever_is_sent_gives_a_number_to_calculate_with(status: int, one: str, other: str, body: bytes) -> None:
    headers = {"retry-after": one, "x-ratelimit-remaining": "0", "x-ratelimit-reset": other, "ratelimit": one}
    found = pause_s(status, headers, body, NOW_S)
    assert found is None or 0 <= found <= LONGEST_PAUSE_S
