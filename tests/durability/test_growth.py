"""What a turn costs the disk does not depend on how many turns came before it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from agent.protocol.operations import OpType
from agent.protocol.tools import ToolResult, ToolSpec
from tests.unit.core.loop import Loop, call, calls, running

TURNS = 100
EARLY, LATE = slice(10, 30), slice(80, 100)

ACCOUNT = Path("/proc/self/io")
pytestmark = pytest.mark.skipif(not ACCOUNT.exists(), reason="only Linux tells a process what it has read and written")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What this process has read and written so far, to and from anything: the kernel's own account."""

    read_bytes: int
    written_bytes: int
    reads: int
    writes: int

    @classmethod
    def now(cls) -> Self:
        counts = dict(line.split(": ") for line in ACCOUNT.read_text().splitlines())
        return cls(*(int(counts[name]) for name in ("rchar", "wchar", "syscr", "syscw")))


async def _look(arguments: dict[str, Any], _session: object, _call_id: str) -> ToolResult:
    return ToolResult(f"{arguments['n']:04} " * 400)


LOOK = ToolSpec("look", "Looks.", {"type": "object", "properties": {"n": {"type": "integer"}}}, _look)


def script(turns: int) -> list[dict[str, Any]]:
    """Turns of two steps: two calls, and an answer in pieces, which are journalled as one."""
    answers: list[dict[str, Any]] = []
    for number in range(turns):
        looks = (call("look", {"n": number}), call("look", {"n": number + turns}))
        answers += [calls(*looks, text="I look."), {"text": ["It is ", "as it ", "was. "] * 20}]
    return answers


def journal(loop: Loop) -> Path:
    assert loop.session.record.journal is not None
    return loop.session.record.journal.path


async def test_a_hundred_turns_write_little_more_than_the_journal_holds(tmp_path: Path) -> None:
    async with running(tmp_path, script(TURNS + 1), tools=[LOOK]) as loop:
        await loop.turn("first")  # Python may still compile and cache a module or two
        path, size_bytes, before = journal(loop), journal(loop).stat().st_size, Traffic.now()
        for number in range(TURNS):
            await loop.turn(f"turn {number:04}")
        await loop.operate(OpType.RENAME, title="grown")  # it comes after everything that the last turn still did
        written_bytes = Traffic.now().written_bytes - before.written_bytes
        assert written_bytes <= 1.3 * (path.stat().st_size - size_bytes)


async def test_a_late_turn_reads_and_writes_no_more_than_an_early_one(tmp_path: Path) -> None:
    traffic, sizes = [Traffic.now()], [0]
    async with running(tmp_path, script(TURNS), tools=[LOOK]) as loop:
        for number in range(TURNS):
            await loop.turn(f"turn {number:04}")
            traffic.append(Traffic.now())
            sizes.append(journal(loop).stat().st_size)
    for name in ("read_bytes", "written_bytes", "reads", "writes"):
        totals = [getattr(moment, name) for moment in traffic]
        early, late = _per_turn(totals, EARLY), _per_turn(totals, LATE)
        assert late <= 1.05 * early, f"{name}: {early:.0f} a turn at first, {late:.0f} in the end"
    assert _per_turn(sizes, LATE) <= 1.01 * _per_turn(sizes, EARLY)


def _per_turn(totals: list[int], turns: slice) -> float:
    return (totals[turns.stop] - totals[turns.start]) / (turns.stop - turns.start)


async def test_whatever_happens_the_journal_only_grows_at_its_end(tmp_path: Path) -> None:
    summary = {"when": "^An agent for machine-learning", "text": "## State\nlooked"}
    async with running(tmp_path, [summary, *script(8)], tools=[LOOK], context_window=12_000) as loop:
        content = b""
        for operation in (None, OpType.COMPACT, None, OpType.UNDO, None, OpType.RENAME, None, None):
            await (loop.turn() if operation is None else loop.operate(operation))
            grown = journal(loop).read_bytes()
            assert grown.startswith(content)
            assert len(grown) > len(content)
            content = grown
