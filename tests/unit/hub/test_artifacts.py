"""What a session makes on the Hub is found again in its collection; READMEs are edited only where that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from agent.hub.account import HubAccount
from agent.hub.artifacts import MAX_NOTE_CHARS, HubArtifacts, Mode, collection_title, item_note
from agent.hub.cards import MARKER, TAG
from tests.fakes.hub import FakeHub

SESSION = "1a2b3c4d-0000-4000-8000-000000000000"
TITLE = "ml-intern-artifacts-2026-01-31-1a2b3c4d"
STARTED = datetime(2026, 1, 31, 12, tzinfo=UTC)
REPO = "tester/thing"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A running Hub with one model."""
    with FakeHub() as running:
        running.repos.create(REPO, files={"README.md": "# Mine\n"})
        yield running
        running.check()


def artifacts_of(hub: FakeHub, mode: Mode = "collect", timeout_s: float = 60.0) -> HubArtifacts:
    account = HubAccount(hub.token, {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url})
    return HubArtifacts(account, mode, now=lambda: STARTED, timeout_s=timeout_s)


def collected(hub: FakeHub) -> list[tuple[str, str]]:
    """Type and id of everything in the only collection."""
    (collection,) = hub.social.collections.by_slug.values()
    return [(item["type"], item["id"]) for item in collection.items]


def writes(hub: FakeHub) -> list[str]:
    return [f"{each.method} {each.path}" for each in hub.requests if each.method not in ("GET", "HEAD")]


def readme(hub: FakeHub, repo_id: str = REPO, repo_type: str = "model") -> str:
    return hub.repos.files(repo_id, repo_type)["README.md"].decode()


async def test_a_repository_gets_into_a_private_collection_and_stays_as_it_is(hub: FakeHub) -> None:
    artifacts = artifacts_of(hub)
    assert not artifacts.known(REPO, "model")
    await artifacts.made(REPO, "model", session_id=SESSION)
    (collection,) = hub.social.collections.by_slug.values()
    assert (collection.title, collection.owner, collection.private) == (TITLE, "tester", True)
    assert collection.items[0]["note"]["text"] == item_note(SESSION)
    assert collected(hub) == [("model", REPO)]
    assert readme(hub) == "# Mine\n"
    assert artifacts.known(REPO, "model")
    assert not artifacts.known(REPO, "dataset")


async def test_off_is_off(hub: FakeHub) -> None:
    artifacts = artifacts_of(hub, "off")
    await artifacts.made(REPO, "model", session_id=SESSION, card=True)
    assert not hub.requests
    assert not artifacts.known(REPO, "model")


async def test_a_readme_is_edited_where_that_is_wanted(hub: FakeHub) -> None:
    await artifacts_of(hub, "card").made(REPO, "model", session_id=SESSION, extra={"license": "mit"})
    assert readme(hub).startswith(f"---\nlicense: mit\ntags:\n- {TAG}\n---\n# Mine\n")
    assert MARKER in readme(hub)
    assert collected(hub) == [("model", REPO)]


async def test_a_repository_without_a_readme_gets_one(hub: FakeHub) -> None:
    hub.repos.create("acme/data", "dataset")
    await artifacts_of(hub, "card").made("acme/data", "dataset", session_id=SESSION)
    assert 'load_dataset("acme/data")' in readme(hub, "acme/data", "dataset")
    assert collected(hub) == [("dataset", "acme/data")]


async def test_what_is_done_is_not_done_again_unless_the_readme_was_replaced(hub: FakeHub) -> None:
    artifacts = artifacts_of(hub, "card")
    await artifacts.made(REPO, "model", session_id=SESSION)
    before = len(hub.requests)
    await artifacts.made(REPO, "model", session_id=SESSION)
    assert len(hub.requests) == before
    hub.repos.commit(REPO, files={"README.md": "# New\n"})
    await artifacts.made(REPO, "model", session_id=SESSION, card=True)
    assert readme(hub).count(MARKER) == 1
    assert len(hub.repos.get(REPO).history("main")) == 4  # type: ignore[union-attr]
    await artifacts.made(REPO, "model", session_id=SESSION, card=True)
    assert len(hub.repos.get(REPO).history("main")) == 4  # type: ignore[union-attr]
    assert sum("/collections" in each for each in writes(hub)) == 2


async def test_a_collection_is_made_once_for_many_at_once(hub: FakeHub) -> None:
    for number in range(5):
        hub.repos.create(f"tester/m{number}")
    artifacts = artifacts_of(hub)
    await asyncio.gather(*(artifacts.made(f"tester/m{n}", "model", session_id=SESSION) for n in range(5)))
    assert sorted(collected(hub)) == [("model", f"tester/m{n}") for n in range(5)]
    assert writes(hub).count("POST /api/collections") == 1
    assert [each.path for each in hub.requests].count("/api/whoami-v2") == 1


async def test_a_resumed_session_takes_its_collection_and_what_is_in_it(hub: FakeHub) -> None:
    await artifacts_of(hub).made(REPO, "model", session_id=SESSION)
    again = artifacts_of(hub)
    await again.made(REPO, "model", session_id=SESSION)
    before = len(hub.requests)
    await again.made(REPO, "model", session_id=SESSION)
    assert len(hub.requests) == before
    assert collected(hub) == [("model", REPO)]


async def test_each_session_has_its_collection(hub: FakeHub) -> None:
    hub.repos.create("tester/other")
    artifacts = artifacts_of(hub)
    await artifacts.made(REPO, "model", session_id=SESSION)
    await artifacts.made("tester/other", "model", session_id="another")
    titles = {each.title for each in hub.social.collections.by_slug.values()}
    assert titles == {TITLE, "ml-intern-artifacts-2026-01-31-another"}


async def test_the_machine_of_a_sandbox_is_no_artifact(hub: FakeHub) -> None:
    artifacts = artifacts_of(hub, "card")
    await artifacts.made("tester/sandbox-0123abcd", "space", session_id=SESSION)
    assert not hub.requests
    assert not artifacts.known("tester/sandbox-0123abcd", "space")


@pytest.mark.parametrize(
    ("pattern", "worked"), [("/api/collections", "card"), ("/items$", "card"), ("/commit/", "collection")]
)
async def test_the_parts_do_not_wait_for_each_other_and_what_failed_is_tried_again(
    hub: FakeHub, pattern: str, worked: str, caplog: pytest.LogCaptureFixture
) -> None:
    hub.fail("POST", pattern)
    artifacts = artifacts_of(hub, "card")
    await artifacts.made(REPO, "model", session_id=SESSION)
    items = [item for each in hub.social.collections.by_slug.values() for item in each.items]
    assert (bool(items), MARKER in readme(hub)) == (worked == "collection", worked == "card")
    assert REPO in caplog.text
    assert hub.token not in caplog.text
    assert artifacts.known(REPO, "model")
    await artifacts.made(REPO, "model", session_id=SESSION)
    assert collected(hub) == [("model", REPO)]
    assert MARKER in readme(hub)


async def test_a_collection_that_was_deleted_is_made_anew(hub: FakeHub) -> None:
    hub.repos.create("tester/other")
    artifacts = artifacts_of(hub)
    await artifacts.made(REPO, "model", session_id=SESSION)
    hub.social.collections.by_slug.clear()
    await artifacts.made("tester/other", "model", session_id=SESSION)
    await artifacts.made("tester/other", "model", session_id=SESSION)
    assert collected(hub) == [("model", "tester/other")]


async def test_a_commit_in_between_is_not_overwritten(hub: FakeHub) -> None:
    artifacts = artifacts_of(hub, "card")
    fault = hub.fail("POST", "/commit/main", status=412, body={"error": "A commit has happened since."})
    await artifacts.made(REPO, "model", session_id=SESSION)
    assert fault.times == 0
    (sent,) = [each for each in hub.requests if "/commit/" in each.path]
    head = hub.repos.get(REPO).at("main").oid  # type: ignore[union-attr]
    assert f'"parentCommit": "{head}"'.encode() in sent.raw_body
    assert readme(hub) == "# Mine\n"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 1_000_001])
async def test_a_readme_that_cannot_be_edited_stays(hub: FakeHub, content: bytes) -> None:
    hub.repos.create("tester/odd", files={"README.md": content})
    await artifacts_of(hub, "card").made("tester/odd", "model", session_id=SESSION)
    assert hub.repos.files("tester/odd")["README.md"] == content
    assert collected(hub) == [("model", "tester/odd")]


async def test_a_hub_that_does_not_answer_is_not_waited_for(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    hub.fail("POST", "/api/collections", kind="stall")
    await artifacts_of(hub, timeout_s=0.5).made(REPO, "model", session_id=SESSION)
    assert "takes too long" in caplog.text


async def test_no_token_is_no_reason_to_fail(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    account = HubAccount(None, {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url})
    await HubArtifacts(account, "collect", now=lambda: STARTED).made(REPO, "model", session_id=SESSION)
    assert "no Hugging Face token" in caplog.text


@pytest.mark.parametrize(
    ("session_id", "title"),
    [
        (SESSION, TITLE),
        ("my session/1!", "ml-intern-artifacts-2026-01-31-my-session-1"),
        ("x" * 26 + "-." + "y" * 60, "ml-intern-artifacts-2026-01-31-" + "x" * 26),
        ("", "ml-intern-artifacts-2026-01-31"),
    ],
)
def test_titles_fit_the_hub(session_id: str, title: str) -> None:
    assert collection_title(session_id, STARTED) == title
    assert len(title) <= 59


def test_notes_are_short() -> None:
    assert len(item_note("s" * 500)) == MAX_NOTE_CHARS
