"""Commands on the sandbox's side: part of the server, or by itself: `python3 -c SOURCE -`, the request on stdin.

Standard library only, Python >= 3.10, nothing of this package: it is sent there as text. Each command has a session of
its own, so that all it has started can be ended with it, and prints into a file: background children cannot block it,
and what it had printed when it was ended is not lost.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HEAD_CHARS, TAIL_CHARS = 6_250, 18_750
MAX_OUTPUT_CHARS = HEAD_CHARS + TAIL_CHARS
MAX_OUTPUT_BYTES = 1 << 30
KEPT_OUTPUTS = 50
PING_S = 10.0
TICK_S = 0.1
STOP_GRACE_S = 2.0
KILL_GRACE_S = 0.5
SETTLE_S = 0.2
_STARTS_WITHIN_S = 1.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LIVE_BYTES = 32 << 10
_WHOLE_BYTES, _HEAD_BYTES, _TAIL_BYTES = 4 << 20, 1 << 20, 2 << 20
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_RECORD_BYTES = 512
"""So large are the small files that tell of a command, from its start on: a full disk cannot keep them back later."""
_MADE_ROOM_BYTES = 1 << 20
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class CallTrouble(Exception):
    """A command cannot be started. `kind`: bad_request, not_found, full, server."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Call:
    """One command: `start` it, `watch` it to its end in any thread, then `result` is there and `over` is set.

    `directory` given: it is work in the background; its output and exit code are kept there, and nothing is cut.
    """

    def __init__(
        self,
        call_id: str,
        command: str,
        *,
        work_dir: str,
        timeout_s: float | None,
        env: Mapping[str, str],
        directory: Path | None = None,
    ) -> None:
        if not _ID.fullmatch(call_id):
            raise CallTrouble("bad_request", "`call_id` must be up to 80 letters, digits, - and _.")
        self.id, self.command, self.env = call_id, command, dict(env)
        self.work_dir, self.timeout_s, self.directory = work_dir, timeout_s, directory
        self.path = directory / "output.log" if directory else Path(tempfile.gettempdir(), f"bash_output_{call_id}.txt")
        self.over = threading.Event()
        self.result: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._file: io.FileIO | None = None
        self._output = -1

    def start(self) -> bool:
        """Start it. False if it was started before (as background work), or stopped before it could start."""
        if not Path(self.work_dir).is_dir():
            raise CallTrouble("bad_request", f"Cannot run in {self.work_dir}: there is no such directory.")
        try:
            if self.directory:
                self.directory.mkdir(parents=True, exist_ok=True)
                if not self.path.exists():
                    _keep(self.directory / "exit.new", "")
            else:
                _prune(self.path.parent)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self.path, flags, 0o600), "rb", buffering=0)
            self._output = self._file.fileno()
            if _mark(self.id, "stop").exists():
                self._finish(None, "killed")
                return False
            _keep(_mark(self.id, "pid"), "")  # first: once the command runs, a kill has to find it
            self._process = subprocess.Popen(
                [_shell(), "-c", self.command],
                cwd=self.work_dir,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileExistsError as error:
            if self.directory:
                return False
            raise CallTrouble("conflict", f"The call {self.id} has run already, and its result is gone.") from error
        except (OSError, ValueError) as error:
            for path in (self.path, _mark(self.id, "pid")):
                path.unlink(missing_ok=True)
            kind = "full" if isinstance(error, OSError) and error.errno in _FULL else "bad_request"
            raise CallTrouble(kind, f"The command cannot be started: {error}.") from error
        _keep(_mark(self.id, "pid"), f"{self._process.pid} {_started(self._process.pid)}")
        return True

    def watch(self) -> None:
        """Wait for its end, ending it at its time limit, when it prints too much, or when `kill` was called."""
        process = self._process
        if process is None:
            return
        deadline = time.monotonic() + self.timeout_s if self.timeout_s is not None else None
        most_bytes = min(MAX_OUTPUT_BYTES, max(1 << 20, shutil.disk_usage(self.path.parent).free // 2))
        how = ""
        while not how:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TICK_S)
                break
            if _mark(self.id, "stop").exists():
                how = "killed"
            elif deadline is not None and time.monotonic() >= deadline:
                how = "timed_out"
            elif os.fstat(self._output).st_size > most_bytes:
                how = "flooded"
        if how:
            end_session(process.pid, STOP_GRACE_S if how == "timed_out" else KILL_GRACE_S)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
        how = "killed" if _mark(self.id, "stop").exists() else how
        self._finish(process, how)

    def _finish(self, process: subprocess.Popen[bytes] | None, how: str) -> None:
        code = process.returncode if process else None
        code = 128 - code if code is not None and code < 0 else code
        ending = {"exit_code": None if how else code} | {k: k == how for k in ("timed_out", "flooded", "killed")}
        if self.directory:
            self.result = ending
            self._keep_ending(self.directory, json.dumps(ending))
        else:
            background = not how and process is not None and _prints_on(process.pid, self._output)
            text, truncated, size = printed(self._output)
            if truncated:
                text += f"\n\n[The output has {size:,} bytes; all of it is in {self.path} of the sandbox.]"
            kept = truncated or background
            if not kept:
                self.path.unlink(missing_ok=True)
            said = {"output": text, "truncated": truncated, "size_bytes": size, "background": background}
            self.result = {**said, **ending, "spill_path": str(self.path) if kept else None}
        for kind in ("pid", "stop"):
            _mark(self.id, kind).unlink(missing_ok=True)
        self.over.set()

    def _keep_ending(self, directory: Path, text: str) -> None:
        """On a full disk too: its room was taken at the start; else some of the output makes room."""
        for _ in range(3):
            try:
                _keep(directory / "exit.new", text)
                (directory / "exit.new").replace(directory / "exit")
                return
            except OSError as error:
                trouble = error
                with contextlib.suppress(OSError):
                    os.ftruncate(self._output, max(0, os.fstat(self._output).st_size - _MADE_ROOM_BYTES))
        sys.stderr.write(f"the end of the command {self.id} cannot be kept: {trouble}\n")

    def events(self, offset: int = 0) -> Iterator[dict[str, Any]]:
        """What a client is told: pieces of output from byte `offset` on, `ping`s, at last `exit`; {} each tick."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        spoken = time.monotonic()
        while True:
            over = self.over.is_set()
            size = os.fstat(self._output).st_size
            if size > offset:
                if size - offset > _LIVE_BYTES:
                    offset = size - _LIVE_BYTES
                    decoder.reset()
                data = os.pread(self._output, _LIVE_BYTES, offset)
                offset += len(data)
                spoken = time.monotonic()
                yield {"event": "output", "text": decoder.decode(data), "offset": offset}
            elif over:
                yield {"event": "exit", **self.result}
                return
            elif time.monotonic() - spoken >= PING_S:
                spoken = time.monotonic()
                yield {"event": "ping"}
            else:
                yield {}
                self.over.wait(TICK_S)


# --- what was printed ------------------------------------------------------------------------------------------------


def printed(descriptor: int) -> tuple[str, bool, int]:
    """What a terminal would show of the file in the end, cut in the middle; whether it was cut; its size in bytes."""
    size = os.fstat(descriptor).st_size
    if size <= _WHOLE_BYTES:
        text = _terminal_text(os.pread(descriptor, size, 0)).rstrip("\n")
        if len(text) <= MAX_OUTPUT_CHARS:
            return text, False, size
        head, tail = text, text
    else:
        head = _terminal_text(os.pread(descriptor, _HEAD_BYTES, 0))
        tail = _terminal_text(os.pread(descriptor, _TAIL_BYTES, size - _TAIL_BYTES)).rstrip("\n")
    middle = "\n\n[... the middle is left out here; the note below says where it is ...]\n\n"
    return head[:HEAD_CHARS] + middle + tail[-TAIL_CHARS:], True, size


def _terminal_text(data: bytes) -> str:
    raw = data.decode("utf-8", "replace")
    if "\r" in raw:  # a progress bar draws over itself
        raw = "\n".join(_last_state(line) if "\r" in line else line for line in raw.split("\n"))
    return _CONTROLS.sub("", _ESCAPES.sub("", raw))


def _last_state(line: str) -> str:
    shown = ""
    for part in line.split("\r"):
        text = _ESCAPES.sub("", part)
        shown = text if "\x1b[K" in part or "\x1b[2K" in part else text + shown[len(text) :]
    return shown.rstrip(" ")


def _prune(directory: Path) -> None:
    """Kept outputs of long ago make room."""
    with contextlib.suppress(OSError):
        kept = sorted(directory.glob("bash_output_*.txt"), key=lambda path: path.stat().st_mtime)
        for path in kept[: max(0, len(kept) - KEPT_OUTPUTS)]:
            path.unlink(missing_ok=True)
        for path in _marks().glob("*.stop"):  # of calls that were over, or never came
            if path.stat().st_mtime < time.time() - 3600:
                path.unlink(missing_ok=True)


# --- ending ----------------------------------------------------------------------------------------------------------


def kill(call_id: str) -> bool:
    """End a command with all it has started. One that comes only after its kill does not start. False: it did not run.

    Blocks for at most about a second.
    """
    if not _ID.fullmatch(call_id):
        raise CallTrouble("bad_request", "`call_id` must be up to 80 letters, digits, - and _.")
    with contextlib.suppress(OSError):  # a full disk: it is ended all the same, and counts as ended by a signal
        _mark(call_id, "stop").touch()
    session = _running(_mark(call_id, "pid"))
    if session is not None:
        end_session(session, KILL_GRACE_S)
    return session is not None


def kill_all() -> int:
    """End all commands that run now. Returns their number."""
    marks = [path for path in _marks().glob("*.pid") if _running(path) is not None]
    threads = [threading.Thread(target=kill, args=(path.stem,)) for path in marks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(marks)


def end_session(session_id: int, grace_s: float) -> None:
    """TERM to every process of the session, KILL to what is left after `grace_s`."""
    deadline = time.monotonic() + grace_s
    for number in (signal.SIGTERM, signal.SIGCONT):  # a stopped process sees TERM only when it goes on
        _signal(session_id, number)
    while time.monotonic() < deadline:
        if not _members(session_id):
            return
        time.sleep(0.01)
    for _ in range(50):  # several, because a member may fork while the list is being read
        if not _members(session_id):
            return
        _signal(session_id, signal.SIGKILL)
        time.sleep(0.01)


def _signal(session_id: int, number: signal.Signals) -> None:
    for pid in _members(session_id):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _members(session_id: int) -> list[int]:
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
    return [pid for pid in pids if _stat(pid)[3:4] == [str(session_id)]]


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; empty for what does not live."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    fields = line[line.rfind(")") + 2 :].split()
    return [] if fields[:1] in (["Z"], ["X"]) else fields


def _started(pid: int) -> str:
    return (_stat(pid)[19:20] or [""])[0]


def _running(mark: Path) -> int | None:
    """The session that a pid file tells of, if it is still that one. Its leader may be over, and others go on."""
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while True:
        try:
            pid, _, started = mark.read_text("utf-8").strip().partition(" ")
        except OSError:
            return None
        if pid or time.monotonic() > deadline:
            break
        time.sleep(0.01)  # it is being started right now
    if not pid:
        return None
    alive = _started(int(pid))
    is_ours = alive == started if alive else bool(_members(int(pid)))
    return int(pid) if is_ours else None


def _prints_on(session_id: int, descriptor: int) -> bool:
    """Whether processes are left that print to our file. One that only begins may not have opened its own yet."""
    file = os.fstat(descriptor)
    deadline = time.monotonic() + SETTLE_S
    while any(_holds(pid, file) for pid in _members(session_id)):
        if time.monotonic() > deadline:
            return True
        time.sleep(SETTLE_S / 10)
    return False


def _holds(pid: int, file: os.stat_result) -> bool:
    for number in (1, 2):
        with contextlib.suppress(OSError):
            found = Path(f"/proc/{pid}/fd/{number}").stat()
            if (found.st_dev, found.st_ino) == (file.st_dev, file.st_ino):
                return True
    return False


def _keep(path: Path, text: str) -> None:
    """Write a small file in place. It never shrinks, so that what it was made with is room enough for what comes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, text.encode().ljust(_RECORD_BYTES), 0)
    finally:
        os.close(descriptor)


def _marks() -> Path:
    path = Path(tempfile.gettempdir(), f".ml-intern-calls-{os.getuid()}")
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def _mark(call_id: str, kind: str) -> Path:
    return _marks() / f"{call_id}.{kind}"


def _shell() -> str:
    return shutil.which("bash") or "/bin/sh"


def main(request_text: str) -> None:
    """One request, a JSON object (on stdin for "-"); the answer is JSON, one object a line."""
    request = json.loads(sys.stdin.read() if request_text == "-" else request_text)
    try:
        if request["do"] == "kill":
            answer: Any = {"count": int(kill(request["call_id"])) if request.get("call_id") else kill_all()}
            _say(answer)
            return
        env = {name: value for name, value in os.environ.items() if not name.startswith(("SBX_", "SANDBOX_"))}
        directory = Path(request["directory"]) if request.get("directory") else None
        timeout_s, work_dir = request["timeout_s"], request["work_dir"]
        call = Call(
            request["call_id"], request["command"], work_dir=work_dir, timeout_s=timeout_s, env=env, directory=directory
        )
        call.start()
    except CallTrouble as error:
        _say({"trouble": {"kind": error.kind, "detail": str(error)}})
        return
    if directory:
        call.watch()
        return
    threading.Thread(target=call.watch, daemon=True).start()
    for event in call.events():
        if event:
            _say(event)


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
