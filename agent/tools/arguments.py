"""Reading tool arguments: forgiving about spelling (`"5"` is 5, null is absent), strict about meaning."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any


def loosened(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments` with what models often misspell put right for `schema`; anything else is left for it to refuse.

    An optional null is absent; text that plainly is the number, truth value, array or object asked for becomes it.
    """
    properties, required = schema.get("properties", {}), schema.get("required", ())
    result = {}
    for name, value in arguments.items():
        wanted = properties.get(name, {}).get("type")
        if value is None and wanted is not None and name not in required:
            continue
        read = _READERS.get(wanted) if isinstance(wanted, str) and isinstance(value, str) else None
        result[name] = value if read is None else read(value)
    return result


def _json_as(kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return value if isinstance(value, kind) else text

    return read


def _read_bool(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.strip().lower(), text)


_READERS: dict[str, Callable[[str], Any]] = {
    "integer": lambda text: text if (number := _as_int(text)) is None else number,
    "boolean": _read_bool,
    "array": _json_as(list),
    "object": _json_as(dict),
}


class ArgumentError(ValueError):
    """An argument cannot be used; the message says which one, what was given and what is wanted."""


def text_argument(arguments: Mapping[str, Any], name: str) -> str:
    """The required string `name`. Raises `ArgumentError` if it is absent or no string."""
    value = arguments.get(name)
    if value is None:
        raise ArgumentError(f"`{name}` is required.")
    if not isinstance(value, str):
        raise ArgumentError(f"`{name}` must be a string, not {type(value).__name__}.")
    return value


def utf8_argument(arguments: Mapping[str, Any], name: str) -> str:
    """Like `text_argument`, for text that ends up in a file: lone surrogates, which no file can hold, are refused."""
    value = text_argument(arguments, name)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"`{name}` has a lone surrogate ({value[error.start]!a}) at character {error.start}: half of an emoji or "
            "another escaped character. Send the whole character."
        ) from error
    return value


def int_argument(arguments: Mapping[str, Any], name: str, default: int, minimum: int) -> int:
    """The integer `name`, or `default` if absent. Raises `ArgumentError` if it is no integer or below `minimum`."""
    raw = arguments.get(name)
    if raw is None:
        return default
    value = _as_int(raw)
    if value is None:
        raise ArgumentError(f"`{name}` must be a whole number, not {str(raw)[:80]!r}.")
    if value < minimum:
        raise ArgumentError(f"`{name}` must be at least {minimum}, not {value}.")
    return value


def _as_int(raw: object) -> int | None:
    if isinstance(raw, bool):  # a bool is an int for Python, not for the person
        return None
    if isinstance(raw, int):
        return raw
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() else None
    if isinstance(raw, str):
        try:
            return int(raw.strip())
        except ValueError:
            return None
    return None


def bool_argument(arguments: Mapping[str, Any], name: str) -> bool:
    """The boolean `name`, False if absent. Raises `ArgumentError` for anything that is not clearly yes or no."""
    raw = arguments.get(name)
    if raw is None:
        return False
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.strip().lower() in ("true", "false"):
        return raw.strip().lower() == "true"
    raise ArgumentError(f"`{name}` must be true or false, not {str(raw)[:80]!r}.")
