"""The two kinds of machine that a sandbox can be, as `HfSandbox` uses them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Protocol

from agent.compute.hf_jobs import HfJobs
from agent.compute.hf_schedules import LOOKS_S
from agent.compute.hub_calls import as_compute_error
from agent.compute.sandbox.jobs import JobSandbox, blocking, connect_machine, create_machine
from agent.compute.sandbox.space import FREE_HARDWARE, SLEEP_TIME_S, SandboxSpaces, space_name
from agent.compute.sandbox.space_words import Key
from agent.compute.sandbox.words import Sandbox
from agent.compute.unbroken import outlast
from agent.hub.access import resolve_namespace
from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.hub.hardware import job_hardware, space_price
from agent.protocol.compute import ComputeError, Ending, Handle, Price, Stage, Status, Work

logger = logging.getLogger(__name__)

BACKEND = "hf_sandbox"
PATIENCE_S = 30.0
_MAKING_POLL_S = 2.0
_LOST = ("network", "server")
"""Failures after which something may have been made all the same."""
IDLE_GRACE_S = 600.0
"""A machine with a command may be idle for so long beyond the command's own time limit."""
RESERVED = "SANDBOX_"
"""Variables of these names are the sandbox's server's own."""

_STAGES: Mapping[str, Stage] = {
    "RUNNING": "running",
    "RUNNING_BUILDING": "running",
    "RUNNING_APP_STARTING": "running",
    "BUILDING": "queued",
    "APP_STARTING": "queued",
}
"""Of Spaces. All others are `paused`: nothing runs, but the Space is there until it is deleted."""


class Machines(Protocol):
    """A kind of machine. All methods raise ComputeError; see `ComputeBackend` for what they mean."""

    @property
    def flavour(self) -> str:
        """The word for it in a handle."""

    async def price(self, flavor: str) -> Price:
        """What an hour costs."""

    async def create(self, work: Work, lease_id: str) -> tuple[Handle, Sandbox]:
        """A machine that answers; whatever fails leaves none."""

    async def attach(self, handle: Handle) -> Sandbox:
        """One that was made before."""

    async def find(self, lease_id: str, namespace: str | None) -> Handle | None:
        """What was made under a lease."""

    async def status(self, handle: Handle) -> Status:
        """How it stands."""

    async def pause(self, handle: Handle) -> Ending:
        """Stop it and its costs."""

    async def restart(self, handle: Handle) -> Sandbox:
        """Start it again."""

    async def delete(self, handle: Handle) -> None:
        """Remove it for good, and see to it."""


def _idle_s(work: Work) -> float:
    limit_s = work.timeout_s if work.command and work.timeout_s is not None else 0.0
    return max(SLEEP_TIME_S, limit_s + IDLE_GRACE_S)


class SpaceMachines:
    """Spaces with our own server."""

    flavour = "space"

    def __init__(
        self,
        account: HubAccount,
        *,
        environ: Mapping[str, str] | None,
        sleep: Callable[[float], Awaitable[None]],
        now: Callable[[], datetime],
        forward_token: bool,
    ) -> None:
        self._account = account
        self._spaces = SandboxSpaces(account, environ=environ, sleep=sleep, now=now)
        self._forward_token = forward_token

    async def price(self, flavor: str) -> Price:
        """From the table of hardware for Spaces."""
        usd = space_price(flavor)
        if usd is None:
            catalogue = await job_hardware(self._account)
            raise ComputeError(catalogue.unknown(flavor), "bad_request", nothing_started=True)
        return Price(usd, "free" if usd == 0 else "table")

    async def create(self, work: Work, lease_id: str) -> tuple[Handle, Sandbox]:
        """Named after the lease; the work's variables are the Space's, its secrets go to the command alone."""
        if taken := [name for name in (*work.env, *work.secrets) if name.startswith(RESERVED)]:
            text = f"{taken[0]} is no name for a variable in a sandbox: {RESERVED}* are its server's. Choose another."
            raise ComputeError(text, "bad_request", nothing_started=True)
        try:
            owner, _ = await resolve_namespace(self._account, work.namespace)
        except HubError as error:
            raise as_compute_error(error, nothing_started=True) from error
        space_id = f"{owner}/{space_name(lease_id)}"
        sandbox, key = await self._spaces.create(
            space_id,
            lease_id,
            hardware=work.flavor,
            sleep_time_s=None if work.flavor == FREE_HARDWARE else int(_idle_s(work)),
            command_env=self._forwarded() | dict(work.secrets),
            variables=work.env,
            **({"progress": work.progress} if work.progress is not None else {}),
        )
        private = {"flavour": self.flavour, "api_token": key.api_token, "build": str(key.build)}
        private |= {"work": lease_id} if work.command else {}
        return Handle(BACKEND, space_id, owner, self._spaces.page(space_id), private), sandbox

    async def attach(self, handle: Handle) -> Sandbox:
        """With the key from the handle."""
        return await self._spaces.attach(handle.id, self._key(handle))

    async def find(self, lease_id: str, namespace: str | None) -> Handle | None:
        """By its name."""
        try:
            owner, _ = await resolve_namespace(self._account, namespace)
        except HubError as error:
            raise as_compute_error(error) from error
        space_id = f"{owner}/{space_name(lease_id)}"
        if await self._spaces.runtime(space_id) is None:
            return None
        return Handle(BACKEND, space_id, owner, self._spaces.page(space_id), {"flavour": self.flavour})

    async def status(self, handle: Handle) -> Status:
        """What the Hub says of it. The Hub does not say what is charged."""
        runtime = await self._spaces.runtime(handle.id)
        if runtime is None:
            return Status("gone", message=f"The Space {handle.id} does not exist (any more).")
        return Status(_STAGES.get(runtime.stage, "paused"), runtime.stage, runtime.message)

    async def pause(self, handle: Handle) -> Ending:
        """A paused Space costs nothing."""
        await self._spaces.pause(handle.id)
        status = await self.status(handle)
        if status.stage in ("paused", "gone"):
            return Ending(True, f"The sandbox {handle.id} is {status.stage}.")
        return Ending(False, f"The sandbox {handle.id} is still {status.word}.")

    async def restart(self, handle: Handle) -> Sandbox:
        """With an empty disk."""
        return await self._spaces.restart(handle.id, self._key(handle))

    async def delete(self, handle: Handle) -> None:
        """Three tries, verified."""
        await self._spaces.delete(handle.id)

    def _forwarded(self) -> dict[str, str]:
        token = self._account.token
        return {"HF_TOKEN": token} if self._forward_token and token else {}

    def _key(self, handle: Handle) -> Key:
        api_token = handle.private.get("api_token")
        if not api_token:
            text = f"The key of the sandbox {handle.id} was lost with the program that made it. Delete it"
            raise ComputeError(f"{text}, make a new one.", "auth")
        return Key(api_token, handle.private.get("build"), self._forwarded())


class JobMachines:
    """Jobs with huggingface_hub's own sandbox server."""

    flavour = "job"

    def __init__(
        self,
        account: HubAccount,
        *,
        sleep: Callable[[float], Awaitable[None]],
        now: Callable[[], datetime],
        forward_token: bool,
        work_dir: str,
    ) -> None:
        self._account = account
        self._jobs = HfJobs(account, sleep=sleep, clock=now)
        self._sleep = sleep
        self._forward_token = forward_token
        self._work_dir = work_dir

    async def price(self, flavor: str) -> Price:
        """What the job costs."""
        return await self._jobs.price(flavor)

    async def create(self, work: Work, lease_id: str) -> tuple[Handle, Sandbox]:
        """Labelled with the lease, by which it is found and ended if anything goes wrong on the way."""
        try:
            namespace, _ = await resolve_namespace(self._account, work.namespace)
        except HubError as error:
            raise as_compute_error(error, nothing_started=True) from error

        def make() -> JobSandbox:
            machine = create_machine(
                self._account,
                lease_id,
                image=work.image,
                flavor=work.flavor,
                namespace=namespace,
                env=work.env,
                secrets=work.secrets,
                labels=work.labels,
                idle_timeout_s=_idle_s(work),
                forward_token=self._forward_token,
                work_dir=self._work_dir,
            )
            page = f"{self._account.endpoint}/jobs/{namespace}/{machine.id}"
            return JobSandbox(machine, page=page, hardware=work.flavor, work_dir=self._work_dir)

        making = asyncio.ensure_future(blocking(make, "starting the sandbox"))
        try:
            sandbox = await asyncio.shield(making)
        except BaseException as error:
            await self._undo(lease_id, namespace, making, error)
            raise
        private = {"flavour": self.flavour} | ({"work": lease_id} if work.command else {})
        return Handle(BACKEND, sandbox.id, namespace, sandbox.url, private), sandbox

    async def _undo(
        self, lease_id: str, namespace: str, making: asyncio.Task[JobSandbox], error: BaseException
    ) -> None:
        ending = asyncio.ensure_future(self._end(lease_id, namespace, making))
        is_cancelled = await outlast(ending)
        trouble = ending.exception()
        if trouble is not None:
            logger.warning("the sandbox of lease %s may still run: %s", lease_id, trouble)
        elif isinstance(error, ComputeError):
            error.nothing_started = ending.result() or error.kind not in _LOST
        if is_cancelled:
            raise asyncio.CancelledError

    async def _end(self, lease_id: str, namespace: str, making: asyncio.Task[JobSandbox]) -> bool:
        """End the job of this lease, and whether there was one; a request under way may only now bring it about."""
        for _ in range(int(PATIENCE_S / _MAKING_POLL_S)):
            if await self._end_found(lease_id, namespace):
                return True
            if making.done():
                break
            await asyncio.wait({making}, timeout=_MAKING_POLL_S)
        failure = making.exception() if making.done() and not making.cancelled() else None
        if isinstance(failure, ComputeError) and failure.kind not in _LOST:
            return False
        for pause_s in LOOKS_S:  # where the answer was lost, what was made may show up only after a while
            await self._sleep(pause_s)
            if await self._end_found(lease_id, namespace):
                return True
        return False

    async def _end_found(self, lease_id: str, namespace: str) -> bool:
        found = await self._jobs.find(lease_id, namespace)
        if found is not None:
            await self._jobs.teardown(found)
        return found is not None

    async def attach(self, handle: Handle) -> Sandbox:
        """By its id; the key follows from the account's token."""
        work = "connecting to the sandbox"
        machine = await blocking(lambda: connect_machine(self._account, handle.id, handle.namespace), work)
        return JobSandbox(machine, page=handle.url, work_dir=self._work_dir)

    async def find(self, lease_id: str, namespace: str | None) -> Handle | None:
        """By its label."""
        found = await self._jobs.find(lease_id, namespace)
        if found is None:
            return None
        return Handle(BACKEND, found.id, found.namespace, found.url, {"flavour": self.flavour})

    async def status(self, handle: Handle) -> Status:
        """That of the job."""
        return await self._jobs.status(handle)

    async def pause(self, handle: Handle) -> Ending:
        """A job cannot pause: it is ended."""
        return await self._jobs.cancel(handle)

    async def restart(self, handle: Handle) -> Sandbox:
        """Not for jobs."""
        raise ComputeError("A sandbox that is a job cannot be started again. Make a new one.", "unsupported")

    async def delete(self, handle: Handle) -> None:
        """Cancel the job, and see to it."""
        await self._jobs.teardown(handle)
