"""The tools of a session: which there are, and the one place where a call meets its handler."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from agent.protocol.tools import ToolResult, ToolSession, ToolSpec
from agent.tools.arguments import loosened
from agent.tools.bash_tool import bash_spec
from agent.tools.edit_tool import edit_spec
from agent.tools.output import cap_output, fits
from agent.tools.plan_tool import plan_spec
from agent.tools.read_tool import read_spec
from agent.tools.shell_analysis import bash_rule
from agent.tools.write_tool import write_spec

__all__ = ["ToolRouter", "ToolSpec", "create_builtin_tools"]

logger = logging.getLogger(__name__)


def create_builtin_tools() -> list[ToolSpec]:
    """The tools that come with the program, in the order the model sees them. To add one: its file and a line here."""
    return [
        bash_spec(bash_rule),
        read_spec(),
        write_spec(),
        edit_spec(),
        plan_spec(),
    ]


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
