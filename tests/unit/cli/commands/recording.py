"""A terminal for commands that only writes down what they do with it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from agent.cli import commands
from agent.cli.model_list import ModelMenu
from agent.cli.status import Status
from agent.config_loading import state_dir
from agent.protocol.compute import Ending
from agent.protocol.events import ErrorRaised, Payload
from agent.protocol.operations import OpType
from agent.ui.editor import EditorError


class RecordingApp:
    """What commands use of the app. `edit` is what the person does to a file in the editor, `answers` what they say.

    `ends` has what an operation ends with; any other ends with an error, as the session's refusals do.
    """

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
        self.ends: dict[OpType, Payload] = {}
        self.answers: list[str] = []
        self.asked: list[str] = []
        self.submitted: list[str] = []
        self.drafts: list[str] = []
        self.model_menu: ModelMenu | None = None
        self.theme_name = "auto"
        self.edited: list[Path] = []
        self.edit: Callable[[Path], None] = lambda path: None
        self.has_left = False
        self.canceled: list[str] = []
        self.ending = Ending(worked=True, text="")

    @property
    def text(self) -> str:
        """All that was said."""
        return "\n".join(self.said)

    async def type(self, line: str) -> None:
        """Type a command."""
        command, argument = commands.find(line)
        await command.run(self, argument)  # type: ignore[arg-type]

    async def enter(self, line: str) -> None:
        """Type a line as the loop takes it: refusals are complaints."""
        await commands.carry_out(self, line)  # type: ignore[arg-type]

    def say(self, text: str) -> None:
        self.said.append(text)

    def show(self, text: Text) -> None:
        self.said.append(text.plain)

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    async def operate(self, op_type: OpType, data: dict[str, Any] | None = None) -> Payload:
        self.operations.append((op_type, data))
        return self.ends.get(op_type, ErrorRaised("No."))

    async def cancel_work(self, lease_id: str) -> Ending:
        self.canceled.append(lease_id)
        return self.ending

    async def ask(self, question: str) -> str | None:
        self.asked.append(question)
        return self.answers.pop(0) if self.answers else None

    def draft(self, text: str) -> None:
        self.drafts.append(text)

    def set_theme(self, name: str) -> None:
        self.theme_name = name

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
