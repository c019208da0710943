"""Writing a file for `write`: what it would become."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.tools import FileFingerprint, ToolResult, ToolSession
from agent.tools.arguments import utf8_argument
from agent.tools.diffs import unified_diff
from agent.tools.edit_utils import validate_python
from agent.tools.file_changes import FileWork
from agent.tools.files import FileToolError, TextFile, describe_os_error, load_text, require_known


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The change that a write makes of the file at `path`; `old` None: there is none yet."""

    path: Path
    old: TextFile | None
    new: str

    @property
    def data(self) -> bytes:
        """The file's new content."""
        return self.old.encode(self.new) if self.old else self.new.encode("utf-8")

    def diff(self, name: str) -> str:
        """The change as a unified diff, "" if there is none; `name` is the file's for people."""
        return unified_diff(self.old.text if self.old else None, self.new, name)

    def done(self, name: str) -> ToolResult:
        """What to say once it is made."""
        lines = self.new.count("\n") + (not self.new.endswith("\n") and self.new != "")
        verb = "Replaced" if self.old else "Created"
        said = [f"{verb} {self.path}: {lines:,} lines, {len(self.data):,} bytes."]
        if self.path.suffix == ".py":
            said += [f"Warning: {warning}" for warning in validate_python(self.new, self.path.name)]
        return ToolResult("\n".join(said), display=self.diff(name) or None)


def rewrite(path: Path, old: TextFile | None, content: str, known: Mapping[Path, FileFingerprint]) -> Rewrite:
    """What writing `content` makes of `old`. Raises FileToolError if that is not as the agent knows it."""
    if old is not None:
        require_known(path, old.fingerprint, known)
        if old.is_crlf:
            content = content.replace("\r\n", "\n").replace("\n", "\r\n")
    return Rewrite(path, old, content)


def _plan(path: Path, arguments: Mapping[str, Any], session: ToolSession) -> Rewrite:
    content = utf8_argument(arguments, "content")
    try:
        exists = path.exists()
    except OSError as error:  # a name too long
        raise FileToolError(describe_os_error(error, path, "write")) from error
    return rewrite(path, load_text(path) if exists else None, content, session.known_files)


WRITING = FileWork(_plan)
