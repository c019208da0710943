"""When a person is told what has been spent: at shares of the cap or, without one, at doubling sums.

Nothing is remembered of what was told. Spending only grows, so a threshold is crossed by exactly one charge; and a new
cap, or a resumed session, counts all that lies behind it as told.
"""

from __future__ import annotations

from agent.budget.money import MICRO_PER_USD, in_usd, unknown_note
from agent.light_dataclass import dataclass
from agent.protocol.money import format_usd

CAP_SHARES = (50, 80, 95)
"""Percent of the cap."""
FIRST_THRESHOLD_USD = 5
"""Without a cap: 5, 10, 20, 40 … US dollars (spec core.md §7)."""


@dataclass(frozen=True, slots=True)
class BudgetWarning:
    """A threshold was crossed. `share` is the one of `CAP_SHARES`, 0 without a cap; `text` is for the person."""

    text: str
    share: int


def crossed(before_micro: int, after_micro: int, cap_micro: int | None, unknown_micro: int) -> BudgetWarning | None:
    """The highest threshold that spending has reached on its way from one sum to the other, None if there is none.

    `unknown_micro` of the second sum are worst cases, which the text owns up to.
    """
    spent, note = format_usd(in_usd(after_micro)), unknown_note(in_usd(unknown_micro))
    if cap_micro is None:
        threshold_usd = _threshold_usd(after_micro)
        if threshold_usd == _threshold_usd(before_micro):
            return None
        return BudgetWarning(f"This session has cost {spent} so far, past ${threshold_usd:,}; no cap is set.{note}", 0)
    share = _share(after_micro, cap_micro)
    if share == _share(before_micro, cap_micro):
        return None
    state = "The budget is used up" if after_micro >= cap_micro else f"{share} % of the budget is used"
    return BudgetWarning(f"{state}: {spent} of {format_usd(in_usd(cap_micro))} spent.{note}", share)


def _share(spent_micro: int, cap_micro: int) -> int:
    """The highest share reached, 0 for none. Of a cap of 0 all is reached from the start."""
    return max((share for share in CAP_SHARES if 100 * spent_micro >= share * cap_micro), default=0)


def _threshold_usd(spent_micro: int) -> int:
    """The highest of the doubling sums reached, 0 for none."""
    firsts = spent_micro // (FIRST_THRESHOLD_USD * MICRO_PER_USD)
    return FIRST_THRESHOLD_USD << (firsts.bit_length() - 1) if firsts else 0
