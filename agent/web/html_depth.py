"""How deep the elements of a page lie in each other: asked before a parser of trees gets a page of somebody else.

The parser (lexbor) needs time that grows with the square of the depth for most elements: 200,000 open tags, one
megabyte, take it minutes. What is counted here is rough, on purpose: no tree, one pass, linear in time.
"""

from __future__ import annotations

import re
from collections import Counter

MAX_DEPTH = 2_000
"""Of open elements. Pages have some 40."""
MAX_SELF_CLOSED = 20_000
"""Of `<x/>`: an element without content in SVG and MathML, of which there are many, but an open one in HTML."""
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]{0,20}+)([^<>]*+>)?")
_ENDED_BY_OTHERS = frozenset(
    "area base br col embed hr img input link meta param source track wbr "
    "p li dt dd td th tr tbody thead tfoot option".split()
)
"""Elements that have no content, or that end where the next one of their kind begins."""


def is_too_deep(html: str | bytes) -> bool:
    """Whether more elements may be open in each other than in any page that is made to be read."""
    text = html.decode("latin-1") if isinstance(html, bytes) else html
    depth = self_closed = 0
    opened = Counter[str]()
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if name in _ENDED_BY_OTHERS or (tag[1] and not opened[name]):
            continue
        if not tag[1] and (tag[3] or "").endswith("/>"):
            self_closed += 1
        else:
            change = -1 if tag[1] else 1
            opened[name] += change
            depth += change
        if depth > MAX_DEPTH or self_closed > MAX_SELF_CLOSED:
            return True
    return False
