"""litellm's bundled table of models, read without litellm: importing that takes seconds, and one row is wanted.

The file is 3 MB of JSON (1.106), an object of rows with one row's name at the beginning of a line.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE_NAME = "model_prices_and_context_window_backup.json"


def table_row(model: str) -> Mapping[str, Any] | None:
    """What litellm's table says of `model` (its own name for it): prices, limits. None if it is not in there.

    Reads a file: to be called in a thread. Raises `OSError` where the file is not to be found. Read directly: litellm's
    own look-ups guess for names they do not know, and ask the network about some (spec llm.md §8).
    """
    text = table_path().read_text("utf-8")
    return _row(text, model) or _row(text, model.split("/", 1)[-1])


def table_path() -> Path:
    """Where the table is. Raises `OSError` if litellm is not installed."""
    found = importlib.util.find_spec("litellm")  # does not import it
    if found is None or found.origin is None:
        raise FileNotFoundError("litellm is not installed")
    return Path(found.origin).with_name(FILE_NAME)


def _row(text: str, name: str) -> Mapping[str, Any] | None:
    """The row called `name`, found as text: to parse them all takes a hundred times as long."""
    key = f"{json.dumps(name)}: "
    at = text.rfind(f"{key}{{")
    if at < 0 or text[text.rfind("\n", 0, at) + 1 : at].strip():
        return None
    row, _ = json.JSONDecoder().raw_decode(text, at + len(key))
    return row if isinstance(row, Mapping) else None
