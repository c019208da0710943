"""One model call, whatever it takes: retries, healing, watchdogs, assembly. Every caller of a model goes through here.

Outcome of `complete`: an `LLMResult`, or `LLMCallError` with a typed failure. A connection that breaks after text was
shown is not retried (the text would appear twice): the result then has `finish_reason` `CUT` and the caller goes on
from there.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.llm.client import LLMClient
from agent.llm.failures import FailureKind, LLMCallError, LLMFailure, classify, retry_delay_s
from agent.llm.params import resolve_route
from agent.llm.stream import Assembler, Delta, LLMResult

logger = logging.getLogger(__name__)

CUT = "stream_cut"
"""`finish_reason` of a reply whose connection broke after some of it had arrived."""

FIRST_DELTA_TIMEOUT_S = 300.0
IDLE_TIMEOUT_S = 180.0
WHOLE_TIMEOUT_S = 600.0

Sleep = Callable[[float], Awaitable[None]]
Notice = Callable[[str], Awaitable[None]]
OnText = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What to ask. `messages` and `tools` are in OpenAI wire form; `stream` false asks the server for one piece."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str = "auto"
    reasoning_effort: str | None = None
    stream: bool = True


@dataclass(slots=True)
class CallHooks:
    """How the caller follows a call: shown text, notices (waiting, healing), and the seams for tests."""

    on_text: OnText
    on_notice: Notice
    assembler: Assembler = field(default_factory=Assembler)
    sleep: Sleep = asyncio.sleep
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class Healed:
    """What was changed to make a call acceptable; each cure is tried once and does not use up a retry."""

    effort: bool = False
    thinking: bool = False


async def complete(client: LLMClient, request: CallRequest, hooks: CallHooks) -> LLMResult:
    """Make the call. `hooks.assembler` holds what has arrived so far, also after a cancellation."""
    route = resolve_route(request.model)
    healed = Healed()
    attempt = 0
    while True:
        started = hooks.clock()
        try:
            await _collect(client, request, hooks)
        except Exception as error:  # the door to the provider: everything becomes a typed failure
            failure = classify(error, route=route, environ=client.environ)
            logger.info("model call failed: %s (%s)", failure.kind, failure.detail, exc_info=True)
            if hooks.assembler.text and failure.retryable:
                return _finished(client, request, hooks, started, healed, finish_reason=CUT)
            if cured := _cure(request, failure, healed):
                request = cured
                await hooks.on_notice(_CURES[failure.kind])
                hooks.assembler.reset()
                continue
            delay_s = retry_delay_s(failure, attempt, hooks.jitter) if failure.retryable else None
            if delay_s is None:
                raise LLMCallError(failure) from error
            attempt += 1
            await hooks.on_notice(f"{failure.user_text} Trying again in {delay_s:.0f} s.")
            hooks.assembler.reset()
            await hooks.sleep(delay_s)
        else:
            return _finished(client, request, hooks, started, healed)


async def _collect(client: LLMClient, request: CallRequest, hooks: CallHooks) -> None:
    """Feed the assembler until the answer is whole; a silent server ends in `TimeoutError`."""
    deltas = client.acompletion(
        model=request.model,
        messages=request.messages,
        tools=request.tools,
        tool_choice=request.tool_choice,
        stream=request.stream,
        reasoning_effort=request.reasoning_effort,
    )
    timeout_s = FIRST_DELTA_TIMEOUT_S if request.stream else WHOLE_TIMEOUT_S
    try:
        while (delta := await _next_delta(deltas, timeout_s)) is not None:
            hooks.assembler.add(delta)
            if delta.text:
                await hooks.on_text(delta.text)
            timeout_s = IDLE_TIMEOUT_S
    finally:
        await deltas.aclose()  # type: ignore[attr-defined]


async def _next_delta(deltas: AsyncIterator[Delta], timeout_s: float) -> Delta | None:
    try:
        async with asyncio.timeout(timeout_s):
            return await anext(deltas, None)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ConnectionError("connection reset: the model library gave up") from error  # nobody cancelled us
    except TimeoutError as error:
        raise TimeoutError(f"Request timed out: the model sent nothing for {timeout_s:.0f} s") from error


_CURES = {
    FailureKind.EFFORT: "The model does not take this reasoning effort; asking again without it.",
    FailureKind.THINKING_SIGNATURE: "The provider refused earlier thinking; asking again without it.",
}


def _cure(request: CallRequest, failure: LLMFailure, healed: Healed) -> CallRequest | None:
    """The request changed so that it should pass, or None when there is nothing (more) to change."""
    if failure.kind is FailureKind.EFFORT and not healed.effort and request.reasoning_effort:
        healed.effort = True
        return replace(request, reasoning_effort=None)
    if failure.kind is FailureKind.THINKING_SIGNATURE and not healed.thinking:
        healed.thinking = True
        stripped, count = strip_thinking(request.messages)
        return replace(request, messages=stripped) if count else None
    return None


def strip_thinking(messages: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """`messages` without any thinking state, and how many pieces were taken out."""
    count = 0
    stripped: list[dict[str, Any]] = []
    for message in messages:
        kept = {key: value for key, value in message.items() if key not in ("thinking_blocks", "reasoning_content")}
        count += len(message) - len(kept)
        stripped.append(kept)
    return stripped, count


def _finished(
    client: LLMClient,
    request: CallRequest,
    hooks: CallHooks,
    started: float,
    healed: Healed,
    finish_reason: str | None = None,
) -> LLMResult:
    result = hooks.assembler.result()
    return replace(
        result,
        finish_reason=finish_reason or result.finish_reason,
        tool_calls=() if finish_reason == CUT else result.tool_calls,
        latency_ms=int((hooks.clock() - started) * 1000),
        cost_usd=client.cost_usd(request.model, result),
        dropped_effort=healed.effort,
        dropped_thinking=healed.thinking,
    )
