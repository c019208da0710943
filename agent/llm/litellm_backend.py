"""The one door to litellm: nothing else imports it, and it is imported only when a call needs it.

The guards around it come from observed behaviour (spec llm.md §12): no network at import, no reading of stray `.env`
files, no silent retries, no key of one provider sent to another, plain copies of our data.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import threading
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from typing import Any

from agent.llm.backends import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, WHOLE_TIMEOUT_S
from agent.llm.failures import ProviderError
from agent.llm.stream import Delta, ToolDelta, extract_usage
from agent.llm.wire import with_object_arguments

logger = logging.getLogger(__name__)

ANTHROPIC_MAX_TOKENS = 64_000
"""litellm gives unknown Claude models 4,096 answer tokens, which cuts file writes."""
MAX_THINKING_BUDGET_TOKENS = 4_096
"""The most that litellm makes of `reasoning_effort` for a Claude that thinks with a budget; it counts as answer."""

_lock = threading.Lock()


def load() -> Any:
    """Import litellm (2-4 s the first time) and set it up. Thread-safe; call it off the event loop."""
    with _lock:
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        os.environ.setdefault("LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "True")
        os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
        import litellm

        # A stop while litellm prepares a call leaves a coroutine behind that nobody awaits; not the person's concern.
        warnings.filterwarnings("ignore", r"coroutine '\w+ChatCompletion\.", RuntimeWarning)
        litellm.suppress_debug_info = True
        litellm.disable_hf_tokenizer_download = True
        litellm.modify_params = True
        litellm.drop_params = False
        litellm.REPEATED_STREAMING_CHUNK_LIMIT = 1_000_000_000
        for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "litellm"):
            logging.getLogger(name).setLevel(logging.ERROR)
        return litellm


def warm_in_background() -> None:
    """Start importing litellm in a daemon thread, so that it is there when the first call needs it."""
    threading.Thread(target=_warm, name="litellm-import", daemon=True).start()


def _warm() -> None:
    try:
        load()
    except Exception:  # the first real call raises the same error where it can be shown
        logger.warning("importing litellm failed", exc_info=True)


async def stream(
    params: Mapping[str, Any], request: Mapping[str, Any], on_sent: Callable[[], None]
) -> AsyncGenerator[Delta, None]:
    """See `agent.llm.backends.Backend`: this module is one. Raises litellm's own exceptions."""
    import asyncio

    litellm = await asyncio.to_thread(load)
    kwargs = await asyncio.to_thread(_call_arguments, litellm, params, request)
    if kwargs["model"].startswith("anthropic/"):
        await asyncio.to_thread(_merge_anthropic_events, litellm)
    response = await litellm.acompletion(**kwargs)
    on_sent()
    if not request.get("stream", True):
        yield _whole(response)
        return
    _merge_events(response)
    try:
        async for chunk in response:
            delta = _delta(chunk)
            yield delta if delta.usage is None or _is_reported(response) else replace(delta, usage=None)
        _check_ended(kwargs["model"], response)
    finally:
        await _close(response)


def _merge_events(response: Any) -> None:
    """Have the small events of an answer merged (see `agent.llm.sse_stream`) before litellm spends its time on each.

    The OpenAI library, under most routes, keeps the HTTP response at hand, unread so far (2.54). Where there is none,
    the answer is as right, and slower.
    """
    from agent.lean_httpx import httpx
    from agent.llm.sse_stream import merge_events

    http_response = getattr(getattr(response, "completion_stream", None), "response", None)
    if isinstance(http_response, httpx.Response) and not http_response.is_stream_consumed:
        merge_events(http_response)


def _merge_anthropic_events(litellm: Any) -> None:
    """The same for Anthropic, whose response litellm hides: by a hook of the client that it uses there (1.106)."""
    from agent.llm.sse_stream import merge_events_hook

    litellm.module_level_aclient.client.event_hooks = {"response": [merge_events_hook]}


def _is_reported(response: Any) -> bool:
    """Whether the server sent token counts: litellm counts itself where none came, with a tokenizer that is not theirs.

    It keeps the chunks as they arrived (1.106); what it makes up itself is not among them.
    """
    chunks = getattr(response, "chunks", None)
    return not chunks or any(getattr(chunk, "usage", None) is not None for chunk in chunks)


def _check_ended(model: str, response: Any) -> None:
    """A connection closed in the middle looks like an end to litellm, which then makes up `stop`.

    Only where `received_finish_reason` was seen to be set by good streams: the OpenAI and Anthropic routes (1.106).
    """
    if model.startswith(("openai/", "anthropic/")) and getattr(response, "received_finish_reason", "?") is None:
        raise ProviderError("connection reset: the stream ended before the answer did", 502)


def _call_arguments(litellm: Any, params: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Everything handed to litellm, as plain copies: some of its providers change nested input."""
    from agent.lean_httpx import httpx

    messages = [dict(with_object_arguments(message)) for message in request["messages"]]
    kwargs: dict[str, Any] = copy.deepcopy({**request, "messages": messages, **params})
    kwargs.setdefault("stream", True)
    if kwargs["stream"]:
        kwargs["stream_options"] = {"include_usage": True}
    if not kwargs.get("tools"):
        kwargs.pop("tools", None)
        kwargs.pop("tool_choice", None)
    _limit_answer(litellm, kwargs)
    return kwargs | {
        "max_retries": 0,
        "num_retries": 0,
        "_skip_mcp_handler": True,
        "timeout": httpx.Timeout(READ_TIMEOUT_S if kwargs["stream"] else WHOLE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
    }


def _limit_answer(litellm: Any, kwargs: dict[str, Any]) -> None:
    """Settle `max_tokens`: Anthropic must be told; elsewhere the provider's own limit holds if none is wanted."""
    model = kwargs["model"]
    if kwargs.get("max_tokens") is None:
        kwargs.pop("max_tokens", None)
        if model.startswith("anthropic/"):
            kwargs["max_tokens"] = min(_answer_limit(litellm, model), ANTHROPIC_MAX_TOKENS)
    elif model.startswith(("anthropic/", "bedrock/")) and "reasoning_effort" in kwargs:
        kwargs["max_tokens"] += MAX_THINKING_BUDGET_TOKENS


def _answer_limit(litellm: Any, model: str) -> int:
    known = litellm.model_cost.get(model.removeprefix("anthropic/"), {})
    return int(known.get("max_output_tokens") or known.get("max_tokens") or ANTHROPIC_MAX_TOKENS)


def _delta(chunk: Any) -> Delta:
    choices = getattr(chunk, "choices", None) or []
    usage = extract_usage(getattr(chunk, "usage", None))
    if not choices:
        return Delta(usage=usage)
    delta = choices[0].delta
    return Delta(
        text=getattr(delta, "content", None) or "",
        reasoning=getattr(delta, "reasoning_content", None) or "",
        thinking_blocks=tuple(dict(block) for block in getattr(delta, "thinking_blocks", None) or ()),
        tool_calls=tuple(_tool_delta(call) for call in getattr(delta, "tool_calls", None) or ()),
        finish_reason=choices[0].finish_reason,
        usage=usage,
    )


def _tool_delta(call: Any) -> ToolDelta:
    arguments = call.function.arguments
    if arguments is not None and not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    return ToolDelta(getattr(call, "index", None), call.id or None, call.function.name or None, arguments or "")


def _whole(response: Any) -> Delta:
    """A non-streamed response as one delta."""
    choice = response.choices[0]
    message = choice.message
    calls = enumerate(getattr(message, "tool_calls", None) or ())
    return Delta(
        text=message.content or "",
        reasoning=getattr(message, "reasoning_content", None) or "",
        thinking_blocks=tuple(dict(block) for block in getattr(message, "thinking_blocks", None) or ()),
        tool_calls=tuple(
            ToolDelta(index, call.id or None, call.function.name, call.function.arguments or "")
            for index, call in calls
        ),
        finish_reason=choice.finish_reason,
        usage=extract_usage(getattr(response, "usage", None)),
    )


async def _close(response: Any) -> None:
    """End the HTTP stream, so that a cancelled answer is not generated and billed to its end."""
    for candidate in (response, getattr(response, "completion_stream", None)):
        close = getattr(candidate, "aclose", None) or getattr(candidate, "close", None)
        if close is None:
            continue
        try:
            outcome = close()
            if hasattr(outcome, "__await__"):
                await outcome
        except Exception:  # closing is best effort; the answer or its error is already on its way
            logger.debug("closing the model stream failed", exc_info=True)


def table_row(model: str) -> Mapping[str, Any] | None:
    """The same as `agent.llm.price_table.table_row`, from litellm itself. Blocks while it is imported."""
    table = load().model_cost
    row = table.get(model) or table.get(model.split("/", 1)[-1])
    return row if isinstance(row, Mapping) else None
