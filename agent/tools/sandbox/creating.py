"""`sandbox_create`: another sandbox in place of the free one, one that was paused, or a pause."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

from agent.compute.hub_calls import ask
from agent.compute.sandbox.image import TAG
from agent.compute.sandbox.machines import BACKEND
from agent.compute.sandbox.space import FREE_HARDWARE, KEY_NAME
from agent.compute.unbroken import outlast
from agent.hub.access import resolve_namespace
from agent.hub.errors import HubError
from agent.hub.hardware import space_price
from agent.protocol.compute import ComputeError, Handle, Work
from agent.protocol.events import ToolLog, ToolProgress, ToolStateChange
from agent.protocol.tools import ToolResult, ToolSession
from agent.tools.arguments import ArgumentError
from agent.tools.jobs.money_words import per_hour
from agent.tools.sandbox.machines import NAME, Machine, Sandboxes, is_plain
from agent.tools.sandbox.wanted import Wanted, hardware_of, kept, require_free, require_sandbox_id

logger = logging.getLogger(__name__)

TOOL = "sandbox_create"
END_PATIENCE_S = 30.0


async def create(sandboxes: Sandboxes, wanted: Wanted, session: ToolSession, call_id: str) -> ToolResult:
    """Carry out a call. Raises ArgumentError, ComputeError, HubError."""
    async with sandboxes.creating:
        present = await _present(sandboxes, wanted, session, call_id)
        if wanted.pause:
            return await _pause(sandboxes, present)
        text = kept(present, wanted) if present is not None else None
        if present is not None and (text is not None or (present.id == wanted.attach and not present.is_paused)):
            text = text or f"The sandbox {present.id} is active already, on {present.hardware}."
            env, notes = await _with_dashboard(sandboxes, wanted, session)
            present.env = {**present.env, **env}
            return ToolResult("\n".join([text, *notes]), cost_usd=0.0)
        env, notes = await _with_dashboard(sandboxes, wanted, session)
        machine = await _made(sandboxes, wanted, env, session, call_id)
        sandboxes.take(machine)
        notes += await _replaced(present, machine, session)
        cost_usd = 0.0 if machine.lease_id is None else None  # only free ones of other sessions are attached
        return ToolResult("\n".join([_about(sandboxes, machine), *notes]), cost_usd=cost_usd)


async def _present(sandboxes: Sandboxes, wanted: Wanted, session: ToolSession, call_id: str) -> Machine | None:
    """The sandbox that is there, waited for if the free one that is being made is what is wanted."""
    machine = sandboxes.present(session)
    if machine is not None or not sandboxes.is_starting or wanted.pause:
        return machine
    if wanted.flavor == FREE_HARDWARE and not wanted.attach:
        await session.emit(ToolProgress(TOOL, call_id, "The sandbox is starting."))
        with contextlib.suppress(ComputeError):  # it is tried again at once, and what is wrong is said then
            return await sandboxes.preloaded(session)
        return None
    await sandboxes.drop_preload()
    return sandboxes.present(session)


async def _made(
    sandboxes: Sandboxes, wanted: Wanted, env: dict[str, str], session: ToolSession, call_id: str
) -> Machine:
    if wanted.attach:
        await session.emit(ToolProgress(TOOL, call_id, f"Starting {wanted.attach}"))
        machine = await _attached(sandboxes, wanted.attach, session)
        machine.env = env
        return machine
    await session.emit(ToolProgress(TOOL, call_id, f"Making a sandbox on {wanted.flavor}; this takes a minute or two"))
    try:
        running = await session.compute.submit(BACKEND, Work(NAME, flavor=wanted.flavor, env=env), call_id)
    except ComputeError as error:
        if error.kind == "payment":
            await session.emit(ToolStateChange(call_id, TOOL, "billing_required"))
        raise
    try:
        return await sandboxes.opened(running, env=env)
    except BaseException:
        await _ended(running.lease_id, session)
        raise


async def _ended(lease_id: str, session: ToolSession) -> None:
    """End what was made for nothing, even where the call was cancelled."""
    ending = asyncio.ensure_future(session.compute.cancel(lease_id))
    await asyncio.wait({ending}, timeout=END_PATIENCE_S)
    if ending.done() and not ending.cancelled() and (error := ending.exception()) is not None:
        logger.warning("the sandbox of lease %s is not ended yet: %s", lease_id, error)


async def _replaced(old: Machine | None, new: Machine, session: ToolSession) -> list[str]:
    """Delete the one before. It goes last: had the other one failed, this one and its files would still be there."""
    if old is None or old.id == new.id:
        return []
    if old.lease_id is None:
        return [f"The sandbox {old.id} was not made in this session: it is left as it is."]
    try:
        ending = await session.compute.cancel(old.lease_id)
    except (ComputeError, KeyError) as error:
        return [f"The sandbox {old.id} could NOT be deleted ({error}). It is tried again when the session ends."]
    if ending.worked:
        return [f"The sandbox {old.id} ({old.hardware}) was deleted, with its files."]
    return [f"The sandbox {old.id} could NOT be deleted yet: {ending.text}"]


async def _pause(sandboxes: Sandboxes, machine: Machine | None) -> ToolResult:
    if machine is None:
        return ToolResult("There is no sandbox to pause.", ok=False)
    ending = await sandboxes.backend.pause(machine.handle)
    machine.is_paused = machine.is_paused or ending.worked
    if not ending.worked:
        return ToolResult(ending.text, ok=False)
    again = f'sandbox_create with attach="{machine.id}" starts it again, with replace=true it makes another one.'
    return ToolResult(f"{ending.text} Its files are lost. {again}", cost_usd=0.0)


# --- one that is there -----------------------------------------------------------------------------------------------


async def _attached(sandboxes: Sandboxes, wanted_id: str, session: ToolSession) -> Machine:
    """A sandbox that was made before. Raises ArgumentError, ComputeError, HubError."""
    running = session.compute.find(wanted_id)
    if running is not None and not running.status.is_over:
        if not is_plain(running):
            raise ArgumentError(f"`attach`: {wanted_id} is no sandbox that can be worked in.")
        if (await sandboxes.backend.status(running.handle)).stage == "running":
            return await sandboxes.opened(running)
        async with _paused_again(sandboxes, running.handle):
            sandbox = await sandboxes.backend.restart(running.handle)
        return Machine(running.handle, sandbox, running.flavor, running.usd_per_hour, running.lease_id)
    return await _adopted(sandboxes, wanted_id)


async def _adopted(sandboxes: Sandboxes, space_id: str) -> Machine:
    """A free one that another session made and that does not run. Its key went with that session, so it gets a new
    one; all that speaks against it is found out before."""
    require_sandbox_id(space_id)
    owner, _ = await resolve_namespace(sandboxes.account, space_id.partition("/")[0])
    handle = Handle(BACKEND, space_id, owner, sandboxes.account.url(space_id, "space"), {"flavour": "space"})
    status = await sandboxes.backend.status(handle)
    if status.stage == "gone":
        raise ComputeError(f"There is no sandbox {space_id} (any more).", "not_found")
    if status.stage != "paused":
        raise ComputeError(
            f"The sandbox {space_id} is {status.word.lower()}, and its key is known only to the session that made it. "
            f"If that has ended, pause it at {handle.url}/settings and attach it then (its files are lost), or make "
            "another one.",
            "conflict",
        )
    await _require_private_sandbox(sandboxes, space_id)
    flavor = await hardware_of(sandboxes, space_id)
    require_free(sandboxes, space_id, flavor)
    key = secrets.token_urlsafe(32)
    handle = replace(handle, private={**handle.private, "api_token": key})
    async with _paused_again(sandboxes, handle):
        await ask(
            sandboxes.account,
            lambda api: api.add_space_secret(space_id, KEY_NAME, key),
            f"giving the sandbox {space_id} a key",
        )
        sandbox = await sandboxes.backend.restart(handle)
        await sandbox.exists(".")  # answers only if the key is taken
    return Machine(handle, sandbox, flavor, space_price(flavor), None)


async def _require_private_sandbox(sandboxes: Sandboxes, space_id: str) -> None:
    info = await ask(sandboxes.account, lambda api: api.space_info(space_id), f"looking at the sandbox {space_id}")
    if TAG not in (info.tags or []):
        raise ComputeError(f"The Space {space_id} is no sandbox: it has not the tag {TAG}.", "bad_request")
    if not info.private:
        page = sandboxes.account.url(space_id, "space")
        text = f"The sandbox {space_id} is public. Make it private at {page}/settings, then attach it, or make another"
        raise ComputeError(f"{text} one.", "bad_request")


@contextlib.asynccontextmanager
async def _paused_again(sandboxes: Sandboxes, handle: Handle) -> AsyncIterator[None]:
    """Whatever fails inside, or a cancellation: the sandbox that was being started is stopped again."""
    try:
        yield
    except BaseException as error:
        pausing = asyncio.ensure_future(sandboxes.backend.pause(handle))
        was_cancelled = await outlast(pausing)
        trouble = pausing.exception()
        if trouble is not None:
            logger.warning("the sandbox %s may run: %s", handle.id, trouble)
            if isinstance(error, ComputeError):
                error.args = (f"{error} It may run now: it could not be paused again ({trouble}).",)
        if was_cancelled:
            raise asyncio.CancelledError from error
        raise


# --- words -----------------------------------------------------------------------------------------------------------


def _about(sandboxes: Sandboxes, machine: Machine) -> str:
    lines = [
        f"The sandbox is ready: {machine.id}",
        f"URL: {machine.handle.url or 'none'}",
        f"Hardware: {machine.hardware} ({per_hour(machine.usd_per_hour)})",
        "Visibility: private",
        "bash, read, write and edit work in it from now on; it has no files of an earlier one.",
    ]
    if machine.lease_id is None:
        lines.append(
            "It was made by another session, so this one does not delete it at its end. pause=true stops it; otherwise "
            "it sleeps some time after its last use."
        )
    else:
        lines.append("It is deleted when the session ends.")
    if not sandboxes.shares_token or machine.lease_id is None:  # of a build that this session has not made: see `Key`
        lines.append("Commands in it have no Hugging Face token.")
    return "\n".join(lines)


async def _with_dashboard(
    sandboxes: Sandboxes, wanted: Wanted, session: ToolSession
) -> tuple[dict[str, str], list[str]]:
    """Make the metrics dashboard ready; the variables for it. Trouble is said, and no more."""
    env = {"TRACKIO_PROJECT": wanted.trackio_project} if wanted.trackio_project else {}
    space = wanted.trackio_space_id
    if not space:
        return env, []
    try:
        if "/" not in space:
            space = f"{(await sandboxes.account.whoami()).name}/{space}"
        env["TRACKIO_SPACE_ID"] = space
        notes = [f"Metrics: {sandboxes.account.url(space, 'space')}"]
        lines: list[str] = []
        if sandboxes.seed_trackio is not None:
            await sandboxes.seed_trackio(space, lines.append)
        for line in lines:
            await session.emit(ToolLog(TOOL, session.scrub(line)))
    except HubError as error:
        notes = [f"The dashboard {space} could not be made ready: {error}"]
    return env, notes
