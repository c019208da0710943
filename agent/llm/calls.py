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
from dataclasses import field, replace
from typing import Any

from agent.light_dataclass import dataclass
from agent.llm.client import LLMClient
from agent.llm.effort import accepted_level, effort_style, next_level
from agent.llm.failures import FailureKind, LLMCallError, LLMFailure
from agent.llm.params import resolve_route
from agent.llm.retries import Retries
from agent.llm.stream import Assembler, Delta, LLMResult
from agent.llm.timeouts import Timeouts

logger = logging.getLogger(__name__)

CUT = "stream_cut"
"""`finish_reason` of a reply whose connection broke after some of it had arrived."""

Sleep = Callable[[float], Awaitable[None]]
Notice = Callable[[str], Awaitable[None]]
OnText = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What to ask. `messages` and `tools` are in OpenAI wire form; `stream` false asks the server for one piece.

    `max_tokens` limits the answer (None: as long as the model can). `patience_s`: how long after the first failure a
    provider in trouble is asked again and again; 0 gives up after the usual three attempts.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str = "auto"
    reasoning_effort: str | None = None
    stream: bool = True
    max_tokens: int | None = None
    patience_s: float = 0.0


@dataclass(slots=True)
class CallHooks:
    """How the caller follows a call: shown text, notices (waiting, healing), and the seams for tests.

    `lost_attempts` counts those that broke after the provider had begun to work: it is likely to bill for them, though
    nobody reports how much.
    """

    on_text: OnText
    on_notice: Notice
    assembler: Assembler = field(default_factory=Assembler)
    lost_attempts: int = 0
    sleep: Sleep = asyncio.sleep
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    timeouts: Timeouts = Timeouts()


class ModelSilentError(TimeoutError):
    """The provider took the request, and then sent nothing for too long. It is likely to bill for it."""


async def complete(client: LLMClient, request: CallRequest, hooks: CallHooks) -> LLMResult:
    """Make the call. `hooks.assembler` holds what has arrived so far, also after a cancellation."""
    route = resolve_route(request.model)
    retries = Retries(request.patience_s, hooks.jitter, hooks.clock)
    asked = request
    while True:
        started_s = hooks.clock()
        try:
            await _collect(client, asked, hooks)
        except Exception as error:  # the door to the provider: everything becomes a typed failure
            from agent.llm.classification import classify  # loads with the first failure

            failure = classify(error, route=route, environ=client.environ)
            logger.info("model call failed: %s (%s)", failure.kind, failure.detail, exc_info=True)
            if hooks.assembler.text and failure.retryable:
                return await _finished(client, request, asked, hooks, started_s, CUT)
            if cure := _cure(asked, failure):
                asked = cure.request
                hooks.assembler.reset()
                await hooks.on_notice(cure.notice)
                continue
            was_paid = isinstance(error, ModelSilentError) or not hooks.assembler.is_empty
            hooks.lost_attempts += was_paid
            delay_s = retries.delay_s(_outage(client, request, failure), was_paid=was_paid)
            if delay_s is None:
                raise LLMCallError(failure) from error
            hooks.assembler.reset()
            await hooks.on_notice(f"{failure.user_text} Trying again in {delay_s:.0f} s ({retries.progress}).")
            await hooks.sleep(delay_s)
        else:
            return await _finished(client, request, asked, hooks, started_s)


def _outage(client: LLMClient, request: CallRequest, failure: LLMFailure) -> LLMFailure:
    """A server of the person's own that refuses us, having answered before, is being started again: worth a wait."""
    if failure.kind is FailureKind.LOCAL_REFUSED and client.has_answered(request.model):
        return replace(failure, kind=FailureKind.TRANSIENT)
    return failure


async def _collect(client: LLMClient, request: CallRequest, hooks: CallHooks) -> None:
    """Feed the assembler until the answer is whole; a silent server ends in `ModelSilentError`."""
    deltas = client.acompletion(
        model=request.model,
        messages=request.messages,
        tools=request.tools,
        tool_choice=request.tool_choice,
        stream=request.stream,
        reasoning_effort=request.reasoning_effort,
        max_tokens=request.max_tokens,
    )
    timeout_s = hooks.timeouts.first_delta_s if request.stream else hooks.timeouts.whole_s
    try:
        while (delta := await _next_delta(deltas, timeout_s)) is not None:
            hooks.assembler.add(delta)
            if delta.text:
                await hooks.on_text(delta.text)
            timeout_s = hooks.timeouts.idle_s
    finally:
        await deltas.aclose()


async def _next_delta(deltas: AsyncIterator[Delta], timeout_s: float) -> Delta | None:
    watchdog = asyncio.timeout(timeout_s)
    try:
        async with watchdog:
            return await anext(deltas, None)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ConnectionError("connection reset: the model library gave up") from error  # nobody cancelled us
    except TimeoutError as error:
        if not watchdog.expired():
            raise
        raise ModelSilentError(f"Request timed out: the model sent nothing for {timeout_s:.0f} s") from error


@dataclass(frozen=True, slots=True)
class Cure:
    """A request changed so that it should pass. It takes something away, so cures come to an end of themselves."""

    request: CallRequest
    notice: str


def _cure(request: CallRequest, failure: LLMFailure) -> Cure | None:
    """What helps against `failure` without a wait, and without using up an attempt; None when nothing does."""
    if failure.kind in (FailureKind.EFFORT, FailureKind.NO_EFFORT):
        return _lower_effort(request, failure)
    if failure.kind is FailureKind.THINKING_SIGNATURE:
        stripped, count = strip_thinking(request.messages)
        notice = "The provider refused earlier thinking; asking again without it."
        return Cure(replace(request, messages=stripped), notice) if count else None
    return None


def _lower_effort(request: CallRequest, failure: LLMFailure) -> Cure | None:
    """The real request is the probe of the next level: a refusal costs nothing, and an answer is wanted anyway."""
    route, effort = resolve_route(request.model), request.reasoning_effort
    if not effort or accepted_level(effort_style(route.provider.effort, route.name), effort) is None:
        return None
    level = next_level(route.provider.effort, route.name, effort) if failure.kind is FailureKind.EFFORT else None
    how = f"with {level}" if level else "without any"
    notice = f"{request.model} does not take the reasoning effort {effort}; asking again {how}."
    return Cure(replace(request, reasoning_effort=level), notice)


def strip_thinking(messages: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """`messages` without any thinking state, and how many pieces were taken out."""
    count = 0
    stripped: list[dict[str, Any]] = []
    for message in messages:
        kept = {key: value for key, value in message.items() if key not in ("thinking_blocks", "reasoning_content")}
        count += len(message) - len(kept)
        stripped.append(kept)
    return stripped, count


async def _finished(
    client: LLMClient,
    request: CallRequest,
    asked: CallRequest,
    hooks: CallHooks,
    started_s: float,
    finish_reason: str | None = None,
) -> LLMResult:
    """The reply. `asked` is what `request` had become when it passed."""
    latency_ms = int((hooks.clock() - started_s) * 1000)
    await client.price_of(request.model)  # what `cost_usd` goes by
    result = hooks.assembler.result()
    return replace(
        result,
        finish_reason=finish_reason or result.finish_reason,
        # Nobody knows whether the calls of a cut reply are all there: with text to go on from, they are asked for anew.
        tool_calls=() if finish_reason == CUT else result.tool_calls,
        latency_ms=latency_ms,
        cost_usd=client.cost_usd(request.model, result),
        effort_used=asked.reasoning_effort,
        dropped_thinking=asked.messages is not request.messages,
    )
