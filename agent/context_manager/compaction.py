"""Making history shorter without breaking it, whatever it holds and whatever fails.

The tiers, each only as far as needed: (1) old results and long arguments move to files, (2) a model summarises the
steps before the last ones, (3) earlier summaries with them, (4) the largest texts are cut. Where there is no summary to
be had, the oldest steps give way to an outline of them. The system prompt is never touched; the first and the latest
message of the person are cut only where nothing else would do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agent.context_manager.aids import Aids, CompactionFailedError, CompactionReport, Room, SummaryError
from agent.context_manager.cutting import cut_largest
from agent.context_manager.layout import Layout, Ruler, Step, flat, lay_out, owned_by_person, steps
from agent.context_manager.stubs import stub_oldest
from agent.context_manager.summary import (
    Allowance,
    Record,
    Summary,
    summarise,
    summary_message,
    summary_text,
    with_outline,
)
from agent.context_manager.transcript import outline, transcript
from agent.light_dataclass import dataclass
from agent.protocol.messages import Message

__all__ = ["Aids", "CompactionFailedError", "CompactionReport", "Room", "Shortened", "SummaryError", "shorten"]

TAIL_SHARE = 0.5
"""Part of the free room that the last steps may keep."""

SUMMARY_SHARE = 0.15
LONGEST_SUMMARY_TOKENS = 4_000
SHORTEST_SUMMARY_TOKENS = 100
"""Replacing steps by less than this is not worth a model call."""

PROMPT_SHARE = 0.5
"""Part of the window that a prompt to the summariser may fill: its answer and our miscounting need room too."""

FLOOR_TOKENS = 200
BARE_FLOOR_TOKENS = 30

ROOM_FOR_MARKS_TOKENS = 40


@dataclass(frozen=True, slots=True)
class Shortened:
    """A shorter history; see `CompactionReport` for the other fields."""

    items: list[Message]
    summarised: int = 0
    problem: str = ""


async def shorten(items: list[Message], room: Room, aids: Aids) -> Shortened:
    """`items` (the system prompt first) brought to `room`; the same list if it fits. Messages that stay are the same
    objects, changed ones keep their ids. May be cancelled at any time: `items` is not changed.
    """
    ruler = Ruler()
    excess = ruler.total(items) - room.target_tokens
    if excess <= 0:
        return Shortened(items)
    free = max(0, room.target_tokens - ruler(items[0]))
    layout = lay_out(items, int(TAIL_SHARE * free), ruler)
    stubbed = await asyncio.to_thread(stub_oldest, layout.middle, excess, aids.spill, ruler)
    best = Shortened(_replaced(items, flat(layout.middle), flat(stubbed)))
    if ruler.total(best.items) > room.target_tokens:
        best = await _summarised(best, layout, stubbed, room, aids, ruler)
    if ruler.total(best.items) > room.soft_tokens:
        best = Shortened(await _cut(best.items, room, aids, ruler), best.summarised, best.problem)
    return best if ruler.total(best.items) < ruler.total(items) else Shortened(items, problem=best.problem)


def _replaced(items: Sequence[Message], old: Sequence[Message], new: Sequence[Message]) -> list[Message]:
    by_identity = {id(before): after for before, after in zip(old, new, strict=True)}
    return [by_identity.get(id(message), message) for message in items]


async def _summarised(
    best: Shortened, layout: Layout, stubbed: Sequence[Step], room: Room, aids: Aids, ruler: Ruler
) -> Shortened:
    """The middle replaced by a summary; where that fails, its oldest steps by an outline. `best` if nothing is won."""
    frame_tokens = ruler(_message("", layout, aids)) + ROOM_FOR_MARKS_TOKENS
    replaceable = ruler.total(flat(stubbed)) + ruler.total(layout.earlier)
    free = room.target_tokens - ruler(layout.head[0])
    most = min(LONGEST_SUMMARY_TOKENS, max(2 * SHORTEST_SUMMARY_TOKENS, int(SUMMARY_SHARE * free)))
    most = min(most, replaceable - frame_tokens)
    if not stubbed or most < SHORTEST_SUMMARY_TOKENS:
        return best
    allowance = Allowance(int(PROMPT_SHARE * room.window_tokens), most)
    record = await asyncio.to_thread(_record, layout, stubbed)
    summary = await summarise(record, allowance, aids)
    others = ruler.total([*layout.head, *layout.kept, *layout.tail]) + frame_tokens + most
    gone = _left_out(summary, stubbed, room.target_tokens - others, ruler)
    lines = [line for step in layout.middle[summary.covered : gone] for line in outline(step)]
    message = _message(with_outline(summary.text, lines, most), layout, aids)
    shorter = layout.joined(message, stubbed[gone:])
    if ruler.total(shorter) >= ruler.total(best.items):
        return Shortened(best.items, problem=summary.problem)
    return Shortened(shorter, len(flat(stubbed[:gone])), summary.problem)


def _record(layout: Layout, stubbed: Sequence[Step]) -> Record:
    own = [(message,) for message in (*layout.head[1:], *layout.kept)]
    return Record(
        transcripts=[transcript(*pair) for pair in zip(layout.middle, stubbed, strict=True)],
        earlier=summary_text(layout.earlier),
        request="\n\n".join(transcript(step, step) for step in own),
    )


def _message(text: str, layout: Layout, aids: Aids) -> Message:
    return summary_message(text, aids.facts, kept_follows=bool(layout.kept))


def _left_out(summary: Summary, stubbed: Sequence[Step], room_tokens: int, ruler: Ruler) -> int:
    """How many steps must go so that the rest takes `room_tokens`; those that are summarised go anyway."""
    sizes = [ruler.total(step) for step in stubbed]
    gone, left = summary.covered, sum(sizes[summary.covered :])
    while gone < len(stubbed) and left > room_tokens:
        left -= sizes[gone]
        gone += 1
    return gone


async def _cut(items: list[Message], room: Room, aids: Aids, ruler: Ruler) -> list[Message]:
    """The largest texts of `items` cut, the person's own last; in the end all steps left out."""
    protected = {message.id for message in owned_by_person(items)}

    async def cut(items: list[Message], room_tokens: int, reluctance: int, floor_tokens: int) -> list[Message]:
        return await asyncio.to_thread(
            cut_largest,
            items,
            room_tokens,
            aids.spill,
            ruler,
            protected=protected,
            reluctance=reluctance,
            floor_tokens=floor_tokens,
        )

    for room_tokens, reluctance in ((room.soft_tokens, 0), (room.soft_tokens, 1), (room.hard_tokens, 1)):
        shorter = await cut(items, room_tokens, reluctance, FLOOR_TOKENS)
        if ruler.total(shorter) <= room_tokens:
            return shorter
    shorter = await cut(items, room.hard_tokens, 2, FLOOR_TOKENS)
    if ruler.total(shorter) <= room.hard_tokens:
        return shorter
    return await cut(_without_steps(items, aids, ruler), room.hard_tokens, 2, BARE_FLOOR_TOKENS)


def _without_steps(items: list[Message], aids: Aids, ruler: Ruler) -> list[Message]:
    """Nothing but the system prompt, the person's messages that stay, and a summary with an outline of the rest."""
    layout = lay_out(items, 0, ruler)
    tail = steps(layout.tail)
    own = owned_by_person(items)
    bare = Layout(layout.head, layout.earlier, layout.middle, tuple(m for m in own if m not in layout.head), 0, ())
    lines = [line for step in (*layout.middle, *tail) for line in outline(step)]
    text = with_outline(summary_text(layout.earlier), lines, 2 * SHORTEST_SUMMARY_TOKENS)
    return bare.joined(_message(text, bare, aids), ())
