"""`hf_repo_git`: branches, tags, pull requests and settings of repositories on the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal
from urllib.parse import quote

from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.hub.repos import MAIN
from agent.protocol.counting import counted
from agent.protocol.tools import Preflight, ToolResult, ToolSession, ToolSpec
from agent.tools.approval_rules import hf_repo_git_rule
from agent.tools.arguments import ArgumentError, bool_argument
from agent.tools.hub_operations import Artifacts, Call, Operation, Operations
from agent.tools.hub_pull_requests import NEW_STATUSES, PULL_REQUESTS, STATUSES
from agent.tools.hub_words import (
    choice_argument,
    finished,
    operation_name,
    read_repo,
)

SHOWN_REFS = 100
GATES = ("auto", "manual", "false")
SPACE_SDKS = ("gradio", "streamlit", "docker", "static")

DESCRIPTION = """\
Branches, tags, pull requests and settings of repositories on the Hugging Face Hub.

A change under review: create_pr (makes a draft) -> hf_repo_files upload with revision="refs/pr/<number>" -> \
change_pr_status new_status="open" -> merge_pr. close_pr ends it without merging; comment_pr and get_pr work for \
discussions, too. create_repo makes a private repository unless private=false; a Space needs space_sdk. update_repo \
sets private or gated. The person is asked before a repository is made or changed, something is deleted, or a pull \
request is merged."""

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["operation"],
    "properties": {
        "operation": {
            "type": "string",
            "enum": [
                *("create_branch", "delete_branch", "create_tag", "delete_tag", "list_refs"),
                *("create_pr", "list_prs", "get_pr", "merge_pr", "close_pr", "comment_pr", "change_pr_status"),
                *("create_repo", "update_repo"),
            ],
        },
        "repo_id": {"type": "string", "description": "owner/name; for create_repo a name alone is the person's own."},
        "repo_type": {"type": "string", "enum": ["model", "dataset", "space"], "description": "Default model."},
        "branch": {"type": "string", "description": "Branch to make or delete."},
        "from_rev": {"type": "string", "description": "Where a new branch starts. Default main."},
        "tag": {"type": "string", "description": "Tag to make or delete."},
        "revision": {"type": "string", "description": "What a new tag points to. Default main."},
        "tag_message": {"type": "string"},
        "title": {"type": "string", "description": "Of a new pull request."},
        "description": {"type": "string", "description": "Of a new pull request, Markdown."},
        "pr_num": {"type": "integer", "description": "Number of the pull request or discussion."},
        "comment": {"type": "string", "description": "Markdown; also with merge, close and status changes."},
        "status": {"type": "string", "enum": list(STATUSES), "description": "Filter of list_prs. Default all."},
        "new_status": {"type": "string", "enum": list(NEW_STATUSES)},
        "private": {"type": "boolean"},
        "gated": {"type": "string", "enum": list(GATES), "description": "Who gets access; false opens it to all."},
        "space_sdk": {"type": "string", "enum": list(SPACE_SDKS)},
        "exist_ok": {"type": "boolean", "description": "What is there already is no error."},
    },
}


def hf_repo_git_spec(account: HubAccount, artifacts: Artifacts | None = None) -> ToolSpec:
    """The `hf_repo_git` tool."""
    return ToolSpec(
        name="hf_repo_git",
        description=DESCRIPTION,
        parameters=PARAMETERS,
        handler=OPERATIONS.handler(account, artifacts),
        approval=hf_repo_git_rule,
        check=OPERATIONS.check,
        only_looks=OPERATIONS.only_looks,
        subject=OPERATIONS.subject(account),
        preflight=partial(_preflight, account),
    )


async def _preflight(account: HubAccount, arguments: Mapping[str, Any], _session: ToolSession) -> Preflight:
    """A name alone is completed before rules are asked about it. Where nobody knew yet by what, they were not."""
    repo_id = str(arguments.get("repo_id") or "").strip()
    if operation_name(arguments) != "create_repo" or not repo_id or "/" in repo_id or account.known_name is not None:
        return Preflight()
    try:
        owner = (await account.whoami()).name
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
