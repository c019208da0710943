"""The tools that models were given: each list is kept once, under its hash, however many sessions had it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.protocol.private_files import make_private_dir, write_private


def keep(state_dir: Path, specs: Sequence[dict[str, Any]]) -> str:
    """Keep `specs` (tools in OpenAI function form) in `<state>/tools/`; returns their SHA-256, for `load`.

    Blocks for the disk. Raises OSError.
    """
    data = json.dumps(specs, separators=(",", ":"), sort_keys=True).encode("ascii")
    digest = hashlib.sha256(data).hexdigest()
    path = _path(state_dir, digest)
    if not path.exists():
        make_private_dir(path.parent)
        write_private(path, data, overwrite=True, durable=False)
    return digest


def load(state_dir: Path, digest: str) -> list[dict[str, Any]] | None:
    """The tools kept under `digest`, None if they are not there (any more). Blocks for the disk."""
    if not digest.isalnum():  # it comes from a file, and becomes the name of one
        return None
    try:
        specs = json.loads(_path(state_dir, digest).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return specs if isinstance(specs, list) and all(isinstance(spec, dict) for spec in specs) else None


def _path(state_dir: Path, digest: str) -> Path:
    return state_dir / "tools" / f"{digest}.json"
