"""What all formats need to tell of what was said: calls' arguments, thoughts, text and numbers that JSON can hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.protocol.messages import FunctionCall, Message
    from agent.redaction.redactor import Redactor

LARGEST_NUMBER = 1e15
"""Nothing that is counted in a session gets there; sums of what is larger may not be finite."""
_MAX_DEPTH = 60
_REMEMBERED = 4_096


def number(value: Any) -> float:
    """`value` if it is a number that can be meant, else 0."""
    return float(value) if is_number(value) else 0.0


def is_number(value: Any) -> bool:
    """Whether `value` is a number that can be meant: not true or false, finite, and not beyond all counting."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


# --- text ------------------------------------------------------------------------------------------------------------


def decodable(text: str) -> str:
    """`text` with U+FFFD for each half of a surrogate pair, which no reader can decode; whole pairs become one."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def compact_json(value: Any) -> str:
    """`value` as one line of ASCII JSON without spaces, with text as `decodable` makes it.

    Raises ValueError for numbers that JSON does not have.
    """
    text = _dumped(value)
    if "\\ud" not in text:
        return text
    return _dumped(json.loads(decodable(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))))


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def redacted_names(redactor: Redactor) -> Callable[[str], str]:
    """`redactor.text` for the short texts that come again and again: models, directories, tools, ids of calls."""
    return lru_cache(_REMEMBERED)(redactor.text)


# --- calls and thoughts ----------------------------------------------------------------------------------------------


def arguments_of(text: str) -> dict[str, Any]:
    """The arguments of a call as an object that can be gone through and written as JSON: what is none, has numbers that
    JSON does not have, or is nested too deeply comes as it was written, under `_raw`."""
    try:
        value = json.loads(text)
        if isinstance(value, dict) and not _is_deep(value):
            _dumped(value)
            return value
    except (ValueError, RecursionError):
        pass
    return {"_raw": text}


def redacted_arguments(function: FunctionCall, redactor: Redactor) -> dict[str, Any]:
    """The arguments of a call, redacted, as `arguments_of` gives them. Raises `RedactionError`."""
    value = arguments_of(function.arguments)
    if value == {"_raw": function.arguments}:
        return {"_raw": redactor.text(function.arguments)}
    redacted: dict[str, Any] = redactor.data(value)
    return redacted


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return True


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def thoughts(message: Message) -> Iterator[tuple[str, str]]:
    """What the model thought before it spoke, of whichever form: texts, each with its signature (empty without one).

    Encrypted thinking is left out: nobody but its provider can read it, and we cannot tell what is in it.
    """
    is_told = False
    for block in message.thinking_blocks:
        text = block.get("thinking") if isinstance(block, dict) else None
        if isinstance(text, str):
            is_told = is_told or bool(text)
            signature = block.get("signature")
            yield text, signature if isinstance(signature, str) else ""
    if not is_told and message.reasoning_content:
        yield message.reasoning_content, ""
