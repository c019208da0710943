"""The grammar of a session's events, and of its history: run after every test of a turn.

    check_turn_grammar(events)            # Event objects, or the objects that --output-format stream-json prints
    check_history(wire_messages)          # what goes to a provider

Both raise AssertionError that names the broken rule and shows the place. The rules of events:

 1. the first event is `ready`, and it comes once; nothing follows `shutdown`; `seq` rises strictly; words are known;
 2. a turn is opened by `processing`, ends with exactly one of turn_complete, interrupted, error, or stays open on
    `approval_required` until another `processing` goes on with it; no turn event stands outside a turn;
 3. every `tool_call` has a fresh id and exactly one later `tool_output` in its turn, or, in an interrupted turn, at
    least the state `cancelled`; what waited for approval is settled before the turn goes on;
 4. the outputs of a batch come in any order, each as soon as its call is over, but all before the model is asked again
    (history has them in call order: see `check_history`);
 5. a streamed response that had chunks is closed by one `assistant_stream_end` before anything else happens;
 6. `approval_required` counts its tools, and none of them has run;
 7. a command of the person's own stands outside turns: `tool_call`, its one `tool_output`, then `command_run` or
    `interrupted`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, get_args

from agent.protocol.events import Payload

KNOWN_EVENTS = frozenset(payload.event_type for payload in get_args(Payload))

TURN_ENDS = frozenset({"turn_complete", "interrupted", "error"})

OUTSIDE_ENDS = frozenset({"interrupted", "error"})
"""Turn ends that also answer other operations: a failed resume, an interrupt when nothing runs."""

IN_TURN_ONLY = frozenset(
    {"assistant_chunk", "assistant_message", "assistant_stream_end", "tool_call", "tool_output", "approval_required"}
    | {"turn_complete"}
)

OTHER_OPERATIONS = frozenset({"undo_complete", "new_complete", "resume_complete"})

TEXT_OF_A_RESPONSE = frozenset({"assistant_chunk", "assistant_message"})

OF_A_RESPONSE = TEXT_OF_A_RESPONSE | {"assistant_stream_end"}

ENDS_A_RESPONSE = frozenset({"processing", "assistant_message", "tool_call", "approval_required"}) | TURN_ENDS


@dataclass(slots=True)
class _Call:
    """A tool call on its way through a turn."""

    id: str
    needs_approval: bool
    outputs: int = 0
    states: set[str] = field(default_factory=set)

    @property
    def settled(self) -> bool:
        """It has its result, or will visibly never have one."""
        return self.outputs > 0 or bool(self.states & {"cancelled", "abandoned"})


@dataclass(slots=True)
class _Turn:
    """An open turn: the calls since its last batch was settled."""

    batch: dict[str, _Call] = field(default_factory=dict)
    waiting: bool = False
    streaming: bool = False


class _Checker:
    """Reads events one by one and keeps what the rules need to know."""

    def __init__(self, events: Sequence[tuple[int | None, str, Mapping[str, Any]]], outside_ends: int) -> None:
        self.events = events
        self.outside_ends = outside_ends
        self.turn: _Turn | None = None
        self.own_command = ""
        self.seen_ids: set[str] = set()
        self.index = 0
        self.last_seq = 0

    def fail(self, problem: str) -> NoReturn:
        """Raise with the events around the current one."""
        first = max(0, self.index - 8)
        shown = [
            f"{'>' if place == self.index else ' '} {place}: {kind} {str(dict(data))[:160]}"
            for place, (_, kind, data) in enumerate(self.events[first : self.index + 3], first)
        ]
        raise AssertionError(f"event {self.index}: {problem}\n" + "\n".join(shown))

    def run(self, *, finished: bool) -> None:
        """Check all events; `finished` also asks that no turn is left open, except on an approval."""
        if not self.events or self.events[0][1] != "ready":
            self.fail("the first event is not ready")
        for self.index, (seq, kind, data) in enumerate(self.events):  # noqa: B020 - the index is for fail()
            self.check_envelope(seq, kind)
            self.check_event(kind, data)
        if finished and self.turn is not None and not self.turn.waiting and self.events[-1][1] != "shutdown":
            self.fail("the turn never ended")

    def check_envelope(self, seq: int | None, kind: str) -> None:
        """Rule 1."""
        if kind not in KNOWN_EVENTS:
            self.fail(f"unknown event {kind!r}")
        if kind == "ready" and self.index > 0:
            self.fail("ready came again")
        if self.index > 0 and self.events[self.index - 1][1] == "shutdown":
            self.fail("an event after shutdown")
        if seq is not None:
            if seq <= self.last_seq:
                self.fail(f"seq {seq} does not rise (before it: {self.last_seq})")
            self.last_seq = seq

    def check_event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Rules 2 to 6 for one event."""
        if kind == "processing":
            self.open_turn()
        elif self.turn is None and (self.own_command or (kind == "tool_call" and is_own_command(data))):
            self.check_own_command(kind, data)
        elif self.turn is None:
            self.check_outside(kind)
        else:
            self.check_stream(self.turn, kind)
            self.check_inside(self.turn, kind, data)

    def open_turn(self) -> None:
        """A new turn, or the same one after an approval."""
        if self.turn is None:
            self.turn = _Turn()
        elif not self.turn.waiting:
            self.fail("processing inside a turn: the turn before it has no end")
        else:
            self.turn.waiting = False  # the calls that were asked about run now

    def check_outside(self, kind: str) -> None:
        """Rule 2: between turns."""
        if kind in IN_TURN_ONLY:
            self.fail(f"{kind} outside a turn (a turn has exactly one end)")
        if kind in OUTSIDE_ENDS:
            self.outside_ends -= 1
            if self.outside_ends < 0:
                self.fail(f"{kind} outside a turn: a second end, unless it answers an operation (outside_ends=)")

    def check_own_command(self, kind: str, data: Mapping[str, Any]) -> None:
        """Rule 7."""
        call_id = data.get("tool_call_id")
        if kind == "tool_call" and not self.own_command and call_id not in self.seen_ids:
            self.seen_ids.add(str(call_id))
            self.own_command = str(call_id)
        elif kind == "tool_output" and call_id == self.own_command:
            self.own_command = "ended"
        elif kind in {"command_run", "interrupted"} and self.own_command == "ended":
            self.own_command = ""
        elif kind in IN_TURN_ONLY | OUTSIDE_ENDS | {"command_run", "shutdown"}:
            self.fail(f"{kind} while a command of the person's own runs")

    def check_stream(self, turn: _Turn, kind: str) -> None:
        """Rule 5."""
        if kind == "assistant_stream_end":
            if not turn.streaming and self.events[self.index - 1][1] == "assistant_stream_end":
                self.fail("assistant_stream_end twice for one response")
            turn.streaming = False
        elif turn.streaming and kind in ENDS_A_RESPONSE:
            self.fail(f"{kind} while a streamed response has no assistant_stream_end")
        elif kind == "assistant_chunk":
            turn.streaming = True

    def check_inside(self, turn: _Turn, kind: str, data: Mapping[str, Any]) -> None:
        """Rules 2, 3, 4 and 6 for one event of a turn."""
        if turn.waiting and kind in OF_A_RESPONSE | {"turn_complete"}:
            self.fail(f"{kind} while an approval is pending")
        elif kind in TEXT_OF_A_RESPONSE:
            self.close_batch(turn)
        elif kind == "tool_call":
            self.start_call(turn, data["tool_call_id"], needs_approval=False)
        elif kind == "tool_output":
            self.take_output(turn, data["tool_call_id"])
        elif kind == "tool_state_change":
            if data["tool_call_id"] in turn.batch:
                turn.batch[data["tool_call_id"]].states.add(data["state"])
        elif kind == "approval_required":
            self.ask_approval(turn, data)
        else:
            self.check_end(turn, kind)

    def check_end(self, turn: _Turn, kind: str) -> None:
        """Rule 2: what ends a turn, or must not."""
        if kind in OTHER_OPERATIONS | {"shutdown"} and not turn.waiting:
            self.fail(f"{kind} inside a turn: the turn has no end")
        elif kind in OTHER_OPERATIONS:
            self.turn = None
        elif kind == "error" and turn.waiting and self.outside_ends > 0:
            self.outside_ends -= 1  # it answers another operation; the approval is still pending
        elif kind in TURN_ENDS:
            self.close_batch(turn, interrupted=kind == "interrupted")
            self.turn = None

    def start_call(self, turn: _Turn, call_id: str, *, needs_approval: bool) -> None:
        """Rule 3: fresh ids. A call that was approved may be announced again when it starts."""
        known = turn.batch.get(call_id)
        has_answer = known is not None and (turn.waiting or "approved" in known.states)
        if known is not None and known.needs_approval and not known.outputs and has_answer:
            known.needs_approval = False
            return
        if turn.waiting:
            self.fail(f"tool call {call_id!r} while an approval is pending")
        if not call_id:
            self.fail("a tool call without an id")
        if call_id in self.seen_ids:
            self.fail(f"tool call id {call_id!r} came before")
        if turn.batch and all(call.settled for call in turn.batch.values()):
            self.close_batch(turn)
        self.seen_ids.add(call_id)
        turn.batch[call_id] = _Call(call_id, needs_approval)

    def take_output(self, turn: _Turn, call_id: str) -> None:
        """Rule 3: one output for a call of this turn."""
        call = turn.batch.get(call_id)
        if call is None:
            problem = "came too late, or twice" if call_id in self.seen_ids else "was never called"
            self.fail(f"tool_output for {call_id!r}, which {problem}")
        if call.outputs:
            self.fail(f"a second tool_output for {call_id!r}")
        call.outputs += 1

    def ask_approval(self, turn: _Turn, data: Mapping[str, Any]) -> None:
        """Rule 6; the calls that needed no approval have run completely by now."""
        if turn.waiting:
            self.fail("approval_required while another approval is pending")
        if data["count"] != len(data["tools"]):
            self.fail(f"approval_required counts {data['count']} of {len(data['tools'])} tools")
        self.close_batch(turn)
        for item in data["tools"]:
            self.start_call(turn, item["tool_call_id"], needs_approval=True)
        turn.waiting = True

    def close_batch(self, turn: _Turn, *, interrupted: bool = False) -> None:
        """Rules 3 and 4 for the calls since the last batch."""
        for call in turn.batch.values():
            excuses = ({"cancelled"} if interrupted else set()) | ({"abandoned"} if call.needs_approval else set())
            if not call.outputs and not call.states & excuses:
                self.fail(f"tool call {call.id!r} has no tool_output")
        turn.batch.clear()


def is_own_command(data: Mapping[str, Any]) -> bool:
    """Whether a `tool_call` tells of a command that the person has typed."""
    return str(data.get("tool_call_id")).startswith("shell_")


def check_turn_grammar(events: Iterable[Any], *, outside_ends: int = 0, finished: bool = True) -> None:
    """Assert the rules above.

    `events`: dicts with `event_type`, `data` and perhaps `seq`, or objects with these attributes. `outside_ends`: how
    many `error` or `interrupted` may stand outside turns, as answers to operations such as a failed resume. `finished`
    False allows the last turn to be cut off (the program was killed, or is still running).
    """
    _Checker([_plain(event) for event in events], outside_ends).run(finished=finished)


def _plain(event: Any) -> tuple[int | None, str, Mapping[str, Any]]:
    if isinstance(event, Mapping):
        return event.get("seq"), event["event_type"], event.get("data") or {}
    return getattr(event, "seq", None), event.event_type, event.data or {}


# --- history ---------------------------------------------------------------------------------------------------------


def check_history(messages: Iterable[Any], *, pending: Collection[str] = ()) -> None:
    """Assert that a provider would take this history.

    Every assistant tool call has exactly one tool message, right after the assistant message, in call order; no tool
    message stands alone; ids are unique; arguments are JSON objects. `messages` are OpenAI-style dicts, or objects with
    `to_wire()`. `pending` names calls that wait for approval and need no result yet.
    """
    plain = [message if isinstance(message, Mapping) else message.to_wire() for message in messages]
    seen: set[str] = set()
    due: list[str] = []
    for place, message in enumerate(plain):
        where = f"message {place} ({str(dict(message))[:200]})"
        assert message["role"] in {"system", "user", "assistant", "tool"}, f"{where}: unknown role"
        if message["role"] == "tool":
            assert due, f"{where}: a tool message that answers no call"
            assert message.get("tool_call_id") == due[0], f"{where}: a result is due for {due[0]!r}"
            due.pop(0)
            continue
        assert not due, f"{where}: calls {due} before it have no result"
        for call in message.get("tool_calls") or ():
            assert message["role"] == "assistant", f"{where}: only the assistant calls tools"
            assert call.get("id") and call["id"] not in seen, f"{where}: call id {call.get('id')!r} missing or repeated"
            assert _is_object(call["function"]["arguments"]), f"{where}: arguments are not a JSON object"
            seen.add(call["id"])
            if call["id"] not in pending:
                due.append(call["id"])
    assert not due, f"calls {due} at the end of the history have no result"


def _is_object(arguments: Any) -> bool:
    try:
        return isinstance(arguments, str) and isinstance(json.loads(arguments), dict)
    except ValueError:
        return False
