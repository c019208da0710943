"""The entry point: parse first, import late."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def cli(argv: Sequence[str] | None = None) -> None:
    """Run `ml-intern` and exit with its code."""
    from agent.cli.args import parse

    _replace_closed_streams()
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        from agent.cli.start import run

        code = run(arguments)
    except KeyboardInterrupt:  # while still starting; later Ctrl-C is handled
        code = 130
    finally:
        _flush_streams()
    sys.exit(code)


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
