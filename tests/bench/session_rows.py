"""Rows about what many sessions, and long ones, cost.

It is always the time of the whole command, less that of the same command with nearly nothing to do.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench.figures import DIFFERENCE, MILLISECONDS, Row
from tests.bench.processes import OURS, PYTHON, Run, RunError, clean_environment, run
from tests.bench.rounds import Bench

RECORDS, SESSIONS = 10_000, 10_000
RESUME_AT_MOST_S, LIST_AT_MOST_S = 0.5, 0.3
NEVER_SHORTENED = {"ML_INTERN_CONTEXT_WINDOW": "100000000"}
WRITER_TIMEOUT_S = 120


def resume(bench: Bench) -> list[Row]:
    """From the start of `--resume ID "hi"` to the first request, less the same with a session of two records."""
    state = Path(bench.environment()["XDG_STATE_HOME"], "ml-intern")
    short_id, long_id = (_write(state, "--records", records) for records in (2, RECORDS))
    pairs = bench.rounds(
        lambda: bench.ours("--resume", short_id, more=NEVER_SHORTENED),
        lambda: bench.ours("--resume", long_id, more=NEVER_SHORTENED),
    )
    return [
        Row(
            "resume",
            f"resume of {RECORDS:,} events, start-up aside",
            tuple(short.first_s for short, _ in pairs),
            tuple(long.first_s for _, long in pairs),
            MILLISECONDS,
            DIFFERENCE,
            RESUME_AT_MOST_S,
        )
    ]


def listing(bench: Bench) -> list[Row]:
    """`sessions list --all` of 10,000 sessions, less the same with one: known already, and for the first time."""
    few, many = (bench.new_home() for _ in range(2))
    for home, count in ((few, 1), (many, SESSIONS)):
        _write(Path(clean_environment(home)["XDG_STATE_HOME"], "ml-intern"), "--sessions", count)
    known = bench.rounds(lambda: _list(few, False), lambda: _list(many, False))
    new = bench.rounds(lambda: _list(few, True), lambda: _list(many, True))
    return [_listed("list", "", known, LIST_AT_MOST_S), _listed("list-first", ", index made anew", new, None)]


def _listed(name: str, how: str, pairs: list[tuple[Run, Run]], at_most: float | None) -> Row:
    return Row(
        name,
        f"`sessions list` of {SESSIONS:,}, start-up aside{how}",
        tuple(floor.wall_s for floor, _ in pairs),
        tuple(ours.wall_s for _, ours in pairs),
        MILLISECONDS,
        DIFFERENCE,
        at_most,
    )


def _list(home: Path, is_first: bool) -> Run:
    if is_first:
        for file in home.rglob("index.sqlite3*"):
            file.unlink()
    return run((*OURS, "sessions", "list", "--all"), clean_environment(home))


def _write(state: Path, what: str, count: int) -> str:
    """Have sessions written by another process, so that this one stays small; what it prints: an id."""
    argv = (PYTHON, "-m", "tests.bench.session_files", str(state), what, str(count))
    finished = subprocess.run(argv, capture_output=True, text=True, timeout=WRITER_TIMEOUT_S, check=False)
    if finished.returncode:
        raise RunError(f"no sessions were written: {finished.stderr.strip()[-300:]}")
    return finished.stdout.strip()
