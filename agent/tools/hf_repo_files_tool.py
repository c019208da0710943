"""`hf_repo_files`: the files of repositories on the Hub: list, read, upload, delete."""

from __future__ import annotations

import codecs
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.hub.repos import MAIN, Head, Listing, list_tree, read_head
from agent.protocol.counting import counted
from agent.protocol.tools import ApprovalContext, ApprovalNeed, ToolResult, ToolSpec
from agent.tools.approval_rules import hf_repo_files_rule
from agent.tools.arguments import int_argument
from agent.tools.files import SNIFF_BYTES, FileToolError, binary_kind, resolve_path
from agent.tools.hub_changes import Files, check, delete, look_ahead, upload, verify_delete, verify_revision
from agent.tools.hub_names import MAX_SCANNED, near
from agent.tools.hub_operations import Artifacts, Call, Operation, Operations
from agent.tools.hub_uploads import FetchFiles, UploadReader
from agent.tools.hub_words import size_text

MAX_READ_CHARS = 50_000
MAX_READ_BYTES = 20_000_000
"""Of a file never more than this is fetched, whatever `max_chars` says."""
SHOWN_ENTRIES = 300
_BYTES_PER_CHAR = 4

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
    account: HubAccount, artifacts: Artifacts | None = None, fetch: FetchFiles | None = None
) -> ToolSpec:
    """The `hf_repo_files` tool. With `fetch`, `local_path` is where the session's tools run, not on this machine."""
    files = Files(account, UploadReader(account.environ, fetch))
    operations = _operations(files)
    return ToolSpec(
        name="hf_repo_files",
        description=DESCRIPTION,
        parameters=PARAMETERS,
        handler=operations.handler(account, artifacts),
        approval=hf_repo_files_rule if fetch is not None else _approval,
        check=partial(check, files, operations),
        only_looks=operations.only_looks,
        subject=operations.subject(account),
        preflight=partial(look_ahead, files, operations),
        in_research=True,
    )


# --- before the call -------------------------------------------------------------------------------------------------


def _approval(arguments: Mapping[str, Any], context: ApprovalContext) -> ApprovalNeed:
    """The rule of the tool, and where an upload's files come from, if that is not the workspace."""
    need = hf_repo_files_rule(arguments, context)
    if need.kind == "free" or not arguments.get("local_path"):
        return need
    try:
        path = resolve_path(arguments["local_path"], context.workspace)
    except FileToolError:
        return need
    if path.is_relative_to(context.workspace.resolve()):
        return need
    return replace(need, hints=(*need.hints, f"reads {path}, which is outside the workspace"))


def _verify_read(arguments: Mapping[str, Any]) -> None:
    int_argument(arguments, "max_chars", MAX_READ_CHARS, minimum=1)


# --- list ------------------------------------------------------------------------------------------------------------


async def _list(call: Call) -> ToolResult:
    revision, path = call.text("revision", MAIN), call.text("path").strip("/")
    path = "" if path == "." else path.removeprefix("./")
    found = await call.look(
        lambda api: list_tree(api, call.repo, revision, path, limit=MAX_SCANNED), "listing the files of"
    )
    where = f"{call.repo} at {revision}" + (f", below {path}/" if path else "")
    more = " at least, the listing stops there" if found.is_cut else ""
    head = f"{where}: {counted(len(found.files), 'file')}, {size_text(found.total_bytes)}{more}"
    lines = [f"{e.path}/" if e.size_bytes is None else f"{e.path} ({size_text(e.size_bytes)})" for e in found.entries]
    said = [head, *lines[:SHOWN_ENTRIES]]
    if len(lines) > SHOWN_ENTRIES:
        said += [f"[{len(lines) - SHOWN_ENTRIES:,} more are not shown; `path` lists one directory:]"]
        said += _directories(found, path)
    return ToolResult("\n".join(said), display=head)


def _directories(found: Listing, below: str) -> list[str]:
    """Files and bytes of each directory directly below a path."""
    counts: defaultdict[str, list[int]] = defaultdict(list)
    skip = len(below) + 1 if below else 0
    for entry in found.files:
        first, slash, _ = entry.path[skip:].partition("/")
        if slash:
            counts[f"{entry.path[:skip]}{first}/"].append(entry.size_bytes or 0)
    lines = [f"{name} {counted(len(sizes), 'file')}, {size_text(sum(sizes))}" for name, sizes in counts.items()]
    return lines[:SHOWN_ENTRIES]


# --- read ------------------------------------------------------------------------------------------------------------


async def _read(call: Call) -> ToolResult:
    path, revision = call.text("path").removeprefix("./").removeprefix("/"), call.text("revision", MAIN)
    max_chars = int_argument(call.arguments, "max_chars", MAX_READ_CHARS, minimum=1)
    max_bytes = min(max(max_chars * _BYTES_PER_CHAR, SNIFF_BYTES), MAX_READ_BYTES)
    try:
        head = await call.look(
            lambda api: read_head(api, call.repo, revision, path, max_bytes=max_bytes), f"reading {path} of"
        )
    except HubError as error:
        if error.missing != "entry":
            raise
        meant = await near(call, revision, [path])
        return ToolResult(f"There is no file {path} in {call.repo} at {revision}. {meant}", ok=False)
    title = f"{path} of {call.repo} at {revision}"
    size = size_text(head.size_bytes) if head.size_bytes is not None else "of unknown size"
    text = _as_text(head)
    if text is None:
        kind = binary_kind(head.data[:SNIFF_BYTES]) or "not UTF-8"
        return ToolResult(f"{title} is a binary file ({size}): {kind}. Download it to look at it (hf download).")
    if head.size_bytes == 0:
        return ToolResult(f"{title} is empty.")
    return ToolResult(
        f"[{title}, {size}]\n{text[:max_chars]}{_rest(head, text, max_chars)}", display=f"{title}, {size}"
    )


def _as_text(head: Head) -> str | None:
    """The text that these bytes begin; None if they are no text. A character that is cut at the end is left off."""
    if binary_kind(head.data[:SNIFF_BYTES]):
        return None
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(head.data, final=head.is_whole).removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None


def _rest(head: Head, text: str, max_chars: int) -> str:
    """What to say of the part that is not shown."""
    shown = min(len(text), max_chars)
    if shown == len(text) and head.is_whole:
        return ""
    if max_chars * _BYTES_PER_CHAR > MAX_READ_BYTES and shown < max_chars:
        how = "no more of a file is read here: download it with hf download"
    else:
        how = "a larger max_chars shows more"
    of = f" of {size_text(head.size_bytes)}" if head.size_bytes is not None else ""
    return f"\n[truncated: these are the first {shown:,} characters{of}; {how}]"


def _operations(files: Files) -> Operations:
    return Operations(
        "hf_repo_files",
        {
            "list": Operation(_list, looks=True, advice={"not_found": "list without `path` shows all directories."}),
            "read": Operation(_read, ("path",), looks=True, verify=_verify_read),
            "upload": Operation(partial(upload, files), verify=verify_revision),
            "delete": Operation(partial(delete, files), verify=verify_delete),
        },
    )
