"""How a conversation comes to its end: the person leaves, a signal arrives, the terminal or the session has gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator
from functools import partial

from agent.cli.app import App
from agent.cli.exit_codes import ExitCode

logger = logging.getLogger(__name__)

PATIENCE_S = 3.0
"""How long what runs may take to end once the person insists on leaving."""
LOOK_S = 1.0


class Leaving:
    """The ways out of a conversation, also of one that is not open yet."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._keyboard = app.keyboard
        self.exit_code: int = ExitCode.OK

    async def until_left(self, work: asyncio.Task[None]) -> None:
        """Wait until `work` is done, or the person has left and it had its time to end. Raises what it raises."""
        left = asyncio.create_task(self._keyboard.left.wait())
        try:
            await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
            while not work.done() and not self._keyboard.insists:
                await asyncio.wait({work}, timeout=LOOK_S)
            if not work.done() and self._app.exchange.is_open:
                await asyncio.wait({work}, timeout=PATIENCE_S)
        finally:
            left.cancel()
            work.cancel()
            await asyncio.wait({work})
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error

    def session_ended(self, listening: asyncio.Task[None]) -> None:
        """To be called when nothing more can come from the session, unless we have ended it."""
        if listening.cancelled():
            return
        error = listening.exception()
        logger.error("the session ended by itself", exc_info=error)
        self._app.complain(f"The session has ended by itself: {error}. What was said is saved; the log has more.")
        self.exit_code = ExitCode.ERROR
        self._keyboard.leave(insists=True)

    def terminal_gone(self) -> None:
        """Nobody sees us any more: stop what runs here, and leave."""
        if self._app.exchange.is_open:
            self._app.exchange.connection.leave_running()
        self._keyboard.stop()
        self._keyboard.leave(insists=True)

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Inside the block SIGTERM, SIGHUP and SIGQUIT stop what runs, save and leave; also while the session opens."""
        loop = asyncio.get_running_loop()
        numbers = [s for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if (s := getattr(signal, name, None))]

        def terminated(number: int) -> None:
            self.exit_code = 128 + number
            self.terminal_gone()

        with contextlib.suppress(NotImplementedError):  # Windows has no such signals
            for number in numbers:
                loop.add_signal_handler(number, partial(terminated, number))
        try:
            yield
        finally:
            with contextlib.suppress(NotImplementedError):
                for number in numbers:
                    loop.remove_signal_handler(number)
