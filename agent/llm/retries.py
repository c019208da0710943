"""When to try a failed call again: two quick tries for everybody, and a long breath for runs that nobody watches."""

from __future__ import annotations

from collections.abc import Callable

from agent.light_dataclass import dataclass
from agent.llm.failures import _MAX_LLM_RETRIES, JITTER, LLMFailure, retry_delay_s

PATIENT_DELAY_S = 60.0
MAX_PAID_ATTEMPTS = 3
"""How often an attempt may fail after the provider has begun to work, and to bill, for it."""


@dataclass(slots=True)
class Retries:
    """The failed attempts of one call.

    `patience_s`: how long after the first failure tries go on once the listed delays are used up; 0 is not at all.
    `jitter` gives a number from 0 to 1, `clock` seconds.
    """

    patience_s: float
    jitter: Callable[[], float]
    clock: Callable[[], float]
    failed: int = 0
    _paid: int = 0
    _first_failure_s: float | None = None

    def delay_s(self, failure: LLMFailure, *, was_paid: bool) -> float | None:
        """Count a failed attempt. Returns the seconds to wait before the next one, None when there is no other."""
        if self._first_failure_s is None:
            self._first_failure_s = self.clock()
        self._paid += was_paid
        delay_s = retry_delay_s(failure, self.failed, self.jitter)
        self.failed += 1
        if not failure.retryable or self._paid >= MAX_PAID_ATTEMPTS:
            return None
        return self._patient_delay_s(failure) if delay_s is None else delay_s

    def _patient_delay_s(self, failure: LLMFailure) -> float | None:
        delay_s = max(PATIENT_DELAY_S * (1 + JITTER * self.jitter()), failure.retry_after_s or 0.0)
        elapsed_s = self.clock() - (self._first_failure_s or 0.0)
        return delay_s if elapsed_s + delay_s <= self.patience_s else None

    @property
    def progress(self) -> str:
        """Which attempt comes next, and when they end: `attempt 2 of 3`."""
        following = self.failed + 1
        if self.patience_s <= 0:
            return f"attempt {following} of {_MAX_LLM_RETRIES}"
        return f"attempt {following}, giving up {self.patience_s / 60:.0f} min after the first"
