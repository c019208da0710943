"""Reading tool arguments: forgiving about spelling (`"5"` is 5, null is absent), strict about meaning."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

_ALIASES = {
    "flavor": "hardware_flavor",
    "hardware": "hardware_flavor",
    "repo": "repo_id",
    "repository": "repo_id",
    "path_in_repo": "path",
    "folder_path": "local_path",
    "path_or_fileobj": "local_path",
    "allow_patterns": "patterns",
    "discussion_num": "pr_num",
}
"""Other words for an argument, mostly huggingface_hub's: heard where a tool has the one on the right only."""

_JOINED = frozenset({"job_id"})
"""Texts that may name several things with commas between them."""


def loosened(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments` with what models often misspell put right for `schema`; anything else is left for it to refuse.

    An optional null is absent; text that plainly is the number, truth value, array or object asked for becomes it, and
    so the other way round: a number where text is wanted, one text where a list of texts is. A value of an enumeration
    may have other case and blanks, a name may be another word for the same.
    """
    properties, required = _mapping(schema.get("properties")), schema.get("required", ())
    result = {}
    for given, value in arguments.items():
        name = _known_name(given, arguments, properties)
        wanted = _mapping(properties.get(name))
        if value is None and wanted.get("type") is not None and name not in required:
            continue
        result[name] = _read(name, value, wanted)
    return result


def _mapping(schema: Any) -> Mapping[str, Any]:
    """A schema may also be true or false, which asks for nothing that could be put right."""
    return schema if isinstance(schema, Mapping) else {}


def _known_name(name: str, arguments: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    """The tool's own word for `name`, unless that is given as well."""
    meant = _ALIASES.get(name, name)
    taken = meant in arguments or any(_ALIASES.get(other) == meant for other in arguments if other != name)
    return name if name in properties or meant not in properties or taken else meant


def _read(name: str, value: Any, wanted: Mapping[str, Any]) -> Any:
    """`value` as the schema `wanted` has it, if it plainly is that; else as it is."""
    kind = wanted.get("type")
    if kind == "string":
        return _text(value, wanted.get("enum"), joins=name in _JOINED)
    is_texts = kind == "array" and _mapping(wanted.get("items")).get("type") == "string"
    if isinstance(value, str) and isinstance(kind, str):
        value = _READERS[kind](value) if kind in _READERS else value
        if is_texts and isinstance(value, str) and value.strip():
            return [value]
    if is_texts and isinstance(value, list):
        return [_as_text(each) for each in value]
    return value


def _text(value: Any, choices: Any, *, joins: bool) -> Any:
    if joins and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    if not isinstance(choices, list):
        return _as_text(value)
    if value in choices or not isinstance(value, (str, bool)):
        return value
    text = " ".join(str(value).split()).lower()
    return text if text in choices else value


def _as_text(value: Any) -> Any:
    """A number as text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
        return str(int(value) if is_whole else value)
    return value


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


def _read_number(text: str) -> int | float | str:
    whole = _as_int(text)
    if whole is not None:
        return whole
    try:
        number = float(text.strip())
    except ValueError:
        return text
    return number if math.isfinite(number) else text


_READERS: dict[str, Callable[[str], Any]] = {
    "integer": lambda text: text if (number := _as_int(text)) is None else number,
    "number": _read_number,
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
