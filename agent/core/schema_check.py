"""Whether the arguments of a call fit its tool's schema. Schemas of MCP servers come from others: a check of one may
neither hold up the event loop nor fill the memory, and what it says passes for nobody's word."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from functools import cache
from itertools import islice
from typing import Any

from agent.protocol.tools import ToolSpec
from agent.protocol.untrusted import harmless
from agent.tools.mcp.naming import PREFIX

logger = logging.getLogger(__name__)

MAX_STEPS = 5_000
"""Of one check of arguments against a server's schema, each keyword and value being one: about a tenth of a second."""
MAX_QUOTED_CHARS = 200
"""Of an argument, in what is said to be wrong with it."""


def load_validator() -> None:
    """Import the JSON schema validator off the event loop, before the first call needs it."""
    _validator()


def schema_problem(spec: ToolSpec, arguments: dict[str, Any]) -> str | None:
    """The first violation of the tool's schema, said so that the model can mend it."""
    from jsonschema.exceptions import best_match

    _steps_left.set([MAX_STEPS if spec.name.startswith(PREFIX) else sys.maxsize])
    try:
        error = best_match(_validator()(spec.parameters).iter_errors(_quotable(arguments)))
    except Exception:  # a server's schema that cannot be used (references in circles): the server checks by itself
        logger.warning("the schema of %s cannot be used", spec.name, exc_info=True)
        return None
    if error is None:
        return None
    where = ".".join(str(part) for part in error.absolute_path)
    message = error.message if len(error.message) < 400 else error.message[:400] + " …"
    problem = harmless(f"{f'{where}: ' if where else ''}{message}")  # it quotes what a server's schema says
    return f"Invalid arguments for {spec.name}: {problem}. Nothing was run."


class _Text(str):
    """A long text whose `repr` is short: the validator quotes a value in each of what may be thousands of errors."""

    def __repr__(self) -> str:
        return f"{self[:MAX_QUOTED_CHARS]!r} …"


class _List(list[Any]):
    """A list of quotable values, in short."""

    quoted = ""

    def __repr__(self) -> str:
        return self.quoted


class _Object(dict[str, Any]):
    """An object of quotable values, in short."""

    quoted = ""

    def __repr__(self) -> str:
        return self.quoted


def _quotable(value: Any) -> Any:
    """A copy of `value` with the same meaning, of which every part has a short `repr`."""
    if isinstance(value, str):
        return _Text(value) if len(value) > MAX_QUOTED_CHARS else value
    if isinstance(value, list):
        items = _List(_quotable(item) for item in value)
        items.quoted = _short(list(items[:MAX_QUOTED_CHARS]))
        return items
    if isinstance(value, dict):
        fields = _Object({name: _quotable(item) for name, item in value.items()})
        fields.quoted = _short({_quotable(name): item for name, item in islice(fields.items(), MAX_QUOTED_CHARS)})
        return fields
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_QUOTED_CHARS else text[:MAX_QUOTED_CHARS] + " …"


_steps_left: ContextVar[list[int]] = ContextVar("_steps_left")
"""How many steps the check under way may still take."""


@cache
def _validator() -> Any:
    """The validator of JSON schema that gives up after so many steps: a small schema of somebody else can name itself
    so often, or have so many alternatives for each of many values, that the check would hold up everything else."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    def counted(check: Any) -> Any:
        def step(validator: Any, wanted: Any, instance: Any, schema: Any) -> Any:
            left = _steps_left.get()
            left[0] -= 1
            if left[0] < 0:
                raise ValueError(f"more than {MAX_STEPS} steps")
            return check(validator, wanted, instance, schema)

        return step

    checks = {word: counted(check) for word, check in Draft202012Validator.VALIDATORS.items()}
    return extend(Draft202012Validator, checks)  # type: ignore[no-untyped-call]
