"""Reasoning effort: which levels a model family takes, and how a level is written on the wire.

Pure: whether a model really accepts a level is found out by probing, elsewhere. Source: spec llm.md §4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from agent.light_dataclass import dataclass

EFFORT_LEVELS = ("minimal", "low", "medium", "high", "xhigh", "max")
"""All levels a person can ask for, from least to most thinking."""


class UnsupportedEffortError(ValueError):
    """The model family does not take this effort (strict resolution only)."""


class EffortWire(StrEnum):
    """How a level reaches the server."""

    NOTHING = "nothing"
    REASONING_EFFORT = "reasoning_effort"
    """Top-level `reasoning_effort`; litellm translates it for each provider."""
    ANTHROPIC_ADAPTIVE = "anthropic_adaptive"
    """`thinking` and `output_config` at top level: inside `extra_body` litellm would send them literally."""
    EXTRA_BODY = "extra_body"
    """`extra_body={"reasoning_effort": …}`: litellm drops the top-level form for model names it does not know."""


@dataclass(frozen=True, slots=True)
class EffortStyle:
    """The levels of the models whose name `matches` (searched, case ignored), and their wire form."""

    levels: tuple[str, ...]
    wire: EffortWire
    matches: str = ""


LOW_TO_HIGH = ("low", "medium", "high")

CLAUDE_STYLES = (
    # Claude 3.5 and older cannot think.
    EffortStyle((), EffortWire.NOTHING, r"claude-(?:v?[12](?!\d)|instant|3-(?!7)|3\.[05]|(?:opus|sonnet|haiku)-3)"),
    # 3.7 to 4.5 think with a token budget, which litellm makes from `reasoning_effort`.
    EffortStyle(
        LOW_TO_HIGH,
        EffortWire.REASONING_EFFORT,
        r"claude-(?:3[-.]7|4(?:[-.][0-5])?-(?=opus|sonnet|haiku)|\w+-4(?:[-.][0-5])?(?:-\d{8}|-latest|-v\d|[@:]|$))",
    ),
    # 4.6 and newer, and names we do not know.
    EffortStyle(("low", "medium", "high", "xhigh", "max"), EffortWire.ANTHROPIC_ADAPTIVE),
)
OPENAI_STYLES = (EffortStyle(("minimal", "low", "medium", "high", "xhigh"), EffortWire.REASONING_EFFORT),)
GOOGLE_STYLES = (EffortStyle(("minimal", "low", "medium", "high"), EffortWire.REASONING_EFFORT),)
PLAIN_STYLES = (EffortStyle(LOW_TO_HIGH, EffortWire.REASONING_EFFORT),)
ROUTER_STYLES = (EffortStyle(LOW_TO_HIGH, EffortWire.EXTRA_BODY),)
NO_STYLES = (EffortStyle((), EffortWire.NOTHING),)


def effort_style(styles: Sequence[EffortStyle], model: str) -> EffortStyle:
    """The first of `styles` that is meant for `model`; none takes an effort if no one is."""
    for style in styles:
        if re.search(style.matches, model, re.IGNORECASE):
            return style
    return NO_STYLES[0]


def accepted_level(style: EffortStyle, effort: str) -> str | None:
    """`effort` as this family calls it (`minimal` counts as `low` if need be); None if it has no such level."""
    if effort in style.levels:
        return effort
    return "low" if effort == "minimal" and "low" in style.levels else None


def effort_cascade(effort: str) -> tuple[str, ...]:
    """`effort` and what to try after it, if a model refuses it: each lower level down to `low`."""
    if effort == "minimal":
        return ("minimal", "low")
    levels = EFFORT_LEVELS[:0:-1]
    return levels[levels.index(effort) :] if effort in levels else ()


def next_level(styles: Sequence[EffortStyle], model: str, effort: str) -> str | None:
    """What to ask `model` for after it has refused `effort`; None when there is nothing left."""
    style = effort_style(styles, model)
    sent = accepted_level(style, effort) or effort
    return next((level for level in effort_cascade(sent)[1:] if level in style.levels), None)


def effort_params(
    styles: Sequence[EffortStyle], model: str, effort: str | None, *, label: str, strict: bool = False
) -> dict[str, Any]:
    """The request parameters that ask `model` for `effort`; empty when there is none to ask for.

    An effort the family does not take is left out, or with `strict` raises `UnsupportedEffortError` naming `label`
    and the levels there are.
    """
    if not effort:
        return {}
    style = effort_style(styles, model)
    level = accepted_level(style, effort)
    if level is None:
        if strict:
            raise UnsupportedEffortError(_refusal(style, label, effort))
        return {}
    return _WIRES[style.wire](level)


def _refusal(style: EffortStyle, label: str, effort: str) -> str:
    if not style.levels:
        return f"{label} takes no reasoning_effort for this model (asked: {effort!r}); use /effort off"
    return f"{label} doesn't accept effort={effort!r}; choose one of {', '.join(style.levels)} with /effort"


_WIRES: dict[EffortWire, Callable[[str], dict[str, Any]]] = {
    EffortWire.NOTHING: lambda level: {},
    EffortWire.REASONING_EFFORT: lambda level: {"reasoning_effort": level},
    EffortWire.ANTHROPIC_ADAPTIVE: lambda level: {
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": level},
    },
    EffortWire.EXTRA_BODY: lambda level: {"extra_body": {"reasoning_effort": level}},
}
