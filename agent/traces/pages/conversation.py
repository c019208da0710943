"""From a timeline to the turns that people read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field

from agent.light_dataclass import dataclass
from agent.protocol.messages import Message, Origin
from agent.protocol.untrusted import as_read
from agent.traces.pages.facts import Cost, charge_in, cost_of, facts_of, was_denied
from agent.traces.pages.happenings import NOTES, SECTION_STARTS
from agent.traces.pages.parts import Call, CallState, Item, Note, Plan, Section, Shortening, SubAgent, Words
from agent.traces.pages.wording import Cleaner, call_summary, is_diff, shortened, tool_title
from agent.traces.saying import arguments_of, thoughts
from agent.traces.timeline import Compaction, Entry, Happening, Said, Timeline

_WRITERS: Mapping[Origin, str] = {
    "steering": "You, while it worked",
    "shell": "A command of yours",
    "guard": "Note of ml-intern to the model",
    "repair": "Note of ml-intern to the model",
    "summary": "Summary for the model",
    "system": "Note of ml-intern to the model",
}
_LOOKED_AT_CHARS = 4_000
_SHORTENED = {
    "compaction": "The conversation was shortened here",
    "fork": "This session began as a fork, from here with a shortened conversation",
}


def sections_of(timeline: Timeline, cleaner: Cleaner, sub_agents: Iterable[Timeline] = ()) -> tuple[Section, ...]:
    """What happened in `timeline`, in order. Sub-agents stand at the call that they worked for; one whose call is not
    there stands at the end."""
    builder = _Builder(timeline, cleaner, {_call_of(each): each for each in sub_agents})
    for entry in timeline.entries:
        builder.add(entry)
    return builder.result()


def _call_of(sub_agent: Timeline) -> str:
    """The id of the call that a sub-agent worked for: its session is called `<session>/<call>`."""
    return sub_agent.session_id.partition("/")[2]


@dataclass(slots=True)
class _Builder:
    """The sections while they are made."""

    timeline: Timeline
    cleaner: Cleaner
    sub_agents: dict[str, Timeline]
    sections: list[Section] = field(default_factory=list)
    calls: dict[str, Call] = field(default_factory=dict)
    places: dict[str, Section] = field(default_factory=dict)
    """The section of each call."""
    charged: dict[str, Cost] = field(default_factory=dict)
    turns: int = 0

    def add(self, entry: Entry) -> None:
        """Take in one more entry."""
        match entry:
            case Said():
                self._said(entry)
            case Compaction():
                self._shortened(entry)
            case Happening():
                self._happened(entry)

    def result(self) -> tuple[Section, ...]:
        """All sections."""
        for sub_agent in self.sub_agents.values():
            self._put(self._sub_agent(sub_agent), self.timeline.last_seq)
        self._count_costs()
        return tuple(self.sections)

    # --- what was said ----------------------------------------------------------------------------------------------

    def _said(self, said: Said) -> None:
        message = said.message
        if message.role == "tool":
            self._answered(said)
        elif message.begins_turn:
            self._begin_turn(said)
        elif message.role == "assistant":
            self._wrote(said)
        elif message.role == "user":
            by = _WRITERS.get(message.origin, message.origin)
            text = self.cleaner.text(as_read(message.content or ""))
            words = Words(time=said.time, by=by, text=text, origin=message.origin)
            self._put(words, said.seq, said.id)

    def _begin_turn(self, said: Said) -> None:
        self.turns += 1
        section = Section(
            number=self.turns,
            seq=said.seq,
            time=said.time,
            prompt=self.cleaner.text(said.message.content),
            taken_back=said.id in self.timeline.taken_back,
            is_copy=said.is_copy,
        )
        self.sections.append(section)

    def _wrote(self, said: Said) -> None:
        message = said.message
        text, thinking = self.cleaner.text(message.content).strip(), self.cleaner.text(_thinking(message)).strip()
        if text or thinking:
            by = self.cleaner.line(said.call.model if said.call else said.model)
            is_same = self._wrote_last() == by
            words = Words(time=said.time, by=by, text=text, origin="model", thinking=thinking, goes_on=is_same)
            self._put(words, said.seq, said.id)
        if said.call is not None and self.sections:
            self.sections[-1].model_s += said.call.latency_ms / 1000
        for call in message.tool_calls:
            arguments = self.cleaner.data(arguments_of(call.function.arguments))
            sub_agent = self.sub_agents.pop(call.id, None)
            item = Call(
                time=said.time,
                id=self.cleaner.line(call.id),
                tool=tool_title(self.cleaner.line(call.function.name)),
                arguments=arguments,
                summary=call_summary(arguments),
                sub_agent=self._sub_agent(sub_agent) if sub_agent else None,
            )
            self.calls[call.id] = item
            self._put(item, said.seq, said.id)
            self.places[call.id] = self.sections[-1]

    def _wrote_last(self) -> str:
        """Who wrote last in this turn, nobody at its start."""
        items = self.sections[-1].items if self.sections else []
        return next((item.by for item in reversed(items) if isinstance(item, Words)), "")

    def _answered(self, said: Said) -> None:
        call_id = said.message.tool_call_id or ""
        call = self.calls.get(call_id)
        if call is None:
            return
        call.result = self.cleaner.text(as_read(said.message.content or ""))
        outcome = said.outcome
        if outcome is None:
            return
        display = self.cleaner.text(outcome.display)
        call.duration_s = outcome.duration_s
        self.places[call_id].tool_s += outcome.duration_s
        call.diff = display if is_diff(display) else call.diff
        is_denied = was_denied(outcome)
        states: dict[bool | None, CallState] = {True: "done", False: "failed", None: call.state}
        call.state = "denied" if is_denied else states[outcome.success]
        if call.state == "failed":
            call.reason = _why_failed(call.result)
        elif is_denied:
            call.reason = shortened(display.partition(":")[2].strip())

    def _shortened(self, entry: Compaction) -> None:
        summary = self.cleaner.text(entry.summary.content) if entry.summary else ""
        title = _SHORTENED.get(entry.reason, _SHORTENED["compaction"])
        self._put(Shortening(time=entry.time, title=title, summary=summary), entry.seq, entry.id)

    def _sub_agent(self, timeline: Timeline) -> SubAgent:
        facts = facts_of(timeline)
        return SubAgent(
            time=timeline.started,
            name=self.cleaner.line(timeline.agent or "sub-agent"),
            model=self.cleaner.line(", ".join(facts.models)),
            cost=facts.cost,
            sections=sections_of(timeline, self.cleaner),
        )

    # --- what happened ----------------------------------------------------------------------------------------------

    def _happened(self, happening: Happening) -> None:
        reader = _HAPPENINGS.get(happening.event_type)
        try:
            if reader is not None:
                reader(self, happening)
            elif happening.event_type in NOTES:
                self._note(happening)
        except (KeyError, TypeError, ValueError, AttributeError):  # a file of somebody else's making
            return

    def _note(self, happening: Happening) -> None:
        note = NOTES[happening.event_type](self.cleaner.data(happening.data))
        if note is None:
            return
        if happening.event_type in SECTION_STARTS:
            self._between(happening)
        text, tone, url = note
        self._put(Note(time=happening.time, text=text, tone=tone, url=url), happening.seq)
        if tone in {"bad", "warning"} and happening.event_type != "tool_log":
            self.sections[-1].tone = tone

    def _between(self, happening: Happening) -> None:
        self.sections.append(Section(number=None, seq=happening.seq, time=happening.time))

    def _plan(self, happening: Happening) -> None:
        steps = self.cleaner.data(happening.data["plan"])
        plan = tuple((str(step["status"]), str(step["content"])) for step in steps)
        self._put(Plan(time=happening.time, steps=plan), happening.seq)

    def _asked(self, happening: Happening) -> None:
        for item in happening.data["tools"]:
            if call := self.calls.get(item["tool_call_id"]):
                call.asked = self.cleaner.line(item.get("reason")) or "this call needs leave"
                preview = self.cleaner.text(item.get("preview"))
                call.diff = call.diff or (preview if is_diff(preview) else "")

    def _changed_state(self, happening: Happening) -> None:
        data = happening.data
        if (call := self.calls.get(data["tool_call_id"])) and data["state"] not in _SHOWN_OTHERWISE:
            call.news.append(self.cleaner.line(": ".join(filter(None, [data["state"], data.get("jobUrl")]))))

    def _log(self, happening: Happening) -> None:
        data = happening.data
        call = self.calls.get(data.get("agent_id") or "")
        if call is None:
            tool = "" if data["tool"] == "system" else f"{data['tool']}: "
            self._put(Note(time=happening.time, text=self.cleaner.text(f"{tool}{data['log']}")), happening.seq)
        elif call.sub_agent is None and not data["log"].startswith(_COUNTERS):
            call.news.append(self.cleaner.line(data["log"]))

    def _charged(self, happening: Happening) -> None:
        charge, call = charge_in(happening), self.calls.get(happening.data["tool_call_id"])
        if charge and call:
            call.cost += Cost(charge.usd, charge.known)

    def _compacted(self, happening: Happening) -> None:
        last = self.sections[-1].items[-1] if self.sections and self.sections[-1].items else None
        if isinstance(last, Shortening):
            old, new = happening.data["old_tokens"], happening.data["new_tokens"]
            last.tokens = f"{old:,} tokens before, {new:,} after"

    # --- where it goes ----------------------------------------------------------------------------------------------

    def _put(self, item: Item, seq: int, entry_id: str | None = None) -> None:
        if not self.sections:
            self.sections.append(Section(number=None, seq=seq, time=item.time))
        item.taken_back = entry_id in self.timeline.taken_back
        self.sections[-1].items.append(item)

    def _count_costs(self) -> None:
        """Give each section what was charged from its beginning on."""
        starts = [section.seq for section in self.sections]
        for seq, cost in _costs(self.timeline):
            if place := bisect_right(starts, seq):
                self.sections[place - 1].cost += cost


def _costs(timeline: Timeline) -> Iterable[tuple[int, Cost]]:
    yield from ((call.seq, cost_of(call)) for call in timeline.calls)
    for entry in timeline.entries:
        if isinstance(entry, Happening) and (charge := charge_in(entry)):
            yield entry.seq, Cost(charge.usd, charge.known)


def _why_failed(result: str) -> str:
    """The last line of a result, behind what it says of how a command ended: `exit code 1: KeyError: 'text'`."""
    *before, last = ["", *filter(None, map(str.strip, result[-_LOOKED_AT_CHARS:].split("\n")))]
    if not (last.startswith("[") and last.endswith("]")):
        return shortened(last)
    return shortened(": ".join(filter(None, [last[1:-1], before[-1] if before else ""])))


def _thinking(message: Message) -> str:
    return "\n\n".join(text for text, _ in thoughts(message))


_SHOWN_OTHERWISE = frozenset({"running"})
_COUNTERS = ("tools:", "tokens:")

_HAPPENINGS: Mapping[str, Callable[[_Builder, Happening], None]] = {
    "plan_update": _Builder._plan,
    "approval_required": _Builder._asked,
    "tool_state_change": _Builder._changed_state,
    "tool_log": _Builder._log,
    "tool_charge": _Builder._charged,
    "compacted": _Builder._compacted,
}
