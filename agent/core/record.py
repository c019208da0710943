"""The record of a conversation: its history and the journal of it, always in step.

Whatever is added to history is written in the same breath, so that the end of this program takes nothing with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from agent.context_manager.manager import ContextManager
from agent.core.known_files import KnownFiles
from agent.protocol.events import Event
from agent.protocol.messages import Message, ToolCall
from agent.sessions.journal import Journal

T = TypeVar("T")


class Disk:
    """Blocking work on the session's own files, in order and in a thread of its own: tools that block all of the
    shared ones must not keep a stopped turn from ending."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="session-disk")

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """What `work(*args)` returns or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    def close(self) -> None:
        """Take no more work; what runs is not waited for."""
        self._thread.shutdown(wait=False)


class Record:
    """History, known files, and the journal of both. Without a journal all of it is in memory only."""

    def __init__(
        self,
        history: ContextManager,
        journal: Journal | None,
        disk: Disk,
        head: Callable[[], Mapping[str, Any]],
        known_files: KnownFiles | None = None,
    ) -> None:
        """`head` gives the first record of the file, when there is something to write: a session in which nothing was
        said leaves no file behind."""
        self.history = history
        self.journal = journal
        self.known_files = known_files or KnownFiles()
        self._disk = disk
        self._head = head
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

    def begin(self, **more: Any) -> None:
        """Write the head of a new file, with `more` in it, and the conversation so far; once."""
        if self.journal is None or self._is_begun:
            return
        self._is_begun = True
        self.journal.append("start", {**self._head(), **more})
        for message in self.history.items:
            self.journal.append_message(message)

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
        await self._disk.run(self.journal.sync)

    async def close(self, turns: int) -> None:
        """The conversation is over. Whoever still has something to say of it comes too late for the journal."""
        self.write("end", {"turns": turns})
        journal, self.journal = self.journal, None
        if journal is not None:
            await self._disk.run(journal.close)

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
