"""`ml-intern gc`: ends what runs under expired leases, or what the person names."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from agent.cli.exit_codes import ExitCode
from agent.cli.ps_command import hardware_word, named, unreadable_lines
from agent.cli.sessions_views import as_json as json_text
from agent.compute.leases import Lease, LeaseStore
from agent.compute.sweep import Swept, sweep
from agent.protocol.compute import ComputeBackend, ComputeError
from agent.ui.sanitize import clip

PATIENCE_S = 60.0


class _WrongIdError(Exception):
    """What was named is not there, or not one thing."""


async def run_gc(
    state_dir: Path,
    backends: Mapping[str, ComputeBackend],
    out: TextIO,
    *,
    ids: Sequence[str],
    everything: bool,
    dry_run: bool,
    as_json: bool,
    now: datetime,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> int:
    """End what runs under expired leases whose program is gone; or these `ids` (beginnings of the leases' or of the
    places' own), or `everything` that was started from this machine, whatever its age. Returns the exit code: 1 where
    something could not be ended."""
    if ids and everything:
        return _complain("say which ones, or --all, not both", ExitCode.USAGE)
    store = LeaseStore(state_dir)
    try:
        leases = await asyncio.to_thread(store.all)
        only = _chosen(leases, ids, everything)
        done = await sweep(
            store,
            backends,
            now=now,
            only=only,
            force=only is not None,
            dry_run=dry_run,
            patience_s=PATIENCE_S,
            sleep=sleep,
        )
        left = [lease for lease in await asyncio.to_thread(store.all) if lease.state != "ended"]
        unreadable = await asyncio.to_thread(unreadable_lines, store)
    except _WrongIdError as error:
        return _complain(str(error), ExitCode.USAGE)
    except ComputeError as error:
        return _complain(str(error), ExitCode.ERROR)
    except OSError as error:
        return _complain(f"the leases in {state_dir} cannot be read ({error.strerror})", ExitCode.ERROR)
    _show(done, out, as_json=as_json, left=len(left))
    for line in unreadable:
        _complain(line, ExitCode.ERROR)
    has_failed = any(swept.action == "kept" for swept in done) and not dry_run
    return ExitCode.ERROR if has_failed or unreadable else ExitCode.OK


def _chosen(leases: Sequence[Lease], ids: Sequence[str], everything: bool) -> frozenset[str] | None:
    """The ids of the leases that the person means; None: those that are expired."""
    if everything:
        return frozenset(lease.id for lease in leases if lease.owner.host == socket.gethostname())
    return frozenset(_meant(leases, wanted) for wanted in ids) if ids else None


def _meant(leases: Sequence[Lease], wanted: str) -> str:
    found = [lease for lease in leases if wanted and any(name.startswith(wanted) for name in _names(lease))]
    exact = [lease for lease in found if wanted in _names(lease)]
    match exact or found:
        case [lease]:
            return lease.id
        case []:
            raise _WrongIdError(f"nothing here is called {clip(wanted, 60)!r}; 'ml-intern ps' lists what runs")
        case several:
            raise _WrongIdError(
                f"{clip(wanted, 60)!r} may be {', '.join(map(named, several[:5]))}; give more of the id"
            )


def _names(lease: Lease) -> tuple[str, ...]:
    return (lease.id,) if lease.handle is None else (lease.id, lease.handle.id)


def _show(done: Sequence[Swept], out: TextIO, *, as_json: bool, left: int) -> None:
    """`left`: how many leases there are still on what is not known to be over."""
    if as_json:
        print(json_text([_swept_json(swept) for swept in done]), file=out)
        return
    for swept in done:
        print(f"{swept.action + ':':<8} {named(swept.lease)}: {clip(swept.text, 1_000)}", file=out)
    if not done and left:
        are = "1 is known, and it is not expired" if left == 1 else f"{left} are known, and none of them is expired"
        text = f"Nothing to end: {are}, or its program still runs."
        print(f"{text} 'ml-intern ps' lists what runs, 'ml-intern gc ID' ends one.", file=out)
    elif not done:
        print("Nothing to end.", file=out)


def _swept_json(swept: Swept) -> dict[str, Any]:
    handle = swept.lease.handle
    facts = {name: getattr(swept.lease, name) for name in _SHOWN}
    facts["flavor"] = hardware_word(swept.lease)
    return facts | {"action": swept.action, "text": swept.text, "url": handle.url if handle else None}


_SHOWN = ("id", "kind", "name", "backend", "namespace", "flavor", "session_id", "usd_per_hour")


def _complain(text: str, code: ExitCode) -> ExitCode:
    print(f"ml-intern: {clip(text, 1_000)}", file=sys.stderr)
    return code
