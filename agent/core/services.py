"""What a session and its tools share of the outside: the Hub account, the places that take work, and the leases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.compute.hf_jobs import HfJobs
from agent.compute.hf_sandbox import HfSandbox
from agent.compute.leases import LeaseStore
from agent.compute.local import LocalProcesses
from agent.config import Config, MessagingConfig, cache_dir
from agent.core.surroundings import Surroundings
from agent.hub.account import HubAccount, Who
from agent.hub.artifacts import HubArtifacts
from agent.hub.whose import remember_user
from agent.llm.credentials import clean_hf_token
from agent.messaging.gateway import NotificationGateway
from agent.protocol.compute import ComputeBackend
from agent.protocol.messages import utc_now
from agent.redaction.live import LiveSecrets, child_environment
from agent.tools.docs.library import DocsLibrary
from agent.tools.mcp.addresses import Place
from agent.tools.mcp.servers import McpServers
from agent.web.cache import AnswerCache
from agent.web.client import WebClient


@dataclass(frozen=True, slots=True)
class Services:
    """Made once for a run. `tools_in_sandbox`: shell and files are in a sandbox, not on this machine."""

    account: HubAccount
    artifacts: HubArtifacts
    leases: LeaseStore
    jobs: HfJobs
    sandbox: HfSandbox
    local: LocalProcesses
    web: WebClient
    docs: DocsLibrary
    notices: NotificationGateway
    config: Config
    environ: Mapping[str, str]
    """Where the web's services are, and the keys to them (agent/web/places.py)."""
    tools_in_sandbox: bool = False
    shares_token: bool = False
    """Whether commands in a sandbox see the person's Hugging Face token."""

    @property
    def backends(self) -> Mapping[str, ComputeBackend]:
        """All places that take work, by name. To add one: its file in agent/compute/, a field, and a word here."""
        places: tuple[ComputeBackend, ...] = (self.jobs, self.sandbox, self.local)
        return {place.name: place for place in places}


def create_services(config: Config, surroundings: Surroundings) -> Services:
    """The services of a run. Nothing is asked, written or imported that takes time."""
    token, cache = clean_hf_token(surroundings.hf_token), cache_dir(surroundings.environ)

    def remember(who: Who) -> None:
        if token and who.name:
            remember_user(cache, token, who.name)

    account = HubAccount(token, surroundings.environ, sleep=surroundings.sleep, on_who=remember)
    shares_token = "HF_TOKEN" in config.child_env
    web = WebClient(AnswerCache(cache / "web.sqlite"), sleep=surroundings.sleep)
    return Services(
        account=account,
        artifacts=HubArtifacts(account, config.hub_artifacts, now=utc_now),
        leases=LeaseStore(surroundings.state_dir),
        jobs=HfJobs(account),
        sandbox=HfSandbox(account, config.sandbox_backend, environ=surroundings.environ, forward_token=shares_token),
        local=LocalProcesses(surroundings.state_dir, child_environment(surroundings.environ, tuple(config.child_env))),
        web=web,
        docs=DocsLibrary(web, surroundings.environ, token, cache),
        notices=NotificationGateway(config.messaging, surroundings.environ, sleep=surroundings.sleep),
        config=config,
        environ=surroundings.environ,
        tools_in_sandbox=config.tool_runtime == "sandbox",
        shares_token=shares_token,
    )


def create_mcp_servers(config: Config, surroundings: Surroundings) -> McpServers | None:
    """The configured MCP servers, None if there are none. Nothing is started or imported that takes time."""
    if not config.mcpServers:
        return None
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
    account, web = HubAccount(None, {}), WebClient()
    return Services(
        account=account,
        artifacts=HubArtifacts(account, "off", now=utc_now),
        leases=LeaseStore(Path()),
        jobs=HfJobs(account),
        sandbox=HfSandbox(account, environ={}),
        local=LocalProcesses(Path(), {}),
        web=web,
        docs=DocsLibrary(web, {}),
        notices=NotificationGateway(MessagingConfig(), {}),
        config=Config(),
        environ={},
    )
