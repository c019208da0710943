"""The files of the workspace, as `@` offers them: listed in a thread, kept, and refreshed now and then."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from agent.ui.composer.ranking import Candidate, best_matches
from agent.ui.sanitize import visible

logger = logging.getLogger(__name__)

MAX_ENTRIES = 50_000
REFRESH_AFTER_S = 5.0
SHOWN = 50

_LIST_WITHIN_S = 10.0
_FIRST_LIST_S = 3.0
"""So long a search waits for the first list: leaving the program must not wait for a slow disk."""
_CHUNK_BYTES = 1 << 16
_UNLISTED = frozenset({".git", "node_modules", ".venv", "__pycache__", ".cache"})
# A file monitor that the repository's own configuration names must not be run for a list of names.
_LIST_COMMAND = ("git", "-c", "core.fsmonitor=false", "ls-files", "-co", "--exclude-standard", "-z")


class FileIndex:
    """Fuzzy search over the paths below `workspace`, relative to it, with `/`; directories end with `/`.

    What git ignores is left out where there is git, else what is never meant (`.git`, `node_modules`, caches).
    """

    def __init__(
        self, workspace: Path, *, max_entries: int = MAX_ENTRIES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workspace = workspace
        self._max_entries = max_entries
        self._clock = clock
        self._candidates: list[Candidate] = []
        self._listed_at_s = -math.inf
        self._listing = threading.Lock()
        self._is_listed = threading.Event()

    def search(self, query: str, limit: int = SHOWN) -> list[str]:
        """The best `limit` paths for `query`. Blocking, for a thread: the first call waits for the list, if not long.

        Later calls that find the list old answer from it and have it made anew in the background.
        """
        is_old = self._clock() - self._listed_at_s >= REFRESH_AFTER_S
        if is_old and self._listing.acquire(blocking=False):
            threading.Thread(target=self._list_files, name="file index", daemon=True).start()
        self._is_listed.wait(_FIRST_LIST_S)
        return best_matches(query, self._candidates, limit)

    def _list_files(self) -> None:
        """List the files, then let go of the lock that the caller took."""
        try:
            files = _git_files(self._workspace, self._max_entries)
            if files is None:
                walked = _walked_files(self._workspace, self._clock() + _LIST_WITHIN_S, self._clock)
                files = list(islice(walked, self._max_entries))
            paths = _with_directories(files, self._max_entries)
            self._candidates = [(path.lower(), path) for path in paths]
            self._listed_at_s = self._clock()
        finally:
            self._is_listed.set()
            self._listing.release()


def _with_directories(files: Iterable[str], most: int) -> list[str]:
    """`files` and their directories, without names that cannot be typed or shown as they are."""
    paths: dict[str, None] = {}
    for path in files:
        if len(paths) >= most:
            break
        if '"' in path or "\n" in path or visible(path) != path:
            continue
        end = path.find("/")
        while end >= 0:
            paths[path[: end + 1]] = None
            end = path.find("/", end + 1)
        paths[path] = None
    return list(paths)[:most]


def _git_files(workspace: Path, most: int) -> list[str] | None:
    """What git knows of and does not ignore, at most `most`; None where there is no git tree."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        process = subprocess.Popen(
            _LIST_COMMAND,
            cwd=workspace,
            env={**environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        logger.debug("git does not list %s: %s", workspace, error)
        return None
    timer = threading.Timer(_LIST_WITHIN_S, process.kill)
    timer.daemon = True
    timer.start()
    with process:
        assert process.stdout is not None
        listed, entries = bytearray(), 0
        while entries < most and (chunk := process.stdout.read(_CHUNK_BYTES)):
            listed += chunk
            entries += chunk.count(b"\0")
        if entries >= most:
            process.kill()
    timer.cancel()
    if process.returncode and entries < most:
        return None
    names = bytes(listed).split(b"\0")[:-1]
    return list(dict.fromkeys(os.fsdecode(name) for name in names))[:most]


def _walked_files(workspace: Path, until_s: float, clock: Callable[[], float]) -> Iterator[str]:
    for directory, directories, files in os.walk(workspace):
        if clock() >= until_s:
            return
        directories[:] = sorted(name for name in directories if name not in _UNLISTED)
        relative = Path(directory).relative_to(workspace).as_posix()
        prefix = "" if relative == "." else f"{relative}/"
        for name in sorted(files):
            yield prefix + name
