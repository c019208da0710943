"""`FakeAnthropic`: a loopback server for Anthropic's Messages API, scripted with the same replies as `FakeOpenAI`.

    with FakeAnthropic() as server:
        server.script(thinking("hm", call("bash", {"command": "ls"})), text("done"))

POST /v1/messages answers as named SSE events or as one JSON object, by the request's `stream`. Reasoning becomes a
`thinking` block with its signature, so a test can assert that it comes back unchanged.

How the real litellm client (1.106) gets here with a direct model such as `anthropic/claude-sonnet-4-6` (verified in
tests/unit/fakes/test_litellm_routes.py): `api_base=` of the call, else `litellm.api_base`, else ANTHROPIC_API_BASE,
else ANTHROPIC_BASE_URL, each *without* `/v1`: litellm appends `/v1/messages` unless it is there. The key is
ANTHROPIC_API_KEY, sent as `x-api-key`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.fakes.http_base import Exchange
from tests.fakes.reply import Call, HttpError, Reply
from tests.fakes.scripted import Rendered, ScriptedModel

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_STOP_REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}


class FakeAnthropic(ScriptedModel):
    """A scripted Anthropic-style server. See the module's docstring."""

    chat_path = "/v1/messages"

    @property
    def base_url(self) -> str:
        """What a client takes as base URL, without `/v1`."""
        return self.url

    async def respond(self, exchange: Exchange) -> None:
        """Messages from the script; errors in Anthropic's shape."""
        if (exchange.request.method, exchange.request.path) == ("POST", self.chat_path):
            await super().respond(exchange)
        else:
            await self.send_error(exchange, HttpError(404, "not_found", f"the fake has no {exchange.request.path}"))

    def render(self, reply: Reply, request: dict[str, Any], number: int) -> Rendered:
        """The reply as Messages stream events and as a message object."""
        message = {
            "id": f"msg_{number}",
            "type": "message",
            "role": "assistant",
            "model": request.get("model", ""),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }
        usage = _usage(reply.usage)
        started = message if usage is None else message | {"usage": usage | {"output_tokens": 1}}
        stop = {"stop_reason": _STOP_REASONS.get(reply.reason, reply.reason), "stop_sequence": None}
        ended = {"delta": stop} if usage is None else {"delta": stop, "usage": usage}
        pieces = list(_pieces(reply, number))
        last_stop = _event("content_block_stop", index=pieces[-1][0]) if pieces else b""
        whole = message | stop | {"content": _blocks(reply, number)} | ({} if usage is None else {"usage": usage})
        return Rendered(
            opening=_event("message_start", message=started) + _event("ping"),
            pieces=[data for _, data in pieces],
            closing=last_stop + _event("message_delta", **ended) + _event("message_stop"),
            whole=json.dumps(whole).encode(),
        )

    def error_body(self, error: HttpError) -> dict[str, Any]:
        """Anthropic's error object."""
        kind = _ERROR_TYPES.get(error.status, "api_error")
        message = error.anthropic_message or error.message
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"}

    def error_event(self, error: HttpError) -> bytes:
        """An `error` event."""
        return _event("error", **{key: value for key, value in self.error_body(error).items() if key != "type"})


def _event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields}, ensure_ascii=False)}\n\n".encode()


def _usage(usage: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """OpenAI's words for tokens in Anthropic's: cached and written tokens are not part of `input_tokens` there."""
    if usage is None or "input_tokens" in usage:
        return None if usage is None else dict(usage)
    details = usage.get("prompt_tokens_details") or {}
    read, written = details.get("cached_tokens", 0), details.get("cache_write_tokens", 0)
    return {
        "input_tokens": usage.get("prompt_tokens", 0) - read - written,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": usage.get("completion_tokens", 0),
    }


def _pieces(reply: Reply, number: int) -> Iterator[tuple[int, bytes]]:
    """Each piece with the index of its block; the first piece of a block also closes the block before it."""
    prefix = b""
    for index, (block, pieces) in enumerate(_streamed_blocks(reply, number)):
        prefix += _event("content_block_start", index=index, content_block=block)
        for deltas in pieces:
            yield index, prefix + b"".join(_event("content_block_delta", index=index, delta=delta) for delta in deltas)
            prefix = b""
        prefix = _event("content_block_stop", index=index)


def _streamed_blocks(reply: Reply, number: int) -> Iterator[tuple[dict[str, Any], list[list[dict[str, Any]]]]]:
    """Each content block as it starts, with the deltas of each piece that fills it."""
    if reply.reasoning:
        thoughts = [[{"type": "thinking_delta", "thinking": thought}] for thought in reply.reasoning]
        thoughts[-1].append({"type": "signature_delta", "signature": reply.signature})
        yield {"type": "thinking", "thinking": "", "signature": ""}, thoughts
    if reply.redacted_thinking is not None:
        yield {"type": "redacted_thinking", "data": reply.redacted_thinking}, [[]]
    if reply.text:
        yield {"type": "text", "text": ""}, [[{"type": "text_delta", "text": words}] for words in reply.text]
    for scripted, call_id in zip(reply.calls, reply.call_ids(number), strict=True):
        parts = ("", *scripted.argument_pieces)
        yield _tool_use(scripted, call_id, {}), [[{"type": "input_json_delta", "partial_json": part}] for part in parts]


def _tool_use(scripted: Call, call_id: str | None, arguments: Any) -> dict[str, Any]:
    named = {"id": call_id} if call_id else {}
    return {"type": "tool_use", **named, "name": scripted.name, "input": arguments}


def _blocks(reply: Reply, number: int) -> list[dict[str, Any]]:
    """The whole content blocks of a non-stream answer. Arguments that are no JSON are sent as a text."""
    blocks: list[dict[str, Any]] = []
    if reply.reasoning:
        blocks.append({"type": "thinking", "thinking": "".join(reply.reasoning), "signature": reply.signature})
    if reply.redacted_thinking is not None:
        blocks.append({"type": "redacted_thinking", "data": reply.redacted_thinking})
    if reply.text:
        blocks.append({"type": "text", "text": "".join(reply.text)})
    for scripted, call_id in zip(reply.calls, reply.call_ids(number), strict=True):
        blocks.append(_tool_use(scripted, call_id, _parsed(scripted.raw_arguments)))
    return blocks


def _parsed(raw: str) -> Any:
    try:
        return json.loads(raw or "{}")
    except ValueError:
        return raw
