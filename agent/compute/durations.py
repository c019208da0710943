"""Lengths of time, as people and models write them."""

from __future__ import annotations

import math

from agent.config_keys import parse_duration_s

DEFAULT_TIMEOUT_S = 1800.0


def parse_timeout_s(value: object, default_s: float = DEFAULT_TIMEOUT_S) -> float | None:
    """Seconds in `value`: a number is seconds, a text `90`, `90s`, `45m`, `1.5h`, `1h30m` or `2d`.

    None or an empty text is the default. The result is None for what is no time limit: junk, infinity, zero or less.
    """
    if value is None or value == "":
        return default_s
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = parse_duration_s(value.lower()) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def in_words(seconds: float) -> str:
    """`45 s`, `12 min`, `1 h 30 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min".removesuffix(" 0 min")
