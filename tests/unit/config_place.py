"""A place with configuration files, for the tests of agent/config.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.config import ConfigError, LoadedConfig, load_config


class Place:
    """A home with a user file and a work directory with a project file, each written on demand."""

    def __init__(self, root: Path) -> None:
        self.home, self.cwd = root / "h", root / "h" / "work"
        self.user = self.home / ".config" / "ml-intern" / "cli_agent_config.json"
        self.project = self.cwd / ".ml-intern" / "config.json"
        self.cwd.mkdir(parents=True)

    def load(
        self, user: Any = None, project: Any = None, environ: dict[str, str] | None = None, **kwargs: Any
    ) -> LoadedConfig:
        """Load with these files; anything but text or bytes is written as JSON."""
        for path, content in ((self.user, user), (self.project, project)):
            if content is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                text = content if isinstance(content, (str, bytes)) else json.dumps(content)
                path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_config(environ={"HOME": str(self.home)} | (environ or {}), cwd=self.cwd, **kwargs)

    def problems(self, *args: Any, **kwargs: Any) -> list[str]:
        """The lines of the error that loading ends with."""
        with pytest.raises(ConfigError) as caught:
            self.load(*args, **kwargs)
        assert str(caught.value).splitlines() == list(caught.value.problems)
        return str(caught.value).splitlines()
