"""How far a running call has come, in a row or a few."""

from __future__ import annotations

import math

from agent.protocol.events import ToolProgress
from agent.ui.sanitize import cell_width, clip, visible
from agent.ui.tool_lines import bytes_text

_BAR_COLUMNS = 20
_TAIL_CHARS = 8_000
_LABEL_COLUMNS = 40


def tail_lines(progress: ToolProgress, limit: int) -> list[str]:
    """The last lines that the call has printed, blank ones left out."""
    lines = [line.rstrip() for line in visible(progress.text[-_TAIL_CHARS:]).split("\n") if line.strip()]
    return lines[-limit:] if limit > 0 else []


def bar_line(progress: ToolProgress, width: int) -> str:
    """`model.bin ████░░░░ 40% 1.2 GB of 3.0 GB`, without a bar where the total is unknown; empty: nothing is measured.

    The bar gives way first where there is little room.
    """
    done, total = _number(progress.done), _number(progress.total)
    if done is None:
        return ""
    label = f"{clip(progress.label, _LABEL_COLUMNS)} " if progress.label.strip() else ""
    if not total:
        return clip(f"{label}{_amount(done, progress.unit)}", width)
    share = min(done / total, 1.0)
    text = f"{math.floor(share * 100)}% {_of(done, total, progress.unit)}"
    columns = min(width - cell_width(label) - cell_width(text) - 1, _BAR_COLUMNS)
    filled = math.floor(share * columns)
    bar = f"{'█' * filled}{'░' * (columns - filled)} " if columns >= 4 else ""
    return clip(f"{label}{bar}{text}", width)


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _of(done: float, total: float, unit: str) -> str:
    if unit == "bytes":
        return f"{bytes_text(done)} of {bytes_text(total)}"
    return f"{_plain(done)} of {_amount(total, unit)}"


def _amount(value: float, unit: str) -> str:
    return bytes_text(value) if unit == "bytes" else f"{_plain(value)} {clip(unit, _LABEL_COLUMNS)}".rstrip()


def _plain(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"
