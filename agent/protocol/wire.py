"""Objects on their way to a provider, which are encoded once.

A request repeats all of the conversation and all of the tools, each time: what stays the same must not be turned into
JSON again and again.
"""

from __future__ import annotations

import copy
from typing import Any


class WireObject(dict[str, Any]):
    """A message or a tool in a provider's form. It is not changed once it is made: a change makes another one.

    `encoded` is its JSON, kept here by whoever encodes it first (agent/llm/wire.py).
    """

    __slots__ = ("encoded",)

    def __init__(self, *fields: Any, **more: Any) -> None:
        super().__init__(*fields, **more)
        self.encoded: bytes | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        """A plain dict, which may be changed."""
        return copy.deepcopy(dict(self), memo)
