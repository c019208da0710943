"""Making, finding, watching and deleting the Spaces that sandboxes run in.

create (hardware, sleep time, key, variables in one call) -> one commit -> build -> health
       └───────── whatever fails, or a cancellation: the Space is deleted again ─────────┘

A new Space is empty, so nothing but our build ever runs in it. An account that may not create Docker Spaces can still
duplicate one: that is somebody else's program, which may run with what the Space holds until our commit is built. So
the Space holds the sandbox's own key only; the person's secrets go to a build that is known to be ours, with each
command.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from agent.compute.hub_calls import as_compute_error, hub_call, require_own
from agent.compute.sandbox.image import space_files
from agent.compute.sandbox.space_client import SpaceSandbox
from agent.compute.sandbox.space_words import AWAKE, FAILED_STAGES, Key, Runtime, may_answer
from agent.compute.unbroken import outlast
from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.protocol.compute import ComputeError
from agent.protocol.messages import utc_now

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)

T = TypeVar("T")
Progress = Callable[[str], None]

TEMPLATE_SPACE = "burtenshaw/sandbox"
"""Duplicated where the Hub lets the account create no Docker Space. ML_INTERN_SANDBOX_TEMPLATE names another one."""
KEY_NAME = "SANDBOX_API_TOKEN"
FREE_HARDWARE = "cpu-basic"
SLEEP_TIME_S = 2700
WAIT = timedelta(minutes=10)
ANSWER_WAIT = timedelta(minutes=3)
ATTACH_WAIT = timedelta(minutes=1)
EMPTY_WAIT = timedelta(seconds=20)
"""So long a Space may look empty after our commit: it was, and the Hub does not know everything everywhere at once."""
BUILD_POLL_S = 5.0
ANSWER_POLL_S = 3.0
PATIENCE_S = 30.0
"""So long a request that was cancelled may take to tell whether it had made the Space."""
DELETE_PAUSES_S = (1.0, 2.0)
LOOK_PAUSES_S = (1.0, 3.0, 6.0)
_LOG_LINES = 20
_GIT_ATTRIBUTES = ".gitattributes"
_TRANSIENT = ("not_found", "network", "server", "rate_limited")


def _unheard(_text: str) -> None:
    """For steps that nobody wants to hear of."""


def space_name(lease_id: str) -> str:
    """The name by which the Space of a lease is found again."""
    return f"sandbox-{lease_id[:8]}"


class SandboxSpaces:
    """The Spaces of one account."""

    def __init__(
        self,
        account: HubAccount,
        *,
        environ: Mapping[str, str] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._account = account
        self._environ = account.environ if environ is None else environ
        self._sleep = sleep
        self._now = now
        self._endings: set[asyncio.Future[Any]] = set()

    # --- making ---

    async def create(
        self,
        space_id: str,
        lease_id: str,
        *,
        hardware: str = FREE_HARDWARE,
        sleep_time_s: int | None = SLEEP_TIME_S,
        command_env: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        progress: Progress = _unheard,
    ) -> tuple[SpaceSandbox, Key]:
        """A running sandbox in a new private Space, and its key. `variables` are public, `command_env` is for commands
        alone. Raises ComputeError, having deleted what was made. `progress` gets a line for people for each step.

        Cancelled at any step: the Space is deleted before this ends.
        """
        key = Key(secrets.token_urlsafe(32), secrets.token_hex(8), command_env or {})
        asleep = f"; it sleeps after {sleep_time_s} s without a request" if sleep_time_s is not None else ""
        progress(f"Making the Space {space_id} on {hardware}{asleep}")
        runtime = {
            "space_hardware": hardware,
            "space_sleep_time": sleep_time_s,
            "space_secrets": [{"key": KEY_NAME, "value": key.api_token}],
            "space_variables": [{"key": name, "value": value} for name, value in (variables or {}).items()],
        }
        is_copy = await self._make(space_id, hardware, runtime, progress)
        try:
            progress("Sending the sandbox's server")
            commit = await self._commit(space_id, lease_id, str(key.build), is_copy=is_copy)
            sandbox = await self._ready(space_id, key, WAIT, progress, hardware=hardware, commit=commit)
        except BaseException as error:
            await self._undo(space_id, error)
            raise
        return sandbox, key

    async def _make(self, space_id: str, hardware: str, runtime: Mapping[str, Any], progress: Progress) -> bool:
        """Make the Space, and tell whether it is a copy of the template."""

        def create(api: HfApi) -> None:
            api.create_repo(space_id, repo_type="space", space_sdk="docker", private=True, **runtime)

        template = self._environ.get("ML_INTERN_SANDBOX_TEMPLATE")
        if not template:
            try:
                await self._made(space_id, hardware, create)
                return False
            except ComputeError as error:
                if not (error.nothing_started and error.kind == "payment" and hardware == FREE_HARDWARE):
                    raise
                logger.info("duplicating %s: %s", TEMPLATE_SPACE, error)
                progress("This account may create no Docker Space; duplicating one instead")
                template = TEMPLATE_SPACE

        def duplicate(api: HfApi) -> None:
            api.duplicate_repo(template, space_id, repo_type="space", private=True, **runtime)

        await self._made(space_id, hardware, duplicate)
        return True

    async def _made(self, space_id: str, hardware: str, make: Callable[[HfApi], None]) -> None:
        """Have the Space made. Raises ComputeError, `nothing_started` where the Hub has said no."""
        making = asyncio.ensure_future(hub_call(self._account, make, "making the sandbox's Space", again=False))
        try:
            await asyncio.shield(making)
        except HubError as error:
            if _was_refused(error):
                text = str(error)
                if error.kind == "payment" and hardware != FREE_HARDWARE:
                    text += f" A sandbox on {hardware} is paid by {space_id.partition('/')[0]}; cpu-basic is free."
                raise ComputeError(text, error.kind, nothing_started=True) from error
            raise await self._after_lost_answer(space_id, error) from error
        except asyncio.CancelledError as error:
            await self._undo(space_id, error, making)
            raise

    async def _after_lost_answer(self, space_id: str, error: HubError) -> ComputeError:
        """Whether the Space was made all the same is found out; if so, it is deleted."""
        for pause_s in LOOK_PAUSES_S:
            try:
                await self._sleep(pause_s)
                is_there = await self.runtime(space_id) is not None
            except ComputeError:
                continue
            except BaseException as cancelled:
                await self._undo(space_id, cancelled)
                raise
            if is_there:
                failure = as_compute_error(error)
                await self._undo(space_id, failure)
                return ComputeError(str(failure), failure.kind, nothing_started=failure.nothing_started)
        text = f"{error} Whether the Space {space_id} was made is not known: look at {self.page(space_id)}."
        return ComputeError(text, error.kind)

    async def _commit(self, space_id: str, lease_id: str, build: str, *, is_copy: bool) -> str:
        """Make our files those of the Space, all of them where it is a copy; returns the commit's id."""
        now = self._now()

        def commit(api: HfApi) -> str:
            from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

            files = space_files(lease_id, build, now)
            there = api.list_repo_files(space_id, repo_type="space") if is_copy else []
            operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
                *(CommitOperationAdd(path, data) for path, data in files.items()),
                *(CommitOperationDelete(path) for path in there if path not in files and path != _GIT_ATTRIBUTES),
            ]
            made = api.create_commit(space_id, operations, commit_message="ml-intern sandbox", repo_type="space")
            return made.oid

        return await self._ask(commit, "sending the sandbox's server", again=False)

    async def _undo(self, space_id: str, error: BaseException, making: asyncio.Task[None] | None = None) -> None:
        """Delete what `error` leaves behind, whatever cancellations come meanwhile; say so in a ComputeError.

        `making` is a request under way that may yet make the Space: it is waited for first.
        """
        ending = asyncio.ensure_future(self._end(space_id, making))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        is_cancelled = await outlast(ending)
        trouble = ending.exception()
        if trouble is not None:
            logger.warning("%s", trouble)
        if isinstance(error, ComputeError):
            error.nothing_started = trouble is None
            error.args = (f"{error} {trouble}",) if trouble is not None else error.args
        if is_cancelled:
            raise asyncio.CancelledError

    async def _end(self, space_id: str, making: asyncio.Task[None] | None) -> None:
        if making is not None:
            await asyncio.wait({making}, timeout=PATIENCE_S)
            failure = making.exception() if making.done() else None
            if isinstance(failure, HubError) and _was_refused(failure):
                return
        await self.delete(space_id)

    # --- waiting ---

    async def attach(self, space_id: str, key: Key, *, wait: timedelta = ATTACH_WAIT) -> SpaceSandbox:
        """A sandbox that was made before, woken if it sleeps. Raises ComputeError if it does not answer in time."""
        return await self._ready(space_id, key, wait)

    async def _ready(
        self,
        space_id: str,
        key: Key,
        wait: timedelta,
        progress: Progress = _unheard,
        *,
        hardware: str | None = None,
        commit: str | None = None,
    ) -> SpaceSandbox:
        """Once it runs, on `hardware`, and its server tells of the key's build: before ours, the template's may run.

        That one is not even asked where the Hub says which `commit` runs: a request takes the account's token along,
        for the Space's door.
        """
        began = self._now()
        deadline, seen, limit = began + wait, "", None
        while True:
            runtime = await self._look(space_id)
            stage = runtime.stage if runtime else "not there yet"
            if stage != seen:
                progress(f"The Space is {stage.lower().replace('_', ' ')}")
                seen, limit = stage, self._now() + ANSWER_WAIT if stage == "RUNNING" else None
            is_new = stage == "NO_APP_FILE" and self._now() - began < EMPTY_WAIT
            if runtime and stage in FAILED_STAGES and not is_new:
                raise await self._failed(space_id, runtime)
            if runtime and may_answer(runtime, hardware, commit):
                sandbox = await self._answering(space_id, key, runtime)
                if sandbox is not None:
                    return sandbox
            if self._now() >= min(deadline, limit or deadline):
                text = f"The sandbox {space_id} was not ready in time (last seen: {stage.lower()})."
                raise ComputeError(f"{text} Its page is {self.page(space_id)}. Try again later.", "server")
            await self._sleep(ANSWER_POLL_S if stage in AWAKE else BUILD_POLL_S)

    async def _look(self, space_id: str) -> Runtime | None:
        """The runtime; None for what may well pass: a new Space is not known everywhere at once."""
        try:
            return await self._runtime(space_id)
        except HubError as error:
            if error.kind not in _TRANSIENT:
                raise as_compute_error(error) from error
            return None

    async def _answering(self, space_id: str, key: Key, runtime: Runtime) -> SpaceSandbox | None:
        try:
            base_url = await self._base_url(space_id)
        except HubError as error:
            if error.kind not in _TRANSIENT:
                raise as_compute_error(error) from error
            return None
        sandbox = SpaceSandbox(
            space_id,
            base_url,
            hf_token=self._account.token,
            api_token=key.api_token,
            command_env=key.command_env if key.build else {},
            page=self.page(space_id),
            hardware=runtime.hardware or runtime.requested or "",
            sleep=self._sleep,
        )
        try:
            health = await sandbox.health()
        except BaseException:
            await sandbox.close()
            raise
        if health.ok and key.build in (None, health.build):
            return sandbox
        await sandbox.close()
        return None

    async def _base_url(self, space_id: str) -> str:
        """Where its server is: what the Hub says, as names with `_` or `.` cannot be guessed."""
        if override := self._environ.get("ML_INTERN_SANDBOX_URL"):
            return override.replace("{id}", space_id)
        info = await hub_call(
            self._account, lambda api: api.space_info(space_id), f"looking for the address of {space_id}", again=True
        )
        host = info.host or (f"https://{info.subdomain}.hf.space" if info.subdomain else "")
        host = host if "://" in host or not host else f"https://{host}"
        parts = urlsplit(host)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise HubError(f"The Hub gives no safe address for {space_id} ({host or 'none'}).", "server")
        return host

    async def _failed(self, space_id: str, runtime: Runtime) -> ComputeError:
        why = FAILED_STAGES[runtime.stage] + (f" ({runtime.message})" if runtime.message else "")
        text = f"The sandbox {space_id} did not start: {why}. Its page: {self.page(space_id)}"

        def log(api: HfApi) -> list[str]:
            lines = api.fetch_space_logs(space_id, build=runtime.stage == "BUILD_ERROR")
            return list(islice(lines, 5000))[-_LOG_LINES:]

        if runtime.stage in ("BUILD_ERROR", "RUNTIME_ERROR"):
            try:
                lines = await hub_call(self._account, log, "reading the log", again=False, reply_s=15.0)
            except HubError as error:
                logger.info("no log of %s: %s", space_id, error)
            else:
                text += "\nThe end of its log:\n" + "\n".join(line.rstrip("\n") for line in lines) if lines else ""
        return ComputeError(text, "server")

    # --- what is there ---

    def page(self, space_id: str) -> str:
        """Its page on the Hub."""
        return self._account.url(space_id, "space")

    async def runtime(self, space_id: str) -> Runtime | None:
        """How it stands; None if there is no such Space. Raises ComputeError."""
        try:
            return await self._runtime(space_id)
        except HubError as error:
            if await self._tells_of_nothing(error):
                await require_own(self._account, space_id.partition("/")[0], f"the Space {space_id}")
                return None
            raise as_compute_error(error) from error

    async def _runtime(self, space_id: str) -> Runtime:
        raw = await hub_call(
            self._account, lambda api: api.get_space_runtime(space_id), f"looking at {space_id}", again=True
        )
        message = raw.raw.get("errorMessage")
        commit = raw.raw.get("sha")
        return Runtime(
            str(raw.stage),
            raw.hardware,
            raw.requested_hardware,
            str(message) if message else None,
            str(commit) if commit else None,
        )

    async def pause(self, space_id: str) -> None:
        """Stop it, and its costs. What lies on its disk is lost, its files as a Space stay."""
        await self._ask(lambda api: api.pause_space(space_id), f"pausing {space_id}")

    async def restart(self, space_id: str, key: Key) -> SpaceSandbox:
        """Start it again after a pause, with an empty disk."""
        await self._ask(lambda api: api.restart_space(space_id), f"restarting {space_id}")
        return await self._ready(space_id, key, WAIT)

    async def delete(self, space_id: str) -> None:
        """Delete it, and look whether it is gone; three tries. Harmless for what is gone. Raises ComputeError."""
        was_taken = False
        for pause_s in (*DELETE_PAUSES_S, None):
            try:
                await hub_call(
                    self._account,
                    lambda api: api.delete_repo(space_id, repo_type="space"),
                    f"deleting {space_id}",
                    again=False,
                    reply_s=PATIENCE_S,
                )
                was_taken = True
                await hub_call(
                    self._account, lambda api: api.space_info(space_id), f"looking for {space_id}", again=False
                )
                trouble = HubError(f"{space_id} is still there after it was deleted.", "server")
            except HubError as error:
                if await self._tells_of_nothing(error):
                    if not was_taken:  # else the order itself has shown that it was ours
                        await require_own(self._account, space_id.partition("/")[0], f"the Space {space_id}")
                    return
                trouble = error
            if pause_s is None:
                break
            await self._sleep(pause_s)
        text = f"The sandbox {space_id} may still exist, and cost money: {trouble}"
        raise ComputeError(f"{text} Delete it at {self.page(space_id)}/settings.", trouble.kind)

    async def _tells_of_nothing(self, error: HubError) -> bool:
        """Whether there is no such Space: a 404, or a 401 though the token is good.

        The client reads a 401 as "not found"; a token that has run out gets one for what is there, too.
        """
        if error.kind != "not_found" or error.status != 401:
            return error.kind == "not_found"
        try:
            await hub_call(self._account, lambda api: api.whoami(), "asking whether the token is good", again=True)
        except HubError:
            return False
        return True

    async def _ask(self, work: Callable[[HfApi], T], doing: str, *, again: bool = True) -> T:
        try:
            return await hub_call(self._account, work, doing, again=again)
        except HubError as error:
            raise as_compute_error(error) from error


def _was_refused(error: HubError) -> bool:
    """Whether nothing can have come of a request: the Hub has said no, or the client before it was even sent. A 408 is
    one that was not understood in time."""
    from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError

    if isinstance(error.__cause__, HFValidationError | LocalTokenNotFoundError):
        return True
    return error.status is not None and 400 <= error.status < 500 and error.status != 408
