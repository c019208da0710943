"""How much a call of the tools for GitHub shows: their schemas name these, so nothing is imported for them."""

from __future__ import annotations

PAGE_LINES = 300
