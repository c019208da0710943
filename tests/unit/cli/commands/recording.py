"""A terminal for commands that only writes down what they do with it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from agent.cli import commands
from agent.cli.status import Status
from agent.config_loading import state_dir
from agent.protocol.operations import OpType
from agent.ui.editor import EditorError


class RecordingApp:
    """What commands use of the app. `edit` is what the person does to a file in the editor."""

    def __init__(self, workspace: Path, environ: dict[str, str] | None = None, width: int = 80) -> None:
        self.environ = dict(os.environ) | (environ or {})
        self.workspace = workspace
        self.state_dir = state_dir(self.environ)
        self.hf_token: str | None = None
        self.status = Status(model_name="replay/demo")
        self.console = Console(file=io.StringIO(), width=width)
        self.said: list[str] = []
        self.complaints: list[str] = []
        self.operations: list[tuple[OpType, dict[str, Any] | None]] = []
        self.submitted: list[str] = []
        self.edited: list[Path] = []
        self.edit: Callable[[Path], None] = lambda path: None
        self.has_left = False

    @property
    def text(self) -> str:
        """All that was said."""
        return "\n".join(self.said)

    async def type(self, line: str) -> None:
        """Type a command."""
        command, argument = commands.find(line)
        await command.run(self, argument)  # type: ignore[arg-type]

    def say(self, text: str) -> None:
        self.said.append(text)

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    async def operate(self, op_type: OpType, data: dict[str, Any] | None = None) -> None:
        self.operations.append((op_type, data))

    def later(self, text: str) -> None:
        self.submitted.append(text)

    def leave(self) -> None:
        self.has_left = True

    async def edit_file(self, path: Path) -> None:
        self.edited.append(path)
        try:
            self.edit(path)
        except OSError as error:
            raise EditorError(str(error)) from error
