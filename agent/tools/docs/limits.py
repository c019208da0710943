"""How much a call of the documentation tools brings: their schemas name these, so nothing is imported for them."""

from __future__ import annotations

DEFAULT_RESULTS, MAX_RESULTS = 20, 50
DEFAULT_CHARS, MAX_CHARS = 12_000, 20_000
