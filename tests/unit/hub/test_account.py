"""The one door to huggingface_hub: calls off the event loop, retries, whoami, and errors in our words."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from agent.hub.account import WHOAMI_FRESH_S, HubAccount, in_daemon_thread
from agent.hub.errors import HubError, is_billing_text
from tests.fakes.hub import FakeHub
from tests.unit.compute.jobs_hub import Pauses, account_at, fake_hub


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as fake:
        yield fake


def paths(hub: FakeHub) -> list[str]:
    return [each.path for each in hub.requests]


# --- calls ---


async def test_a_call_goes_to_the_endpoint_of_the_environment_with_the_accounts_own_token(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    assert (await account_at(hub).call(lambda api: api.whoami()))["name"] == "tester"
    assert hub.requests[0].headers["authorization"] == f"Bearer {hub.token}"


async def test_without_a_token_none_is_sent(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    account = HubAccount(None, {"HF_ENDPOINT": hub.url})
    await account.call(lambda api: api.list_jobs_hardware())
    assert "authorization" not in hub.requests[0].headers


async def test_the_endpoint_is_read_at_call_time(hub: FakeHub) -> None:
    environ: dict[str, str] = {}
    account = HubAccount(hub.token, environ)
    assert account.url("a/b", "dataset") == "https://huggingface.co/datasets/a/b"
    environ["HF_ENDPOINT"] = hub.url + "/"
    assert account.endpoint == hub.url
    assert await account.call(lambda api: api.endpoint) == hub.url


async def test_a_call_is_made_once(hub: FakeHub) -> None:
    hub.fail("GET", "/hardware$", status=503, times=9)
    with pytest.raises(HubError, match="Listing failed: the Hub has trouble"):
        await account_at(hub).call(lambda api: api.list_jobs_hardware(), "listing")
    assert len(hub.requests) == 1


async def test_a_cancelled_call_lets_go_at_once(hub: FakeHub) -> None:
    hub.fail("GET", "/hardware$", kind="stall")
    calling = asyncio.create_task(account_at(hub).call(lambda api: api.list_jobs_hardware()))
    await asyncio.to_thread(hub.wait_stalled)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


async def test_calls_run_in_daemon_threads() -> None:
    loop_thread = threading.get_ident()
    thread = await in_daemon_thread(threading.current_thread)
    assert thread.daemon and thread.ident != loop_thread
    with pytest.raises(ZeroDivisionError):
        await in_daemon_thread(lambda: 1 // 0)


# --- reading ---


@pytest.mark.parametrize("fault", [{"status": 429}, {"status": 500}, {"kind": "cut"}])
async def test_reading_is_tried_again_after_growing_pauses(hub: FakeHub, fault: dict[str, object]) -> None:
    pauses = Pauses()
    account = HubAccount(hub.token, {"HF_ENDPOINT": hub.url}, sleep=pauses)
    hub.fail("GET", "/hardware$", times=2, **fault)
    assert await account.read(lambda api: api.list_jobs_hardware())
    assert (len(hub.requests), pauses.taken_s) == (3, [1.0, 3.0])


async def test_reading_ends_after_four_attempts(hub: FakeHub) -> None:
    hub.fail("GET", "/hardware$", status=500, times=9)
    with pytest.raises(HubError) as caught:
        await account_at(hub).read(lambda api: api.list_jobs_hardware())
    assert (caught.value.kind, len(hub.requests)) == ("server", 4)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_refusal_is_not_asked_for_again(hub: FakeHub, status: int) -> None:
    hub.fail("GET", "/hardware$", status=status, times=9)
    with pytest.raises(HubError):
        await account_at(hub).read(lambda api: api.list_jobs_hardware())
    assert len(hub.requests) == 1


# --- whoami ---


async def test_whoami_is_asked_once_in_ten_minutes(hub: FakeHub) -> None:
    now = [0.0]
    account = HubAccount(hub.token, {"HF_ENDPOINT": hub.url}, clock=lambda: now[0])
    first = await account.whoami()
    assert (first.name, first.orgs) == ("tester", ("acme",))
    now[0] = WHOAMI_FRESH_S - 1
    await account.whoami()
    assert len(hub.requests) == 1
    now[0] = WHOAMI_FRESH_S
    await account.whoami()
    assert len(hub.requests) == 2


async def test_many_at_once_ask_once_and_one_who_leaves_takes_nothing_from_the_others(hub: FakeHub) -> None:
    account = account_at(hub)
    hub.fail("GET", "whoami", kind="cut")  # the retry gives the others time to come
    asking = [asyncio.create_task(account.whoami()) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {answer.name for answer in answers[1:] if not isinstance(answer, BaseException)} == {"tester"}
    assert paths(hub) == ["/api/whoami-v2"] * 2


async def test_a_failed_whoami_is_asked_again_the_next_time(hub: FakeHub) -> None:
    account = account_at(hub)
    hub.fail("GET", "whoami", status=401)
    with pytest.raises(HubError):
        await account.whoami()
    assert (await account.whoami()).name == "tester"


async def test_another_provider_of_identities(hub: FakeHub) -> None:
    account = HubAccount(hub.token, {"HF_ENDPOINT": "http://127.0.0.1:9", "OPENID_PROVIDER_URL": hub.url + "/"})
    assert (await account.whoami()).name == "tester"


async def test_without_a_token_nobody_is_asked(hub: FakeHub) -> None:
    with pytest.raises(HubError, match="hf auth login") as caught:
        await HubAccount(None, {"HF_ENDPOINT": hub.url}).whoami()
    assert caught.value.kind == "no_token"
    assert hub.requests == []


# --- errors ---


@pytest.mark.parametrize(
    ("status", "said", "kind", "words"),
    [
        (400, "no such field", "bad_request", "no such field"),
        (400, "You need to add credits first", "payment", "settings/billing"),
        (401, "bad token", "auth", "hf auth login"),
        (402, "Payment Required", "payment", "settings/billing"),
        (403, "missing permission job.write", "forbidden", "settings/tokens"),
        (403, "Insufficient credits", "payment", "settings/billing"),
        (404, "nothing", "not_found", "nothing"),
        (409, "exists", "conflict", "exists"),
        (429, "slow down", "rate_limited", "slow down"),
        (500, "oops", "server", "oops"),
        (503, "waking", "server", "Try again"),
    ],
)
async def test_answers_become_kinds_with_a_next_step(
    hub: FakeHub, status: int, said: str, kind: str, words: str
) -> None:
    hub.fail("GET", "/hardware$", status=status, body={"error": said})
    with pytest.raises(HubError) as caught:
        await account_at(hub).call(lambda api: api.list_jobs_hardware(), "listing the hardware")
    error = caught.value
    assert (error.kind, error.status) == (kind, status)
    assert words in str(error) and str(error).startswith("Listing the hardware failed: ")
    assert hub.token not in str(error) and hub.token not in repr(error)


async def test_what_was_not_found_is_told(hub: FakeHub) -> None:
    with pytest.raises(HubError) as caught:
        await account_at(hub).call(lambda api: api.model_info("tester/nothing"))
    assert (caught.value.kind, caught.value.missing) == ("not_found", "repository")


async def test_a_page_of_html_is_not_quoted(hub: FakeHub) -> None:
    page = b"<html><body>" + b"x" * 5000 + b"</body></html>"
    hub.fail("GET", "/hardware$", status=502, body=page, headers={"Content-Type": "text/html"})
    with pytest.raises(HubError) as caught:
        await account_at(hub).call(lambda api: api.list_jobs_hardware())
    assert len(str(caught.value)) < 400


async def test_no_answer_at_all_is_the_network(hub: FakeHub) -> None:
    hub.fail("GET", "/hardware$", kind="cut")
    with pytest.raises(HubError, match="cannot be reached") as caught:
        await account_at(hub).call(lambda api: api.list_jobs_hardware())
    assert (caught.value.kind, caught.value.status) == ("network", None)


async def test_offline_mode_is_named_and_not_retried(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        await account_at(hub).read(lambda api: api.list_jobs_hardware())
    assert hub.requests == []


async def test_our_own_errors_pass_and_others_are_told_as_they_are(hub: FakeHub) -> None:
    ours = HubError("as it is", "gated")

    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(HubError) as caught:
        await account_at(hub).call(lambda _: fail(ours), "trying")
    assert caught.value is ours
    with pytest.raises(HubError, match="Trying failed: not like this") as caught:
        await account_at(hub).call(lambda _: fail(ValueError("not like this")), "trying")
    assert caught.value.kind == "bad_request"


@pytest.mark.parametrize(
    ("text", "is_billing"),
    [
        ("Insufficient credits", True),
        ("You have no credit left", True),
        ("Please add pre-paid credits", True),
        ("credit limit reached", True),
        ("Payment Required", True),
        ("see your billing settings", True),
        ("You exceeded your quota: quota exceeded, see billing", False),
        ("insufficient_quota: no credits", False),
        ("file not found", False),
        ("credits to the authors", False),
    ],
)
def test_what_is_about_missing_credit(text: str, is_billing: bool) -> None:
    assert is_billing_text(text) is is_billing
