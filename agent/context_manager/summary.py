"""The second and third tier: a model's summary of the older steps, earlier summaries included.

A transcript that is too long for the model goes to it in chunks: each answer is the summary so far, and goes in with
the next chunk. So there is one prompt for everything, what was understood before a failure is kept, and a summary is
summarised just as any other text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.context_manager.aids import Aids, SummaryError
from agent.context_manager.cutting import cut_text
from agent.context_manager.prompts import render
from agent.context_manager.tokens import estimate_text
from agent.context_manager.transcript import enclosed
from agent.light_dataclass import dataclass
from agent.protocol.messages import Message, user_message

HALVINGS = 3
"""How often a chunk is made smaller when the model refuses it as too long."""

SMALLEST_CHUNK_TOKENS = 100

NO_MODEL = "there is no model to write a summary with"
NO_WINDOW = "the model's window is too small to summarise in"
EMPTY = "the model gave an empty summary"

REQUEST_SHARE, EARLIER_SHARE = 0.1, 0.25
"""Parts of a prompt that the person's request, or wishes, and an earlier summary may take at most."""

WORDS_PER_TOKEN = 0.6
"""Low, so that a model that keeps to the allowance in words stays within it in tokens."""

_SUMMARY = re.compile(r"<summary>\n(.*)\n</summary>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Summary:
    """`text` covers the first `covered` steps; `problem` tells the person why not all of them."""

    text: str
    covered: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Tokens (estimated) that one prompt to the summariser may hold, and that the summary may have."""

    prompt_tokens: int
    summary_tokens: int


@dataclass(frozen=True, slots=True)
class Record:
    """What is to be summarised: steps as `transcripts`, the `earlier` summary, and the person's `request`, which is not
    part of it but tells what matters."""

    transcripts: Sequence[str]
    earlier: str
    request: str


async def summarise(record: Record, allowance: Allowance, aids: Aids) -> Summary:
    """Summarise `record`. Never fails: see `Summary`."""
    request, wishes = (
        cut_text(text, int(REQUEST_SHARE * allowance.prompt_tokens))
        for text in (record.request, enclosed(aids.instructions.strip()))
    )

    def prompt(transcript: str, earlier: str) -> str:
        return render(
            "compaction/summarise",
            request=request,
            earlier=earlier,
            transcript=transcript,
            instructions=wishes,
            words=max(50, int(allowance.summary_tokens * WORDS_PER_TOKEN) // 10 * 10),
        )

    text, covered, halvings = cut_text(record.earlier, int(EARLIER_SHARE * allowance.prompt_tokens)), 0, 0
    if aids.summarise is None:
        return Summary(text, covered, NO_MODEL)
    while covered < len(record.transcripts):
        chunk_tokens = (allowance.prompt_tokens - estimate_text(prompt("", text))) >> halvings
        if chunk_tokens < SMALLEST_CHUNK_TOKENS:
            return Summary(text, covered, NO_WINDOW)
        chunk = _chunk(record.transcripts[covered:], chunk_tokens)
        try:
            answer = (await aids.summarise(prompt("\n\n".join(chunk), text))).strip()
        except SummaryError as error:
            halvings += 1
            if error.overflow and halvings <= HALVINGS:
                continue
            return Summary(text, covered, str(error) or "the summary failed")
        if not answer:
            return Summary(text, covered, EMPTY)
        text = cut_text(enclosed(answer), allowance.summary_tokens)
        covered += len(chunk)
    return Summary(text, covered)


def _chunk(transcripts: Sequence[str], most_tokens: int) -> list[str]:
    """The first of `transcripts` that fit together; one at least, cut if need be."""
    chunk: list[str] = []
    for text in transcripts:
        size = estimate_text(text)
        if chunk and size > most_tokens:
            break
        chunk.append(cut_text(text, most_tokens))
        most_tokens -= size
    return chunk


def with_outline(text: str, lines: Sequence[str], most_tokens: int) -> str:
    """`text` followed by an outline of steps that nobody has summarised: half of the room for each, at need.

    Of a long outline the oldest lines give way.
    """
    if not lines:
        return text
    half = most_tokens // 2
    room = most_tokens - min(half, estimate_text(text)) - estimate_text(_outlined("", [], len(lines)))
    shown: list[str] = []
    for line in map(enclosed, reversed(lines)):
        room -= estimate_text(line) + 1
        if room < 0:
            break
        shown.insert(0, line)
    outlined = _outlined("", shown, len(lines) - len(shown))
    return _outlined(cut_text(text, max(half, most_tokens - estimate_text(outlined))), shown, len(lines) - len(shown))


def _outlined(text: str, lines: Sequence[str], hidden: int) -> str:
    return render("compaction/outline", text=text, lines=lines, hidden=hidden)


def summary_message(text: str, facts: str, *, kept_follows: bool) -> Message:
    """The message that stands for what was taken out. `kept_follows`: the person's latest message comes after it."""
    content = render("compaction/summary", summary=text, facts=enclosed(facts.strip()), kept_follows=kept_follows)
    return user_message(content, "summary")


def summary_text(messages: Sequence[Message]) -> str:
    """The summaries in `messages`, without the facts and the words around them."""
    contents = [message.content or "" for message in messages]
    return "\n\n".join(found[1] if (found := _SUMMARY.search(text)) else enclosed(text) for text in contents)
