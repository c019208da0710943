"""How much a call of `hf_inspect_dataset` shows: its schema names these, so nothing is imported for them."""

from __future__ import annotations

DEFAULT_SAMPLE_ROWS, MAX_SAMPLE_ROWS = 3, 10
