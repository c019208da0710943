"""Where the secrets of a text are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.light_dataclass import dataclass

LABEL = "[REDACTED]"


@dataclass(frozen=True, slots=True)
class Found:
    """A secret in a text: where it is, and what is to stand there."""

    start: int
    end: int
    label: str = LABEL


def apart(found: Iterable[Found]) -> list[Found]:
    """`found` in the order of the text; what overlaps becomes one, under the label of what began first."""
    result: list[Found] = []
    for one in sorted(found, key=lambda item: (item.start, -item.end)):
        if result and one.start < result[-1].end:
            last = result[-1]
            is_same = (one.start, one.end) == (last.start, last.end)
            label = one.label if is_same and last.label == LABEL else last.label
            result[-1] = Found(last.start, max(last.end, one.end), label)
        else:
            result.append(one)
    return result


def lowered(text: str) -> str:
    """`text` in lower case, every character in its place."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if c.isascii() else c for c in text)


def replaced(text: str, found: Iterable[Found]) -> str:
    """`text` with the labels of `found`, which are in order and apart."""

    def pieces() -> Iterator[str]:
        done = 0
        for one in found:
            yield text[done : one.start]
            yield one.label
            done = one.end
        yield text[done:]

    return "".join(pieces())
