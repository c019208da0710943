"""Work elsewhere and the session it belongs to: how the one sees the other, and what is done about it at the start."""

from __future__ import annotations

import logging

from agent.budget.ledger import Ledger
from agent.budget.thresholds import BudgetWarning
from agent.core.model_calls import report_spending
from agent.core.remote_work import RemoteWork
from agent.core.services import Services
from agent.core.session import Session
from agent.protocol.compute import ComputeError, Ending
from agent.protocol.events import Payload, ToolLog
from agent.protocol.messages import utc_now

logger = logging.getLogger(__name__)


class _Side:
    """`agent.core.work_side.SessionSide` of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def session_id(self) -> str:
        return self._session.session_id

    @property
    def ledger(self) -> Ledger:
        return self._session.ledger

    @property
    def cap_is_of_run(self) -> bool:
        return self._session.cap_is_of_run

    def scrub(self, text: str) -> str:
        return self._session.scrub(text)

    async def emit(self, payload: Payload) -> None:
        await self._session.send_event(payload)

    def note(self, text: str) -> None:
        self._session.inbox.note(text)

    async def report_spending(self, warning: BudgetWarning | None) -> None:
        await report_spending(self._session, warning)

    def charge_other(self, session_id: str, usd: float) -> None:
        self._session.charge_other(session_id, usd)


def work_of(session: Session, services: Services) -> RemoteWork:
    """The desk of `session`, for all of its run."""
    return RemoteWork(_Side(session), services.leases, services.backends, now=utc_now)


async def sweep_expired(session: Session, services: Services) -> None:
    """End what earlier runs have left behind and nobody looks after any more; say what was ended."""
    from agent.compute.sweep import sweep

    try:
        done = await sweep(
            services.leases,
            services.backends,
            now=utc_now(),
            keep_sessions={session.session_id},
            is_followed=lambda lease_id: _is_followed(session, lease_id),
        )
    except (OSError, ComputeError):
        logger.warning("what earlier runs left behind could not be looked at", exc_info=True)
        return
    for swept in done:
        logger.info("lease %s: %s: %s", swept.lease.id, swept.action, swept.text)
        if swept.action != "dropped":
            await session.send_event(ToolLog("system", f"Left by an earlier session: {session.scrub(swept.text)}"))


def _is_followed(session: Session, lease_id: str) -> bool:
    running = session.work.find(lease_id)
    return running is not None and not running.status.is_over


async def cancel_work(session: Session, wanted: str) -> Ending:
    """End what `wanted` names, for the person; the answer says whether that worked. At any time, also beside a turn."""
    running = session.work.find(wanted)
    if running is None:
        return Ending(worked=False, text=f"Nothing of this session is called {wanted}.")
    try:
        ending = await session.work.cancel(running.lease_id)
    except ComputeError as error:
        ending = Ending(worked=False, text=str(error))
    return Ending(ending.worked, session.scrub(ending.text))
