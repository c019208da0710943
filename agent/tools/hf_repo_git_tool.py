"""`hf_repo_git`: branches, tags, pull requests and settings of repositories on the Hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolResult, ToolSession, ToolSpec
from agent.tools.approval_rules import hf_repo_git_rule
from agent.tools.door import Door

if TYPE_CHECKING:
    from agent.hub.account import HubAccount
    from agent.tools.hub_git import GitDesk
    from agent.tools.hub_operations import Artifacts
STATUSES = ("open", "closed", "all")
NEW_STATUSES = ("open", "closed")
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


def hf_repo_git_spec(account: HubAccount, artifacts: Callable[[], Artifacts] | None = None) -> ToolSpec:
    """The `hf_repo_git` tool. `artifacts` is asked for when a call is first looked at."""

    def door() -> GitDesk:
        from agent.tools.hub_git import GitDesk

        return GitDesk(account, artifacts() if artifacts is not None else None)

    desk = Door(door)

    async def handle(arguments: dict[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
        return await (await desk.opened()).handler(arguments, session, tool_call_id)

    return ToolSpec(
        name="hf_repo_git",
        description=DESCRIPTION,
        parameters=PARAMETERS,
        handler=handle,
        ready=desk.ready,
        approval=hf_repo_git_rule,
        check=lambda arguments, session: desk().check(arguments, session),
        only_looks=lambda arguments, workspace: desk().only_looks(arguments, workspace),
        subject=lambda arguments, workspace: desk().subject(arguments, workspace),
        preflight=lambda arguments, session: desk().preflight(arguments, session),
    )
