"""`read`, `write` and `edit` in a sandbox: the files are there; their pages and changes are made here."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.compute.sandbox.words import ABSENT, WORK_DIR, FileConflict
from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.arguments import utf8_argument
from agent.tools.file_editing import Edit, EditRequest
from agent.tools.file_reading import lines_wanted
from agent.tools.file_writing import Rewrite, rewrite
from agent.tools.files import FileToolError, fingerprint_bytes
from agent.tools.sandbox.files import directory, load, look, missing, page, path_argument
from agent.tools.sandbox.machines import Machine


def path_subject(arguments: Mapping[str, Any], _workspace: Path) -> str:
    """The absolute path in the sandbox as written, for permission rules to match; "" if there is none."""
    raw = arguments.get("path")
    return posixpath.normpath(posixpath.join(WORK_DIR, raw)) if isinstance(raw, str) and raw.strip() else ""


async def read(machine: Machine, arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
    """Lines of a file, or the entries of a directory."""
    raw, (offset, limit) = path_argument(arguments), lines_wanted(arguments)
    found = await look(machine.sandbox, raw)
    if found is None:
        raise await missing(machine.sandbox, raw)
    if found.kind == "dir":
        return ToolResult(await directory(machine.sandbox, found))
    read_page = await page(machine.sandbox, found, offset, limit)
    text = read_page.as_text()
    if read_page.fingerprint is not None:
        machine.known_files(session)[Path(found.path)] = read_page.fingerprint
    return ToolResult(text)


async def write(machine: Machine, arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
    """Create a file, or replace all of one that was read."""
    raw, content = path_argument(arguments), utf8_argument(arguments, "content")
    async with machine.writing:
        found = await look(machine.sandbox, raw)
        old = await load(machine.sandbox, found) if found is not None else None
        path = Path(found.path) if found is not None else Path(raw)
        return await _put(machine, raw, rewrite(path, old, content, machine.known_files(session)), session)


async def edit(machine: Machine, arguments: dict[str, Any], session: ToolSession, _tool_call_id: str) -> ToolResult:
    """Change a part of a file that was read."""
    raw, request = path_argument(arguments), EditRequest.of(arguments)
    async with machine.writing:
        found = await look(machine.sandbox, raw)
        if found is None:
            raise await missing(machine.sandbox, raw)
        old = await load(machine.sandbox, found)
        known = machine.known_files(session)
        change = await asyncio.to_thread(request.of_file, Path(found.path), old, known)
        return await _put(machine, raw, change, session)


async def _put(machine: Machine, raw: str, change: Rewrite | Edit, session: ToolSession) -> ToolResult:
    """Write the file, if it is what the change was made of."""
    data = change.data
    expect = change.old.fingerprint.sha256 if change.old is not None else ABSENT
    try:
        there = await machine.sandbox.write(raw, data, expect=expect)
    except FileConflict as error:
        raise FileToolError(f"Nothing was written: {error}") from error
    machine.known_files(session)[Path(there.path)] = fingerprint_bytes(data)
    name = posixpath.relpath(there.path, WORK_DIR) if there.path.startswith(f"{WORK_DIR}/") else there.path
    return await asyncio.to_thread(change.done, name)
