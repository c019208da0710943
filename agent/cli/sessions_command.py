"""`ml-intern sessions …`: the kept sessions, to list, read, remove, name and export."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from agent.cli import sft_command
from agent.cli.exit_codes import ExitCode
from agent.cli.exports import FORMATS, Source, export_text, format_of, redactor_for, write_export, written_text
from agent.cli.sessions_views import as_json, conversation_text, head_text, list_text, messages_json, session_json
from agent.config_loading import state_dir
from agent.light_dataclass import dataclass
from agent.redaction.live import LiveSecrets
from agent.sessions.errors import AmbiguousSessionError, SessionError, SessionNotFoundError
from agent.sessions.index import SessionIndex, SessionInfo
from agent.sessions.restore import restore
from agent.ui.sanitize import clip
from agent.ui.tool_lines import counted

LISTED = 20


class UsageError(Exception):
    """What was asked for cannot be done that way."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the command runs."""

    index: SessionIndex
    environ: Mapping[str, str]
    cwd: Path
    out: TextIO


def run_sessions(argv: list[str], *, environ: Mapping[str, str], cwd: Path, out: TextIO) -> int:
    """Carry out `ml-intern sessions` with the words after it; returns the exit code.

    Results go to `out`; errors are one line on stderr. Without a subcommand it lists.
    """
    if not argv or (argv[0].startswith("-") and argv[0] not in {"-h", "--help"}):
        argv = ["list", *argv]
    try:
        arguments = sessions_parser().parse_args(argv)
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else ExitCode.USAGE
    place = Place(SessionIndex(state_dir(environ)), environ, cwd, out)
    command: Callable[[argparse.Namespace, Place], None] = arguments.command
    try:
        command(arguments, place)
    except (UsageError, SessionNotFoundError, AmbiguousSessionError) as error:
        return _complain(error, ExitCode.USAGE)
    except SessionError as error:
        return _complain(error, ExitCode.ERROR)
    return ExitCode.OK


def _complain(error: Exception, code: ExitCode) -> ExitCode:
    print(f"ml-intern: {clip(str(error), 1_000)}", file=sys.stderr)
    return code


def sessions_parser() -> argparse.ArgumentParser:
    """What `ml-intern sessions` takes."""
    parser = argparse.ArgumentParser(
        prog="ml-intern sessions",
        description="List, read, remove, name and export kept sessions, and make training data of them.\n"
        "ID is an id or its first characters, a number of 'ml-intern sessions' in this directory, a title, or the\n"
        "path of a journal or of a session_….json file of the retired ml-intern.",
        epilog="'ml-intern sessions rewind --help' tells how to take back turns of a session.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace, Place], None], help_text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
        sub.set_defaults(command=command)
        return sub

    sub = add("list", _list, "list the sessions of this directory and below, latest use first")
    sub.add_argument("--all", action="store_true", help="those of all directories")
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub.add_argument("-n", type=_count, metavar="N", help=f"at most N sessions (default {LISTED}, with --json all)")
    sub.add_argument("query", nargs="*", metavar="QUERY", help="words that the title or the prompts must have")
    sub = add("show", _show, "print what a session is about and what was said")
    sub.add_argument("id", metavar="ID")
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub = add("rm", _remove, "remove sessions with all that is kept of them")
    sub.add_argument("ids", nargs="+", metavar="ID")
    sub.add_argument("--yes", action="store_true", help="do not ask")
    sub = add("rename", _rename, "give a session a title")
    sub.add_argument("id", metavar="ID")
    sub.add_argument("title", nargs="+", metavar="TITLE")
    sub = add("export", _export, "write a session out in full, without the secrets that can be recognised")
    sub.add_argument("id", metavar="ID")
    first, *_ = FORMATS
    sub.epilog = "formats:\n" + "\n".join(f"  {name:<12} {form.about}" for name, form in FORMATS.items())
    sub.formatter_class = argparse.RawDescriptionHelpFormatter
    sub.add_argument("--format", choices=list(FORMATS), help=f"default: by the ending of FILE, else {first}")
    sub.add_argument("-o", "--output", metavar="FILE", help="write to FILE (readable by you alone), not to stdout")
    sub.add_argument("--force", action="store_true", help="overwrite FILE")
    sft_command.add_arguments(add("sft", _sft, sft_command.ABOUT))
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of sessions; give 1 or more")
    return int(text)


def _list(arguments: argparse.Namespace, place: Place) -> None:
    cwd = None if arguments.all else place.cwd
    query = " ".join(arguments.query)
    if arguments.json:
        found = place.index.list(cwd, query, arguments.n)
        print(as_json([session_json(info) for info in found]), file=place.out)
        return
    limit = arguments.n or LISTED
    found = place.index.list(cwd, query, limit + 1)
    if found:
        is_plain = not arguments.all and not query  # other lists have other numbers, which nobody could use
        print(list_text(found[:limit], numbered=is_plain, with_cwd=arguments.all), file=place.out)
    else:
        about = f" about '{query}'" if query else ""
        where = "" if arguments.all else " in this directory; 'ml-intern sessions list --all' looks everywhere"
        print(f"No sessions{about}{where}.", file=place.out)
    if len(found) > limit:
        print(f"There are more: -n {2 * limit} lists twice as many.", file=place.out)


def _find(text: str, place: Place) -> SessionInfo:
    """The session meant by `text`, which may be a session file of the retired ml-intern."""
    from agent.cli.saved_sessions import find_saved

    return find_saved(text, place.cwd, state_dir(place.environ), LiveSecrets(place.environ))


def _show(arguments: argparse.Namespace, place: Place) -> None:
    info = _find(arguments.id, place)
    restored = restore(info.path)
    if arguments.json:
        shown = {"session": session_json(info, restored), "messages": messages_json(restored)}
        print(as_json(shown), file=place.out)
    else:
        print(f"{head_text(info, restored)}\n\n{conversation_text(restored)}", file=place.out)


def _remove(arguments: argparse.Namespace, place: Place) -> None:
    found = [place.index.find(text, place.cwd) for text in arguments.ids]
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise UsageError("nothing was removed: without a terminal to ask on, say --yes")
        print(list_text(found, with_cwd=True), file=place.out)
        print(f"Remove {counted(len(found), 'session')} for good? [y/N] ", end="", file=place.out, flush=True)
        if sys.stdin.readline().strip().casefold() not in {"y", "yes"}:
            print("Nothing was removed.", file=place.out)
            return
    from agent.traces.uploads.outbox import Outbox

    outbox = Outbox(state_dir(place.environ))
    for info in {info.path: info for info in found}.values():
        place.index.remove(info)
        with contextlib.suppress(OSError):  # an entry without a journal leads nowhere: the next upload forgets it
            outbox.remove(info.id)
        print(f"Removed {info.id[:8]} {clip(info.title, 60)}".rstrip(), file=place.out)


def _rename(arguments: argparse.Namespace, place: Place) -> None:
    secrets = LiveSecrets(place.environ)
    title = secrets.scrub(" ".join(" ".join(arguments.title).split()))
    if not title:
        raise UsageError("the title is empty; say 'ml-intern sessions rename ID TITLE'")
    info = place.index.find(arguments.id, place.cwd)
    place.index.rename(info, title, secrets)
    _upload_again(info, place)
    print(f"{info.id[:8]} is now called {clip(title, 60)}", file=place.out)


def _upload_again(info: SessionInfo, place: Place) -> None:
    """What is on the Hub of a session has its old title."""
    from agent.traces.uploads.outbox import Outbox

    outbox = Outbox(state_dir(place.environ))
    with contextlib.suppress(OSError):
        if outbox.knows(info.id):
            outbox.add(info.id, info.path)


def _export(arguments: argparse.Namespace, place: Place) -> None:
    info = _find(arguments.id, place)
    source = Source(info, state_dir(place.environ), redactor_for(place.environ))
    output = None if arguments.output in (None, "-") else place.cwd / Path(arguments.output).expanduser()
    form = arguments.format or (output and format_of(output)) or next(iter(FORMATS))
    count = len(source.sub_agents) if FORMATS[form].lines_of is not None else 0
    if output is None:
        print(export_text(source, form), file=place.out)
        if count:
            print(f"ml-intern: {counted(count, 'sub-agent')} left out; -o FILE writes them too", file=sys.stderr)
        return
    try:
        folder = write_export(source, form, output, overwrite=arguments.force)
    except FileExistsError as error:
        raise UsageError(f"{error.filename} exists; say --force to overwrite it") from error
    except OSError as error:
        raise SessionError(f"{output} cannot be written ({error.strerror or error})") from error
    print(clip(f"Written to {written_text(output, folder, count)}", 400), file=place.out)


def _sft(arguments: argparse.Namespace, place: Place) -> None:
    print(sft_command.make_rows(arguments, place.environ, place.cwd), file=place.out)
