"""Secrets whose name is a value as well: `- name: DB_PASSWORD` above `value: ...`, `name="csrf_token" value="..."`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.redaction.assigned import is_secret_value
from agent.redaction.found import Found, lowered

_VALUE = re.compile(
    r"""value\\*["']?\s{0,3}(?P<sep>[:=])\s{0,3}
    (?:\\*(?P<quote>["'])(?P<quoted>[^"'\\\n]{1,4000}+)(?=\\*(?P=quote))
    | (?P<bare>[^\s"'`,;|&<>(){}\[\]\\]{4,4000}+))""",
    re.VERBOSE,
)
_NAME = re.compile(
    r"""(?<![a-z])(?:name|key|header|variable)\\*["']?\s{0,3}[:=]\s{0,3}\\*["']?(?P<name>[a-z][\w.-]{1,63}+)\\*["']?
    (?P<between>(?:[\s,]|\\n){1,60}+(?:[a-z]{2,12}=["'][^"'\n]{0,40}["']\s{1,20}){0,3}) \\*["']?\Z""",
    re.VERBOSE | re.ASCII,
)
_REACH = 200


def find_paired(text: str) -> Iterator[Found]:
    """The values of secrets in `text` that are named by a value next to them, in order and apart."""
    lower = lowered(text)
    for value in _VALUE.finditer(lower):
        start = value.start()
        ahead = lower[max(0, start - _REACH) : start]
        name = _NAME.search(ahead) if ahead[-1:] in _APART else None
        if name is None:
            continue
        part = "quoted" if value["quoted"] is not None else "bare"
        is_entry = value["sep"] == ":" and ("\n" in name["between"] or "\\n" in name["between"])  # code: value=...
        called = text[start - len(ahead) : start][slice(*name.span("name"))]
        if (part == "quoted" or is_entry) and is_secret_value(called, text[slice(*value.span(part))]):
            yield Found(*value.span(part))


_APART = (" ", "\n", "\t", ",", '"', "'", "n")
"""What may stand right before `value`."""
