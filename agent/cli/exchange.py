"""Between the terminal and the session: one operation at a time, and every event to whoever shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from agent.protocol.events import OPERATION_ENDS, TURN_ENDS, ApprovalRequired, Event, Payload
from agent.protocol.operations import OpType

if TYPE_CHECKING:
    from agent.cli.connection import Connection

TURN_PAUSES = (ApprovalRequired, *TURN_ENDS)
"""A turn runs until one of these."""


class Exchange:
    """Carries out operations over a connection; `see` is to be its listener. `show` is called with every event."""

    def __init__(self, show: Callable[[Event], None]) -> None:
        self._show = show
        self._connection: Connection | None = None
        self._one_at_a_time = asyncio.Lock()
        self._awaited: tuple[tuple[type[Payload], ...], asyncio.Future[Payload]] | None = None
        self._failure: Exception | None = None

    @property
    def connection(self) -> Connection:
        """The way to the session."""
        assert self._connection is not None
        return self._connection

    @property
    def is_open(self) -> bool:
        """Whether the session is there."""
        return self._connection is not None

    def see(self, event: Event) -> None:
        """Take an event of the session."""
        self._show(event)
        if self._awaited is not None and isinstance(event.payload, self._awaited[0]) and not self._awaited[1].done():
            self._awaited[1].set_result(event.payload)

    def listen(self, connection: Connection) -> Coroutine[Any, Any, None]:
        """Use `connection` from now on. What is returned takes all events as they come, until cancelled, and raises
        what ends the session: then nothing more can come."""
        self._connection = connection
        return self._listen(connection)

    async def _listen(self, connection: Connection) -> None:
        try:
            while True:
                await connection.next_event()
                await asyncio.sleep(0)  # many may wait, and keys are to be seen in between
        except Exception as error:
            self._failure = error
            if self._awaited is not None and not self._awaited[1].done():
                self._awaited[1].set_exception(error)
            raise

    async def carry_out(
        self, op_type: OpType, data: dict[str, Any] | None = None, ends: tuple[type[Payload], ...] = OPERATION_ENDS
    ) -> Payload:
        """Submit an operation, once no other is under way, and wait for one of its `ends`.

        Raises what ended the session (see `listen`).
        """
        async with self._one_at_a_time:
            if self._failure is not None:
                raise self._failure
            end: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()
            self._awaited = ends, end
            try:
                await self.connection.submit(op_type, data)
                return await end
            finally:
                self._awaited = None
