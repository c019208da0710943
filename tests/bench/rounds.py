"""What all rows share: where they run, against which server, how often, and in which order."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.bench.model_server_process import ModelServer, Request
from tests.bench.processes import OURS, PYTHON, Run, RunError, clean_environment, run

FLOOR_SCRIPT = Path(__file__).with_name("floor.py")
MODEL = "vllm/bench"
NOTHING_MORE: Mapping[str, str] = {}
LATE_S = 5.0
"""How long a request of a process that has ended may take to be heard of."""

Floor = TypeVar("Floor")
Ours = TypeVar("Ours")


@dataclass(frozen=True)
class Asked:
    """A run of a program, and the requests that it sent."""

    run: Run
    requests: list[Request]

    @property
    def first_s(self) -> float:
        """From the start of the process to its first request, which has then come whole."""
        return self.requests[0].at_s - self.run.started_s


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark. All its processes share a home that was empty before; each row may have its own."""

    server: ModelServer
    home: Path
    runs: int
    patience_s: float

    def rounds(self, floor: Callable[[], Floor], ours: Callable[[], Ours]) -> list[tuple[Floor, Ours]]:
        """Pairs of a run of each, A B A B …, so that a slow moment of the machine hits both.

        One pair before them warms caches and is not measured. No further round begins after `patience_s`.
        """
        began_s = time.monotonic()
        floor(), ours()
        pairs: list[tuple[Floor, Ours]] = []
        while len(pairs) < self.runs and (not pairs or time.monotonic() - began_s < self.patience_s):
            pairs.append((floor(), ours()))
        return pairs

    def environment(self, **more: str) -> dict[str, str]:
        """Of a process, in the home that is shared."""
        return clean_environment(self.home) | more

    def new_home(self) -> Path:
        """A home of its own for a row, gone at the end."""
        return Path(tempfile.mkdtemp(dir=self.home))

    def floor(self, script: str = "text") -> Asked:
        """The bare loop, asked for `hi`."""
        word, base = self.server.place(script)
        argv = (PYTHON, str(FLOOR_SCRIPT), f"{base}/v1", "hi")
        return self._asked(run(argv, self.environment()), word, script)

    def ours(
        self,
        *words: str,
        script: str = "text",
        model: str = MODEL,
        codes: Sequence[int] = (0,),
        more: Mapping[str, str] = NOTHING_MORE,
    ) -> Asked:
        """ml-intern asked for `hi` without a terminal; `more` is put into its environment, `codes` may be its end."""
        word, base = self.server.place(script)
        places = {
            "VLLM_BASE_URL": f"{base}/v1",
            "ANTHROPIC_API_BASE": base,
            "ANTHROPIC_API_KEY": "none",
        }
        argv = (*OURS, "--model", model, *words, "hi")
        return self._asked(run(argv, {**self.environment(), **places, **more}, codes), word, script)

    def _asked(self, finished: Run, word: str, script: str) -> Asked:
        """A finished run with its requests: as many as the script makes it send."""
        expected = int(script.partition("-")[2] or 0) + 1
        requests = self.server.requests(word, expected, LATE_S)
        if len(requests) < expected:
            raise RunError(f"{len(requests)} requests in place of {expected}: {finished.stderr.strip()[-300:]}")
        return Asked(finished, requests)
