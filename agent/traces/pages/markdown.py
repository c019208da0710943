"""A session as Markdown, to be read and to be kept: what was said, what the tools were given and what they answered.

Turns that were taken back are left out, and so is what the model thought.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.protocol.counting import counted
from agent.redaction.redactor import Redactor
from agent.traces.pages.conversation import sections_of
from agent.traces.pages.facts import Facts, facts_of
from agent.traces.pages.parts import Call, Item, Note, Plan, Section, Shortening, Words
from agent.traces.pages.wording import Cleaner, duration_text, is_costly, shortened, value_text
from agent.traces.timeline import Said, Timeline

_FENCE = re.compile(r"`{3,}")
_CAN_SWALLOW = re.compile("```|~~~|<")
_HTML_START = re.compile(r"^[^<]*?(?=<)")
_TRIES = 6
_NEXT = "next"
_BOXES = {"completed": "[x]", "in_progress": "[~]"}
_FACT_COLUMNS = 15


def render(timeline: Timeline, redactor: Redactor) -> str:
    """The conversation of `timeline` as it stands now. Raises `RedactionError`."""
    cleaner = Cleaner(redactor)
    parts = [
        f"# {cleaner.line(timeline.title) or cleaner.line(timeline.session_id)}",
        _fenced(_head(timeline, cleaner)),
    ]
    for section in sections_of(timeline, cleaner):
        if not section.taken_back:
            parts += _section(section)
    return "\n\n".join(part for part in parts if part)


def _head(timeline: Timeline, cleaner: Cleaner) -> str:
    """The facts, one a line."""
    facts = facts_of(timeline)
    said = [entry for entry in timeline.entries if isinstance(entry, Said)]
    last = said[-1] if said else None
    taken_back = sum(entry.message.begins_turn and entry.id in timeline.taken_back for entry in said)
    rows = {
        "title": timeline.title,
        "id": timeline.session_id,
        "forked from": timeline.parent_session,
        "model": ", ".join(facts.models),
        "effort": timeline.effort,
        "directory": last.cwd if last else "",
        "branch": last.git_branch if last else "",
        "started": _minute(timeline.started),
        "last used": _minute(timeline.last_used),
        "turns": f"{timeline.turns:,}" + (f" ({taken_back:,} more taken back)" if taken_back else ""),
        "time": f"model {duration_text(facts.model_s)}, tools {duration_text(facts.tool_s)}",
        "cost": _cost(facts),
        "tokens": _tokens(facts),
        "tools": ", ".join(_use(use.tool, use.calls, use.failures) for use in facts.tools),
        "unreadable": counted(timeline.dropped, "record") if timeline.dropped else "",
    }
    return "\n".join(f"{name + ':':<{_FACT_COLUMNS}}{cleaner.line(text)}" for name, text in rows.items() if text)


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _cost(facts: Facts) -> str:
    kinds = ", ".join(f"{kind} {cost}" for kind, cost in facts.cost_by_kind.items())
    return f"{facts.cost} ({kinds})" if len(facts.cost_by_kind) > 1 else str(facts.cost)


def _tokens(facts: Facts) -> str:
    cached = f" ({facts.cached_share:.0%} cached)" if facts.cached_share is not None else ""
    return f"{facts.prompt_tokens:,} in{cached}, {facts.completion_tokens:,} out"


def _use(tool: str, calls: int, failures: int) -> str:
    return f"{tool} {calls}×" + (f" ({failures} failed)" if failures else "")


# --- the conversation -------------------------------------------------------------------------------------------------


def _section(section: Section) -> Iterator[str]:
    speaker = ""
    if section.number is not None:
        yield "## You"
        yield _contained(section.prompt)
        speaker = "You"
    for item in section.items:
        is_said = isinstance(item, Words | Call | Plan)
        if item.taken_back or (isinstance(item, Words) and not _is_spoken(item)):
            continue
        by = "You" if isinstance(item, Words) and item.origin != "model" else "ml-intern"
        if is_said and by != speaker:
            speaker = by
            yield f"## {speaker}"
        yield from _WRITERS.get(type(item), _nothing)(item)


def _is_spoken(item: Words) -> bool:
    return item.origin in {"model", "steering"} and bool(item.text)


def _words(item: Words) -> Iterator[str]:
    yield _contained(item.text)


def _call(item: Call) -> Iterator[str]:
    mark = item.state if item.state in {"failed", "denied"} else "" if item.result is not None else "no result"
    took = duration_text(item.duration_s) if item.state in {"done", "failed"} else ""
    about = ", ".join(filter(None, [mark, took, str(item.cost) if item.cost.usd else ""]))
    yield f"**{item.tool}**" + (f" ({about})" if about else "")
    yield _fenced(value_text(item.arguments), "json")
    if item.diff:
        yield _fenced(item.diff, "diff")
    if item.result is not None:
        yield _fenced(item.result)


def _plan(item: Plan) -> Iterator[str]:
    yield "\n".join(f"- {_BOXES.get(status, '[ ]')} {shortened(step, 400)}" for status, step in item.steps)


def _note(item: Note) -> Iterator[str]:
    lines = " ".join(f"{item.text} {item.url}".split())
    yield f"> {lines}"


def _shortening(item: Shortening) -> Iterator[str]:
    yield f"---\n\n*{item.title}{': ' if item.tokens else ''}{item.tokens}*"


def _nothing(_item: Item) -> Iterator[str]:
    return iter(())


_WRITERS: Mapping[type[Item], Callable[[Any], Iterator[str]]] = {
    Words: _words,
    Call: _call,
    Plan: _plan,
    Note: _note,
    Shortening: _shortening,
}


def _contained(text: str) -> str:
    """`text`, which is Markdown, unable to swallow what follows it: its last code block is closed, and no line of it
    begins HTML (a comment, a `<details>`). Judged by a reader of Markdown; what stays so is put into a block."""
    text = text.strip()
    if not _CAN_SWALLOW.search(text):
        return text
    if is_costly(text):
        return _fenced(text)
    from markdown_it import MarkdownIt

    read = MarkdownIt("commonmark").parse
    for _ in range(_TRIES):
        tokens = read(f"{text}\n\n# {_NEXT}")
        html = [token.map for token in tokens if token.type == "html_block" and token.map]
        fences = [token.markup for token in tokens if token.type == "fence"]
        if html:
            text = _without_html(text, html)
        elif tokens[-1].type == "heading_close" and tokens[-1].level == 0 and tokens[-2].content == _NEXT:
            return text
        elif fences:
            text = f"{text}\n{fences[-1]}"
    return _fenced(text)


def _without_html(text: str, places: Iterable[Sequence[int]]) -> str:
    """`text` in which what begins a line of HTML is a sign like any other. `places`: from line, to line."""
    lines = text.split("\n")
    for number in {number for start, end in places for number in range(start, min(end, len(lines)))}:
        lines[number] = _HTML_START.sub(r"\g<0>\\", lines[number], count=1)
    return "\n".join(lines)


def _fenced(text: str, language: str = "") -> str:
    """`text` as a code block that nothing in it can end."""
    longest = max((len(fence) for fence in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
