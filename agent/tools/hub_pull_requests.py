"""Pull requests and discussions of repositories on the Hub: a part of `hf_repo_git`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, Literal

from agent.protocol.tools import ToolResult
from agent.tools.hf_repo_git_tool import NEW_STATUSES, STATUSES
from agent.tools.hub_operations import Call, Operation
from agent.tools.hub_words import choice_argument, finished, number_argument

SHOWN_PRS = 20
COUNTED_PRS = 500
"""Further ones are not counted: the client only gives them page by page."""
SHOWN_CHANGED_FILES = 100
SHOWN_COMMENTS = 30
COMMENT_CHARS = 4_000


async def _create_pr(call: Call) -> ToolResult:
    made = await call.change(
        lambda api: api.create_pull_request(
            call.repo.id,
            title=call.text("title"),
            description=call.text("description") or None,
            repo_type=call.repo.type,
        ),
        "opening a pull request in",
    )
    said = f'Pull request #{made.num} of {call.repo} is there as a {made.status}. Next: upload with revision="refs/pr/'
    return ToolResult(
        f'{said}{made.num}", then change_pr_status new_status="open", then merge_pr.\n{_pr_url(call, made.num)}',
        display=f"pull request #{made.num} of {call.repo} ({made.status}): {made.title}",
    )


async def _list_prs(call: Call) -> ToolResult:
    status = choice_argument(call.arguments, "status", STATUSES, "all")
    wanted: Any = status
    found = await call.look(
        lambda api: list(
            islice(
                api.get_repo_discussions(call.repo.id, discussion_status=wanted, repo_type=call.repo.type),
                COUNTED_PRS + 1,
            )
        ),
        "listing pull requests of",
    )
    which = "" if status == "all" else f" {status}"
    if not found:
        return ToolResult(f"{call.repo} has no{which} pull requests or discussions.")
    total = f"more than {COUNTED_PRS}" if len(found) > COUNTED_PRS else f"{len(found)}"
    said = [f"{call.repo}:{which} pull requests [PR] and discussions [D], {total} in all"]
    said += [
        f"[{each.status.upper()}] #{each.num} [{'PR' if each.is_pull_request else 'D'}] {_line(each.title)}"
        f" ({each.author}, {each.created_at:%Y-%m-%d})"
        for each in found[:SHOWN_PRS]
    ]
    if len(found) > SHOWN_PRS:
        said.append(f"[The newest {SHOWN_PRS} are shown; get_pr shows any by its number.]")
    return ToolResult("\n".join(said), display=said[0])


async def _get_pr(call: Call) -> ToolResult:
    number = number_argument(call.arguments, "pr_num")
    found = await call.look(
        lambda api: api.get_discussion_details(call.repo.id, number, repo_type=call.repo.type),
        f"reading pull request #{number} of",
    )
    kind = "Pull request" if found.is_pull_request else "Discussion"
    head = f"{kind} #{number} of {call.repo} [{found.status.upper()}] {_line(found.title)}"
    said = [head, f"by {found.author}, {found.created_at:%Y-%m-%d}; {_pr_url(call, number)}"]
    if found.is_pull_request:
        said += [f"Branch: refs/pr/{number} into {found.target_branch}", *_conflicts(found.conflicting_files)]
        said += _changed(found.diff)
    events: list[Any] = list(found.events)
    if events and events[0].type == "comment":  # the first one is the description
        first = events.pop(0)
        text = "(hidden)" if first.hidden else _cut(first.content)
        said += ["", "Description:", text] if text.strip() else []
    later = [line for event in events for line in _event(event)]
    left_out = len(later) - SHOWN_COMMENTS
    said += [f"\n[{left_out} earlier ones]"] if left_out > 0 else []
    said += later[-SHOWN_COMMENTS:]
    return ToolResult("\n".join(said), display=head)


def _conflicts(files: list[str] | bool | None) -> list[str]:
    if isinstance(files, list) and files:
        return [f"Conflicts: {', '.join(files[:SHOWN_CHANGED_FILES])}"]
    return ["Conflicts: yes"] if files is True else []


def _changed(diff: str | None) -> list[str]:
    files = re.findall(r"^diff --git a/.* b/(.*)$", diff or "", re.MULTILINE)
    files = files or re.findall(r"^--- .*\n\+\+\+ b/(.*)$", diff or "", re.MULTILINE)
    if not files:
        return ["Changed files: none yet"]
    more = f" and {len(files) - SHOWN_CHANGED_FILES:,} more" if len(files) > SHOWN_CHANGED_FILES else ""
    return [f"Changed files ({len(files):,}): {', '.join(files[:SHOWN_CHANGED_FILES])}{more}"]


def _event(event: Any) -> list[str]:
    """One thing that has happened, a comment or else."""
    lead = f"\n{event.author}, {event.created_at:%Y-%m-%d}"
    if event.type == "comment":
        return [f"{lead}: {'(hidden)' if event.hidden else _cut(event.content)}"]
    if event.type == "commit":
        return [f"{lead}: commit {event.oid[:8]} {_line(event.summary)}"]
    return [f"{lead}: now {event.new_status}"] if event.type == "status-change" else []


async def _merge_pr(call: Call) -> ToolResult:
    number = number_argument(call.arguments, "pr_num")
    await call.change(
        lambda api: api.merge_pull_request(
            call.repo.id, number, comment=call.text("comment") or None, repo_type=call.repo.type
        ),
        f"merging pull request #{number} of",
    )
    return finished(f"Merged pull request #{number} of {call.repo}.", _pr_url(call, number))


async def _close_pr(call: Call) -> ToolResult:
    return await _set_status(call, "closed")


async def _change_pr_status(call: Call) -> ToolResult:
    status = choice_argument(call.arguments, "new_status", NEW_STATUSES, "")
    return await _set_status(call, "open" if status == "open" else "closed")


async def _set_status(call: Call, status: Literal["open", "closed"]) -> ToolResult:
    number = number_argument(call.arguments, "pr_num")
    await call.change(
        lambda api: api.change_discussion_status(
            call.repo.id, number, status, comment=call.text("comment") or None, repo_type=call.repo.type
        ),
        f"changing the status of #{number} of",
    )
    return finished(f"#{number} of {call.repo} is {status} now.", _pr_url(call, number))


async def _comment_pr(call: Call) -> ToolResult:
    number = number_argument(call.arguments, "pr_num")
    await call.change(
        lambda api: api.comment_discussion(call.repo.id, number, call.text("comment"), repo_type=call.repo.type),
        f"commenting on #{number} of",
    )
    return finished(f"Commented on #{number} of {call.repo}.", _pr_url(call, number))


# --- what is checked before anybody is asked -------------------------------------------------------------------------


def _verify_number(arguments: Mapping[str, Any]) -> None:
    number_argument(arguments, "pr_num")


def _verify_status(arguments: Mapping[str, Any]) -> None:
    number_argument(arguments, "pr_num")
    choice_argument(arguments, "new_status", NEW_STATUSES, "")


def _verify_filter(arguments: Mapping[str, Any]) -> None:
    choice_argument(arguments, "status", STATUSES, "all")


_NO_SUCH_PR = "list_prs shows the numbers."

PULL_REQUESTS: Mapping[str, Operation] = {
    "create_pr": Operation(_create_pr, ("title",)),
    "list_prs": Operation(_list_prs, looks=True, verify=_verify_filter),
    "get_pr": Operation(_get_pr, ("pr_num",), looks=True, verify=_verify_number, advice={"not_found": _NO_SUCH_PR}),
    "merge_pr": Operation(
        _merge_pr,
        ("pr_num",),
        verify=_verify_number,
        advice={
            "not_found": _NO_SUCH_PR,
            "bad_request": "A draft has to be opened first (change_pr_status); get_pr shows conflicts.",
            "conflict": "get_pr shows its status and conflicts.",
        },
    ),
    "close_pr": Operation(_close_pr, ("pr_num",), verify=_verify_number, advice={"not_found": _NO_SUCH_PR}),
    "comment_pr": Operation(
        _comment_pr, ("pr_num", "comment"), verify=_verify_number, advice={"not_found": _NO_SUCH_PR}
    ),
    "change_pr_status": Operation(
        _change_pr_status, ("pr_num", "new_status"), verify=_verify_status, advice={"not_found": _NO_SUCH_PR}
    ),
}


# --- small words -----------------------------------------------------------------------------------------------------


def _pr_url(call: Call, number: int) -> str:
    return f"{call.url}/discussions/{number}"


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def _cut(text: str) -> str:
    return text if len(text) <= COMMENT_CHARS else f"{text[:COMMENT_CHARS]} [... {len(text):,} characters]"
