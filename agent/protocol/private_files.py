"""Directories for what is nobody else's business: journals, and what commands have printed."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path


def make_private_dir(path: Path) -> None:
    """Make `path`, and the directories above it that are missing, for this user only. Blocking. Raises OSError.

    Where `path` exists already, others lose their way in; what is above it is left as it is.
    """
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) != 0o700:
        with contextlib.suppress(PermissionError):
            path.chmod(0o700)
