"""What a session amounts to: its models, money, tokens, tools and time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from agent.light_dataclass import dataclass
from agent.protocol.money import format_usd
from agent.sessions.summary import Charge, charge_of
from agent.traces.timeline import Happening, ModelCall, Outcome, Said, Timeline

_KINDS = {"main": "answers", "effort_probe": "effort probes"}
"""What the kinds of model calls are called, where their own word does not say it."""

REJECTED = "rejected"
"""What the display of a call begins with that the person did not allow; their reason may follow after a colon."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Money. `known` False: it is the most that it can have been."""

    usd: float = 0.0
    known: bool = True

    def __add__(self, other: Cost) -> Cost:
        """Both together."""
        return Cost(self.usd + other.usd, self.known and other.known)

    def __str__(self) -> str:
        """`$1.23`, `at most $1.23`."""
        return format_usd(self.usd) if self.known else f"at most {format_usd(self.usd)}"


@dataclass(frozen=True, slots=True)
class ToolUse:
    """How often a tool was called, and how often that failed. What was not allowed has not failed."""

    tool: str
    calls: int
    failures: int


@dataclass(frozen=True, slots=True)
class Facts:
    """The figures of a session. `cost_by_kind` is sorted, the dearest first; `tools` by how often they were called.

    Tokens are those of all model calls, sub-agents' included; `cached_tokens` were read from a cache and are part of
    `prompt_tokens`. `wall_s` is from the first record to the last one.
    """

    models: tuple[str, ...]
    cost: Cost
    cost_by_kind: Mapping[str, Cost]
    model_calls: int
    model_s: float
    tool_s: float
    wall_s: float
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    tools: tuple[ToolUse, ...]
    failures: int

    @property
    def cached_share(self) -> float | None:
        """Of the tokens read, the share that came from a cache; None if none were read."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


def facts_of(timeline: Timeline) -> Facts:
    """The figures of `timeline`. What was taken back counts as well: it was done, and paid for."""
    calls = timeline.calls
    main = [call for call in calls if call.kind == (timeline.agent or "main")]
    results = [entry for entry in timeline.entries if isinstance(entry, Said) and entry.message.role == "tool"]
    failed = Counter(
        said.message.name or "?"
        for said in results
        if (out := said.outcome) and out.success is False and not was_denied(out)
    )
    used = Counter(call.function.name for said in _said(timeline) for call in said.message.tool_calls)
    by_kind = _cost_by_kind(calls, timeline)
    return Facts(
        models=tuple(dict.fromkeys(call.model for call in main)) or (timeline.model,),
        cost=sum(by_kind.values(), Cost()),
        cost_by_kind=dict(sorted(by_kind.items(), key=lambda item: (-item[1].usd, item[0]))),
        model_calls=len(calls),
        model_s=sum(call.latency_ms for call in main) / 1000,
        tool_s=sum(said.outcome.duration_s for said in results if said.outcome is not None),
        wall_s=max(0.0, (timeline.last_used - timeline.started).total_seconds()),
        prompt_tokens=sum(call.prompt_tokens for call in calls),
        cached_tokens=sum(call.cache_read_tokens for call in calls),
        completion_tokens=sum(call.completion_tokens for call in calls),
        reasoning_tokens=sum(call.reasoning_tokens for call in calls),
        tools=tuple(ToolUse(tool, count, failed[tool]) for tool, count in _most_first(used)),
        failures=failed.total(),
    )


def was_denied(outcome: Outcome) -> bool:
    """Whether the person did not allow the call."""
    return outcome.success is False and (outcome.display or "").partition(":")[0] == REJECTED


def charge_in(happening: Happening) -> Charge | None:
    """What an event charged to a tool; None for all others."""
    return charge_of(happening.event_type, dict(happening.data)) if happening.event_type == "tool_charge" else None


def cost_of(call: ModelCall) -> Cost:
    """What a model call counts for."""
    return Cost(call.charged_usd, call.cost_known)


def _said(timeline: Timeline) -> Iterable[Said]:
    return (entry for entry in timeline.entries if isinstance(entry, Said))


def _cost_by_kind(calls: Iterable[ModelCall], timeline: Timeline) -> dict[str, Cost]:
    costs: dict[str, Cost] = {}
    for call in calls:
        kind = _KINDS.get(call.kind, call.kind)
        costs[kind] = costs.get(kind, Cost()) + cost_of(call)
    for entry in timeline.entries:
        if isinstance(entry, Happening) and (charge := charge_in(entry)):
            costs[charge.kind] = costs.get(charge.kind, Cost()) + Cost(charge.usd, charge.known)
    return costs


def _most_first(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
