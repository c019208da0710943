"""How long a model is waited for. It stands apart as whoever starts a session names it, and need not load the calls."""

from __future__ import annotations

from agent.light_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a model may be silent: before its first word, between words, and for an answer in one piece."""

    first_delta_s: float = 300.0
    idle_s: float = 180.0
    whole_s: float = 600.0
