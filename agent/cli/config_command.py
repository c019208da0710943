"""`ml-intern config show`: every key, its value and the layer that set it."""

from __future__ import annotations

import json
from typing import TextIO

from agent.config import Layer, LoadedConfig, describe
from agent.config_loading import printable

_HEADINGS = ("key", "value", "layer (source)")


def show_config(loaded: LoadedConfig, out: TextIO, *, as_json: bool = False) -> None:
    """Write the configuration to `out`, secrets masked: an aligned table, or with `as_json` one JSON list.

    Each item of the list is `{"key", "value", "layer", "source"}`; `source` is null for defaults.
    """
    rows = describe(loaded)
    if as_json:
        items = [
            {"key": key, "value": json.loads(value), "layer": layer.name, "source": layer.source or None}
            for key, value, layer in rows
        ]
        print(json.dumps(items, indent=2), file=out)
        return
    table = [_HEADINGS, *((key, value, _layer_text(layer)) for key, value, layer in rows)]
    widths = [max(len(row[column]) for row in table) for column in (0, 1)]
    for key, value, layer_text in table:
        print(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {layer_text}", file=out)


def _layer_text(layer: Layer) -> str:
    return f"{layer.name} ({printable(layer.source)})" if layer.source else layer.name
