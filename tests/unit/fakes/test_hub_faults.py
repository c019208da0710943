"""Faults of the fake Hub, as the real client meets them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from tests.fakes.hub import FakeHub


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running
        running.check()


@pytest.fixture
def api(hub: FakeHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.token)


@pytest.mark.parametrize("status", [402, 429, 500])
def test_an_answer_instead(hub: FakeHub, api: HfApi, status: int) -> None:
    hub.fail("POST", "^/api/repos/create", status=status, body={"error": "not now"}, headers={"Retry-After": "7"})
    with pytest.raises(HfHubHTTPError, match="not now") as caught:
        api.create_repo("tester/a")
    assert (caught.value.response.status_code, caught.value.response.headers["retry-after"]) == (status, "7")
    assert hub.repos.all() == []
    api.create_repo("tester/a")


def test_a_cut_leaves_nothing_done(hub: FakeHub, api: HfApi) -> None:
    hub.fail("POST", "/repos/create", kind="cut")
    with pytest.raises(httpx.RemoteProtocolError):
        api.create_repo("tester/a")
    assert hub.repos.get("tester/a") is None


def test_a_cut_after_the_effect(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/a")
    hub.fail("POST", "/commit/main", kind="after")
    with pytest.raises(httpx.RemoteProtocolError):
        api.upload_file(path_or_fileobj=b"1", path_in_repo="x", repo_id="tester/a")
    assert hub.repos.files("tester/a") == {"x": b"1"}


def test_a_refusal_that_nobody_hears(hub: FakeHub, api: HfApi) -> None:
    hub.fail("DELETE", "/repos/delete", kind="after")
    with pytest.raises(httpx.RemoteProtocolError):
        api.delete_repo("tester/none")
    assert hub.errors == []


def test_a_stall_ends_when_the_hub_goes(hub: FakeHub, api: HfApi) -> None:
    hub.fail("GET", "/api/whoami-v2", kind="stall")
    caught: list[Exception] = []

    def ask() -> None:
        try:
            api.whoami()
        except httpx.TransportError as error:
            caught.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    hub.wait_stalled()
    hub.close()
    asking.join(20)
    assert len(caught) == 1


def test_faults_count_skip_and_choose(hub: FakeHub, api: HfApi) -> None:
    hub.repos.create("tester/a")
    hub.repos.create("tester/b")
    hub.fail("*", "/models/tester/a$", status=503, skip=1, times=2)
    answers = []
    for _ in range(4):
        api.model_info("tester/b")
        try:
            api.model_info("tester/a")
            answers.append(200)
        except HfHubHTTPError as error:
            answers.append(error.response.status_code)
    assert answers == [200, 503, 503, 200]


def test_a_fault_answers_head_requests_too(hub: FakeHub, api: HfApi, tmp_path: Path) -> None:
    hub.repos.create("tester/a", files={"x": "1"})
    hub.fail("HEAD", "/resolve/", status=403)
    with pytest.raises(HfHubHTTPError) as caught:
        api.get_hf_file_metadata(url=f"{hub.url}/tester/a/resolve/main/x")
    assert caught.value.response.status_code == 403
    assert api.get_hf_file_metadata(url=f"{hub.url}/tester/a/resolve/main/x").size == 1


def test_routes_of_the_base_go_first(hub: FakeHub, api: HfApi) -> None:
    hub.route("GET", "/api/models/tester/a", {"id": "tester/scripted"})
    assert api.model_info("tester/a").id == "tester/scripted"
    assert httpx.get(f"{hub.url}/api/unknown/thing").status_code == 404
