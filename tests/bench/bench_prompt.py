"""How long a person waits for the prompt: from the start of a conversation to the echo of the first key.

Against the floor: what a bare asyncio and httpx script takes to its first request. Both in turns, on a new machine's
home each time, after one round that is not counted. By hand: `uv run python -m tests.bench.bench_prompt --runs 5`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pexpect

from tests.bench.model_server_process import ModelServer
from tests.bench.processes import OURS, PYTHON, RunError, clean_environment, run
from tests.e2e.processes import RUN_ID_VARIABLE, kill_run, with_run_id

COLUMNS, ROWS = 100, 30
TIMEOUT_S, REST_S = 60.0, 0.5
FLOOR = Path(__file__).with_name("floor.py")
TAKES_KEYS = b"\x1b[?2004h"
"""Bracketed paste is switched on: the composer is drawn, and reads."""
KEY = "Ж"
"""A key that nothing else on the screen has the letter of."""


class Pty:
    """A program in a terminal that nobody draws: what it writes is kept, with the time when it came."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], cwd: Path) -> None:
        full = with_run_id({"TERM": "xterm-256color", **environment})
        self._run_id = full[RUN_ID_VARIABLE]
        self._came = threading.Condition()
        self._written = bytearray()
        self._marks: list[tuple[int, float]] = []
        self._is_over = False
        self.started_s = time.monotonic()
        self._child = pexpect.spawn(
            argv[0], list(argv[1:]), env=full, cwd=str(cwd), dimensions=(ROWS, COLUMNS), timeout=None, echo=False
        )
        threading.Thread(target=self._drain, daemon=True).start()

    @property
    def size(self) -> int:
        """How many bytes were written so far."""
        with self._came:
            return len(self._written)

    def type(self, text: str) -> float:
        """Press keys; when (`time.monotonic`)."""
        at_s = time.monotonic()
        os.write(self._child.child_fd, text.encode())
        return at_s

    def seen(self, what: bytes, since: int = 0) -> float:
        """When `what` was written, behind the first `since` bytes. Waits; RunError if it never comes."""
        with self._came:
            self._came.wait_for(lambda: self._written.find(what, since) >= 0 or self._is_over, TIMEOUT_S)
            found = self._written.find(what, since)
            if found < 0:
                raise RunError(f"{what!r} was not written: {bytes(self._written[-300:])!r}")
            end = found + len(what)
            return next(at_s for size, at_s in self._marks if size >= end)

    def has(self, what: bytes, since: int = 0) -> bool:
        """Whether `what` was written, behind the first `since` bytes."""
        with self._came:
            return self._written.find(what, since) >= 0

    def rest(self) -> None:
        """Wait until nothing was written for a while."""
        size = -1
        while size != self.size:
            size = self.size
            time.sleep(REST_S)

    def close(self) -> None:
        """Kill whatever is left of it."""
        kill_run(self._run_id, self._child.pid)
        self._child.close()

    def _drain(self) -> None:
        while True:
            try:
                data = os.read(self._child.child_fd, 1 << 16)
            except OSError:  # EIO: the program has closed its terminal
                data = b""
            with self._came:
                self._written += data
                self._marks.append((len(self._written), time.monotonic()))
                self._is_over = not data
                self._came.notify_all()
            if not data:
                return


@contextlib.contextmanager
def conversation(url: str) -> Iterator[Pty]:
    """The installed command in a terminal, on a new machine, with a model at `url`."""
    with tempfile.TemporaryDirectory(prefix="bench-home-", ignore_cleanup_errors=True) as home:
        environment = clean_environment(Path(home)) | {"VLLM_BASE_URL": url, "LANG": "C.UTF-8"}
        del environment["NO_COLOR"]
        work = Path(home, "work")
        work.mkdir()
        pty = Pty([*OURS, "--model", "vllm/bench"], environment, work)
        try:
            yield pty
        finally:
            pty.close()


def measure(runs: int) -> dict[str, list[float]]:
    """Seconds, a value per run: "floor" start → first request, "ours" start → the first key is echoed, and "drawn"
    start → the prompt is there."""
    figures: dict[str, list[float]] = {"floor": [], "ours": [], "drawn": []}
    with ModelServer() as server:
        for number in range(runs + 1):
            values = {"floor": _floor(server)} | _prompt(server)
            if number:
                for name, value in values.items():
                    figures[name].append(value)
    return figures


def _floor(server: ModelServer) -> float:
    word, url = server.place("text")
    with tempfile.TemporaryDirectory(prefix="bench-home-") as home:
        done = run([PYTHON, str(FLOOR), f"{url}/v1", "hi"], clean_environment(Path(home)))
    return server.requests(word, 1, TIMEOUT_S)[0].at_s - done.started_s


def _prompt(server: ModelServer) -> dict[str, float]:
    _, url = server.place("text")
    with conversation(url) as pty:
        drawn_s = pty.seen(TAKES_KEYS)
        before = pty.size
        pty.type(KEY)
        return {"ours": pty.seen(KEY.encode(), before) - pty.started_s, "drawn": drawn_s - pty.started_s}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    figures = measure(parser.parse_args().runs)
    for name, values in figures.items():
        print(
            f"{name:8} {statistics.median(values) * 1000:6.0f} ms  ({min(values) * 1000:.0f}-{max(values) * 1000:.0f})"
        )
    ratios = [ours / floor for ours, floor in zip(figures["ours"], figures["floor"], strict=True)]
    print(f"ours to floor, pair by pair: {statistics.median(ratios):.2f}  ({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main()
