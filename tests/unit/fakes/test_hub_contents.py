"""What is inside of the fake Hub's repositories, through the real client: commits, files, branches and tags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from tests.fakes.hub import FakeHub


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running
        running.check()


@pytest.fixture
def api(hub: FakeHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.token)


def test_upload_file(hub: FakeHub, api: HfApi) -> None:
    repo = hub.repos.create("tester/d", "dataset", {"old": "1"})
    seen: list[str] = []
    hub.repos.on_commit.append(lambda _repo, ref: seen.append(ref))
    done = api.upload_file(
        path_or_fileobj="né".encode(),
        path_in_repo="a b/ü.txt",
        repo_id="tester/d",
        repo_type="dataset",
        commit_message="more",
    )
    assert hub.repos.files("tester/d", "dataset") == {"old": b"1", "a b/ü.txt": "né".encode()}
    newest = repo.history("main")[0]
    assert (newest.oid, newest.title, newest.author) == (done.oid, "more", "tester")
    assert done.commit_url == f"{hub.url}/datasets/tester/d/commit/{done.oid}"
    assert seen == ["refs/heads/main"]


def test_a_file_that_is_the_same_makes_no_commit(hub: FakeHub, api: HfApi) -> None:
    repo = hub.repos.create("tester/a", files={"x": "1"})
    done = api.upload_file(path_or_fileobj=b"1", path_in_repo="x", repo_id="tester/a")
    assert done.oid == repo.refs["refs/heads/main"]
    assert len(repo.commits) == 1


def test_one_commit_with_all_operations(hub: FakeHub, api: HfApi) -> None:
    repo = hub.repos.create("tester/a", files={"gone": "1", "dir/a": "2", "dir/b": "3", "kept": "4"})
    api.create_commit(
        "tester/a",
        [
            CommitOperationAdd("new", b"5"),
            CommitOperationDelete("gone"),
            CommitOperationDelete("dir/"),
            CommitOperationCopy("kept", "copied"),
        ],
        commit_message="many",
        commit_description="things",
    )
    assert hub.repos.files("tester/a") == {"kept": b"4", "new": b"5", "copied": b"4"}
    assert [(commit.title, commit.description) for commit in repo.history("main")] == [
        ("many", "things"),
        ("initial commit", ""),
    ]
    assert [commit.title for commit in api.list_repo_commits("tester/a")] == ["many", "initial commit"]


def test_delete_files(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/a", files={"a.log": "1", "b.log": "2", "c/d.log": "3", "keep": "4"})
    api.delete_files("tester/a", ["*.log"])
    assert hub.repos.files("tester/a") == {"keep": b"4"}
    with pytest.raises(EntryNotFoundError):
        api.delete_file("none", "tester/a")


def test_commits_to_what_is_not_there(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/a")
    with pytest.raises(RepositoryNotFoundError):
        api.upload_file(path_or_fileobj=b"1", path_in_repo="x", repo_id="tester/none")
    with pytest.raises(RevisionNotFoundError):
        api.upload_file(path_or_fileobj=b"1", path_in_repo="x", repo_id="tester/a", revision="none")


def test_a_commit_on_something_old_is_refused(hub: FakeHub, api: HfApi) -> None:
    first = hub.repos.create("tester/a").refs["refs/heads/main"]
    hub.repos.commit("tester/a", files={"meanwhile": "1"}, author="another")
    with pytest.raises(HfHubHTTPError) as caught:
        api.upload_file(path_or_fileobj=b"1", path_in_repo="x", repo_id="tester/a", parent_commit=first)
    assert caught.value.response.status_code == 412
    assert list(hub.repos.files("tester/a")) == ["meanwhile"]


def test_a_readme_is_validated(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/a")
    with pytest.raises(ValueError, match="Invalid metadata"):
        api.upload_file(path_or_fileobj=b"---\na: [\n---\n", path_in_repo="README.md", repo_id="tester/a")
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api.upload_file(path_or_fileobj=b"# hi", path_in_repo="README.md", repo_id="tester/a")
    api.upload_file(path_or_fileobj=b"---\nlicense: mit\n---\n", path_in_repo="README.md", repo_id="tester/a")
    assert hub.repos.files("tester/a") == {"README.md": b"---\nlicense: mit\n---\n"}


def test_trees(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/a", files={"z": "12", "d/e/f": "1", "d/g": ""})
    found = list(api.list_repo_tree("tester/a", recursive=True))
    assert [entry.path for entry in found] == ["d", "d/e", "d/e/f", "d/g", "z"]
    assert {entry.path: entry.size for entry in found if isinstance(entry, RepoFile)} == {"z": 2, "d/e/f": 1, "d/g": 0}
    assert [entry.path for entry in api.list_repo_tree("tester/a")] == ["d", "z"]
    assert [entry.path for entry in api.list_repo_tree("tester/a", "d/e")] == ["d/e/f"]
    assert [entry.path for entry in api.get_paths_info("tester/a", ["d/g", "d/e", "none"])] == ["d/e", "d/g"]
    (expanded,) = api.list_repo_tree("tester/a", "d/e", expand=True)
    assert expanded.last_commit is not None
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree("tester/a", "none"))
    with pytest.raises(RevisionNotFoundError):
        list(api.list_repo_tree("tester/a", revision="none"))


def test_downloads(hub: FakeHub, api: HfApi, tmp_path: Path) -> None:
    hub.repos.create("tester/d", "dataset", {"a b/x.txt": "first", "empty": ""})
    path = Path(api.hf_hub_download("tester/d", "a b/x.txt", repo_type="dataset", cache_dir=tmp_path))
    assert path.read_text() == "first"
    newer = hub.repos.commit("tester/d", "dataset", {"a b/x.txt": "second"})
    path = Path(api.hf_hub_download("tester/d", "a b/x.txt", repo_type="dataset", cache_dir=tmp_path))
    assert path.read_text() == "second"
    assert newer.oid in path.parts
    empty = api.hf_hub_download("tester/d", "empty", repo_type="dataset", cache_dir=tmp_path)
    assert Path(empty).read_bytes() == b""


def test_downloads_of_what_is_not_there(hub: FakeHub, api: HfApi, tmp_path: Path) -> None:
    hub.repos.create("tester/a")
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download("tester/a", "none", cache_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download("tester/a", "none", revision="none", cache_dir=tmp_path)
    with pytest.raises(RepositoryNotFoundError):
        api.hf_hub_download("tester/none", "none", cache_dir=tmp_path)
    assert not api.file_exists("tester/a", "none")


def test_a_snapshot_of_a_revision(hub: FakeHub, api: HfApi, tmp_path: Path) -> None:
    first = hub.repos.create("tester/a", files={"x": "1", "d/y": "2"}).refs["refs/heads/main"]
    hub.repos.commit("tester/a", files={"x": None})
    place = Path(api.snapshot_download("tester/a", revision=first, cache_dir=tmp_path))
    assert {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()} == {"x", "d/y"}


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [("bytes=2-4", 206, b"234"), ("bytes=7-", 206, b"789"), ("bytes=-2", 206, b"89"), ("bytes=10-", 416, b"")],
)
def test_ranges(hub: FakeHub, asked: str, status: int, content: bytes) -> None:
    hub.repos.create("tester/a", files={"x": "0123456789"}, private=False)
    answer = httpx.get(f"{hub.url}/tester/a/resolve/main/x", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, content)


def test_branches(hub: FakeHub, api: HfApi) -> None:
    first = hub.repos.create("tester/a", files={"x": "1"}).refs["refs/heads/main"]
    hub.repos.commit("tester/a", files={"x": "2"})
    api.create_branch("tester/a", branch="dev/new", revision=first)
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_branch("tester/a", branch="dev/new")
    assert caught.value.response.status_code == 409
    api.create_branch("tester/a", branch="dev/new", exist_ok=True)
    api.upload_file(path_or_fileobj=b"3", path_in_repo="x", repo_id="tester/a", revision="dev/new")
    assert hub.repos.files("tester/a", revision="dev/new") == {"x": b"3"}
    assert hub.repos.files("tester/a") == {"x": b"2"}
    assert {branch.name for branch in api.list_repo_refs("tester/a").branches} == {"main", "dev/new"}
    api.delete_branch("tester/a", branch="dev/new")
    assert [branch.name for branch in api.list_repo_refs("tester/a").branches] == ["main"]


def test_branches_that_cannot_be(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/a")
    with pytest.raises(BadRequestError):
        api.create_branch("tester/a", branch="refs/pr/5")
    with pytest.raises(RevisionNotFoundError):
        api.create_branch("tester/a", branch="b", revision="none")
    with pytest.raises(HfHubHTTPError) as caught:
        api.delete_branch("tester/a", branch="main")
    assert caught.value.response.status_code == 403
    with pytest.raises(RevisionNotFoundError):
        api.delete_branch("tester/a", branch="none")


def test_tags(hub: FakeHub, api: HfApi) -> None:
    first = hub.repos.create("tester/a", files={"x": "1"}).refs["refs/heads/main"]
    api.create_tag("tester/a", tag="v1", tag_message="one")
    hub.repos.commit("tester/a", files={"x": "2"})
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_tag("tester/a", tag="v1")
    assert caught.value.response.status_code == 409
    (tag,) = api.list_repo_refs("tester/a").tags
    assert (tag.name, tag.ref, tag.target_commit) == ("v1", "refs/tags/v1", first)
    assert hub.repos.files("tester/a", revision="v1") == {"x": b"1"}
    with pytest.raises(RevisionNotFoundError):
        api.create_tag("tester/a", tag="v2", revision="none")
    api.delete_tag("tester/a", tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag("tester/a", tag="v1")
