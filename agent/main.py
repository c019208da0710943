"""The entry point: parse first, import late."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.cli.args import Arguments


YOUNG_OBJECTS = 5_000
"""How many objects may come before those without an owner are looked for. A start makes fifty thousand, nearly all for
good, and Python's own 700 has it search them seventy times: a tenth of the start. More than this saves nothing."""


def cli(argv: Sequence[str] | None = None) -> None:
    """Run `ml-intern` and exit with its code."""
    from agent.cli.args import parse

    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
    _replace_closed_streams()
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        code = _carry_out(arguments)
    except KeyboardInterrupt:  # while still starting; later Ctrl-C is handled
        code = 130
    finally:
        _flush_streams()
    if argv is None:
        _leave_daemons_behind(code)
    sys.exit(code)


def _leave_daemons_behind(code: int) -> None:
    """Exit at once if threads go on that nobody waits for: one that imports litellm's native parts crashes an
    interpreter that takes itself apart meanwhile."""
    import threading

    if any(thread.daemon for thread in threading.enumerate()):
        import logging

        logging.shutdown()
        os._exit(code)


def _carry_out(arguments: Arguments) -> int:
    try:
        if arguments.command == "sessions" and arguments.rest[:1] != ("rewind",):
            from agent.cli.sessions_command import run_sessions

            return run_sessions(list(arguments.rest), environ=os.environ, cwd=Path.cwd(), out=sys.stdout)
        if arguments.command == "trace":
            from agent.cli.trace_command import run_trace

            return run_trace(arguments.rest, environ=os.environ, cwd=Path.cwd(), out=sys.stdout)
        if arguments.command == "doctor":
            from agent.cli.doctor.command import run_doctor

            return run_doctor(arguments, environ=os.environ, cwd=Path.cwd(), stdin=sys.stdin, out=sys.stdout)
        if arguments.command == "completion":
            from agent.cli.completion_command import run_completion

            return run_completion(arguments.rest[0], sys.stdout)
        from agent.cli.start import run

        return run(arguments)
    except BrokenPipeError:  # `sessions list | head -1`: nothing is wrong, and nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk below stdout, a terminal that is gone, a directory that was removed
        with contextlib.suppress(OSError):  # nobody can be told that stderr is full
            print(f"ml-intern: {error.strerror or error}{_place(error)}", file=sys.stderr)
        return 1


def _place(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def _flush_streams() -> None:
    """Flush now, as the interpreter's own flush at exit turns a full disk or a reader that left into exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _replace_closed_streams() -> None:
    """Python leaves None for a stream that the caller has closed (`>&-`); nothing below should have to know."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115


if __name__ == "__main__":
    cli()
