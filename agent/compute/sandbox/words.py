"""What a sandbox is for those who use one: it runs commands and moves bytes. Reading pages and editing stay here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from agent.light_dataclass import dataclass
from agent.protocol.compute import ComputeError

WORK_DIR = "/app"
DEFAULT_TIMEOUT_S = 240
MAX_TIMEOUT_S = 1200
MAX_FILE_BYTES = 64 << 20
"""The largest file, or piece of one, that one read or write moves."""

ABSENT: Literal["absent"] = "absent"
"""For `write(expect=...)`: there must be no such file yet."""


class FileConflict(ComputeError):
    """The file in the sandbox is not what the writer saw; nothing was written."""

    def __init__(self, text: str) -> None:
        super().__init__(text, "conflict")


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a command ended.

    `output` is stdout and stderr as printed, as a terminal would show it in the end; of more than 25,000 characters
    the first 6,250 and the last 18,750 with a note between them (`truncated`). `exit_code` is None where it was ended
    from outside: at its time limit (`timed_out`), for printing too much (`flooded`), or by a kill (`killed`); a
    process that died of a signal has 128 + its number. `spill_path` is a file in the sandbox with all of the output,
    where there is more of it than `output` holds, or will be: `background` processes go on printing there.
    """

    output: str
    exit_code: int | None
    timed_out: bool = False
    spill_path: str | None = None
    truncated: bool = False
    size_bytes: int = 0
    flooded: bool = False
    killed: bool = False
    background: bool = False


@dataclass(frozen=True, slots=True)
class FileStat:
    """What lies at a path, links followed: `path` is where it really is. `sha256` is set where it was asked for."""

    path: str
    kind: Literal["file", "dir", "other"]
    size_bytes: int
    mode: int
    mtime_ns: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What a sandbox says of itself without being asked for a key. `build` names the build that runs, "" if unknown."""

    ok: bool
    build: str = ""


OnOutput = Callable[[str], None]
"""Called on the event loop with pieces of output as they come; of very much output only the latest pieces."""


class Sandbox(Protocol):
    """A machine that is there. All methods raise ComputeError, and end soon when cancelled.

    Relative paths start from its work directory, `~` is its user's home.
    """

    @property
    def id(self) -> str:
        """What the place calls it."""

    @property
    def url(self) -> str | None:
        """A page about it, for people."""

    @property
    def hardware(self) -> str:
        """Its flavour, as far as known; else empty."""

    async def run(
        self,
        command: str,
        *,
        work_dir: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        on_output: OnOutput | None = None,
        call_id: str | None = None,
    ) -> RunResult:
        """Run a shell command. Calls with the same `call_id` are one call: it runs once. Cancelled: it is ended there.

        At most 1,200 s; what it left in the background goes on after it.
        """

    async def start(self, call_id: str, command: str, *, directory: str, timeout_s: float | None = None) -> None:
        """Run a command in the background: output to `directory`/output.log, at its end its code to `directory`/exit.

        One that was started under this `call_id` before is not started again.
        """

    async def stat(self, path: str, *, digest: bool = False) -> FileStat:
        """What lies at `path`; with `digest` a regular file's SHA-256 as well. `not_found` if nothing does."""

    async def read(self, path: str, *, offset: int = 0, limit_bytes: int | None = None) -> bytes:
        """A regular file's bytes from `offset` on.

        Without `limit_bytes` all of them, `bad_request` for more than MAX_FILE_BYTES; with it at most so many.
        """

    async def write(self, path: str, data: bytes, *, expect: str | None = None) -> FileStat:
        """Put `data` at `path`, wholly or not at all, with directories made, links followed, mode and owner kept.

        `expect` is the SHA-256 (hex) of what the writer saw there, or ABSENT, or None for whatever there is.
        Raises FileConflict if it is something else, unless it is `data` already.
        """

    async def exists(self, path: str) -> bool:
        """Whether anything lies at `path`."""

    async def kill(self, call_id: str) -> bool:
        """End one command with all it has started. False if it does not run."""

    async def kill_all(self) -> int:
        """End every command that runs, and say how many. What earlier commands left in the background goes on."""

    async def health(self) -> Health:
        """Whether it answers."""

    async def close(self) -> None:
        """Let go of the connection. The machine goes on."""
