"""An OpenAPI document as a list of endpoints: parameters merged, references resolved. Blocking; never raises for what
the document says, whatever that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.light_dataclass import dataclass

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
_JSON = "application/json"
_MAX_DEPTH = 6
_MAX_PROPERTIES = 30
_MAX_REFERENCES = 20
_BLANKS: dict[str, Any] = {"string": "...", "integer": 0, "number": 0, "boolean": False, "null": None}


@dataclass(frozen=True, slots=True)
class Parameter:
    """`place` is path, query, header or cookie. `example` None: none is given."""

    name: str
    place: str
    required: bool
    kind: str
    description: str
    example: str | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. `body` is an example of the JSON to send (`has_body`). `responses`: code, words."""

    method: str
    path: str
    operation: str
    summary: str
    description: str
    tags: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    body: Any
    has_body: bool
    responses: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Api:
    """All endpoints, the names of all tags in order, and the path that all paths are below, without a last slash."""

    endpoints: tuple[Endpoint, ...]
    tags: tuple[str, ...]
    base_path: str


def read_api(document: Any) -> Api:
    """The endpoints of a parsed OpenAPI 3 document; none for what is no such document."""
    found = _Document(document)
    endpoints = tuple(found.endpoints())
    named = (_text(_mapping(tag).get("name")) for tag in _list(found.root.get("tags")))
    used = (tag for endpoint in endpoints for tag in endpoint.tags)
    tags = tuple(sorted({tag for tag in (*named, *used) if tag}, key=str.lower))
    return Api(endpoints, tags, found.base_path())


class _Document:
    def __init__(self, root: Any) -> None:
        self.root = _mapping(root)

    def base_path(self) -> str:
        """The path of the first server's address. Its host is not used: tokens go to the configured one."""
        from urllib.parse import urlsplit

        servers = _list(self.root.get("servers"))
        try:
            return urlsplit(_text(_mapping(servers[0]).get("url")) if servers else "").path.rstrip("/")
        except ValueError:
            return ""

    def endpoints(self) -> Iterator[Endpoint]:
        for path, item in _mapping(self.root.get("paths")).items():
            shared = self.resolved(item)
            for method in METHODS:
                operation = _mapping(shared.get(method))
                if operation:
                    yield self.endpoint(str(path), method, operation, _list(shared.get("parameters")))

    def endpoint(self, path: str, method: str, operation: Mapping[str, Any], shared: list[Any]) -> Endpoint:
        # the operation's own parameters replace those of the path
        merged: dict[tuple[str, str], Parameter] = {}
        for raw in (*shared, *_list(operation.get("parameters"))):
            parameter = self.parameter(self.resolved(raw))
            merged[parameter.place, parameter.name] = parameter
        body = self.resolved(operation.get("requestBody"))
        content = _mapping(body.get("content"))
        media = next((_mapping(value) for name, value in content.items() if str(name).startswith(_JSON)), None)
        responses = tuple(
            (str(code), _text(self.resolved(value).get("description")))
            for code, value in _mapping(operation.get("responses")).items()
        )
        return Endpoint(
            method.upper(),
            path,
            _text(operation.get("operationId")),
            _text(operation.get("summary")),
            _text(operation.get("description")),
            tuple(tag for tag in map(_text, _list(operation.get("tags"))) if tag),
            tuple(merged.values()),
            None if media is None else self.media_example(media),
            media is not None,
            responses,
        )

    def parameter(self, raw: Mapping[str, Any]) -> Parameter:
        schema = self.resolved(raw.get("schema"))
        example = next((value for value in (_given(raw), _given(schema)) if value is not None), None)
        if example is None and _list(schema.get("enum")):
            example = schema["enum"][0]
        return Parameter(
            _text(raw.get("name")),
            _text(raw.get("in")),
            raw.get("required") is True or raw.get("in") == "path",
            self.kind(schema),
            _text(raw.get("description")) or _text(schema.get("description")),
            None if example is None or isinstance(example, (dict, list)) else _plain(example),
        )

    def kind(self, schema: Mapping[str, Any]) -> str:
        """The type of a value in a few words: `string`, `array of integer`, `one of: a, b`."""
        if choices := _list(schema.get("enum")):
            return f"one of: {', '.join(_plain(choice) for choice in choices[:12])}{', ...' if choices[12:] else ''}"
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = "/".join(str(each) for each in kind)
        if kind == "array":
            return f"array of {self.kind(self.resolved(schema.get('items')))[:80]}"
        if kind is None:
            parts = [self.resolved(part) for name in ("anyOf", "oneOf") for part in _list(schema.get(name))]
            kinds = dict.fromkeys(str(part["type"]) for part in parts if isinstance(part.get("type"), str))
            return "/".join(kinds) or "any"
        return str(kind)

    def media_example(self, media: Mapping[str, Any]) -> Any:
        """An example of a body: the one that is given, else one made from its schema."""
        given = _given(media)
        return self.example(media.get("schema"), 0) if given is None else given

    def example(self, raw: Any, depth: int) -> Any:
        schema = self.resolved(raw)
        given = _given(schema)
        if given is not None:
            return given
        if choices := _list(schema.get("enum")):
            return choices[0]
        if depth >= _MAX_DEPTH:
            return {}
        if options := [part for name in ("anyOf", "oneOf") for part in _list(schema.get(name))]:
            first = self.example(options[0], depth + 1)
            rest = {name: value for name, value in schema.items() if name not in ("anyOf", "oneOf")}
            if isinstance(first, dict) and rest.get("properties"):
                return {**self.object_example(rest, depth), **first}
            return first
        kind = schema.get("type")
        kinds = kind if isinstance(kind, list) else [kind]
        kind = next((str(each) for each in kinds if each != "null"), "null")
        if kind == "object" or "properties" in schema or "allOf" in schema:
            return self.object_example(schema, depth)
        if kind == "array":
            return [self.example(schema.get("items"), depth + 1)]
        return schema.get("minimum", _BLANKS[kind]) if kind in _BLANKS else {}

    def object_example(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        example: dict[str, Any] = {}
        for part in _list(schema.get("allOf")):
            value = self.example(part, depth + 1)
            example.update(value if isinstance(value, dict) else {})
        properties = _mapping(schema.get("properties"))
        required = [name for name in _list(schema.get("required")) if name in properties]
        for name in list(dict.fromkeys((*required, *properties)))[:_MAX_PROPERTIES]:
            example[str(name)] = self.example(properties[name], depth + 1)
        return example

    def resolved(self, value: Any) -> Mapping[str, Any]:
        """`value` with what its `$ref` leads to; {} for what leads nowhere, in circles, or out of the document."""
        for _ in range(_MAX_REFERENCES):
            found = _mapping(value)
            reference = found.get("$ref")
            if not isinstance(reference, str):
                return found
            if not reference.startswith("#/"):
                return {}
            value = self.root
            for part in reference[2:].split("/"):
                value = _mapping(value).get(part.replace("~1", "/").replace("~0", "~"))
        return {}


def _given(holder: Mapping[str, Any]) -> Any:
    """The example, default or constant that is given outright, None if none is."""
    if holder.get("example") is not None:
        return holder["example"]
    examples = holder.get("examples")
    if isinstance(examples, list) and examples:
        return examples[0]
    if isinstance(examples, dict) and examples:
        return _mapping(next(iter(examples.values()))).get("value")
    for name in ("const", "default"):
        if holder.get(name) is not None:
            return holder[name]
    return None


def _plain(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
