"""The fake Hub's people, through the real client: whoami, pull requests, collections and buckets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, DiscussionComment, DiscussionStatusChange, HfApi
from huggingface_hub.errors import BucketNotFoundError, HfHubHTTPError, RepositoryNotFoundError

from tests.fakes.hub import FakeHub


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running
        running.check()


@pytest.fixture
def api(hub: FakeHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.token)


def test_whoami(hub: FakeHub, api: HfApi) -> None:
    hub.social.pays = {"tester": False, "acme": True}
    hub.social.is_pro = True
    who = api.whoami()
    assert (who["name"], who["isPro"], who["canPay"]) == ("tester", True, False)
    assert [(org["name"], org["canPay"]) for org in who["orgs"]] == [("acme", True)]
    assert who["auth"]["accessToken"]["role"] == "write"
    hub.social.pays = {}
    assert "canPay" not in api.whoami()


def test_a_pull_request_from_draft_to_merged(hub: FakeHub, api: HfApi, tmp_path: Path) -> None:
    repo = hub.repos.create("tester/a", files={"x": "1", "gone": "2"})
    pull = api.create_pull_request("tester/a", "Better x", description="why")
    assert (pull.num, pull.status, pull.git_reference, pull.target_branch) == (
        1,
        "draft",
        "refs/pr/1",
        "refs/heads/main",
    )
    api.upload_file(path_or_fileobj=b"3", path_in_repo="x", repo_id="tester/a", revision="refs/pr/1")
    api.delete_file("gone", "tester/a", revision="refs/pr/1")
    hub.repos.commit("tester/a", files={"meanwhile": "m"})
    assert hub.repos.files("tester/a", revision="refs/pr/1") == {"x": b"3"}
    path = api.hf_hub_download("tester/a", "x", revision="refs/pr/1", cache_dir=tmp_path)
    assert Path(path).read_text() == "3"

    with pytest.raises(HfHubHTTPError, match="draft"):
        api.merge_pull_request("tester/a", 1)
    ready = api.change_discussion_status("tester/a", 1, "open", comment="ready")
    assert ready.new_status == "open"
    api.merge_pull_request("tester/a", 1, comment="thanks")
    assert hub.repos.files("tester/a") == {"x": b"3", "meanwhile": b"m"}
    details = api.get_discussion_details("tester/a", 1)
    assert (details.status, details.merge_commit_oid) == ("merged", repo.refs["refs/heads/main"])
    assert [event.type for event in details.events] == [
        "comment",
        "commit",
        "commit",
        "comment",
        "status-change",
        "comment",
        "status-change",
    ]
    assert repo.discussions[0].comments == ["why", "ready", "thanks"]
    (ref,) = api.list_repo_refs("tester/a", include_pull_requests=True).pull_requests or []
    assert ref.ref == "refs/pr/1"
    with pytest.raises(HfHubHTTPError, match="merged"):
        api.merge_pull_request("tester/a", 1)


def test_a_commit_as_a_pull_request(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("other/d", "dataset", {"x": "1\n"}, private=False)
    done = api.create_commit(
        "other/d",
        [CommitOperationAdd("x", b"2\n")],
        commit_message="Fix x",
        commit_description="because",
        repo_type="dataset",
        create_pr=True,
    )
    assert (done.pr_num, done.pr_url) == (1, f"{hub.url}/datasets/other/d/discussions/1")
    assert hub.repos.files("other/d", "dataset") == {"x": b"1\n"}
    details = api.get_discussion_details("other/d", 1, repo_type="dataset")
    assert (details.title, details.status, details.conflicting_files) == ("Fix x", "open", [])
    assert "-1\n+2\n" in (details.diff or "")
    with pytest.raises(HfHubHTTPError) as caught:
        api.merge_pull_request("other/d", 1, repo_type="dataset")
    assert caught.value.response.status_code == 403


def test_conflicts_keep_a_pull_request_from_being_merged(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/a", files={"x": "1", "y": "1"})
    api.create_commit(
        "tester/a",
        [CommitOperationAdd("x", b"2"), CommitOperationAdd("y", b"2")],
        commit_message="pull",
        create_pr=True,
    )
    hub.repos.commit("tester/a", files={"x": "3", "y": "2"})
    assert api.get_discussion_details("tester/a", 1).conflicting_files == ["x"]
    with pytest.raises(HfHubHTTPError) as caught:
        api.merge_pull_request("tester/a", 1)
    assert caught.value.response.status_code == 409
    assert hub.repos.files("tester/a") == {"x": b"3", "y": b"2"}


def test_discussions(hub: FakeHub, api: HfApi) -> None:
    repo = hub.repos.create("other/a", private=False)
    talk = api.create_discussion("other/a", "A question", description="How?")
    assert (talk.num, talk.status, talk.is_pull_request, talk.author) == (1, "open", False, "tester")
    said = api.comment_discussion("other/a", 1, "And why?")
    assert isinstance(said, DiscussionComment)
    assert (said.content, said.author) == ("And why?", "tester")
    edited = api.edit_discussion_comment("other/a", 1, said.id, "And who?")
    assert (edited.content, edited.edited, edited.number_of_edits) == ("And who?", True, 1)
    with pytest.warns(UserWarning, match="irreversible"):
        assert api.hide_discussion_comment("other/a", 1, said.id).hidden
    renamed = api.rename_discussion("other/a", 1, "Questions")
    assert (renamed.old_title, renamed.new_title) == ("A question", "Questions")
    closed = api.change_discussion_status("other/a", 1, "closed")
    assert isinstance(closed, DiscussionStatusChange)
    assert (repo.discussions[0].status, repo.discussions[0].title) == ("closed", "Questions")


def test_discussions_that_cannot_be(hub: FakeHub, api: HfApi) -> None:
    foreign = hub.repos.create("other/a", private=False)
    hub.social.discussions.open(foreign, "not ours", author="stranger")
    with pytest.raises(HfHubHTTPError) as caught:
        api.change_discussion_status("other/a", 1, "closed")
    assert caught.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError) as caught:
        api.get_discussion_details("other/a", 2)
    assert caught.value.response.status_code == 404
    with pytest.raises(HfHubHTTPError, match="at least 3"):
        api.create_discussion("other/a", "ab")
    with pytest.raises(RepositoryNotFoundError):
        api.create_discussion("other/none", "hello")


def test_lists_of_discussions_come_in_pages(hub: FakeHub, api: HfApi) -> None:
    repo = hub.repos.create("tester/a")
    for number in range(23):
        hub.social.discussions.open(repo, f"number {number}", pull_request=number % 2 == 1, author=f"u{number % 3}")
    repo.discussions[0].status = "closed"
    repo.discussions[1].status = "draft"
    assert [each.num for each in api.get_repo_discussions("tester/a")] == list(range(23, 0, -1))
    assert len(list(api.get_repo_discussions("tester/a", discussion_type="pull_request"))) == 11
    assert [each.num for each in api.get_repo_discussions("tester/a", discussion_status="closed")] == [1]
    assert len(list(api.get_repo_discussions("tester/a", discussion_status="open", author="u0"))) == 7


def test_collections(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/a")
    made = api.create_collection("My runs", private=True, description="all of them")
    assert made.slug.startswith("tester/my-runs-")
    assert (made.owner["name"], made.private, made.description) == ("tester", True, "all of them")
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_collection("My runs")
    assert caught.value.response.status_code == 409
    assert api.create_collection("My runs", exists_ok=True).slug == made.slug

    after = api.add_collection_item(made.slug, "tester/a", "model", note="the first")
    assert [(item.item_id, item.item_type, item.note) for item in after.items] == [("tester/a", "model", "the first")]
    with pytest.raises(HfHubHTTPError) as caught:
        api.add_collection_item(made.slug, "tester/a", "model")
    assert caught.value.response.status_code == 409
    api.add_collection_item(made.slug, "tester/a", "model", exists_ok=True)
    api.add_collection_item(made.slug, "2307.09288", "paper")
    api.update_collection_item(made.slug, after.items[0].item_object_id, note="changed", position=1)
    assert [(i.item_id, i.position, i.note) for i in api.get_collection(made.slug).items] == [
        ("2307.09288", 0, None),
        ("tester/a", 1, "changed"),
    ]
    api.delete_collection_item(made.slug, after.items[0].item_object_id)
    assert [item["id"] for item in hub.social.collections.by_slug[made.slug].items] == ["2307.09288"]
    assert api.update_collection_metadata(made.slug, title="New").title == "New"
    assert [each.slug for each in api.list_collections(owner="tester")] == [made.slug]
    api.delete_collection(made.slug)
    api.delete_collection(made.slug, missing_ok=True)
    assert hub.social.collections.by_slug == {}


def test_collections_that_cannot_be(hub: FakeHub, api: HfApi) -> None:
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_collection("theirs", namespace="other")
    assert caught.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_collection("x" * 60)
    assert caught.value.response.status_code == 400
    mine = hub.social.collections.create("mine")
    with pytest.raises(RepositoryNotFoundError):
        api.add_collection_item(mine.slug, "tester/none", "dataset")
    secret = hub.social.collections.create("secret", "other")
    with pytest.raises(HfHubHTTPError) as caught:
        api.get_collection(secret.slug)
    assert caught.value.response.status_code == 404


def test_buckets(hub: FakeHub, api: HfApi) -> None:
    made = api.create_bucket("acme/b", private=True)
    assert (made.bucket_id, made.url) == ("acme/b", f"{hub.url}/buckets/acme/b")
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_bucket("acme/b")
    assert caught.value.response.status_code == 409
    assert api.create_bucket("acme/b", exist_ok=True).bucket_id == "acme/b"
    assert api.create_bucket("own").bucket_id == "tester/own"
    hub.social.buckets.by_id["acme/b"].files["d/x"] = b"123"
    info = api.bucket_info("acme/b")
    assert (info.private, info.size, info.total_files) == (True, 3, 1)
    assert [file.path for file in api.list_bucket_tree("acme/b", recursive=True)] == ["d/x"]
    assert [each.id for each in api.list_buckets()] == ["tester/own"]
    api.delete_bucket("acme/b")
    with pytest.raises(BucketNotFoundError):
        api.bucket_info("acme/b")
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_bucket("other/b")
    assert caught.value.response.status_code == 403
