"""`bash`: run a shell command on this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ApprovalContext, ApprovalRule, ToolResult, ToolSession, ToolSpec
from agent.tools.approval_rules import shell_verdict
from agent.tools.door import Door

if TYPE_CHECKING:
    from agent.tools.bash_command import Shell

DEFAULT_TIMEOUT_S = 120
MAX_TIMEOUT_S = 36_000
MAX_OUTPUT_FILE_BYTES = 1 << 30

DESCRIPTION = """\
Run a shell command (bash where installed) on this machine and get stdout and stderr together, in the order printed.

- Every call is a fresh shell in the workspace, or in `work_dir`: `cd` and variables do not carry over to the next. \
Calls do not depend on each other, so several may be sent at once; join steps that need each other with `&&`.
- There is no terminal and no input: pass -y and the like to programs that ask.
- For files use the file tools: read rather than cat, head or tail; edit rather than sed or awk; write rather than \
echo, tee or a heredoc.
- A command has `timeout` seconds (120 unless given, 36000 at most), then it and its children are ended; what it had \
printed is returned.
- Start long work (training, servers) in the background and look at its log from time to time: \
`nohup python train.py > train.log 2>&1 & echo $!`, later `tail -n 20 train.log`.
- Of more than 25,000 characters the beginning and the end are returned, with the path of a file that has all."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["command"],
    "properties": {
        "command": {"type": "string", "description": "The shell command or script to run."},
        "description": {"type": "string", "description": "What it does, in five to ten words, for the person."},
        "work_dir": {
            "type": "string",
            "description": "Directory to run in; relative paths start from the workspace. Default: the workspace.",
        },
        "timeout": {
            "type": "integer",
            "description": f"Seconds until the command is ended. Default {DEFAULT_TIMEOUT_S}, at most {MAX_TIMEOUT_S}.",
        },
    },
}


def bash_spec(approval: ApprovalRule, *, max_output_file_bytes: int = MAX_OUTPUT_FILE_BYTES) -> ToolSpec:
    """The `bash` tool. `approval` decides which commands the person is asked about.

    A command whose output grows beyond `max_output_file_bytes` (or half of the free disk) is ended.
    """

    def door() -> Shell:
        from agent.tools import shell_analysis  # noqa: F401 - what the loop asks about a command takes it
        from agent.tools.bash_command import Shell

        return Shell(max_output_file_bytes)

    shell = Door(door)

    async def handle(arguments: dict[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
        return await (await shell.opened()).run(arguments, session, tool_call_id)

    def load() -> None:
        shell()

    return ToolSpec(
        name="bash",
        description=DESCRIPTION,
        parameters=PARAMETERS,
        handler=handle,
        approval=approval,
        is_poll=waits,
        subject=lambda arguments, _workspace: str(arguments.get("command") or ""),
        subject_kind="command",
        only_looks=_only_looks,
        changes=_changes,
        editable="command",
        load=load,
        ready=Door(_load_parser).ready,
    )


def _load_parser() -> None:
    """What is asked about a command is answered by reading it."""
    from agent.tools import shell_analysis  # noqa: F401
    from agent.tools.shell.syntax import load_parser

    load_parser()


def waits(arguments: Mapping[str, Any]) -> bool:
    """Whether a command waits first: it only asks how something is going, and may well be run again with the same
    result."""
    return re.search(r"\bsleep\s+\d", str(arguments.get("command"))) is not None


def _changes(arguments: Mapping[str, Any], workspace: Path) -> tuple[Path, ...] | None:
    """Of a command that does not only look it is not known which files it will touch."""
    return () if _only_looks(arguments, workspace) else None


def _only_looks(arguments: Mapping[str, Any], workspace: Path) -> bool:
    return shell_verdict(arguments, ApprovalContext(workspace)).read_only
