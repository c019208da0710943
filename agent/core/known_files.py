"""What the agent knows of files, and what of that the journal does not know yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.protocol.tools import FileFingerprint


class KnownFiles(dict[Path, FileFingerprint]):
    """The files the agent knows, remembering which entries are news for the journal."""

    def __init__(self, files: Mapping[Path, FileFingerprint] | None = None) -> None:
        super().__init__(files or {})
        self._news: set[Path] = set()

    def __setitem__(self, path: Path, fingerprint: FileFingerprint) -> None:
        if self.get(path) != fingerprint:
            self._news.add(path)
        super().__setitem__(path, fingerprint)

    def take_news(self) -> dict[Path, FileFingerprint]:
        """What has changed since the last time this was asked."""
        news, self._news = self._news, set()
        return {path: self[path] for path in news}
