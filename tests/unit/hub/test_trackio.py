"""A dashboard is made ready once, of the person's own Spaces only, and never at the price of what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import yaml

from agent.hub.account import HubAccount
from agent.hub.trackio import seed_dashboard
from tests.fakes.hub import FakeHub

SPACE = "tester/runs"
BUCKET = "tester/runs-bucket"
MOUNT = {"type": "bucket", "source": BUCKET, "mountPath": "/data"}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A running Hub."""
    with FakeHub() as running:
        yield running
        running.check()


async def seeded(hub: FakeHub, space_id: str = SPACE) -> tuple[bool, str]:
    """Whether something was changed, and what was said."""

    async def no_wait(_seconds: float) -> None:
        await asyncio.sleep(0)

    lines: list[str] = []
    account = HubAccount(hub.token, {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url}, sleep=no_wait)
    changed = await seed_dashboard(account, space_id, lines.append)
    assert hub.token not in "".join(lines)
    return changed, "\n".join(lines)


def writes(hub: FakeHub) -> list[str]:
    return [f"{each.method} {each.path}" for each in hub.requests if each.method not in ("GET", "HEAD")]


async def test_a_new_dashboard_is_complete(hub: FakeHub) -> None:
    changed, said = await seeded(hub)
    assert changed
    assert SPACE in said
    repo = hub.repos.get(SPACE, "space")
    assert repo is not None
    assert (repo.private, repo.sdk) == (True, "gradio")
    files = hub.repos.files(SPACE, "space")
    assert b"trackio.show()" in files["app.py"]
    compile(files["app.py"], "app.py", "exec")
    assert files["requirements.txt"] == b"trackio\n"
    metadata = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert (metadata["sdk"], metadata["app_file"], metadata["title"]) == ("gradio", "app.py", "runs")
    assert "trackio" in metadata["tags"]
    assert "hf_oauth" not in metadata
    assert len(repo.history("main")) == 2  # the first one comes with the Space
    assert hub.social.buckets.by_id[BUCKET].private
    space = hub.spaces.get(SPACE)
    assert space.volumes == [MOUNT]
    assert space.variables == {"TRACKIO_DIR": "/data/trackio", "TRACKIO_BUCKET_ID": BUCKET}


async def test_a_second_time_changes_nothing(hub: FakeHub) -> None:
    await seeded(hub)
    before = len(writes(hub))
    assert await seeded(hub) == (False, "")
    assert len(writes(hub)) == before


async def test_an_organisations_space_will_do(hub: FakeHub) -> None:
    changed, _ = await seeded(hub, "acme/runs")
    assert changed
    assert "acme/runs-bucket" in hub.social.buckets.by_id


@pytest.mark.parametrize("space_id", ["somebody/runs", "runs", "tester/", "/runs", "tester/a/b", "", "tester/a b"])
async def test_other_places_are_refused_before_anything_is_made(hub: FakeHub, space_id: str) -> None:
    changed, said = await seeded(hub, space_id)
    assert not changed
    assert "is not ready" in said
    assert writes(hub) == []


async def test_a_blank_space_that_exists_is_filled(hub: FakeHub) -> None:
    hub.repos.create(SPACE, "space", {"README.md": "---\nsdk: gradio\n---\n"}, private=False, sdk="gradio")
    changed, _ = await seeded(hub)
    assert changed
    assert b"trackio.show" in hub.repos.files(SPACE, "space")["app.py"]
    assert not hub.repos.get(SPACE, "space").private  # type: ignore[union-attr]
    assert not any("repos/create" in each for each in writes(hub))


async def test_a_dashboard_of_before_gets_what_it_lacks_and_keeps_the_rest(hub: FakeHub) -> None:
    files = {"README.md": "---\nsdk: gradio\n---\n", "app.py": "import trackio\ntrackio.show(project='mine')\n"}
    hub.repos.create(SPACE, "space", files, sdk="gradio")
    space = hub.spaces.get(SPACE)
    other = {"type": "model", "source": "tester/thing", "mountPath": "/models", "readOnly": True}
    space.volumes = [other]
    space.variables = {"TRACKIO_DIR": "/data/trackio", "MINE": "1"}
    changed, _ = await seeded(hub)
    assert changed
    assert hub.repos.files(SPACE, "space") == {path: text.encode() for path, text in files.items()}
    assert space.volumes == [other, MOUNT]
    assert space.variables == {"TRACKIO_DIR": "/data/trackio", "MINE": "1", "TRACKIO_BUCKET_ID": BUCKET}
    assert sum("/variables" in each for each in writes(hub)) == 1


async def test_an_app_about_trackio_that_shows_nothing_is_replaced(hub: FakeHub) -> None:
    hub.repos.create(SPACE, "space", {"app.py": "import trackio\n"}, sdk="gradio")
    assert (await seeded(hub))[0]
    assert b"trackio.show" in hub.repos.files(SPACE, "space")["app.py"]


async def test_another_app_is_left_alone(hub: FakeHub) -> None:
    hub.repos.create(SPACE, "space", {"app.py": "import gradio\n"}, sdk="gradio")
    changed, said = await seeded(hub)
    assert not changed
    assert "another app" in said
    assert writes(hub) == []


async def test_what_else_is_mounted_stays_and_the_dashboard_comes_up(hub: FakeHub) -> None:
    hub.repos.create(SPACE, "space", sdk="gradio")
    mine = {"type": "bucket", "source": "tester/mine", "mountPath": "/data"}
    hub.spaces.get(SPACE).volumes = [mine]
    changed, said = await seeded(hub)
    assert changed
    assert "tester/mine" in said
    assert hub.spaces.get(SPACE).volumes == [mine]
    assert hub.spaces.get(SPACE).variables == {}
    assert b"trackio.show" in hub.repos.files(SPACE, "space")["app.py"]


async def test_without_a_bucket_the_dashboard_comes_up_all_the_same(hub: FakeHub) -> None:
    hub.fail("POST", "/api/buckets/", status=403, body={"error": "No buckets for you"})
    changed, said = await seeded(hub)
    assert changed
    assert "No buckets for you" in said
    assert b"trackio.show" in hub.repos.files(SPACE, "space")["app.py"]
    assert hub.spaces.get(SPACE).variables == {}


@pytest.mark.parametrize("pattern", ["/api/repos/create", "/commit/"])
async def test_a_refusal_is_said_and_what_is_left_is_done_the_next_time(hub: FakeHub, pattern: str) -> None:
    hub.fail("POST", pattern, status=402, body={"error": "This requires a paid plan"})
    _, said = await seeded(hub)
    assert "paid plan" in said
    assert (await seeded(hub))[0]
    assert await seeded(hub) == (False, "")


async def test_a_hub_in_trouble_is_said(hub: FakeHub) -> None:
    hub.fail("*", "/api/whoami-v2", times=10)
    changed, said = await seeded(hub)
    assert not changed
    assert "trouble" in said
