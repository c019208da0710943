"""How long a failed call is tried again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.llm.failures import FailureKind, LLMFailure
from agent.llm.retries import MAX_PAID_ATTEMPTS, Retries

DOWN = LLMFailure(FailureKind.TRANSIENT, "down")
SLOW = LLMFailure(FailureKind.RATE_LIMIT, "slow down")


class Clock:
    """Time passes only while we wait."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def waits(failure: LLMFailure, patience_s: float, *, was_paid: bool = False, jitter: float = 0.0) -> list[float]:
    clock = Clock()
    retries = Retries(patience_s, lambda: jitter, clock)
    found: list[float] = []
    while (delay_s := retries.delay_s(failure, was_paid=was_paid)) is not None:
        found.append(delay_s)
        clock.now_s += delay_s
    return found


def test_without_patience_three_attempts() -> None:
    assert waits(DOWN, 0) == [5, 15]
    assert waits(SLOW, 0) == [30, 60]


def test_with_patience_every_minute() -> None:
    assert waits(DOWN, 200) == [5, 15, 60, 60, 60]
    assert waits(SLOW, 200, jitter=1.0) == [37.5, 75.0, 75.0]


def test_what_the_server_asks_for_is_the_least() -> None:
    def asking(seconds: float) -> LLMFailure:
        return LLMFailure(FailureKind.RATE_LIMIT, "wait", retry_after_s=seconds)

    assert waits(asking(200), 900) == [200, 200, 200, 200]
    assert waits(asking(0), 130) == [0, 0, 60, 60]  # no hammering, whatever it says
    assert waits(asking(400), 0) == []
    assert waits(asking(400), 900) == [400, 400]
    assert waits(asking(1000), 900) == []


def test_what_costs_is_not_repeated_endlessly() -> None:
    assert len(waits(DOWN, 10_000, was_paid=True)) == MAX_PAID_ATTEMPTS - 1


@given(st.sampled_from([kind for kind in FailureKind if not LLMFailure(kind, "").retryable]), st.floats(0, 1e6))
def test_the_rest_is_not_tried_again(kind: FailureKind, patience_s: float) -> None:
    assert waits(LLMFailure(kind, "no"), patience_s) == []


@given(st.floats(0, 5_000), st.floats(0, 1_000), st.floats(0, 1), st.sampled_from([DOWN.kind, SLOW.kind]))
def test_patience_ends_in_time(patience_s: float, retry_after_s: float, jitter: float, kind: FailureKind) -> None:
    total_s = sum(waits(LLMFailure(kind, "x", retry_after_s), patience_s, jitter=jitter))
    assert total_s <= max(patience_s, 2 * 300)
