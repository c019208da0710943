"""Uploading to and deleting from repositories on the Hub: what is looked at before, and done when it is approved."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from agent.hub.account import HubAccount, Threshold
from agent.hub.errors import HubError
from agent.hub.repos import (
    MAIN,
    Commit,
    Listing,
    commit_deletions,
    commit_files,
    fixed_directory,
    list_tree,
    literally,
    matching,
    path_problem,
)
from agent.light_dataclass import dataclass
from agent.protocol.compute import ComputeError
from agent.protocol.counting import counted
from agent.protocol.tools import Preflight, ToolResult, ToolSession
from agent.tools.arguments import ArgumentError, bool_argument
from agent.tools.files import FileToolError
from agent.tools.hub_approved import Approved
from agent.tools.hub_names import names, near
from agent.tools.hub_operations import Call, Operations
from agent.tools.hub_uploads import Source, UploadReader
from agent.tools.hub_words import operation_name, optional_text, read_repo

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAX_SCANNED_TO_DELETE = 100_000
LOOK_S = 10.0
"""What an upload or deletion is about is known by then, or it is not run."""


@dataclass(frozen=True, slots=True)
class Files:
    """What the operations work with. `approved` knows the files of the calls that were looked into."""

    account: HubAccount
    reader: UploadReader
    approved: Approved = field(default_factory=Approved)


# --- before the call -------------------------------------------------------------------------------------------------


def check(files: Files, operations: Operations, arguments: Mapping[str, Any], session: ToolSession) -> str | None:
    """Reads what would be uploaded: call it in a thread."""
    problem = operations.check(arguments, session)
    is_here = files.reader.fetch is None or arguments.get("content") is not None
    if problem is None and operation_name(arguments) == "upload" and is_here:
        try:
            files.reader.find_here(arguments, session)
        except (ArgumentError, FileToolError) as error:
            return str(error)
    return problem


async def look_ahead(
    files: Files, operations: Operations, arguments: Mapping[str, Any], session: ToolSession
) -> Preflight:
    """Which files an upload would take, or a deletion remove, for the person who is asked."""
    look = _LOOKS.get(operation_name(arguments))
    if look is None:
        return Preflight()
    try:
        operations.read(arguments)
        async with asyncio.timeout(LOOK_S):
            return await look(files, arguments, session)
    except TimeoutError:
        return Preflight(
            problem=f"Which files it is about could not be found out within {LOOK_S:g} s, so nothing was done. Name a "
            "smaller directory, or try again; very much is uploaded with `hf upload-large-folder` in a shell."
        )
    except (ArgumentError, FileToolError, HubError, ComputeError) as error:
        return Preflight(problem=str(error))


async def _look_at_upload(files: Files, arguments: Mapping[str, Any], session: ToolSession) -> Preflight:
    source = await files.reader.find(arguments, session)
    files.approved.keep(arguments, source.stamps)
    facts = [("from", source.local), ("size", source.what)] if source.local else []
    if source.left_out:
        facts.append(("left out", f"{names(source.left_out)} (usually holds secrets)"))
    hints = [f"has what looks like a key or password: {names(source.suspicious)}"] if source.suspicious else []
    return Preflight(facts=tuple(facts), hints=tuple(hints))


async def _look_at_deletion(files: Files, arguments: Mapping[str, Any], _session: ToolSession) -> Preflight:
    """What is wrong with the patterns is said by the call itself: it deletes nothing then."""
    repo = read_repo(arguments)
    _, revision = _pr_and_revision(arguments)
    patterns = _patterns(arguments)
    below = fixed_directory(patterns)
    try:
        found = await files.account.read(
            lambda api: list_tree(api, repo, revision, below, limit=MAX_SCANNED_TO_DELETE),
            f"listing the files of {repo}",
        )
    except HubError as error:
        if error.kind != "not_found":
            raise
        found = Listing(())
    stamps = await asyncio.to_thread(_fitting, found, patterns)
    files.approved.keep(arguments, stamps)
    if found.is_cut or not stamps:
        return Preflight()
    is_all = not below and all(each.path in stamps or each.path == ".gitattributes" for each in found.files)
    fact = ("deletes", f"{counted(len(stamps), 'file')} of {len(found.files):,} there: {names(list(stamps))}")
    return Preflight(facts=(fact,), hints=("deletes every file of the repository",) if is_all else ())


_LOOKS = {"upload": _look_at_upload, "delete": _look_at_deletion}


def _fitting(found: Listing, patterns: Sequence[str]) -> dict[str, str]:
    """The files that patterns fit, with their sizes as stamps."""
    sizes = {each.path: str(each.size_bytes) for each in found.files}
    return {path: sizes[path] for path in matching(sizes, patterns)}


def _require_approved(files: Files, arguments: Mapping[str, Any], stamps: Mapping[str, str]) -> None:
    """What was approved is what is done. Raises ArgumentError, which says what is different."""
    if change := files.approved.change(arguments, stamps):
        raise ArgumentError(
            f"Nothing was done: the files are not those any more that were looked at ({change}). Call "
            "it again, if it is still meant."
        )


def verify_revision(arguments: Mapping[str, Any]) -> None:
    """Raises ArgumentError for what is wrong with where a change goes."""
    _pr_and_revision(arguments)
    optional_text(arguments, "commit_message")


def verify_delete(arguments: Mapping[str, Any]) -> None:
    """Raises ArgumentError for what is wrong with what is to be deleted."""
    verify_revision(arguments)
    _patterns(arguments)


def _pr_and_revision(arguments: Mapping[str, Any]) -> tuple[bool, str]:
    create_pr, revision = bool_argument(arguments, "create_pr"), optional_text(arguments, "revision") or MAIN
    if create_pr and revision.startswith("refs/pr/"):
        raise ArgumentError(f"{revision} is a pull request already: leave create_pr out to add to it.")
    if create_pr and revision != MAIN:
        raise ArgumentError("create_pr proposes a change of main: leave `revision` out.")
    return create_pr, revision


def _patterns(arguments: Mapping[str, Any]) -> list[str]:
    """What to delete. An exact `path` is a pattern that fits it alone."""
    path, given = optional_text(arguments, "path"), arguments.get("patterns")
    if path and given:
        raise ArgumentError("delete takes `path` or `patterns`, not both.")
    if path:
        return [literally(path.removeprefix("./").removeprefix("/"))]
    wanted = [given] if isinstance(given, str) else given
    if not isinstance(wanted, list) or not wanted:
        raise ArgumentError('delete needs `path`, or `patterns` with at least one pattern, e.g. ["*.bin"].')
    if not all(isinstance(each, str) and each.strip() for each in wanted):
        raise ArgumentError("`patterns` must be a list of texts, none of them empty.")
    for each in wanted:
        if problem := path_problem(each.strip().removesuffix("/")):
            raise ArgumentError(f"`patterns`: {each[:100]!r} {problem}.")
    return [each.strip() for each in wanted]


# --- upload ----------------------------------------------------------------------------------------------------------


async def upload(files: Files, call: Call) -> ToolResult:
    """Commit what was looked at. Raises ArgumentError, FileToolError, HubError."""
    create_pr, revision = _pr_and_revision(call.arguments)
    source = await files.reader.find(call.arguments, call.session)
    _require_approved(files, call.arguments, source.stamps)
    message = call.text("commit_message") or f"Upload {source.path or counted(len(source.files), 'file')}"
    threshold = Threshold()

    def go_on() -> None:
        try:
            source.require_unchanged()
        except FileToolError as error:
            raise HubError(str(error), "bad_request") from error
        threshold.cross()

    def commit(api: HfApi) -> Commit:
        return commit_files(api, call.repo, revision, source.targets, message=message, create_pr=create_pr, go_on=go_on)

    made = await call.change(commit, "uploading to", threshold=threshold)
    if not create_pr and revision == MAIN and call.is_artifact:
        await call.keep(card=source.has_card)
    return _committed(call, made, f"Uploaded {_described(source)}", revision, _left_out(source))


def _described(source: Source) -> str:
    whence = f" from {source.local}" if source.local else ""
    if source.is_folder:
        return f"{source.what}{whence}" + (f", below {source.path}/" if source.path else "")
    return f"{source.path} ({source.what}){whence}"


def _left_out(source: Source) -> str:
    return f"Left out, as they usually hold secrets: {names(source.left_out)}." if source.left_out else ""


# --- delete ----------------------------------------------------------------------------------------------------------


async def delete(files: Files, call: Call) -> ToolResult:
    """Commit the deletion of what was looked at. Raises ArgumentError, HubError."""
    create_pr, revision = _pr_and_revision(call.arguments)
    patterns = _patterns(call.arguments)
    found = await _deletable(call, revision, fixed_directory(patterns))
    stamps = await asyncio.to_thread(_fitting, found, patterns)
    paths = list(stamps)
    if found.is_cut:
        return ToolResult(
            f"{call.repo} has more than {MAX_SCANNED_TO_DELETE:,} files there, too many to be sure what the patterns "
            "fit; nothing was deleted. Begin the patterns with a directory.",
            ok=False,
        )
    if not paths:
        wanted = [call.text("path")] if call.text("path") else patterns
        meant = await near(call, revision, wanted)
        return ToolResult(
            f"Nothing was deleted: {', '.join(wanted)} fits no file of {call.repo} at {revision}. {meant}", ok=False
        )
    _require_approved(files, call.arguments, stamps)
    threshold = Threshold()
    message = call.text("commit_message") or f"Delete {paths[0] if len(paths) == 1 else counted(len(paths), 'file')}"
    made = await call.change(
        lambda api: commit_deletions(
            api, call.repo, revision, paths, message=message, create_pr=create_pr, go_on=threshold.cross
        ),
        "deleting files of",
        threshold=threshold,
    )
    return _committed(call, made, f"Deleted {counted(len(paths), 'file')} ({names(paths)})", revision, "", "from")


async def _deletable(call: Call, revision: str, below: str) -> Listing:
    """The files among which patterns can fit. A directory that is not there has none."""
    try:
        return await call.look(
            lambda api: list_tree(api, call.repo, revision, below, limit=MAX_SCANNED_TO_DELETE),
            "listing the files of",
        )
    except HubError as error:
        if error.missing != "entry":
            raise
        return Listing(())


# --- results ---------------------------------------------------------------------------------------------------------


def _committed(call: Call, made: Commit, done: str, revision: str, note: str, link: str = "to") -> ToolResult:
    """What was done where, in which commit, and how it goes on with a pull request."""
    branch = f", {revision}" if revision != MAIN else ""
    short = f"{done} {link} {call.repo}{branch} (commit {made.oid[:7]})"
    said = [short, made.url]
    if made.pr_num is not None:
        said[0] = f"{done}: proposed in pull request #{made.pr_num} of {call.repo} (commit {made.oid[:7]})"
        said[1] = made.pr_url or made.url
        said.append(f'More goes into it with revision="refs/pr/{made.pr_num}"; hf_repo_git opens and merges it.')
    return ToolResult("\n".join([*said, note]).rstrip(), display="\n".join([said[0], note]).rstrip())
