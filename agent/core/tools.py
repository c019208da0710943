"""The tools of a session: which there are, and the one place where a call meets its handler."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agent.core.endings import TurnStopped
from agent.core.schema_check import load_validator, schema_problem
from agent.core.services import Services
from agent.protocol.tools import ToolResult, ToolSession, ToolSpec
from agent.protocol.untrusted import as_data
from agent.protocol.wire import WireObject
from agent.tools.approval_rules import bash_rule
from agent.tools.arguments import loosened
from agent.tools.bash_tool import bash_spec
from agent.tools.dataset_tools import hf_inspect_dataset_spec
from agent.tools.docs_tools import explore_hf_docs_spec, fetch_hf_docs_spec, find_hf_api_spec
from agent.tools.edit_tool import edit_spec
from agent.tools.fetch_url_tool import fetch_url_spec
from agent.tools.github_find_examples import github_find_examples_spec
from agent.tools.github_list_repos import github_list_repos_spec
from agent.tools.github_read_file import github_read_file_spec
from agent.tools.github_search_code import github_search_code_spec
from agent.tools.hf_repo_files_tool import hf_repo_files_spec
from agent.tools.hf_repo_git_tool import hf_repo_git_spec
from agent.tools.jobs_tool import hf_jobs_spec
from agent.tools.mcp.naming import PREFIX
from agent.tools.notify_tool import notify_spec
from agent.tools.output import cap_output, fits
from agent.tools.papers_tool import hf_papers_spec
from agent.tools.plan_tool import plan_spec
from agent.tools.read_tool import read_spec
from agent.tools.research_tool import research_spec
from agent.tools.web_search_tool import web_search_spec
from agent.tools.write_tool import write_spec

if TYPE_CHECKING:
    from agent.hub.account import HubAccount
    from agent.tools.hub_uploads import FetchFiles
    from agent.tools.mcp.servers import McpServers
    from agent.tools.sandbox.machines import Sandboxes
    from agent.web.client import WebClient

__all__ = ["ToolRouter", "ToolSpec", "create_builtin_tools", "create_sandboxes"]

logger = logging.getLogger(__name__)

MAX_TOOLS = 128
"""With more than this, providers refuse every call of the model."""


def create_builtin_tools(services: Services, sandboxes: Sandboxes | None = None) -> list[ToolSpec]:
    """The tools that come with the program, in the order the model sees them. To add one: its file and a line here.

    With `sandboxes` the shell and the files are there, not on this machine.
    """
    account = services.account
    return [
        *_tools_for_files(sandboxes),
        research_spec(),
        *_reading_tools(services),
        plan_spec(),
        *filter(None, [notify_spec(services.destinations, lambda: services.notices)]),
        hf_repo_files_spec(account, lambda: services.artifacts, _fetch_from(sandboxes)),
        hf_repo_git_spec(account, lambda: services.artifacts),
        hf_jobs_spec(
            account,
            lambda: services.jobs,
            read_script=None if sandboxes is None else sandboxes.read_script,
            seed_trackio=partial(_seed_dashboard, account),
            artifact_wrap=partial(_with_hook, services),
            offers_local=sandboxes is None,
        ),
    ]


def _tools_for_files(sandboxes: Sandboxes | None) -> list[ToolSpec]:
    """Shell and files: on this machine, or in the sandbox."""
    if sandboxes is None:
        return [bash_spec(bash_rule), read_spec(), write_spec(), edit_spec()]
    from agent.tools.sandbox_tools import sandbox_specs

    return sandbox_specs(sandboxes)


def _fetch_from(sandboxes: Sandboxes | None) -> FetchFiles | None:
    """Where the files to upload come from, if that is not this machine."""
    if sandboxes is None:
        return None
    from agent.tools.sandbox.fetching import fetch

    return partial(fetch, sandboxes)


def _reading_tools(services: Services) -> list[ToolSpec]:
    """What looks things up: documentation, papers, data, code, the web."""
    environ, token, config = services.environ, services.account.token, services.config

    def web() -> WebClient:
        return services.web

    return [
        explore_hf_docs_spec(lambda: services.docs),
        fetch_hf_docs_spec(lambda: services.docs),
        find_hf_api_spec(web, environ),
        hf_papers_spec(web, environ, token),
        hf_inspect_dataset_spec(web, environ, token),
        github_find_examples_spec(web, environ),
        github_list_repos_spec(web, environ),
        github_read_file_spec(web, environ),
        github_search_code_spec(web, environ),
        web_search_spec(web, environ, config.web_search_provider),
        fetch_url_spec(web, environ, config.fetch_private_hosts),
    ]


def _with_hook(services: Services, command: tuple[str, ...], session: ToolSession) -> tuple[str, ...]:
    """A job's command that also collects what the job pushes, as far as the person wants that."""
    from agent.hub.artifact_hook import wrapped

    started = services.artifacts.started(session.session_id)
    return wrapped(command, session.session_id, services.artifacts.mode, started, services.account.endpoint)


async def _seed_dashboard(account: HubAccount, space_id: str, log: Callable[[str], None]) -> bool:
    """Make a dashboard for metrics ready; whether anything had to be changed."""
    from agent.hub.trackio import seed_dashboard

    return await seed_dashboard(account, space_id, log)


def create_sandboxes(services: Services) -> Sandboxes | None:
    """The sandbox of a run whose tools are in one, else None."""
    if not services.tools_in_sandbox:
        return None
    from agent.tools.sandbox.machines import Sandboxes

    seed = partial(_seed_dashboard, services.account)
    return Sandboxes(services.sandbox, services.account, seed_trackio=seed, shares_token=services.shares_token)


class ToolRouter:
    """Finds, checks and runs tools. An async context manager: on leaving it the MCP servers are left, too."""

    def __init__(self, specs: Iterable[ToolSpec], servers: McpServers | None = None) -> None:
        """A later tool never replaces an earlier one of the same name; those of `servers` come last."""
        self.servers = servers
        self._specs: dict[str, ToolSpec] = {}
        self._of_servers: tuple[str, ...] = ()
        self._warming: asyncio.Task[None] | None = None
        self._is_closing = False
        self._forms: dict[int, tuple[ToolSpec, WireObject]] = {}
        """The tools in the form that is sent, made once."""
        for spec in specs:
            self.add(spec)

    def add(self, spec: ToolSpec) -> None:
        """Register a tool that only a session can make, behind the others. Before the first model call: the list is a
        prefix that providers cache."""
        if spec.name in self._specs:
            logger.warning("tool %s is registered twice; the first one stays", spec.name)
        else:
            self._specs[spec.name] = spec

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_closing = True
        try:
            if self._warming is not None:
                await self._warming
        finally:
            if self.servers is not None:
                await self.servers.close()

    def warm(self) -> None:
        """Load beside everything else what the first tool calls need, and connect to MCP servers that were not waited
        for. For when the first request to the model is on its way; returns at once, and does nothing a second time."""
        if self._warming is not None or self._is_closing:
            return
        if self.servers is not None:
            self.servers.start_rest()
        loads = [spec.load for spec in self._specs.values() if spec.load is not None]
        self._warming = asyncio.create_task(asyncio.to_thread(self._load, [*loads, load_validator]), name="warming")

    def _load(self, loads: Iterable[Callable[[], None]]) -> None:
        """One after the other, as far as the end of the program does not come between them. Blocking."""
        for load in loads:
            if self._is_closing:
                return
            try:
                load()
            except Exception:  # the call that needs it fails where that can be told
                logger.exception("a tool cannot be loaded")

    def start_servers(self, session: ToolSession) -> None:
        """Begin to connect to the MCP servers, if there are any; see `McpServers.start`. Returns at once."""
        if self.servers is not None:
            self.servers.start(session)

    async def begin_turn(self, session: ToolSession) -> bool:
        """Take up the tools that MCP servers offer now, before the first model call of a turn, waiting for those that
        are required. True if the list has changed. Raises TurnStopped in a run that cannot do without one of them."""
        if self.servers is None:
            return False
        has_changed = await self._take_up(self.servers, session)
        if self.servers.is_single_turn and self.servers.unmet:
            raise TurnStopped(f"{self.servers.unmet}. Mend it, or take `required` out of its settings.")
        return has_changed

    @property
    def has_news(self) -> bool:
        """Whether MCP tools have come since, that the model should have before its next call: see `take_up_news`."""
        return self.servers is not None and self.servers.has_news

    def awaits(self, names: Iterable[str]) -> bool:
        """Whether one of these tools, which is not there, may come from an MCP server that is still connecting."""
        return self.servers is not None and bool(self.servers.owners(set(names) - set(self._specs)))

    async def take_up_news(self, session: ToolSession, names: Iterable[str] = ()) -> bool:
        """Take up the tools that have come within a turn, after waiting for those servers that calls of these `names`
        may be for. True if the list has changed."""
        if self.servers is None:
            return False
        await self.servers.wait_for(session, self.servers.owners(set(names) - set(self._specs)))
        return await self._take_up(self.servers, session)

    async def _take_up(self, servers: McpServers, session: ToolSession) -> bool:
        before = self.get_tool_specs_for_llm()
        specs = await servers.settled(session, MAX_TOOLS - len(set(self._specs) - set(self._of_servers)))
        for name in self._of_servers:
            del self._specs[name]
        own = set(self._specs)
        for spec in specs:
            self.add(spec)
        self._of_servers = tuple(name for name in self._specs if name not in own)
        return self.get_tool_specs_for_llm() != before

    @property
    def names(self) -> tuple[str, ...]:
        """All tool names, in order."""
        return tuple(self._specs)

    def find(self, name: str) -> ToolSpec | None:
        """The tool of this name, or None."""
        return self._specs.get(name)

    def get_tool_specs_for_llm(self) -> list[WireObject]:
        """All tools in OpenAI function form, in a fixed order; the same objects as long as they are the same tools."""
        known = self._forms
        self._forms = {id(spec): known.get(id(spec)) or (spec, spec.to_wire()) for spec in self._specs.values()}
        return [form for _, form in self._forms.values()]

    def loosened(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """`arguments` as the tool's schema wants them, where that is only a matter of spelling."""
        spec = self._specs.get(name)
        return arguments if spec is None else loosened(arguments, spec.parameters)

    def problem_with(self, name: str, arguments: dict[str, Any]) -> str | None:
        """Why this call cannot run, in words for the model; None when it can."""
        spec = self._specs.get(name)
        if spec is None:
            near = difflib.get_close_matches(name, self._specs, n=3, cutoff=0.4)
            hint = f"Did you mean {' or '.join(near)}? " if near else ""
            if name.startswith(PREFIX) and not any(other.startswith(PREFIX) for other in near):
                hint += "Its MCP server is not configured or not connected now; /mcp shows the person why. "
            return f"There is no tool named {name!r}. {hint}Available tools: {', '.join(self._specs)}."
        return schema_problem(spec, arguments)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], session: ToolSession, tool_call_id: str
    ) -> ToolResult:
        """Run one call. Never raises but for cancellation: whatever goes wrong becomes a failed result."""
        if problem := self.problem_with(name, arguments):
            return ToolResult(problem, ok=False)
        try:
            returned: Any = await self._specs[name].handler(arguments, session, tool_call_id)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return ToolResult(f"The tool {name} failed unexpectedly: something it waited for was cancelled.", ok=False)
        except Exception as error:  # a tool's bug is a result the model can react to, not the end of the turn
            logger.exception("tool %s failed", name)
            return ToolResult(f"The tool {name} failed unexpectedly: {type(error).__name__}: {error}", ok=False)
        result = _coerce(returned)
        if not fits(result.output):
            result = replace(result, output=await asyncio.to_thread(_capped, result.output, session, name))
        return _as_shown(result)


def _capped(output: str, session: ToolSession, name: str) -> str:
    """`output` short enough for the model. Scrubbed before: a file keeps all of it, and a cut can halve a secret."""
    return cap_output(session.scrub(output), session.spill_dir, name)


def _as_shown(result: ToolResult) -> ToolResult:
    """`result` as the model is shown it: what other people wrote marked as data, and the tool's advice after it."""
    if result.source is None and not result.advice:
        return result
    output = result.output if result.source is None else as_data(result.output, result.source)
    display = result.output if result.display is None and not result.ok else result.display
    return replace(result, output=f"{output}\n\n{result.advice}" if result.advice else output, display=display)


def _coerce(result: Any) -> ToolResult:
    """Whatever a handler returned, as a `ToolResult`."""
    if isinstance(result, ToolResult) and isinstance(result.output, str):
        return result
    if isinstance(result, tuple) and len(result) == 2:
        return ToolResult(str(result[0]), bool(result[1]))
    return ToolResult(str(getattr(result, "output", result)), bool(getattr(result, "ok", True)))
