"""`FakeOpenAI`: a loopback server for OpenAI's chat completions, also good as HF router or local server.

    with FakeOpenAI() as server:                # the words come from tests.fakes.reply
        server.script(call("bash", {"command": "ls"}), text("done"))
        ...  # client: base URL server.base_url, any key
        assert server.requests[0].headers["authorization"] == "Bearer k"

POST /v1/chat/completions answers as SSE or as one JSON object, by the request's `stream`; GET /v1/models lists
`server.models`. Other endpoints of local servers (`/props`, `/api/ps`) are added with `server.route`.

How the real litellm client (1.106) gets here with a direct model such as `openai/gpt-4o-mini` (verified in
tests/unit/fakes/test_litellm_routes.py): `api_base=` of the call, else `litellm.api_base`, else OPENAI_BASE_URL, else
OPENAI_API_BASE, each *with* the `/v1`, read at call time. The key is OPENAI_API_KEY.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.fakes.http_base import Exchange
from tests.fakes.reply import Call, HttpError, Reply
from tests.fakes.scripted import Rendered, ScriptedModel

_ERROR_TYPES = {
    "rate_limit_exceeded": "requests",
    "insufficient_quota": "insufficient_quota",
    "server_error": "server_error",
    "overloaded": "server_error",
    "script_exhausted": "server_error",
}


class FakeOpenAI(ScriptedModel):
    """A scripted OpenAI-style server. See the module's docstring."""

    chat_path = "/v1/chat/completions"

    def __init__(self) -> None:
        super().__init__()
        self.models: Sequence[Mapping[str, Any]] = ({"id": "test-model", "object": "model", "owned_by": "tests"},)
        """The `data` of GET /v1/models; replace it as a whole."""

    @property
    def base_url(self) -> str:
        """What a client takes as base URL, with `/v1`."""
        return f"{self.url}/v1"

    async def respond(self, exchange: Exchange) -> None:
        """Chat completions from the script, and the list of models."""
        if (exchange.request.method, exchange.request.path) == ("GET", "/v1/models"):
            await exchange.json(200, {"object": "list", "data": list(self.models)})
        else:
            await super().respond(exchange)

    def render(self, reply: Reply, request: dict[str, Any], number: int) -> Rendered:
        """The reply as chat.completion.chunk events and as a chat.completion object."""
        asked_usage = (request.get("stream_options") or {}).get("include_usage", False)
        base = {"id": f"chatcmpl-{number}", "created": int(time.time()), "model": request.get("model", "")}
        ids = reply.call_ids(number)
        return Rendered(
            opening=_event(base, [_choice({"role": "assistant", "content": ""})]),
            pieces=[_event(base, [_choice(delta)]) for delta in _deltas(reply, ids)],
            closing=_closing(base, reply, reply.usage if asked_usage else None),
            whole=_whole(base, reply, ids),
        )

    def error_body(self, error: HttpError) -> dict[str, Any]:
        """OpenAI's error object."""
        kind = _ERROR_TYPES.get(error.code, "invalid_request_error")
        return {"error": {"message": error.message, "type": kind, "param": None, "code": error.code}}

    def error_event(self, error: HttpError) -> bytes:
        """OpenAI-style servers send the error object as an ordinary event."""
        return _sse(self.error_body(error))


def _sse(value: Any) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def _event(base: dict[str, Any], choices: list[dict[str, Any]], **more: Any) -> bytes:
    return _sse({**base, "object": "chat.completion.chunk", "choices": choices, **more})


def _choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _closing(base: dict[str, Any], reply: Reply, usage: Mapping[str, Any] | None) -> bytes:
    inline = {"usage": usage} if usage is not None and reply.usage_place == "last_choice" else {}
    closing = _event(base, [_choice({}, reply.reason)], **inline)
    if usage is not None and not inline:
        closing += _event(base, [], usage=usage)
    return closing + b"data: [DONE]\n\n"


def _deltas(reply: Reply, ids: list[str | None]) -> Iterator[dict[str, Any]]:
    """The `delta` of each piece."""
    for thought in reply.reasoning:
        yield {"reasoning_content": thought}
    for words in reply.text:
        yield {"content": words}
    for place, (scripted, call_id) in enumerate(zip(reply.calls, ids, strict=True)):
        for part in _call_parts(scripted, call_id, whole=reply.whole_calls):
            indexed = {"normal": {"index": place}, "zero": {"index": 0}, "missing": {}}[reply.tool_index]
            # A server without indexes repeats the id instead: without either, nobody could tell calls apart.
            named = {"id": call_id} if reply.tool_index == "missing" and call_id else {}
            yield {"tool_calls": [{**indexed, **named, **part}]}


def _call_parts(scripted: Call, call_id: str | None, *, whole: bool) -> Iterator[dict[str, Any]]:
    """A call as its opening and its argument fragments, or as one part."""
    opening: dict[str, Any] = {"type": "function"} | ({"id": call_id} if call_id else {})
    if whole:
        yield opening | {"function": {"name": scripted.name, "arguments": scripted.raw_arguments}}
        return
    yield opening | {"function": {"name": scripted.name, "arguments": ""}}
    for fragment in scripted.argument_pieces:
        yield {"function": {"arguments": fragment}}


def _whole(base: dict[str, Any], reply: Reply, ids: list[str | None]) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(reply.text) or None}
    if reply.reasoning:
        message["reasoning_content"] = "".join(reply.reasoning)
    if reply.calls:
        pairs = zip(reply.calls, ids, strict=True)
        message["tool_calls"] = [part for c, call_id in pairs for part in _call_parts(c, call_id, whole=True)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.reason}
    usage = {} if reply.usage is None else {"usage": reply.usage}
    return json.dumps({**base, "object": "chat.completion", "choices": [choice], **usage}).encode()
