"""`hf_repo_git`: branches, tags, pull requests and repositories, with the real client against a loopback Hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol.tools import ApprovalContext, ToolSpec
from agent.tools.hf_repo_git_tool import hf_repo_git_spec
from tests.fakes.hub import FakeHub
from tests.unit.tools.conftest import FakeSession
from tests.unit.tools.hub_calls import REPO, Kept, account_of, done, refused


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub
        hub.check()


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def git(hub: FakeHub, kept: Kept) -> ToolSpec:
    return hf_repo_git_spec(account_of(hub), lambda: kept)


# --- what every operation shares -------------------------------------------------------------------------------------


async def test_no_operation_gives_the_usage(session: FakeSession, git: ToolSpec) -> None:
    result = await session.call(git)
    assert result.ok
    for name in git.parameters["properties"]["operation"]["enum"]:
        assert f"- {name}: repo_id" in result.output
    assert "- comment_pr: repo_id, pr_num, comment" in result.output


async def test_unknown_operation_names_the_valid_ones(session: FakeSession, git: ToolSpec) -> None:
    said = await refused(session, git, "explode")
    assert "'explode'" in said
    assert all(name in said for name in git.parameters["properties"]["operation"]["enum"])


async def test_missing_arguments_are_named_together(session: FakeSession, git: ToolSpec) -> None:
    assert await refused(session, git, "comment_pr", repo_id=" ") == (
        "comment_pr needs `repo_id` and `pr_num` and `comment`."
    )


@pytest.mark.parametrize(
    ("repo_id", "says"),
    [
        ("gpt2", "has no owner"),
        ("a/b/c", "no repository id"),
        ("owner/..", "no repository id"),
        ("owner/a--b", "no repository id"),
        ("owner/na me", "no repository id"),
        ("-owner/name", "no repository id"),
        ("owner/" + "x" * 97, "no repository id"),
        ("https://huggingface.co/datasets/org/x", 'repo_id="org/x", repo_type="dataset"'),
        ("https://huggingface.co/org/x/tree/main", 'repo_id="org/x", repo_type="model"'),
        ("spaces/org/x", 'repo_id="org/x", repo_type="space"'),
    ],
)
async def test_repo_ids_are_checked_before_the_hub_is_asked(
    session: FakeSession, git: ToolSpec, hub: FakeHub, repo_id: str, says: str
) -> None:
    assert says in await refused(session, git, "list_refs", repo_id=repo_id)
    assert git.check is not None
    assert says in (git.check({"operation": "list_refs", "repo_id": repo_id}, session) or "")
    assert hub.requests == []


async def test_a_wrong_type_is_recognised(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO, "dataset")
    said = await refused(session, git, "list_refs")
    assert f"model {REPO}" in said
    assert 'There is a dataset of this id: set repo_type="dataset".' in said


async def test_a_repository_that_is_not_there(session: FakeSession, git: ToolSpec) -> None:
    said = await refused(session, git, "create_branch", branch="x")
    assert REPO in said
    assert "no such repository" in said
    assert "There is a" not in said


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (403, "the token does not allow this"),
        (429, "too many requests"),
        (402, "no credit"),
        (400, "a scripted fault"),
    ],
)
async def test_refusals_name_the_repository_and_the_cause(
    session: FakeSession, git: ToolSpec, hub: FakeHub, status: int, says: str
) -> None:
    hub.repos.create(REPO)
    hub.fail("POST", "/branch/", status=status)
    said = await refused(session, git, "create_branch", branch="x")
    assert REPO in said
    assert says in said
    assert len([each for each in hub.requests if each.method == "POST"]) == 1


async def test_a_change_without_an_answer_may_have_been_made(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO)
    hub.fail("POST", "/discussions", kind="after")
    said = await refused(session, git, "create_pr", title="Fix it")
    assert "look before you try again" in said
    assert len(repo.discussions) == 1  # once: a change is never tried again by itself


async def test_looking_is_tried_again(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO)
    hub.fail("GET", "/refs", status=503, times=2)
    assert "1 branch, 0 tags" in (await done(session, git, "list_refs")).output


async def test_without_a_token(session: FakeSession, hub: FakeHub) -> None:
    git = hf_repo_git_spec(account_of(hub, token=""))
    assert "hf auth login" in await refused(session, git, "create_repo", repo_id="thing")


def test_permission_subject_and_looks(git: ToolSpec, tmp_path: Path) -> None:
    arguments = {"operation": " Merge_PR", "repo_type": "dataset", "repo_id": "org/x"}
    assert git.subject(arguments, tmp_path) == "merge_pr dataset/org/x"
    looks = {
        name
        for name in git.parameters["properties"]["operation"]["enum"]
        if git.only_looks({"operation": name}, tmp_path)
    }
    assert looks == {"list_refs", "list_prs", "get_pr"}


def test_approval(git: ToolSpec, tmp_path: Path) -> None:
    context = ApprovalContext(tmp_path)
    kinds = {
        name: git.approval({"operation": name, "repo_id": REPO}, context).kind
        for name in git.parameters["properties"]["operation"]["enum"]
    }
    asked = {name for name, kind in kinds.items() if kind == "ask"}
    assert asked == {"delete_branch", "delete_tag", "merge_pr", "create_repo", "update_repo"}


# --- branches and tags -----------------------------------------------------------------------------------------------


async def test_branches(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO, "dataset")
    await done(session, git, "create_branch", repo_type="dataset", branch="feature/a")
    assert repo.refs["refs/heads/feature/a"] == repo.refs["refs/heads/main"]
    said = await refused(session, git, "create_branch", repo_type="dataset", branch="feature/a")
    assert "exist_ok=true" in said
    await done(session, git, "create_branch", repo_type="dataset", branch="feature/a", exist_ok="true")
    listed = await done(session, git, "list_refs", repo_type="dataset")
    assert "2 branches" in listed.output
    assert f"feature/a  {repo.refs['refs/heads/main'][:8]}" in listed.output
    await done(session, git, "delete_branch", repo_type="dataset", branch="feature/a")
    assert "refs/heads/feature/a" not in repo.refs
    said = await refused(session, git, "delete_branch", repo_type="dataset", branch="feature/a")
    assert "list_refs" in said


async def test_a_branch_from_another_revision(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO)
    first = repo.refs["refs/heads/main"]
    hub.repos.commit(REPO, files={"a": "1"})
    await done(session, git, "create_branch", branch="old", from_rev=first)
    assert repo.refs["refs/heads/old"] == first
    assert "list_refs" in await refused(session, git, "create_branch", branch="x", from_rev="nowhere")


async def test_tags(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO)
    await done(session, git, "create_tag", tag="v1", tag_message="the first")
    assert hub.requests[-1].json == {"tag": "v1", "message": "the first"}
    assert "refs/tags/v1" in repo.refs
    assert "exist_ok=true" in await refused(session, git, "create_tag", tag="v1")
    await done(session, git, "create_tag", tag="v1", exist_ok=True)
    await done(session, git, "delete_tag", tag="v1")
    assert "refs/tags/v1" not in repo.refs


# --- pull requests ---------------------------------------------------------------------------------------------------


async def test_the_way_of_a_pull_request(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO, files={"a.txt": "old\n"})
    opened = await done(session, git, "create_pr", title="Mend a", description="It was wrong.")
    assert 'revision="refs/pr/1"' in opened.output
    assert repo.discussions[0].status == "draft"
    hub.repos.commit(REPO, files={"a.txt": "new\n"}, revision="refs/pr/1", title="mended")
    said = await refused(session, git, "merge_pr", pr_num=1)
    assert "is draft" in said
    assert "change_pr_status" in said
    await done(session, git, "change_pr_status", pr_num="1", new_status="open", comment="ready")
    await done(session, git, "comment_pr", pr_num=1, comment="Looks good")
    shown = (await done(session, git, "get_pr", pr_num=1)).output
    for part in (f"Pull request #1 of model {REPO} [OPEN] Mend a", "by tester", "It was wrong.", "a.txt", "Looks good"):
        assert part in shown
    assert "commit" in shown and "mended" in shown
    assert shown.count("It was wrong.") == 1
    merged = await done(session, git, "merge_pr", pr_num=1, comment="thanks")
    assert merged.display == f"Merged pull request #1 of model {REPO}."
    assert hub.repos.files(REPO)["a.txt"] == b"new\n"
    assert repo.discussions[0].comments[-1] == "thanks"


async def test_conflicts_are_shown(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO, files={"a.txt": "old\n"})
    hub.social.discussions.open(repo, "Theirs", pull_request=True)
    hub.repos.commit(REPO, files={"a.txt": "theirs\n"}, revision="refs/pr/1")
    hub.repos.commit(REPO, files={"a.txt": "ours\n"})
    assert "Conflicts: a.txt" in (await done(session, git, "get_pr", pr_num=1)).output
    assert "conflicts" in await refused(session, git, "merge_pr", pr_num=1)


async def test_closing(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO)
    hub.social.discussions.open(repo, "No more", pull_request=True)
    await done(session, git, "close_pr", pr_num=1, comment="superseded")
    assert repo.discussions[0].status == "closed"
    assert repo.discussions[0].comments[-1] == "superseded"


async def test_listing_shows_twenty_of_all(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO)
    for number in range(1, 24):
        hub.social.discussions.open(repo, f"Title {number}", pull_request=number % 2 == 0, status="open")
    repo.discussions[21].status = "draft"
    repo.discussions[0].status = "closed"
    listed = (await done(session, git, "list_prs")).output
    assert "23 in all" in listed
    assert "[OPEN] #23 [D] Title 23" in listed
    assert "[DRAFT] #22 [PR] Title 22" in listed
    assert listed.count("[PR] Title") + listed.count("[D] Title") == 20
    closed = (await done(session, git, "list_prs", status="closed")).output
    assert "[CLOSED] #1" in closed and "#2 " not in closed
    assert "must be one of" in await refused(session, git, "list_prs", status="merged")


async def test_listing_stops_counting(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO)
    hub.social.discussions.page_size = 100
    for number in range(700):
        hub.social.discussions.open(repo, f"Title {number}")
    assert "more than 500" in (await done(session, git, "list_prs")).output
    assert len([each for each in hub.requests if each.path.endswith("/discussions")]) == 6


async def test_no_such_pull_request(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    hub.repos.create(REPO)
    assert "no pull requests" in (await done(session, git, "list_prs")).output
    assert "list_prs" in await refused(session, git, "get_pr", pr_num=7)
    assert "`pr_num` must be at least 1" in await refused(session, git, "get_pr", pr_num=0)
    assert "`new_status` must be one of open, closed" in await refused(
        session, git, "change_pr_status", pr_num=1, new_status="merged"
    )


# --- repositories ----------------------------------------------------------------------------------------------------


async def test_a_new_repository_is_private_and_the_persons_own(
    session: FakeSession, git: ToolSpec, hub: FakeHub, kept: Kept
) -> None:
    result = await done(session, git, "create_repo", repo_id="fresh", repo_type="dataset")
    made = hub.repos.get("tester/fresh", "dataset")
    assert made is not None and made.private
    assert "private dataset tester/fresh" in result.output
    assert f"{hub.url}/datasets/tester/fresh" in result.output
    assert kept.told == [("tester/fresh", "dataset", session.session_id, False, {})]


async def test_a_public_repository_is_called_so(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    result = await done(session, git, "create_repo", repo_id="acme/open", private="false")
    made = hub.repos.get("acme/open")
    assert made is not None and not made.private
    assert "PUBLIC" in result.output


async def test_spaces_need_an_sdk(session: FakeSession, git: ToolSpec, hub: FakeHub, kept: Kept) -> None:
    assert "space_sdk" in await refused(session, git, "create_repo", repo_type="space")
    assert "must be one of" in await refused(session, git, "create_repo", repo_type="space", space_sdk="cobol")
    assert "repo_type" in await refused(session, git, "create_repo", space_sdk="gradio")
    assert hub.requests == []
    await done(session, git, "create_repo", repo_type="space", space_sdk="static")
    made = hub.repos.get(REPO, "space")
    assert made is not None and made.sdk == "static"
    assert kept.told[0][-1] == {"sdk": "static"}


async def test_a_space_that_needs_a_plan(session: FakeSession, git: ToolSpec, hub: FakeHub, kept: Kept) -> None:
    hub.repos.needs_plan.add("gradio")
    said = await refused(session, git, "create_repo", repo_type="space", space_sdk="gradio")
    assert "static" in said
    assert kept.told == []


async def test_a_repository_that_exists(session: FakeSession, git: ToolSpec, hub: FakeHub, kept: Kept) -> None:
    hub.repos.create(REPO, private=False)
    assert "exist_ok=true" in await refused(session, git, "create_repo")
    result = await done(session, git, "create_repo", exist_ok=True)
    assert "already" in result.output
    repo = hub.repos.get(REPO)
    assert repo is not None and not repo.private
    assert kept.told == []  # somebody made it before


async def test_a_foreign_owner(session: FakeSession, git: ToolSpec) -> None:
    said = await refused(session, git, "create_repo", repo_id="strangers/x")
    assert "strangers/x" in said
    assert "organisation" in said


async def test_gates(session: FakeSession, git: ToolSpec, hub: FakeHub) -> None:
    repo = hub.repos.create(REPO, private=False)
    await done(session, git, "update_repo", gated="manual")
    assert repo.gated == "manual"
    for off in ("false", False, "False"):
        repo.gated = "auto"
        result = await done(session, git, "update_repo", gated=off)
        assert repo.gated is False
        assert "not gated" in result.output
    await done(session, git, "update_repo", private=True)
    assert repo.private
    assert "needs `private` or `gated`" in await refused(session, git, "update_repo")
    assert "must be one of auto, manual, false" in await refused(session, git, "update_repo", gated="maybe")
    assert "update_repo" in await refused(session, git, "create_repo", gated="auto")
