"""`ml-intern trace view ID`: a kept session as a page in the browser."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from agent.cli.exit_codes import ExitCode
from agent.cli.exports import Source, redactor_for, write_export
from agent.cli.saved_sessions import find_saved
from agent.config_loading import state_dir
from agent.protocol.private_files import make_private_dir
from agent.redaction.live import LiveSecrets
from agent.sessions.errors import AmbiguousSessionError, SessionError, SessionNotFoundError
from agent.ui.sanitize import clip


def trace_parser() -> argparse.ArgumentParser:
    """What `ml-intern trace view` takes."""
    parser = argparse.ArgumentParser(
        prog="ml-intern trace view",
        description="Write a session as one HTML page that needs nothing else, and open it where there is a desktop.\n"
        "Secrets that can be recognised are taken out. ID is an id or its first characters, a number of\n"
        "'ml-intern sessions' in this directory, a title, or the path of a journal or of a session_….json file of the\n"
        "retired ml-intern.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("id", metavar="ID")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to FILE (readable by you alone); open nothing")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.add_argument("--no-open", action="store_true", help="only write the page")
    return parser


def run_trace(argv: Sequence[str], *, environ: Mapping[str, str], cwd: Path, out: TextIO) -> int:
    """Carry out `ml-intern trace view` with the words after it; returns the exit code.

    The path of the page goes to `out`; errors are one line on stderr.
    """
    try:
        arguments = trace_parser().parse_args(argv)
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else ExitCode.USAGE
    try:
        state = state_dir(environ)
        info = find_saved(arguments.id, cwd, state, LiveSecrets(environ))
        path = _write(Source(info, state, redactor_for(environ)), cwd, arguments)
    except FileExistsError as error:
        return _complain(f"{error.filename} exists; say --force to overwrite it")
    except (SessionNotFoundError, AmbiguousSessionError) as error:
        return _complain(error)
    except SessionError as error:
        return _complain(error, ExitCode.ERROR)
    print(clip(str(path), 400), file=out)
    if arguments.output is None and not arguments.no_open and out.isatty() and _has_desktop(environ):
        webbrowser.open(path.as_uri())
    return ExitCode.OK


def _complain(error: object, code: ExitCode = ExitCode.USAGE) -> ExitCode:
    print(f"ml-intern: {clip(str(error), 1_000)}", file=sys.stderr)
    return code


def _write(source: Source, cwd: Path, arguments: argparse.Namespace) -> Path:
    if arguments.output is not None:
        path, overwrite = cwd / Path(arguments.output).expanduser(), arguments.force
    else:
        path, overwrite = source.state_dir / "views" / f"{source.info.path.stem}.html", True
    try:
        if arguments.output is None:
            make_private_dir(path.parent)
        write_export(source, "html", path, overwrite=overwrite)
    except FileExistsError:
        raise
    except OSError as error:
        raise SessionError(f"{path} cannot be written ({error.strerror or error})") from error
    return path


def _has_desktop(environ: Mapping[str, str]) -> bool:
    """Whether a browser could come up in a window: one inside of this terminal is not what is meant."""
    has_windows = bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")) or sys.platform in ("darwin", "win32")
    return has_windows and "SSH_CONNECTION" not in environ
