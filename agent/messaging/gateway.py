"""The way out for all notifications: a line for each destination, and an end that never keeps the program waiting."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING

from agent.config import Destination, MessagingConfig
from agent.light_dataclass import dataclass
from agent.messaging.others import Desktop, Webhook
from agent.messaging.slack import Slack
from agent.messaging.words import (
    NotificationError,
    NotificationRequest,
    NotificationResult,
    Provider,
    RetryableNotificationError,
    Ways,
)
from agent.redaction.redactor import RedactionError, Redactor

if TYPE_CHECKING:
    from agent.lean_httpx import httpx

logger = logging.getLogger(__name__)

PROVIDERS: Mapping[str, Provider] = {"slack": Slack(), "webhook": Webhook(), "desktop": Desktop()}
RETRY_WAITS_S = (1.0, 2.0, 4.0)
LONGEST_WAIT_S = 30.0
CLOSE_LIMIT_S, SENDING_SHARE = 2.0, 0.9
"""What an end may take, and how much of it is for sending; the rest is for letting go of connections."""
MAX_WAITING = 100

Show = Callable[[str, str], Awaitable[bool]]


@dataclass(slots=True)
class _Line:
    """What waits for one destination, and who sends it: a slow one holds up no other."""

    waiting: asyncio.Queue[NotificationRequest] = field(default_factory=asyncio.Queue)
    worker: asyncio.Task[None] | None = None
    unsent: int = 0
    """How many have been taken in and are not done with, the one under way included."""


class NotificationGateway:
    """Sends messages. Nothing is started, imported or connected before the first one."""

    def __init__(
        self,
        config: MessagingConfig,
        environ: Mapping[str, str],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.config = config
        self._sleep = sleep
        self._client: asyncio.Task[httpx.AsyncClient] | None = None
        self._lines: dict[str, _Line] = {}
        self._is_running = False
        self._show: Show = _nowhere
        self._tell: Callable[[str], Awaitable[None]] | None = None
        self._told_of: set[str] = set()
        self._ways = Ways(self._http, environ, lambda title, message: self._show(title, message))

    @property
    def destinations(self) -> Mapping[str, Destination]:
        """The destinations in use, by name; none when notifications are not enabled."""
        return self.config.destinations if self.config.enabled else {}

    def start(self, show: Show | None = None, tell: Callable[[str], Awaitable[None]] | None = None) -> None:
        """Take messages from now on. `show` puts a notice on the person's desktop, where there is a terminal; `tell`
        says, once for each destination, that messages do not arrive there."""
        self._is_running = True
        self._show = show or _nowhere
        self._tell = tell

    def leave_terminal(self) -> None:
        """Nothing is shown on the desktop any more: the terminal is given back."""
        self._show, self._tell = _nowhere, None

    def enqueue(self, request: NotificationRequest) -> bool:
        """Send it as soon as possible, beside everything else. False if it will not be: not running, or too many."""
        if not self._is_running:
            return False
        line = self._lines.get(request.destination)
        if line is None:
            line = self._lines[request.destination] = _Line()
            line.worker = asyncio.create_task(self._work(line), name=f"notifications for {request.destination}")
        if line.unsent >= MAX_WAITING:
            logger.warning("a notification for %s was dropped: too many are waiting", request.destination)
            return False
        line.unsent += 1
        line.waiting.put_nowait(request)
        return True

    async def send(self, request: NotificationRequest) -> NotificationResult:
        """Send it and wait for what came of it. Never raises but for cancellation."""
        if not self.config.enabled:
            return NotificationResult(request.destination, False, "disabled", "notifications are not enabled")
        destination = self.config.destinations.get(request.destination)
        if destination is None:
            return NotificationResult(request.destination, False, "unknown", "there is no such destination")
        try:
            clean = replace(request, message=_redacted(request.message), title=_redacted(request.title or "") or None)
            external_id = await self._with_retries(destination, clean)
        except RedactionError:
            problem = "the message could not be cleared of secrets; say it in other words"
            return NotificationResult(request.destination, False, destination.provider, problem)
        except NotificationError as error:
            return NotificationResult(request.destination, False, destination.provider, str(error))
        except Exception as error:  # the door to outside: a notification must never break what it tells of
            logger.exception("the notification for %s failed", request.destination)
            return NotificationResult(request.destination, False, destination.provider, type(error).__name__)
        return NotificationResult(request.destination, True, destination.provider, external_id=external_id)

    async def close(self, limit_s: float = CLOSE_LIMIT_S) -> None:
        """Send what is waiting, as far as that is done in `limit_s`; the rest is given up and logged."""
        self._is_running = False
        lines, self._lines = list(self._lines.values()), {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s * SENDING_SHARE):
                await asyncio.gather(*(line.waiting.join() for line in lines))
        for line in lines:
            if line.worker is not None:
                line.worker.cancel()
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s * (1 - SENDING_SHARE)):
                    await (await client).aclose()
        if unsent := sum(line.unsent for line in lines):
            logger.warning("%d notifications were given up: the program has ended", unsent)

    async def _work(self, line: _Line) -> None:
        while True:
            request = await line.waiting.get()
            try:
                result = await self.send(request)
                line.unsent -= 1
                if not result.ok:
                    await self._failed(result)
            except Exception:  # whoever is told may be gone: the next message is sent all the same
                logger.exception("a notification for %s could not be followed up", request.destination)
            finally:
                line.waiting.task_done()

    async def _failed(self, result: NotificationResult) -> None:
        text = f"The notification for {result.destination} was not sent: {result.error}"
        logger.warning("%s", text)
        if self._tell is not None and result.destination not in self._told_of:
            self._told_of.add(result.destination)
            await self._tell(text)

    async def _with_retries(self, destination: Destination, request: NotificationRequest) -> str | None:
        provider = PROVIDERS[destination.provider]
        for wait_s in RETRY_WAITS_S:
            try:
                return await provider.send(destination, request, self._ways)
            except RetryableNotificationError as error:
                asked_s = error.retry_after_s
                if asked_s is not None and asked_s > LONGEST_WAIT_S:
                    raise
                await self._sleep(wait_s if asked_s is None else asked_s)
        return await provider.send(destination, request, self._ways)

    async def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = asyncio.create_task(asyncio.to_thread(_make_client))
        return await asyncio.shield(self._client)


def _make_client() -> httpx.AsyncClient:
    """Blocking: it imports httpx, and reads all certificates that are trusted."""
    from agent.lean_httpx import httpx

    return httpx.AsyncClient(follow_redirects=False)


def _redacted(text: str) -> str:
    """`text` without what looks like a secret. The values this program holds are taken out where they are known."""
    return Redactor().text(text)


async def _nowhere(_title: str, _message: str) -> bool:
    return False
