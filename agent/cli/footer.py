"""The status line of a session: its facts, kept up to date, or what the person's own command makes of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from agent.cli.status import Status
from agent.cli.status_facts import GitBranch, StatusCommand, facts
from agent.protocol.modes import Mode
from agent.tools.process_session import still_running
from agent.ui.status_line import STATUS_STYLE, Fragments, StatusFacts, status_fragments

logger = logging.getLogger(__name__)

REFRESH_S = 2.0
COUNT_EVERY_S = 30.0
"""How often processes in the background are counted, and after whatever has run: it is a look at all there are."""


class Footer:
    """What stands at the bottom. `on_change` is called when there is something new to show."""

    def __init__(
        self,
        status: Status,
        workspace: Path,
        environ: Mapping[str, str],
        *,
        command: str | None = None,
        is_saved: bool = True,
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.on_problem: Callable[[str], None] = lambda _text: None
        self.is_light = False
        self._status = status
        self._is_saved = is_saved
        self._branch = GitBranch(workspace)
        self._background = 0
        self._counted_s = 0.0
        self._was_busy = False
        self._turns = 0
        self._command = None
        if command:
            self._command = StatusCommand(
                command,
                environ,
                workspace,
                on_change=lambda: self.on_change(),
                on_problem=lambda text: self.on_problem(text),
            )

    @property
    def is_custom(self) -> bool:
        """Whether the person's own command says what is shown."""
        return self._command is not None

    def styles(self) -> Mapping[str, str]:
        """The style classes of its fragments."""
        return STATUS_STYLE["light" if self.is_light else "dark"]

    def fragments(self, width: int, mode: Mode | None = None, queued: int = 0) -> Fragments:
        """The line, of at most `width` columns. `mode` is one that was chosen but is not in force yet."""
        now = self._facts(mode, queued)
        return self._command.fragments(now, width) if self._command else status_fragments(now, width)

    async def follow(self, is_busy: Callable[[], bool]) -> None:
        """Keep up with what no event tells, until cancelled. What runs while `is_busy()` is not in the background."""
        try:
            while True:
                try:
                    await self._look(is_busy())
                except Exception:  # a line at the bottom is not worth a session
                    logger.exception("the status line could not be brought up to date")
                await asyncio.sleep(REFRESH_S)
        finally:
            if self._command is not None:
                await self._command.close()

    async def _look(self, is_busy: bool) -> None:
        background, now_s = self._background, time.monotonic()
        if not is_busy and (self._was_busy or now_s - self._counted_s >= COUNT_EVERY_S):
            background = len(await asyncio.to_thread(still_running, self._status.conversation.session_id))
            self._counted_s = now_s
        self._was_busy = is_busy
        has_changed = await self._branch.refresh() or background != self._background
        self._background = background
        if self._command is not None:
            turns = len(self._status.conversation.prompts)
            self._command.update(self._facts(None, 0), turn_ended=turns != self._turns)
            self._turns = turns
        if has_changed:
            self.on_change()

    def _facts(self, mode: Mode | None, queued: int) -> StatusFacts:
        now = facts(
            self._status,
            window_tokens=self._status.window_tokens,
            git_branch=self._branch.name,
            background=self._background,
            queued=queued,
            saved=self._is_saved,
        )
        return replace(now, mode=mode) if mode else now
