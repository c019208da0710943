"""How fast ml-intern is, measured against a floor on the same machine: `python -m tests.bench`. See README.md here.

Exit code 0 when every promise is kept, 1 when one is not, 2 when a row could not be measured.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import peers, screen_rows, session_rows, start_rows, turn_rows
from tests.bench.figures import HEADER, PEERS_HEADER, Failed, Row, as_data, cells, lines, markdown
from tests.bench.model_server_process import ModelServer
from tests.bench.rounds import Bench

GROUPS: dict[str, Callable[[Bench], list[Row]]] = {
    "start": start_rows.start,
    "litellm": start_rows.litellm,
    "litellm-forced": start_rows.forced_litellm,
    "turns": turn_rows.turns,
    "help": start_rows.help_text,
    "imports": start_rows.imports,
    "resume": session_rows.resume,
    "list": session_rows.listing,
    "prompt": screen_rows.prompt,
    "stream": screen_rows.stream,
    "echo": screen_rows.echo,
}
"""What is measured together, in this order. The rows of the terminal come last: they need a larger process here."""

PATIENCE_S = 60.0


def main() -> int:
    """Measure, print, judge."""
    options = bench_parser().parse_args()
    began_s = time.monotonic()
    print(f"{machine()}; {options.runs} rounds", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-home-", ignore_cleanup_errors=True) as home, ModelServer() as server:
        bench = Bench(server, Path(home), options.runs, PATIENCE_S)
        rows = [row for name in options.only or GROUPS for row in measured(name, GROUPS[name], bench)]
        beside = list_peers(bench) if options.peers else []
    print(f"measured in {time.monotonic() - began_s:.0f} s\n")
    show = markdown if options.markdown else lines
    for header, table in ((HEADER, rows), (PEERS_HEADER, beside)):
        if table:
            print(*show(table, header), "", sep="\n")
    if options.json:
        data = {"machine": machine(), "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "runs": options.runs}
        Path(options.json).write_text(json.dumps(data | {"rows": [as_data(row) for row in (*rows, *beside)]}, indent=1))
    if any(isinstance(row, Failed) for row in rows):
        return 2
    return 1 if any(isinstance(row, Row) and row.is_met is False for row in rows) else 0


def bench_parser() -> argparse.ArgumentParser:
    """What may be asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=_count, default=5, metavar="N", help="measured rounds (default: 5)")
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), metavar="NAME", help=", ".join(GROUPS))
    parser.add_argument("--peers", action="store_true", help="also the other agents that are found on PATH")
    parser.add_argument("--markdown", action="store_true", help="print tables for a README")
    parser.add_argument("--json", metavar="FILE", help="also write all values to FILE")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


def measured(name: str, group: Callable[[Bench], list[Row]], bench: Bench) -> list[Row | Failed]:
    """The rows of a group; one that says why there are none when something goes wrong: the rest goes on."""
    print(f"{name} …", file=sys.stderr, flush=True)
    rows: list[Row | Failed]
    try:
        rows = [*group(bench)]
    except Exception as error:
        rows = [Failed(name, " ".join(f"{type(error).__name__}: {error}".split())[:300])]
    for row in rows:
        print(*filter(None, map(str.strip, cells(row))), sep="  ", file=sys.stderr, flush=True)
    return rows


def list_peers(bench: Bench) -> list[Row | Failed]:
    """The rows of the peers that are here; those that are not are named."""
    rows: list[Row | Failed] = []
    absent = [peer.name for peer in peers.PEERS if not peers.is_there(peer)]
    if absent:
        print(f"not on PATH, and left out: {', '.join(absent)}")
    for peer in peers.PEERS:
        if peers.is_there(peer):
            rows += measured(peer.name, functools.partial(peers.first_request, peer), bench)
            if peer.tool:
                rows += measured(f"{peer.name}-turns", functools.partial(peers.many_turns, peer), bench)
    return rows


def machine() -> str:
    """Where the numbers come from."""
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
