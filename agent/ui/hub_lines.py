"""Calls of the tools for the Hub, jobs and sandboxes in a few words: what a line about them says.

What `env` and `secrets` hold is never among the words.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from agent.protocol.events import ApprovalItem
from agent.ui.sanitize import clip

Formatter = Callable[[Mapping[str, Any]], str]

_RUNS = frozenset({"run", "uv", "scheduled run", "scheduled uv"})
_PLACES = {"local": "here", "hf_sandbox": "in a sandbox, {flavor}"}
"""Where work runs that is no job."""
_FLAVORS = ("hardware_flavor", "flavor", "hardware")
_NAME_COLUMNS, _COMMAND_COLUMNS, _ID_COLUMNS = 40, 48, 60


def jobs_call(arguments: Mapping[str, Any]) -> str:
    """`run train.py on a10g-large, 2h`, `logs 68f0…`, `scheduled run eval.py on cpu-basic, @daily`."""
    operation = _operation(arguments)
    if operation in _RUNS:
        flavor = next((word for name in _FLAVORS if (word := _word(arguments, name))), "cpu-basic")
        where = _PLACES.get(_word(arguments, "backend"), "on {flavor}").replace("{flavor}", flavor)
        more = [_word(arguments, name) for name in ("timeout", "schedule")]
        return _with_commas(f"{operation} {_what_runs(arguments)} {where}", *more)
    ids = _words(arguments, "job_id") or _words(arguments, "scheduled_job_id")
    limit, until = _word(arguments, "wait_timeout"), _word(arguments, "until")
    return _with_commas(f"{operation} {ids}", limit and f"at most {limit}", until and f"until {until}")


def files_call(arguments: Mapping[str, Any]) -> str:
    """`upload x.txt to me/model`, `delete *.bin from me/model`, `list me/model`."""
    operation = _operation(arguments)
    local, path, patterns = (_words(arguments, name) for name in ("local_path", "path", "patterns"))
    what = (local or path) if operation == "upload" else (path or patterns)
    link = {"upload": "to", "list": "in"}.get(operation, "from") if what else ""
    where = f"{_repo(arguments)} {_at_revision(arguments)}"
    request = "as a pull request" if arguments.get("create_pr") is True else ""
    return _with_commas(f"{operation} {what} {link} {where}", request)


def git_call(arguments: Mapping[str, Any]) -> str:
    """`create_pr me/model: Better weights`, `merge_pr me/model #3`, `create_branch me/model: dev`."""
    number = _word(arguments, "pr_num")
    head = f"{_operation(arguments)} {_repo(arguments)} {number and f'#{number}'}"
    names = ("title", "branch", "tag", "new_status")
    about = next((word for name in names if (word := _word(arguments, name))), "")
    return _squeezed(head) + (f": {about}" if about else "")


def sandbox_call(arguments: Mapping[str, Any]) -> str:
    """`t4-small`, `attach me/sandbox-1a2b3c4d`, `pause`."""
    attached = _word(arguments, "attach")
    flags = [name for name in ("replace", "pause") if arguments.get(name) is True]
    return _with_commas(_word(arguments, "hardware"), attached and f"attach {attached}", *flags)


def named_again(item: ApprovalItem) -> Mapping[str, Any]:
    """The arguments of a call that the person is asked about, with the file's name where its text has taken its place:
    a script is read before they are asked, so that what they have seen is what runs."""
    script = next((value for name, value in item.facts if name == "script from"), None)
    return {**item.arguments, "script": script} if script and item.tool == "hf_jobs" else item.arguments


HUB_CALLS: Mapping[str, Formatter] = {
    "hf_jobs": jobs_call,
    "hf_repo_files": files_call,
    "hf_repo_git": git_call,
    "sandbox_create": sandbox_call,
}
"""By tool name."""


def _what_runs(arguments: Mapping[str, Any]) -> str:
    """The file's name, else how much of a script it is, or the command."""
    script = arguments.get("script")
    if not isinstance(script, str) or not script.strip():
        return clip(_command(arguments.get("command")), _COMMAND_COLUMNS)
    line = script.strip()
    if "\n" in line:
        return f"a script of {line.count(chr(10)) + 1:,} lines"
    is_file = line.endswith(".py") or line.startswith(("/", "http://", "https://"))
    name = line.partition("?")[0].rstrip("/").rpartition("/")[2]
    return clip(name if is_file else line, _NAME_COLUMNS)


def _command(command: Any) -> str:
    if isinstance(command, list):
        return shlex.join(str(word)[:_COMMAND_COLUMNS] for word in command[:_COMMAND_COLUMNS])
    return command if isinstance(command, str) else ""


def _repo(arguments: Mapping[str, Any]) -> str:
    kind = _word(arguments, "repo_type").lower()
    return f"{'' if kind in ('', 'model') else kind} {_word(arguments, 'repo_id')}"


def _at_revision(arguments: Mapping[str, Any]) -> str:
    revision = _word(arguments, "revision")
    return f"at {revision}" if revision and revision != "main" else ""


def _operation(arguments: Mapping[str, Any]) -> str:
    return _squeezed(_word(arguments, "operation")).lower()


def _words(arguments: Mapping[str, Any], name: str) -> str:
    """One text, or several with commas."""
    value = arguments.get(name)
    if isinstance(value, list):
        return clip(", ".join(str(each) for each in value), _ID_COLUMNS)
    return _word(arguments, name)


def _word(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    is_plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return clip(str(value), _ID_COLUMNS) if is_plain else ""


def _with_commas(*parts: str) -> str:
    return ", ".join(filter(None, map(_squeezed, parts)))


def _squeezed(text: str) -> str:
    return " ".join(text.split())
