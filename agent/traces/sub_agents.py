"""The journals of a session's sub-agents: each is a session of its own, kept apart from those of people."""

from __future__ import annotations

import re
from pathlib import Path

from agent.redaction.redactor import Redactor
from agent.traces.timeline import Timeline


def journals(state_dir: Path, session_id: str) -> list[Path]:
    """`<state>/agents/<session id>/*.jsonl`, by name; empty when there were none. Blocks for the disk.

    Each can be read with `agent.traces.timeline.read_timeline`; its id is `<session id>/<tool call id>`.
    """
    if not session_id or session_id in {".", ".."} or "/" in session_id:  # it comes from a file
        return []
    return sorted((state_dir / "agents" / session_id).glob("*.jsonl"))


def file_stem(agent: Timeline, redactor: Redactor) -> str:
    """What the file of a sub-agent's trace is called: the part of its id that names its tool call, without what no name
    of a file may have. A provider has made it up, so it is redacted. Raises `RedactionError`."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", redactor.text(agent.session_id.rpartition("/")[2]))[:80] or "agent"
