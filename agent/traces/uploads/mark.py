"""What puts a running session into the outbox."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from agent.traces.uploads.entries import Owner
from agent.traces.uploads.outbox import NOBODY, Outbox

logger = logging.getLogger(__name__)


class Mark:
    """Keeps the outbox in step with one session: call it in the thread that writes the session's journal, once there is
    something in that. Cheap, except when something has changed."""

    def __init__(
        self,
        outbox: Outbox,
        session_id: str,
        journal: Path,
        wanted: Callable[[], bool],
        earlier: str | None = None,
        owner: Owner = NOBODY,
    ) -> None:
        """`wanted` says whether the person shares what is said now, `owner` by which account. `earlier` is the session
        that this one goes on from (itself when it was resumed, else the one that it is a fork of): what was said there
        while nothing was shared, or somebody else shared it, is not published by going on with it."""
        self._outbox = outbox
        self._session_id, self._journal = session_id, journal
        self._wanted, self._earlier, self._owner = wanted, earlier, owner
        self._was: bool | None = None
        self._insists = False

    def insist(self) -> None:
        """The person wants this session to be shared, by the account of this run, whatever it goes on from."""
        self._was, self._insists = None, True

    def __call__(self) -> None:
        """Put the session in, or take it out when it goes on while nothing is shared. Blocks; never raises."""
        wanted = self._wanted()
        if wanted == self._was:
            return
        try:
            if not wanted:
                self._outbox.remove(self._session_id)
            elif self._insists or self._may_go_on():
                self._outbox.add(self._session_id, self._journal, self._owner, anew=self._insists)
        except (OSError, ValueError) as error:  # ValueError: a path that is no text
            logger.warning("%s cannot be put into the outbox: %s", self._session_id, ascii(error))
        else:
            self._was = wanted

    def close(self) -> None:
        """The session has ended: what was sent of it before was not the whole. Blocks; never raises."""
        self._was = None
        self()

    def _may_go_on(self) -> bool:
        if self._earlier is None or self._was:
            return True
        shared = self._outbox.find(self._earlier)
        if shared is None:
            return False
        is_fork = self._earlier != self._session_id
        return not is_fork or not shared.owner.is_known or shared.owner.is_same(self._owner) is True
