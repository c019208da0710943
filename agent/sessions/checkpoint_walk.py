"""A walk over a workspace: within limits, on one file system, never through symlinks, the nearest files first."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import field

from agent.light_dataclass import dataclass
from agent.sessions.checkpoint_states import STOPPED, TEMPORARY_FILE, Limits, State, StoppedError, named

_SKIPPED_NAMES = frozenset(
    {
        *(".git", ".hg", ".svn", ".jj"),
        *("node_modules", "site-packages", ".tox", ".nox", "wandb", "mlruns"),
        *("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".ipynb_checkpoints", ".cache"),
    }
)
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
"""What a Python environment has at its top, whatever its name."""

Look = Callable[[str, os.stat_result], State]


@dataclass(slots=True)
class Listing:
    """What a walk found. A directory that it did not list to the end is `unlisted`, one left out is `skipped`."""

    states: dict[str, State] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_stopped: bool = False
    """By a person, who is waiting."""


def list_tree(root: str, avoided: str, limits: Limits, look: Look, stop: threading.Event) -> Listing:
    """Everything below `root` and `root` itself, but for `avoided` and what can be made again, until `stop` is set.

    `look` tells what a path is that is no directory; time spent there counts for the limit, too. Raises OSError if
    there is no `root`.
    """
    return _Walk(avoided, limits, look, stop, os.lstat(root).st_dev).run(root)


class _Walk:
    def __init__(self, avoided: str, limits: Limits, look: Look, stop: threading.Event, device: int) -> None:
        self._avoided, self._limits, self._look, self._stop, self._device = avoided, limits, look, stop, device
        self._found = Listing()
        self._queue: deque[str] = deque()
        self._elsewhere: list[str] = []
        self._closed: list[str] = []
        self._deadline = time.monotonic() + limits.walk_s

    def run(self, root: str) -> Listing:
        self._found.states[root] = State("unlisted")
        self._queue.append(root)
        cut = None
        while self._queue and not cut:
            directory = self._queue.popleft()
            try:
                cut = self._list(directory)
            except FileNotFoundError:
                self._found.states.pop(directory)
            except OSError:
                self._closed.append(directory)
            except StoppedError:
                self._found.is_stopped, cut = True, STOPPED
        self._found.notes += [cut] if cut else []
        if self._elsewhere:
            self._found.notes.append(f"directories on other file systems: {named(self._elsewhere, root)}")
        if self._closed:
            self._found.notes.append(f"directories that cannot be read: {named(self._closed, root)}")
        return self._found

    def _list(self, directory: str) -> str | None:
        """Look at all in a directory; returns which limit was reached, if one was. Raises OSError, StoppedError."""
        status = os.lstat(directory)
        with os.scandir(directory) as entries:
            for entry in entries:
                if reached := self._limit():
                    return reached
                self._enter(entry)
        self._found.states[directory] = State("directory", mode=stat.S_IMODE(status.st_mode))
        return None

    def _enter(self, entry: os.DirEntry[str]) -> None:
        path = entry.path
        if entry.name.startswith(TEMPORARY_FILE):
            return
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError:
            self._found.states[path] = State("unreadable")
            return
        if not stat.S_ISDIR(status.st_mode):
            self._found.states[path] = self._look(path, status)
        elif path == self._avoided or entry.name in _SKIPPED_NAMES or _is_environment(path):
            self._found.states[path] = State("skipped")
        else:
            self._found.states[path] = State("unlisted")  # until it has been
            (self._queue if status.st_dev == self._device else self._elsewhere).append(path)

    def _limit(self) -> str | None:
        if self._stop.is_set():
            raise StoppedError
        if len(self._found.states) >= self._limits.files:
            return f"a workspace of more than {self._limits.files:,} files: only that many were looked at"
        if time.monotonic() >= self._deadline:
            return f"a workspace that takes longer than {self._limits.walk_s:g} s to look through: only a part was"
        return None


def _is_environment(directory: str) -> bool:
    return any(os.path.lexists(f"{directory}/{mark}") for mark in _ENVIRONMENT_MARKS)
