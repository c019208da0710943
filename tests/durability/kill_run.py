"""One session of the installed command whose program is killed again and again, and what must hold each time.

The script's calls leave traces: the call with the id `bash_3` writes `bash_3.txt` and a line in `log.txt`. So the
workspace tells what really ran, and the journal what the next program is told of it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agent.sessions.restore import restore
from tests.e2e.harness import Finished, Headless, start_headless
from tests.grammar import check_history, check_turn_grammar

STEPS = 10
ANSWER = "All steps are done."
POLL_S = 0.0005

NOT_IN_JOURNAL = frozenset({"ready", "assistant_chunk", "budget_status"})
"""Events that the journal does not keep (of a first run: that come before it begins)."""

Measure = Literal["records", "writes", "reads"]

LAST_POINT: Mapping[Measure, int] = {"records": 40, "writes": 90, "reads": 1_500}
"""The latest point of each measure: about two fifths of a run. Up to 800 reads are those of a program that starts."""


@dataclass(frozen=True, slots=True)
class KillPoint:
    """The moment at which a program has appended so many records, or made so many system calls to write or read."""

    measure: Measure
    count: int

    @classmethod
    def at_random(cls, rng: random.Random) -> KillPoint:
        """Any point."""
        measure = rng.choices(("records", "writes", "reads"), (5, 3, 2))[0]
        return cls(measure, rng.randint(1, LAST_POINT[measure]))


@dataclass
class KilledRun:
    """The session, whichever program is working on it."""

    env: Mapping[str, str]
    workspace: Path
    model: str
    rng: random.Random = field(default_factory=random.Random)
    kills: int = 0
    _written: bytes = b""
    """The whole records that were in the journal when the last program died."""

    @property
    def journal(self) -> Path | None:
        """The session's file, once there is something in it."""
        sessions = Path(self.env["XDG_STATE_HOME"]) / "ml-intern" / "sessions"
        found = [path for path in sessions.glob("*/*/*/*.jsonl") if path.stat().st_size]
        assert len(found) <= 1, f"a dead program's session was not taken up: {found}"
        return found[0] if found else None

    def has_written(self, text: bytes) -> bool:
        """Whether `text` is in the file by now."""
        return self.journal is not None and text in self.journal.read_bytes()

    def arguments(self) -> list[str]:
        """Begin the session, or go on with it in one of the two ways."""
        if self.journal is None:
            return ["--output-format", "stream-json", "--model", self.model, "begin"]
        which = self.rng.choice([["--continue"], ["--resume", self.journal.stem]])
        return ["--output-format", "stream-json", *which, "-p", "go on"]

    def kill_at(self, point: KillPoint) -> None:
        """Let a program work up to `point`, kill it, and check what it leaves behind."""
        written_before = len(self._written)

        def reached(program: Headless) -> bool:
            if point.measure == "records":
                return _lines_after(written_before, self.journal) >= point.count
            calls = dict(line.split(": ") for line in Path(f"/proc/{program.pid}/io").read_text().splitlines())
            return int(calls["syscw" if point.measure == "writes" else "syscr"]) >= point.count

        self.kill_when(reached)

    def kill_when(self, reached: Callable[[Headless], bool]) -> None:
        """The same with any other moment."""
        with start_headless(self.arguments(), env=self.env, cwd=self.workspace) as program:
            while not (_has_ended(program) or reached(program)):
                time.sleep(POLL_S)
            program.signal_group(signal.SIGKILL)
            finished = program.wait()
        assert finished.exit_code in (-signal.SIGKILL, 0), finished.stderr
        self.kills += finished.exit_code != 0
        self._check_left_behind(finished.stdout)
        if self._written and self.rng.random() < 0.5:
            self._tear()

    def _check_left_behind(self, stdout: str) -> None:
        """What the last program had written is still there, and what the dead one had told is written."""
        content = _content(self.journal)
        whole = content[: content.rfind(b"\n") + 1]
        assert whole.startswith(self._written), "records were lost or changed"
        told = [json.loads(line) for line in stdout.splitlines(keepends=True) if line.endswith("\n")]
        if told:
            check_turn_grammar(told, finished=False)
        new = [json.loads(line) for line in whole[len(self._written) :].splitlines()]
        kept = [_named(record["data"]) for record in new if record["kind"] == "event"]
        names = [_named(event) for event in told if event["event_type"] not in NOT_IN_JOURNAL]
        kept = [name for name in kept if name[0] not in NOT_IN_JOURNAL]
        assert kept[: len(names)] == names, "the world was told what the journal does not know"
        self._written = whole

    def _tear(self) -> None:
        """The record in flight, of which a part had reached the disk."""
        assert self.journal is not None
        record = b'{"v":1,"seq":999,"ts":"2026-01-02T03:04:05.678Z","kind":"message","data":{"role":"user"'
        with self.journal.open("ab") as file:
            file.write(record[: self.rng.randint(1, len(record))])

    def finish(self) -> Finished:
        """Let a program work to the end, and check the whole session."""
        with start_headless(self.arguments(), env=self.env, cwd=self.workspace) as program:
            finished = program.wait()
        assert finished.exit_code == 0, finished.stderr
        self._check_left_behind(finished.stdout)
        check_turn_grammar(finished.events())
        (end,) = [event for event in finished.events() if event["event_type"] == "turn_complete"]
        assert end["data"]["final_response"] == ANSWER
        return finished

    def fates(self) -> dict[str, str]:
        """By call id, what history says of it: `unknown`, `not run`, or `finished`. Checks history on the way."""
        assert self.journal is not None
        restored = restore(self.journal)
        check_history(restored.messages)
        assert not restored.unfinished
        results = [message for message in restored.messages if message.role == "tool"]
        return {message.tool_call_id or "": _fate(message.content or "") for message in results}

    def check_traces(self) -> None:
        """What history says of the calls is true, and none has run twice."""
        fates = self.fates()
        assert fates.keys() == {f"{tool}_{step}" for tool in ("bash", "write") for step in range(STEPS)}
        for call_id, fate in fates.items():
            trace = self.workspace / f"{call_id}.txt"
            if fate == "finished":
                assert trace.read_text().strip() == f"trace of {call_id}"
            elif fate == "not run":
                assert not trace.exists(), f"{call_id} ran, though history says that it did not"
        lines = (self.workspace / "log.txt").read_text().splitlines() if fates else []
        assert len(lines) == len(set(lines)), f"a call ran twice: {lines}"


def write_script(path: Path, steps: Sequence[dict[str, Any]] | None = None) -> str:
    """Write a script of `steps` and an answer that is given to whoever asks again; returns its model id."""
    answers = _steps() if steps is None else steps
    lines = [{"goes_on": True}, *answers, *[{"text": ANSWER}] * 8]
    path.write_text("\n".join(map(json.dumps, lines)))
    return f"replay/{path}"


def _steps() -> list[dict[str, Any]]:
    return [{"text": f"Step {step}.", "tool_calls": [_bash_call(step), _write_call(step)]} for step in range(STEPS)]


def _bash_call(step: int) -> dict[str, Any]:
    command = f"echo {step} >> log.txt; echo trace of bash_{step} > bash_{step}.txt"
    return {"id": f"bash_{step}", "name": "bash", "arguments": {"command": command}}


def _write_call(step: int) -> dict[str, Any]:
    arguments = {"path": f"write_{step}.txt", "content": f"trace of write_{step}\n"}
    return {"id": f"write_{step}", "name": "write", "arguments": arguments}


def _fate(result: str) -> str:
    if "guard: outcome_unknown" in result:
        return "unknown"
    return "not run" if "guard: not_executed" in result else "finished"


def _named(event: Mapping[str, Any]) -> tuple[str, str | None]:
    return event["event_type"], event["data"].get("tool_call_id")


def _content(path: Path | None) -> bytes:
    return path.read_bytes() if path is not None else b""


def _lines_after(start_bytes: int, path: Path | None) -> int:
    if path is None:
        return 0
    with path.open("rb") as file:
        file.seek(start_bytes)
        return file.read().count(b"\n")


def _has_ended(program: Headless) -> bool:
    """Whether the process is over; it is not reaped by asking."""
    return os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
