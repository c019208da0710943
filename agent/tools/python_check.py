"""A look at Python source before it is run: does it parse, and will a training script keep its model?"""

from __future__ import annotations

import ast
import threading
import warnings

_TRAINER_CONFIGS = frozenset({"TrainingArguments", "SFTConfig", "DPOConfig", "GRPOConfig"})
_HUB_ARGUMENTS = ("push_to_hub", "hub_model_id")

MAX_CHARS = 1_000_000
"""Longer source is not looked at: the parser holds the interpreter's lock, and everything else would stand still."""

_warnings_lock = threading.Lock()
"""`warnings.catch_warnings` changes a global: two threads at once could leave warnings switched off for good."""


def validate_python(content: str, path: str = "") -> list[str]:
    """Warnings about Python source, one string each: a syntax error, or a trainer configuration that loses its model.

    Nothing is executed. An empty list means that nothing was noticed.
    """
    if len(content) > MAX_CHARS:
        return []
    where = path or "the code"
    try:
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape would be printed over the person's screen
            tree = ast.parse(content)
    except SyntaxError as error:
        return [f"Syntax error in {where}, line {error.lineno}: {error.msg}"]
    except (ValueError, RecursionError, MemoryError) as error:
        return [f"Cannot parse {where}: {error or type(error).__name__}"]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [(call.lineno, text) for call in calls if (text := _trainer_warning(call))]
    return [text for _, text in sorted(found)]


def _trainer_warning(call: ast.Call) -> str | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    if name not in _TRAINER_CONFIGS:
        return None
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    push = given.get("push_to_hub")
    if None in given or (isinstance(push, ast.Constant) and push.value is False):
        return None  # **kwargs may hold them; False was meant
    missing = [argument for argument in _HUB_ARGUMENTS if argument not in given]
    if not missing:
        return None
    return (
        f"Line {call.lineno}: {name} without {' and '.join(missing)}. On a machine that is wiped afterwards (a job, a "
        "sandbox) the trained model would be lost."
    )
