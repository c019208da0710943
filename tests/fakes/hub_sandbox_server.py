"""A loopback stand-in for the server that huggingface_hub's `Sandbox` starts inside of its job.

It speaks the protocol of that client (huggingface_hub 1.33, _sandbox.py) and really runs the commands, each job in a
directory of its own:

    with FakeHub() as hub, SandboxServer(tmp_path / "machines", hub) as server:
        ...                                                   # Sandbox.create(...) now makes a job that is reached here
        (server.home(job_id) / "app" / "x.txt").read_text()   # what the sandbox calls /app/x.txt

The paths of the file routes and `cwd` are mapped: "/app" is `<home>/app`, unless it lies below `home` already. Paths
inside of commands cannot be: let commands use relative ones. Not here: pools, the port proxy, the idle timeout.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.fakes.http_base import Exchange, HttpFake
from tests.fakes.hub_job import Job
from tests.fakes.hub_part import Refused, object_of, send_json

if TYPE_CHECKING:
    from tests.fakes.hub import FakeHub

Event = dict[str, Any]
_JOB = re.compile(r"(?:/(?P<job_id>[0-9a-f]+)--\d+\.hf\.jobs)?(?P<rest>/.*)")
_LATE_OUTPUT_S = 2.0
"""How long a command that is over may still print, by children that hold its pipes."""


@dataclass(slots=True)
class Background:
    """A command that was started and left alone."""

    id: str
    command: Any
    process: subprocess.Popen[bytes]
    started_at_ms: int

    def answer(self) -> Event:
        """How the server lists it."""
        code = self.process.poll()
        return {
            "id": self.id,
            "pid": self.process.pid,
            "cmd": self.command,
            "tag": None,
            "started_at_ms": self.started_at_ms,
            "running": code is None,
            "exit_code": code,
        }


@dataclass(slots=True)
class Machine:
    """What one job has: its directory and what runs in it."""

    home: Path
    environ: dict[str, str]
    processes: dict[str, Background] = field(default_factory=dict)
    foreground: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def path(self, name: str) -> Path:
        """Where a path of the sandbox really is. Raises Refused if it would lead out."""
        given = Path(name)
        found = given if given.is_relative_to(self.home) else self.home / name.lstrip("/")
        if not Path(os.path.normpath(found)).is_relative_to(self.home):
            raise Refused(400, f"invalid path: {name}")
        return found

    def start(self, sent: Event, **pipes: Any) -> subprocess.Popen[bytes]:
        """Start a command as asked for. Raises Refused if that cannot be."""
        command = sent.get("cmd")
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        cwd = self.path(sent.get("cwd") or "/")
        if not argv or not all(isinstance(part, str) for part in argv):
            raise Refused(400, "cmd must be a string or a list of strings")
        if not cwd.is_dir():
            raise Refused(400, f"no such directory: {sent.get('cwd')}")
        environ = self.environ | {name: str(value) for name, value in (sent.get("env") or {}).items()}
        try:
            return subprocess.Popen(argv, cwd=cwd, env=environ, start_new_session=True, **pipes)
        except OSError as problem:
            raise Refused(400, f"cannot start {argv[0]}: {problem}") from problem

    def kill_all(self) -> None:
        """The machine is switched off."""
        for process in (*self.foreground, *(each.process for each in self.processes.values())):
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> bool:
    """Kill a command with its children; whether it was still there."""
    if process.poll() is not None:
        return False
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    process.wait()
    return True


class SandboxServer(HttpFake):
    """The servers inside of all jobs of `hub` that expose a port. `root` is a directory it may use as it likes."""

    def __init__(self, root: Path, hub: FakeHub) -> None:
        super().__init__()
        self.root = root.resolve()
        self.hub = hub
        self.health: dict[str, Any] = {"status": "ok", "version": "0.6.0", "protocol": 2}
        self.booting = 0
        """The next requests for /health that get a 503, as from a job whose server is not up yet."""
        self.cuts: list[int | None] = []
        """The next foreground commands: the connection breaks after so many events; None: it does not. The command
        runs on: nothing is known of the real server's ways there, and this is the harder one to live with."""
        self.page_size = 1000
        """Entries of a directory in one answer."""
        self._machines: dict[str, Machine] = {}

    def start(self) -> Self:
        """Start listening; from now on the hub's jobs expose their ports here."""
        super().start()
        self.hub.jobs.expose_url = self.url
        self.hub.jobs.on_end.append(self._job_ended)
        return self

    def close(self) -> None:
        """Stop, with all that runs."""
        for machine in list(self._machines.values()):
            machine.kill_all()
        super().close()

    def home(self, job_id: str) -> Path:
        """The directory that is `/` to the job's sandbox."""
        return self._machine(self.hub.jobs.get(job_id)).home

    def machine(self, job_id: str) -> Machine:
        """What runs in the job's sandbox."""
        return self._machine(self.hub.jobs.get(job_id))

    def _machine(self, job: Job) -> Machine:
        if job.id not in self._machines:
            home = self.root / job.id
            (home / "tmp").mkdir(parents=True, exist_ok=True)
            given = {**job.spec.get("environment", {}), **job.secrets}
            environ = {name: value for name, value in given.items() if not name.startswith("SBX_")}
            environ = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **environ}
            self._machines[job.id] = Machine(home, environ)
        return self._machines[job.id]

    def _job_ended(self, job: Job) -> None:
        if job.id in self._machines:
            self._machines[job.id].kill_all()

    # --- requests ---

    async def respond(self, exchange: Exchange) -> None:
        """The proxy's checks, then the server's."""
        try:
            await self._route(exchange)
        except Refused as refused:
            await send_json(exchange, refused.status, {"error": refused.text})

    async def _route(self, exchange: Exchange) -> None:
        request = exchange.request
        match = _JOB.fullmatch(request.path)
        job_id, rest = (match["job_id"], match["rest"]) if match else (None, "")
        job = next((job for job in self.hub.jobs.all() if job.id == job_id), None)
        if request.headers.get("authorization") != f"Bearer {self.hub.token}":
            raise Refused(401, "Unauthorized")
        if job is None or job.stage != "RUNNING":
            raise Refused(404, "no such job, or it does not run")
        if rest == "/health":
            self.booting -= 1
            await send_json(exchange, 503 if self.booting >= 0 else 200, self.health)
            return
        if request.headers.get("x-sandbox-token") != job.secrets.get("SBX_TOKEN"):
            raise Refused(403, "wrong sandbox token")
        handler = self._handler(request.method, rest)
        if handler is None:
            raise Refused(404, f"no route {request.method} {rest}")
        await handler(exchange, self._machine(job))

    def _handler(self, method: str, rest: str) -> Callable[[Exchange, Machine], Any] | None:
        if method == "DELETE" and (match := re.fullmatch(r"/v1/processes/([^/]+)", rest)):
            return lambda exchange, machine: self._kill(exchange, machine, match[1])
        return {
            ("POST", "/v1/exec"): self._exec,
            ("POST", "/v1/processes"): self._start,
            ("GET", "/v1/processes"): self._list_processes,
            ("GET", "/v1/files/read"): self._read,
            ("PUT", "/v1/files/write"): self._write,
            ("GET", "/v1/files/stat"): self._stat,
            ("GET", "/v1/files/list"): self._list,
            ("DELETE", "/v1/files/delete"): self._delete,
            ("POST", "/v1/files/mkdir"): self._mkdir,
        }.get((method, rest))

    # --- commands ---

    async def _exec(self, exchange: Exchange, machine: Machine) -> None:
        """Run a command and stream what it prints as lines of JSON, its end last."""
        sent = object_of(exchange)
        cut = self.cuts.pop(0) if self.cuts else None
        events = self._run(machine, sent)
        await exchange.head(200, {"Content-Type": "application/x-ndjson"})
        await exchange.body(_line({"event": "ping"}))
        count = 0
        while True:
            if cut is not None and count >= cut:
                await exchange.cut()
                return
            event = await events.get()
            count += 1
            is_last = event["event"] == "exit"
            await exchange.body(_line(event), last=is_last)
            if is_last:
                return

    def _run(self, machine: Machine, sent: Event) -> asyncio.Queue[Event]:
        """Start a foreground command; threads feed the queue, so that it runs on when its client leaves."""
        loop, events = asyncio.get_running_loop(), asyncio.Queue[Event]()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started = time.monotonic()
        process = machine.start(sent, **pipes)
        machine.foreground.append(process)

        def tell(event: Event) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(events.put_nowait, event)

        def feed() -> None:
            assert process.stdin is not None
            try:
                process.stdin.write((sent.get("stdin") or "").encode())
                process.stdin.close()
            except OSError:
                pass  # it does not want it

        def pump(name: str) -> None:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            pipe = getattr(process, name)
            while data := os.read(pipe.fileno(), 65536):
                if text := decoder.decode(data):
                    tell({"event": name, "data": text})
            if text := decoder.decode(b"", final=True):
                tell({"event": name, "data": text})

        def end() -> None:
            pumps = [_thread(pump, "stdout"), _thread(pump, "stderr")]
            _thread(feed)
            timed_out = False
            try:
                process.wait(sent.get("timeout"))
            except subprocess.TimeoutExpired:
                timed_out = kill(process)
            for each in pumps:
                each.join(_LATE_OUTPUT_S)
            tell(_exit_event(process.returncode, timed_out, started))

        _thread(end)
        return events

    async def _start(self, exchange: Exchange, machine: Machine) -> None:
        sent = object_of(exchange)
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = machine.start(sent, **quiet)
        found = Background(f"proc-{len(machine.processes) + 1}", sent["cmd"], process, int(time.time() * 1000))
        machine.processes[found.id] = found
        await send_json(exchange, 200, {"id": found.id, "pid": process.pid, "tag": None})

    async def _list_processes(self, exchange: Exchange, machine: Machine) -> None:
        await send_json(exchange, 200, [each.answer() for each in machine.processes.values()])

    async def _kill(self, exchange: Exchange, machine: Machine, process_id: str) -> None:
        found = machine.processes.get(process_id)
        if found is None:
            raise Refused(404, f"no process {process_id}")
        await send_json(exchange, 200, {"killed": kill(found.process)})

    # --- files ---

    async def _read(self, exchange: Exchange, machine: Machine) -> None:
        query = exchange.request.query
        content = _existing(machine, query["path"], is_file=True).read_bytes()
        offset = int(query.get("offset", 0))
        content = content[offset : offset + int(query.get("length", len(content)))]
        await exchange.head(200, {"Content-Type": "application/octet-stream"}, length_bytes=len(content))
        await exchange.body(content, last=True)

    async def _write(self, exchange: Exchange, machine: Machine) -> None:
        query = exchange.request.query
        path = machine.path(query["path"])
        if path.is_dir():
            raise Refused(400, f"is a directory: {query['path']}")
        path.parent.mkdir(parents=True, exist_ok=True)
        is_range = "offset" in query
        with path.open("r+b" if is_range and path.exists() else "wb") as file:
            file.seek(int(query.get("offset", 0)))
            file.write(exchange.request.raw_body)
            if "truncate_to" in query:
                file.truncate(int(query["truncate_to"]))
        if "mode" in query:
            path.chmod(int(query["mode"], 8))
        await send_json(exchange, 200, {})

    async def _stat(self, exchange: Exchange, machine: Machine) -> None:
        name = exchange.request.query["path"]
        await send_json(exchange, 200, _entry(_existing(machine, name), name))

    async def _list(self, exchange: Exchange, machine: Machine) -> None:
        query = exchange.request.query
        folder = _existing(machine, query["path"])
        if not folder.is_dir():
            raise Refused(400, f"not a directory: {query['path']}")
        found = sorted(each.name for each in folder.iterdir() if each.name > query.get("after", ""))
        page = found[: self.page_size]
        entries = [_entry(folder / name, f"{query['path'].rstrip('/')}/{name}") for name in page]
        await send_json(exchange, 200, {"entries": entries, "next": page[-1] if len(found) > len(page) else None})

    async def _delete(self, exchange: Exchange, machine: Machine) -> None:
        query = exchange.request.query
        path = _existing(machine, query["path"])
        if path.is_dir() and not path.is_symlink():
            if "recursive" not in query and any(path.iterdir()):
                raise Refused(400, f"directory not empty: {query['path']}")
            shutil.rmtree(path)
        else:
            path.unlink()
        await send_json(exchange, 200, {})

    async def _mkdir(self, exchange: Exchange, machine: Machine) -> None:
        machine.path(exchange.request.query["path"]).mkdir(parents=True, exist_ok=True)
        await send_json(exchange, 200, {})


def _existing(machine: Machine, name: str, *, is_file: bool = False) -> Path:
    path = machine.path(name)
    if not os.path.lexists(path):
        raise Refused(404, f"no such file or directory: {name}")
    if is_file and not path.is_file():
        raise Refused(400, f"not a file: {name}")
    return path


def _entry(path: Path, name: str) -> Event:
    facts = path.lstat()
    kind = "symlink" if path.is_symlink() else "dir" if path.is_dir() else "file"
    return {
        "name": Path(name).name,
        "path": name,
        "type": kind,
        "size": facts.st_size,
        "mtime_ms": int(facts.st_mtime * 1000),
        "mode": f"{facts.st_mode & 0o7777:o}",
    }


def _exit_event(code: int, timed_out: bool, started: float) -> Event:
    return {
        "event": "exit",
        "exit_code": code if code >= 0 else None,
        "signal": -code if code < 0 else None,
        "timed_out": timed_out,
        "duration_ms": int((time.monotonic() - started) * 1000),
    }


def _line(event: Event) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _thread(work: Callable[..., None], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=args, daemon=True)
    thread.start()
    return thread
