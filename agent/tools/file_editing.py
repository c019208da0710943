"""Editing a file for `edit`: what it would become."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.tools import FileFingerprint, ToolResult, ToolSession
from agent.tools.arguments import bool_argument, utf8_argument
from agent.tools.diffs import unified_diff
from agent.tools.edit_utils import apply_edit, validate_python
from agent.tools.file_changes import FileWork
from agent.tools.files import FileToolError, TextFile, load_text, require_known


@dataclass(frozen=True, slots=True)
class Edit:
    """The change that an edit makes of the file at `path`, in `count` places; `note` tells how they were found."""

    path: Path
    old: TextFile
    new: str
    count: int
    note: str | None

    @property
    def data(self) -> bytes:
        """The file's new content."""
        return self.old.encode(self.new)

    def diff(self, name: str) -> str:
        """The change as a unified diff; `name` is the file's for people."""
        return unified_diff(self.old.text, self.new, name)

    def done(self, name: str) -> ToolResult:
        """What to say once it is made."""
        places = "1 place" if self.count == 1 else f"{self.count:,} places"
        said = [f"Edited {self.path}: {places} changed." + (f" {self.note}" if self.note else "")]
        if self.path.suffix == ".py":
            said += [f"Warning: {warning}" for warning in validate_python(self.new, self.path.name)]
        return ToolResult("\n".join(said), display=self.diff(name))


@dataclass(frozen=True, slots=True)
class EditRequest:
    """What a call asks for."""

    old_str: str
    new_str: str
    replace_all: bool
    mode: str

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> EditRequest:
        """Read from a call's arguments. Raises ArgumentError."""
        old_str, new_str = utf8_argument(arguments, "old_str"), utf8_argument(arguments, "new_str")
        return cls(old_str, new_str, bool_argument(arguments, "replace_all"), arguments.get("mode") or "replace")

    def of_file(self, path: Path, old: TextFile, known: Mapping[Path, FileFingerprint]) -> Edit:
        """What it makes of `old`. Raises FileToolError if that is not as the agent knows it, or old_str fits ill."""
        require_known(path, old.fingerprint, known)
        try:
            new, count, note = apply_edit(old.text, self.old_str, self.new_str, self.mode, self.replace_all)
        except ValueError as error:
            raise FileToolError(f"{path} is unchanged. {error}") from error
        return Edit(path, old, new, count, note)


def _plan(path: Path, arguments: Mapping[str, Any], session: ToolSession) -> Edit:
    return EditRequest.of(arguments).of_file(path, load_text(path), session.known_files)


EDITING = FileWork(_plan)
