"""What is checked out in a workspace, read from git's own files without running git."""

from __future__ import annotations

import re
from pathlib import Path

MAX_BYTES = 4096


def head_file(workspace: Path) -> Path | None:
    """The `HEAD` of the repository that `workspace` is in, None outside of one. Raises OSError and ValueError."""
    for directory in (workspace, *workspace.parents):
        git = directory / ".git"
        if git.is_dir():
            return git / "HEAD"
        if git.is_file():  # a worktree or a submodule
            with git.open("rb") as file:
                link = re.match(r"gitdir:\s*(.+)", file.read(MAX_BYTES).decode("utf-8", "replace"))
            return directory / link[1].strip() / "HEAD" if link else None
    return None


def read_branch(head: Path) -> str | None:
    """The branch that the `HEAD` file names, or the beginning of the commit's id. Raises OSError and ValueError."""
    with head.open("rb") as file:
        text = file.read(MAX_BYTES).decode("utf-8", "replace")
    if reference := re.match(r"ref:\s*refs/(?:heads/)?(\S+)", text):
        return None if reference[1] == ".invalid" else reference[1]  # where refs are kept in another way
    commit = re.match(r"[0-9a-f]{40,64}\s*$", text)
    return commit[0][:7] if commit else None


def current_branch(workspace: Path) -> str | None:
    """The branch of `workspace` now, None where there is none or git's files cannot be read. Blocks for the disk."""
    try:
        head = head_file(workspace)
        return read_branch(head) if head is not None else None
    except (OSError, ValueError):
        return None
