"""The person's limit on the time a run may take."""

from __future__ import annotations

import time
from collections.abc import Callable

WARN_AT = 0.8
"""Share of the time after which the model is told to bring its work home."""


class WallClock:
    """Counts from its making. Without a limit nothing ever happens."""

    def __init__(self, limit_s: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_s = limit_s
        self._clock = clock
        self._started = clock()
        self._warned = False

    @property
    def remaining_s(self) -> float | None:
        """Seconds left, at least 0; None without a limit."""
        return None if self.limit_s is None else max(0.0, self._started + self.limit_s - self._clock())

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return self.remaining_s == 0.0

    def warning_due(self) -> bool:
        """True once, when most of the time is gone."""
        remaining_s = self.remaining_s
        if remaining_s is None or self.limit_s is None or self._warned:
            return False
        self._warned = self.limit_s - remaining_s >= WARN_AT * self.limit_s
        return self._warned
