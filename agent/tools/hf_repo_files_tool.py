"""`hf_repo_files`: the files of repositories on the Hub: list, read, upload, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolResult, ToolSession, ToolSpec
from agent.tools.door import Door

if TYPE_CHECKING:
    from agent.hub.account import HubAccount
    from agent.tools.hub_files import FilesDesk
    from agent.tools.hub_operations import Artifacts
    from agent.tools.hub_uploads import FetchFiles

MAX_READ_CHARS = 50_000

DESCRIPTION = """\
Files of repositories on the Hugging Face Hub: list, read, upload, delete.

list shows sizes below `path`. read shows the beginning of a text file; of a binary one its size and kind. upload puts \
`content` (text) at `path`, or the file or directory `local_path` of where your tools work. delete takes \
`path` (one file) or `patterns`. To propose a change instead of making it: create_pr=true opens a pull request, and \
further uploads go into it with revision="refs/pr/<number>"; hf_repo_git merges it. The person is asked before each \
upload and deletion."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["operation"],
    "properties": {
        "operation": {"type": "string", "enum": ["list", "read", "upload", "delete"]},
        "repo_id": {"type": "string", "description": "owner/name."},
        "repo_type": {"type": "string", "enum": ["model", "dataset", "space"], "description": "Default model."},
        "revision": {"type": "string", "description": "Branch, tag, commit or refs/pr/<number>. Default main."},
        "path": {"type": "string", "description": "Path in the repository; for list a directory."},
        "content": {"type": "string", "description": "upload: the whole text of the file."},
        "local_path": {
            "type": "string",
            "description": "upload: file or directory where your tools work, instead of content.",
        },
        "patterns": {
            "type": "array",
            "items": {"type": "string"},
            "description": 'delete, or upload of a directory: which files, e.g. ["*.bin", "logs/*"]; * spans /.',
        },
        "create_pr": {"type": "boolean", "description": "Open a pull request with the change."},
        "commit_message": {"type": "string"},
        "max_chars": {"type": "integer", "description": f"read: how much of a file. Default {MAX_READ_CHARS}."},
    },
}


def hf_repo_files_spec(
    account: HubAccount, artifacts: Callable[[], Artifacts] | None = None, fetch: FetchFiles | None = None
) -> ToolSpec:
    """The `hf_repo_files` tool. `artifacts` is asked for when a call is first looked at. With `fetch`, `local_path` is
    where the session's tools run, not on this machine."""

    def door() -> FilesDesk:
        from agent.tools.hub_files import FilesDesk

        return FilesDesk(account, artifacts() if artifacts is not None else None, fetch)

    desk = Door(door)

    async def handle(arguments: dict[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
        return await (await desk.opened()).handler(arguments, session, tool_call_id)

    return ToolSpec(
        name="hf_repo_files",
        description=DESCRIPTION,
        parameters=PARAMETERS,
        handler=handle,
        ready=desk.ready,
        approval=lambda arguments, context: desk().approval(arguments, context),
        check=lambda arguments, session: desk().check(arguments, session),
        only_looks=lambda arguments, workspace: desk().only_looks(arguments, workspace),
        subject=lambda arguments, workspace: desk().subject(arguments, workspace),
        preflight=lambda arguments, session: desk().preflight(arguments, session),
        in_research=True,
    )
