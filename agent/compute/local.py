"""Work on this machine: detached processes, which go on when this program has ended, and cost nothing.

Each has a private directory, `<state>/work/<lease id>/`, and a supervisor (`local_runner`) that keeps its time limit,
collects its output and writes down how it ended. Any process of this program finds it again by that directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.compute.local_runner import CANCELED_FILE, EXIT_FILE, OUTPUT_FILE, PROCESS_FILE, WORK_VARIABLE
from agent.compute.processes import ProcessTree, boot_id, start_of
from agent.compute.unbroken import outlast
from agent.hub.account import in_daemon_thread
from agent.light_dataclass import dataclass
from agent.protocol.compute import ComputeError, Ending, Handle, Kind, LogLine, Price, Stage, Status, Work
from agent.protocol.private_files import make_private_dir

GRACE_S = 10.0
"""So long after TERM comes KILL: time to write a checkpoint."""
_PATIENCE_S = 5.0
"""So much longer than the grace a supervisor may take to end its work and write that down."""
_ANSWER_S = 20.0
_STEP_S = 0.02
_KEPT_S = 31 * 86_400.0
_BEGINS_WITHIN_S = 60.0
"""A directory without a record for so long: its supervisor has never begun, and never will (see START_WITHIN_S)."""
_POLLS_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_CHUNK_BYTES = 1 << 20
_LONGEST_LINE_BYTES = 1 << 16
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")
_ROOT = str(Path(__file__).parents[2])
_START_RUNNER = (
    "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
    "from agent.compute.local_runner import main; main(Path(sys.argv[2]))"
)


class LocalProcesses:
    """The backend "local". Every flavour is this machine as it is.

    `child_env` is the environment that work starts from; its own variables and secrets come on top. A work's command
    and all that it starts end together: what it leaves in the background when it is over is ended as well.
    """

    def __init__(
        self,
        state_dir: Path,
        child_env: Mapping[str, str],
        *,
        grace_s: float = GRACE_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._work_dir = state_dir.absolute() / "work"
        self._child_env = child_env
        self._grace_s = grace_s
        self._sleep = sleep
        self._now = now

    @property
    def name(self) -> str:
        """The word by which leases and arguments name it."""
        return "local"

    @property
    def kind(self) -> Kind:
        """What it makes."""
        return "process"

    async def account(self) -> str:
        """Nobody's: there are no accounts here."""
        return ""

    async def price(self, flavor: str) -> Price:
        """Nothing, whatever the flavour."""
        return Price(0.0, "free")

    async def submit(self, work: Work, lease_id: str) -> Handle:
        """Start `work`. Returns when its command runs. Cancelled: it is ended before this returns."""
        starting = asyncio.ensure_future(in_daemon_thread(lambda: self._start(work, lease_id)))
        if await outlast(starting):
            if starting.exception() is None:
                await outlast(asyncio.ensure_future(in_daemon_thread(lambda: self._remove(lease_id))))
            raise asyncio.CancelledError
        starting.result()
        return self._handle(lease_id)

    async def find(self, lease_id: str, namespace: str | None) -> Handle | None:
        """By its directory."""
        there = await asyncio.to_thread(self._directory(lease_id).is_dir)
        return self._handle(lease_id) if there else None

    async def status(self, handle: Handle) -> Status:
        """What its files and its processes tell."""
        return await asyncio.to_thread(self._status, handle.id)

    async def logs(self, handle: Handle, *, skip: int = 0) -> AsyncIterator[LogLine]:
        """Its output from line `skip` on, until it is over. A carriage return ends a line too: progress bars move."""
        path = self._directory(handle.id) / OUTPUT_FILE
        read_bytes, rest, count, idle = 0, b"", 0, 0
        while True:
            is_over = (await self.status(handle)).is_over  # asked first: what is read after it is all there is
            while chunk := await asyncio.to_thread(_read, path, read_bytes):
                read_bytes += len(chunk)
                lines, rest = _split(rest + chunk)
                idle = 0
                for line in lines:
                    count += 1
                    if count > skip:
                        yield _log_line(line)
            if is_over:
                if rest and count >= skip:
                    yield _log_line(rest.removesuffix(b"\r"))
                return
            await self._sleep(_POLLS_S[min(idle, len(_POLLS_S) - 1)])
            idle += 1

    async def cancel(self, handle: Handle) -> Ending:
        """TERM, a grace, KILL, for everything it has started."""
        status = await self.status(handle)
        if status.is_over:
            return Ending(True, f"It had ended already ({status.word or status.stage}).")
        left = await in_daemon_thread(lambda: self._end(handle.id))
        if left:
            return Ending(False, f"Processes {', '.join(map(str, left))} could not be ended.")
        status = await self.status(handle)
        return Ending(status.is_over, "It was ended." if status.is_over else f"It is still {status.stage}.")

    async def teardown(self, handle: Handle) -> None:
        """End it where it still runs, and remove its directory with all of its output."""
        ending = await self.cancel(handle)
        if not ending.worked:
            raise ComputeError(ending.text, "server")
        directory = self._directory(handle.id)
        try:
            await asyncio.to_thread(shutil.rmtree, directory)
        except FileNotFoundError:
            return
        except OSError as error:
            raise ComputeError(f"{directory} cannot be removed ({error.strerror}).", "server") from error

    # --- what blocks -----------------------------------------------------------------------------------------------

    def _start(self, work: Work, lease_id: str) -> None:
        if problem := _problem(work, lease_id):
            raise ComputeError(problem, "bad_request", nothing_started=True)
        directory = self._directory(lease_id)
        try:
            make_private_dir(directory.parent)
            self._remove_old()
            directory.mkdir(mode=0o700)
        except FileExistsError:
            raise ComputeError(f"Work {lease_id} exists already.", "conflict", nothing_started=False) from None
        except OSError as error:
            text = f"{directory} cannot be made ({error.strerror}): see to it, then try again."
            raise ComputeError(text, "server", nothing_started=True) from error
        try:
            answer = self._hand_over(self._order(work, directory), directory)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            left = self._remove(lease_id)
            text = f"The supervisor of the work did not start ({error})."
            raise ComputeError(text, "server", nothing_started=not left) from error
        if answer["problem"]:
            self._remove(lease_id)
            text = f"{work.command[0]} could not be started in {work.work_dir}: {answer['problem']}."
            raise ComputeError(text, "bad_request", nothing_started=True)

    def _remove_old(self) -> None:
        """What was over a month ago, and whose lease nobody has come back for."""
        for exit_file in self._work_dir.glob(f"*/{EXIT_FILE}"):
            with contextlib.suppress(FileNotFoundError):
                if self._now() - exit_file.stat().st_mtime > _KEPT_S:
                    shutil.rmtree(exit_file.parent, ignore_errors=True)

    def _order(self, work: Work, directory: Path) -> dict[str, Any]:
        return {
            "argv": list(work.command),
            "cwd": str(work.work_dir),
            "env": {**self._child_env, **work.env, **work.secrets, WORK_VARIABLE: str(directory)},
            "timeout_s": work.timeout_s,
            "grace_s": self._grace_s,
            "ordered_at": time.time(),
        }

    def _hand_over(self, order: dict[str, Any], directory: Path) -> dict[str, Any]:
        """Start the supervisor, and wait for its word. ValueError: it said nothing sensible."""
        env = {name: value for name, value in self._child_env.items() if name != WORK_VARIABLE}
        with subprocess.Popen(
            # isolated and without site: no variable, directory or package of the person can come in its way
            [sys.executable, "-I", "-S", "-c", _START_RUNNER, _ROOT, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=env,
        ) as process:
            try:
                said, complaint = process.communicate(json.dumps(order).encode(), timeout=_ANSWER_S)
            except BaseException:
                process.kill()
                raise
        if not said:
            raise ValueError(complaint.decode("utf-8", "replace").strip().rpartition("\n")[2] or "it said nothing")
        answer: dict[str, Any] = json.loads(said)
        return answer

    def _status(self, lease_id: str) -> Status:
        directory = self._directory(lease_id)
        if not directory.is_dir():
            return Status("gone")
        canceled = (directory / CANCELED_FILE).exists()  # looked for before the record: see `local_runner.main`
        record = _Record.read(directory)
        if (ended := _ended(directory, canceled, record)) is not None:
            return ended
        if record is None:
            return self._status_without_record(directory, canceled)
        if record.host != socket.gethostname():
            raise ComputeError(f"This runs on {record.host}: ask there. Its files are in {directory}.", "unsupported")
        if record.may_run:
            return Status("running", "running", started_at=record.started_at, billed_s=0.0)
        if (ended := _ended(directory, canceled, record)) is not None:  # its supervisor was just about to end
            return ended
        if canceled:
            return Status("canceled", "canceled", started_at=record.started_at, billed_s=0.0)
        text = "It ended without leaving an exit code: this machine was restarted, or its supervisor was killed."
        return Status("gone", "lost", text, started_at=record.started_at, billed_s=0.0)

    def _status_without_record(self, directory: Path, canceled: bool) -> Status:
        if canceled:
            return Status("canceled", "canceled before it began", billed_s=0.0)
        with contextlib.suppress(FileNotFoundError):
            if self._now() - directory.stat().st_mtime < _BEGINS_WITHIN_S:
                return Status("creating")
        return Status("gone", "never began", billed_s=0.0)

    def _end(self, lease_id: str) -> list[int]:
        """End all of its processes; returns those that are there still."""
        directory = self._directory(lease_id)
        with contextlib.suppress(FileNotFoundError):
            (directory / CANCELED_FILE).touch(mode=0o600)
        record = _Record.read(directory)
        if record is None or not record.may_run:
            return []
        record.tell_runner()
        deadline = time.monotonic() + self._grace_s + _PATIENCE_S
        while record.runner_lives and time.monotonic() < deadline:
            time.sleep(_STEP_S)
        return record.tree.end(0.0 if time.monotonic() >= deadline else self._grace_s)

    def _remove(self, lease_id: str) -> list[int]:
        left = self._end(lease_id)
        if not left:
            shutil.rmtree(self._directory(lease_id), ignore_errors=True)
        return left

    def _directory(self, lease_id: str) -> Path:
        if not lease_id.isalnum():
            raise ComputeError(f"{lease_id!r} is no id of work on this machine.", "not_found")
        return self._work_dir / lease_id

    def _handle(self, lease_id: str) -> Handle:
        return Handle(self.name, lease_id)


@dataclass(frozen=True, slots=True)
class _Record:
    """Who runs: the supervisor and the command, with when they started (see `start_of`)."""

    host: str
    boot: str
    runner: tuple[int, int]
    tree: ProcessTree
    started_at: datetime

    @classmethod
    def read(cls, directory: Path) -> _Record | None:
        data = _read_json(directory / PROCESS_FILE)
        if data is None:
            return None
        started_at = datetime.fromtimestamp(data["started_at"], UTC)
        leader, started = data["leader"]
        tree = ProcessTree(leader, started, data["mark"])
        return cls(data["host"], data["boot"], tuple(data["runner"]), tree, started_at)

    @property
    def runner_lives(self) -> bool:
        return start_of(self.runner[0]) == self.runner[1]

    def tell_runner(self) -> None:
        """Let the supervisor end the work; harmless if it is there no more."""
        if self.runner_lives:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.runner[0], signal.SIGTERM)

    @property
    def may_run(self) -> bool:
        """Whether the command, its supervisor, or anything that it started lives."""
        if self.boot != boot_id():
            return False
        return self.runner_lives or bool(self.tree.members())


def _ended(directory: Path, canceled: bool, record: _Record | None) -> Status | None:
    """How it ended, as its supervisor has written it down; None if it has not."""
    data = _read_json(directory / EXIT_FILE)
    if data is None:
        return None
    code, stage = data["code"], _STAGES.get(data["why"], "failed")
    message = _MESSAGES.get(data["why"])
    if data["why"] == "exited":
        stage = "completed" if code == 0 else "failed"
        message = None if code == 0 or code is None else _exit_word(code)
    if canceled:
        stage, message = "canceled", None
    word = "no exit code" if code is None else _exit_word(code)
    started_at = None if record is None else record.started_at
    return Status(stage, word, message, started_at, datetime.fromtimestamp(data["ended_at"], UTC), billed_s=0.0)


def _exit_word(code: int) -> str:
    return f"ended by signal {-code}" if code < 0 else f"exit code {code}"


_STAGES: dict[str, Stage] = {"refused": "canceled", "stopped": "canceled"}
_MESSAGES = {
    "timed_out": "It was ended at its time limit.",
    "stopped": "Its supervisor was told to stop, as when the machine shuts down.",
    "not_started": "The command could not be started.",
}


def _problem(work: Work, lease_id: str) -> str | None:
    if not lease_id.isalnum():
        return f"{lease_id!r} is no lease id."
    if not work.command:
        return "Work on this machine needs a command."
    if work.work_dir is None or not work.work_dir.is_dir():
        return f"The directory to work in does not exist: {work.work_dir}."
    bad = [name for name in (*work.env, *work.secrets) if not name or "=" in name]
    return f"No names for environment variables: {', '.join(map(repr, bad))}." if bad else None


def _read_json(path: Path) -> dict[str, Any] | None:
    """None if it is not there. It is replaced as a whole, so it is never half of one."""
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return data


def _read(path: Path, from_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(from_bytes)
            return file.read(_CHUNK_BYTES)
    except FileNotFoundError:  # not begun yet, or removed meanwhile
        return b""


def _split(data: bytes) -> tuple[list[bytes], bytes]:
    """Whole lines, and the rest. Where a line is cut for its length depends on the output alone, not on the reads."""
    *lines, rest = _LINE_END.split(data)
    held = rest.endswith(b"\r")  # the first half of a line end, maybe
    *whole, rest = _pieces(rest.removesuffix(b"\r"))
    return [piece for line in lines for piece in _pieces(line)] + whole, rest + b"\r" * held


def _pieces(line: bytes) -> list[bytes]:
    if len(line) <= _LONGEST_LINE_BYTES:
        return [line]
    return [line[at : at + _LONGEST_LINE_BYTES] for at in range(0, len(line), _LONGEST_LINE_BYTES)]


def _log_line(line: bytes) -> LogLine:
    return LogLine(line.decode("utf-8", "replace"))
