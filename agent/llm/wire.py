"""The body of a chat request as bytes. Each message and each tool is encoded once (see `agent.protocol.wire`).

What is sent beyond OpenAI's own fields is what the caller put there: cache marks, thinking blocks, reasoning. litellm
(1.106) sends the same, but for what it makes of names that it knows: see `_limit_field`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from agent.protocol.wire import WireObject

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

_COUNTS_THINKING = re.compile(r"(?:.*/)?(?:o\d|gpt-(?:[5-9]|\d\d))(?!\w)")
"""OpenAI's thinking models, which refuse `max_tokens`: their limit counts the thinking too."""


def body_bytes(params: Mapping[str, Any], request: Mapping[str, Any]) -> bytes:
    """The body of a request to an OpenAI-style server.

    `params` are the resolved kwargs of the route (model, effort, `extra_body`); `request` is what `Backend.stream` is
    told. Text that is no Unicode (lone surrogates) is sent as question marks.
    """
    model = str(params["model"]).removeprefix("openai/")
    fields: dict[str, Any] = {"model": model, "stream": request["stream"]}
    if request["stream"]:
        fields["stream_options"] = {"include_usage": True}
    if request["max_tokens"] is not None:
        fields[_limit_field(model)] = request["max_tokens"]
    if effort := params.get("reasoning_effort"):
        fields["reasoning_effort"] = effort
    parts = [b',"messages":[', b",".join(map(_message_bytes, request["messages"])), b"]"]
    if tools := request["tools"]:
        fields["tool_choice"] = request["tool_choice"]
        parts += [b',"tools":[', b",".join(map(_tool_bytes, tools)), b"]"]
    return b"".join([_encode(fields | params.get("extra_body", {}))[:-1], *parts, b"}"])


def _message_bytes(message: Mapping[str, Any]) -> bytes:
    if not isinstance(message, WireObject):
        return _encode(with_object_arguments(message))
    if message.encoded is None:
        message.encoded = _encode(with_object_arguments(message))
    return message.encoded


def _tool_bytes(tool: Mapping[str, Any]) -> bytes:
    if not isinstance(tool, WireObject):
        return _encode(tool)
    if tool.encoded is None:
        tool.encoded = _encode(tool)
    return tool.encoded


def _encode(value: Any) -> bytes:
    return _ENCODER.encode(value).encode("utf-8", "replace")


def _limit_field(model: str) -> str:
    return "max_completion_tokens" if _COUNTS_THINKING.match(model) else "max_tokens"


def with_object_arguments(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """`message`, its calls with `{}` for arguments that are no JSON object: many servers refuse the whole request."""
    calls = message.get("tool_calls") or ()
    if all(_is_json_object(call["function"].get("arguments")) for call in calls):
        return message
    return {**message, "tool_calls": [_with_object_arguments(call) for call in calls]}


def _with_object_arguments(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call["function"]
    if _is_json_object(function.get("arguments")):
        return call
    return {**call, "function": {**function, "arguments": "{}"}}


def _is_json_object(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError, RecursionError):
        return False
