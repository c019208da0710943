"""The fake Hub's repositories, seen through the real client: making, finding, changing and losing them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.fakes.hub import FakeHub


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running
        running.check()


@pytest.fixture
def api(hub: FakeHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.token)


def status_of(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return error.value.response.status_code


def test_create_repo_twice(hub: FakeHub, api: HfApi) -> None:
    made = api.create_repo("tester/a", private=True)
    assert (made.repo_id, made.repo_type, str(made)) == ("tester/a", "model", f"{hub.url}/tester/a")
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo("tester/a")
    assert status_of(caught) == 409
    assert str(api.create_repo("tester/a", exist_ok=True)) == f"{hub.url}/tester/a"
    repo = hub.repos.get("tester/a")
    assert repo is not None
    assert repo.private
    assert list(hub.repos.files("tester/a")) == [".gitattributes"]


def test_a_repository_without_namespace_is_the_users(hub: FakeHub, api: HfApi) -> None:
    assert str(api.create_repo("a", repo_type="dataset")) == f"{hub.url}/datasets/tester/a"
    assert hub.repos.get("tester/a", "dataset") is not None
    assert hub.repos.get("tester/a") is None


def test_a_space_has_its_sdk_and_a_readme(hub: FakeHub, api: HfApi) -> None:
    seen: list[dict[str, object]] = []
    hub.repos.on_create.append(lambda repo, payload: seen.append(payload))
    api.create_repo("acme/s", repo_type="space", space_sdk="gradio", private=True, space_hardware="t4-small")
    info = api.space_info("acme/s")
    assert (info.sdk, info.private, info.author, info.subdomain) == ("gradio", True, "acme", "acme-s")
    assert info.card_data is not None
    assert info.card_data.sdk == "gradio"
    assert seen[0]["hardware"] == "t4-small"


def test_only_own_namespaces_can_be_written(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("other/public", private=False, files={"a": "1"})
    for work in (
        lambda: api.create_repo("other/b"),
        lambda: api.delete_repo("other/public"),
        lambda: api.update_repo_settings("other/public", private=True),
        lambda: api.upload_file(path_or_fileobj=b"2", path_in_repo="a", repo_id="other/public"),
        lambda: api.create_branch("other/public", branch="b"),
    ):
        with pytest.raises(HfHubHTTPError) as caught:
            work()
        assert status_of(caught) == 403
    assert hub.repos.files("other/public") == {"a": b"1"}


def test_a_read_token_reads_only(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/a")
    hub.social.role = "read"
    assert api.model_info("tester/a").private
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo("tester/b")
    assert status_of(caught) == 403


@pytest.mark.parametrize("plan", ["space", "docker", "tester"])
def test_some_repositories_need_a_paid_plan(hub: FakeHub, api: HfApi, plan: str) -> None:
    hub.repos.needs_plan.add(plan)
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo("tester/s", repo_type="space", space_sdk="docker")
    assert status_of(caught) == 402
    assert hub.repos.get("tester/s", "space") is None


def test_delete_repo(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("acme/a", "dataset")
    gone: list[str] = []
    hub.repos.on_delete.append(lambda repo: gone.append(repo.repo_id))
    api.delete_repo("acme/a", repo_type="dataset")
    assert (hub.repos.get("acme/a", "dataset"), gone) == (None, ["acme/a"])
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("acme/a", repo_type="dataset")
    api.delete_repo("acme/a", repo_type="dataset", missing_ok=True)


def test_move_repo(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/a", files={"x": "1"})
    hub.repos.create("tester/taken")
    with pytest.raises(HfHubHTTPError) as caught:
        api.move_repo("tester/a", "tester/taken")
    assert status_of(caught) == 409
    api.move_repo("tester/a", "acme/b")
    assert hub.repos.get("tester/a") is None
    assert hub.repos.files("acme/b") == {"x": b"1"}


def test_info_of_a_model(hub: FakeHub, api: HfApi) -> None:
    card = "---\nlicense: mit\ntags: [ml-intern, x]\npipeline_tag: text-generation\n---\n# Hello\n"
    repo = hub.repos.create("tester/a", files={"README.md": card, "d/w.bin": b"123"}, tags=["own"], downloads=7)
    first = repo.refs["refs/heads/main"]
    later = hub.repos.commit("tester/a", files={"new": "x", "d/w.bin": None})
    info = api.model_info("tester/a")
    assert (info.id, info.sha, info.private, info.downloads) == ("tester/a", later.oid, True, 7)
    assert info.tags == ["own", "ml-intern", "x", "license:mit", "region:us"]
    assert info.pipeline_tag == "text-generation"
    assert info.card_data is not None
    assert info.card_data.license == "mit"
    assert [sibling.rfilename for sibling in info.siblings or []] == ["README.md", "new"]
    old = api.repo_info("tester/a", revision=first, files_metadata=True)
    assert old.sha == first
    assert [(s.rfilename, s.size) for s in old.siblings or []] == [("README.md", len(card)), ("d/w.bin", 3)]


def test_other_parts_can_add_to_the_info(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/s", "space", sdk="static")
    hub.repos.info_extras.append(lambda repo: {"host": f"https://{repo.owner}.example"})
    assert api.space_info("tester/s").host == "https://tester.example"


def test_what_is_not_there(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/a")
    hub.repos.create("other/secret", private=True)
    for missing in ("tester/none", "other/secret"):
        with pytest.raises(RepositoryNotFoundError):
            api.model_info(missing)
        assert not api.repo_exists(missing)
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("tester/a")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("tester/a", revision="nope")


def test_without_a_token_only_the_public_is_seen(hub: FakeHub) -> None:
    hub.repos.create("tester/private")
    hub.repos.create("gpt2", private=False)
    anonymous = HfApi(endpoint=hub.url, token=False)
    assert anonymous.model_info("gpt2").id == "gpt2"
    with pytest.raises(RepositoryNotFoundError) as hidden:
        anonymous.model_info("tester/private")
    with pytest.raises(HfHubHTTPError) as refused:
        anonymous.create_repo("tester/new")
    assert (status_of(hidden), status_of(refused)) == (401, 401)


def test_a_wrong_token(hub: FakeHub) -> None:
    hub.repos.create("tester/a")
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi(endpoint=hub.url, token="hf_wrong").model_info("tester/a")
    assert status_of(caught) == 401
    assert not isinstance(caught.value, RepositoryNotFoundError)


def test_settings(hub: FakeHub, api: HfApi) -> None:
    repo = hub.repos.create("tester/a")
    api.update_repo_settings("tester/a", gated="manual", private=False)
    assert (repo.gated, repo.private) == ("manual", False)
    api.update_repo_settings("tester/a", gated=False)
    assert (repo.gated, repo.private) == (False, False)
    assert api.model_info("tester/a").gated is False
    with pytest.raises(RepositoryNotFoundError):
        api.update_repo_settings("tester/none", private=True)


def test_a_gated_repository_shows_its_info_but_not_its_files(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("other/gated", private=False, gated="auto", files={"a.txt": "1"})
    assert api.model_info("other/gated").gated == "auto"
    with pytest.raises(GatedRepoError) as caught:
        api.hf_hub_download("other/gated", "a.txt")
    assert status_of(caught) == 403
    hub.repos.granted.add(("model", "other/gated"))
    api.hf_hub_download("other/gated", "a.txt")
    api.update_repo_settings(hub.repos.create("tester/mine", files={"a.txt": "1"}).repo_id, gated="manual")
    api.hf_hub_download("tester/mine", "a.txt")


def test_search(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/sandbox-1", "space", sdk="docker", likes=1)
    hub.repos.create("acme/sandbox-2", "space", sdk="docker", likes=2)
    hub.repos.create("other/sandbox-3", "space", sdk="docker")
    hub.repos.create("other/sandbox-4", "space", private=False, sdk="gradio")
    hub.repos.create("tester/sandbox-5")
    assert [s.id for s in api.list_spaces(search="Sandbox", sort="likes")] == [
        "acme/sandbox-2",
        "tester/sandbox-1",
        "other/sandbox-4",
    ]
    assert [s.id for s in api.list_spaces(author="tester", full=True)] == ["tester/sandbox-1"]
    assert [s.id for s in api.list_spaces(filter="docker", limit=1)] == ["tester/sandbox-1"]
    assert [m.id for m in api.list_models(search="sandbox")] == ["tester/sandbox-5"]
    assert list(api.list_datasets()) == []


def test_duplicate(hub: FakeHub) -> None:
    hub.repos.create("other/template", "space", files={"app.py": "1"}, sdk="docker", private=False)
    copy = hub.repos.duplicate("other/template", "tester/copy", "space")
    assert (copy.private, copy.sdk) == (True, "docker")
    hub.repos.commit("tester/copy", "space", {"app.py": "2"})
    assert hub.repos.files("other/template", "space") == {"app.py": b"1"}
    with pytest.raises(ValueError, match="exists"):
        hub.repos.duplicate("other/template", "tester/copy", "space")
    with pytest.raises(KeyError):
        hub.repos.duplicate("other/none", "tester/copy2", "space")
