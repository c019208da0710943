"""A session as one HTML file that needs nothing else: no network, no script.

Whatever a session holds, the page stays under some 20 MB: texts are cut, the longest ones first, with a word about what
is missing; and it has a certain number of steps at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.light_dataclass import dataclass
from agent.protocol.counting import counted
from agent.protocol.messages import utc_stamp
from agent.redaction.redactor import Redactor
from agent.traces.pages.conversation import sections_of
from agent.traces.pages.facts import Facts, facts_of
from agent.traces.pages.markup import Writer, is_linked
from agent.traces.pages.parts import Call, Item, Note, Section, Shortening, SubAgent, Words
from agent.traces.pages.wording import Cleaner, duration_text, shortened, value_text
from agent.traces.timeline import Said, Timeline

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

MAX_PAGE_BYTES = 20_000_000
MAX_STEPS = 10_000
MAX_ARGUMENTS = 40
"""Of one call. More are shown as one JSON text."""
MAX_NEWS = 100
_LIMITS = (200_000, 50_000, 10_000, 2_000, 300)
"""How many characters of each text are shown, if all of it is not too much so; else the next one holds."""
_ROOM_CHARS = 12_000_000
_TEMPLATES = Path(__file__).resolve().parent / "templates"


def render(timeline: Timeline, sub_agents: Sequence[Timeline], redactor: Redactor) -> str:
    """The page of `timeline`, the same for the same session. Takes seconds for huge ones.

    Raises `RedactionError`.
    """
    cleaner = Cleaner(redactor)
    sections, left_out = _within(sections_of(timeline, cleaner, sub_agents), MAX_STEPS)
    head = _head(timeline, cleaner)
    sizes = [len(text) for section in sections for text in _texts(section)]
    page = ""
    for limit in _LIMITS:
        is_last = limit == _LIMITS[-1]
        if not is_last and sum(min(size, limit) for size in sizes) > _ROOM_CHARS:
            continue
        page = _page(_environment(Writer(cleaner, limit)), head, sections, left_out)
        if len(page.encode("utf-8", "replace")) <= MAX_PAGE_BYTES:
            break
    return page


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands at the top, clean: `rows` are (label, text); `turns` counts those that were not taken back."""

    title: str
    session_id: str
    started: datetime
    turns: int
    taken_back: int
    rows: tuple[tuple[str, str], ...]
    facts: Facts
    cost_by_kind: tuple[tuple[str, str], ...]
    tools: tuple[tuple[str, int, int], ...]
    dropped: int


def _head(timeline: Timeline, cleaner: Cleaner) -> _Head:
    facts = facts_of(timeline)
    said = [entry for entry in timeline.entries if isinstance(entry, Said)]
    last = said[-1] if said else None
    rows = {
        "Directory": last.cwd if last else "",
        "Branch": last.git_branch if last else "",
        "Session": timeline.session_id,
        "Forked from": timeline.parent_session,
        "ml-intern": last.version if last else "",
    }
    return _Head(
        title=cleaner.line(timeline.title) or "Untitled session",
        session_id=cleaner.line(timeline.session_id),
        started=timeline.started,
        turns=timeline.turns,
        taken_back=sum(entry.message.begins_turn and entry.id in timeline.taken_back for entry in said),
        rows=(
            ("Model", cleaner.line(", ".join(facts.models) + _effort(timeline))),
            *((label, cleaner.line(text)) for label, text in rows.items() if text),
        ),
        facts=facts,
        cost_by_kind=tuple((cleaner.line(kind), str(cost)) for kind, cost in facts.cost_by_kind.items()),
        tools=tuple((shortened(cleaner.line(use.tool)), use.calls, use.failures) for use in facts.tools),
        dropped=timeline.dropped,
    )


def _effort(timeline: Timeline) -> str:
    return f", {timeline.effort} effort" if timeline.effort else ""


# --- how much ---------------------------------------------------------------------------------------------------------


def _within(sections: Sequence[Section], most: int) -> tuple[list[Section], int]:
    """The sections with the first `most` of their steps, and how many steps are left out."""
    kept: list[Section] = []
    room, left_out = most, 0
    for section in sections:
        room -= 1
        weights = [_weight(item) for item in section.items]
        count = sum(so_far <= room for so_far in accumulate(weights))
        left_out += sum(weights[count:]) + (room < 0)
        room = room - sum(weights) if count == len(weights) else 0
        if room >= 0:
            kept.append(replace(section, items=section.items[:count]))
    return kept, left_out


def _weight(item: Item) -> int:
    """How many steps an item is, with those of a sub-agent."""
    sub_agent = item if isinstance(item, SubAgent) else item.sub_agent if isinstance(item, Call) else None
    return 1 + sum(1 + sum(map(_weight, section.items)) for section in sub_agent.sections) if sub_agent else 1


def _texts(section: Section) -> Iterator[str]:
    """The texts of a section that can be long."""
    yield section.prompt
    for item in section.items:
        match item:
            case Words():
                yield from (item.text, item.thinking)
            case Call():
                yield from (item.result or "", item.diff, *map(value_text, item.arguments.values()))
            case Note() | Shortening():
                yield item.text if isinstance(item, Note) else item.summary
        sub_agent = item if isinstance(item, SubAgent) else item.sub_agent if isinstance(item, Call) else None
        for nested in sub_agent.sections if sub_agent else ():
            yield from _texts(nested)


# --- the page ---------------------------------------------------------------------------------------------------------


def _environment(writer: Writer) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )

    def html(item: Item) -> Markup:
        return Markup(environment.get_template(f"{item.kind}.html").render(item=item))

    environment.filters |= {
        "html": html,
        "block": writer.block,
        "words": writer.words,
        "prose": writer.prose,
        "diff": writer.diff,
        "moment": _moment,
        "clock": _clock,
        "duration": duration_text,
        "counted": counted,
        "shortened": shortened,
        "value_text": value_text,
        "arguments": _few,
        "news": _latest,
    }
    environment.tests["linked"] = is_linked
    return environment


def _page(environment: Environment, head: _Head, sections: Sequence[Section], left_out: int) -> str:
    longest_s = max((section.model_s + section.tool_s for section in sections), default=0.0)
    return environment.get_template("page.html").render(
        head=head, sections=sections, left_out=left_out, longest_s=longest_s or 1.0
    )


def _few(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return arguments if len(arguments) <= MAX_ARGUMENTS else {"all": dict(arguments)}


def _latest(news: Sequence[str]) -> list[str]:
    earlier = [f"{counted(len(news) - MAX_NEWS, 'line')} before"] if len(news) > MAX_NEWS else []
    return earlier + [shortened(line, 300) for line in news[-MAX_NEWS:]]


def _moment(time: datetime) -> Markup:
    """`2026-11-21 09:30 UTC`, for programs to the millisecond."""
    return _time(time, f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC")


def _clock(time: datetime) -> Markup:
    """`09:30:05`."""
    return _time(time, f"{time.astimezone(UTC):%H:%M:%S}")


def _time(time: datetime, shown: str) -> Markup:
    from markupsafe import Markup

    stamp = utc_stamp(time)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(stamp, stamp, shown)
