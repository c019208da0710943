"""The line at the bottom: what is at work, in which mode, and what it costs. Pure: facts and a width in, text out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from agent.light_dataclass import dataclass
from agent.protocol.money import format_usd
from agent.ui.sanitize import cell_width, clip
from agent.ui.tool_lines import counted

HIGH = 0.8
"""From this part of the window, or of the cap, on, a figure is a warning."""
_SEPARATOR = " · "
_MODEL_CELLS = (40, 24, 18)
_BRANCH_CELLS = (32, 14)
_TITLE_CELLS = (48, 20)
_CLASS = re.compile(r"[a-z0-9-]+")
"""What may be a part of the name of a style class."""

Fragments = list[tuple[str, str]]
"""Styles and texts, as prompt_toolkit takes them."""


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """What there is to tell.

    `context_used` is a part of the window (0 to 1), None if unknown. `cost_usd` is the known part of what the
    conversation has cost, all of it if `cost_known`; `unknown_usd` the most that the rest can be. `spent_usd` is what
    counts against `cap_usd` (None: no cap). `per_hour_usd` is what `jobs` and `sandboxes` cost, None if unknown.
    `background` counts processes on this machine, `queued` what the person typed ahead.
    """

    model: str
    effort: str | None = None
    mode: str = "ask"
    context_used: float | None = None
    cost_usd: float = 0.0
    cost_known: bool = True
    unknown_usd: float = 0.0
    cap_usd: float | None = None
    spent_usd: float = 0.0
    jobs: int = 0
    sandboxes: int = 0
    per_hour_usd: float | None = None
    git_branch: str | None = None
    background: int = 0
    queued: int = 0
    title: str = ""
    saved: bool = True


@dataclass(frozen=True, slots=True)
class _Segment:
    """A part of the line in several lengths, the longest first. Without a text it is not there."""

    style: str
    texts: tuple[str, ...]


_DISPLAYED = ("mode", "model", "context", "cost", "compute", "background", "queued", "unsaved", "branch", "title")
_BY_IMPORTANCE = ("mode", "context", "cost", "compute", "model", "unsaved", "queued", "background", "branch", "title")
"""What comes last goes first when the line is too short."""


def status_fragments(facts: StatusFacts, width: int) -> Fragments:
    """One line of at most `width` columns; what is less important is left out, or shortened, where it is too long."""
    if width < 1:
        return []
    segments = {name: segment for name, segment in _segments(facts).items() if segment.texts}
    texts = _fitted([(name, segments[name]) for name in _BY_IMPORTANCE if name in segments], width)
    fragments: Fragments = []
    for name in _DISPLAYED:
        if name in texts:
            fragments += [("class:status.separator", _SEPARATOR)] if fragments else []
            fragments.append((segments[name].style, texts[name]))
    return fragments


def _fitted(segments: Sequence[tuple[str, _Segment]], width: int) -> dict[str, str]:
    """As many segments as fit when all are short, each then as long as there is room for."""
    chosen: dict[str, str] = {}
    left = width + len(_SEPARATOR)
    for name, segment in segments:
        shortest = segment.texts[-1]
        if not chosen:
            shortest = clip(shortest, width)
        needed = cell_width(shortest) + len(_SEPARATOR)
        if needed > left:
            break
        chosen[name] = shortest
        left -= needed
    for name, segment in segments[: len(chosen)]:
        used = cell_width(chosen[name])
        longest = next((text for text in segment.texts if cell_width(text) - used <= left), chosen[name])
        left -= cell_width(longest) - used
        chosen[name] = longest
    return chosen


def _segments(facts: StatusFacts) -> dict[str, _Segment]:
    mode = clip(facts.mode, 20)
    return {
        "mode": _Segment(f"class:status.mode{f'.{mode}' if _CLASS.fullmatch(mode) else ''}", (mode,) if mode else ()),
        "model": _model(facts),
        "context": _context(facts.context_used),
        "cost": _cost(facts),
        "compute": _compute(facts),
        "background": _counter("class:status.background", facts.background, "in background", "bg"),
        "queued": _counter("class:status.queued", facts.queued, "queued", "queued"),
        "unsaved": _Segment("class:status.warning", () if facts.saved else ("not saved",)),
        "branch": _Segment("class:status.branch", _shorter(facts.git_branch or "", _BRANCH_CELLS)),
        "title": _Segment("class:status.title", _shorter(facts.title, _TITLE_CELLS)),
    }


def _model(facts: StatusFacts) -> _Segment:
    names = tuple(dict.fromkeys(middle_cut(facts.model, cells) for cells in _MODEL_CELLS))
    if not names[0]:
        return _Segment("class:status.model", ())
    effort = clip(facts.effort or "", 10)
    with_effort = tuple(f"{name} {effort}" for name in names) if effort else ()
    return _Segment("class:status.model", (*with_effort, *names[-1:]) if effort else names)


def middle_cut(text: str, width: int) -> str:
    """`text` as one visible line of at most `width` columns, cut in the middle: both ends of a model's id tell."""
    line = clip(text, 10_000)
    if cell_width(line) <= width:
        return line
    tail = ""
    for char in reversed(line):
        if cell_width(char + tail) > (width - 1) // 2:
            break
        tail = char + tail
    head = clip(line, width - cell_width(tail))
    return (head + tail) if width > 2 else clip(line, width)


def _context(used: float | None) -> _Segment:
    if used is None:
        return _Segment("", ())
    is_high = used > HIGH
    percent = f"{used:.0%}{'!' if is_high else ''}"
    return _Segment("class:status.warning" if is_high else "class:status.context", (f"context {percent}", percent))


def _cost(facts: StatusFacts) -> _Segment:
    cost = _cost_text(facts)
    cap = facts.cap_usd
    if cap is None:
        return _Segment("class:status.cost", (cost,))
    is_high = facts.spent_usd > HIGH * cap or facts.spent_usd >= cap
    limit = format_usd(cap) + ("!" if is_high else "")
    spent = format_usd(facts.spent_usd)
    # Other conversations, and the worst case of calls of unknown price, count against the cap as well.
    long = f"{cost} of {limit}" if cost == spent else f"{cost}, {spent} of {limit} used up"
    return _Segment("class:status.warning" if is_high else "class:status.cost", (long, f"{cost}/{limit}"))


def _cost_text(facts: StatusFacts) -> str:
    if facts.cost_known:
        return format_usd(facts.cost_usd)
    return f"{format_usd(facts.cost_usd)}+?" if facts.cost_usd > 0 else "$?"


def _compute(facts: StatusFacts) -> _Segment:
    running = [counted(facts.jobs, "job")] if facts.jobs > 0 else []
    if facts.sandboxes > 0:
        running.append("1 sandbox" if facts.sandboxes == 1 else f"{facts.sandboxes} sandboxes")
    if not running:
        return _Segment("", ())
    rate = (
        "$?/h"
        if facts.per_hour_usd is None
        else f"{format_usd(facts.per_hour_usd)}/h"
        if facts.per_hour_usd
        else "free"
    )
    short = f"{max(facts.jobs, 0) + max(facts.sandboxes, 0)} running"
    return _Segment("class:status.compute", (f"{', '.join(running)} {rate}", f"{short} {rate}"))


def _counter(style: str, count: int, long: str, short: str) -> _Segment:
    return _Segment(style, (f"{count} {long}", f"{count} {short}") if count > 0 else ())


def _shorter(text: str, widths: Sequence[int]) -> tuple[str, ...]:
    texts = dict.fromkeys(clip(text.strip(), width) for width in widths)
    return tuple(text for text in texts if text)


def custom_fragments(line: str, width: int) -> Fragments:
    """What the person's own command said, as one harmless line of at most `width` columns."""
    text = clip(line, width)
    return [("class:status.custom", text)] if text else []


_DARK = {
    "status": "dim",
    "status.separator": "dim",
    "status.mode": "nodim bold",
    "status.mode.ask": "nodim nobold ansigreen",
    "status.mode.auto-edit": "nodim bold ansiyellow",
    "status.mode.plan": "nodim bold ansicyan",
    "status.mode.yolo": "nodim bold ansired",
    "status.warning": "nodim bold ansiyellow",
    "status.compute": "nodim ansimagenta",
    "status.queued": "nodim",
    "status.custom": "nodim",
}
_LIGHT = _DARK | {
    "status.mode.auto-edit": "nodim bold ansimagenta",
    "status.mode.plan": "nodim bold ansiblue",
    "status.warning": "nodim bold ansired",
}
STATUS_STYLE: Mapping[str, Mapping[str, str]] = MappingProxyType({"dark": _DARK, "light": _LIGHT})
"""By theme, for `prompt_toolkit.styles.Style.from_dict`. No grounds: resizing would leave bars of them behind."""
