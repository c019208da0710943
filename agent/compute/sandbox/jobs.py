"""A sandbox that is a job: `huggingface_hub.Sandbox`, with the same files and commands inside as in a Space.

Its server only moves bytes and runs programs, so each request here runs one of our own remote modules there with
python3; what they do is what the server of a Space does with them. The image needs python3 (the usual one has it).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from agent.compute.sandbox.image import remote_source
from agent.compute.sandbox.words import (
    DEFAULT_TIMEOUT_S,
    MAX_FILE_BYTES,
    MAX_TIMEOUT_S,
    WORK_DIR,
    FileConflict,
    FileStat,
    Health,
    OnOutput,
    RunResult,
)
from agent.hub.account import HubAccount, in_daemon_thread
from agent.hub.errors import translated
from agent.protocol.compute import LEASE_LABEL, ComputeError, FailureKind

if TYPE_CHECKING:
    from huggingface_hub import Sandbox as Machine

T = TypeVar("T")

IMAGE = "python:3.12"
START_S = 300.0
REPLY_S = 90.0
BEYOND_S = 60.0
KILL_S = 5.0
_KINDS: Mapping[int, FailureKind] = {
    400: "bad_request",
    401: "auth",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    429: "rate_limited",
}
_TROUBLES: Mapping[str, FailureKind] = {
    "not_found": "not_found",
    "forbidden": "forbidden",
    "bad_request": "bad_request",
    "conflict": "conflict",
}


class JobSandbox:
    """`Sandbox` over a machine of huggingface_hub's."""

    def __init__(
        self, machine: Machine, *, page: str | None = None, hardware: str = "", work_dir: str = WORK_DIR
    ) -> None:
        self.id, self.url, self.hardware = machine.id, page, hardware
        self._machine = machine
        self._work_dir = work_dir

    async def run(
        self,
        command: str,
        *,
        work_dir: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        on_output: OnOutput | None = None,
        call_id: str | None = None,
    ) -> RunResult:
        """See `Sandbox.run`. A connection that breaks ends in an error; the command is stopped then, not run again."""
        call_id = call_id or uuid.uuid4().hex
        timeout_s = min(timeout_s, MAX_TIMEOUT_S)
        request = self._request("run", call_id, command, work_dir, timeout_s)
        loop = asyncio.get_running_loop()

        def heard(event: dict[str, Any]) -> None:
            if event.get("event") == "output" and on_output is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                    loop.call_soon_threadsafe(on_output, event["text"])

        try:
            async with asyncio.timeout(timeout_s + BEYOND_S):
                last = await self._call("remote_commands.py", request, heard, timeout_s=timeout_s + BEYOND_S)
        except (asyncio.CancelledError, TimeoutError, ComputeError) as error:
            await self._end(call_id)
            if isinstance(error, TimeoutError):
                raise ComputeError(
                    "The sandbox has not told of the command's end; it was stopped.", "network"
                ) from None
            raise
        return RunResult(**{name: value for name, value in last.items() if name != "event"})

    async def start(self, call_id: str, command: str, *, directory: str, timeout_s: float | None = None) -> None:
        """See `Sandbox.start`. It is a process of the machine's own, so that the machine does not count as idle."""
        source = await asyncio.to_thread(remote_source, "remote_commands.py")
        request = self._request("work", call_id, command, None, timeout_s) | {"directory": directory}
        argv = ["python3", "-c", source, json.dumps(request)]
        await self._blocking(lambda: self._machine.run(argv, background=True))

    async def kill(self, call_id: str) -> bool:
        """See `Sandbox.kill`."""
        return bool((await self._call("remote_commands.py", {"do": "kill", "call_id": call_id}))["count"])

    async def kill_all(self) -> int:
        """See `Sandbox.kill_all`."""
        return int((await self._call("remote_commands.py", {"do": "kill"}))["count"])

    async def _end(self, call_id: str) -> None:
        killing = asyncio.ensure_future(self.kill(call_id))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({killing}, timeout=KILL_S)
        if killing.done() and not killing.cancelled():
            killing.exception()  # looked at, so that nobody complains
        else:
            killing.cancel()

    # --- files ---

    async def stat(self, path: str, *, digest: bool = False) -> FileStat:
        """See `Sandbox.stat`."""
        return FileStat(**await self._file("stat", path, digest=digest))

    async def read(self, path: str, *, offset: int = 0, limit_bytes: int | None = None) -> bytes:
        """See `Sandbox.read`. In pieces: what one program prints is kept in memory here."""
        if limit_bytes is not None:
            limit_bytes = min(limit_bytes, MAX_FILE_BYTES)
        answer = await self._file("read", path, offset=offset, limit=limit_bytes)
        return base64.b64decode(answer["data"])

    async def write(self, path: str, data: bytes, *, expect: str | None = None) -> FileStat:
        """See `Sandbox.write`."""
        if len(data) > MAX_FILE_BYTES:
            raise ComputeError(f"{len(data):,} bytes are more than can be written at once.", "bad_request")
        return FileStat(**await self._file("write", path, base64.b64encode(data).decode(), expect=expect))

    async def exists(self, path: str) -> bool:
        """See `Sandbox.exists`."""
        try:
            await self.stat(path)
        except ComputeError as error:
            if error.kind == "not_found":
                return False
            raise
        return True

    async def health(self) -> Health:
        """Whether a command runs there at all."""
        try:
            await self._blocking(lambda: self._machine.run("true", timeout=10))
        except ComputeError:
            return Health(False)
        return Health(True)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._blocking(self._machine.close)

    # --- how ---

    def _request(
        self, do: str, call_id: str, command: str, work_dir: str | None, timeout_s: float | None
    ) -> dict[str, Any]:
        where = work_dir or self._work_dir
        return {"do": do, "call_id": call_id, "command": command, "work_dir": where, "timeout_s": timeout_s}

    async def _file(self, do: str, path: str, data: str = "", **more: Any) -> dict[str, Any]:
        source = await asyncio.to_thread(remote_source, "remote_files.py")
        argv = ["python3", "-c", source, json.dumps({"do": do, "path": path, "root": self._work_dir} | more)]
        return await self._program(argv, data, None, REPLY_S)

    async def _call(
        self,
        module: str,
        request: Mapping[str, Any],
        heard: Callable[[dict[str, Any]], None] | None = None,
        timeout_s: float = REPLY_S,
    ) -> dict[str, Any]:
        source = await asyncio.to_thread(remote_source, module)
        return await self._program(["python3", "-c", source, "-"], json.dumps(request), heard, timeout_s)

    async def _program(
        self, argv: list[str], stdin: str, heard: Callable[[dict[str, Any]], None] | None, timeout_s: float
    ) -> dict[str, Any]:
        """The last JSON line that a program prints there; `heard` gets the ones before it, in another thread."""
        lines = _Lines(heard)

        def work() -> Any:
            return self._machine.run(
                argv,
                stdin=stdin,
                timeout=timeout_s,
                check=False,
                capture_output=False,
                on_stdout=lines.feed,
                on_stderr=lines.complain,
            )

        result = await self._blocking(work)
        last = lines.last
        if last is None:
            said = lines.complaints.strip()[-300:] or f"exit code {result.exit_code}"
            raise ComputeError(f"The sandbox {self.id} gave no answer ({said}). Its image needs python3.", "server")
        if trouble := last.get("trouble"):
            if trouble["kind"] == "conflict":
                raise FileConflict(trouble["detail"])
            raise ComputeError(trouble["detail"], _TROUBLES.get(trouble["kind"], "server"))
        return last

    async def _blocking(self, work: Callable[[], T]) -> T:
        return await blocking(work, f"using the sandbox {self.id}")


class _Lines:
    """JSON objects, one a line, out of pieces of text."""

    def __init__(self, heard: Callable[[dict[str, Any]], None] | None) -> None:
        self.last: dict[str, Any] | None = None
        self.complaints = ""
        self._heard = heard
        self._parts: list[str] = []

    def feed(self, text: str) -> None:
        """The next piece of stdout."""
        *whole, rest = text.split("\n")
        for line in whole:
            self._parts.append(line)
            self._take("".join(self._parts))
            self._parts.clear()
        self._parts.append(rest)

    def complain(self, text: str) -> None:
        """The next piece of stderr."""
        self.complaints = (self.complaints + text)[-2000:]

    def _take(self, line: str) -> None:
        with contextlib.suppress(ValueError):
            self.last = json.loads(line)
            if self._heard is not None and self.last is not None:
                self._heard(self.last)


async def blocking(work: Callable[[], T], doing: str) -> T:
    """A call of huggingface_hub's sandbox, in a thread of its own. Raises ComputeError."""

    def run() -> T:
        from huggingface_hub.errors import SandboxError

        try:
            return work()
        except SandboxError as error:
            text = " ".join(str(error).split())[:600]
            status = error.status_code
            raise ComputeError(f"{doing} failed: {text}", _KINDS.get(status or 0, "server")) from error
        except ComputeError:
            raise
        except Exception as error:
            failure = translated(error, doing)
            raise ComputeError(str(failure), failure.kind) from error

    return await in_daemon_thread(run)


def require_endpoint(account: HubAccount) -> None:
    """huggingface_hub's sandboxes know one Hub only, the one that was set when it was imported. Blocking."""
    from huggingface_hub import constants

    if account.endpoint != constants.ENDPOINT.rstrip("/"):
        text = f"Sandboxes as jobs are made at {constants.ENDPOINT} only. Set HF_ENDPOINT before the start."
        raise ComputeError(text, "unsupported", nothing_started=True)


def create_machine(
    account: HubAccount,
    lease_id: str,
    *,
    image: str,
    flavor: str,
    namespace: str | None,
    env: Mapping[str, str],
    secrets: Mapping[str, str],
    labels: Mapping[str, str],
    idle_timeout_s: float | None,
    forward_token: bool,
    work_dir: str,
) -> Machine:
    """A new machine, labelled with the lease, with a work directory. Blocking; huggingface_hub ends what fails."""
    from huggingface_hub import Sandbox as Machine

    require_endpoint(account)
    machine = Machine.create(
        image or IMAGE,
        flavor=flavor,
        idle_timeout=idle_timeout_s,
        env=dict(env),
        secrets=dict(secrets),
        namespace=namespace,
        forward_hf_token=forward_token,
        labels={**labels, LEASE_LABEL: lease_id},
        start_timeout=START_S,
        token=account.token,
    )
    try:
        machine.run(["mkdir", "-p", work_dir], timeout=30)
    except BaseException:
        machine.kill()
        raise
    return machine


def connect_machine(account: HubAccount, job_id: str, namespace: str | None) -> Machine:
    """A machine that was made before. Blocking."""
    from huggingface_hub import Sandbox as Machine

    require_endpoint(account)
    return Machine.connect(job_id, namespace=namespace, token=account.token)
