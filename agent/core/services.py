"""What a session and its tools share of the outside: the Hub account, the places that take work, and the leases.

Each service is made, and what it consists of imported, when somebody first asks for it: this is the one door to them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config import Config, cache_dir
from agent.hub.account import HubAccount, Who
from agent.llm.credentials import clean_hf_token
from agent.protocol.compute import ComputeBackend
from agent.redaction.live import LiveSecrets, child_environment

if TYPE_CHECKING:
    from agent.compute.hf_jobs import HfJobs
    from agent.compute.hf_sandbox import HfSandbox
    from agent.compute.leases import LeaseStore
    from agent.compute.local import LocalProcesses
    from agent.config import Destination
    from agent.core.surroundings import Surroundings
    from agent.hub.artifacts import HubArtifacts
    from agent.messaging.gateway import NotificationGateway
    from agent.tools.docs.library import DocsLibrary
    from agent.tools.mcp.servers import McpServers
    from agent.web.client import WebClient

_TO_CLOSE = ("notices", "sandbox", "docs", "web")
"""In this order: what is sent goes before what it is sent with."""


class Services:
    """One for a run; `close` it at the end."""

    def __init__(
        self,
        config: Config,
        account: HubAccount,
        environ: Mapping[str, str],
        state_dir: Path,
        cache: Path | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`environ` tells where the web's services are, and has the keys to them (agent/web/places.py). `cache` None:
        what was read on the web is kept in memory alone. Nothing is asked, written or imported yet."""
        self.config = config
        self.account = account
        self.environ = environ
        self._state_dir = state_dir
        self._cache = cache
        self._sleep = sleep

    @property
    def tools_in_sandbox(self) -> bool:
        """Whether shell and files are in a sandbox, not on this machine."""
        return self.config.tool_runtime == "sandbox"

    @property
    def shares_token(self) -> bool:
        """Whether commands in a sandbox see the person's Hugging Face token."""
        return "HF_TOKEN" in self.config.child_env

    @property
    def destinations(self) -> Mapping[str, Destination]:
        """Where notifications may go, by name; none when they are not enabled."""
        messaging = self.config.messaging
        return messaging.destinations if messaging.enabled else {}

    @cached_property
    def artifacts(self) -> HubArtifacts:
        """What the session makes on the Hub, and how it is found again."""
        from agent.hub.artifacts import HubArtifacts
        from agent.protocol.messages import utc_now

        return HubArtifacts(self.account, self.config.hub_artifacts, now=utc_now)

    @cached_property
    def leases(self) -> LeaseStore:
        """The leases on what is held elsewhere."""
        from agent.compute.leases import LeaseStore

        return LeaseStore(self._state_dir)

    @cached_property
    def jobs(self) -> HfJobs:
        """Hugging Face Jobs."""
        from agent.compute.hf_jobs import HfJobs

        return HfJobs(self.account)

    @cached_property
    def sandbox(self) -> HfSandbox:
        """Sandboxes on Hugging Face."""
        from agent.compute.hf_sandbox import HfSandbox

        kind, shares = self.config.sandbox_backend, self.shares_token
        return HfSandbox(self.account, kind, environ=self.environ, forward_token=shares)

    @cached_property
    def local(self) -> LocalProcesses:
        """Processes on this machine."""
        from agent.compute.local import LocalProcesses

        return LocalProcesses(self._state_dir, child_environment(self.environ, tuple(self.config.child_env)))

    @cached_property
    def backends(self) -> Mapping[str, ComputeBackend]:
        """All places that take work, by name. To add one: its file in agent/compute/, a property, and a line here."""
        return _Places({"hf_jobs": lambda: self.jobs, "hf_sandbox": lambda: self.sandbox, "local": lambda: self.local})

    @cached_property
    def web(self) -> WebClient:
        """Who reads the web."""
        from agent.web.cache import AnswerCache
        from agent.web.client import WebClient

        cache = AnswerCache(self._cache / "web.sqlite") if self._cache is not None else None
        return WebClient(cache, sleep=self._sleep)

    @cached_property
    def docs(self) -> DocsLibrary:
        """The library of documentation."""
        from agent.tools.docs.library import DocsLibrary

        return DocsLibrary(self.web, self.environ, self.account.token, self._cache)

    @cached_property
    def notices(self) -> NotificationGateway:
        """The way out for notifications."""
        from agent.messaging.gateway import NotificationGateway

        return NotificationGateway(self.config.messaging, self.environ, sleep=self._sleep)

    async def close(self) -> None:
        """Let go of what was made. Each of them is closed, whatever another one raises."""
        async with contextlib.AsyncExitStack() as at_end:
            for name in reversed(_TO_CLOSE):
                if (made := vars(self).get(name)) is not None:
                    at_end.push_async_callback(made.close)


class _Places(Mapping[str, ComputeBackend]):
    """Places by name, each of them made when it is asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], ComputeBackend]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> ComputeBackend:
        return self._makers[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def create_services(config: Config, surroundings: Surroundings) -> Services:
    """The services of a run. Nothing is asked, written or imported that takes time."""
    token, cache = clean_hf_token(surroundings.hf_token), cache_dir(surroundings.environ)

    def remember(who: Who) -> None:
        from agent.hub.whose import remember_user

        if token and who.name:
            remember_user(cache, token, who.name)

    account = HubAccount(token, surroundings.environ, sleep=surroundings.sleep, on_who=remember)
    return Services(config, account, surroundings.environ, surroundings.state_dir, cache, surroundings.sleep)


def create_mcp_servers(config: Config, surroundings: Surroundings) -> McpServers | None:
    """The configured MCP servers, None (and nothing imported) if there are none. Nothing is started."""
    if not config.mcpServers:
        return None
    from agent.tools.mcp.addresses import Place
    from agent.tools.mcp.servers import McpServers

    token = clean_hf_token(surroundings.hf_token)
    place = Place(
        workspace=surroundings.workspace,
        child_env=child_environment(surroundings.environ, tuple(config.child_env)),
        log_dir=surroundings.state_dir / "logs" / "mcp",
        hf_token=token,
    )
    secrets = LiveSecrets(surroundings.environ, {"HF_TOKEN": token})
    servers = McpServers(
        config.mcpServers, place, scrub=secrets.scrub, is_single_turn=surroundings.headless, sleep=surroundings.sleep
    )
    for name, value in servers.secrets:
        secrets.add(name, value)
    return servers


def services_nowhere() -> Services:
    """Services that lead nowhere, for who only asks what tools there are."""
    return Services(Config(), HubAccount(None, {}), {}, Path())
