"""The tools of a session: which there are, and the one place where a call meets its handler."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from agent.core.services import Services
from agent.hub.artifact_hook import wrapped
from agent.hub.trackio import seed_dashboard
from agent.protocol.tools import ToolResult, ToolSession, ToolSpec
from agent.tools.arguments import loosened
from agent.tools.bash_tool import bash_spec
from agent.tools.edit_tool import edit_spec
from agent.tools.hf_repo_files_tool import hf_repo_files_spec
from agent.tools.hf_repo_git_tool import hf_repo_git_spec
from agent.tools.jobs_tool import hf_jobs_spec
from agent.tools.output import cap_output, fits
from agent.tools.plan_tool import plan_spec
from agent.tools.read_tool import read_spec
from agent.tools.sandbox.fetching import fetch
from agent.tools.sandbox.machines import Sandboxes
from agent.tools.sandbox_tools import sandbox_specs
from agent.tools.shell_analysis import bash_rule
from agent.tools.write_tool import write_spec

__all__ = ["ToolRouter", "ToolSpec", "create_builtin_tools", "create_sandboxes"]

logger = logging.getLogger(__name__)


def create_builtin_tools(services: Services, sandboxes: Sandboxes | None = None) -> list[ToolSpec]:
    """The tools that come with the program, in the order the model sees them. To add one: its file and a line here.

    With `sandboxes` the shell and the files are there, not on this machine.
    """
    account, artifacts = services.account, services.artifacts
    here = [bash_spec(bash_rule), read_spec(), write_spec(), edit_spec()]
    return [
        *(here if sandboxes is None else sandbox_specs(sandboxes)),
        plan_spec(),
        hf_repo_files_spec(account, artifacts, None if sandboxes is None else partial(fetch, sandboxes)),
        hf_repo_git_spec(account, artifacts),
        hf_jobs_spec(
            account,
            services.jobs,
            read_script=None if sandboxes is None else sandboxes.read_script,
            seed_trackio=partial(seed_dashboard, account),
            artifact_wrap=partial(_with_hook, services),
            offers_local=sandboxes is None,
        ),
    ]


def _with_hook(services: Services, command: tuple[str, ...], session: ToolSession) -> tuple[str, ...]:
    """A job's command that also collects what the job pushes, as far as the person wants that."""
    started = services.artifacts.started(session.session_id)
    return wrapped(command, session.session_id, services.artifacts.mode, started, services.account.endpoint)


def create_sandboxes(services: Services) -> Sandboxes | None:
    """The sandbox of a run whose tools are in one, else None."""
    if not services.tools_in_sandbox:
        return None
    seed = partial(seed_dashboard, services.account)
    return Sandboxes(services.sandbox, services.account, seed_trackio=seed, shares_token=services.shares_token)


class ToolRouter:
    """Finds, checks and runs tools. An async context manager: external servers are connected on enter."""

    def __init__(self, specs: Iterable[ToolSpec]) -> None:
        """A later tool never replaces an earlier one of the same name."""
        self._specs: dict[str, ToolSpec] = {}
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
        self._validator = asyncio.create_task(asyncio.to_thread(_load_validator))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._validator

    @property
    def names(self) -> tuple[str, ...]:
        """All tool names, in order."""
        return tuple(self._specs)

    def find(self, name: str) -> ToolSpec | None:
        """The tool of this name, or None."""
        return self._specs.get(name)

    def get_tool_specs_for_llm(self) -> list[dict[str, Any]]:
        """All tools in OpenAI function form, in a fixed order."""
        return [spec.to_wire() for spec in self._specs.values()]

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
            return f"There is no tool named {name!r}. {hint}Available tools: {', '.join(self._specs)}."
        return _schema_problem(spec, arguments)

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
        if fits(result.output):
            return result
        return replace(result, output=await asyncio.to_thread(_capped, result.output, session, name))


def _capped(output: str, session: ToolSession, name: str) -> str:
    """`output` short enough for the model. Scrubbed before: a file keeps all of it, and a cut can halve a secret."""
    return cap_output(session.scrub(output), session.spill_dir, name)


def _coerce(result: Any) -> ToolResult:
    """Whatever a handler returned, as a `ToolResult`."""
    if isinstance(result, ToolResult) and isinstance(result.output, str):
        return result
    if isinstance(result, tuple) and len(result) == 2:
        return ToolResult(str(result[0]), bool(result[1]))
    return ToolResult(str(getattr(result, "output", result)), bool(getattr(result, "ok", True)))


def _load_validator() -> None:
    """Import the JSON schema validator off the event loop, before the first call needs it."""
    import jsonschema  # noqa: F401


def _schema_problem(spec: ToolSpec, arguments: dict[str, Any]) -> str | None:
    """The first violation of the tool's schema, said so that the model can mend it."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(spec.parameters).iter_errors(arguments))
    if error is None:
        return None
    where = ".".join(str(part) for part in error.absolute_path)
    message = error.message if len(error.message) < 400 else error.message[:400] + " …"
    return f"Invalid arguments for {spec.name}: {f'{where}: ' if where else ''}{message}. Nothing was run."
