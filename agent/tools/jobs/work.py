"""From what is asked for to the `Work` that a place takes."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from agent.compute.job_commands import COMMAND_IMAGE, SCRIPT_IMAGE, Script, docker_command, uv_command
from agent.light_dataclass import dataclass
from agent.protocol.compute import Work
from agent.protocol.tools import ToolSession
from agent.tools.arguments import ArgumentError
from agent.tools.jobs.announced import announced
from agent.tools.jobs.arguments import RunRequest
from agent.tools.jobs.environment import environment, require_no_secret
from agent.tools.jobs.parts import Parts
from agent.tools.jobs.script_source import Source, load_here

_NAME_CHARS = 60
_INLINE_METADATA = re.compile(r"^# /// script\s*$", re.MULTILINE)
_MAX_ARGUMENT_BYTES = 128 << 10
"""Linux takes no longer single argument (MAX_ARG_STRLEN)."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Work that is ready to be handed in, and what has to be said of it."""

    work: Work
    notes: tuple[str, ...] = ()
    source: Source | None = None


async def planned(parts: Parts, request: RunRequest, session: ToolSession) -> Planned:
    """Everything of a run but its start. Raises ArgumentError, HubError, ComputeError."""
    require_no_secret(request, session.scrub)
    source = None
    if request.script is not None:
        source = await parts.source(request.script, session)
    namespace = await parts.namespace(request.namespace) if request.place == "hf_jobs" else request.namespace
    around = environment(request, parts.account.token, session.scrub)
    if request.place == "local":
        command = await asyncio.to_thread(_local_command, request, source, session.child_env)
    else:
        command = await asyncio.to_thread(remote_command, request, source)
        if parts.artifact_wrap is not None:
            command = parts.artifact_wrap(command, session)
    default_image = SCRIPT_IMAGE if source is not None else COMMAND_IMAGE
    work = Work(
        name=_name(request, source, session),
        command=command,
        image=(request.image or default_image) if request.place == "hf_jobs" else "",
        flavor=request.flavor,
        timeout_s=request.timeout_s,
        env=around.env,
        secrets=around.secrets,
        namespace=namespace,
        work_dir=session.workspace if request.place == "local" else None,
        facts=_facts(source),
    )
    return Planned(work, around.notes, source)


def _facts(source: Source | None) -> dict[str, str]:
    """For the record: what kind of job it is, and whether it seems to push what it makes."""
    if source is None:
        return {"job_type": "docker"}
    if source.kind == "url":
        return {"job_type": "python"}
    return {"job_type": "python", "push_to_hub": "yes" if announced(source.text).saves else "no"}


def _name(request: RunRequest, source: Source | None, session: ToolSession) -> str:
    """A few words for people."""
    text = source.name if source is not None else session.scrub(shlex.join(request.command))
    return " ".join(text.split())[:_NAME_CHARS]


def remote_command(request: RunRequest, source: Source | None) -> tuple[str, ...]:
    """The argv for a machine elsewhere. Raises ComputeError for what no argv can hold."""
    if source is None:
        return docker_command(request.command)
    if source.kind == "url":
        script = Script(url=source.text, name=source.name)
    else:
        script = Script(text=source.text, name=source.name)
    return uv_command(script, dependencies=request.dependencies, python=request.python, script_args=request.script_args)


def _local_command(request: RunRequest, source: Source | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """On this machine a script runs in the person's own Python; with uv where packages or a version are asked for."""
    if source is None:
        return request.command
    path = source.path if source.path is not None and _is_unchanged(source.path, source.text) else None
    if (
        request.dependencies
        or request.python
        or source.kind == "url"
        or (path is None and len(source.text.encode()) >= _MAX_ARGUMENT_BYTES)
        or _INLINE_METADATA.search(source.text)
    ):
        if shutil.which("uv", path=environ.get("PATH")) is None:
            raise ArgumentError(
                "`dependencies`, `python` and scripts from a URL need uv, which is not installed here. Install the "
                "packages into the Python of this machine and leave these out, or run it on hf_jobs."
            )
        return remote_command(request, source)
    python = next(
        (found for name in ("python", "python3") if (found := shutil.which(name, path=environ.get("PATH")))), None
    )
    if python is None:
        raise ArgumentError("There is no Python on the PATH of this machine.")
    what = ("-c", source.text) if path is None else (os.fspath(path),)
    return (python, "-u", *what, *request.script_args)


def _is_unchanged(path: Path, text: str) -> bool:
    """Whether the file still holds what was approved: then it runs itself, next to the modules that it imports."""
    try:
        return load_here(os.fspath(path), path.parent).text == text
    except ArgumentError:
        return False
