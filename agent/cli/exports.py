"""Kept sessions written out for people and for other programs: the formats, without the secrets."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent.light_dataclass import dataclass
from agent.protocol.private_files import make_private_dir, write_private
from agent.sessions.errors import SessionError
from agent.ui.tool_lines import counted

if TYPE_CHECKING:  # the names of the formats are asked for at every start of `sessions`: what makes them comes later
    from agent.redaction.redactor import Redactor
    from agent.sessions.index import SessionInfo
    from agent.traces.timeline import Timeline


class ExportError(SessionError):
    """The session cannot be written out; nothing was written."""


@dataclass(frozen=True)
class Source:
    """A session to be written out."""

    info: SessionInfo
    state_dir: Path
    redactor: Redactor

    @functools.cached_property
    def timeline(self) -> Timeline:
        """The session as a sequence. Blocks; raises `SessionError`."""
        from agent.traces.timeline import read_timeline

        return read_timeline(self.info.path)

    @functools.cached_property
    def sub_agents(self) -> list[Timeline]:
        """What its sub-agents did. One whose journal cannot be read is left out."""
        from agent.traces.sub_agents import journals
        from agent.traces.timeline import read_timeline

        found = []
        for path in journals(self.state_dir, self.info.id):
            try:
                found.append(read_timeline(path))
            except SessionError:
                continue
        return found


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a session out: `render` gives its text in pieces, without the last line end. `lines_of` is for
    formats in which each sub-agent has a file of its own."""

    suffix: str
    about: str
    render: Callable[[Source], Iterable[str]]
    lines_of: Callable[[Timeline, Redactor], Iterator[str]] | None = None


def redactor_for(environ: Mapping[str, str]) -> Redactor:
    """A redactor that knows the secrets of this environment. Blocks: the stored token is read."""
    from agent.hub.tokens import resolve_hf_token
    from agent.redaction.live import LiveSecrets
    from agent.redaction.redactor import Redactor

    return Redactor(LiveSecrets(environ, {"HF_TOKEN": resolve_hf_token(environ)}))


def export_text(source: Source, name: str) -> str:
    """The session in the format called `name`. Blocks. Raises `SessionError`, and `ExportError` where redaction failed:
    nothing leaves then."""
    return "".join(_pieces(FORMATS[name].render(source)))


def write_export(source: Source, name: str, path: Path, *, overwrite: bool) -> Path | None:
    """Write the session in the format called `name` to `path`, for the person alone, whole or not at all; formats made
    of lines are never in memory as a whole. Sub-agents that get files of their own go to a folder beside `path`, which
    is returned, None if there are none. A device or pipe at `path` is written into.

    Blocks. Raises as `export_text`; FileExistsError for what exists and is not to be overwritten, before anything was
    written; OSError.
    """
    form, pieces = FORMATS[name], _encoded(FORMATS[name].render(source))
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as file:
            file.writelines(pieces)
        return None
    folder = path.with_suffix(".agents") if form.lines_of is not None else None
    if folder is not None and not overwrite and any(folder.glob(f"*{form.suffix}")):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
    target = path.resolve() if path.is_symlink() else path
    write_private(target, pieces, overwrite=overwrite, durable=False)
    return _write_sub_agents(source, form, folder) if folder is not None else None


def _write_sub_agents(source: Source, form: Format, folder: Path) -> Path | None:
    """Fill `folder` with those of this session alone; returns it, None if there are none."""
    from agent.traces.sub_agents import file_stem

    assert form.lines_of is not None
    for left in folder.glob(f"*{form.suffix}"):  # of another session, or of an earlier state of this one
        left.unlink()
    if not source.sub_agents:
        return None
    make_private_dir(folder)
    for one in source.sub_agents:
        pieces = _encoded(_joined(form.lines_of(one, source.redactor)))
        path = folder / f"{file_stem(one, source.redactor)}{form.suffix}"
        write_private(path, pieces, overwrite=True, durable=False)
    return folder


def written_text(path: Path, folder: Path | None, sub_agents: int) -> str:
    """Where an export went, for the person."""
    return f"{path}, and {counted(sub_agents, 'sub-agent')} to {folder}" if folder is not None else str(path)


def _pieces(pieces: Iterable[str]) -> Iterator[str]:
    """`pieces`; what goes wrong with their redaction is an `ExportError`."""
    from agent.redaction.redactor import RedactionError

    try:
        yield from pieces
    except RedactionError as error:
        raise ExportError(f"nothing was written, as its secrets cannot be taken out: {error}") from error


def _encoded(pieces: Iterable[str]) -> Iterator[bytes]:
    for piece in _pieces(pieces):
        yield piece.encode("utf-8", "replace")
    yield b"\n"


def _joined(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"\n{line}" if number else line


# --- the formats -----------------------------------------------------------------------------------------------------


def _markdown(source: Source) -> Iterator[str]:
    from agent.traces.pages.markdown import render

    yield render(source.timeline, source.redactor)


def _html(source: Source) -> Iterator[str]:
    from agent.traces.pages.html import render

    yield render(source.timeline, source.sub_agents, source.redactor)


def _json(source: Source) -> Iterator[str]:
    from agent.cli.sessions_views import as_json, events_json, messages_json, session_json
    from agent.sessions.restore import restore

    restored = restore(source.info.path)
    whole = {
        "session": session_json(source.info, restored),
        "messages": messages_json(restored),
        "events": events_json(source.info.path, restored),
    }
    yield as_json(source.redactor.data(whole))


def _claude_code_lines(timeline: Timeline, redactor: Redactor) -> Iterator[str]:
    from agent.traces.claude_code import lines

    return lines(timeline, redactor)


def _hub_lines(timeline: Timeline, redactor: Redactor) -> Iterator[str]:
    from agent.traces.hub_format import lines

    return lines(timeline, redactor)


def _legacy(source: Source) -> Iterator[str]:
    from agent.traces.legacy.snapshot import as_text, trajectory

    yield as_text(trajectory(source.info.path, source.state_dir, source.redactor)).rstrip("\n")


FORMATS: Mapping[str, Format] = {
    "markdown": Format(".md", "for people", _markdown),
    "html": Format(".html", "a page for people, as 'trace view' shows it", _html),
    "json": Format(".json", "everything that is kept, as one JSON object", _json),
    "claude-code": Format(
        ".jsonl",
        "a trace as Claude Code writes it, which most trace readers know",
        lambda source: _joined(_claude_code_lines(source.timeline, source.redactor)),
        _claude_code_lines,
    ),
    "hub": Format(
        ".jsonl",
        "the Hub's own format of session traces",
        lambda source: _joined(_hub_lines(source.timeline, source.redactor)),
        _hub_lines,
    ),
    "legacy": Format(".json", "the session file of the ml-intern that was retired", _legacy),
}
"""All formats by name; the first is what a person gets who names none."""


def format_of(path: Path) -> str | None:
    """The format that the ending of `path` means; None where it means none."""
    return _BY_ENDING.get(path.suffix.lower())


_BY_ENDING = {".md": "markdown", ".html": "html", ".json": "json", ".jsonl": "claude-code"}
