"""Making something elsewhere so that nothing can run that is not known of: the lease comes first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from agent.core.work_entry import Entry
from agent.core.work_following import Follower
from agent.core.work_records import Records
from agent.core.work_side import Sleep
from agent.protocol.compute import ComputeError, FailureKind, Handle, Work

logger = logging.getLogger(__name__)

FIND_PAUSES_S: Final = (0.0, 2.0, 5.0)
"""When a place is asked, after a failure that leaves it open, whether it has made something after all."""


class Maker:
    """Makes what an entry stands for, and has it followed."""

    def __init__(self, records: Records, follower: Follower, follow: Callable[[Entry], None], sleep: Sleep) -> None:
        self._records = records
        self._follower = follower
        self._follow = follow
        self._sleep = sleep

    async def make(self, entry: Entry, work: Work) -> None:
        """Write the lease, make it, follow it. Raises ComputeError: with `nothing_started` the entry is done with,
        otherwise it is looked for, to be ended."""
        try:
            await self._records.begin(entry)
        except Exception as error:
            await self._follower.forget(entry)
            text = f"Nothing was started: the record that has to be written first cannot be ({error})."
            raise ComputeError(text, "unsupported", nothing_started=True) from error
        try:
            handle = await entry.backend.submit(work, entry.id)
        except ComputeError as error:
            if error.nothing_started:
                await self._follower.forget(entry)
                raise
            handle = await self._look(entry, error, str(error), error.kind)
        except Exception as error:
            logger.exception("%s failed to start %s", entry.lease.backend, entry.id)
            handle = await self._look(entry, error, f"Starting it has failed ({type(error).__name__}).", "server")
        await self._follower.made(entry, handle)
        self._follow(entry)

    async def _look(self, entry: Entry, cause: Exception, text: str, kind: FailureKind) -> Handle:
        """Look whether it was made after all; raises ComputeError if that cannot be found out by now."""
        for pause_s in FIND_PAUSES_S:
            await self._sleep(pause_s)
            try:
                if (handle := await entry.backend.find(entry.id, entry.lease.namespace)) is not None:
                    return handle
            except ComputeError as error:
                logger.info("looking for %s: %s", entry.id, error)
        await self._records.remember_unwanted(entry)
        await self._follower.announce(entry)
        self._follow(entry)
        raise ComputeError(
            f"{text} It is not certain that nothing was started: what is found of it in the next minutes is ended. "
            f"`ml-intern gc {entry.id}` does the same.",
            kind,
        ) from cause


def facts_of(work: Work) -> dict[str, str]:
    """What a lease keeps of the work, for the record of it. A command tells nothing of the script that is packed in
    it: whoever packed it knows."""
    return {**work.facts, "image": work.image}
