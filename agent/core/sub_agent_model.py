"""Which model a research sub-agent uses. Source of the rule: spec tools_research.md §9."""

from __future__ import annotations

import re

from agent.llm.failures import FailureKind
from agent.llm.params import UnknownModelError, resolve_route
from agent.llm.providers import RouteKind

SONNET = "claude-sonnet-4-6"
"""Reads much for little: what Claude's larger models hand their reading to."""

_SMALL_CLAUDE = re.compile(r"sonnet|haiku", re.IGNORECASE)
"""These stay: nobody is given a dearer model than the one they chose."""
_BEDROCK = re.compile(r"bedrock/(?P<how>(?:converse|invoke)/)?(?P<region>(?:[a-z][a-z-]*\.)?)anthropic\.claude")

REJECTIONS = frozenset(
    {
        FailureKind.MODEL,
        FailureKind.PROVIDER,
        FailureKind.NO_CREDENTIALS,
        FailureKind.AUTH,
        FailureKind.HF_SCOPE,
        FailureKind.AWS,
    }
)
"""Failures that say that a model is not there, or not for this person: another one may be."""

_HIGHEST = "high"
_ABOVE = frozenset({"xhigh", "max"})


def research_model(main: str, configured: str | None) -> str:
    """The model to research with, where the session's is `main`: the `configured` one, Sonnet from the same provider
    and region for a larger Claude, else `main` itself."""
    if configured:
        return configured
    route = resolve_route(main)
    if route.provider.kind is not RouteKind.DIRECT or route.tag or _SMALL_CLAUDE.search(main):
        return main
    if route.provider.name == "anthropic":
        return f"anthropic/{SONNET}"
    if match := _BEDROCK.match(main):
        return f"bedrock/{match['how'] or ''}{match['region']}anthropic.{SONNET}"
    return main


def is_routable(model: str) -> bool:
    """Whether anything can be asked of `model`."""
    try:
        resolve_route(model)
    except UnknownModelError:
        return False
    return True


def at_most_high(effort: str | None) -> str | None:
    """Reading takes no more thought than `high`."""
    return _HIGHEST if effort in _ABOVE else effort
