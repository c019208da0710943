"""Why a limit ended a turn, in words: which limit, how much of it was used, and how to go on."""

from __future__ import annotations

from datetime import datetime

from agent.protocol.events import BudgetStatus, Event, NewComplete, Ready, ResumeComplete, StopReason
from agent.protocol.money import format_usd
from agent.ui.sanitize import clip
from agent.ui.tool_lines import duration_text

_SESSION_ID_COLUMNS = 80


class LimitNotes:
    """Remembers what the events say of money and time, for the day a limit is reached."""

    def __init__(self) -> None:
        self._began: datetime | None = None
        self._now: datetime | None = None
        self._budget: BudgetStatus | None = None
        self._session_id = ""

    def see(self, event: Event) -> None:
        """Take note of an event."""
        self._began = self._began or event.timestamp
        self._now = event.timestamp
        match event.payload:
            case BudgetStatus() as budget:
                self._budget = budget
            case Ready() | NewComplete() | ResumeComplete() as session:
                self._session_id = session.session_id or self._session_id

    def reached(self, reason: StopReason) -> str | None:
        """`the budget: $4.98 of $5.00 spent` and the like; None where no limit ended the turn."""
        match reason:
            case "budget":
                return f"the budget: {spent_text(self._budget)}" if self._budget else "the budget"
            case "time_limit":
                return f"the time limit, after {self._elapsed()}"
            case "iteration_limit":
                return "the iteration limit"
            case "done":
                return None

    def go_on_here(self, reason: StopReason) -> str:
        """What to do at the prompt."""
        if reason == "budget":
            return "Raise the cap with /budget USD (or /budget off), then say how to go on."
        return f"To go on: {self.go_on(reason)}" if reason == "time_limit" else "Say how to go on."

    def go_on(self, reason: StopReason) -> str:
        """The command line that goes on with the session."""
        flag = {"budget": " --max-cost-usd MORE", "time_limit": " --max-wall MORE"}.get(reason, "")
        which = f"--resume {clip(self._session_id, _SESSION_ID_COLUMNS)}" if self._session_id else "--continue"
        return f'ml-intern {which}{flag} "go on"'

    def _elapsed(self) -> str:
        assert self._began and self._now, "a turn ends after some event"
        return duration_text((self._now - self._began).total_seconds())


def spent_text(budget: BudgetStatus) -> str:
    """`$4.98 of $5.00 spent`, and how much of that is only a worst case."""
    cap = f" of {format_usd(budget.cap_usd)}" if budget.cap_usd is not None else ""
    unknown = f", up to {format_usd(budget.unknown_usd)} of it at unknown prices" if budget.unknown_usd else ""
    elsewhere = f", and {format_usd(budget.elsewhere_usd)} in other conversations" if budget.elsewhere_usd else ""
    return f"{format_usd(budget.spent_usd)}{cap} spent{elsewhere}{unknown}"
