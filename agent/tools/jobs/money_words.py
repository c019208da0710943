"""Prices and times of work in a few words."""

from __future__ import annotations

from agent.compute.durations import in_words
from agent.protocol.money import format_usd

RUNS_A_DAY = {
    "@hourly": 24.0,
    "@daily": 1.0,
    "@weekly": 1 / 7,
    "@monthly": 1 / 30,
    "@yearly": 1 / 365,
    "@annually": 1 / 365,
}


def per_hour(usd_per_hour: float | None) -> str:
    """`$1.50/h`, or that nobody knows."""
    if usd_per_hour is None:
        return "price unknown"
    return f"{format_usd(usd_per_hour)}/h" if usd_per_hour else "free"


def most_usd(usd_per_hour: float | None, timeout_s: float) -> float | None:
    """The most that work with this time limit can cost; None if the price is unknown."""
    return None if usd_per_hour is None else usd_per_hour * timeout_s / 3600


def at_most(usd: float | None, schedule: str | None) -> str:
    """`$3.00`, for a schedule with what that makes in a month where that can be told from the schedule's word."""
    if usd is None:
        return "not known: nobody says what this hardware costs"
    if schedule is None:
        return format_usd(usd)
    runs_a_day = RUNS_A_DAY.get(schedule)
    month = f", {format_usd(usd * runs_a_day * 30)} in 30 days" if runs_a_day else ""
    return f"{format_usd(usd)} for each run ({schedule}){month}"


def lasted(seconds: float | None) -> str:
    """` after 2 min`, or nothing if it is not known."""
    return "" if seconds is None else f" after {in_words(seconds)}"
