"""The sandbox's server as it runs in a Space: from the files that are sent there, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx

from agent.compute.sandbox.image import space_files

KEY = "key-of-the-sandbox"


class ServerProcess:
    """Start it with `with`; `env` is what the container's environment has besides."""

    def __init__(
        self,
        root: Path,
        *,
        token: str | None = KEY,
        build: str = "build-1",
        files: Mapping[str, bytes] | None = None,
        **env: str,
    ) -> None:
        self.root = root
        self.files = files or space_files("0123456789ab", "unused", datetime(2026, 1, 1, tzinfo=UTC))
        self.work_dir, self.temp_dir = root / "app", root / "tmp"
        self._options = {"SANDBOX_API_TOKEN": token} if token else {}
        self._env = {"SANDBOX_BUILD": build, "SANDBOX_GRACE_S": "0.3", **env}

    def __enter__(self) -> Self:
        for path, data in self.files.items():
            (self.root / "opt" / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / "opt" / path).write_bytes(data)
        for directory in (self.work_dir, self.temp_dir, self.root / "home"):
            directory.mkdir(exist_ok=True)
        env = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.temp_dir),
            "SANDBOX_HOST": "127.0.0.1",
            "SANDBOX_PORT": "0",
            "SANDBOX_WORK_DIR": str(self.work_dir),
            **self._options,
            **self._env,
        }
        # the interpreter without this project's packages, as in the Space
        python = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
        link = self.root / "opt" / "sandboxd"
        if not link.is_symlink():
            link.symlink_to(python)
        self.process = subprocess.Popen(
            [str(link), "-s", str(self.root / "opt" / "sandbox_server.py")],
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        self.url = f"http://127.0.0.1:{int(said.rpartition(' ')[2])}"
        self.client = httpx.Client(base_url=self.url, headers=self.headers(), trust_env=False, timeout=20)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def headers(self, key: str = KEY) -> dict[str, str]:
        """What a request needs."""
        return {"X-Sandbox-Authorization": f"Bearer {key}"}

    def post(self, route: str, **body: Any) -> httpx.Response:
        """A request with the right key."""
        return self.client.post(f"/api/{route}", json=body)

    def bash(self, command: str, **more: Any) -> dict[str, Any]:
        """A command's answer."""
        answer = self.post("bash", command=command, **more)
        assert answer.status_code == 200, answer.text
        value: dict[str, Any] = answer.json()
        return value
