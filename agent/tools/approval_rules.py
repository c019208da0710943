"""The approval rules of tools whose effect is known from their name and arguments: Hub, compute, MCP, and bash.

Operations are compared stripped and in lower case, as the tools themselves read them: `" Scheduled Run"` is no way
around a rule. A rule only says what a call needs; what becomes of it is agent/core/approval_policy.py's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import FREE, ApprovalContext, ApprovalNeed, ApprovalRule

if TYPE_CHECKING:
    from agent.tools.shell_analysis import ShellVerdict

_CPU_JOB_FLAVORS = frozenset({"cpu-basic", "cpu-upgrade"})
_SCHEDULED_READS = frozenset({"ps", "inspect"})
_SCHEDULED_STOPS = frozenset({"delete", "suspend"})
_FILE_CHANGES = {"upload": "uploads to", "delete": "deletes files from"}
_GIT_CHANGES = {
    "delete_branch": "deletes a branch of",
    "delete_tag": "deletes a tag of",
    "merge_pr": "merges a pull request of",
    "create_repo": "creates",
    "update_repo": "changes the visibility or access of",
}
HANDS_SECRETS = "hands secrets over to the job"
_FOR_GOOD = frozenset({"delete_branch", "delete_tag", "merge_pr"})


def _word(arguments: Mapping[str, Any], *keys: str) -> str:
    """The first of these arguments that is given, blanks squeezed, in lower case."""
    value = next((arguments[key] for key in keys if arguments.get(key) not in (None, "")), "")
    return " ".join(str(value).split()).lower()


def _repo(arguments: Mapping[str, Any]) -> str:
    return str(arguments.get("repo_id") or "a repository")


def _hints(*hints: str | bool) -> tuple[str, ...]:
    """Those that apply: `cond and "hint"` is False, or empty, where it does not."""
    return tuple(hint for hint in hints if isinstance(hint, str) and hint)


def shell_verdict(arguments: Mapping[str, Any], context: ApprovalContext) -> ShellVerdict:
    """What a call of `bash` does. This and `bash_rule` are the door to the analysis of shell commands, imported by the
    first call."""
    from agent.tools.shell_analysis import bash_verdict

    return bash_verdict(arguments, context)


def bash_rule(arguments: Mapping[str, Any], context: ApprovalContext) -> ApprovalNeed:
    """What only looks is free, a catastrophe needs a person, the rest is asked."""
    from agent.tools import shell_analysis

    return shell_analysis.bash_rule(arguments, context)


def sandbox_create_rule(arguments: Mapping[str, Any], _context: ApprovalContext) -> ApprovalNeed:
    """The free CPU sandbox needs no yes; every other hardware is paid by the hour."""
    hardware = _word(arguments, "hardware") or "cpu-basic"
    if hardware == "cpu-basic":
        return FREE
    hints = _hints("is paid by the hour until it is deleted")
    return ApprovalNeed("ask", f"starts a paid sandbox ({hardware})", billable=True, hints=hints)


def hf_jobs_rule(arguments: Mapping[str, Any], context: ApprovalContext) -> ApprovalNeed:
    """Jobs cost money when they start; a schedule goes on costing it, so only a person may start or resume one."""
    operation = _word(arguments, "operation")
    if operation.startswith("scheduled"):
        return _scheduled(operation.removeprefix("scheduled").strip(), _job_hints(arguments))
    if operation not in {"run", "uv"}:
        return FREE
    if _word(arguments, "backend") == "local":
        return ApprovalNeed("ask", "runs a script on this machine, in the background", hints=_job_hints(arguments))
    flavor = _word(arguments, "hardware_flavor", "flavor", "hardware") or "cpu-basic"
    if flavor in _CPU_JOB_FLAVORS and not context.confirm_cpu_jobs:
        return ApprovalNeed("free", billable=True)
    return ApprovalNeed("ask", f"starts a job on {flavor}", billable=True, hints=_job_hints(arguments))


def _job_hints(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """What the arguments alone tell; what the script does is found by the tool's look ahead."""
    flavor = _word(arguments, "hardware_flavor", "flavor", "hardware")
    return _hints(
        flavor not in _CPU_JOB_FLAVORS and flavor != "" and f"runs on paid hardware ({flavor})",
        bool(arguments.get("secrets")) and HANDS_SECRETS,
    )


def _scheduled(action: str, hints: tuple[str, ...]) -> ApprovalNeed:
    if action in _SCHEDULED_READS:
        return FREE
    if action in _SCHEDULED_STOPS:
        # A runaway schedule must be stoppable without a person, so this is no more than an ordinary question.
        return ApprovalNeed("ask", f"{action}s a scheduled job")
    verb = {"run": "creates", "resume": "resumes"}.get(action, "changes")
    return ApprovalNeed(
        "human", f"{verb} a scheduled job, which goes on costing money by itself", billable=True, hints=hints
    )


def hf_repo_files_rule(arguments: Mapping[str, Any], _context: ApprovalContext) -> ApprovalNeed:
    """Writing to a repository is asked; listing and reading are free."""
    operation = _word(arguments, "operation")
    verb = _FILE_CHANGES.get(operation)
    if verb is None:
        return FREE
    is_proposed = bool(arguments.get("create_pr")) or _word(arguments, "revision").startswith("refs/pr/")
    hints = _hints(
        operation == "delete" and "deletes files on the Hub",
        not is_proposed and "changes the branch itself, not through a pull request",
    )
    return ApprovalNeed("ask", f"{verb} {_repo(arguments)} on the Hub", hints=hints)


def hf_repo_git_rule(arguments: Mapping[str, Any], _context: ApprovalContext) -> ApprovalNeed:
    """What cannot be taken back, or makes or opens a repository, is asked; branches and pull requests are free."""
    operation = _word(arguments, "operation")
    verb = _GIT_CHANGES.get(operation)
    if verb is None:
        return FREE
    is_public = operation in {"create_repo", "update_repo"} and _word(arguments, "private") in {"false", "0", "no"}
    hints = _hints(
        is_public and "makes the repository public",
        operation in _FOR_GOOD and "cannot be taken back",
    )
    return ApprovalNeed("ask", f"{verb} {_repo(arguments)} on the Hub", hints=hints)


def hf_private_repos_rule(arguments: Mapping[str, Any], context: ApprovalContext) -> ApprovalNeed:
    """The predecessor of the two tools above, still found in old sessions."""
    operation = _word(arguments, "operation")
    if operation == "create_repo":
        return ApprovalNeed("ask", f"creates {_repo(arguments)} on the Hub")
    if operation == "upload_file" and not context.auto_file_upload:
        return ApprovalNeed("ask", f"uploads a file to {_repo(arguments)} on the Hub")
    return FREE


def mcp_rule(read_only_hint: bool | None, tool_name: str | None = None) -> ApprovalRule:
    """The rule for a tool of an MCP server. Only one that its server declares read-only runs without a yes.

    `tool_name` is the name it is registered under, for the rule that "always allow this" adds; None offers no rule.
    """

    def rule(_arguments: Mapping[str, Any], _context: ApprovalContext) -> ApprovalNeed:
        if read_only_hint is True:
            return FREE
        return ApprovalNeed("ask", "is a tool of an MCP server and may change something", always_rule=tool_name)

    return rule


RULES: Mapping[str, ApprovalRule] = MappingProxyType(
    {
        "bash": bash_rule,
        "sandbox_create": sandbox_create_rule,
        "hf_jobs": hf_jobs_rule,
        "hf_repo_files": hf_repo_files_rule,
        "hf_repo_git": hf_repo_git_rule,
        "hf_private_repos": hf_private_repos_rule,
    }
)
"""By tool name. A tool that is not here brings its own rule or never asks."""
