"""What most turns find in a workspace is what the last one found: it is listed once, and manifests say what differs.

The listing is one of the copies, named in a small file for each workspace, and never changed: a turn that goes on, here
or in another process, keeps the one that its manifest refers to. Once the workspace has changed much, there is another.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

from agent.sessions.checkpoint_states import State
from agent.sessions.checkpoint_store import Blobs, Delta, encoded, read_states, write_private


class Baseline:
    """The listing of one workspace. To be used while the store is being written."""

    def __init__(self, blobs: Blobs, pointer: Path, named_paths: int) -> None:
        self._blobs, self._pointer, self._named_paths = blobs, pointer, named_paths
        self._sha256 = ""
        self._states: dict[str, State] = {}

    def delta(self, states: Mapping[str, State]) -> Delta | None:
        """How `states` differ from the listing, which is made anew if that is much; None if they are few themselves.

        Raises OSError.
        """
        if len(states) <= self._named_paths:
            return None
        self._recall()
        changed = {path: state for path, state in states.items() if self._states.get(path) != state}
        gone = tuple(path for path in self._states if path not in states)
        if not self._sha256 or len(changed) + len(gone) > max(self._named_paths, len(states) // 8):
            self._replace(states)
            changed, gone = {}, ()
        return Delta(self._sha256, changed, gone)

    def _recall(self) -> None:
        """The listing that was made last, here or by another process, if it is still there: pruning may remove it."""
        if self._sha256 and self._blobs.path(self._sha256).exists():
            return
        self._sha256, self._states = "", {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            sha256 = self._pointer.read_text("ascii")
            self._states = read_states(self._blobs, sha256)
            self._sha256 = sha256

    def _replace(self, states: Mapping[str, State]) -> None:
        data = encoded(states)
        sha256 = hashlib.sha256(data).hexdigest()
        self._blobs.put(sha256, data)
        write_private(self._pointer, sha256.encode("ascii"))
        self._sha256, self._states = sha256, dict(states)
