"""Branches, tags, pull requests and settings of repositories on the Hub, for `hf_repo_git`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.hub.repos import MAIN
from agent.protocol.counting import counted
from agent.protocol.tools import Preflight, ToolResult, ToolSession
from agent.tools.arguments import ArgumentError, bool_argument
from agent.tools.hf_repo_git_tool import GATES, SPACE_SDKS
from agent.tools.hub_operations import Artifacts, Call, Operation, Operations
from agent.tools.hub_pull_requests import PULL_REQUESTS
from agent.tools.hub_words import (
    choice_argument,
    finished,
    operation_name,
    read_repo,
)

SHOWN_REFS = 100


class GitDesk:
    """What the loop asks about a call of `hf_repo_git`, and who carries it out."""

    def __init__(self, account: HubAccount, artifacts: Artifacts | None) -> None:
        self._account = account
        self.handler = OPERATIONS.handler(account, artifacts)
        self.check = OPERATIONS.check
        self.only_looks = OPERATIONS.only_looks
        self.subject = OPERATIONS.subject(account)

    async def preflight(self, arguments: Mapping[str, Any], _session: ToolSession) -> Preflight:
        """A name alone is completed before rules are asked about it. Where nobody knew yet by what, they were not."""
        repo_id = str(arguments.get("repo_id") or "").strip()
        is_whole = not repo_id or "/" in repo_id
        if operation_name(arguments) != "create_repo" or is_whole or self._account.known_name is not None:
            return Preflight()
        try:
            owner = (await self._account.whoami()).name
        except HubError as error:
            return Preflight(problem=str(error))
        return Preflight(problem=f'Give the whole name: repo_id="{owner}/{repo_id}", if that is meant.')


# --- branches and tags -----------------------------------------------------------------------------------------------


async def _create_branch(call: Call) -> ToolResult:
    branch, start = call.text("branch"), call.text("from_rev", MAIN)
    exist_ok = bool_argument(call.arguments, "exist_ok")
    await call.change(
        lambda api: api.create_branch(
            call.repo.id, branch=branch, revision=start, repo_type=call.repo.type, exist_ok=exist_ok
        ),
        f"making the branch {branch} of",
    )
    whence = "" if exist_ok else f", from {start}"  # else it may have been there before
    return finished(f"The branch {branch} of {call.repo} is there{whence}.", _tree_url(call, branch))


async def _delete_branch(call: Call) -> ToolResult:
    branch = call.text("branch")
    await call.change(
        lambda api: api.delete_branch(call.repo.id, branch=branch, repo_type=call.repo.type),
        f"deleting the branch {branch} of",
    )
    return finished(f"Deleted the branch {branch} of {call.repo}.")


async def _create_tag(call: Call) -> ToolResult:
    tag, revision, exist_ok = call.text("tag"), call.text("revision", MAIN), bool_argument(call.arguments, "exist_ok")
    await call.change(
        lambda api: api.create_tag(
            call.repo.id,
            tag=tag,
            tag_message=call.text("tag_message") or None,
            revision=revision,
            repo_type=call.repo.type,
            exist_ok=exist_ok,
        ),
        f"making the tag {tag} of",
    )
    where = "" if exist_ok else f", at {revision}"
    return finished(f"The tag {tag} of {call.repo} is there{where}.", _tree_url(call, tag))


async def _delete_tag(call: Call) -> ToolResult:
    tag = call.text("tag")
    await call.change(
        lambda api: api.delete_tag(call.repo.id, tag=tag, repo_type=call.repo.type), f"deleting the tag {tag} of"
    )
    return finished(f"Deleted the tag {tag} of {call.repo}.")


async def _list_refs(call: Call) -> ToolResult:
    refs = await call.look(
        lambda api: api.list_repo_refs(call.repo.id, repo_type=call.repo.type), "listing branches and tags of"
    )
    said = [f"{call.repo}: {counted(len(refs.branches), 'branch', 'branches')}, {counted(len(refs.tags), 'tag')}"]
    for title, group in (("Branches", refs.branches), ("Tags", refs.tags), ("Converted", refs.converts)):
        if group:
            said += [f"{title}:", *(f"  {ref.name}  {ref.target_commit[:8]}" for ref in group[:SHOWN_REFS])]
        if len(group) > SHOWN_REFS:
            said.append(f"  [{len(group) - SHOWN_REFS:,} more]")
    return ToolResult("\n".join(said), display=said[0])


# --- repositories ----------------------------------------------------------------------------------------------------


async def _create_repo(call: Call) -> ToolResult:
    is_private = _is_private(call.arguments, True)
    sdk = choice_argument(call.arguments, "space_sdk", SPACE_SDKS, "") or None
    if bool_argument(call.arguments, "exist_ok") and await call.look(
        lambda api: api.repo_exists(call.repo.id, repo_type=call.repo.type), "looking for"
    ):
        return finished(f"The {call.repo} was there already; nothing of it has changed.", call.url)
    await call.change(
        lambda api: api.create_repo(call.repo.id, private=is_private, repo_type=call.repo.type, space_sdk=sdk),
        "making the",
    )
    await call.keep(extra={"sdk": sdk} if sdk else None)
    return finished(f"Made the {'private' if is_private else 'PUBLIC'} {call.repo}.", call.url)


async def _update_repo(call: Call) -> ToolResult:
    is_private = _is_private(call.arguments, None)
    gate = _gate(call.arguments)
    await call.change(
        lambda api: api.update_repo_settings(call.repo.id, private=is_private, gated=gate, repo_type=call.repo.type),
        "changing the settings of",
    )
    now = [] if is_private is None else ["private" if is_private else "PUBLIC"]
    now += [] if gate is None else ["not gated" if gate is False else f"gated ({gate} approval)"]
    return finished(f"The {call.repo} is {' and '.join(now)} now.", call.url)


def _is_private(arguments: Mapping[str, Any], default: bool | None) -> bool | None:
    return default if arguments.get("private") is None else bool_argument(arguments, "private")


def _gate(arguments: Mapping[str, Any]) -> Literal["auto", "manual", False] | None:
    gates: dict[str, Literal["auto", "manual", False] | None] = {"auto": "auto", "manual": "manual", "false": False}
    return gates.get(choice_argument(arguments, "gated", GATES, ""))


# --- what is checked before anybody is asked -------------------------------------------------------------------------


def _verify_create(arguments: Mapping[str, Any]) -> None:
    sdk = choice_argument(arguments, "space_sdk", SPACE_SDKS, "")
    is_space = read_repo(arguments, takes_bare_name=True).type == "space"
    if is_space and not sdk:
        raise ArgumentError(f"create_repo of a Space needs `space_sdk`: {', '.join(SPACE_SDKS)}.")
    if sdk and not is_space:
        raise ArgumentError('`space_sdk` is for Spaces: give repo_type="space" with it.')
    if arguments.get("gated") is not None:
        raise ArgumentError("`gated` is set by update_repo, once the repository is there; leave it out here.")
    _is_private(arguments, True)
    bool_argument(arguments, "exist_ok")


def _verify_update(arguments: Mapping[str, Any]) -> None:
    if _is_private(arguments, None) is None and _gate(arguments) is None:
        raise ArgumentError("update_repo needs `private` or `gated`.")


def _verify_exist_ok(arguments: Mapping[str, Any]) -> None:
    bool_argument(arguments, "exist_ok")


_NO_SUCH_REF = "list_refs shows what there is."
_EXISTS = "Give exist_ok=true to go on with it, or take another name."

OPERATIONS = Operations(
    "hf_repo_git",
    {
        "create_branch": Operation(
            _create_branch,
            ("branch",),
            verify=_verify_exist_ok,
            advice={"conflict": _EXISTS, "not_found": _NO_SUCH_REF},
        ),
        "delete_branch": Operation(_delete_branch, ("branch",), advice={"not_found": _NO_SUCH_REF}),
        "create_tag": Operation(
            _create_tag, ("tag",), verify=_verify_exist_ok, advice={"conflict": _EXISTS, "not_found": _NO_SUCH_REF}
        ),
        "delete_tag": Operation(_delete_tag, ("tag",), advice={"not_found": _NO_SUCH_REF}),
        "list_refs": Operation(_list_refs, looks=True),
        **PULL_REQUESTS,
        "create_repo": Operation(
            _create_repo,
            verify=_verify_create,
            takes_bare_name=True,
            advice={
                "conflict": _EXISTS,
                "payment": "Gradio and Docker Spaces may need a paid plan; a static one does not.",
                "forbidden": "Perhaps the owner is not the person, nor an organisation of theirs.",
            },
        ),
        "update_repo": Operation(_update_repo, verify=_verify_update),
    },
)


# --- small words -----------------------------------------------------------------------------------------------------


def _tree_url(call: Call, revision: str) -> str:
    return f"{call.url}/tree/{quote(revision, safe='')}"
