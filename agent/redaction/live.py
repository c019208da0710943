"""Keeping secrets out of what lasts: the exact values of live secrets are replaced wherever text leaves the program.

They come before everything that goes by looks (`agent.redaction.redactor`): they cannot be missed, nor damage code.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from agent.redaction.names import is_secret_name

SHORTEST_SECRET = 8
SHORTEST_LINE = 16
"""Of a secret of more lines: what is looked for by itself."""
JSON_LEVELS = 3
"""How often a secret may have been written as JSON within JSON."""


def child_environment(environ: Mapping[str, str], allowed: tuple[str, ...] = ()) -> dict[str, str]:
    """`environ` without secrets, for child processes; names in `allowed` stay."""
    return {name: value for name, value in environ.items() if name in allowed or not is_secret_name(name)}


class LiveSecrets:
    """The secrets this process holds, by value."""

    def __init__(self, environ: Mapping[str, str], extra: Mapping[str, str | None] | None = None) -> None:
        """Collects values of secret-looking variables of `environ` and of `extra` (name to value)."""
        found = {value: name for name, value in environ.items() if is_secret_name(name)}
        found |= {value: name for name, value in (extra or {}).items() if value}
        self._names: dict[str, str] = {}
        self._wrapped: dict[str, str] = {}
        for value, name in found.items():
            self._learn(name, value)

    def add(self, name: str, value: str | None) -> None:
        """One more secret, learned later."""
        if value:
            self._learn(name, value)

    def _learn(self, name: str, value: str) -> None:
        if len(value) >= SHORTEST_SECRET:
            self._names |= dict.fromkeys(_spellings(value), name)
            self._wrapped |= dict.fromkeys((core for core in _in_base64(value) if len(core) >= 2 * _PIECE), name)

    def scrub(self, text: str) -> str:
        """`text` with every known secret replaced by `[REDACTED:NAME]`."""
        found = [value for value in self._names if value in text]  # far faster than one pattern of all of them
        if found:
            found.sort(key=len, reverse=True)
            pattern = re.compile("|".join(map(re.escape, found)))
            text = pattern.sub(lambda match: f"[REDACTED:{self._names[match[0]]}]", text)
        if "\n" in text or "\\n" in text:
            text = self._unwrapped(text)
        return text

    def _unwrapped(self, text: str) -> str:
        """`text` without the secrets that are in base64 broken into lines: a piece of each is whole."""
        for core, name in self._wrapped.items():
            if core[:_PIECE] in text or core[_PIECE : 2 * _PIECE] in text:
                pattern = r"(?:\s|\\{1,8}[nr]){0,40}+".join(map(re.escape, core))
                text = re.sub(pattern, f"[REDACTED:{name}]", text)
        return text

    def scrub_data(self, value: Any) -> Any:
        """JSON-like `value` with every string scrubbed, dictionary keys included."""
        if not self._names:
            return value
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, dict):
            return {self.scrub_data(key): self.scrub_data(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.scrub_data(item) for item in value]
        return value


def _spellings(value: str) -> set[str]:
    """`value` and its lines as they read where they have been written down once more: within JSON (a key file in the
    arguments of a call has no line ends), Python, HTML, an address, as hexadecimal digits, and in base64, wherever in
    the encoded bytes it begins."""
    return set().union(*map(_written, (value, *_lines(value))))


def _lines(value: str) -> Iterator[str]:
    """The lines of a secret that has more, as far as they are words of their own: they may be indented elsewhere."""
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        yield from (
            line for line in lines if len(line) >= SHORTEST_LINE and not re.search(r"\s|^-----|^[\w.-]+:$", line)
        )


def _written(value: str) -> Iterator[str]:
    data = value.encode("utf-8", "replace")
    yield from (value, repr(value)[1:-1], ascii(value)[1:-1], repr(data)[2:-1], value.replace("\n", "\r\n"))
    yield from (html.escape(value), html.escape(value, quote=False), value.replace("/", "\\/"))
    for is_ascii in (True, False):
        written = value
        for _ in range(JSON_LEVELS):
            written = json.dumps(written, ensure_ascii=is_ascii)[1:-1]
            yield written
    for safe in ("", "/"):
        encoded = quote(value, safe=safe, errors="replace")
        yield from (encoded, _ESCAPE.sub(lambda match: match[0].lower(), encoded), quote(encoded, safe=safe))
    yield quote_plus(value, errors="replace")
    yield from (data.hex(), data.hex().upper(), *_in_base64(value))


_ESCAPE = re.compile(r"%[0-9A-F]{2}")


def _in_base64(value: str) -> Iterator[str]:
    data = value.encode("utf-8", "replace")
    for before in range(3):  # bytes of a group of three that are something else's
        encoded = base64.b64encode(bytes(before) + data).decode()
        core = encoded[(0, 2, 3)[before] : len(encoded) // 4 * 4 - (0, 4, 4)[-(before + len(data)) % 3]]
        if len(core) >= SHORTEST_SECRET:
            yield core
            yield core.translate(_URL_SAFE)
        if before == 0:
            yield encoded


_PIECE = 8
_URL_SAFE = str.maketrans("+/", "-_")
