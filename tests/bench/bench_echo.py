"""How long a key takes to appear while an answer streams. By hand: `uv run python -m tests.bench.bench_echo`.

A key is pressed every 100 ms, each one with a letter that nothing else on the screen has; the time from there to the
letter on the terminal is its latency.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

from tests.bench.bench_prompt import TAKES_KEYS, Pty, conversation
from tests.bench.bench_stream import Server
from tests.bench.stream_server import LAST_WORD, question

KEY_EVERY_S = 0.1
LETTERS = [chr(code) for code in range(0x0410, 0x0450)]
"""Cyrillic: none of them is in the answer."""
STREAMS = {
    "200 chunks a second": question(1_000, 0.005, "markdown"),
    "20,000 chunks at once": question(20_000, 0.0, "markdown"),
}


def latencies(server: Server, asked: str) -> list[float]:
    """Seconds from each key to its letter, in the second turn of a session: the first has imported what is needed."""
    with conversation(server.url) as pty:
        pty.seen(TAKES_KEYS)
        _send(pty, server, question(20, 0.0, "markdown"))
        pty.seen(LAST_WORD.encode())
        pty.rest()
        before = pty.size
        _send(pty, server, asked)
        return list(_typed(pty, before))


def _send(pty: Pty, server: Server, text: str) -> None:
    pty.type(text)
    time.sleep(0.3)  # or Enter is taken as part of a paste
    pty.type("\r")
    server.wait_for("request")


def _typed(pty: Pty, before: int) -> Iterator[float]:
    """Type until the answer's last word is on the screen."""
    for letter in LETTERS:
        start, pressed_s = pty.size, pty.type(letter)
        yield pty.seen(letter.encode(), start) - pressed_s
        if pty.has(LAST_WORD.encode(), before):
            return
        time.sleep(max(0.0, pressed_s + KEY_EVERY_S - time.monotonic()))


def p95(values: list[float]) -> float:
    """The value that one in twenty exceeds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


def measure(runs: int) -> dict[str, list[float]]:
    """Seconds, by way of streaming: the 95th percentile of each run."""
    return {name: [p95(values) for values in each] for name, each in _measured(runs).items()}


def _measured(runs: int) -> dict[str, list[list[float]]]:
    server = Server()
    try:
        return {name: [latencies(server, asked) for _ in range(runs)] for name, asked in STREAMS.items()}
    finally:
        server.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2)
    print(f"{'key to echo, ms':24} {'keys':>5} {'median':>7} {'p95':>7} {'max':>7}")
    for name, each in _measured(parser.parse_args().runs).items():
        for values in each:
            figures = (statistics.median(values), p95(values), max(values))
            print(f"{name:24} {len(values):5} " + " ".join(f"{value * 1000:7.1f}" for value in figures))


if __name__ == "__main__":
    main()
