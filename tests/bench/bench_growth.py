"""How long the parts of a session take that could grow with its length. See README.md here.

Run by hand: `uv run python -m tests.bench.bench_growth`.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.protocol.messages import new_id, user_message, utc_now
from agent.protocol.tools import ToolResult, ToolSpec
from agent.redaction.live import LiveSecrets
from agent.sessions.index import SessionIndex
from agent.sessions.journal import Journal, journal_path
from agent.sessions.restore import restore
from tests.bench.session_files import write_records, write_sessions
from tests.unit.core.loop import call, calls, running

TURNS = 300
SPREAD = 5
"""A turn's time is the median of so many before and after it."""
SESSIONS, EVENTS, RECORD_BYTES = 10_000, 10_000, 50_000


async def _look(arguments: dict[str, Any], _session: object, _call_id: str) -> ToolResult:
    return ToolResult(f"{arguments['n']} " * 200)


LOOK = ToolSpec("look", "Looks.", {"type": "object", "properties": {"n": {"type": "integer"}}}, _look)


async def turns(place: Path, window_tokens: int) -> None:
    """Turns of two model calls and two tool calls."""
    place.mkdir()
    answers: list[dict[str, Any]] = [{"when": "^An agent for machine-learning", "text": "## State\nAs it was."}]
    for number in range(TURNS + SPREAD):
        looks = (call("look", {"n": number}), call("look", {"n": -number}))
        answers += [calls(*looks), {"text": "It is as it was."}]
    times_s = []
    async with running(place, answers, tools=[LOOK], context_window=window_tokens) as loop:
        for _ in range(TURNS + SPREAD):
            started_s = time.perf_counter()
            await loop.turn()
            times_s.append(time.perf_counter() - started_s)
    for number in (10, TURNS):
        around = times_s[number - SPREAD : number + SPREAD]
        show(f"turn {number}, window {window_tokens:,} tokens", statistics.median(around))


def append(place: Path) -> None:
    """One record, secrets taken out; and made durable."""
    journal = Journal.create(journal_path(place / "append", new_id(), utc_now()), LiveSecrets({}))
    text = "epoch 3 loss 0.1234 lr 1e-4 \n" * (RECORD_BYTES // 29)
    message = user_message(text)
    show(f"append of {len(text):,} characters", measured(lambda: journal.append_message(message)))
    show("  with fsync", measured(lambda: (journal.append_message(message), journal.sync())))
    journal.close()


def take_up(place: Path) -> None:
    """Reading a session of 10,000 records back."""
    path = write_records(place / "restore", EVENTS)
    show(f"restore of {EVENTS:,} records ({path.stat().st_size / 1e6:.1f} MB)", measured(lambda: restore(path)))


def listing(place: Path) -> None:
    """The list of 10,000 sessions: the first time, and when it is known already."""
    state = place / "list"
    write_sessions(state, SESSIONS)
    index = SessionIndex(state)
    show(f"first list of {SESSIONS:,} sessions", measured(lambda: index.list(limit=20), rounds=1))
    show("  again", measured(lambda: index.list(limit=20), rounds=5))


def measured(work: Callable[[], object], rounds: int = 15) -> float:
    """Median seconds of `work`."""
    times_s = []
    for _ in range(rounds):
        started_s = time.perf_counter()
        work()
        times_s.append(time.perf_counter() - started_s)
    return statistics.median(times_s)


def show(what: str, duration_s: float) -> None:
    """A line of the table."""
    print(f"{what:<50} {1000 * duration_s:10.2f} ms", flush=True)


def main() -> None:
    """All of it, in a directory that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as directory:
        place = Path(directory)
        for window_tokens in (2_000_000, 40_000):  # never shortened; shortened every few dozen turns
            asyncio.run(turns(place / f"turns-{window_tokens}", window_tokens))
        append(place)
        take_up(place)
        listing(place)


if __name__ == "__main__":
    main()
