"""Decisions on tool calls: the rules' meaning, their precedence in both modes, and the table of Hub operations."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.approval_policy import ApprovalDecision, ApprovalPolicy, Mode, _base_needs_approval
from agent.protocol.permissions import PermissionRule
from agent.protocol.tools import FREE, ApprovalContext, ApprovalNeed, ApprovalRule, ToolResult, ToolSession, ToolSpec
from agent.tools.approval_rules import RULES, mcp_rule
from agent.tools.shell_analysis import bash_rule

WORKSPACE = Path("/work/project")


async def _unused(_arguments: dict[str, Any], _session: ToolSession, _call_id: str) -> ToolResult:
    raise AssertionError("no tool is run here")


def tool(name: str, rule: ApprovalRule | None = None, key: str = "") -> ToolSpec:
    approval = rule or (lambda _arguments, _context: FREE)
    kind: Any = {"command": "command", "path": "path"}.get(key, "text")

    def subject(arguments: Mapping[str, Any], _workspace: Path) -> str:
        return str(arguments.get(key) or "")

    return ToolSpec(name, "", {"type": "object"}, _unused, approval, subject=subject, subject_kind=kind)


def always(kind: Any, **more: Any) -> ApprovalRule:
    return lambda _arguments, _context: ApprovalNeed(kind, **more)


BASH = tool("bash", bash_rule, "command")
WRITE = tool("write", always("ask", reason="outside the workspace"), "path")
READ = tool("read", key="path")


def policy(mode: Mode = "ask", workspace: Path = WORKSPACE, **more: Any) -> ApprovalPolicy:
    return ApprovalPolicy(mode, context=ApprovalContext(workspace), **more)


def bash(command: str, mode: Mode = "ask", **rules: Any) -> ApprovalDecision:
    return policy(mode, **rules).decide(BASH, {"command": command})


# --- rule texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule", "again"),
    [
        ("write", PermissionRule("write"), "write"),
        (" bash( git push * ) ", PermissionRule("bash", "git push *"), "bash(git push *)"),
        ("bash (ls)", PermissionRule("bash", "ls"), "bash(ls)"),
        ("bash(*)", PermissionRule("bash"), "bash"),
        ("write(**)", PermissionRule("write"), "write"),
        ("mcp_*", PermissionRule("mcp_*"), "mcp_*"),
        ("bash(echo (a) b)", PermissionRule("bash", "echo (a) b"), "bash(echo (a) b)"),
        ("bash(git\ncommit)", PermissionRule("bash", "git\ncommit"), "bash(git\ncommit)"),
    ],
)
def test_rules_are_read_and_written(text: str, rule: PermissionRule, again: str) -> None:
    assert PermissionRule.parse(text) == rule
    assert str(rule) == again
    assert PermissionRule.parse(str(rule)) == rule


@pytest.mark.parametrize(
    "text", ["", "  ", "bash(", "bash)", "(ls)", "bash()", "bash( )", "bash(ls) x", "a b", "b;x", None, 3]
)
def test_bad_rules_are_refused_with_a_message(text: Any) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        PermissionRule.parse(text)
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        policy(deny=[text]) if isinstance(text, str) else PermissionRule.parse(text)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("git push *", "git push origin main", True),
        ("git push *", "git push", True),
        ("git push *", "git pushd x", False),
        ("git push *", "git  push\torigin", True),
        ("git push *", "sudo git push", False),
        ("git push", "git push", True),
        ("git push", "git push origin", False),
        ("* --force", "git push --force", True),
        ("* --force*", "git push --force-with-lease", True),
        ("git * main", "git push origin main", True),
        ("a*b*c", "axxbyyc", True),
        ("a*b*c", "axxcyyb", False),
        ("ab*ba", "aba", False),
        ("py?hon", "python", False),
        ("[ab]", "a", False),
        ("GIT *", "git x", False),
    ],
)
def test_patterns_of_words(pattern: str, text: str, fits: bool) -> None:
    assert PermissionRule("bash", pattern).matches_words(text) is fits


def test_a_pattern_of_many_stars_is_quick() -> None:
    assert not PermissionRule("bash", "*a" * 200 + "b").matches_words("a" * 200_000)
    assert not PermissionRule("write", "**/a/" * 50 + "b").matches_path("a/" * 2000, WORKSPACE, Path("/home/me"))


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("src/**", "src/a.py", True),
        ("src/**", "src/deep/er/a.py", True),
        ("src/**", "/work/project/src/a.py", True),
        ("src/**", "src/../secret.py", False),
        ("src/**", "srcs/a.py", False),
        ("src/**", "/elsewhere/src/a.py", False),
        ("./src/*.py", "src/a.py", True),
        ("src/*.py", "src/deep/a.py", False),
        ("src/", "src/deep/a.py", True),
        ("src/**/*.py", "src/a.py", True),
        ("src/**/*.py", "src/deep/er/a.py", True),
        ("src/**/*.py", "src/deep/a.txt", False),
        ("src/?.py", "src/a.py", True),
        ("src/[x].py", "src/[x].py", True),
        ("src/[x].py", "src/x.py", False),
        ("*.py", "a.py", True),
        ("*.py", "deep/a.py", True),
        ("/data/**", "/data/a/b", True),
        ("/data/**", "data/a", False),
        ("~/notes/**", "~/notes/a", True),
        ("~/notes/**", "/home/me/notes/a", True),
        ("~", "~", True),
        ("~/x", "/home/you/x", False),
        ("../**", "/work/other/a", True),
    ],
)
def test_patterns_of_paths(pattern: str, path: str, fits: bool) -> None:
    rule, home = PermissionRule("write", pattern), Path("/home/me")
    assert rule.matches_path(path, WORKSPACE, home) is fits
    assert rule.covers_path(path, WORKSPACE, home) is fits


def test_a_bare_name_forbids_everywhere_but_allows_in_the_workspace_only() -> None:
    rule, home = PermissionRule("read", ".env"), Path("/home/me")
    assert rule.matches_path("/elsewhere/.env", WORKSPACE, home)
    assert not rule.covers_path("/elsewhere/.env", WORKSPACE, home)
    assert rule.covers_path("sub/.env", WORKSPACE, home)


def test_links_are_followed(tmp_path: Path) -> None:
    outside, workspace = tmp_path / "outside", tmp_path / "workspace"
    outside.mkdir()
    (workspace / "src").mkdir(parents=True)
    (workspace / "src" / "link").symlink_to(outside)
    inside = PermissionRule.parse("write(src/**)")
    assert inside.covers_path("src/a.py", workspace)
    assert not inside.covers_path("src/link/a.py", workspace)
    assert PermissionRule.parse(f"write({outside}/**)").matches_path("src/link/a.py", workspace)
    (tmp_path / "alias").symlink_to(workspace)
    assert inside.covers_path("src/a.py", tmp_path / "alias")
    (workspace / "loop").symlink_to(workspace / "loop")
    assert not PermissionRule.parse("write(loop/**)").covers_path("loop/x", workspace)


# --- precedence ------------------------------------------------------------------------------------------------------

ANY = {"path": "x"}


@pytest.mark.parametrize("mode", ["ask", "yolo"])
@pytest.mark.parametrize("kind", ["free", "ask", "human"])
def test_deny_comes_first(mode: Mode, kind: str) -> None:
    decided = policy(mode, deny=["write"], ask=["write"], allow=["write"]).decide(tool("write", always(kind)), ANY)
    assert decided.action == "deny"
    assert not decided.requires_approval
    assert "write" in decided.reason


@pytest.mark.parametrize("mode", ["ask", "yolo"])
def test_what_needs_a_person_is_not_allowed_by_any_rule(mode: Mode) -> None:
    rules = policy(mode, allow=["write"])
    rules.remember("write")
    decided = rules.decide(tool("write", always("human", reason="ruins it", always_rule="write", billable=True)), ANY)
    assert (decided.action, decided.reason, decided.needs_human, decided.billable) == ("ask", "ruins it", True, True)
    assert decided.requires_approval
    assert decided.always_rule is None
    assert decided.auto_approval_blocked is (mode == "yolo")
    assert decided.block_reason == ("ruins it" if mode == "yolo" else None)


@pytest.mark.parametrize("mode", ["ask", "yolo"])
@pytest.mark.parametrize("kind", ["free", "ask"])
def test_a_rule_that_asks_holds_in_yolo_and_against_rules_that_allow(mode: Mode, kind: str) -> None:
    rules = policy(mode, ask=["write(x)"], allow=["write"])
    rules.remember("write")
    decided = rules.decide(tool("write", always(kind), "path"), ANY)
    assert (decided.action, decided.needs_human, decided.always_rule) == ("ask", True, None)
    assert decided.auto_approval_blocked is (mode == "yolo")
    assert "write(x)" in decided.reason
    other = rules.decide(tool("write", always(kind), "path"), {"path": "y"})
    assert other.action == "allow"


@pytest.mark.parametrize("mode", ["ask", "yolo"])
def test_a_rule_that_allows_is_no_auto_approval(mode: Mode) -> None:
    decided = policy(mode, allow=["write"]).decide(WRITE, ANY)
    assert (decided.action, decided.auto_approved) == ("allow", False)


def test_the_tools_own_rule_comes_last() -> None:
    asked = policy().decide(tool("t", always("ask", reason="why", always_rule="t", billable=True)), {})
    assert asked == ApprovalDecision("ask", "why", always_rule="t", billable=True)
    assert policy().decide(tool("t"), {}) == ApprovalDecision("allow")
    approved = policy("yolo").decide(tool("t", always("ask", reason="why", billable=True)), {})
    assert approved == ApprovalDecision("allow", "why", auto_approved=True, billable=True)
    assert not policy("yolo").decide(tool("t"), {}).auto_approved


def test_the_mode_may_change() -> None:
    rules = policy()
    assert rules.decide(WRITE, ANY).action == "ask"
    rules.mode = "yolo"
    assert rules.decide(WRITE, ANY).action == "allow"


def test_what_is_remembered_holds_for_the_session() -> None:
    rules = policy()
    first = rules.decide(BASH, {"command": "git commit -m one"})
    assert (first.action, first.always_rule) == ("ask", "bash(git commit *)")
    assert first.always_rule
    rules.remember(first.always_rule)
    rules.remember(first.always_rule)
    assert rules.session_rules == [PermissionRule("bash", "git commit *")]
    assert rules.decide(BASH, {"command": "git commit -m two"}).action == "allow"
    assert rules.decide(BASH, {"command": "git push"}).action == "ask"
    with pytest.raises(ValueError, match="rule"):
        rules.remember("bash(")


def test_rules_name_tools_by_pattern() -> None:
    rules = policy(allow=["mcp_*"], deny=["mcp_*_delete"])
    asks = always("ask")
    assert rules.decide(tool("mcp_github_list", asks), {}).action == "allow"
    assert rules.decide(tool("mcp_github_delete", asks), {}).action == "deny"
    assert rules.decide(tool("other", asks), {}).action == "ask"


def test_paths_in_rules(tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    rules = policy(workspace=workspace, allow=["write(~/notes/**)", "write(/data/*)"], deny=["read(.env)"])
    assert rules.decide(WRITE, {"path": str(Path.home() / "notes/a/b")}).action == "allow"
    assert rules.decide(WRITE, {"path": "/data/x"}).action == "allow"
    assert rules.decide(WRITE, {"path": "/data/x/y"}).action == "ask"
    assert rules.decide(WRITE, {"path": "/data/../etc/x"}).action == "ask"
    assert rules.decide(READ, {"path": "deep/.env"}).action == "deny"
    assert rules.decide(READ, {"path": "deep/env"}).action == "allow"


def test_a_failing_rule_makes_a_person_decide(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_arguments: Mapping[str, Any], _context: ApprovalContext) -> ApprovalNeed:
        raise KeyError("x")

    with caplog.at_level(logging.ERROR):
        decided = policy("yolo").decide(tool("t", broken), {})
    assert (decided.action, decided.needs_human) == ("ask", True)
    assert "KeyError" in caplog.text


def test_arguments_that_are_no_object_are_left_to_validation() -> None:
    for arguments in ([], None, "x", 3):
        assert policy(deny=["bash"]).decide(BASH, arguments).action == "allow"  # type: ignore[arg-type]


# --- shell commands --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "ask", "yolo"),
    [
        ("ls -la | head", "allow", "allow"),
        ("pip install x", "ask", "allow"),
        ("cat ~/.ssh/id_rsa", "ask", "allow"),
        ("rm -rf /", "ask", "ask"),
        ("curl x | sh", "ask", "ask"),
    ],
)
def test_bash_without_rules(command: str, ask: str, yolo: str) -> None:
    assert bash(command).action == ask
    assert bash(command, "yolo").action == yolo


@pytest.mark.parametrize(
    ("rule", "command", "action"),
    [
        ("git push *", "git push", "allow"),
        ("git push *", "git push origin main", "allow"),
        ("git push *", "git -C sub push", "allow"),
        ("git push *", "cd sub && git push | tail -1", "allow"),
        ("git push *", "timeout 60 git push", "allow"),
        ("git push *", "sh -c 'git push'", "allow"),
        ("git push *", "git push && rm -rf x", "ask"),
        ("git push *", "git push; git pull", "ask"),
        ("git push *", "git push $(rm x)", "ask"),
        ("git push *", "git push > ~/.bashrc", "ask"),
        ("git push *", "git push > .git/config", "ask"),
        ("git push *", "git push > log.txt 2>&1", "allow"),
        ("git push *", "git push &", "allow"),
        ("git push *", "sudo git push", "ask"),
        ("git push *", "PATH=/tmp git push", "ask"),
        ("git push *", "GIT_SSH_COMMAND=x git push", "ask"),
        ("git push *", "env GIT_SSH_COMMAND=x git push", "ask"),
        ("git push *", "git -c core.sshCommand=x push", "ask"),
        ("git push *", "/tmp/git push", "ask"),
        ("git push *", "'git push' x", "ask"),
        ("git push *", 'git push "', "ask"),
        ("git push *", "git push; f() { ls; }", "ask"),
        ("git push *", 'git push <<E"O"F\nx\nEOF\nrm x', "ask"),
        ("git status *", "git status && rm -rf x", "ask"),
        ("cat *", "cat .env", "allow"),
        ("cat *", "cat < .env", "ask"),
        ("echo *", "echo x > notes.txt", "allow"),
        ("echo *", "cd / && echo x > notes.txt", "ask"),
        ("echo *", "echo $((x))", "ask"),
        ("find *", "find . -delete", "allow"),
        ("find *", "find . -exec rm {} +", "ask"),
        ("*", 'anything; at " all', "allow"),
    ],
)
def test_an_allow_rule_must_cover_every_part(rule: str, command: str, action: str) -> None:
    assert bash(command, allow=[f"bash({rule})"]).action == action


def test_several_rules_may_cover_a_command_together() -> None:
    rules = {"allow": ["bash(git add *)", "bash(git commit *)"]}
    assert bash("git add . && git commit -m x", **rules).action == "allow"
    assert bash("git add . && git commit -m x && git push", **rules).action == "ask"


@pytest.mark.parametrize(
    "command",
    [
        "git push",
        "git push origin main",
        "ls && git push",
        "ls $(git push)",
        "sudo git push",
        "timeout 5 git push",
        "sh -c 'ls; git push'",
        "eval 'git push'",
        "ls | xargs git push",
        "git -C sub push",
        "git -c a=b push",
        "/usr/bin/git push",
        'g"it" push',
        "X=git; $X push",
        "PATH=/tmp git push",
        "find . -exec git push \\;",
        "f() { git push; }; f",
        "if true; then git push; fi",
        "cat <<EOF | sh\ngit push\nEOF",
        "git push &",
        'git push "',
        "ls\r\ngit push",
        "true; " + "# x\n" * 10_000 + "git push",
    ],
)
def test_one_part_is_enough_for_deny_and_ask(command: str) -> None:
    assert bash(command, "yolo", deny=["bash(git push *)"]).action == "deny"
    assert bash(command, "yolo", ask=["bash(git push *)"], allow=["bash"]).action == "ask"


def test_wrappers_and_whole_texts_can_be_forbidden() -> None:
    assert bash("ls | sudo tee x", deny=["bash(sudo *)"]).action == "deny"
    assert bash("ls; bash -c 'ls'", deny=["bash(bash -c *)"]).action == "deny"
    assert bash("make > /etc/x", deny=["bash(* > /etc/*)"]).action == "deny"
    assert bash("git pull", deny=["bash(git push *)"]).action == "ask"


# --- tools of the Hub ------------------------------------------------------------------------------------------------

ASK, HUMAN, FREE_KIND = "ask", "human", "free"
FREE_GIT_OPERATIONS = (
    "create_branch create_tag list_refs create_pr list_prs get_pr close_pr comment_pr change_pr_status unknown"
)
TABLE: list[tuple[str, dict[str, Any], str, bool]] = [
    ("sandbox_create", {}, FREE_KIND, False),
    ("sandbox_create", {"hardware": None}, FREE_KIND, False),
    ("sandbox_create", {"hardware": "cpu-basic"}, FREE_KIND, False),
    ("sandbox_create", {"hardware": " CPU-Basic "}, FREE_KIND, False),
    ("sandbox_create", {"hardware": "cpu-upgrade"}, ASK, True),
    ("sandbox_create", {"hardware": "a10g-small"}, ASK, True),
    ("hf_jobs", {"operation": "run"}, ASK, True),
    ("hf_jobs", {"operation": "uv", "hardware_flavor": "cpu-upgrade"}, ASK, True),
    ("hf_jobs", {"operation": "run", "hardware_flavor": "a100x8"}, ASK, True),
    ("hf_jobs", {"operation": "run", "flavor": "t4-small"}, ASK, True),
    ("hf_jobs", {"operation": " RUN ", "hardware": "l4x1"}, ASK, True),
    *[("hf_jobs", {"operation": name}, FREE_KIND, False) for name in ("ps", "logs", "inspect", "cancel")],
    ("hf_jobs", {"operation": "scheduled run"}, HUMAN, True),
    ("hf_jobs", {"operation": " Scheduled  RUN "}, HUMAN, True),
    ("hf_jobs", {"operation": "scheduled resume"}, HUMAN, True),
    ("hf_jobs", {"operation": "scheduled uv"}, HUMAN, True),
    ("hf_jobs", {"operation": "scheduled"}, HUMAN, True),
    ("hf_jobs", {"operation": "scheduled ps"}, FREE_KIND, False),
    ("hf_jobs", {"operation": "scheduled inspect"}, FREE_KIND, False),
    ("hf_jobs", {"operation": "scheduled delete"}, ASK, False),
    ("hf_jobs", {"operation": "Scheduled Suspend"}, ASK, False),
    ("hf_jobs", {}, FREE_KIND, False),
    ("hf_jobs", {"operation": 3}, FREE_KIND, False),
    ("hf_private_repos", {"operation": "upload_file"}, ASK, False),
    ("hf_private_repos", {"operation": "create_repo"}, ASK, False),
    ("hf_private_repos", {"operation": "list_files"}, FREE_KIND, False),
    *[("hf_repo_files", {"operation": name}, ASK, False) for name in ("upload", "delete", " Upload ")],
    *[("hf_repo_files", {"operation": name}, FREE_KIND, False) for name in ("list", "read", "", None)],
    *[
        ("hf_repo_git", {"operation": name, "repo_id": "me/x"}, ASK, False)
        for name in ("delete_branch", "delete_tag", "merge_pr", "create_repo", "update_repo", "DELETE_TAG")
    ],
    *[("hf_repo_git", {"operation": name}, FREE_KIND, False) for name in FREE_GIT_OPERATIONS.split()],
]


@pytest.mark.parametrize(("name", "arguments", "kind", "billable"), TABLE)
def test_the_table_of_operations(name: str, arguments: dict[str, Any], kind: str, billable: bool) -> None:
    need = RULES[name](arguments, ApprovalContext(WORKSPACE))
    assert (need.kind, need.billable) == (kind, billable)
    assert bool(need.reason) is (kind != FREE_KIND)
    assert _base_needs_approval(name, arguments) is (kind != FREE_KIND)
    spec = tool(name, RULES[name])
    assert policy("ask").decide(spec, arguments).requires_approval is (kind != FREE_KIND)
    assert policy("yolo").decide(spec, arguments).requires_approval is (kind == HUMAN)


def test_cpu_jobs_may_go_unasked_but_still_cost() -> None:
    context = ApprovalContext(WORKSPACE, confirm_cpu_jobs=False)
    for flavor, kind in [("cpu-basic", "free"), (None, "free"), ("cpu-upgrade", "free"), ("t4-small", "ask")]:
        need = RULES["hf_jobs"]({"operation": "run", "hardware_flavor": flavor}, context)
        assert (need.kind, need.billable) == (kind, True)
    assert RULES["hf_jobs"]({"operation": "scheduled run"}, context).kind == "human"


def test_uploads_to_private_repositories_may_go_unasked() -> None:
    context = ApprovalContext(WORKSPACE, auto_file_upload=True)
    assert RULES["hf_private_repos"]({"operation": "upload_file"}, context).kind == "free"
    assert RULES["hf_private_repos"]({"operation": "create_repo"}, context).kind == "ask"
    assert RULES["hf_repo_files"]({"operation": "upload"}, context).kind == "ask"


@pytest.mark.parametrize(("hint", "kind"), [(True, "free"), (False, "ask"), (None, "ask")])
def test_mcp_tools_ask_unless_their_server_calls_them_read_only(hint: bool | None, kind: str) -> None:
    need = mcp_rule(hint, "mcp_x")({}, ApprovalContext(WORKSPACE))
    assert (need.kind, need.always_rule) == (kind, "mcp_x" if kind == "ask" else None)
    assert mcp_rule(hint)({}, ApprovalContext(WORKSPACE)).always_rule is None


def test_the_references_function_takes_any_config() -> None:
    run = {"operation": "run"}
    assert _base_needs_approval("hf_jobs", run, SimpleNamespace(confirm_cpu_jobs=False)) is False
    assert _base_needs_approval("hf_jobs", run, SimpleNamespace()) is True
    upload = {"operation": "upload_file"}
    assert _base_needs_approval("hf_private_repos", upload, SimpleNamespace(auto_file_upload=True)) is False
    for arguments in (None, [], "x", 3):
        assert _base_needs_approval("hf_jobs", arguments) is False
    assert _base_needs_approval("unknown", {}) is False


# --- anything at all -------------------------------------------------------------------------------------------------

RULE_TEXTS = st.sampled_from(
    ["bash", "bash(git *)", "bash(* rm *)", "write(~/**)", "write(src/)", "*", "read(**/.env)"]
)


@given(
    st.sampled_from([BASH, WRITE, READ]),
    st.text(max_size=60),
    st.sampled_from(["ask", "yolo"]),
    st.lists(RULE_TEXTS, max_size=2),
    st.lists(RULE_TEXTS, max_size=2),
)
def test_every_text_gets_a_decision(spec: ToolSpec, text: str, mode: Mode, allow: list[str], deny: list[str]) -> None:
    decided = policy(mode, allow=allow, deny=deny).decide(spec, {"command": text, "path": text})
    assert decided.action in {"allow", "ask", "deny"}
    assert "internal error" not in decided.reason


WORDS = st.sampled_from(
    ["git", "add", "commit", "python", "a.py", "-m", "x", "uv", "run", ";", "&&", "|", "> o", "make"]
)


@given(st.lists(WORDS, min_size=1, max_size=8).map(" ".join))
def test_what_is_always_allowed_is_not_asked_again(command: str) -> None:
    rules = policy()
    decided = rules.decide(BASH, {"command": command})
    if decided.always_rule:
        rules.remember(decided.always_rule)
        assert rules.decide(BASH, {"command": command}).action == "allow"
        assert rules.decide(BASH, {"command": f"{command}; rm -r x"}).action == "ask"


def test_another_case_is_no_way_around_a_rule_that_forbids_but_allows_nothing() -> None:
    repo = tool("repo", always("ask"), "id")
    assert policy(deny=["repo(Acme/*)"]).decide(repo, {"id": "acme/x"}).action == "deny"
    assert policy(allow=["repo(Acme/*)"]).decide(repo, {"id": "acme/x"}).action == "ask"
    assert policy(allow=["repo(Acme/*)"]).decide(repo, {"id": "Acme/x"}).action == "allow"
