"""Files of repositories on the Hub, for `hf_repo_files`."""

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
from agent.protocol.tools import ApprovalContext, ApprovalNeed, ApprovalRule, Preflight, ToolResult, ToolSession
from agent.tools.approval_rules import hf_repo_files_rule
from agent.tools.arguments import int_argument
from agent.tools.files import SNIFF_BYTES, FileToolError, binary_kind, resolve_path
from agent.tools.hf_repo_files_tool import MAX_READ_CHARS
from agent.tools.hub_changes import Files, check, delete, look_ahead, upload, verify_delete, verify_revision
from agent.tools.hub_names import MAX_SCANNED, near
from agent.tools.hub_operations import Artifacts, Call, Operation, Operations
from agent.tools.hub_uploads import FetchFiles, UploadReader
from agent.tools.hub_words import size_text

MAX_READ_BYTES = 20_000_000
"""Of a file never more than this is fetched, whatever `max_chars` says."""
SHOWN_ENTRIES = 300
_BYTES_PER_CHAR = 4


class FilesDesk:
    """What the loop asks about a call of `hf_repo_files`, and who carries it out."""

    def __init__(self, account: HubAccount, artifacts: Artifacts | None, fetch: FetchFiles | None) -> None:
        """With `fetch`, `local_path` is where the session's tools run, not on this machine."""
        self._files = Files(account, UploadReader(account.environ, fetch))
        self._operations = _operations(self._files)
        self.handler = self._operations.handler(account, artifacts)
        self.only_looks = self._operations.only_looks
        self.subject = self._operations.subject(account)
        self.approval: ApprovalRule = _approval if fetch is None else hf_repo_files_rule

    def check(self, arguments: Mapping[str, Any], session: ToolSession) -> str | None:
        """Why a call would fail, as far as can be seen from here."""
        return check(self._files, self._operations, arguments, session)

    async def preflight(self, arguments: Mapping[str, Any], session: ToolSession) -> Preflight:
        """What can be known of a call before it runs."""
        return await look_ahead(self._files, self._operations, arguments, session)


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
