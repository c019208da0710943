"""Rows about 300 tool turns: the whole of it, whether turns grow slower, and what they leave in memory."""

from __future__ import annotations

import itertools
import json
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

from tests.bench.figures import MEGABYTES, MILLISECONDS, RATIO, SECONDS, Row
from tests.bench.model_server_process import Request
from tests.bench.processes import RunError
from tests.bench.rounds import Asked, Bench

TURNS = 300
EARLY, LATE = (5, 25), (280, 300)
"""Turns whose median stands for "at turn 10" and "at turn 300"."""
WALL_AT_MOST, MEMORY_AT_MOST, GROWTH_AT_MOST = 2.5, 2.25, 1.2
ENCODINGS = 15


def turns(bench: Bench) -> list[Row]:
    """One prompt, 300 calls of bash, a last word; journal, checkpoints and events as they are by default."""
    script = f"tools-{TURNS}"
    pairs = bench.rounds(lambda: bench.floor(script), lambda: bench.ours("--max-iterations", "400", script=script))
    floors, ours = [floor for floor, _ in pairs], [own for _, own in pairs]
    return [
        Row(
            "turns",
            f"{TURNS} turns with a call of bash each",
            tuple(one.run.wall_s for one in floors),
            tuple(one.run.wall_s for one in ours),
            SECONDS,
            RATIO,
            WALL_AT_MOST,
        ),
        _memory(floors, ours),
        _growth("turn-growth-floor", "a turn at 300 to one at 10: the floor", floors, turn_s, None),
        _growth("turn-growth", "the same, ours", ours, turn_s, None),
        _growth("turn-growth-aside", "the same, encoding aside", ours, turn_without_encoding_s, GROWTH_AT_MOST),
    ]


def _memory(floors: list[Asked], ours: list[Asked]) -> Row:
    """Peak memory. A child begins with the peak of who started it, for Linux: so this process has to be a small one."""
    smallest = min(one.run.peak_bytes for one in floors)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if own >= smallest:
        raise RunError(f"the benchmark itself has grown to {own / 1e6:.0f} MB, which is counted as its children's")
    of_floor, of_ours = (tuple(float(one.run.peak_bytes) for one in runs) for runs in (floors, ours))
    return Row("memory", "peak memory of that", of_floor, of_ours, MEGABYTES, RATIO, MEMORY_AT_MOST)


def _growth(
    name: str,
    what: str,
    runs: list[Asked],
    duration_s: Callable[[list[Request], tuple[int, int]], float],
    at_most: float | None,
) -> Row:
    """The early turns of a run are the floor of its late ones."""
    early, late = (tuple(duration_s(one.requests, part) for one in runs) for part in (EARLY, LATE))
    return Row(name, what, early, late, MILLISECONDS, RATIO, at_most)


def turn_s(requests: list[Request], part: tuple[int, int]) -> float:
    """Median time from one request to the next."""
    first, last = part
    times = [request.at_s for request in requests[first : last + 1]]
    return statistics.median(after - before for before, after in itertools.pairwise(times))


def turn_without_encoding_s(requests: list[Request], part: tuple[int, int]) -> float:
    """`turn_s` without what `json.dumps` takes, in this process and now, for a body of that size and as many messages.

    That is an estimate. A program that does not encode each request as a whole is given more than it needs.
    """
    middle = sum(part) // 2
    return turn_s(requests, part) - encoding_s(requests[middle].body_bytes, middle)


def encoding_s(body_bytes: int, turn: int) -> float:
    """The least of some encodings of a request of so many bytes after so many turns with one call each."""
    body = body_of(body_bytes, turn)
    times_s = []
    for _ in range(ENCODINGS):
        before_s = time.perf_counter()
        json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        times_s.append(time.perf_counter() - before_s)
    return min(times_s)


def body_of(body_bytes: int, turn: int) -> dict[str, Any]:
    """A request of that size: messages as they are, and the rest (prompt, tools) as one long text."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
    for number in range(1, turn + 1):
        function = {"name": "bash", "arguments": json.dumps({"command": f"echo {number}"})}
        call = {"id": f"call_{number}", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call_{number}", "content": f"{number}\n"})
    body: dict[str, Any] = {"model": "bench", "messages": messages, "stream": True}
    missing = body_bytes - len(json.dumps(body | {"system": ""}, separators=(",", ":")))
    return body | {"system": "x" * max(0, missing)}
