"""Looking at work elsewhere: how it stands, and how much of an answer is to be believed.

A place that says it knows nothing of a thing may be wrong for a moment, and is for ever where it is asked with another
account's token: nothing is over because it was not found once.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from agent.core.work_entry import Entry
from agent.core.work_news import News
from agent.core.work_side import Now, Sleep, in_time
from agent.protocol.compute import ComputeError, Kind, Status

logger = logging.getLogger(__name__)

LOOK_S: Final[dict[Kind, float]] = {"job": 15.0, "sandbox": 60.0, "process": 60.0}
"""So long the answer to a look may take. That of a sandbox may need a connection first."""
SILENT_AFTER: Final = timedelta(seconds=15)
"""A place that gives no answer for so long is said to be out of reach."""
GONE_AFTER: Final = timedelta(minutes=1)
"""What its place has not known for so long is believed to be gone."""
_SILENCE: Final = ("network", "server", "rate_limited")


class Looker:
    """Asks places how things stand."""

    def __init__(self, news: News, sleep: Sleep, now: Now) -> None:
        self._news = news
        self._sleep = sleep
        self._now = now

    async def recognise(self, entry: Entry) -> None:
        """Make sure that the account that is signed in is the one that made it: another one's token does not see it.

        Raises ComputeError: `forbidden` where it is another one, and what asking for it raises.
        """
        if entry.is_recognised or not entry.lease.account:
            return
        account = await in_time(self._sleep, LOOK_S["job"], entry.backend.account(), "asking whose token this is")
        if account != entry.lease.account:
            raise ComputeError(
                f"It was made by the account {entry.lease.account}, and {account or 'nobody'} is signed in now: it is "
                f"left as it is. Sign in as {entry.lease.account} (`hf auth login`, or HF_TOKEN) to look after it.",
                "forbidden",
            )
        entry.is_recognised = True

    async def status(self, entry: Entry) -> Status | None:
        """How it stands; None where that is not known for now."""
        assert entry.handle is not None
        began = self._now()
        try:
            answer = entry.backend.status(entry.handle)
            status = await in_time(self._sleep, LOOK_S[entry.lease.kind], answer, "asking how it stands")
        except ComputeError as error:
            logger.info("the status of %s is not to be had: %s", entry.id, error)
            if error.kind in _SILENCE:
                entry.silent_since = entry.silent_since or began
                if entry.waiters and self._now() - entry.silent_since >= SILENT_AFTER:
                    await self._news.silent(entry, entry.silent_since)
            return None
        entry.silent_since = None
        await self._news.heard_again(entry)
        if status.stage == "gone" and not status.word:  # with a word of its own the place knows what became of it
            return status if await self._is_gone(entry) else None
        entry.gone_since = None
        return status

    async def _is_gone(self, entry: Entry) -> bool:
        if entry.lease.kind == "process":
            return True
        entry.gone_since = entry.gone_since or self._now()
        if self._now() - entry.gone_since < GONE_AFTER:
            return False
        try:
            await self.recognise(entry)
        except ComputeError as error:
            await self._news.trouble(entry, str(error))
            return False
        return True
