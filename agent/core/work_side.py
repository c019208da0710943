"""What the side of remote work sees of the session that it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Protocol, TypeVar

from agent.budget.ledger import Ledger
from agent.budget.thresholds import BudgetWarning
from agent.protocol.compute import ComputeError
from agent.protocol.events import Payload

T = TypeVar("T")
Sleep = Callable[[float], Coroutine[Any, Any, None]]
"""`await sleep(seconds)`."""
Now = Callable[[], datetime]
"""The time, aware, UTC."""


class SessionSide(Protocol):
    """The session, as far as remote work is concerned. All of it is about the conversation that is on right now."""

    @property
    def session_id(self) -> str:
        """Which conversation that is."""

    @property
    def ledger(self) -> Ledger:
        """Its ledger."""

    @property
    def cap_is_of_run(self) -> bool:
        """Whether its cap counts what the run spends in other conversations as well."""

    def scrub(self, text: str) -> str:
        """`text` without the secrets this program holds."""

    async def emit(self, payload: Payload) -> None:
        """Send an event."""

    def note(self, text: str) -> None:
        """Tell the model something before its next step."""

    async def report_spending(self, warning: BudgetWarning | None) -> None:
        """Tell what is spent now, and of a threshold that was passed."""

    def charge_other(self, session_id: str, usd: float) -> None:
        """Add to what this run has spent in another of its conversations."""


async def at_most(sleep: Sleep, limit_s: float | None, tasks: set[Any], *, all_of_them: bool = False) -> None:
    """Wait until one of `tasks`, or all of them, are done, or the time is up. Cancels nothing but its own timer."""
    if limit_s is None:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return
    timer = asyncio.ensure_future(sleep(limit_s))
    waiting = set(tasks)
    try:
        while waiting and not timer.done():
            done, _ = await asyncio.wait({timer, *waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting -= done
            if not all_of_them:
                return
    finally:
        timer.cancel()


async def in_time(sleep: Sleep, limit_s: float, work: Coroutine[Any, Any, T], doing: str) -> T:
    """`work`, which is stopped when it takes longer: then ComputeError, which says that `doing` found no answer."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever gave it up hears nothing of it
    try:
        await at_most(sleep, limit_s, {task})
        if not task.done():
            raise ComputeError(f"{doing[0].upper()}{doing[1:]} found no answer within {limit_s:.0f} s.", "network")
        return task.result()
    finally:
        task.cancel()
