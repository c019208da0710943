"""From a server's settings to a way to reach it; and what of the settings is secret."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, urlsplit

from agent.config_keys import McpServer
from agent.light_dataclass import dataclass
from agent.redaction.names import is_secret_name
from agent.tools.process_session import SESSION_VARIABLE

if TYPE_CHECKING:
    from fastmcp.client.transports.base import ClientTransport

HF_HOSTS = ("huggingface.co", "hf.co")
"""The hosts, with all below them, that are sent the person's Hugging Face token, over https only."""

_RANDOM = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Za-z0-9]{20})(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])|[0-9a-f]{4}-[0-9a-f]{12}"
)
"""A word of twenty or more letters and digits, or the end of a UUID."""
_RANDOM_STEP = re.compile(_RANDOM.pattern.replace("{20}", "{16}"))
"""The same in the path of an address, where there are fewer names that only look like it."""
_UNSAFE_IN_FILES = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where servers are started, and what they are given.

    `child_env` is the person's environment without secrets; `log_dir` takes what programs print to stderr.
    """

    workspace: Path
    child_env: Mapping[str, str]
    log_dir: Path
    hf_token: str | None = None

    def log_path(self, name: str) -> Path:
        """Where the stderr of the server `name` goes."""
        return self.log_dir / f"{_UNSAFE_IN_FILES.sub('-', name)[:60] or 'server'}.log"


class NotReachableError(Exception):
    """The settings cannot be used; the text says why and what to do."""


def load_library() -> None:
    """Import fastmcp, which takes two seconds. Blocking: call it in a thread.

    It would print its log to the terminal, and read settings of its own from the `.env` of the workspace.
    """
    os.environ.update(FASTMCP_LOG_ENABLED="false", FASTMCP_ENV_FILE=os.devnull)
    for module in ("fastmcp", "fastmcp.client.transports", "agent.tools.mcp.child", "agent.tools.mcp.wire"):
        importlib.import_module(module)


def transport_to(name: str, server: McpServer, place: Place) -> ClientTransport:
    """How `server` is reached. Raises `NotReachableError`."""
    from agent.tools.mcp.child import ChildTransport
    from agent.tools.mcp.over_http import event_stream, streamable_http

    if server.command:
        return ChildTransport(
            server.command,
            server.args,
            env=environment_of(server, place),
            cwd=directory_of(server, place),
            log_path=place.log_path(name),
        )
    if server.auth == "oauth":
        raise NotReachableError(
            "signing in through a browser is not supported: put a token in the place of oauth, such as ${MY_TOKEN}"
        )
    headers = headers_for(server, place.hf_token)
    reach = event_stream if server.transport == "sse" else streamable_http
    return reach(str(server.url), headers)


def environment_of(server: McpServer, place: Place) -> dict[str, str]:
    """The environment of a server that is a program: no secret but those that are configured for it."""
    env = {name: value for name, value in place.child_env.items() if name != SESSION_VARIABLE}
    return env | server.env


def directory_of(server: McpServer, place: Place) -> Path:
    """Where a program is started; relative to the workspace. Raises `NotReachableError`."""
    if server.cwd is None:
        return place.workspace
    home = Path(place.child_env.get("HOME") or Path.home())
    path = home / server.cwd[2:] if server.cwd.startswith("~/") else place.workspace / server.cwd
    if not path.is_dir():
        raise NotReachableError(f"its directory (cwd) {path} does not exist; correct it in your settings")
    return path


def headers_for(server: McpServer, hf_token: str | None) -> dict[str, str]:
    """The headers of each request. Whatever is configured counts more than the Hugging Face token."""
    headers = dict(server.headers)
    if any(name.lower() == "authorization" for name in headers):
        return headers
    if server.auth:
        return headers | {"Authorization": _bearer(server.auth)}
    if hf_token and is_hugging_face(server.url or ""):
        return headers | {"Authorization": f"Bearer {hf_token}"}
    return headers


def _bearer(auth: str) -> str:
    return auth if auth.lower().startswith(("bearer ", "basic ")) else f"Bearer {auth}"


def is_hugging_face(url: str) -> bool:
    """Whether `url` is an https address of Hugging Face itself (a Space is somebody else's)."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return False
    is_host = any(host == name or host.endswith(f".{name}") for name in HF_HOSTS)
    return parts.scheme == "https" and is_host and port in (None, 443) and parts.username is None


def secrets_of(server: McpServer) -> Iterator[str]:
    """What of the settings must not be shown or written anywhere."""
    parts = _parts(server.url)
    named = [*server.env.items(), *server.headers.items(), *parse_qsl(parts.query)]
    values = [value for name, value in named if is_secret_name(name) or _is_random(value)]
    values += [server.auth or "", parts.password or ""]
    values += [step for step in parts.path.split("/") if _RANDOM_STEP.search(step)]
    for flag, value in zip(server.args, [*server.args[1:], ""], strict=False):
        name, has_value, own = flag.partition("=")
        if is_secret_name(name) and (has_value or flag.startswith("-")):
            values.append(own if has_value else value)
        elif has_value and _is_random(own):
            values.append(own)
    for value in values:
        if value and value != "oauth" and not _is_path(value):
            yield value
            if " " in value:  # "Bearer abc"
                yield value.rsplit(" ", 1)[1]


def _is_path(value: str) -> bool:
    """Whether `value` is an absolute path, which every tool may have to name; a key may begin with "/", too."""
    return value.startswith(("/", "~/")) and not any(map(_is_random, value.split("/")))


def _is_random(text: str) -> bool:
    """Whether `text` looks made up by a machine, as keys are; a name, a path or a version may be shown."""
    return _RANDOM.search(text) is not None and "/" not in text


def address_text(server: McpServer) -> str:
    """Where a server is, without anything secret: a program with its first argument, or an address without query."""
    if server.command:
        hidden = set(secrets_of(server))
        shown = [arg for arg in server.args[:4] if arg not in hidden and "=" not in arg]
        return " ".join([Path(server.command).name, *shown])[:120]
    parts = _parts(server.url)
    path = "/".join("***" if _RANDOM_STEP.search(step) else step for step in parts.path.split("/"))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"


def _parts(url: str | None) -> SplitResult:
    try:
        return urlsplit(url or "")
    except ValueError:  # "http://[": told when it is connected to
        return urlsplit("http://unreadable")
