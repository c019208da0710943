"""A model that misbehaves in every way the loopback servers know, at random but by a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from tests.durability.counting_model import BYTES_PER_TOKEN, SUMMARY_PROMPT
from tests.fakes import reply
from tests.fakes.reply import Call, Cut, EarlyEnd, HalfHead, Reply, Stall, StreamError

FAULT_RATE = 0.35
SMALLEST_WINDOW_TOKENS = 9_000
"""No overflow is claimed for less: the system prompt has to fit."""

ERRORS: tuple[Callable[[], Reply], ...] = (
    reply.rate_limited,
    lambda: reply.rate_limited(None),
    reply.insufficient_quota,
    reply.payment_required,
    reply.server_error,
    lambda: reply.server_error(502),
    lambda: reply.server_error(503),
    reply.overloaded,
    reply.auth_error,
    reply.forbidden,
    reply.model_not_found,
    reply.effort_error,
    reply.invalid_signature,
    lambda: reply.error(400, "bad", "no", body=b"<html>Bad Gateway</html>"),
    lambda: reply.error(502, "bad", "no", body=b""),
    lambda: reply.error(418, "teapot", "I am a teapot."),
)

ODD_ARGUMENTS = ('{"path": ', "[]", "null", "", '"text"', '{"x": NaN}', '{"n": "3"}', '{"unknown": {}}', "\u2028{}")


class ChaosModel:
    """The reply function of a server. While `calm` it answers every request with `GREETING`."""

    GREETING = "Hello, all is well."

    def __init__(self, seed: int) -> None:
        self.calm = False
        self._random = random.Random(f"model {seed}")

    def __call__(self, request: dict[str, Any]) -> Reply:
        """The answer to `request`, good or bad."""
        if self.calm:
            return reply.text(self.GREETING)
        is_summary = SUMMARY_PROMPT in json.dumps(request["messages"][-1])
        sound = self._summary() if is_summary else self._sound()
        if self._random.random() > FAULT_RATE:
            return sound.but(usage=self._usage(request))
        return self._broken(sound, request)

    def _summary(self) -> Reply:
        return reply.text(self._random.choice(["## State\nhalf of it is done", " ", "## Next\n" + "more " * 3_000]))

    def _sound(self) -> Reply:
        """Words, or words and calls, in all the forms that servers give them."""
        r = self._random
        words = tuple(r.choice(["Well. ", "Let me see. ", "é✓ ", ""]) for _ in range(r.randrange(3)))
        calls = tuple(self._call() for _ in range(r.choice([0, 1, 1, 2, 3])))
        if not calls and r.random() < 0.9:
            words = (*words, "Done.")
        return Reply(
            text=words,
            reasoning=("hm, ", "well") if r.random() < 0.3 else (),
            calls=calls,
            finish_reason="length" if r.random() < 0.05 else None,
            tool_ids=r.choice(["normal", "normal", "normal", "missing", "duplicate"]),
            tool_index=r.choice(["normal", "normal", "missing"]),
        )

    def _call(self) -> Call:
        r = self._random
        name = r.choice(["good", "good", "big", "careful", "careful", "failing", "nonexistent"])
        return Call(name, r.choice(ODD_ARGUMENTS) if r.random() < 0.2 else {"n": r.randrange(1_000)})

    def _usage(self, request: dict[str, Any]) -> dict[str, Any] | None:
        tokens = _tokens(request)
        honest = {"prompt_tokens": tokens, "completion_tokens": self._random.randrange(2_000)}
        absurd = {"prompt_tokens": 5_000_000, "completion_tokens": 0}
        priced = honest | {"cost": round(self._random.random() / 100, 6)}
        return self._random.choice([honest, honest, None, absurd, priced])

    def _broken(self, sound: Reply, request: dict[str, Any]) -> Reply:
        """`sound` with a fault, or an error in its place."""
        place = self._random.randint(0, _pieces(sound))
        fault = self._random.choice(
            [Cut(place), Cut(place), EarlyEnd(place), EarlyEnd(place), Stall(place), Stall(None), HalfHead()]
            + [StreamError(place), StreamError(place), "overflow", "overflow"]
            + ["error"] * 8
        )
        if fault == "overflow":
            return _overflow(request)
        if isinstance(fault, str):
            return self._random.choice(ERRORS)()
        return sound.but(fault=fault)


def _pieces(sound: Reply) -> int:
    arguments = sum(1 + len(call.argument_pieces) for call in sound.calls)
    return len(sound.text) + len(sound.reasoning) + arguments


def _tokens(request: dict[str, Any]) -> int:
    return len(json.dumps(request)) // BYTES_PER_TOKEN


def _overflow(request: dict[str, Any]) -> Reply:
    """ "Too long", where that can be true."""
    tokens = _tokens(request)
    limit = max(SMALLEST_WINDOW_TOKENS, tokens * 3 // 4)
    return reply.context_overflow(limit, tokens) if limit < tokens else reply.server_error()
