"""`ml-intern sessions rewind`: take back turns of a saved session, without a model and without a conversation."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from agent.cli.connection import Connection
from agent.cli.exit_codes import ExitCode
from agent.cli.saved_sessions import find_session
from agent.config import Config
from agent.core.agent_loop import Resumption
from agent.core.surroundings import Surroundings
from agent.llm.auto import DEMO
from agent.protocol.events import ErrorRaised, Event, ResumeComplete, UndoComplete
from agent.protocol.operations import OpType
from agent.sessions.errors import AmbiguousSessionError, JournalError, SessionError, SessionNotFoundError
from agent.ui.notices import operation_lines


def run_rewind(argv: Sequence[str], config: Config, surroundings: Surroundings, out: TextIO) -> int:
    """Do what `argv` (the words after `rewind`) asks for and print what came of it; returns the exit code."""
    try:
        parsed = rewind_parser().parse_args(argv)
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else ExitCode.USAGE
    try:
        undone = asyncio.run(_rewind(parsed, config, surroundings))
    except SessionError as error:
        print(f"ml-intern: {error}", file=sys.stderr)
        return ExitCode.USAGE if isinstance(error, (SessionNotFoundError, AmbiguousSessionError)) else ExitCode.ERROR
    print("\n".join(operation_lines(undone)), file=out)
    return ExitCode.OK


def rewind_parser() -> argparse.ArgumentParser:
    """What `ml-intern sessions rewind` takes."""
    parser = argparse.ArgumentParser(
        prog="ml-intern sessions rewind",
        description="Take back the last turns of a saved session: what was said, and what was done to files.",
        allow_abbrev=False,
    )
    parser.add_argument("session", metavar="ID", help="id, beginning of an id, number in 'sessions list', or title")
    parser.add_argument("-n", "--turns", type=_count, default=1, help="how many turns (default: 1)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--chat", dest="what", action="store_const", const="chat", help="leave the files as they are")
    only.add_argument("--files", dest="what", action="store_const", const="files", help="leave the conversation alone")
    parser.set_defaults(what="both")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of turns, 1 or more")
    return int(text)


async def _rewind(parsed: argparse.Namespace, config: Config, surroundings: Surroundings) -> UndoComplete:
    """The real operation on the real session; its model is not asked anything."""
    info = await find_session(parsed.session, surroundings.workspace)
    if not await asyncio.to_thread(Path(info.cwd).is_dir):
        raise JournalError(f"the session ran in {info.cwd}, which is not there any more")
    if info.is_running:
        raise JournalError(f"the session {info.id} is open in another ml-intern; use /rewind there")
    settings = replace(config, model_name=DEMO, save_sessions=True)
    place = replace(surroundings, workspace=Path(info.cwd))
    resumption = Resumption(info.path)
    async with Connection(settings, place, stream=False, on_event=_ignore, resumption=resumption) as connection:
        await connection.wait_for(lambda event: isinstance(event.payload, ResumeComplete))
        await connection.submit(OpType.UNDO, {"turns": parsed.turns, "what": parsed.what})
        done = await connection.wait_for(lambda event: isinstance(event.payload, (UndoComplete, ErrorRaised)))
    if isinstance(done.payload, ErrorRaised):
        raise SessionError(done.payload.error)
    assert isinstance(done.payload, UndoComplete)
    return done.payload


def _ignore(_event: Event) -> None:
    pass
