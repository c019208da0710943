"""The fake Hub's Spaces and the host they are reached under, through the real clients."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from huggingface_hub import HfApi, Volume
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RepositoryNotFoundError

from tests.fakes.http_base import HttpFake
from tests.fakes.hub import FakeHub
from tests.fakes.hub_space_host import SpaceHost

TEMPLATE = "templates/sandbox"
SPACE = "tester/sandbox-1"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        hub.repos.create(TEMPLATE, "space", {"Dockerfile": "FROM python"}, private=False, sdk="docker")
        yield hub
        hub.check()


@pytest.fixture
def api(hub: FakeHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.token)


def duplicate(api: HfApi, to_id: str = SPACE, hardware: str = "t4-small", **more: object) -> str:
    return str(
        api.duplicate_repo(
            from_id=TEMPLATE, to_id=to_id, repo_type="space", private=True, space_hardware=hardware, **more
        )
    )


def stages(api: HfApi, count: int) -> list[str]:
    return [api.get_space_runtime(SPACE).stage for _ in range(count)]


def test_a_duplicate_has_the_files_and_what_was_asked_for(hub: FakeHub, api: HfApi) -> None:
    url = duplicate(
        api,
        space_sleep_time=2700,
        space_secrets=[{"key": "S", "value": "hidden"}],
        space_variables=[{"key": "V", "value": "1"}],
        space_volumes=[Volume(type="bucket", source="tester/b", mount_path="/data")],
    )
    assert url == f"{hub.url}/spaces/{SPACE}"
    assert hub.repos.files(SPACE, "space") == {"Dockerfile": b"FROM python"}
    space = hub.spaces.get(SPACE)
    assert (space.requested, space.sleep_time_s, space.secrets, space.variables) == (
        "t4-small",
        2700,
        {"S": "hidden"},
        {"V": "1"},
    )
    runtime = api.get_space_runtime(SPACE)
    assert (runtime.requested_hardware, runtime.hardware, runtime.sleep_time) == ("t4-small", None, 2700)
    assert runtime.volumes is not None and runtime.volumes[0].mount_path == "/data"
    assert api.repo_info(SPACE, repo_type="space").private is True and hub.spaces.of() == [space]


def test_a_space_comes_up_over_several_looks(hub: FakeHub, api: HfApi) -> None:
    hub.spaces.stages = ["404", "BUILDING", "RUNNING"]
    duplicate(api)
    with pytest.raises(RepositoryNotFoundError):
        api.get_space_runtime(SPACE)
    assert stages(api, 3) == ["BUILDING", "RUNNING", "RUNNING"]
    assert api.get_space_runtime(SPACE).hardware == "t4-small"


def test_a_commit_before_the_first_look_keeps_the_script_and_a_later_one_rebuilds(hub: FakeHub, api: HfApi) -> None:
    hub.spaces.stages = ["RUNNING", "BUILDING", "BUILD_ERROR"]
    duplicate(api)

    def upload(text: str) -> None:
        api.upload_file(path_or_fileobj=text.encode(), path_in_repo="app.py", repo_id=SPACE, repo_type="space")

    upload("one")
    assert stages(api, 4) == ["RUNNING", "BUILDING", "BUILD_ERROR", "BUILD_ERROR"]
    upload("two")
    assert stages(api, 3) == ["BUILDING", "RUNNING", "RUNNING"] and hub.spaces.get(SPACE).builds == 2


@pytest.mark.parametrize("stage", ["BUILD_ERROR", "RUNTIME_ERROR", "CONFIG_ERROR", "PAUSED"])
def test_a_space_that_fails(hub: FakeHub, api: HfApi, stage: str) -> None:
    hub.spaces.stages = ["BUILDING", stage]
    duplicate(api)
    hub.spaces.get(SPACE).error_message = "exit code 1"
    assert stages(api, 2)[1] == stage and api.get_space_runtime(SPACE).raw["errorMessage"] == "exit code 1"
    hub.spaces.get(SPACE).build_log = ["step 1", "it broke"]
    assert list(api.fetch_space_logs(SPACE, build=True)) == ["step 1", "it broke"]


def test_duplicates_are_refused_as_the_hub_does(hub: FakeHub, api: HfApi) -> None:
    hub.spaces.no_credit.add("tester")
    for to_id, hardware, status in (("stranger/x", "cpu-basic", 403), (SPACE, "t4-small", 402), (SPACE, "h100", 400)):
        with pytest.raises(HfHubHTTPError) as caught:
            duplicate(api, to_id, hardware)
        assert caught.value.response.status_code == status
    duplicate(api, hardware="cpu-basic")
    with pytest.raises(HfHubHTTPError, match="409"):
        duplicate(api, hardware="cpu-basic")
    assert duplicate(api, hardware="cpu-basic", exist_ok=True).endswith(SPACE)
    hub.spaces.no_plan.add("acme")
    with pytest.raises(HfHubHTTPError, match="402"):
        duplicate(api, "acme/x", "cpu-basic")
    with pytest.raises(RepositoryNotFoundError):
        api.duplicate_repo(from_id="templates/none", to_id=SPACE, repo_type="space")
    assert [space.repo_id for space in hub.spaces.all()] == [TEMPLATE, SPACE]


def test_a_duplicate_whose_answer_is_lost_exists(hub: FakeHub, api: HfApi) -> None:
    hub.fail("POST", "/duplicate", kind="after")
    with pytest.raises(Exception, match="disconnected"):
        duplicate(api)
    assert hub.spaces.get(SPACE).requested == "t4-small"
    api.delete_repo(SPACE, repo_type="space")
    assert hub.spaces.of() == []
    with pytest.raises(RepositoryNotFoundError):
        api.get_space_runtime(SPACE)


def test_secrets_are_kept_and_never_told(hub: FakeHub, api: HfApi) -> None:
    duplicate(api)
    api.add_space_secret(SPACE, "TOKEN", "hidden")
    assert hub.spaces.get(SPACE).secrets == {"TOKEN": "hidden"}
    assert list(api.get_space_secrets(SPACE)) == ["TOKEN"]
    api.delete_space_secret(SPACE, "TOKEN")
    assert api.get_space_secrets(SPACE) == {}
    with pytest.raises(HfHubHTTPError) as caught:
        api.add_space_secret(TEMPLATE, "TOKEN", "x")
    assert caught.value.response.status_code == 403


def test_variables_and_volumes(hub: FakeHub, api: HfApi) -> None:
    duplicate(api)
    assert api.add_space_variable(SPACE, "A", "1")["A"].value == "1"
    assert api.get_space_variables(SPACE)["A"].value == "1" and api.delete_space_variable(SPACE, "A") == {}
    api.set_space_volumes(SPACE, [Volume(type="model", source="a/b", mount_path="/m")])
    assert hub.spaces.get(SPACE).volumes == [{"type": "model", "source": "a/b", "mountPath": "/m"}]
    api.delete_space_volumes(SPACE)
    with pytest.raises(BadRequestError):
        api.delete_space_volumes(SPACE)


def test_hardware_sleep_pause_and_restart(hub: FakeHub, api: HfApi) -> None:
    duplicate(api, hardware="cpu-basic")
    assert stages(api, 2)[1] == "RUNNING" and api.get_space_runtime(SPACE).sleep_time == 172800
    asked = api.request_space_hardware(SPACE, "a10g-small", sleep_time=600)  # type: ignore[arg-type]
    assert (asked.stage, asked.hardware, asked.requested_hardware) == ("BUILDING", "cpu-basic", "a10g-small")
    assert stages(api, 2)[1] == "RUNNING" and api.get_space_runtime(SPACE).hardware == "a10g-small"
    assert api.set_space_sleep_time(SPACE, 900).sleep_time == 900
    assert api.pause_space(SPACE).stage == "PAUSED" and stages(api, 2) == ["PAUSED", "PAUSED"]
    assert api.restart_space(SPACE).stage == "APP_STARTING" and stages(api, 2)[1] == "RUNNING"
    assert api.restart_space(SPACE, factory_reboot=True).stage == "BUILDING"
    hub.spaces.no_credit.add("tester")
    with pytest.raises(HfHubHTTPError, match="402"):
        api.request_space_hardware(SPACE, "a100-large")  # type: ignore[arg-type]
    assert "t4-small" in {row.name for row in api.list_spaces_hardware()}


def test_a_space_made_by_create_repo_has_its_hardware(hub: FakeHub, api: HfApi) -> None:
    api.create_repo("tester/new", repo_type="space", space_sdk="docker", space_hardware="t4-small")  # type: ignore[arg-type]
    assert hub.spaces.get("tester/new").requested == "t4-small"


# --- the host ---


@pytest.fixture
def host(hub: FakeHub) -> Iterator[SpaceHost]:
    with SpaceHost(hub) as host:
        yield host
        host.check()


@pytest.fixture
def program(host: SpaceHost) -> Iterator[HttpFake]:
    """What runs in the Space."""
    with HttpFake() as program:
        program.route("POST", "/api/bash", {"success": True})
        host.backend = program.url
        yield program


def ask(api: HfApi, token: str | None = None, **more: str) -> httpx.Response:
    url = api.space_info(SPACE).host
    headers = {"Authorization": f"Bearer {token or api.token}", **more}
    return httpx.post(f"{url}/api/bash", params={"q": "1 2"}, json={"command": "ls"}, headers=headers, trust_env=False)


def test_the_host_of_a_space_is_not_guessed_from_its_id(hub: FakeHub, api: HfApi) -> None:
    duplicate(api, "tester/My_Space.x")
    info = api.space_info("tester/My_Space.x")
    assert (info.subdomain, info.host) == ("tester-my-space-x", "https://tester-my-space-x.hf.space")
    assert info.runtime is not None and info.runtime.stage == "BUILDING"


def test_requests_reach_the_program_without_the_hubs_token(api: HfApi, program: HttpFake) -> None:
    duplicate(api)
    answer = ask(api, **{"X-Sandbox-Authorization": "Bearer inner"})
    assert answer.status_code == 200 and answer.json() == {"success": True}
    [seen] = program.requests
    assert seen.json == {"command": "ls"} and seen.query == {"q": "1 2"}
    assert seen.headers["x-sandbox-authorization"] == "Bearer inner" and "authorization" not in seen.headers


def test_pages_instead_of_answers(api: HfApi, host: SpaceHost, program: HttpFake) -> None:
    duplicate(api)
    host.waking = [503, 200]
    pages = [ask(api), ask(api), ask(api, token="hf_wrong")]
    host.backend = None
    pages.append(ask(api))
    host.backend = "http://127.0.0.1:9"  # the discard port: nobody listens
    pages.append(ask(api))
    assert [page.status_code for page in pages] == [503, 200, 404, 503, 502]
    assert all("<html>" in page.text for page in pages) and program.requests == []


def test_cuts_before_and_after_the_program_has_done_its_work(api: HfApi, host: SpaceHost, program: HttpFake) -> None:
    duplicate(api)
    host.cuts = ["before", "after", None]
    for reached in (0, 1):
        with pytest.raises(httpx.RemoteProtocolError):
            ask(api)
        assert len(program.requests) == reached
    assert ask(api).status_code == 200
