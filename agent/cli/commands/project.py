"""Commands about the project: the guidance it keeps for agents, and this session as a file."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.commands.registry import Group, command
from agent.cli.commands.wording import sentence
from agent.config_loading import config_dir, home_dir
from agent.context_manager.memory import (
    FILE_LIMIT_BYTES,
    find_memory_files,
    project_memory_path,
    user_memory_path,
    with_note,
)
from agent.context_manager.prompts import render
from agent.light_dataclass import dataclass
from agent.tools.files import FileToolError, atomic_write, describe_os_error, open_regular
from agent.ui.sanitize import clip, visible
from agent.ui.tool_lines import bytes_text

if TYPE_CHECKING:
    from agent.cli.app import App
    from agent.cli.status import Conversation

GROUP: Group = "Workspace"
LATER = "Changes count from the next conversation (/new): what the model was told at its start stays as it was."

_SHORT = {"md": "markdown", "html": "html", "json": "json", "jsonl": "claude-code"}
"""What people write for a format, and the endings of files."""
_MOST_COPIES = 1000
_SLUG_LENGTH = 40


# --- guidance for agents ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Guidance:
    """A guidance file that is read, or could be. `size_bytes` is None where there is none."""

    path: Path
    scope: str
    size_bytes: int | None


@command("memory", "[edit [n]]", group=GROUP, choices=("edit",))
async def memory(app: App, argument: str) -> None:
    """List the AGENTS.md files in use, or edit one.

    /memory edit opens the project's own in $EDITOR, /memory edit 2 the second of the list. A line that begins with #
    adds a note to the project's.
    """
    verb, _, number = argument.partition(" ")
    number = number.strip()
    if verb not in ("", "edit") or (number and not number.isdecimal()):
        app.complain("Say /memory, /memory edit, or /memory edit and a number of the list.")
        return
    listed = await asyncio.to_thread(_guidance, app)
    if not verb:
        for index, one in enumerate(listed, 1):
            app.say(f"{index}  {_guidance_line(one, app)}")
        app.say(LATER)
        return
    path = await asyncio.to_thread(_project_file, app) if not number else _numbered(listed, number)
    if path is None:
        app.complain(f"There is no file {clip(number, 20)}; the files are 1 to {len(listed)}.")
        return
    await _edit(app, path)


async def _edit(app: App, path: Path) -> None:
    from agent.ui.editor import EditorError

    try:
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        await app.edit_file(path)
    except EditorError as error:
        app.complain(visible(str(error)))
    except OSError as error:
        app.complain(visible(describe_os_error(error, path.parent, "create")))
    else:
        app.say(LATER)


def _guidance(app: App) -> list[_Guidance]:
    """What is read, the nearest first, then where there could be more. Blocking."""
    user_dir, home = config_dir(app.environ), home_dir(app.environ)
    paths = [file.path for file in find_memory_files(app.workspace, user_dir, home)]
    own = user_memory_path(user_dir)
    missing = [path for path in (_project_file(app), own) if path not in paths]
    scopes = {own: "all your projects"}
    return [_Guidance(path, scopes.get(path, "this project"), _size(path)) for path in paths + missing]


def _project_file(app: App) -> Path:
    return project_memory_path(app.workspace, home_dir(app.environ))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _numbered(listed: list[_Guidance], number: str) -> Path | None:
    index = int(number) if len(number) < len(str(_MOST_COPIES)) else 0
    return listed[index - 1].path if 1 <= index <= len(listed) else None


def _guidance_line(one: _Guidance, app: App) -> str:
    path = visible(_short(one.path, home_dir(app.environ)), keep_newlines=False)
    if one.size_bytes is None:
        return f"{path} (for {one.scope}; not there yet)"
    cut = f", only the first {bytes_text(FILE_LIMIT_BYTES)} are read" if one.size_bytes > FILE_LIMIT_BYTES else ""
    return f"{path} (for {one.scope}; {bytes_text(one.size_bytes) if one.size_bytes else 'empty'}{cut})"


def _short(path: Path, home: Path) -> str:
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


async def remember(app: App, note: str) -> str | None:
    """Add `note` to the project's guidance file, which is made if there is none, and say where.

    Returns what the model is to hear of it, None if nothing was written.
    """
    note = visible(note).strip()
    if not note:
        app.complain("Say what to remember behind the #, such as: #run the tests with uv run pytest -n0.")
        return None
    try:
        path, size_bytes = await asyncio.to_thread(_add_note, _project_file(app), note)
    except FileToolError as error:
        app.complain(visible(str(error), keep_newlines=False))
        return None
    app.say(f"Noted in {visible(_short(path, home_dir(app.environ)), keep_newlines=False)}.")
    if size_bytes > FILE_LIMIT_BYTES:
        sizes = f"{bytes_text(size_bytes)}, and only the first {bytes_text(FILE_LIMIT_BYTES)} are read"
        app.complain(f"The file has {sizes}: shorten it (/memory edit).")
    return render("commands/noted", path=visible(str(path), keep_newlines=False), note=note)


def _add_note(path: Path, note: str) -> tuple[Path, int]:
    """The file written, links followed, and its new size. Blocking. Raises `FileToolError`."""
    target = Path(os.path.realpath(path))
    if target.suffix.lower() != ".md":
        raise FileToolError(f"{path} leads to {target}, which is no Markdown file: nothing was written.")
    content, status = b"", None
    if os.path.exists(target):  # noqa: PTH110 - Path raises
        with open_regular(target) as file:
            content, status = file.read(), os.fstat(file.fileno())
    content = with_note(content, note)
    atomic_write(target, content, status)
    return target, len(content)


@command("init", group=GROUP)
async def init(app: App, _argument: str) -> None:
    """Let the agent explore the project and write its AGENTS.md, or improve it."""
    path = await asyncio.to_thread(_project_file, app)
    exists = await asyncio.to_thread(path.is_file)
    app.later(render("commands/init", path=visible(str(path), keep_newlines=False), exists=exists))


# --- this session as a file -------------------------------------------------------------------------------------------


EXPORTED_AS = ("markdown", "html", "json", "claude-code", "hub", "legacy")
"""The formats of agent/cli/exports.py, which is too heavy to be read at every start."""


@command("export", "[FORMAT] [path]", group=GROUP, choices=EXPORTED_AS)
async def export(app: App, argument: str) -> None:
    """Write this session to a file: markdown, html, json, claude-code, hub or legacy.

    Secrets that can be recognised are taken out. Without a path it gets a name of its own in the workspace. A file that
    exists is never overwritten: the new one gets a number.
    """
    from agent.sessions.errors import SessionError

    conversation = app.status.conversation
    if not conversation.prompts:
        app.complain("There is nothing to export yet: ask something first.")
        return
    form, wanted = _wanted(argument)
    if form is None:
        app.complain(f"There is no format {clip(argument, 40)}; there are {', '.join(EXPORTED_AS)}, or give a path.")
        return
    try:
        wanted = app.workspace / wanted
        said = await asyncio.to_thread(_export, app.state_dir, conversation, form, wanted)
    except SessionError as error:
        app.complain(sentence(f"Nothing was exported: {visible(str(error), keep_newlines=False)}"))
    else:
        app.say(f"Written to {visible(said, keep_newlines=False)}")


def _wanted(argument: str) -> tuple[str | None, Path]:
    """The format in the argument and the path, empty if there is none; a path can tell the format, too. None for a
    single word that is neither."""
    first, _, rest = argument.partition(" ")
    form = _SHORT.get(first.lower(), first.lower())
    given = rest.strip() if form in EXPORTED_AS else argument
    if given[:1] in ("'", '"') and given[-1:] == given[:1]:
        given = given[1:-1]
    path = Path(os.path.expanduser(given))  # noqa: PTH111 - Path's raises
    if form in EXPORTED_AS:
        return form, path
    is_word = re.fullmatch(r"[\w-]+", argument) is not None
    return None if is_word else _SHORT.get(path.suffix.lower()[1:], "markdown"), path


def _slug(title: str) -> str:
    return re.sub(r"[^\w.]+", "-", title.casefold())[:_SLUG_LENGTH].strip("-.")


def _export(state_dir: Path, conversation: Conversation, form: str, wanted: Path) -> str:
    """Write the session to `wanted`, or below it under a name of its own if it is a directory; returns where. Blocking.

    Raises `SessionError`.
    """
    from agent.cli.exports import FORMATS, ExportError, Source, redactor_for, write_export, written_text
    from agent.sessions.errors import SessionNotFoundError
    from agent.sessions.index import SessionIndex

    try:
        info = SessionIndex(state_dir).find(conversation.session_id)
    except SessionNotFoundError as error:
        raise ExportError("this session is not kept on disk (save_sessions in the settings)") from error
    source = Source(info, state_dir, redactor_for(os.environ))
    path = wanted
    if os.path.isdir(wanted):  # noqa: PTH112 - Path raises
        title = _slug(source.redactor.text(conversation.title)) or date.today().isoformat()
        path = wanted / f"ml-intern-{title}-{info.id[:8]}{FORMATS[form].suffix}"
    for candidate in _free_names(path):
        try:
            folder = write_export(source, form, candidate, overwrite=False)
        except FileExistsError:
            continue
        except (OSError, ValueError) as error:
            raise ExportError(f"{path} cannot be written ({getattr(error, 'strerror', None) or error})") from error
        return written_text(candidate, folder, len(source.sub_agents))
    raise ExportError(f"{path} and {_MOST_COPIES - 1} names like it exist; give another name")


def _free_names(path: Path) -> Iterator[Path]:
    yield path
    for number in range(2, _MOST_COPIES + 1):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")
