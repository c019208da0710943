"""What is made public when a dataset of sessions is: how much, and what redaction takes out of it.

The sessions are written out as an upload writes them, and what was written is thrown away. So the numbers are those of
the files, and a session that could not be uploaded is not counted as one that is safe.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from pathlib import Path

from agent.light_dataclass import dataclass
from agent.redaction.redactor import Finding, RedactionError, Redactor
from agent.sessions.errors import SessionError
from agent.traces import claude_code
from agent.traces.sub_agents import journals
from agent.traces.timeline import Said, Timeline, read_timeline

logger = logging.getLogger(__name__)

MOST_SESSIONS = 200
MOST_BYTES = 24_000_000
"""So much is looked at while the person waits; measured: 2.3 MB of journals a second on a slow machine."""
MOST_EXCERPTS = 5


@dataclass(slots=True)
class Preview:
    """`sessions` were looked at; `left_out` were not, as they were too many, `unreadable` could not be.

    `replaced` counts by kind what redaction takes out, `excerpts` show some of it, after redaction.
    """

    sessions: int = 0
    prompts: int = 0
    tool_outputs: int = 0
    unreadable: int = 0
    left_out: int = 0
    replaced: Counter[str] = field(default_factory=Counter)
    excerpts: list[Finding] = field(default_factory=list)


def look_through(
    paths: Iterable[Path], state_dir: Path, redactor: Redactor, is_stopped: Callable[[], bool] = lambda: False
) -> Preview:
    """Look through the journals at `paths`, with those of their sub-agents, until `is_stopped`. Blocks."""
    preview, size_bytes = Preview(), 0
    for path in paths:
        if is_stopped():
            break
        if preview.sessions + preview.unreadable >= MOST_SESSIONS or size_bytes >= MOST_BYTES:
            preview.left_out += 1
            continue
        try:
            files = [path, *journals(state_dir, path.stem)]
            size_bytes += sum(file.stat().st_size for file in files)
            timelines = [read_timeline(file) for file in files]
            for timeline in timelines:
                any(is_stopped() for _line in claude_code.lines(timeline, redactor))
        except (SessionError, RedactionError, OSError) as error:
            logger.warning("%s cannot be looked through: %s", path, error)
            preview.unreadable += 1
            continue
        preview.sessions += 1
        for timeline in timelines:
            _count(timeline, preview)
    preview.replaced = Counter(redactor.counts)
    preview.excerpts = _varied(redactor.findings)
    return preview


def _count(timeline: Timeline, preview: Preview) -> None:
    said = [link.message for link in timeline.links if isinstance(link, Said)]
    preview.tool_outputs += sum(message.role == "tool" for message in said)
    if timeline.agent is None:  # the "person" of a sub-agent is the model
        preview.prompts += sum(message.origin in ("person", "steering") for message in said)


def _varied(findings: Sequence[Finding]) -> list[Finding]:
    """A few of what was found, none twice, of as many kinds as possible."""
    of_each: dict[str, list[Finding]] = {}
    for found in dict.fromkeys(findings):
        of_each.setdefault(found.kind, []).append(found)
    ranked = sorted((rank, found.kind, found) for same in of_each.values() for rank, found in enumerate(same))
    return [found for _, _, found in ranked[:MOST_EXCERPTS]]
