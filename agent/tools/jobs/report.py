"""What is told of work that was started, goes on, or has ended."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from agent.compute.durations import in_words
from agent.light_dataclass import dataclass
from agent.protocol.compute import Kind, Running, Stage
from agent.protocol.money import format_usd
from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.jobs.money_words import lasted, per_hour
from agent.tools.output import HEAD_CHARS, TAIL_CHARS, excerpt, last_lines

NOUNS: dict[Kind, str] = {"job": "Job", "sandbox": "Sandbox", "process": "Process"}

_ENDED: dict[Stage, str] = {
    "completed": "completed",
    "failed": "FAILED",
    "canceled": "was cancelled",
    "gone": "is gone: the place does not know it (any more)",
}
_INSTALLED = re.compile(r"\s*Installed \d+ packages? in [\d.]+\s*m?s\s*")
_INSTALLS_CUT = "[installs truncated]\n"
_INSTALLS_WITHIN_LINES = 2_000
"""An install later than that is the script's own, and what came before it is its output."""
_LINES_WITHOUT_A_FILE = 2_000


# --- the output ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Output:
    """Beginning and end of what work has printed; `tail` follows `head` at once if nothing `is_cut`."""

    head: str
    tail: str
    total_chars: int
    lines: int

    @property
    def is_cut(self) -> bool:
        """Whether the middle is missing."""
        return self.total_chars > len(self.head) + len(self.tail)


def collected(lines: Iterable[str]) -> Output:
    """Beginning and end of `lines` (with their line ends), in bounded memory; without what installing had to say."""
    head, tail, tail_chars, total_chars = "", deque[str](), 0, 0
    number, is_installed = 0, False
    for number, line in enumerate(lines, start=1):
        piece = line
        if not is_installed and number <= _INSTALLS_WITHIN_LINES and _INSTALLED.fullmatch(line):
            is_installed = True
            head, piece, tail_chars, total_chars = "", _INSTALLS_CUT, 0, 0
            tail.clear()
        total_chars += len(piece)
        room = HEAD_CHARS - len(head)
        head, piece = head + piece[:room], piece[room:]
        tail.append(piece)
        tail_chars += len(piece)
        if tail_chars > 4 * TAIL_CHARS:
            kept = "".join(tail)[-TAIL_CHARS:]
            tail, tail_chars = deque([kept]), len(kept)
    return Output(head, "".join(tail)[-TAIL_CHARS:], total_chars, number)


def _collected_file(path: Path) -> Output:
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        return collected(file)


async def output_of(session: ToolSession, running: Running) -> Output:
    """What `running` has printed so far."""
    if running.log_path is not None:
        try:
            return await asyncio.to_thread(_collected_file, running.log_path)
        except OSError:
            pass  # the desk still has the last of it
    text = await session.compute.log_tail(running.lease_id, _LINES_WITHOUT_A_FILE)
    return collected(text.splitlines(keepends=True))


def _shown(output: Output, log_path: Path | None) -> str:
    if not output.is_cut:
        whole = f"{output.head}{output.tail}".rstrip("\n")
        where = f"\n\n[{output.lines:,} lines; also in {log_path}]" if log_path is not None and whole else ""
        return f"{whole or '(no output)'}{where}"
    total = f"{output.total_chars:,} characters in {output.lines:,} lines"
    trouble = "only the end was kept" if log_path is None else ""
    return excerpt(output.head, output.tail, total=total, kept=log_path, trouble=trouble, who="work")


# --- the words -------------------------------------------------------------------------------------------------------


def title(running: Running) -> str:
    """`Job 68f… (train.py) on a10g-large`."""
    where = "" if running.kind == "process" else f" on {running.flavor}"
    return f"{NOUNS[running.kind]} {running.handle.id} ({running.name}){where}"


def about(running: Running, text: str) -> str:
    """`text`, with what it is about before it where it does not say that itself."""
    return text if running.handle.id in text else f"{title(running)}: {text}"


def started(running: Running, notes: Iterable[str]) -> ToolResult:
    """The handle of work that nobody waits for."""
    cost = f", {per_hour(running.usd_per_hour)}" if running.kind != "process" else ""
    limit = f", at most {in_words(running.timeout_s)}" if running.timeout_s else ""
    lines = [
        f"Started: {title(running)}{cost}{limit}.",
        *_link(running),
        *notes,
        f"It goes on by itself. Word of it comes by itself, too (its end, errors, metrics): go on with other work, or "
        f'use the operation `wait` with job_id="{running.handle.id}"; no need to look at `logs` again and again.',
    ]
    return ToolResult("\n".join(lines), display=f"started: {title(running)}{cost}")


async def still_running(session: ToolSession, running: Running, why: str) -> ToolResult:
    """What a `wait` returns that ended before the work did."""
    text = (await session.compute.log_tail(running.lease_id, 40)).strip("\n")
    head = f"{title(running)} is {running.status.stage}; {why}."
    return ToolResult(
        "\n".join([head, *_link(running), "", session.scrub(text) or "(no output yet)"]), display=f"{head} It goes on."
    )


async def finished(session: ToolSession, running: Running, notes: Iterable[str] = ()) -> ToolResult:
    """The result of work that is over: ok only if it completed."""
    output = await output_of(session, running)
    is_ok = running.status.stage == "completed"
    head = _ending(running)
    shown = session.scrub(_shown(output, running.log_path))
    tip = None if is_ok else advice(f"{running.status.message or ''}\n{output.head[-2_000:]}{output.tail}")
    lines = [head, *_link(running), *notes, "", shown, *([f"\n[{tip}]"] if tip else [])]
    display = f"{head}\n{last_lines(session.scrub(output.head + output.tail))}".rstrip()
    return ToolResult("\n".join(lines), ok=is_ok, display=display)


def _ending(running: Running) -> str:
    status = running.status
    spent_s = status.billed_s
    if spent_s is None and status.started_at is not None and status.ended_at is not None:
        spent_s = (status.ended_at - status.started_at).total_seconds()
    said = f" ({status.message})" if status.message and status.stage != "completed" else ""
    cost = f", {format_usd(running.cost_usd)}" if running.cost_usd else ""
    return f"{title(running)} {_ENDED.get(status.stage, status.stage)}{said}{lasted(spent_s)}{cost}."


def _link(running: Running) -> list[str]:
    return [running.handle.url] if running.handle.url else []


_OUT_OF_MEMORY = (
    "The GPU's memory was not enough: halve the batch size and double gradient accumulation (the same effective "
    "batch), turn gradient checkpointing on, or take hardware with more memory. Do not change the method or the "
    "sequence length without asking the person."
)
_ADVICE = tuple(
    (re.compile(pattern, re.IGNORECASE), text)
    for pattern, text in (
        (r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|ALLOC_FAILED", _OUT_OF_MEMORY),
        (
            r"\bOOMKilled|out of memory|exit(ed)? (code|status):? 137\b|^Killed$",
            "The machine's memory was not enough: stream the data or load less at once, or take hardware with more.",
        ),
        (
            r"\btime(d)? ?out\b.{0,200}\bjob\b|\bjob\b.{0,200}\btime(d)? ?out\b|timeout exceeded"
            r"|exceeded .{0,200}timeout",
            "The time limit ended it: go on from the last checkpoint with a longer `timeout`.",
        ),
        (
            r"ModuleNotFoundError: No module named '([\w.]+)'",
            "A package is missing: add it to `dependencies` (its PyPI name may differ).",
        ),
        (
            r"GatedRepoError|gated repo|awaiting a review",
            "The repository is gated: the person has to accept its terms on its page first.",
        ),
        (
            r"401 Client Error|403 Client Error|Invalid (username|user token)|not authorized",
            "The Hub refused the token: the person should check what it may do.",
        ),
        (
            r"No space left on device",
            "The job's disk is full: keep fewer checkpoints (save_total_limit), or stream the data.",
        ),
        (
            r"\buv: (command )?not found|exit(ed)? (code|status):? 127\b",
            "The image has no uv: leave `image` out for scripts, or use `command`.",
        ),
    )
)


def advice(text: str) -> str | None:
    """What usually helps against the failure that `text`, the end of a log, tells of; None if it is none of these."""
    return next((tip for pattern, tip in _ADVICE if pattern.search(text)), None)
