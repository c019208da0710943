"""What a sandbox Space is made of: the server's files as they are here, a Dockerfile, and a card."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

PORT = 7860
TAG = "ml-intern-sandbox"
"""On the card of every sandbox's Space."""
_HERE = Path(__file__).parent
_SERVER = "sandbox_server.py"
_MODULES = ("remote_commands.py", "remote_files.py", "remote_requests.py", "remote_text.py")
_PACKAGES = ("agent", "agent/compute", "agent/compute/sandbox")

_DOCKERFILE = """\
FROM python:3.12-slim
RUN apt-get update \\
 && apt-get install -y --no-install-recommends \\
    bash build-essential ca-certificates curl git git-lfs less procps unzip wget \\
 && rm -rf /var/lib/apt/lists/* \\
 && useradd --create-home --uid 1000 user \\
 && mkdir -p /app /opt/sandbox \\
 && chown user:user /app
# The server lies where the sandbox's user may not change it, and runs with the image's Python, not the user's.
# Its name has no "python" in it: `pkill -f python` in the sandbox must not end the sandbox.
COPY sandbox_server.py /opt/sandbox/
COPY agent /opt/sandbox/agent
RUN ln -s /usr/local/bin/python3 /opt/sandbox/sandboxd
USER user
RUN python -m venv /home/user/venv \\
 && /home/user/venv/bin/pip install --no-cache-dir uv huggingface_hub
ENV HOME=/home/user \\
    VIRTUAL_ENV=/home/user/venv \\
    PATH=/home/user/venv/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin \\
    PYTHONUNBUFFERED=1 \\
    SANDBOX_WORK_DIR=/app \\
    SANDBOX_PORT={port} \\
    SANDBOX_BUILD={build}
WORKDIR /app
EXPOSE {port}
CMD ["/opt/sandbox/sandboxd", "-s", "/opt/sandbox/sandbox_server.py"]
"""

_CARD = """\
---
title: ml-intern sandbox
emoji: 🧪
colorFrom: gray
colorTo: gray
sdk: docker
app_port: {port}
pinned: false
tags:
- ml-intern
- {tag}
---

A machine that ml-intern made for one session, and deletes at its end. If nobody uses it any more, delete it.

- lease: {lease_id}
- created: {created}
"""


def space_files(lease_id: str, build: str, now: datetime) -> dict[str, bytes]:
    """All files of the Space, by path. Reads this package's sources: call it in a thread.

    The modules keep their path below `agent/`, so that the server imports them there as it does here.
    """
    files = {_SERVER: (_HERE / "server.py").read_bytes()}
    files |= {f"agent/compute/sandbox/{name}": (_HERE / name).read_bytes() for name in _MODULES}
    # a package of this name that somebody installs there must not take their place
    files |= {f"{package}/__init__.py": b"# of the sandbox's server\n" for package in _PACKAGES}
    files["Dockerfile"] = _DOCKERFILE.format(port=PORT, build=build).encode()
    card = _CARD.format(port=PORT, tag=TAG, lease_id=lease_id, created=now.isoformat(timespec="seconds"))
    return files | {"README.md": card.encode()}


def remote_source(name: str) -> str:
    """The source of a module that runs on the other side. Reads a file: call it in a thread."""
    return (_HERE / name).read_text("utf-8")
