"""Asking a model through `LLMClient`, as the tests of the backends do."""

from __future__ import annotations

from typing import Any

from agent.llm.classification import classify
from agent.llm.client import LLMClient
from agent.llm.failures import LLMFailure
from agent.llm.params import resolve_route
from agent.llm.stream import Assembler, LLMResult

HI = [{"role": "user", "content": "hi"}]


async def ask(client: LLMClient, model: str = "vllm/m", **request: Any) -> LLMResult:
    """The whole answer to `HI`, or to the `messages` of the request."""
    assembler = Assembler()
    deltas = client.acompletion(model=model, **({"messages": HI} | request))
    try:
        async for delta in deltas:
            assembler.add(delta)
    finally:
        await deltas.aclose()
    return assembler.result()


async def failure_of(client: LLMClient, model: str = "vllm/m", **request: Any) -> LLMFailure:
    """What the request fails with. AssertionError if it does not."""
    try:
        answer = await ask(client, model, **request)
    except Exception as error:
        return classify(error, route=resolve_route(model), environ=client.environ)
    raise AssertionError(f"the call succeeded: {answer}")
