"""So that what a job's own Python pushes to the Hub is registered like what the tools push: a command with a hook.

    /bin/sh -c PRELUDE ml-intern-hook <packed> python train.py --epochs 3

The shell unpacks `<packed>` as `sitecustomize.py` into a fresh directory, puts that on PYTHONPATH, and becomes the
command, whose words are never touched. Where anything is missing for that, the command runs without. The person opts
out by `hub_artifacts: off`, the job by `ML_INTERN_NO_ARTIFACTS=1`.
"""

from __future__ import annotations

import ast
import base64
import gzip
from datetime import datetime
from functools import cache
from pathlib import Path

from agent.hub.artifacts import COMMIT_MESSAGE, DESCRIPTION, Mode, collection_title, item_note

OPT_OUT = "ML_INTERN_NO_ARTIFACTS"
_MARK = "ml-intern-hook"
_HERE = Path(__file__).parent
_PRELUDE = f"""\
packed=$1
shift
if [ "${{{OPT_OUT}:-0}}" = 0 ] && dir=$(mktemp -d 2>/dev/null); then
  if {{ printf %s "$packed" | base64 -d | gzip -dc >"$dir/sitecustomize.py"; }} 2>/dev/null; then
    PYTHONPATH=$dir${{PYTHONPATH:+:$PYTHONPATH}}
    export PYTHONPATH
  else
    rm -rf "$dir"
  fi
fi
exec "$@"
"""


def hook_source(session_id: str, mode: Mode, started: datetime, endpoint: str) -> str:
    """The text of a `sitecustomize.py` that registers pushes to the Hub at `endpoint`; "" if there is nothing to do.

    `started` is the date in the title of the session's collection (`HubArtifacts.started`).
    """
    if mode == "off" or not session_id:
        return ""
    settings = {
        "title": collection_title(session_id, started),
        "description": DESCRIPTION,
        "note": item_note(session_id),
        "message": COMMIT_MESSAGE,
        "endpoint": endpoint.rstrip("/"),
    }
    parts = ["from __future__ import annotations"]
    parts += [_stripped("cards.py")] if mode == "card" else []
    parts += [
        _stripped("hook/pushes.py"),
        "def start(hub, directory):",
        f"    install(hub, directory, {{**{settings!r}, 'augmented': {'augmented_card' if mode == 'card' else None}}})",
    ]
    start = _stripped("hook/sitecustomize.py")
    place = "SOURCE = ''"
    assert start.count(place) == 1
    return start.replace(place, f"SOURCE = {chr(10).join(parts)!r}")


def wrapped(command: tuple[str, ...], session_id: str, mode: Mode, started: datetime, endpoint: str) -> tuple[str, ...]:
    """`command` as an argv with the hook in it; needs a POSIX shell, and goes without the hook where the image has no
    mktemp, base64 or gzip. The same command if there is nothing to do."""
    source = hook_source(session_id, mode, started, endpoint)
    if not source or not command:
        return command
    # without a time stamp: the same session makes the same text
    packed = base64.b64encode(gzip.compress(source.encode(), mtime=0)).decode("ascii")
    return ("/bin/sh", "-c", _PRELUDE, _MARK, packed, *command)


def unwrapped(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command as it was before `wrapped`, for people to read. Only our own prelude is left out: another one is a
    part of what runs."""
    return command[5:] if command[:4] == ("/bin/sh", "-c", _PRELUDE, _MARK) and len(command) > 5 else command


@cache
def _stripped(name: str) -> str:
    """A module's text without comments, docstrings, types and `from __future__`: each byte travels with each job."""
    tree = ast.parse((_HERE / name).read_text("utf-8"))
    tree.body = [each for each in tree.body if not (isinstance(each, ast.ImportFrom) and each.module == "__future__")]
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            code = [each for each in body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
            node.body = code or [ast.Pass()]  # type: ignore[attr-defined]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(tree)
