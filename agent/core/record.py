"""The record of a conversation: its history and the journal of it, always in step.

Whatever is added to history is written in the same breath, so that the end of this program takes nothing with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.context_manager.manager import ContextManager
from agent.core.disk import Disk
from agent.core.git_head import current_branch
from agent.core.known_files import KnownFiles
from agent.protocol.events import Event
from agent.protocol.messages import Message, ToolCall
from agent.sessions import tool_lists
from agent.sessions.journal import Journal
from agent.traces.uploads.mark import Mark

logger = logging.getLogger(__name__)

DISK_PATIENCE_S = 5.0


class Record:
    """History, known files, and the journal of both. Without a journal all of it is in memory only."""

    def __init__(
        self,
        history: ContextManager,
        journal: Journal | None,
        disk: Disk,
        write_head: Callable[[Journal], None],
        known_files: KnownFiles | None = None,
        share: Mark | None = None,
    ) -> None:
        """`write_head` begins the file, when there is something to write: a session in which nothing was said leaves no
        file behind. `share` marks it as one to be uploaded, if the person shares sessions."""
        self.history = history
        self.journal = journal
        self.known_files = known_files or KnownFiles()
        self.share = share
        self._disk = disk
        self._place: dict[str, Any] | None = None
        self._placing: asyncio.Task[None] | None = None
        self._write_head = write_head
        self._is_begun = False

    @property
    def saved_path(self) -> Path | None:
        """The file, once there is one."""
        return self.journal.path if self.journal and self._is_begun else None

    @property
    def problem(self) -> str | None:
        """Why nothing is being saved, in words for the person; None while all is well."""
        return self.journal.problem if self.journal else None

    # --- the file ---------------------------------------------------------------------------------------------------

    def begin(self, told: Sequence[Message] = ()) -> None:
        """Write the head of a new file and what is there so far, once.

        `told` is the conversation as it was said, where history holds a shortened one: a turn can then still be taken
        back exactly.
        """
        if self.journal is None or self._is_begun:
            return
        self._is_begun = True
        self._write_head(self.journal)
        history = self.history.items
        said = [history[0], *told] if told else history
        for message in said:
            self.journal.append_message(message)
        self.journal.append_context(said, history, "fork")
        if self.known_files:
            self.journal.append_files(self.known_files)

    def go_on(self, resume: Mapping[str, Any]) -> None:
        """Mark in an old file that the session goes on from here."""
        self._is_begun = True
        self.write("resume", resume)

    def write(self, kind: str, data: Mapping[str, Any]) -> None:
        """Write something about the session, if anything was said in it yet."""
        if self.journal and self._is_begun:
            self.journal.append(kind, data)

    def write_event(self, event: Event) -> None:
        """Write an event, if anything was said yet."""
        if self.journal and self._is_begun:
            self.journal.append_event(event)

    def note_place(self, workspace: Path, state_dir: Path, tools: Sequence[dict[str, Any]]) -> None:
        """Write what is checked out in `workspace` and which tools the model has, where that is news; `placed` waits
        until that is done."""
        if self.journal is not None:
            if self._placing is not None:  # of a call that failed
                self._placing.cancel()
            self._placing = asyncio.create_task(self._note_place(workspace, state_dir, tools), name="place")

    async def placed(self) -> None:
        """Wait until what `note_place` has to write is written."""
        task, self._placing = self._placing, None
        if task is None:
            return
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the place of the session is not written", exc_info=error)

    async def _note_place(self, workspace: Path, state_dir: Path, tools: Sequence[dict[str, Any]]) -> None:
        place: dict[str, Any] = {}

        def look() -> None:
            place["git_branch"] = current_branch(workspace)
            try:
                place["tools"] = tool_lists.keep(state_dir, tools)
            except OSError as error:
                logger.warning("the list of tools cannot be kept: %s", error)
            self._mark()

        await self._patiently(look)
        if place and place != self._place:
            self._place = dict(place)
            self.write("place", self._place)

    def running(self, calls: Sequence[ToolCall]) -> None:
        """Write that `calls` are about to run."""
        if self.journal:
            self.journal.append_running(calls)

    async def sync(self) -> None:
        """Make the journal durable, with what is news of known files."""
        if self.journal is None:
            return
        if (news := self.known_files.take_news()) and self._is_begun:
            self.journal.append_files(news)
        journal = self.journal

        def make_durable() -> None:
            journal.sync()
            self._mark()

        await self._patiently(make_durable)

    def _mark(self) -> None:
        if self.share is not None and self._is_begun:
            self.share()

    async def _patiently(self, work: Callable[[], None]) -> None:
        """Wait for the disk, but not forever: one that hangs must not take the session with it."""
        try:
            async with asyncio.timeout(DISK_PATIENCE_S):
                await self._disk.run(work)
        except TimeoutError:
            logger.warning("the disk with the session's journal does not answer")

    async def close(self, turns: int) -> None:
        """The conversation is over. Whoever still has something to say of it comes too late for the journal."""
        await self.placed()
        self.write("end", {"turns": turns})
        journal, self.journal = self.journal, None
        if journal is None:
            return

        def end() -> None:
            journal.close()
            if self.share is not None and self._is_begun:
                self.share.close()

        await self._patiently(end)

    # --- history ----------------------------------------------------------------------------------------------------

    def add(self, message: Message) -> None:
        """Add a message."""
        self.begin()
        self._write_message(self.history.add_message(message))

    def add_result(self, message: Message) -> None:
        """Add a tool result in its place."""
        self._write_message(self.history.add_result(message))

    def repair(self) -> None:
        """Answer calls that were left without a result."""
        before = self.history.items
        stubs = self.history.repair()
        if len(self.history.items) != len(before) + len(stubs):
            self.changed(before, "repair")
            return
        for stub in stubs:
            self._write_message(stub)

    def changed(self, before: Sequence[Message], reason: str) -> None:
        """Write that history is no longer what it was `before`, other than by what was added."""
        if self.journal and self._is_begun and before is not self.history.items:
            self.journal.append_context(before, self.history.items, reason)

    def _write_message(self, stored: Message) -> None:
        if self.journal:
            self.journal.append_message(stored)
