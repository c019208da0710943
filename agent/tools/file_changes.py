"""What `write` and `edit` have in common: a change of one file is planned, shown, and made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from agent.light_dataclass import dataclass
from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.arguments import ArgumentError
from agent.tools.files import (
    FileToolError,
    TextFile,
    atomic_write,
    display_name,
    fingerprint_bytes,
    path_lock,
    resolve_path,
)


class Change(Protocol):
    """What a call makes of a file; `old` None: there is none yet."""

    @property
    def path(self) -> Path: ...

    @property
    def old(self) -> TextFile | None: ...

    @property
    def data(self) -> bytes:
        """The file's new content."""

    def diff(self, name: str) -> str:
        """The change as a unified diff, "" if there is none; `name` is the file's for people."""

    def done(self, name: str) -> ToolResult:
        """What to say once it is made."""


Plan = Callable[[Path, Mapping[str, Any], ToolSession], Change]
"""What a call makes of the file at a resolved path. Reads it. Raises ArgumentError, FileToolError."""


@dataclass(frozen=True, slots=True)
class FileWork:
    """The work of a tool that changes one file as its `plan` says."""

    plan: Plan

    async def run(self, arguments: Mapping[str, Any], session: ToolSession) -> ToolResult:
        """Carry out a call."""
        return await asyncio.to_thread(self._make, arguments, session)

    def check(self, arguments: Mapping[str, Any], session: ToolSession) -> str | None:
        """Why a call would fail. Reads the file: call it in a thread."""
        try:
            self._planned(arguments, session)
        except (ArgumentError, FileToolError) as error:
            return str(error)
        return None

    def preview(self, arguments: Mapping[str, Any], session: ToolSession) -> str | None:
        """The change as a diff. Reads the file: call it in a thread."""
        try:
            change = self._planned(arguments, session)
        except (ArgumentError, FileToolError):
            return None
        return change.diff(display_name(change.path, session.workspace)) or "(no change)"

    def _planned(self, arguments: Mapping[str, Any], session: ToolSession) -> Change:
        return self.plan(resolve_path(arguments.get("path"), session.workspace), arguments, session)

    def _make(self, arguments: Mapping[str, Any], session: ToolSession) -> ToolResult:
        try:
            path = resolve_path(arguments.get("path"), session.workspace)
            with path_lock(path):
                change = self.plan(path, arguments, session)
                atomic_write(path, change.data, change.old.status if change.old else None)
                session.known_files[path] = fingerprint_bytes(change.data)
        except (ArgumentError, FileToolError) as error:
            return ToolResult(str(error), ok=False)
        return change.done(display_name(path, session.workspace))
