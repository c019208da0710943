"""The argument schemas of other people's tools, made safe: providers refuse some of what JSON schema allows, our own
check must not fetch anything or run forever, and their texts are shown to the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.protocol.untrusted import harmless

MAX_TEXT_CHARS = 500
MAX_NAME_CHARS = 64
"""Of an argument: the longest that all providers take."""
MAX_SCHEMA_CHARS = 24_000
"""A tool list is sent with every request: what is longer than this loses its descriptions, then its details."""
MAX_LEVELS = 24
MAX_EXPANDED = 10_000
"""Schemas to look at in one check, with every reference written out. Each of twenty definitions that names the next
one twice makes a million of them, and the check would hold up everything else."""

EMPTY: dict[str, Any] = {"type": "object", "properties": {}}

_TEXTS = frozenset({"title", "description"})
_KEYWORDS = _TEXTS | frozenset(
    "$ref type properties items prefixItems additionalProperties allOf anyOf oneOf not if then else dependentSchemas "
    "propertyNames contains minContains maxContains minimum maximum exclusiveMinimum exclusiveMaximum multipleOf "
    "minLength maxLength minItems maxItems uniqueItems minProperties maxProperties format nullable deprecated".split()
)
"""What is kept. Left out are words that only change what a `$ref` means; regular expressions, which can take for ever;
`unevaluatedProperties` and `unevaluatedItems`, for which all beside them is checked a second time, one within another
that many times twice; and what is no word of JSON schema, but would be read by the model."""
_AT_THE_TOP = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "enum", "const")
"""What several providers refuse beside `type: object`."""
_MAPS = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
"""Keywords below which the keys are names, not keywords."""
_DEFINITIONS = frozenset({"$defs", "definitions"})
_DATA = frozenset({"default", "examples", "enum", "const", "required"})


def safe_schema(raw: Any) -> dict[str, Any]:
    """`raw`, a server's input schema, as a schema of type object that says the same as far as possible."""
    try:
        return _safe_schema(raw) if isinstance(raw, Mapping) else dict(EMPTY)
    except RecursionError:  # so many levels of data
        return dict(EMPTY)


def _safe_schema(raw: Mapping[str, Any]) -> dict[str, Any]:
    schema = _cleaned(raw, 0)
    schema = _softened(schema) | {"type": "object"}
    if not isinstance(schema.get("properties"), dict):
        schema["properties"] = {}
    if not isinstance(schema.get("required", []), list):
        del schema["required"]
    _drop_dead_references(schema, schema)
    if _size(schema) > MAX_SCHEMA_CHARS:
        schema = _without(schema, "description", is_map=False)
    is_fine = _size(schema) <= MAX_SCHEMA_CHARS and _is_valid(schema) and _is_quick(schema)
    return schema if is_fine else _outline(schema)


def _cleaned(value: Any, level: int) -> Any:
    """A copy of a (part of a) schema without what is unsafe."""
    if isinstance(value, str):
        return harmless(value)[:MAX_TEXT_CHARS]
    if isinstance(value, list):
        return [_cleaned(item, level + 1) for item in value] if level < MAX_LEVELS else []
    if not isinstance(value, Mapping):
        return value
    if level >= MAX_LEVELS:
        return {}
    cleaned: dict[str, Any] = {}
    for key, item in value.items():
        if key == "items" and isinstance(item, list):  # drafts before 2020-12
            cleaned["prefixItems"] = _cleaned(item, level + 1)
        elif key in _MAPS and isinstance(item, Mapping):
            cleaned[key] = {name: _cleaned(part, level + 1) for name, part in item.items() if _is_name(name)}
        elif key in _DATA:
            cleaned |= _cleaned_data(key, item)
        elif key in _KEYWORDS and not (key in _TEXTS and not isinstance(item, str)):
            cleaned[key] = _cleaned(item, level + 1)
    return cleaned


def _cleaned_data(key: str, item: Any) -> dict[str, Any]:
    """The keyword `key` with those of its values that are harmless as they are; {} if there are none."""
    if key in ("enum", "examples") and isinstance(item, list):
        kept = [each for each in item if _is_harmless(each)]
        return {key: kept} if kept else {}
    if key == "required" and isinstance(item, list):
        return {key: [name for name in item if _is_name(name)]}
    return {key: item} if _is_harmless(item) else {}


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and len(name) <= MAX_NAME_CHARS and harmless(name) == name


def _is_harmless(value: Any) -> bool:
    """Whether no text in `value` pretends to be something; these may not be changed, as the server compares them."""
    if isinstance(value, str):
        return harmless(value) == value
    if isinstance(value, Mapping):
        return all(_is_harmless(part) for pair in value.items() for part in pair)
    return all(_is_harmless(item) for item in value) if isinstance(value, list) else True


def _softened(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` without combinators and references at its top; the properties that they bring become its own."""
    properties: dict[str, Any] = dict(_mapping(schema.get("properties")))
    required = {name for name in _list(schema.get("required")) if isinstance(name, str)}
    parts = [_resolved(schema, {"$ref": schema["$ref"]})] if "$ref" in schema else []
    parts += [_resolved(schema, part) for part in _list(schema.get("allOf"))]
    for part in parts:
        required |= {name for name in _list(part.get("required")) if isinstance(name, str)}
    for word in ("anyOf", "oneOf"):
        parts += [_resolved(schema, part) for part in _list(schema.get(word))]
    for part in parts:
        for name, item in _mapping(part.get("properties")).items():
            properties.setdefault(name, item)
    rest = {key: item for key, item in schema.items() if key not in _AT_THE_TOP and key != "$ref"}
    if parts and rest.get("additionalProperties") is False:
        del rest["additionalProperties"]
    return rest | {"properties": properties, "required": [name for name in properties if name in required]}


def _resolved(schema: dict[str, Any], part: Any) -> dict[str, Any]:
    """`part`, or what it refers to."""
    for _ in range(MAX_LEVELS):
        if not isinstance(part, dict) or "$ref" not in part:
            break
        part = _at(schema, part["$ref"])
    return part if isinstance(part, dict) else {}


def _at(schema: Any, reference: Any) -> Any:
    """What a reference within the schema points at; None if it leads nowhere, or elsewhere."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return None
    here = schema
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(here, dict) or name not in here:
            return None
        here = here[name]
    return here


def _drop_dead_references(part: Any, schema: dict[str, Any], *, is_map: bool = False) -> None:
    """Take out every `$ref` that leads out of the schema, nowhere, or only to itself."""
    if isinstance(part, dict):
        if not is_map and "$ref" in part and "$ref" in (_resolved(schema, part) or part):
            del part["$ref"]
        for key, item in part.items():
            if is_map or key not in _DATA:
                _drop_dead_references(item, schema, is_map=not is_map and key in _MAPS)
    elif isinstance(part, list):
        for item in part:
            _drop_dead_references(item, schema)


def _without(part: Any, word: str, *, is_map: bool) -> Any:
    """A copy without the keyword `word`, which may also be the name of a property."""
    if isinstance(part, dict):
        return {
            key: _without(item, word, is_map=not is_map and key in _MAPS)
            for key, item in part.items()
            if is_map or key != word
        }
    return [_without(item, word, is_map=False) for item in part] if isinstance(part, list) else part


def _outline(schema: dict[str, Any]) -> dict[str, Any]:
    """The arguments' names and simple types, for a schema that is invalid or too large."""
    properties = {}
    for name, item in list(schema["properties"].items())[:100]:
        kind = item.get("type") if isinstance(item, dict) else None
        is_simple = kind in {"string", "number", "integer", "boolean", "object", "array"}
        properties[name] = {"type": kind} if is_simple else {}
    required = [name for name in _list(schema.get("required")) if isinstance(name, str) and name in properties]
    return {"type": "object", "properties": properties, "required": required}


def _is_valid(schema: dict[str, Any]) -> bool:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return False
    return True


def _is_quick(schema: dict[str, Any]) -> bool:
    try:
        return _expanded(schema, schema, {}) <= MAX_EXPANDED
    except RecursionError:
        return False


def _expanded(part: Any, schema: dict[str, Any], known: dict[str, int], *, is_map: bool = False) -> int:
    """How many schemas there are in `part` with every reference written out; `known` are the sizes of the targets.

    A definition that comes back to itself is written out once more: deeper than that only the arguments lead.
    """
    if isinstance(part, list):
        return sum(_expanded(item, schema, known) for item in part)
    if not isinstance(part, dict):
        return 0
    size = 0 if is_map else 1
    for key, item in part.items():
        if key == "$ref" and isinstance(item, str) and not is_map:
            if item not in known:
                target = _at(schema, item)
                known[item] = _plain(target)  # while it is being written out
                known[item] = _expanded(target, schema, known)
            size += known[item]
        elif is_map or key not in _DATA | _DEFINITIONS:
            size += _expanded(item, schema, known, is_map=not is_map and key in _MAPS)
    return size


def _plain(part: Any) -> int:
    """About how many schemas there are in `part`, references not followed."""
    if isinstance(part, dict):
        return 1 + sum(_plain(item) for item in part.values())
    return sum(_plain(item) for item in part) if isinstance(part, list) else 0


def _size(schema: Any) -> int:
    return len(json.dumps(schema, ensure_ascii=False, default=str))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
