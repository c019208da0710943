"""`model_server` in a process of its own, and what it tells of the requests that came."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

SCRIPT = Path(__file__).with_name("model_server.py")
LOOK_S = 0.1
"""How often it is looked whether a program is there still. Requests are told at once."""


@dataclass(frozen=True)
class Request:
    """A POST that has come whole, at `time.monotonic()` seconds."""

    path: str
    at_s: float
    body_bytes: int


class ModelServer:
    """A context manager. Runs are told apart by a word in their base URL: each gets a new one from `place`."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, str(SCRIPT)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self._requests: defaultdict[str, list[Request]] = defaultdict(list)
        self._came = threading.Condition()
        self._places = 0
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _traceback: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def place(self, script: str) -> tuple[str, str]:
        """A word for one run, and its base URL without `/v1`; `script` is `text`, `tools-300` …: see `model_server`."""
        self._places += 1
        word = f"run-{self._places}"
        return word, f"{self._url}/{script}/{word}"

    def requests(
        self, word: str, at_least: int, timeout_s: float, is_over: Callable[[], bool] = lambda: False
    ) -> list[Request]:
        """The requests of a run, once so many have come, the time is over, or nobody is there to send more."""
        give_up_s = time.monotonic() + timeout_s
        with self._came:
            while len(self._requests[word]) < at_least and time.monotonic() < give_up_s and not is_over():
                self._came.wait(LOOK_S)
            return list(self._requests[word])

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            path, at_s, size = line.split()
            with self._came:
                self._requests[path.split("/")[2]].append(Request(path, float(at_s), int(size)))
                self._came.notify_all()
