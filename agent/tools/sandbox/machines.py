"""The one sandbox of a run: made in the background when the session begins, or by `sandbox_create`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from agent.compute.hf_sandbox import HfSandbox
from agent.compute.sandbox.machines import BACKEND
from agent.compute.sandbox.space import FREE_HARDWARE
from agent.compute.sandbox.words import Sandbox
from agent.hub.account import HubAccount
from agent.light_dataclass import dataclass
from agent.protocol.compute import ComputeError, Handle, Running, Work
from agent.protocol.tools import FileFingerprint, ToolSession
from agent.tools.jobs.parts import SeedTrackio
from agent.tools.sandbox.files import script_text

logger = logging.getLogger(__name__)

NAME = "the session's sandbox"
PRELOAD_ID = "sandbox-preload"
"""The tool call under which the first sandbox is made: no call of the model's, so that no money is held for it."""

KnownFiles = dict[Path, FileFingerprint]


@dataclass(eq=False, slots=True)
class Machine:
    """A sandbox in use. `lease_id` None: it was attached, and is not this session's to delete.

    `made_env` is what its commands have anyway, `env` what they are to have. `is_spare`: made in advance, and nothing
    was done in it yet.
    """

    handle: Handle
    sandbox: Sandbox
    hardware: str
    usd_per_hour: float | None
    lease_id: str | None
    made_env: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    is_spare: bool = False
    is_paused: bool = False
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a file is changed: of two edits in one batch, the second works on the first's result."""
    _known: dict[str, KnownFiles] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """What the place calls it."""
        return self.handle.id

    def known_files(self, session: ToolSession) -> KnownFiles:
        """The files whose present content the agent has seen in this conversation, by their path in the sandbox."""
        return self._known.setdefault(session.session_id, {})


class Sandboxes:
    """What the sandbox tools of a run share. All of it is for one event loop.

    `seed_trackio` makes a metrics dashboard ready. `shares_token`: whether commands in sandboxes have the person's
    Hugging Face token, so that some of them have to be asked about.
    """

    def __init__(
        self,
        backend: HfSandbox,
        account: HubAccount,
        *,
        seed_trackio: SeedTrackio | None = None,
        shares_token: bool = True,
    ) -> None:
        self.backend = backend
        self.account = account
        self.seed_trackio = seed_trackio
        self.shares_token = shares_token
        self.creating = asyncio.Lock()
        """One at a time: the Hub misbehaves when an owner makes several Spaces at once."""
        self._machine: Machine | None = None
        self._making: asyncio.Task[Machine] | None = None
        self._trouble: ComputeError | None = None
        self._ended: ComputeError | None = None
        self._is_told = False
        self._may_retry = True

    # --- making one in advance ---------------------------------------------------------------------------------------

    async def start_preload(self, session: ToolSession) -> None:
        """Begin making a free sandbox in the background, unless there is one, or that was begun before."""
        if self._machine is None and self._making is None and self._trouble is None:
            self._begin(session)

    async def close(self) -> None:
        """Stop making one. What is there is ended by the session's desk."""
        await self.drop_preload()
        machine, self._machine = self._machine, None
        if machine is not None and machine.lease_id is None:
            with contextlib.suppress(ComputeError):
                await machine.sandbox.close()

    async def drop_preload(self) -> None:
        """Give up the free one that is being made: the desk ends what comes of it."""
        making, self._making = self._making, None
        if making is None:
            return
        making.cancel()
        await asyncio.wait({making})
        if not making.cancelled() and making.exception() is None:  # it was there just then
            self._machine = making.result()

    @property
    def is_starting(self) -> bool:
        """Whether one is being made in the background."""
        return self._making is not None

    def _begin(self, session: ToolSession) -> asyncio.Task[Machine]:
        self._trouble = None
        making = asyncio.create_task(self._make_free(session), name="making a sandbox")
        making.add_done_callback(self._made)
        self._making = making
        return making

    def _made(self, making: asyncio.Task[Machine]) -> None:
        if making is not self._making:  # given up: whoever did that goes on with another one
            if not making.cancelled():
                making.exception()
            return
        self._making = None
        if making.cancelled():
            return
        error = making.exception()
        if error is None:
            self._machine, self._may_retry = making.result(), True
            return
        if not isinstance(error, ComputeError):
            logger.error("making a sandbox failed", exc_info=error)
            error = ComputeError(f"{type(error).__name__}: {error}", "server")
        self._trouble, self._is_told = error, False

    async def _make_free(self, session: ToolSession) -> Machine:
        for running in reversed(session.compute.running):  # one of this conversation's, before it was resumed
            if is_plain(running) and running.status.stage == "running":
                return await self.opened(running)
        price = await session.compute.price(BACKEND, FREE_HARDWARE)
        if price.usd_per_hour != 0:
            text = f"Even {FREE_HARDWARE} costs money here, so none is made unasked."
            raise ComputeError(text, "unsupported", nothing_started=True)
        running = await session.compute.submit(BACKEND, Work(NAME, flavor=FREE_HARDWARE), PRELOAD_ID)
        return await self.opened(running, is_spare=True)

    async def opened(
        self, running: Running, *, env: Mapping[str, str] | None = None, is_spare: bool = False
    ) -> Machine:
        """The machine that runs under a lease; `env` was given to it when it was made. Raises ComputeError."""
        sandbox, env = await self.backend.connect(running.handle), env or {}
        machine = Machine(running.handle, sandbox, running.flavor, running.usd_per_hour, running.lease_id, env, env)
        machine.is_spare = is_spare
        return machine

    # --- using it ----------------------------------------------------------------------------------------------------

    async def use(self, session: ToolSession) -> Machine:
        """The sandbox, waited for where it is being made. Raises ComputeError: what is wrong, and what to do."""
        machine = self.present(session)
        ended, self._ended = self._ended, None
        if ended is not None:
            raise ended
        if machine is None:
            machine = await self.preloaded(session)
        if machine.is_paused:
            raise ComputeError(paused_text(machine), "conflict")
        machine.is_spare = False
        return machine

    def present(self, session: ToolSession) -> Machine | None:
        """The sandbox that is there; None while there is none. That it has ended is told by the next `use`."""
        machine = self._machine
        running = session.compute.find(machine.lease_id) if machine is not None and machine.lease_id else None
        if machine is None or running is None or not running.status.is_over:
            return machine
        self._machine, self._may_retry = None, True
        why = running.status.message or running.status.stage
        self._ended = ComputeError(
            f"The sandbox {machine.id} has ended ({why}), and its files are lost. The next call of bash, read, write "
            f"or edit makes a free one; for other hardware than {FREE_HARDWARE} call sandbox_create.",
            "not_found",
        )
        return None

    async def preloaded(self, session: ToolSession) -> Machine:
        """The free one, as soon as it is there. A failure is told, then it is tried once more, then told again."""
        if self._making is None:
            if self._trouble is not None:
                if not (self._is_told and self._may_retry):
                    self._is_told = True
                    raise self._explained(self._trouble)
                self._may_retry = False
            self._begin(session)
        making = self._making
        assert making is not None
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if making.cancelled() and not (task is not None and task.cancelling()):
                text = "The sandbox that was being made was given up for another one. Send the call again."
                raise ComputeError(text, "conflict") from None
            raise
        except Exception as error:
            self._is_told = True
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> ComputeError:
        again = "The next call tries once more." if self._may_retry else "It is not tried again by itself."
        text = f"There is no sandbox to work in: {error} {again} sandbox_create makes one, too."
        return ComputeError(text, error.kind if isinstance(error, ComputeError) else "server")

    def take(self, machine: Machine) -> None:
        """From now on this is the one."""
        self._machine, self._trouble, self._ended, self._may_retry = machine, None, None, True

    @property
    def in_use(self) -> str:
        """The id of the sandbox, if something may have been done in it; else empty."""
        return self._machine.id if self._machine is not None and not self._machine.is_spare else ""

    @property
    def may_push(self) -> bool:
        """Whether a command there may have the person's token."""
        return self.shares_token or (self._machine is not None and self._machine.lease_id is None)

    # --- for other tools ---------------------------------------------------------------------------------------------

    async def read_script(self, path: str, session: ToolSession) -> str:
        """A script in the sandbox, for `hf_jobs`. Raises FileToolError, FileNotFoundError, ComputeError."""
        return await script_text((await self.use(session)).sandbox, path)


def is_plain(running: Running) -> bool:
    """Whether it is a machine to work in, not one that was made for a single command."""
    return running.kind == "sandbox" and running.handle.id != "" and "work" not in running.handle.private


def paused_text(machine: Machine) -> str:
    """What to say of a machine that does not run."""
    return (
        f'The sandbox {machine.id} is paused. sandbox_create with attach="{machine.id}" starts it again, without its '
        "files; with replace=true it makes another one."
    )
