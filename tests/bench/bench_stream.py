"""What a fast answer costs: from the model server's socket to the last word on the terminal. See README.md here.

Run by hand: `uv run python -m tests.bench.bench_stream`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pexpect

from tests.bench.processes import clean_environment
from tests.bench.stream_server import LAST_WORD, question
from tests.e2e.processes import COMMAND, RUN_ID_VARIABLE, kill_run, with_run_id

COLUMNS, ROWS = 100, 30
TIMEOUT_S = 60.0
IDLE_S = 0.5
"""A program that has used no CPU for so long has finished its turn."""
PACE_S = 0.001
TAIL_BYTES = 1000
READY = b"\x1b[?2004h"
CURSOR_QUESTION, CURSOR_ANSWER = b"\x1b[6n", b"\x1b[1;1R"
PRINTER = Path(__file__).with_name("stream_printer.py")
PRINTERS = ("httpx", "llm")


@dataclass(frozen=True)
class Turn:
    """One answer. CPU is user + system time of the program and its threads, from the request's arrival at the server.

    `shown_s` is the time from the server's last byte to the answer's last word on the terminal.
    """

    shown_cpu_s: float
    whole_cpu_s: float
    shown_s: float
    written_bytes: int


class Server:
    """`stream_server` in a process of its own. `events` has what it tells: ("request" | "sent", time)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.stream_server"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.events: queue.Queue[tuple[str, float]] = queue.Queue()
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    def wait_for(self, name: str) -> float:
        """The time (`time.monotonic`) of the next event of this name. RuntimeError if there is none."""
        while True:
            try:
                what, at_s = self.events.get(timeout=TIMEOUT_S)
            except queue.Empty:
                raise RuntimeError(f"the server told of no {name!r} within {TIMEOUT_S:.0f} s") from None
            if what == name:
                return at_s

    def close(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            what, at_s = line.split()
            self.events.put((what, float(at_s)))


class Pty:
    """A program in a terminal that nobody draws: the bytes are drained, watched for one word, and thrown away."""

    def __init__(self, argv: list[str], environment: dict[str, str], cwd: str) -> None:
        full = with_run_id({"TERM": "xterm-256color", **environment})
        self._run_id = full[RUN_ID_VARIABLE]
        self._child = pexpect.spawn(
            argv[0], argv[1:], env=full, cwd=cwd, dimensions=(ROWS, COLUMNS), timeout=None, echo=False
        )
        self.pid: int = self._child.pid
        self.written_bytes = 0
        self._word = b""
        self._seen: queue.Queue[float | None] = queue.Queue()
        self._tail = b""
        threading.Thread(target=self._drain, daemon=True).start()

    def watch(self, word: bytes) -> None:
        """Begin to look for `word` in what is written from now on."""
        self._tail, self._word = b"", word

    def seen(self) -> float:
        """Wait for the word that is watched; the time when it came. RuntimeError if it does not come."""
        try:
            at_s = self._seen.get(timeout=TIMEOUT_S)
        except queue.Empty:
            raise RuntimeError(f"{self._word.decode()} was not shown within {TIMEOUT_S:.0f} s") from None
        if at_s is None:
            raise RuntimeError(f"the program has ended: {self._tail.decode(errors='replace')}")
        return at_s

    def type(self, text: str) -> None:
        """Send keys."""
        os.write(self._child.child_fd, text.encode())

    def cpu_s(self) -> float:
        """User + system time of the program so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_when_idle_s(self) -> float:
        """Its time once it does nothing any more."""
        before = self.cpu_s()
        while True:
            time.sleep(IDLE_S)
            now = self.cpu_s()
            if now - before < 0.03:  # a clock in the status line may tick on
                return before
            before = now

    def close(self) -> None:
        """Kill whatever is left of it."""
        kill_run(self._run_id, self.pid)
        self._child.close()

    def _drain(self) -> None:
        while True:
            try:
                data = os.read(self._child.child_fd, 1 << 16)
            except OSError:  # EIO: the program has closed its terminal
                self._seen.put(None)
                return
            self.written_bytes += len(data)
            if CURSOR_QUESTION in data:
                os.write(self._child.child_fd, CURSOR_ANSWER)
            text, word = self._tail + data, self._word
            if word and word in text:
                self._word = b""
                self._seen.put(time.monotonic())
            self._tail = text[-TAIL_BYTES:]


@contextlib.contextmanager
def running(argv: list[str], url: str) -> Iterator[Pty]:
    """A program in a terminal, with a fresh home and working directory."""
    with tempfile.TemporaryDirectory(prefix="bench-home-", ignore_cleanup_errors=True) as home:
        environment = clean_environment(Path(home)) | {"VLLM_BASE_URL": url, "LANG": "C.UTF-8"}
        environment.pop("NO_COLOR")
        work = Path(home, "work")
        work.mkdir()
        pty = Pty(argv, environment, str(work))
        try:
            yield pty
        finally:
            pty.close()


def interactive_turn(server: Server, asked: str) -> Turn:
    """The second turn of a session: the first has imported what is needed."""
    with running([*COMMAND, "-m", "vllm/m"], server.url) as pty:
        pty.watch(READY)
        pty.seen()
        pty.cpu_when_idle_s()
        return _two_turns(pty, server, asked)


def _two_turns(pty: Pty, server: Server, asked: str) -> Turn:
    for prompt in (question(20, 0.0, "markdown"), asked):
        pty.cpu_when_idle_s()
        pty.watch(LAST_WORD.encode())
        pty.type(prompt)
        time.sleep(0.2)  # or Enter is taken as part of a paste
        pty.type("\r")
        server.wait_for("request")
        before_s, before_bytes = pty.cpu_s(), pty.written_bytes
        shown_at_s = pty.seen()
        shown_cpu_s = pty.cpu_s() - before_s
        shown_s = shown_at_s - server.wait_for("sent")
        whole_cpu_s = pty.cpu_when_idle_s() - before_s
    return Turn(shown_cpu_s, whole_cpu_s, shown_s, pty.written_bytes - before_bytes)


def printed_turn(server: Server, asked: str, printer: str) -> float:
    """CPU seconds of printing the same answer plain, to the same kind of terminal; the second of two answers, too."""
    with running([sys.executable, str(PRINTER), printer, asked], server.url) as pty:
        for _ in range(2):
            pty.watch(LAST_WORD.encode())
            server.wait_for("request")
            before_s = pty.cpu_s()
            pty.seen()
            spent_s = pty.cpu_when_idle_s() - before_s
            pty.type("\n")
    return spent_s


def best(turns: list[Turn]) -> Turn:
    """The least of each: the machine only ever adds."""
    columns = ("shown_cpu_s", "whole_cpu_s", "shown_s", "written_bytes")
    return Turn(**{name: min(getattr(turn, name) for turn in turns) for name in columns})


def report_bursts(server: Server, counts: list[int], runs: int) -> None:
    """Answers sent at once."""
    print(
        f"{'sent at once':28} {'cpu, shown':>11} {'cpu, turn':>10} {'µs a chunk':>11} {'shown after':>12} {'bytes':>12}"
    )
    for form in ("markdown", "paragraph"):
        for count in counts:
            turn = best([interactive_turn(server, question(count, 0.0, form)) for _ in range(runs)])
            each_us = turn.whole_cpu_s / count * 1e6
            print(
                f"{count:>7,} chunks, {form:12} {turn.shown_cpu_s:>9.2f} s {turn.whole_cpu_s:>9.2f} s {each_us:>11.0f} "
                f"{turn.shown_s:>9.2f} s {turn.written_bytes:>11,}",
                flush=True,
            )


def report_paced(server: Server, count: int, runs: int) -> None:
    """Answers sent at one chunk a millisecond, against printing them plain."""
    print(f"\n{count:,} chunks at 1 ms")
    for form in ("markdown", "paragraph"):
        asked = question(count, PACE_S, form)
        turn = best([interactive_turn(server, asked) for _ in range(runs)])
        print(f"{form:12} {turn.whole_cpu_s:6.2f} s of CPU, {turn.written_bytes:,} bytes", flush=True)
        for printer in PRINTERS:
            plain_s = min(printed_turn(server, asked, printer) for _ in range(runs))
            print(f"  printed plain ({printer}): {plain_s:.2f} s; ratio {turn.whole_cpu_s / plain_s:.2f}", flush=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what a fast answer costs.")
    parser.add_argument("--runs", type=int, default=3, help="the best of so many (default: 3)")
    parser.add_argument("--counts", default="5000,10000,20000", help="chunks sent at once")
    parser.add_argument("--paced", type=int, default=5000, help="chunks sent at 1 ms each")
    options = parser.parse_args()
    server = Server()
    try:
        if counts := [int(count) for count in options.counts.split(",") if count]:
            report_bursts(server, counts, options.runs)
        if options.paced:
            report_paced(server, options.paced, options.runs)
    finally:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
