"""Claude Code traces as lines, and what must hold for all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.protocol.messages import Message
from agent.redaction.redactor import Redactor
from agent.traces.claude_code import line_uuid, lines
from agent.traces.timeline import read_timeline


def texts(path: Path, redactor: Redactor | None = None) -> list[str]:
    return list(lines(read_timeline(path), redactor or Redactor()))


def exported(path: Path, redactor: Redactor | None = None) -> list[dict[str, Any]]:
    return [json.loads(text) for text in texts(path, redactor)]


TAKEN_BACK = "x-ml-intern-taken-back"


def chained(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in found if "uuid" in line]


def ordinary(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines that readers know."""
    return [line for line in found if line["type"] in {"user", "assistant", "system"}]


def walk(found: list[dict[str, Any]]) -> list[str]:
    """The uuids from the root to the last line of the file that readers know."""
    by_uuid = {line["uuid"]: line for line in chained(found)}
    walked, at = [], next((line["uuid"] for line in reversed(ordinary(found))), None)
    while at is not None:
        walked.append(at)
        at = by_uuid[at]["parentUuid"]
    return walked[::-1]


def check_chain(found: list[dict[str, Any]], transcript: tuple[Message, ...]) -> None:
    """No uuid twice, every parent is an earlier line, and from the last line one gets to all that is to be seen: no
    line that readers know is anywhere else."""
    known: set[str | None] = {None}
    for line in chained(found):
        assert line["uuid"] not in known
        assert line["parentUuid"] in known
        known.add(line["uuid"])
    said = [line_uuid(message.id) for message in transcript]
    assert set(said) <= known
    if chained(found):
        ours = {line["uuid"] for line in chained(found)} - set(said)
        assert [each for each in walk(found) if each not in ours] == said
        assert walk(found) == [line["uuid"] for line in ordinary(found)]
