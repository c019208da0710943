"""The parts of a history as compaction sees them.

Steps (an assistant message with all its results, or any other message alone) are the units: a call and its result are
never parted. Of the steps, the middle may be summarised and the tail stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.context_manager.prompts import render
from agent.context_manager.tokens import estimate_message
from agent.light_dataclass import dataclass
from agent.protocol.messages import Message

Step = tuple[Message, ...]


class Ruler:
    """Measures messages in estimated tokens, each once however often it is asked for."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Message, int]] = {}  # the message is held so that its id() stays its own

    def __call__(self, message: Message) -> int:
        """Tokens of `message`."""
        known = self._known.get(id(message))
        if known is None:
            known = self._known[id(message)] = message, estimate_message(message)
        return known[1]

    def total(self, messages: Iterable[Message]) -> int:
        """Tokens of all `messages`."""
        return sum(map(self, messages))


@dataclass(frozen=True, slots=True)
class Layout:
    """A history taken apart; `joined` puts it together again.

    `head`: the system prompt and the person's first message. `earlier`: summaries made before. `middle`: the steps that
    a new summary may replace. `kept`: what the person said last, where that is older than the tail (the request that
    began the turn, and a later word on it); `kept_at` tells how many steps of the middle came before it. `tail`: the
    last steps.
    """

    head: tuple[Message, ...]
    earlier: tuple[Message, ...]
    middle: tuple[Step, ...]
    kept: tuple[Message, ...]
    kept_at: int
    tail: tuple[Message, ...]

    def joined(self, summary: Message, middle: Sequence[Step]) -> list[Message]:
        """History with `summary` in place of the oldest steps, of which only `middle` is left.

        Some providers refuse two messages of the user in a row, so a word of the assistant is put between them where
        this order makes neighbours of them.
        """
        before = max(0, self.kept_at - (len(self.middle) - len(middle)))
        older, newer = flat(middle[:before]), flat(middle[before:])
        items: list[Message] = []
        for block in (self.head, (summary,), older, *((message,) for message in self.kept), newer, self.tail):
            if items and block and items[-1].role == block[0].role == "user":
                items.append(Message("assistant", render("compaction/marker"), origin="repair"))
            items += block
        return items


def lay_out(items: Sequence[Message], tail_tokens: int, ruler: Ruler) -> Layout:
    """Take `items` apart, with a tail of at most `tail_tokens`, or of the last step if that alone is longer."""
    own = owned_by_person(items)
    start = _tail_start(items, tail_tokens, ruler)
    first = [message for message in own[:1] if message not in items[start:]]
    before_tail = [message for message in items[1:start] if not _is_marker(message) and message not in first]
    kept = [message for message in before_tail if message in own[1:]]
    rest = [message for message in before_tail if not _is_summary(message)]
    middle = steps(message for message in rest if message not in kept)
    kept_at = len(steps(rest[: rest.index(kept[0])])) if kept else len(middle)
    return Layout(
        head=(items[0], *first),
        earlier=tuple(message for message in items if _is_summary(message)),
        middle=tuple(middle),
        kept=tuple(kept),
        kept_at=kept_at,
        tail=tuple(message for message in items[start:] if not _is_marker(message) and not _is_summary(message)),
    )


def owned_by_person(items: Sequence[Message]) -> list[Message]:
    """What stays word for word: the person's first message, the one that began the last turn, and the latest."""
    own = [message for message in items if message.role == "user" and not message.is_synthetic]
    turns = [message for message in own if message.begins_turn]
    chosen = {message.id for message in (*own[:1], *turns[-1:], *own[-1:])}
    return [message for message in own if message.id in chosen]


def steps(messages: Iterable[Message]) -> list[Step]:
    """`messages` grouped into steps."""
    groups: list[list[Message]] = []
    for message in messages:
        if message.role == "tool" and groups:
            groups[-1].append(message)
        else:
            groups.append([message])
    return [tuple(group) for group in groups]


def flat(groups: Iterable[Step]) -> list[Message]:
    """The messages of `groups` in a row."""
    return [message for group in groups for message in group]


def last_reply(items: Sequence[Message]) -> Message | None:
    """The model's latest message."""
    return next((m for m in reversed(items) if m.role == "assistant" and not _is_marker(m)), None)


def _tail_start(items: Sequence[Message], tail_tokens: int, ruler: Ruler) -> int:
    reply = last_reply(items)
    start, used = len(items), 0
    for step in reversed(steps(items[1:])):
        used += 0 if _is_summary(step[0]) or _is_marker(step[0]) else ruler.total(step)
        if used > tail_tokens and reply is None and start < len(items):
            break
        start -= len(step)
        if step[0] is reply:
            reply = None
    return start


def _is_summary(message: Message) -> bool:
    return message.role == "user" and message.origin == "summary"


def _is_marker(message: Message) -> bool:
    return message.role == "assistant" and message.origin == "repair"
