"""Between a user interface and the submission loop: submit, listen, stop. Both interfaces stand on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from agent.config import Config
from agent.core.agent_loop import Resumption, submission_loop
from agent.core.session import Session
from agent.core.session_work import cancel_work
from agent.core.surroundings import Surroundings
from agent.llm.backends import BackendName, backend_name
from agent.llm.params import resolve_route
from agent.protocol.compute import Ending
from agent.protocol.events import Event, Processing, Ready, Shutdown
from agent.protocol.operations import Operation, OpType, Submission
from agent.tools.mcp.servers import McpServers

logger = logging.getLogger(__name__)

SHUTDOWN_PATIENCE_S = 10.0


class LoopEndedError(Exception):
    """The submission loop ended although it should be serving."""


class Connection:
    """A running submission loop with its two queues. Use as an async context manager."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        *,
        stream: bool,
        on_event: Callable[[Event], None],
        resumption: Resumption | None = None,
    ):
        """`on_event` sees every event as soon as it is taken from the queue."""
        self._submissions: asyncio.Queue[Submission] = asyncio.Queue()
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        """Events, and None behind the last of them."""
        self._holder: list[Session | None] = [None]
        self._on_event = on_event
        self._arguments = (config, surroundings, stream, resumption)
        self._stop_requested = False

    async def __aenter__(self) -> Connection:
        """Start the loop and wait until it is ready. Raises what the loop raised if it does not get there."""
        config, surroundings, stream, resumption = self._arguments
        _warm(config, surroundings)
        self._task = asyncio.create_task(
            submission_loop(
                self._submissions,
                self._events,
                config,
                surroundings,
                session_holder=self._holder,
                stream=stream,
                resumption=resumption,
            )
        )
        self._task.add_done_callback(lambda _: self._events.put_nowait(None))
        try:
            await self.wait_for(lambda event: isinstance(event.payload, Ready))
        except BaseException:  # also a cancel: nobody else will end the loop
            self._task.cancel()
            await asyncio.wait({self._task})
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Shut the loop down, rendering what it still has to say; insist after a while, or when leaving on an error."""
        try:
            if kind is not None:
                self._cancel_session()
            if not self._task.done():
                await self.submit(OpType.SHUTDOWN)
                async with asyncio.timeout(SHUTDOWN_PATIENCE_S):
                    await self.wait_for(lambda event: isinstance(event.payload, Shutdown))
                    await self._task
        except (TimeoutError, LoopEndedError):
            logger.warning("the session did not shut down by itself")
        finally:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def submit(self, op_type: OpType, data: dict[str, Any] | None = None) -> None:
        """Put an operation on the submission queue. Forgets an earlier `cancel`."""
        self._stop_requested = False
        await self._submissions.put(Submission(Operation(op_type, data)))

    def cancel(self) -> None:
        """Stop the running turn, also one that was submitted but has not begun yet."""
        self._stop_requested = True
        self._cancel_session()

    def steer(self, text: str) -> None:
        """Add something to the running turn: the model sees it before its next step (`steered` tells when).

        What a turn ends without having seen is not kept: it has not been answered, and is the caller's again.
        """
        if session := self._holder[0]:
            session.steer(text)

    @property
    def mcp_servers(self) -> McpServers | None:
        """The MCP servers of the session, None if none are configured."""
        session = self._holder[0]
        return session.router.servers if session is not None else None

    def leave_running(self) -> None:
        """The program is ended from outside (a closed terminal): what runs elsewhere is not stopped with the turn."""
        if session := self._holder[0]:
            session.work.leave_running()

    async def cancel_work(self, lease_id: str) -> Ending:
        """End what runs elsewhere for this session, also while a turn goes on."""
        session = self._holder[0]
        if session is None:
            return Ending(worked=False, text="The session is not open.")
        return await cancel_work(session, lease_id)

    def _cancel_session(self) -> None:
        if session := self._holder[0]:
            session.cancel()

    async def next_event(self) -> Event:
        """The next event. Raises `LoopEndedError`, or the loop's own exception, when there can be no more."""
        event: Event | None = await self._events.get()
        if event is None:
            self._events.put_nowait(None)  # for whoever asks again
            self._task.result()
            raise LoopEndedError("the session has ended")
        if self._stop_requested and isinstance(event.payload, Processing):
            self._cancel_session()
        self._on_event(event)
        return event

    async def wait_for(self, is_it: Callable[[Event], bool]) -> Event:
        """The first coming event that `is_it` accepts."""
        while not is_it(event := await self.next_event()):
            pass
        return event


def _warm(config: Config, surroundings: Surroundings) -> None:
    """Begin to load litellm, which takes seconds, if the model's calls go through it. Raises `UnknownModelError`."""
    route = resolve_route(config.model_name)
    if backend_name(route, surroundings.environ, config.llm_backend) is BackendName.LITELLM:
        from agent.llm.litellm_backend import warm_in_background

        warm_in_background()
