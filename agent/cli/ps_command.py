"""`ml-intern ps`: what runs outside of this program, and what it costs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from agent.cli.exit_codes import ExitCode
from agent.cli.sessions_views import as_json as json_text
from agent.compute.leases import Lease, LeaseStore
from agent.compute.sweep import Standing, listing
from agent.protocol.compute import ComputeBackend
from agent.protocol.money import format_usd
from agent.ui.sanitize import clip
from agent.ui.tool_lines import elapsed_text

WIDTH = 80
_ID_WIDTH = 12
_COLUMNS = (("id", _ID_WIDTH), ("kind", 7), ("stage", 9), ("hardware", 14), ("age", 9), ("$/h", 7), ("so far", 9))
_NUMBERS = frozenset({"age", "$/h", "so far"})


async def run_ps(
    state_dir: Path, backends: Mapping[str, ComputeBackend], out: TextIO, *, as_json: bool, now: datetime
) -> int:
    """List what runs under this user's leases, as a table or as a JSON list; returns the exit code. Changes nothing."""
    store = LeaseStore(state_dir)
    try:
        rows = await listing(store, backends, now)
        unreadable = await asyncio.to_thread(unreadable_lines, store)
    except OSError as error:
        print(f"ml-intern: the leases in {state_dir} cannot be read ({error.strerror})", file=sys.stderr)
        return ExitCode.ERROR
    if as_json:
        print(json_text([row_json(row, now) for row in rows]), file=out)
    elif rows:
        print(table_text(rows, now), file=out)
    elif not unreadable:
        print("Nothing runs: no job, sandbox or process of yours is known here.", file=out)
    for line in unreadable:
        print(f"ml-intern: {clip(line, 1_000)}", file=sys.stderr)
    return ExitCode.ERROR if unreadable else ExitCode.OK


def unreadable_lines(store: LeaseStore) -> list[str]:
    """For each lease that cannot be read: which file, why, and what to do. Reads files. Raises OSError."""
    return [f"{path} cannot be read ({_why(path)}). {_UNREADABLE_STEP}" for path in store.unreadable()]


_UNREADABLE_STEP = "It tells of something that may run: see to that yourself, then remove the file."


def _why(path: Path) -> str:
    try:
        path.read_bytes()
    except OSError as error:
        return error.strerror or type(error).__name__
    return "damaged, or of another version"


def table_text(rows: Sequence[Standing], now: datetime) -> str:
    """Two to four lines for each, the first with aligned columns, at most 80 wide; the last line is the sum."""
    heading = tuple(name for name, _ in _COLUMNS)
    cells = [_cells(row, now) for row in rows]
    widths = [
        min(widest, max(map(len, column))) for (_, widest), *column in zip(_COLUMNS, heading, *cells, strict=True)
    ]
    lines = [_aligned(heading, widths)]
    for row, shown in zip(rows, cells, strict=True):
        lines.append(_aligned(shown, widths))
        lines += [" " * (_ID_WIDTH + 2) + clip(text, 300) for text in _more(row)]
    return "\n".join([*lines, total_text(rows)])


def total_text(rows: Sequence[Standing]) -> str:
    """What all that may run costs in an hour, and how to end it."""
    prices = [row.lease.usd_per_hour for row in rows if row.may_run]
    unknown = prices.count(None)
    total = f"{format_usd(sum(price for price in prices if price is not None))} an hour"
    if unknown:
        total += f", and {unknown} whose price is not known"
    return f"Together {total}. 'ml-intern gc ID' ends one, 'ml-intern gc' all expired."


def _cells(row: Standing, now: datetime) -> tuple[str, ...]:
    lease = row.lease
    return (
        lease.id,
        lease.kind,
        "unknown" if row.status is None else row.status.stage,
        hardware_word(lease),
        elapsed_text((now - lease.created_at).total_seconds()),
        _usd(lease.usd_per_hour) if row.may_run else "-",
        format_usd(0.0) if row.so_far_usd == 0 and lease.usd_per_hour != 0 else _usd(row.so_far_usd),
    )


def hardware_word(lease: Lease) -> str:
    """The flavour; "here" for what runs on this machine."""
    return "here" if lease.kind == "process" else lease.flavor


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = []
    for (name, _), cell, width in zip(_COLUMNS, cells, widths, strict=True):
        text = clip(cell, width)
        aligned.append(text.rjust(width) if name in _NUMBERS else text.ljust(width))
    return "  ".join(aligned).rstrip()


def _more(row: Standing) -> list[str]:
    """Where it is, whose it is, and what is wrong with it."""
    lease, handle = row.lease, row.handle
    url = (handle.url if handle is not None else None) or ""
    place_id = handle.id if handle is not None and handle.id != lease.id and handle.id not in url else None
    where = " ".join(part for part in (lease.backend, lease.namespace, place_id) if part)
    lines = [f"{lease.name}, {where}, session {lease.session_id[:8]}", url, ", ".join(_marks(row))]
    return [line for line in lines if line]


def _marks(row: Standing) -> list[str]:
    marks = {"its program is gone": row.is_orphan, "expired": row.is_expired}
    words = [text for text, is_so in marks.items() if is_so]
    return words if row.problem is None else [*words, f"unknown ({row.problem})"]


def _usd(usd: float | None) -> str:
    return "?" if usd is None else "free" if usd == 0 else format_usd(usd)


def row_json(row: Standing, now: datetime) -> dict[str, Any]:
    """The facts of one, without what it takes to reach it. Times are ISO 8601, UTC; what is not known is null."""
    lease, handle, status = row.lease, row.handle, row.status
    started_at = status.started_at if status is not None else None
    return {
        "id": lease.id,
        "kind": lease.kind,
        "name": lease.name,
        "backend": lease.backend,
        "place_id": handle.id if handle else None,
        "namespace": lease.namespace,
        "hardware": hardware_word(lease),
        "account": lease.account or None,
        "stage": "unknown" if status is None else status.stage,
        "created_at": lease.created_at.isoformat(),
        "started_at": started_at.isoformat() if started_at else None,
        "expires_at": lease.expires_at.isoformat(),
        "age_s": round((now - lease.created_at).total_seconds()),
        "usd_per_hour": lease.usd_per_hour,
        "so_far_usd": row.so_far_usd,
        "session_id": lease.session_id,
        "url": handle.url if handle else None,
        "is_orphan": row.is_orphan,
        "is_expired": row.is_expired,
        "problem": row.problem,
    }


def named(lease: Lease) -> str:
    """A lease in one short line: `1a2b3c4d5e6f job train.py on a10g-large`."""
    where = "" if lease.kind == "process" else f" on {lease.flavor}"
    return clip(f"{lease.id} {lease.kind} {lease.name}{where}", WIDTH)
