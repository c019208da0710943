"""Sums of money as whole micro-dollars; their text for people is in agent/protocol/money.py."""

from __future__ import annotations

import math
from decimal import Decimal

from agent.protocol.money import format_usd

MICRO_PER_USD = 1_000_000
_FLOAT_NOISE_MICRO = Decimal("1e-6")


def micro(usd: float) -> int:
    """Whole micro-dollars, rounded up; more than nothing never becomes 0.

    Goes by the decimal digits of the float, so that 0.00004 is exactly 40, and takes what lies below a millionth of a
    micro-dollar for float noise (0.1 + 0.2 is 300,000). ValueError for what is no sum: nan, infinite, negative, a bool.
    """
    if isinstance(usd, bool) or not 0 <= usd < math.inf:
        raise ValueError(f"{usd!r} is not a sum of money: a finite number of US dollars, 0 or more, is needed")
    exact = Decimal(str(usd)).scaleb(6)
    return max(math.ceil(exact - _FLOAT_NOISE_MICRO), int(usd > 0))


def in_usd(amount_micro: int) -> float:
    """US dollars, to be shown or sent; never to be added up."""
    return amount_micro / MICRO_PER_USD


def unknown_note(unknown_usd: float) -> str:
    """A sentence, with a space before it, about the part of a sum that is a worst case; empty if there is none."""
    return f" {format_usd(unknown_usd)} of what is spent is a worst case: the price is unknown." if unknown_usd else ""
