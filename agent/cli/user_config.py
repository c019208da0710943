"""The person's configuration file, changed by the program for them: everything else in it stays as they wrote it."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.config import config_dir
from agent.config_loading import expand_path, is_present, read_object
from agent.protocol.private_files import make_private_dir


def user_file(environ: Mapping[str, str], cwd: Path, named: str | None = None) -> Path:
    """The file that `named` (`--config`), else `ML_INTERN_CLI_CONFIG`, means; else the usual one."""
    named = named or environ.get("ML_INTERN_CLI_CONFIG")
    return expand_path(named, environ, cwd) if named else config_dir(environ) / "cli_agent_config.json"


def read_user_file(file: Path) -> dict[str, Any]:
    """What is in the file, nothing if there is none. Blocks. Raises `ConfigError`."""
    return read_object(file) if is_present(file) else {}


def set_key(file: Path, key: str, value: Any) -> None:
    """Set one key of the file. Blocks. Raises `ConfigError` for a file that cannot be read, OSError for one that cannot
    be written."""
    data = read_user_file(file)
    if key not in data or data[key] != value:
        write_user_file(file, data | {key: value})


def write_user_file(file: Path, data: Mapping[str, Any], *, is_private: bool = False) -> None:
    """Put `data` in place of the file, all at once. It is nobody else's to read if it was not, or if `is_private`.

    Blocks. Raises OSError.
    """
    target = file.resolve()  # a link stays one
    try:
        text, mode = target.read_text("utf-8-sig"), target.stat().st_mode & 0o777
    except FileNotFoundError:
        text, mode = "", 0o600
        if not target.parent.exists():
            make_private_dir(target.parent)
    indent = re.search(r"^\{\r?\n([ \t]+)\"", text)
    content = json.dumps(data, indent=indent[1] if indent else 2, ensure_ascii=False) + "\n"
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as new:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
        Path(temporary).chmod(mode & 0o600 if is_private else mode)
        Path(temporary).replace(target)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
