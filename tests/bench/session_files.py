"""Writes sessions as the program would have left them: `python -m tests.bench.session_files STATE_DIR --records 10000`.

It prints the id of the last session written. `--records N` writes one session of N records besides its head,
`--sessions N` so many of two.
"""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from agent.protocol.events import ToolLog
from agent.protocol.messages import new_id, user_message, utc_now
from agent.redaction.live import LiveSecrets
from agent.sessions.journal import Journal, journal_path


def write_records(state: Path, records: int) -> Path:
    """A session of half messages, half events; its journal."""
    path = journal_path(state, new_id(), utc_now())
    journal = Journal.create(path, LiveSecrets({}))
    journal.append("start", head(path.stem))
    for number in range(records // 2):
        journal.append_message(user_message(f"message {number} " + "word " * 40))
        journal.append("event", {"event_type": ToolLog.event_type, "data": {"tool": "system", "log": "a line"}})
    journal.close()
    return path


def write_sessions(state: Path, sessions: int) -> Path:
    """Sessions of a head and a prompt, a minute apart; the journal of the oldest."""
    now = utc_now()
    for number in range(sessions):
        started = now - timedelta(minutes=number)
        path = journal_path(state, new_id(), started)
        path.parent.mkdir(parents=True, exist_ok=True)
        stamp = started.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = {
            "id": new_id(),
            "role": "user",
            "content": f"prompt {number}",
            "origin": "person",
            "created_at": stamp,
        }
        kept = [("start", head(path.stem)), ("message", message)]
        lines = [
            json.dumps({"v": 1, "seq": seq, "ts": stamp, "kind": kind, "data": data})
            for seq, (kind, data) in enumerate(kept, 1)
        ]
        path.write_text("\n".join(lines) + "\n")
    return path


def head(session_id: str) -> dict[str, Any]:
    """The head of a journal."""
    return {"id": session_id, "parent": None, "cwd": "/work", "version": "0", "model": "replay/x", "effort": None}


def main() -> None:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("--records", type=int)
    parser.add_argument("--sessions", type=int)
    options = parser.parse_args()
    if options.records is not None:
        path = write_records(options.state, options.records)
    else:
        path = write_sessions(options.state, options.sessions)
    print(path.stem)


if __name__ == "__main__":
    main()
