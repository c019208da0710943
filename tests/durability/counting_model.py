"""A model with no memory of its own, and the long task it works on: what it knows is what stands in the request.

The task is a chain of steps. Each step takes a reading from a tool and folds it into a checksum, which the model writes
down. It gets the right checksum in the end only if nothing it needs was ever lost.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from agent.protocol.tools import ToolResult, ToolSpec
from tests.fakes.http_base import Exchange
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.reply import Reply, call, context_overflow, text
from tests.grammar import check_history

SUMMARY_PROMPT = "An agent for machine-learning"
BYTES_PER_TOKEN = 4

_STATE = re.compile(r"step (\d+), checksum ([0-9a-f]{16})")
_READING = re.compile(r"reading (\d+): ([0-9a-f]{16})")
_WORDS = (
    "loss falls while the learning rate warms up and the validation score of this epoch is still a little noisy".split()
)


def reading(step: int) -> str:
    """What the instrument shows at `step`: nobody can guess it."""
    return hashlib.sha256(f"reading {step}".encode()).hexdigest()[:16]


def folded(checksum: str, value: str) -> str:
    """The checksum after one more reading."""
    return hashlib.sha256(f"{checksum} {value}".encode()).hexdigest()[:16]


def final_checksum(steps: int) -> str:
    """What the model has to arrive at."""
    checksum = "0" * 16
    for step in range(1, steps + 1):
        checksum = folded(checksum, reading(step))
    return checksum


def report(step: int, size: int = 3_000) -> str:
    """What a tool prints for `step`: the reading in `size` characters of chatter, different at each step."""
    words = (_WORDS[(step * place) % len(_WORDS)] for place in range(1, size // 5))
    return f"reading {step}: {reading(step)}\n{' '.join(words)[:size]}"


class Instrument:
    """The tool of the task, in process. `taken` counts how often each step was asked for."""

    def __init__(self) -> None:
        self.taken: Counter[int] = Counter()

    @property
    def spec(self) -> ToolSpec:
        """To be registered."""
        parameters = {"type": "object", "properties": {"step": {"type": "integer"}}, "required": ["step"]}
        return ToolSpec("measure", "Take a reading.", parameters, self._measure)

    async def _measure(self, arguments: dict[str, Any], _session: object, _call_id: str) -> ToolResult:
        self.taken[arguments["step"]] += 1
        return ToolResult(report(arguments["step"]))


def measure(step: int) -> Reply:
    """The call of `Instrument`."""
    return call("measure", {"step": step})


def read_file(step: int) -> Reply:
    """The same by the built-in tool, where each report lies in a file of its own."""
    return call("read", {"path": f"{step}.txt"})


NextCall = Callable[[int], Reply]


class CountingModel(FakeOpenAI):
    """A server whose model works on the task in a window of `window_tokens`, and refuses what does not fit.

    `next_call(step)` is the call that takes a reading. Requests are not kept: thousands of them fill the memory.
    """

    def __init__(
        self, steps: int, window_tokens: int, next_call: NextCall = measure, *, tells_usage: bool = True
    ) -> None:
        super().__init__()
        self.models = [{"id": "counter", "object": "model", "max_model_len": window_tokens}]
        self.steps, self.window_tokens = steps, window_tokens
        self.asked, self.summaries, self.refused = 0, 0, 0
        self._next_call = next_call
        self._tells_usage = tells_usage
        self.script_function(self._reply)

    async def respond(self, exchange: Exchange) -> None:
        """Answer, and forget the request."""
        await super().respond(exchange)
        with self._changed:
            self._requests.clear()

    def _reply(self, request: dict[str, Any]) -> Reply:
        messages = request["messages"]
        tokens = len(json.dumps([messages, request.get("tools")])) // BYTES_PER_TOKEN
        if tokens + (request.get("max_tokens") or 0) > self.window_tokens:
            self.refused += 1
            return context_overflow(self.window_tokens, tokens)
        check_history(messages)
        answer = self._words_for([str(message.get("content") or "") for message in messages])
        return answer.but(usage={"prompt_tokens": tokens, "completion_tokens": 50} if self._tells_usage else None)

    def _words_for(self, texts: list[str]) -> Reply:
        step, checksum = _newest_state(texts)
        if texts[-1].startswith(SUMMARY_PROMPT):
            self.summaries += 1
            return text(f"## State\nstep {step}, checksum {checksum}")
        self.asked += 1
        if (value := _reading_of(step + 1, texts)) is not None:
            step, checksum = step + 1, folded(checksum, value)
        state = f"step {step}, checksum {checksum}"
        return text(f"Done: {state}") if step >= self.steps else self._next_call(step + 1).but(text=(state,))


def _newest_state(texts: Iterable[str]) -> tuple[int, str]:
    """The state with the highest step that is written anywhere."""
    found = [(int(step), checksum) for text in texts for step, checksum in _STATE.findall(text)]
    return max(found, default=(0, "0" * 16))


def _reading_of(step: int, texts: Iterable[str]) -> str | None:
    return next((value for text in texts for number, value in _READING.findall(text) if int(number) == step), None)
