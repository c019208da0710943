"""The loop of interactive mode: read a line, find out what it is, carry it out.

What is typed while a turn runs is passed on to it. Nothing typed is lost: what the turn did not take in stands in the
composer again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from agent.cli import commands
from agent.cli.app import App
from agent.cli.approvals import ask_approvals
from agent.cli.commands.project import remember
from agent.cli.connection import Connection
from agent.cli.exchange import TURN_PAUSES
from agent.cli.leaving import Leaving
from agent.protocol.events import ApprovalRequired, Payload, TurnComplete
from agent.protocol.operations import OpType

LEAVE_WORDS = frozenset({"exit", "quit", "/exit", "/quit"})
TICK_S = 1.0


class Dialogue:
    """Reads and works off what the person types, until they leave."""

    def __init__(self, app: App, leaving: Leaving) -> None:
        self._app = app
        self._leaving = leaving
        self._keyboard = app.keyboard
        self._asides: list[str] = []
        """What the model is to hear with the person's next request."""

    @contextlib.asynccontextmanager
    async def beside(self, connection: Connection) -> AsyncIterator[None]:
        """Inside the block the session is listened to, and what changes with time is kept up to date."""
        listening = asyncio.create_task(self._app.exchange.listen(connection), name="events")
        listening.add_done_callback(self._leaving.session_ended)
        background = [listening, asyncio.create_task(self._tick())]
        background.append(asyncio.create_task(self._app.footer.follow(lambda: self._keyboard.is_busy)))
        try:
            yield
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    async def work(self) -> None:
        """Work off line by line, until the person leaves."""
        self._app.screen.prompt()
        while (text := await self._keyboard.next_line()) is not None:
            await self._take(self._without_draft(text).strip())
            self._app.screen.refresh()
            self._app.screen.prompt()

    def _without_draft(self, text: str) -> str:
        """`text`, or the command that was typed behind a draft of ours, which then stays in the composer."""
        draft = self._app.take_draft()
        behind = text.removeprefix(draft).strip()
        if draft and text.startswith(draft) and commands.is_command(behind):
            self._app.draft(draft)
            return behind
        return text

    async def _take(self, text: str) -> None:
        if not text:
            return
        self._keyboard.calm()
        self._app.echo(text)
        if text.lower() in LEAVE_WORDS:
            self._app.leave()
        elif commands.is_for_us(text):
            await self._stoppable(self._carry_out(text))
        else:
            await self._turn(text)
        self._app.switch_mode_soon()

    async def _stoppable(self, work: Coroutine[Any, Any, None]) -> None:
        """Something of ours, which Esc or Ctrl-C break off, and whose failure is not the end of the conversation."""
        task = asyncio.ensure_future(work)

        def stop() -> None:
            task.cancel()

        try:
            with self._keyboard.at_work(self._app.keep_for_later, stop):
                await asyncio.wait({task})
        finally:
            task.cancel()
        if task.cancelled():
            self._app.note("Stopped.")
        elif (error := task.exception()) is not None:
            self._app.tell_failure(error)

    async def _carry_out(self, text: str) -> None:
        if text.startswith("!"):
            await self._shell(text[1:].strip())
        elif text.startswith("#"):
            self._asides += filter(None, [await remember(self._app, text[1:].strip())])
        else:
            await commands.carry_out(self._app, text)

    async def _shell(self, command: str) -> None:
        if command:
            await self._app.operate(OpType.SHELL, {"command": command})
        else:
            self._app.complain("Say which command: !ls -l. The model sees its output with your next request.")

    # --- turns --------------------------------------------------------------------------------------------------------

    async def _turn(self, text: str) -> None:
        """Submit `text` and follow the turn to its end, asking for approvals on the way."""
        self._app.status.submitted(text)
        asides, self._asides = self._asides, []
        with self._keyboard.at_work(self._typed_in_turn, self._app.exchange.connection.cancel):
            end = await self._go_on(OpType.USER_INPUT, {"text": text, "asides": asides})
            while isinstance(end, ApprovalRequired):
                answers = None if self._keyboard.is_stopped else await ask_approvals(self._app, end)
                if answers is None:
                    end = await self._go_on(OpType.INTERRUPT)
                else:
                    end = await self._go_on(OpType.EXEC_APPROVAL, {"approvals": answers})
        self._give_back(end)

    async def _go_on(self, op_type: OpType, data: dict[str, Any] | None = None) -> Payload:
        return await self._app.exchange.carry_out(op_type, data, TURN_PAUSES)

    def _typed_in_turn(self, text: str) -> None:
        """A line typed while a turn runs: passed on to it, unless it is something for us."""
        if text.lower() in LEAVE_WORDS:
            self._app.leave()
            self._keyboard.stop()
        elif commands.runs_at_once(text):
            self._app.chore(self._beside(text))
        elif self._keyboard.is_stopped or commands.is_for_us(text):
            self._app.keep_for_later(text)
        else:
            self._app.status.steering.append(text)
            self._app.exchange.connection.steer(text)
            self._app.screen.refresh()

    async def _beside(self, text: str) -> None:
        """A command that is carried out while a turn goes on."""
        self._app.echo(text)
        try:
            await commands.carry_out(self._app, text)
        except Exception as error:  # noqa: BLE001 - told and logged; the turn goes on
            self._app.tell_failure(error)

    def _give_back(self, end: Payload) -> None:
        """What was typed for a turn that is over: after a good end the next request, else the person decides."""
        untaken = "\n".join(self._app.status.steering)
        self._app.status.steering.clear()
        if untaken and isinstance(end, TurnComplete) and end.stop_reason == "done":
            self._app.later(untaken)
        else:
            self._app.draft(untaken)

    # --- beside it ----------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        """Let elapsed time pass on the screen."""
        while True:
            await asyncio.sleep(TICK_S)
            if self._app.renderer.is_ticking or self._keyboard.is_busy:
                self._app.screen.refresh()
