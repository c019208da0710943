"""Finding secrets that are not known by value by what they look like: keys of services (`tokens.py`), logins
(`logins.py`), private keys (`key_files.py`), and keys that are encoded once more."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cache

from agent.redaction.found import Found, apart, lowered
from agent.redaction.key_files import ARMOUR, find_key_files
from agent.redaction.logins import LOGINS
from agent.redaction.looks import is_placeholder
from agent.redaction.tokens import TOKENS, Edge, Shape

SHAPES: tuple[Shape, ...] = (*TOKENS, *LOGINS)

_BEFORE = (
    r"\\[nrtbf]",  # a line end written as two characters
    r"%[0-9A-Fa-f]{2}",
    r"%25[0-9A-Fa-f]{2}",
    r"\[[mK]",  # the end of a colour, with or without the escape before it
    *(rf"\[[\d;:]{{{length}}}[A-Za-z]" for length in range(1, 20)),
)
_EDGES: dict[Edge, tuple[str, ...]] = {
    "word": (r"(?<![A-Za-z0-9_-]%s)", *(rf"(?<=(?<![A-Za-z0-9_+-])[-+]{{{length}}}%s)" for length in range(1, 4))),
    "letters": (r"(?<![A-Za-z0-9]%s)", r"(?<=(?<![A-Za-z0-9_-])-[A-Za-z]%s)"),
    "none": (),
}


@cache
def _pattern(shape: Shape) -> re.Pattern[str]:
    begins = re.escape(shape.begins)
    edge = ""
    if shape.edge != "none":  # asked after the literal: a pattern that starts with one is found many times as fast
        ways = (way.replace("%s", begins) for way in _EDGES[shape.edge])
        edge = f"(?:{'|'.join((*ways, *(f'(?<={before}{begins})' for before in _BEFORE)))})"
    return re.compile(begins + edge + shape.rest, re.ASCII)


_ROWS = tuple((shape.begins.lower(), shape) for shape in SHAPES)


def find_shapes(text: str) -> list[Found]:
    """Everything in `text` that looks like a secret, in order and apart."""
    lower = lowered(text)
    found = [*find_key_files(text), *_in_base64(text)]
    for hint, shape in _ROWS:
        if hint in lower:
            found += _of_shape(shape, text, lower)
    return apart(found)


def _of_shape(shape: Shape, text: str, lower: str) -> Iterator[Found]:
    pattern = _pattern(shape)
    part = "secret" if "secret" in pattern.groupindex else 0
    for match in pattern.finditer(lower if shape.any_case else text):
        start, end = match.span(part)
        body = text[start if part else start + len(shape.begins) : end]
        if not is_placeholder(body) and (shape.check is None or shape.check(body)):
            yield Found(start, end, shape.label)


_ENCODED = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{32,4000}+={0,2}(?![A-Za-z0-9+/=_-])")
_READABLE = re.compile(rb"[ -~\s]{24,}")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _encoded(beginning: str) -> Iterator[str]:
    """How `beginning` reads in base64, at each place in a group of three bytes where it may begin."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + beginning.encode()).decode().rstrip("=")
        yield encoded[(0, 2, 3)[before] : (before + len(beginning)) * 8 // 6]


_IN_BASE64 = tuple(
    hint
    for beginning in ("hf_", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "sk-", "npm_", "pypi-", "xox")
    for hint in _encoded(beginning)
)


def _in_base64(text: str) -> Iterator[Found]:
    """Words that are a key in base64, as in a login `user:key`."""
    if not any(hint in text for hint in _IN_BASE64):
        return
    for match in _ENCODED.finditer(text):
        word = match[0].encode().translate(_URL_SAFE).rstrip(b"=")
        if len(word) % 4 == 1:
            continue
        data = base64.b64decode(word + b"=" * (-len(word) % 4))
        if _READABLE.fullmatch(data) is None:
            continue
        inner = data.decode("ascii")
        shapes = (shape for shape in TOKENS if shape.begins in inner)
        label = next((one.label for shape in shapes for one in _of_shape(shape, inner, lowered(inner))), None)
        if label is not None:
            yield Found(*match.span(), label)


def holds_key(text: str) -> bool:
    """Whether there is something in `text` that looks like a key: a token of a well-known service, a private key (its
    first line is enough), or a password in an address."""
    return _KEY_FILE.search(text) is not None or bool(find_shapes(text))


_KEY_FILE = re.compile(rf"-----BEGIN {ARMOUR}")
