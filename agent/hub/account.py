"""The person's Hugging Face account, as everything that talks to the Hub sees it: the one door to huggingface_hub."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import logging
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from agent.hub.errors import HubError, translated
from agent.light_dataclass import dataclass

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

DEFAULT_ENDPOINT = "https://huggingface.co"
READ_ATTEMPTS = 4
READ_LIMIT_S = 60.0
WHOAMI_LIMIT_S = 10.0
WHOAMI_FRESH_S = 600.0
_WAITS_S = (1.0, 3.0, 8.0)


@dataclass(frozen=True, slots=True)
class Who:
    """Whose token it is. `pays` tells for each namespace whether the Hub says it can pay; absent: it does not say."""

    name: str
    orgs: tuple[str, ...]
    is_pro: bool
    pays: Mapping[str, bool]


class Threshold:
    """The point in a change on the Hub after which it cannot be held back: only crossed if nobody has stopped before.

    The thread that makes the change crosses it; whoever stops the change closes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_closed = False
        self.is_crossed = False

    def cross(self) -> None:
        """Raises HubError, which nobody waits for any more, if the change was stopped."""
        with self._lock:
            if self._is_closed:
                raise HubError("It was stopped before anything was changed.", "network")
            self.is_crossed = True

    def close(self) -> None:
        """Nobody crosses it from now on; `is_crossed` does not change any more."""
        with self._lock:
            self._is_closed = True


class HubAccount:
    """Token, address, and calls that never block the event loop.

    `environ` is read at call time. `sleep` is how a retry waits. `on_who` is told, in a thread, whose token it is.
    """

    def __init__(
        self,
        token: str | None,
        environ: Mapping[str, str],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        on_who: Callable[[Who], None] = lambda _who: None,
    ) -> None:
        self.token = token
        self.environ = environ
        self._sleep = sleep
        self._clock = clock
        self._on_who = on_who
        self._who: tuple[float, Who] | None = None
        self._asking: asyncio.Task[Who] | None = None

    @property
    def endpoint(self) -> str:
        """Address of the Hub, without a slash at its end."""
        return (self.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")

    @property
    def known_name(self) -> str | None:
        """Whose token it is, None as long as `whoami` has not been asked."""
        return self._who[1].name if self._who is not None else None

    def url(self, repo_id: str, repo_type: str = "model") -> str:
        """The page of a repository."""
        prefix = {"dataset": "datasets/", "space": "spaces/"}.get(repo_type, "")
        return f"{self.endpoint}/{prefix}{repo_id}"

    def api(self) -> HfApi:
        """A client of its own. Blocks on the first use (an import): only for code that runs inside of `call`."""
        from huggingface_hub import HfApi

        _tame()
        # token=False, not None: else the client would take the one that is stored, which may be somebody else's
        return HfApi(endpoint=self.endpoint, token=self.token or False)

    async def call(
        self,
        work: Callable[[HfApi], T],
        doing: str = "",
        *,
        limit_s: float | None = None,
        threshold: Threshold | None = None,
    ) -> T:
        """`work(api)` in a thread of its own, once. Raises HubError; `doing` says in it what was tried.

        `limit_s`: how long the answer may take (the client itself waits for ever); None for what may take hours.

        Cancelled: the caller goes on at once, and the request runs to its end unheeded, or up to `threshold`, which
        `work` crosses before it changes anything. Lazy answers of the client
        (generators) have to be made into lists inside of `work`.
        """

        def run() -> T:
            try:
                return work(self.api())
            except HubError:
                raise
            except Exception as error:
                raise translated(error, doing) from error

        try:
            async with asyncio.timeout(limit_s):
                return await in_daemon_thread(run)
        except TimeoutError:
            lead = f"{doing[0].upper()}{doing[1:]} failed: " if doing else ""
            text = f"{lead}the Hub did not answer within {limit_s:g} s. Try again, or check the network."
            raise HubError(text, "network") from None
        finally:
            if threshold is not None:
                threshold.close()

    async def read(self, work: Callable[[HfApi], T], doing: str = "", *, limit_s: float | None = READ_LIMIT_S) -> T:
        """Like `call`, for what changes nothing: tried again on rate limits, server trouble and network errors."""
        for wait_s in (*_WAITS_S[: READ_ATTEMPTS - 1], None):
            try:
                return await self.call(work, doing, limit_s=limit_s)
            except HubError as error:
                if wait_s is None or error.kind not in ("rate_limited", "server", "network"):
                    raise
                if isinstance(error.__cause__, Exception) and type(error.__cause__).__name__ == "OfflineModeIsEnabled":
                    raise
                await self._sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    async def whoami(self) -> Who:
        """Whose token it is; asked once in ten minutes, as the Hub limits this strictly. Raises HubError."""
        if self._who is not None and self._clock() - self._who[0] < WHOAMI_FRESH_S:
            return self._who[1]
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask_whoami())
        return await asyncio.shield(self._asking)

    async def _ask_whoami(self) -> Who:
        if not self.token:
            raise HubError("There is no Hugging Face token. Run `hf auth login`, or set HF_TOKEN.", "no_token")
        provider = self.environ.get("OPENID_PROVIDER_URL", "").rstrip("/")

        def ask(api: HfApi) -> Any:
            if provider:
                api.endpoint = provider
            return api.whoami()

        who = _who(await self.read(ask, "asking the Hub whose token this is", limit_s=WHOAMI_LIMIT_S))
        self._who = (self._clock(), who)
        await asyncio.to_thread(self._on_who, who)
        return who


@functools.cache
def _tame() -> None:
    """The terminal is not the client's: no bars, no words of its own on stderr. And when a request cannot connect, the
    client closes the connections that all threads share (its `http_backoff`): those of others must go on."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]
    from huggingface_hub.utils._http import default_client_factory

    def shared_client() -> Any:
        client: Any = default_client_factory()
        client.close = lambda: None
        return client

    set_client_factory(shared_client)
    disable_progress_bars()
    logging.getLogger("huggingface_hub").handlers.clear()
    warnings.filterwarnings("ignore", module="huggingface_hub")


def _who(data: Any) -> Who:
    """Facts of `GET /api/whoami-v2` (spec tools_hub_exec.md §10, llm.md §10); `canPay` where the Hub gives it."""
    if not isinstance(data, dict):
        raise HubError("The Hub did not say whose token this is.", "server")
    name = str(data.get("name") or data.get("user") or data.get("preferred_username") or "")
    orgs = [org for org in data.get("orgs") or () if isinstance(org, dict) and org.get("name")]
    pays = {str(each["name"]): bool(each["canPay"]) for each in ({**data, "name": name}, *orgs) if "canPay" in each}
    return Who(name, tuple(sorted({str(org["name"]) for org in orgs})), data.get("isPro") is True, pays)


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """`work()` in a daemon thread of its own: one that hangs keeps neither the pool's threads nor the program's end.

    Cancelled: the waiting ends at once, the thread runs on unheeded.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    context = contextvars.copy_context()

    def run() -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            result = context.run(work)
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    threading.Thread(target=run, name="hub-call", daemon=True).start()
    return await asyncio.wrap_future(outcome)
