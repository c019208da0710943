"""Finding out which reasoning effort a model really takes: a tiny question, from the wanted level downwards.

The table of families (`agent.llm.effort`) says what may be asked for; whether this model at this provider takes it,
only the provider knows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from agent.light_dataclass import dataclass
from agent.llm.classification import classify
from agent.llm.client import LLMClient
from agent.llm.effort import effort_cascade
from agent.llm.failures import FailureKind, LLMCallError, LLMFailure
from agent.llm.params import Route, UnsupportedEffortError, resolve_route, validate_effort
from agent.llm.stream import Assembler, LLMResult

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 15.0
PROBE_TOKENS = 64
"""Room for a model that thinks a little first; GPT-5 refuses 16."""
PROBE = ({"role": "user", "content": "ping"},)


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """The effort to ask a model for, None for none at all.

    `note` is for the person and empty when the wanted level works. `conclusive` False: the provider could not be
    asked, and `effort` is what was wanted, untried. `calls` are those that were answered, to be paid for.
    """

    effort: str | None
    note: str = ""
    conclusive: bool = True
    calls: tuple[LLMResult, ...] = ()


async def probe_effort(
    client: LLMClient, model: str, preference: str | None, clock: Callable[[], float] = time.monotonic
) -> ProbeOutcome:
    """The highest level up to `preference` that `model` takes. Without a preference nothing is sent.

    Levels that the family does not have cost no request. A local server takes none, but is asked for one token, since
    it may not run or not have the model. Raises `LLMCallError` when the model cannot be used at all (key, credits, no
    such model), and `UnknownModelError`.
    """
    route = resolve_route(model)
    if route.provider.is_local:
        return await _ping(client, model, route, clock)
    for level in effort_cascade(preference or ""):
        try:
            validate_effort(model, level)
            answered = await _ask(client, model, level, clock)
        except UnsupportedEffortError:
            continue
        except Exception as error:  # the door to the provider: everything becomes a typed failure
            failure = classify(error, route=route, environ=client.environ)
            logger.info("probing effort %s of %s: %s (%s)", level, model, failure.kind, failure.detail)
            if failure.kind is FailureKind.NO_EFFORT:
                break
            if failure.kind is FailureKind.EFFORT:
                continue
            if _is_inconclusive(failure):
                note = f"Whether {model} takes the effort {preference} could not be tried: {failure.user_text}"
                return ProbeOutcome(preference, note, conclusive=False)
            raise LLMCallError(failure) from error
        note = "" if level == preference else f"{model} does not take the effort {preference}; using {level}."
        return ProbeOutcome(level, note, calls=(answered,))
    return ProbeOutcome(None, f"{model} takes no reasoning effort; asking without." if preference else "")


def _is_inconclusive(failure: LLMFailure) -> bool:
    return failure.retryable or failure.kind is FailureKind.LOCAL_REFUSED


async def _ping(client: LLMClient, model: str, route: Route, clock: Callable[[], float]) -> ProbeOutcome:
    try:
        answered = await _ask(client, model, None, clock, max_tokens=1)
    except Exception as error:  # the door to the server: everything becomes a typed failure
        raise LLMCallError(classify(error, route=route, environ=client.environ)) from error
    return ProbeOutcome(None, calls=(answered,))


async def _ask(
    client: LLMClient, model: str, level: str | None, clock: Callable[[], float], max_tokens: int = PROBE_TOKENS
) -> LLMResult:
    """One answer at this effort. Nothing may be dropped on the way: litellm would make any level seem accepted."""
    started_s = clock()
    assembler = Assembler()
    deltas = client.acompletion(
        model=model,
        messages=PROBE,
        stream=False,
        reasoning_effort=level,
        max_tokens=max_tokens,
        drop_params=False,
    )
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            async for delta in deltas:
                assembler.add(delta)
    finally:
        await deltas.aclose()
    await client.price_of(model)
    result = replace(assembler.result(), effort_used=level, latency_ms=int((clock() - started_s) * 1000))
    return replace(result, cost_usd=client.cost_usd(model, result))
