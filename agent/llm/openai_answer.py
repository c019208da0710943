"""What OpenAI-style servers answer, made into deltas or into a `ProviderError`, whatever they really send.

Nothing here trusts a type: a field that is not what it should be counts as absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.llm.failures import ProviderError
from agent.llm.stream import Delta, ToolDelta, extract_usage

MAX_ERROR_BYTES = 64 << 10

_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
}
"""For errors inside an answer whose status was 200: what the same error would have come with."""


def parse(text: str | bytes) -> Any:
    """The JSON value that `text` is; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def chunk_delta(chunk: Mapping[str, Any]) -> Delta:
    """What one chunk of a stream, or a whole answer, adds. Raises `ProviderError` if it is an error."""
    raise_if_error(chunk)
    choice = _first(chunk.get("choices"))
    raise_if_error(choice)
    said = _mapping(choice.get("delta")) or _mapping(choice.get("message"))
    is_whole = "message" in choice
    calls = said.get("tool_calls")
    return Delta(
        text=_text(said.get("content")),
        reasoning=_text(said.get("reasoning_content")) or _text(said.get("reasoning")),
        thinking_blocks=_thinking_blocks(said.get("thinking_blocks")),
        tool_calls=tuple(
            _tool_delta(call, place if is_whole else None)
            for place, call in enumerate(calls if isinstance(calls, list) else ())
            if isinstance(call, Mapping)
        ),
        finish_reason=_word(choice.get("finish_reason")),
        usage=extract_usage(_mapping(chunk.get("usage"))),
    )


def _tool_delta(call: Mapping[str, Any], place: int | None) -> ToolDelta:
    """A fragment of a call; `place` is where it stands in an answer in one piece, which needs no index."""
    function = _mapping(call.get("function"))
    index, arguments = call.get("index"), function.get("arguments")
    if isinstance(arguments, (Mapping, list)):
        arguments = json.dumps(arguments)
    return ToolDelta(
        index=index if isinstance(index, int) and place is None else place,
        id=_word(call.get("id")),
        name=_word(function.get("name")),
        arguments=arguments if isinstance(arguments, str) else "",
    )


def _thinking_blocks(value: Any) -> tuple[dict[str, Any], ...]:
    blocks = value if isinstance(value, list) else ()
    return tuple(dict(block) for block in blocks if isinstance(block, Mapping) and _is_thinking(block))


def _is_thinking(block: Mapping[str, Any]) -> bool:
    return all(isinstance(block.get(name), str | None) for name in ("type", "thinking", "signature", "data"))


def _text(value: Any) -> str:
    """Text, or the texts of a list of parts."""
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in value if isinstance(part, Mapping))
    return value if isinstance(value, str) else ""


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _first(value: Any) -> Mapping[str, Any]:
    return _mapping(value[0]) if isinstance(value, list) and value else {}


# --- errors ----------------------------------------------------------------------------------------------------------


def raise_if_error(answer: Mapping[str, Any]) -> None:
    """Raise the `ProviderError` that an answer of status 200, or an event in it, turns out to be."""
    error = answer if answer.get("object") == "error" else answer.get("error")
    if error:
        raise ProviderError(error_words(answer), _status_of(error), body=json.dumps(answer))


def refusal(status: int, reason: str, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """The error for an answer whose status is not 200."""
    text = body.decode("utf-8", "replace").strip()
    answer = parse(text)
    words = error_words(answer) if isinstance(answer, Mapping) else text
    return ProviderError(words or f"{status} {reason}".strip(), status, headers, body=text)


def no_answer(body: bytes) -> ConnectionError:
    """The error for an answer of status 200 that is none of a model: whoever sent it is mostly somebody else."""
    text = body.decode("utf-8", "replace").strip()
    is_page = text[:200].lstrip("\ufeff").lower().startswith(("<!doctype", "<html"))
    return ConnectionError("it sent a web page" if is_page else f"it sent {text[:200] or 'an empty answer'}")


def error_words(answer: Mapping[str, Any]) -> str:
    """The message in an error answer; the whole of it as JSON where it has none at the usual places."""
    value: Any = answer
    while isinstance(value, Mapping):
        value = next((value[name] for name in ("error", "message", "detail", "msg") if value.get(name)), None)
    return value if isinstance(value, str) else json.dumps(answer, ensure_ascii=False)


def _status_of(error: Any) -> int:
    error = _mapping(error)
    for name in ("status", "status_code", "code"):
        value = error.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:4])
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return _STATUS_OF_TYPE.get(str(error.get("type")), 500)
