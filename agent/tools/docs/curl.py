"""A shell command that asks an endpoint: nothing in it is read by the shell but $HF_TOKEN."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, urlencode

from agent.tools.docs.openapi import Endpoint, Parameter

TOKEN_HEADER = '-H "Authorization: Bearer $HF_TOKEN"'
"""In double quotes, so that the shell puts the token in; everything else is in single ones."""
_SLOT = re.compile(r"\{([^{}]*)\}")
_NOT_IN_SLOT = re.compile(r"[^A-Z0-9]+")
_MAX_BODY_CHARS = 2_500


def curl_command(endpoint: Endpoint, base: str) -> str:
    """The command; what has to be filled in stands in capitals. `base` is the address that the path is put behind."""
    by_place: dict[str, list[Parameter]] = {}
    for parameter in endpoint.parameters:
        by_place.setdefault(parameter.place, []).append(parameter)
    examples = {parameter.name: parameter.example for parameter in by_place.get("path", ())}

    def filled(match: re.Match[str]) -> str:
        example = examples.get(match[1])
        return _blank(match[1]) if example is None else quote(example, safe="")

    literals = _SLOT.split(endpoint.path)[::2]
    slots = [filled(match) for match in _SLOT.finditer(endpoint.path)]
    path = "".join(
        quote(literal, safe="/:@-._~!$&'()*+,;=%") + slot for literal, slot in zip(literals, [*slots, ""], strict=True)
    )
    query = [
        (each.name, _blank(each.name) if each.example is None else each.example)
        for each in by_place.get("query", ())
        if each.required or each.example is not None
    ]
    address = base + path + (f"?{urlencode(query)}" if query else "")
    parts = [f"curl{_method(endpoint)} {_quoted(address)}", TOKEN_HEADER]
    for header in by_place.get("header", ()):
        if header.required and header.name.lower() != "authorization":
            value = header.example if header.example is not None else _blank(header.name)
            parts.append(f"-H {_quoted(f'{header.name}: {value}')}")
    if endpoint.has_body:
        body = json.dumps(endpoint.body, ensure_ascii=False, default=str)
        parts.append("-H 'Content-Type: application/json'")
        parts.append(f"-d {_quoted(body if len(body) <= _MAX_BODY_CHARS else '{}')}")
    return " \\\n  ".join(parts)


def _method(endpoint: Endpoint) -> str:
    return {"GET": "", "HEAD": " --head"}.get(endpoint.method, f" -X {endpoint.method}")


def _blank(name: str) -> str:
    return _NOT_IN_SLOT.sub("_", name.upper()).strip("_") or "VALUE"


def _quoted(text: str) -> str:
    """`text` for a shell, in single quotes and on one line."""
    one_line = text.replace("\r", " ").replace("\n", " ").replace("\0", "")
    return "'" + one_line.replace("'", "'\"'\"'") + "'"
