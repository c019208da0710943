"""How long ml-intern takes to start, and which heavy libraries each way of starting it imports. See README.md here.

Run by hand: `uv run python tests/bench/bench_start.py`. Exit code 1 when a promise is broken, 2 when a command does not
run at all.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HEAVY = ("litellm", "fastmcp", "huggingface_hub")
HELP_RATIO_LIMIT = 3.0
TIMEOUT_S = 120


@dataclass
class Candidate:
    """One command to measure. `without` names the libraries it promises not to import."""

    name: str
    argv: list[str]
    without: tuple[str, ...] = ()
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class Run:
    """One finished run. `cpu_s` is user + system time, children included; `problem` says what went wrong."""

    wall_s: float
    cpu_s: float
    stderr: str
    problem: str


def run_once(argv: list[str], environment: dict[str, str]) -> Run:
    """Run `argv` in an empty directory, with no input, and take its times from the kernel's own account (wait4)."""
    with tempfile.TemporaryDirectory(prefix="bench-cwd-") as cwd, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        try:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            return Run(0.0, 0.0, "", f"cannot be started: {error}")
        status, usage, timed_out = wait(process.pid)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        stderr = errors.read().decode("utf-8", "replace")
    problem = f"no end after {TIMEOUT_S} s" if timed_out else ""
    if not problem and process.returncode != 0:
        # The last line that -X importtime did not write.
        lines = [line for line in stderr.splitlines() if line.strip() and not line.startswith("import time:")]
        problem = f"exit code {process.returncode}: {lines[-1] if lines else '(nothing on stderr)'}"
    return Run(wall_s, usage.ru_utime + usage.ru_stime, stderr, problem)


def wait(pid: int) -> tuple[int, resource.struct_rusage, bool]:
    """`os.wait4` with a time limit: an alarm kills the process group of `pid` after `TIMEOUT_S`."""
    timed_out = False

    def give_up(_number: int, _frame: object) -> None:
        nonlocal timed_out
        timed_out = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(TIMEOUT_S)
    try:
        _, status, usage = os.wait4(pid, 0)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    return status, usage, timed_out


def measure(candidates: list[Candidate], runs: int, environment: dict[str, str]) -> None:
    """One unmeasured round warms caches and finds commands that do not work; then rounds A B C, A B C, ..."""
    for round_number in range(runs + 1):
        for candidate in candidates:
            if candidate.problem:
                continue
            run = run_once(candidate.argv, environment)
            candidate.problem = run.problem
            if round_number > 0 and not run.problem:
                candidate.wall_s.append(run.wall_s)
                candidate.cpu_s.append(run.cpu_s)


def imported(candidate: Candidate, environment: dict[str, str]) -> set[str]:
    """Which of `HEAVY` one run imports, in whatever thread, by Python's own record (`-X importtime`)."""
    argv = [candidate.argv[0], "-X", "importtime", *candidate.argv[1:]]
    lines = run_once(argv, environment).stderr.splitlines()
    modules = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    return {name for name in HEAVY if any(m == name or m.startswith(f"{name}.") for m in modules)}


def milliseconds(values: list[float]) -> str:
    """Median, minimum and maximum of values in seconds, in milliseconds."""
    return f"{statistics.median(values) * 1000:8.0f} {min(values) * 1000:8.0f} {max(values) * 1000:8.0f}"


def report_times(candidates: list[Candidate]) -> list[str]:
    """Print the table of times; return the broken promises."""
    base = candidates[0]
    broken: list[str] = []
    print(
        f"{'':40} {'wall ms: median':>15} {'min':>4} {'max':>8}   {'cpu ms: median':>14} {'min':>4} {'max':>8}   ratio"
    )
    for candidate in candidates:
        if candidate.problem or not candidate.wall_s:
            print(f"{candidate.name:40} {candidate.problem}")
            continue
        row = f"{candidate.name:40} {milliseconds(candidate.wall_s)} {milliseconds(candidate.cpu_s)}"
        if not base.wall_s:
            print(row)
            continue
        ratio = statistics.median(candidate.wall_s) / statistics.median(base.wall_s)
        print(f"{row}   {ratio:5.2f}")
        if candidate.name.endswith("--help") and ratio > HELP_RATIO_LIMIT:
            broken.append(f"{candidate.name}: {ratio:.2f} times the base, promised at most {HELP_RATIO_LIMIT:.0f}")
    return broken


def report_imports(candidates: list[Candidate], environment: dict[str, str]) -> list[str]:
    """Print which heavy libraries each command imports; return the broken promises."""
    broken: list[str] = []
    print(f"\n{'imports':40} " + " ".join(f"{name:>16}" for name in HEAVY))
    for candidate in candidates:
        if candidate.problem:
            continue
        found = imported(candidate, environment)
        cells = []
        for name in HEAVY:
            bad = name in found and name in candidate.without
            cells.append(("yes" if name in found else "no") + (" (!)" if bad else ""))
            if bad:
                broken.append(f"{candidate.name} imports {name}")
        print(f"{candidate.name:40} " + " ".join(f"{cell:>16}" for cell in cells))
    return broken


def clean_environment(home: Path) -> dict[str, str]:
    """A fresh home, no keys: what the command finds on a new machine."""
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV") if name in os.environ
    }
    xdg = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "STATE", "DATA", "CACHE")}
    return kept | xdg | {"HOME": str(home), "NO_COLOR": "1"}


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description="Measure how ml-intern starts.")
    parser.add_argument("--runs", type=int, default=10, help="measured rounds (default: 10)")
    options = parser.parse_args()
    python = sys.executable
    beside_python = Path(python).parent / "ml-intern"
    script = str(beside_python) if beside_python.exists() else shutil.which("ml-intern")
    if script is None:
        print("no ml-intern command beside this Python or on PATH: run `uv sync` first", file=sys.stderr)
        return 2
    # The installed script is a Python file: run through the interpreter, it takes -X importtime as well.
    own = [python, script]
    candidates = [
        Candidate('python -c "import argparse, json"', [python, "-c", "import argparse, json"], HEAVY),
        Candidate("ml-intern --help", [*own, "--help"], HEAVY),
        Candidate("ml-intern --version", [*own, "--version"], HEAVY),
        Candidate('ml-intern --model replay/demo "hi"', [*own, "--model", "replay/demo", "hi"], ("litellm",)),
    ]
    with tempfile.TemporaryDirectory(prefix="bench-home-") as home:
        environment = clean_environment(Path(home))
        measure(candidates, max(options.runs, 1), environment)
        broken = report_times(candidates) + report_imports(candidates, environment)
    for promise in broken:
        print(f"BROKEN: {promise}")
    if any(candidate.problem for candidate in candidates):
        return 2
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
