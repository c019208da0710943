"""Sandboxes as a place that takes work: the machine alone, or a machine with one command in its background.

Two kinds of machine behind one name: a Space that this program builds, or a job of huggingface_hub's making. Which it
was is in the handle, so either kind can be followed and ended whatever is configured now.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from agent.compute.hub_calls import account_name
from agent.compute.sandbox.machines import JobMachines, Machines, SpaceMachines
from agent.compute.sandbox.words import WORK_DIR, Sandbox
from agent.compute.unbroken import outlast
from agent.hub.account import HubAccount
from agent.protocol.compute import ComputeError, Ending, Handle, Kind, LogLine, Price, Status, Work
from agent.protocol.messages import utc_now

logger = logging.getLogger(__name__)

WORK_ROOT = "/tmp/ml-intern-work"
POLL_S = 2.0
MAX_PAUSE_S = 30.0
PIECE_BYTES = 1 << 20
TIMED_OUT = "TIMED_OUT"
_PASSING = ("network", "server", "rate_limited")
_LOOKS = 5
_TRIES_ONCE_OVER = 5
"""So often the rest of the output is asked for, once the work is known to be over."""
OVERDUE_AFTER = timedelta(minutes=2)
"""A command whose time limit was so long ago counts as ended, whatever the sandbox tells of it, or does not."""


class HfSandbox:
    """`ComputeBackend` for sandboxes, `connect` for those who use one.

    `forward_token`: commands there get the account's token. `work_dir` matters to jobs only, `work_root` is where a
    command in the background keeps its output.
    """

    def __init__(
        self,
        account: HubAccount,
        flavour: Literal["space", "job"] = "space",
        *,
        environ: Mapping[str, str] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], datetime] = utc_now,
        forward_token: bool = False,
        work_dir: str = WORK_DIR,
        work_root: str = WORK_ROOT,
    ) -> None:
        self._account = account
        self._sleep = sleep
        self._now = now
        self._work_root = work_root
        spaces = SpaceMachines(account, environ=environ, sleep=sleep, now=now, forward_token=forward_token)
        jobs = JobMachines(account, sleep=sleep, now=now, forward_token=forward_token, work_dir=work_dir)
        self._kinds: dict[str, Machines] = {spaces.flavour: spaces, jobs.flavour: jobs}
        self._default = self._kinds[flavour]
        self._open: dict[str, Sandbox] = {}
        self._opening = asyncio.Lock()

    @property
    def name(self) -> str:
        """`hf_sandbox`."""
        return "hf_sandbox"

    @property
    def kind(self) -> Kind:
        """`sandbox`."""
        return "sandbox"

    async def account(self) -> str:
        """Whose token it is."""
        return await account_name(self._account)

    async def price(self, flavor: str) -> Price:
        """What an hour of the kind of machine costs that is made now."""
        return await self._default.price(flavor)

    async def submit(self, work: Work, lease_id: str) -> Handle:
        """A machine, and in its background the command, if there is one. Whatever fails, it is deleted again."""
        handle, sandbox = await self._default.create(work, lease_id)
        self._open[handle.id] = sandbox
        if work.command:
            try:
                command, directory = shlex.join(work.command), f"{self._work_root}/{lease_id}"
                await sandbox.start(lease_id, command, directory=directory, timeout_s=work.timeout_s)
            except BaseException as error:
                await self._undo(handle, error)
                raise
            if work.timeout_s is not None:
                ends_at = self._now() + timedelta(seconds=work.timeout_s)
                handle = replace(handle, private={**handle.private, "ends_at": ends_at.isoformat()})
        return handle

    async def _undo(self, handle: Handle, error: BaseException) -> None:
        ending = asyncio.ensure_future(self.teardown(handle))
        is_cancelled = await outlast(ending)
        trouble = ending.exception()
        if isinstance(error, ComputeError):
            error.nothing_started = trouble is None
            error.args = (f"{error} {trouble}",) if trouble else error.args
        if trouble:
            logger.warning("%s", trouble)
        if is_cancelled:
            raise asyncio.CancelledError

    async def find(self, lease_id: str, namespace: str | None) -> Handle | None:
        """What was made under this lease, of either kind. A Space's key is not found again: it can only be ended."""
        for kind in (self._default, *(each for each in self._kinds.values() if each is not self._default)):
            if (handle := await kind.find(lease_id, namespace)) is not None:
                return handle
        return None

    async def connect(self, handle: Handle) -> Sandbox:
        """The sandbox, to be used; the same one for as long as it is open. Raises ComputeError."""
        async with self._opening:
            if handle.id not in self._open:
                self._open[handle.id] = await self._machines(handle).attach(handle)
            return self._open[handle.id]

    async def pause(self, handle: Handle) -> Ending:
        """Stop the machine and its costs, where that is possible without deleting it. Its disk is lost."""
        await self._let_go(handle)
        return await self._machines(handle).pause(handle)

    async def restart(self, handle: Handle) -> Sandbox:
        """Start a machine again that was paused."""
        await self._let_go(handle)
        self._open[handle.id] = await self._machines(handle).restart(handle)
        return self._open[handle.id]

    # --- ComputeBackend: following ---

    async def status(self, handle: Handle) -> Status:
        """How the machine stands or, where it has a command, how that stands."""
        machine = await self._machines(handle).status(handle)
        if "work" not in handle.private or machine.is_over:
            return machine
        if machine.stage != "running":
            if machine.stage == "queued":
                return machine
            text = f"The machine is {machine.word.lower()}: it stopped while the command ran."
            return Status("failed", machine.word, text, machine.started_at)
        try:
            status = await self._work_status(handle, machine)
        except (ComputeError, ValueError) as error:
            if not self._is_overdue(handle):
                if isinstance(error, ComputeError):
                    raise
                text = f"What the sandbox {handle.id} tells of its command cannot be read ({error})."
                raise ComputeError(text, "server") from error
            logger.warning("the sandbox %s tells nothing of its command's end: %s", handle.id, error)
            status = machine
        if status.is_over or not self._is_overdue(handle):
            return status
        text = "Its time limit is over, and the sandbox tells nothing of its end: it counts as ended."
        return Status("failed", TIMED_OUT, text, machine.started_at)

    def _is_overdue(self, handle: Handle) -> bool:
        """Whether its command must have ended by now. A sandbox with a full disk, say, may not be able to tell."""
        ends_at = handle.private.get("ends_at")
        return ends_at is not None and self._now() > datetime.fromisoformat(ends_at) + OVERDUE_AFTER

    async def _work_status(self, handle: Handle, machine: Status) -> Status:
        sandbox = await self.connect(handle)
        directory = self._directory(handle)
        if not await sandbox.exists(f"{directory}/exit"):
            if await sandbox.exists(f"{directory}/output.log"):
                return machine
            text = "The machine was started anew while the command ran; its output is lost."
            return Status("failed", "LOST", text, machine.started_at)
        ending = json.loads(await sandbox.read(f"{directory}/exit"))
        code = ending["exit_code"]
        if ending["killed"]:
            return Status("canceled", "CANCELED", None, machine.started_at)
        if ending["timed_out"] or ending["flooded"]:
            text = "It was ended at its time limit." if ending["timed_out"] else "It was ended: it printed too much."
            return Status("failed", TIMED_OUT if ending["timed_out"] else "FLOODED", text, machine.started_at)
        word = "COMPLETED" if code == 0 else "ERROR"
        return Status("completed" if code == 0 else "failed", word, f"exit code {code}", machine.started_at)

    async def logs(self, handle: Handle, *, skip: int = 0) -> AsyncIterator[LogLine]:
        """What its command prints; nothing at all for a machine without one."""
        if "work" not in handle.private:
            return
        path, offset, number, rest, failures = f"{self._directory(handle)}/output.log", 0, 0, b"", 0
        is_over = False
        while True:
            try:
                is_over = is_over or (await self.status(handle)).is_over
                data = await self._piece(handle, path, offset)
            except ComputeError as error:
                if error.kind not in _PASSING:
                    raise
                failures += 1
                if is_over and failures >= _TRIES_ONCE_OVER:
                    return
                await self._sleep(min(POLL_S * 2 ** min(failures, _TRIES_ONCE_OVER), MAX_PAUSE_S))
                continue
            failures = 0
            offset += len(data)
            *lines, rest = (rest + data).split(b"\n")
            if is_over and not data and rest:
                lines, rest = [rest], b""
            for line in lines:
                number += 1
                if number > skip:
                    yield LogLine(line.decode("utf-8", "replace").removesuffix("\r"))
            if not data:
                if is_over:
                    return
                await self._sleep(POLL_S)

    async def _piece(self, handle: Handle, path: str, offset: int) -> bytes:
        """The next output; nothing when the machine has gone, and its output with it."""
        if handle.id not in self._open and (await self._machines(handle).status(handle)).stage != "running":
            return b""  # to connect would be to wait for a machine that does not come
        try:
            sandbox = await self.connect(handle)
            return await sandbox.read(path, offset=offset, limit_bytes=PIECE_BYTES)
        except ComputeError as error:
            if error.kind == "not_found" or (await self._machines(handle).status(handle)).stage != "running":
                return b""
            raise

    # --- ComputeBackend: ending ---

    async def cancel(self, handle: Handle) -> Ending:
        """End its command; a machine without one is paused, or ended if it cannot be. The rest is for `teardown`."""
        if "work" not in handle.private:
            return await self.pause(handle)
        status = await self.status(handle)
        if status.is_over:
            return Ending(True, f"The command was over already ({status.word}).")
        await (await self.connect(handle)).kill(handle.private["work"])
        for _ in range(_LOOKS):
            status = await self.status(handle)
            if status.is_over:
                return Ending(True, "The command was stopped. The machine goes on until it is deleted.")
            await self._sleep(POLL_S / 4)
        return Ending(False, "The command does not stop. Delete the machine to end it.")

    async def teardown(self, handle: Handle) -> None:
        """Delete the machine, and see to it that it is gone."""
        await self._let_go(handle)
        await self._machines(handle).delete(handle)

    async def close(self) -> None:
        """Let go of all connections. The machines go on."""
        opened = list(self._open.values())
        self._open.clear()
        for sandbox in opened:
            await sandbox.close()

    async def _let_go(self, handle: Handle) -> None:
        sandbox = self._open.pop(handle.id, None)
        if sandbox is not None:
            await sandbox.close()

    def _machines(self, handle: Handle) -> Machines:
        # a Space's id has its owner in it, a job's has not
        known = handle.private.get("flavour") or ("space" if "/" in handle.id else "job")
        return self._kinds[known]

    def _directory(self, handle: Handle) -> str:
        return f"{self._work_root}/{handle.private['work']}"
