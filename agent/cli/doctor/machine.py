"""Checks of this machine: program, terminal, git, disk, GPU."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent import __version__
from agent.cli.doctor.findings import Finding, Findings
from agent.cli.doctor.place import Place
from agent.config import state_dir
from agent.config_loading import home_dir
from agent.redaction.live import child_environment

COMMAND_TIMEOUT_S = 4.0
NARROW_COLUMNS = 40
WARN_BYTES = 5 * 10**9
PROBLEM_BYTES = 10**9


def program(place: Place) -> Findings:
    """Versions."""
    detail = f"ml-intern {__version__}, Python {platform.python_version()} ({sys.executable}), "
    return [Finding("program", "ok", detail + f"{platform.system()} {platform.release()} {platform.machine()}")]


def terminal(place: Place) -> Findings:
    """What a conversation can use of the terminal."""
    encoding = getattr(place.out, "encoding", None) or "unknown encoding"
    term = place.environ.get("TERM", "")
    if not (place.out.isatty() and place.stdin.isatty()):
        return [Finding("terminal", "ok", f"input or output is no terminal, {encoding}: no conversation, prompts only")]
    size = os.get_terminal_size(place.out.fileno())
    colours = "no colours (NO_COLOR)" if place.environ.get("NO_COLOR") else place.environ.get("COLORTERM") or "colours"
    detail = f"{term or 'TERM is not set'}, {size.columns}x{size.lines}, {encoding}, {colours}"
    if term in {"", "dumb", "unknown"}:
        remedy = "Set TERM to the kind of your terminal, e.g. export TERM=xterm-256color, or use --plain."
        return [Finding("terminal", "warning", detail, "TERM promises no cursor movement and no colours", remedy)]
    if encoding.lower().replace("-", "") != "utf8":
        cause, remedy = f"signs outside {encoding} are shown as look-alikes", "Use a UTF-8 locale: export LANG=C.UTF-8"
        return [Finding("terminal", "warning", detail, cause, remedy)]
    if size.columns < NARROW_COLUMNS:
        return [Finding("terminal", "warning", detail, "lines are hardly readable", "Make the window wider.")]
    return [Finding("terminal", "ok", detail)]


# --- programs ---------------------------------------------------------------------------------------------------------


def git(place: Place) -> Findings:
    """Whether git is there, knows this directory, and knows who commits."""
    if _which("git", place.environ) is None:
        remedy = "Install git (https://git-scm.com/downloads)."
        return [Finding("git", "warning", "not found", "there is no program git on PATH", remedy)]
    version = _output(["git", "--version"], place).stdout.removeprefix("git version ").strip()
    inside = _output(["git", "rev-parse", "--is-inside-work-tree"], place)
    if "dubious ownership" in inside.stderr:
        remedy = f"If you trust it: git config --global --add safe.directory {place.cwd}"
        cause = "this directory belongs to somebody else, so git refuses to work in it"
        return [Finding("git", "warning", version, cause, remedy)]
    detail = f"{version}, {'inside' if inside.stdout.strip() == 'true' else 'not inside'} a work tree"
    keys = ("user.name", "user.email")
    missing = [key for key in keys if not _output(["git", "config", key], place).stdout.strip()]
    if missing:
        remedy = "; ".join(f'git config --global {key} "…"' for key in missing)
        return [Finding("git", "warning", detail, f"{' and '.join(missing)} not set: commits will fail", remedy)]
    return [Finding("git", "ok", detail)]


def gpu(place: Place) -> Findings:
    """NVIDIA GPUs, as nvidia-smi sees them; nothing is imported for it."""
    if _which("nvidia-smi", place.environ) is None:
        return [Finding("gpu", "ok", "no NVIDIA GPU (no nvidia-smi on PATH)")]
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    listed = _output(query, place)
    rows = [[part.strip() for part in line.split(",")] for line in listed.stdout.splitlines() if line.count(",") == 2]
    if listed.returncode or not rows:
        said = (listed.stdout.strip() or listed.stderr.strip() or "it printed nothing").splitlines()[0]
        remedy = "If there is a GPU: reboot after a driver update, or reinstall the NVIDIA driver."
        return [Finding("gpu", "warning", "nvidia-smi does not work", said, remedy)]
    cuda = re.search(r"CUDA Version:\s*([\d.]+)", _output(["nvidia-smi"], place).stdout)
    cards = ", ".join(f"{name} {_gibibytes(memory)}" for name, memory, _ in rows)
    hidden = place.environ.get("CUDA_VISIBLE_DEVICES")
    only = "" if hidden is None else f", CUDA_VISIBLE_DEVICES={hidden or '(empty: none is used)'}"
    return [Finding("gpu", "ok", f"{cards}, driver {rows[0][2]}, CUDA {cuda[1] if cuda else 'unknown'}{only}")]


def _gibibytes(mebibytes: str) -> str:
    return f"{int(mebibytes) / 1024:.0f} GiB" if mebibytes.isdecimal() else mebibytes


def _which(program: str, environ: Mapping[str, str]) -> str | None:
    return shutil.which(program, path=environ.get("PATH", os.defpath))


def _output(command: Sequence[str], place: Place) -> subprocess.CompletedProcess[str]:
    """What a program says, in English; one that hangs or cannot be started says nothing and has failed."""
    environ = child_environment(place.environ) | {"LC_ALL": "C"}
    full = [_which(command[0], environ) or command[0], *command[1:]]
    try:
        return subprocess.run(
            full,
            cwd=place.cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(full, -1, "", f"no answer within {COMMAND_TIMEOUT_S:g} s")
    except OSError as error:
        return subprocess.CompletedProcess(full, -1, "", error.strerror or str(error))


# --- disk -------------------------------------------------------------------------------------------------------------


def disk(place: Place) -> Findings:
    """Room where sessions, work and models are kept."""
    places = {
        "workspace": place.cwd,
        "sessions": state_dir(place.environ),
        "HF cache": hf_cache_dir(place.environ),
    }
    return [_room(name, path, place) for name, path in places.items()]


def hf_cache_dir(environ: Mapping[str, str]) -> Path:
    """Where huggingface_hub keeps downloads."""
    if named := environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named).expanduser()
    if home := environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else home_dir(environ) / ".cache") / "huggingface" / "hub"


def _room(name: str, path: Path, place: Place) -> Finding:
    title = f"disk: {name}"
    existing = next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
    try:
        free = place.free_bytes(existing)
    except OSError as error:
        cause = error.strerror or str(error)
        return Finding(title, "warning", f"{path}: free space is unknown", cause, "Check that the disk is there.")
    detail = f"{free / 1e9:.1f} GB free ({path})"
    if free >= WARN_BYTES:
        return Finding(title, "ok", detail)
    cause = f"less than {(PROBLEM_BYTES if free < PROBLEM_BYTES else WARN_BYTES) / 1e9:.0f} GB are free"
    remedy = f"Make room on the disk of {existing}" + ("; `hf cache prune` helps." if name == "HF cache" else ".")
    return Finding(title, "problem" if free < PROBLEM_BYTES else "warning", detail, cause, remedy)
