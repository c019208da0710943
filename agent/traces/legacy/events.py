"""Events of a session file of the reference, and where in them its messages belong.

The file keeps messages and events apart, and most messages without a time. Calls and results are found among the events
by their ids; prompts and last answers by the turns that the events tell of, counted from the end. What is found nowhere
comes right after what was said before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.events import TURN_ENDS, Processing
from agent.traces.legacy.messages import LegacyMessage, LegacyMessages, aware_time
from agent.traces.saying import number

_TYPE_CHARS = 64
_NOT_KEPT = frozenset({"assistant_chunk", "tool_progress"})
_OF_CALLS = frozenset({"tool_call", "tool_output"})
_TURN_ENDS = frozenset(end.event_type for end in TURN_ENDS)


@dataclass(frozen=True, slots=True)
class LegacyEvent:
    """What happened, as a journal keeps it. `time` None: the file does not tell."""

    event_type: str
    data: dict[str, Any]
    time: datetime | None


def read_events(raw: Sequence[Any], messages: LegacyMessages) -> list[LegacyEvent]:
    """The events in `raw`, without pieces of streams and what `messages` hold. What is no event is left out."""
    events = []
    for item in raw:
        event_type = item.get("event_type") if isinstance(item, dict) else None
        if not isinstance(event_type, str) or not 0 < len(event_type) <= _TYPE_CHARS or event_type in _NOT_KEPT:
            continue
        data = item.get("data") if isinstance(item.get("data"), dict) else {}
        if event_type in _OF_CALLS and not isinstance(data.get("tool_call_id"), str):
            continue
        mapped = _MAPPED.get(event_type, dict)(data)
        events.append(LegacyEvent(event_type, mapped, aware_time(item.get("timestamp"))))
    _rename_calls(events, messages)
    _leave_out_what_is_held(events, messages)
    return events


# --- data ------------------------------------------------------------------------------------------------------------


def _llm_call(data: Mapping[str, Any]) -> dict[str, Any]:
    """The reference writes a cost of 0 also where it knows no price (defect 21): with tokens, that is unknown."""
    if isinstance(data.get("cost_known"), bool):  # our own
        return dict(data)
    cost = max(number(data.get("cost_usd")), 0.0)
    has_tokens = any(data.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    known = cost > 0 or not has_tokens
    kind = data.get("kind") if isinstance(data.get("kind"), str) else "main"
    more = {"kind": kind, "cost_usd": cost if known else None, "cost_known": known, "charged_usd": cost}
    return {**data, **more}


def _plan_update(data: Mapping[str, Any]) -> dict[str, Any]:
    steps = data.get("plan")
    return {
        "plan": [
            {
                "id": str(step.get("id", number)),
                "content": str(step.get("content", "")),
                "status": step.get("status") if step.get("status") in ("in_progress", "completed") else "pending",
            }
            for number, step in enumerate(steps if isinstance(steps, list) else (), 1)
            if isinstance(step, dict)
        ]
    }


def _without(*names: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda data: {name: value for name, value in data.items() if name not in names}


_MAPPED: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "llm_call": _llm_call,
    "plan_update": _plan_update,
    "assistant_message": _without("content"),
    "turn_complete": _without("final_response"),
    "undo_complete": _without("removed_messages", "removed_turns"),  # they are not among the messages of the file
}


def _rename_calls(events: list[LegacyEvent], messages: LegacyMessages) -> None:
    """Give events the ids that the calls have now. Where an id was used several times the last ones belong together:
    compaction takes the oldest messages away."""
    answered = {legacy.message.tool_call_id for legacy in messages.said if legacy.message.role == "tool"}
    for event_type in _OF_CALLS:
        places: dict[str, list[int]] = {}
        for place, event in enumerate(events):
            if event.event_type == event_type:
                places.setdefault(event.data["tool_call_id"], []).append(place)
        for their_id, found in places.items():
            ours = messages.call_ids.get(their_id, [])
            if event_type == "tool_output":
                ours = [call_id for call_id in ours if call_id in answered]
            if not ours and len(found) == 1:
                continue
            for back, place in enumerate(reversed(found)):
                new_id = ours[-1 - back] if back < len(ours) else f"{their_id}-earlier-{back}"
                events[place].data["tool_call_id"] = new_id


def _leave_out_what_is_held(events: Sequence[LegacyEvent], messages: LegacyMessages) -> None:
    said = [legacy.message for legacy in messages.said]
    held: Mapping[str, tuple[str, set[str | None]]] = {
        "tool_call": ("arguments", {call.id for message in said for call in message.tool_calls}),
        "tool_output": ("output", {message.tool_call_id for message in said if message.role == "tool"}),
    }
    for event in events:
        if event.event_type in held:
            name, ids = held[event.event_type]
            if event.data["tool_call_id"] in ids:
                event.data.pop(name, None)


# --- the order -------------------------------------------------------------------------------------------------------


def in_order(said: Sequence[LegacyMessage], events: Sequence[LegacyEvent]) -> Iterator[LegacyMessage | LegacyEvent]:
    """Messages and events in one sequence, each in its own order. Messages get the time of the event they precede."""
    done = 0
    for legacy, place in zip(said, _places(said, events), strict=True):
        if place is not None and place > done:
            yield from events[done:place]
            done = place
        if legacy.time is None and place is not None and place < len(events):
            legacy = LegacyMessage(legacy.message, events[place].time)
        yield legacy
    yield from events[done:]


def _places(said: Sequence[LegacyMessage], events: Sequence[LegacyEvent]) -> list[int | None]:
    """The event before which each message belongs; None: unknown. Never before that of an earlier message."""
    sure = _by_ids(said, events)
    places: list[int | None] = [None] * len(said)
    limit = len(events)
    limits = [limit] * len(said)
    for index in range(len(said) - 1, -1, -1):
        if (place := sure[index]) is not None:
            limit = min(limit, place)
        limits[index] = limit
    likely = _by_turns(said, events)
    reached = 0
    for index in range(len(said)):
        found = sure[index]
        place = likely.get(index) if found is None else found
        if place is not None and reached <= place <= limits[index]:
            places[index] = reached = place
    return places


def _by_ids(said: Sequence[LegacyMessage], events: Sequence[LegacyEvent]) -> list[int | None]:
    first: dict[str, int] = {}
    outputs: dict[str, int] = {}
    for place, event in enumerate(events):
        for call_id in _mentioned(event):
            first.setdefault(call_id, place)
        if event.event_type == "tool_output":
            outputs[event.data["tool_call_id"]] = place
    found: list[int | None] = []
    for legacy in said:
        message = legacy.message
        if message.role == "tool":
            found.append(outputs.get(message.tool_call_id or ""))
        else:
            found.append(min((first[call.id] for call in message.tool_calls if call.id in first), default=None))
    return found


def _mentioned(event: LegacyEvent) -> Iterator[str]:
    items = event.data.get("tools") if event.event_type == "approval_required" else None
    for data in (event.data, *(items if isinstance(items, list) else ())):
        if isinstance(data, dict) and isinstance(call_id := data.get("tool_call_id"), str):
            yield call_id


def _by_turns(said: Sequence[LegacyMessage], events: Sequence[LegacyEvent]) -> dict[int, int]:
    """Where prompts and the last words of turns belong."""
    turns = _turns(events)
    prompts = [index for index, legacy in enumerate(said) if legacy.message.begins_turn]
    if not prompts:
        return {}
    pairs = list(zip(reversed(prompts), reversed(turns), strict=False))
    if pairs and len(turns) > len(prompts):  # compaction keeps the first prompt
        pairs[-1] = (prompts[0], turns[0])
    places = {}
    ends = dict(zip(prompts, [*prompts[1:], len(said)], strict=True))
    for prompt, (begin, end) in pairs:
        places[prompt] = begin
        last = ends[prompt] - 1
        if said[last].message.role == "assistant" and not said[last].message.tool_calls:
            places[last] = end
    return places


def _turns(events: Sequence[LegacyEvent]) -> list[tuple[int, int]]:
    """Begin and end of the turns that were not taken back."""
    turns: list[tuple[int, int]] = []
    begin: int | None = None
    for place, event in enumerate(events):
        if event.event_type == Processing.event_type and begin is None:
            begin = place
        elif event.event_type in _TURN_ENDS and begin is not None:
            turns.append((begin, place))
            begin = None
        elif event.event_type == "undo_complete" and turns:
            turns.pop()
    if begin is not None:
        turns.append((begin, len(events)))
    return turns
