"""A conversation whose session opens when the test says so: `python -m tests.e2e.slow_opening MODEL GATE`.

GATE is a FIFO: the line that the test writes into it lets the session open, or ("fail") not. All else is the program's.
"""

from __future__ import annotations

import asyncio
import os
import sys
import termios
from dataclasses import replace
from datetime import date
from pathlib import Path

from agent.cli.interactive import run_interactive
from agent.cli.sharing import Uploads
from agent.config import Config, config_dir, state_dir
from agent.core.surroundings import Surroundings
from agent.sessions.errors import SessionError


def main(model: str, gate: str) -> int:
    """Hold it; the exit code."""
    config = replace(Config(), model_name=model)
    place = Surroundings(
        workspace=Path.cwd(),
        state_dir=state_dir(os.environ),
        config_dir=config_dir(os.environ),
        home=Path.home(),
        environ=os.environ,
        platform="test",
        today=date(2026, 1, 2),
    )

    def make_uploads() -> Uploads:
        with Path(gate).open() as told:
            word = told.readline().strip()
        if word == "fail":
            raise SessionError("the session is gone")
        return Uploads.of(config, place, os.environ, Path.cwd())

    try:
        return asyncio.run(run_interactive(config, place, make_uploads, "a place", None, stream=True))
    except SessionError as error:
        is_restored = bool(termios.tcgetattr(sys.stdin)[3] & termios.ECHO)
        print(f"failed: {error}; echo is {'on' if is_restored else 'off'}")
        return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
