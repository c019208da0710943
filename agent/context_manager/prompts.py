"""Rendering the texts for the model: the Jinja2 templates under `agent/prompts/`.

Strict: a template that asks for a variable it was not given raises instead of sending a hole to the model.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

PROMPT_DIR = Path(__file__).resolve().parent.parent / "prompts"
SUFFIX = ".md.j2"


@cache
def _environment() -> Environment:
    # Jinja2 costs some 20 ms to import, which `--help` and `--version` must not pay.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(PROMPT_DIR),
        undefined=StrictUndefined,
        autoescape=False,  # the reader is a model, not a browser
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def render(name: str, /, **variables: object) -> str:
    """The prompt `name` ("system", "guards/repetition", …), filled in, without a newline at its end.

    Raises `jinja2.TemplateNotFound` for an unknown name and `jinja2.UndefinedError` for a missing variable: both are
    mistakes in this program, never in what a person typed.
    """
    return _environment().get_template(f"{name}{SUFFIX}").render(variables).rstrip("\n")
