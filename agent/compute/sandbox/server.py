"""The HTTP server inside a sandbox Space. Standard library only, Python >= 3.10; sent there as text.

    GET  /api/health -> {"status": "ok", "build": NONCE}                          (the only one that needs no key)
    POST /api/bash   {command, work_dir?, timeout?} -> {success, output, error}
    POST /api/read   {path, offset?, limit?}, /api/write {path, content}, /api/exists {path}, /api/kill {call_id?}
    POST /api/edit   {path, old_str, new_str, replace_all?, mode?}                -> {success, output, error}
    POST /api/run    {call_id, command, work_dir?, timeout?, env?, attach?, offset?}  -> events, one JSON a line
    POST /api/start  {call_id, command, directory, work_dir?, timeout?, env?}     -> {"started": bool}
    POST /api/stat   {path, digest?}; GET|PUT /api/file?path=&offset=&limit=&expect=  (raw bytes)

The key comes in `X-Sandbox-Authorization: Bearer KEY` (the Space's own door takes `Authorization`). Errors are
`{"detail": text}`, with a `kind` on the newer routes. Secrets leave this process's environment before anything else
happens, and no command gets them: a command gets the `env` that was sent with it, and nobody else does. Whatever is
orphaned is reaped by a parent of this server, so PID 1 may be it. /api/bash, read, write and edit are part of what a
sandbox's server offers by its specification; this program itself uses the newer routes only.
"""

from __future__ import annotations

import contextlib
import ctypes
import hmac
import json
import os
import re
import select
import signal
import socket
import sys
import threading
import traceback
import uuid
from collections import OrderedDict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from agent.compute.sandbox.remote_commands import Call, CallTrouble, kill, kill_all
from agent.compute.sandbox.remote_files import MAX_BYTES, FileTrouble, read_file, real_path, stat_file, write_file
from agent.compute.sandbox.remote_requests import Fields, Refused
from agent.compute.sandbox.remote_text import edited, numbered, python_warnings

DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S = 120, 1200
MAX_BODY_BYTES = MAX_BYTES + (1 << 20)
SMALL_BODY_BYTES = 1 << 20
"""So much is read of anybody's; more only of those who have the key."""
KEPT_CALLS = 64
IDLE_S = 60.0
_OPTIONS = ("SANDBOX_API_TOKEN", "SANDBOX_BUILD", "SANDBOX_HOST", "SANDBOX_PORT", "SANDBOX_WORK_DIR", "SANDBOX_GRACE_S")
_HF_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")
_STATUS = {"not_found": 404, "forbidden": 403, "bad_request": 400, "conflict": 409, "full": 507, "server": 500}
_DIGITS = re.compile(r"[0-9]+")
_MOST_DIGITS = 15
_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36


class Calls:
    """The commands of late, by id: one that is asked for again is not run again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: OrderedDict[str, Call] = OrderedDict()
        self._followers: dict[str, int] = {}

    def get(self, call_id: str, make: Callable[[], Call] | None) -> tuple[Call, bool]:
        """The call of this id and whether it is new; without `make` it has to be there."""
        with self._lock:
            if call := self._calls.get(call_id):
                return call, False
            if make is None:
                text = "This sandbox does not know the command (any more): it was started anew meanwhile."
                raise Refused(404, text, "not_found")
            call = make()
            is_new = call.start()
            self._calls[call_id] = call
            over = [key for key, each in self._calls.items() if each.over.is_set() and not self._followers.get(key)]
            for key in over[: max(0, len(self._calls) - KEPT_CALLS)]:
                del self._calls[key]
        if is_new:
            threading.Thread(target=call.watch, daemon=True).start()
        return call, is_new

    def follow(self, call_id: str, change: int) -> int:
        """Count who listens to it; returns how many do now."""
        with self._lock:
            count = self._followers[call_id] = self._followers.get(call_id, 0) + change
            if not count:
                del self._followers[call_id]
            return count

    def end_unless_followed(self, call: Call, grace_s: float) -> None:
        """Its client has gone. If none comes back for it in time, nobody wants it any more."""
        if not call.over.wait(grace_s) and not self._followers.get(call.id):
            kill(call.id)


class Server(ThreadingHTTPServer):
    """What the handlers share. `options` are the SANDBOX_* values, `env` what commands get."""

    daemon_threads = True

    def __init__(self, options: dict[str, str], env: dict[str, str]) -> None:
        self.token = options.get("SANDBOX_API_TOKEN", "")
        self.build = options.get("SANDBOX_BUILD", "")
        self.work_dir = options.get("SANDBOX_WORK_DIR") or "/app"
        self.grace_s = float(options.get("SANDBOX_GRACE_S") or 20.0)
        self.env = env
        self.calls = Calls()
        super().__init__((options.get("SANDBOX_HOST") or "0.0.0.0", int(options.get("SANDBOX_PORT") or 7860)), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no news; anything else is printed, as the base class does."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    server: Server

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: query strings name the person's files."""

    def _answer(self, method: str) -> None:
        body: bytes | None = None
        try:
            path, length = self._path(), self._length(method)
            if length <= SMALL_BODY_BYTES:  # else the answer could get lost on its way past what was not read
                body = self.rfile.read(length)
            if path != "/api/health":
                self._check_key()
            if body is None:
                body = self.rfile.read(length)
            if (route := _ROUTES.get((method, path))) is None:
                raise Refused(404, "Not Found")
            route(self, body)
        except Refused as error:
            self.close_connection = self.close_connection or body is None
            self._json(error.status, {"detail": str(error)} | ({"kind": error.kind} if error.kind else {}))
        except (FileTrouble, CallTrouble) as error:
            self._json(_STATUS.get(error.kind, 500), {"detail": str(error), "kind": error.kind})
        except ConnectionError:
            self.close_connection = True
        except Exception as error:  # noqa: BLE001 - one request must not end without an answer; whose fault it is, the log says
            traceback.print_exc()
            self.close_connection = True
            self._json(500, {"detail": f"The sandbox's server failed: {error!r}", "kind": "server"})

    def _path(self) -> str:
        try:
            parts = urlsplit(self.path)
            self.query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        except ValueError as error:
            raise Refused(400, f"The address makes no sense: {error}", "bad_request") from error
        return parts.path.rstrip("/")

    def _length(self, method: str) -> int:
        """Of the body, as its header says, before anything of it is read."""
        lengths = self.headers.get_all("Content-Length") or (["0"] if method == "GET" else [])
        if len(lengths) > 1:
            raise Refused(400, "The length of the body is given more than once.", "bad_request")
        if self.headers.get("Transfer-Encoding") or not lengths or not _DIGITS.fullmatch(lengths[0].strip()):
            raise Refused(411, "The length of the body has to be given.")
        if len(lengths[0].strip()) > _MOST_DIGITS or int(lengths[0]) > MAX_BODY_BYTES:
            raise Refused(413, f"The body has more than {MAX_BODY_BYTES >> 20} MiB.", "bad_request")
        return int(lengths[0])

    def _check_key(self) -> None:
        if not self.server.token:
            raise Refused(503, "The sandbox has no key: SANDBOX_API_TOKEN is not set.")
        scheme, _, key = self.headers.get("X-Sandbox-Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Refused(401, "The key is missing: X-Sandbox-Authorization: Bearer KEY.")
        if not hmac.compare_digest(key.strip().encode(), self.server.token.encode()):
            raise Refused(401, "The key is wrong.")

    # --- routes ------------------------------------------------------------------------------------------------------

    def health(self, _body: bytes) -> None:
        self._json(200, {"status": "ok", "build": self.server.build})

    def bash(self, body: bytes) -> None:
        request = Fields(body)
        call, _ = self._call(request, uuid.uuid4().hex, DEFAULT_TIMEOUT_S)
        try:
            while not call.over.wait(0.1):
                if self._client_is_gone():
                    kill(call.id)
                    return
        finally:
            self.close_connection = self.close_connection or not call.over.is_set()
        result = call.result
        error = "" if result["exit_code"] == 0 else f"Exit code {result['exit_code']}"
        if result["timed_out"]:
            error = f"Timeout after {call.timeout_s:g}s"
        elif result["exit_code"] is None:
            error = "Ended: it printed too much." if result["flooded"] else "Ended from outside."
        self._reply(result["output"] or "(no output)", error)

    def run(self, body: bytes) -> None:
        request = Fields(body)
        call_id = request.text("call_id")
        attach = request.flag("attach")
        call, _ = self._call(request, call_id, DEFAULT_TIMEOUT_S, attach=attach)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.server.calls.follow(call_id, 1)
        try:
            self._event({"event": "started"})
            for event in call.events(request.number("offset", 0)):
                if event:
                    self._event(event)
                elif self._client_is_gone():
                    break
        except OSError:
            pass  # gone
        finally:
            if not self.server.calls.follow(call_id, -1) and not call.over.is_set():
                self.server.calls.end_unless_followed(call, self.server.grace_s)

    def _event(self, value: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(value).encode() + b"\n")
        self.wfile.flush()

    def start(self, body: bytes) -> None:
        request = Fields(body)
        directory = real_path(request.text("directory"), self.server.work_dir)
        _, is_new = self._call(request, request.text("call_id"), None, directory=directory)
        self._json(200, {"started": is_new})

    def _call(
        self,
        request: Fields,
        call_id: str,
        default_s: float | None,
        *,
        attach: bool = False,
        directory: Path | None = None,
    ) -> tuple[Call, bool]:
        timeout_s = request.seconds("timeout", default_s)
        work_dir = str(real_path(request.text("work_dir", "."), self.server.work_dir))
        command, own_env = request.text("command", "" if attach else None), request.env("env")
        if any(name.startswith("SANDBOX_") for name in own_env):
            raise Refused(422, "`env`: variables called SANDBOX_* are the sandbox's own.")
        env = self.server.env | own_env

        def make() -> Call:
            limit_s = timeout_s if directory or timeout_s is None else min(timeout_s, MAX_TIMEOUT_S)
            return Call(call_id, command, work_dir=work_dir, timeout_s=limit_s, env=env, directory=directory)

        return self.server.calls.get(call_id, None if attach else make)

    def kill(self, body: bytes) -> None:
        call_id = Fields(body or b"{}").text("call_id", "")
        count = int(kill(call_id)) if call_id else kill_all()
        self._json(200, {"success": True, "output": f"Ended {count}.", "error": "", "count": count})

    def exists(self, body: bytes) -> None:
        path = real_path(Fields(body).text("path"), self.server.work_dir)
        self._reply("true" if path.exists() else "false")

    def read(self, body: bytes) -> None:
        request = Fields(body)
        path = request.text("path")
        offset, limit = request.number("offset", 1), request.number("limit", 2000)
        self._do(lambda: numbered(read_file(real_path(path, self.server.work_dir)), offset, limit))

    def write(self, body: bytes) -> None:
        request = Fields(body)
        path, content = request.text("path"), request.text("content")

        def do() -> str:
            real = real_path(path, self.server.work_dir)
            data = content.encode("utf-8", "surrogatepass")
            write_file(real, data)
            return "\n".join([f"Wrote {len(data):,} bytes to {real}", *python_warnings(content, real.name)])

        self._do(do)

    def edit(self, body: bytes) -> None:
        request = Fields(body)
        path, old, new = request.text("path"), request.text("old_str"), request.text("new_str")
        replace_all, mode = request.flag("replace_all"), request.text("mode", "replace")

        def do() -> str:
            real = real_path(path, self.server.work_dir)
            before = stat_file(real, digest=True)["sha256"]
            text, count = edited(read_file(real).decode("utf-8", "surrogateescape"), old, new, mode, replace_all)
            write_file(real, text.encode("utf-8", "surrogateescape"), before)
            return "\n".join([f"Edited {real} ({count} replaced)", *python_warnings(text, real.name)])

        self._do(do)

    def stat(self, body: bytes) -> None:
        request = Fields(body)
        path = real_path(request.text("path"), self.server.work_dir)
        self._json(200, stat_file(path, request.flag("digest")))

    def read_bytes(self, _body: bytes) -> None:
        limit = self.query.get("limit", "")
        if not (limit or "0").isdecimal() or not self.query.get("offset", "0").isdecimal():
            raise Refused(422, "`offset` and `limit` must be whole numbers.")
        path = real_path(self.query.get("path", ""), self.server.work_dir)
        data = read_file(path, int(self.query.get("offset", "0")), int(limit) if limit else None)
        self._send(200, "application/octet-stream", data)

    def write_bytes(self, body: bytes) -> None:
        path = real_path(self.query.get("path", ""), self.server.work_dir)
        self._json(200, write_file(path, body, self.query.get("expect") or None))

    # --- answers -----------------------------------------------------------------------------------------------------

    def _do(self, work: Callable[[], str]) -> None:
        try:
            self._reply(work())
        except (FileTrouble, ValueError) as error:
            self._reply("", str(error))

    def _reply(self, output: str, error: str = "") -> None:
        self._json(200, {"success": not error, "output": output, "error": error})

    def _json(self, status: int, value: Any) -> None:
        self._send(status, "application/json", json.dumps(value).encode())

    def _send(self, status: int, content_type: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _client_is_gone(self) -> bool:
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True


_ROUTES: dict[tuple[str, str], Callable[[Handler, bytes], None]] = {
    ("GET", "/api/health"): Handler.health,
    ("POST", "/api/bash"): Handler.bash,
    ("POST", "/api/run"): Handler.run,
    ("POST", "/api/start"): Handler.start,
    ("POST", "/api/kill"): Handler.kill,
    ("POST", "/api/exists"): Handler.exists,
    ("POST", "/api/read"): Handler.read,
    ("POST", "/api/write"): Handler.write,
    ("POST", "/api/edit"): Handler.edit,
    ("POST", "/api/stat"): Handler.stat,
    ("GET", "/api/file"): Handler.read_bytes,
    ("PUT", "/api/file"): Handler.write_bytes,
}


# --- the process -----------------------------------------------------------------------------------------------------


def commands_env(environ: dict[str, str]) -> dict[str, str]:
    """What all commands may see: anything but this server's own options and the account's token, which comes with a
    command that may have it."""
    return {
        name: value for name, value in environ.items() if not name.startswith("SANDBOX_") and name not in _HF_TOKENS
    }


def main() -> None:
    """First start anew without secrets in the environment, which /proc shows; then split into reaper and server."""
    if len(sys.argv) < 2:
        memory = os.memfd_create("options", 0)  # neither a file nor of a pipe's limited size
        options = {name: os.environ[name] for name in _OPTIONS if name in os.environ}
        os.write(memory, json.dumps([options, commands_env(dict(os.environ))]).encode())
        os.lseek(memory, 0, os.SEEK_SET)
        clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        os.execve(sys.executable, [sys.executable, "-s", str(Path(__file__).resolve()), str(memory)], clean)
    _prctl(_PR_SET_DUMPABLE, 0)  # same-user commands may not look into this process's memory either
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        options, env = json.loads(file.read())
    if child := os.fork():
        _reap(child)
    with contextlib.suppress(KeyboardInterrupt):
        server = Server(options, env)
        sys.stdout.write(f"listening on port {server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


def _reap(child: int) -> None:
    """Collect whatever ends until the server does; pass on the order to end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGKILL))
    while True:
        pid, status = os.wait()
        if pid == child:
            _end_children()
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _end_children() -> None:
    """What the server leaves running, which is this process's now, goes with it."""
    mine = Path(f"/proc/self/task/{os.getpid()}/children")
    with contextlib.suppress(ChildProcessError, OSError):
        while True:
            for pid in mine.read_text("ascii").split():
                os.kill(int(pid), signal.SIGKILL)
            os.wait()


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
