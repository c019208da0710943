"""Whose token it is, remembered from the last time that the Hub was asked: the start waits for no network."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from pathlib import Path

from agent.protocol.private_files import make_private_dir

logger = logging.getLogger(__name__)

_FILE = "hf_user.json"


def remembered_user(cache_dir: Path, token: str | None) -> str | None:
    """The user name that belongs to `token`, if it was ever asked for here. Blocking, and quick."""
    if not token:
        return None
    try:
        known = json.loads((cache_dir / _FILE).read_bytes())
        name = known.get(_mark(token))
    except (OSError, ValueError, AttributeError):
        return None
    return name if isinstance(name, str) and name else None


def remember_user(cache_dir: Path, token: str, name: str) -> None:
    """Keep it for the next start, in place of what was kept before. Blocking; trouble is logged, not raised."""
    if remembered_user(cache_dir, token) == name:
        return
    try:
        make_private_dir(cache_dir)
        fresh = cache_dir / f".{_FILE}"
        fresh.write_text(json.dumps({_mark(token): name}), "utf-8")
        fresh.replace(cache_dir / _FILE)
    except OSError as error:
        logger.warning("cannot remember whose token it is: %s", error)
        with contextlib.suppress(OSError):
            (cache_dir / f".{_FILE}").unlink(missing_ok=True)


def _mark(token: str) -> str:
    """Tells tokens apart and gives none away."""
    return hashlib.sha256(f"ml-intern:{token}".encode()).hexdigest()[:16]
