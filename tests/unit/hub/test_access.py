"""Under whose name work may run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.hub.access import jobs_access, resolve_namespace
from agent.hub.errors import HubError
from tests.fakes.hub import FakeHub
from tests.unit.compute.jobs_hub import account_at, fake_hub


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as fake:
        yield fake


async def test_the_persons_own_namespace_is_the_default(hub: FakeHub) -> None:
    namespace, access = await resolve_namespace(account_at(hub))
    assert namespace == "tester"
    assert access is not None
    assert (access.username, access.org_names, access.eligible_namespaces) == ("tester", ("acme",), ("tester", "acme"))


@pytest.mark.parametrize(
    ("wanted", "found"), [("acme", "acme"), (" ACME ", "acme"), ("", "tester"), ("tester", "tester")]
)
async def test_an_eligible_one(hub: FakeHub, wanted: str, found: str) -> None:
    assert (await resolve_namespace(account_at(hub), wanted))[0] == found


async def test_somebody_elses_is_refused_with_what_is_allowed(hub: FakeHub) -> None:
    with pytest.raises(HubError, match="tester, acme") as caught:
        await resolve_namespace(account_at(hub), "google")
    assert caught.value.kind == "forbidden"


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429}, {"kind": "cut"}])
async def test_when_whoami_does_not_answer_the_wish_is_not_checked(hub: FakeHub, fault: dict[str, object]) -> None:
    hub.fail("GET", "whoami", times=99, **fault)
    assert await resolve_namespace(account_at(hub), "anything") == ("anything", None)
    with pytest.raises(HubError):
        await resolve_namespace(account_at(hub))


async def test_a_token_that_is_not_accepted_is_an_error(hub: FakeHub) -> None:
    with pytest.raises(HubError) as caught:
        await resolve_namespace(account_at(hub, "hf_of_somebody_else"), "tester")
    assert caught.value.kind == "auth"


@pytest.mark.parametrize(
    ("answer", "eligible", "pays"),
    [
        ({"user": "u", "orgs": [{"name": "b"}, {"name": "a"}, {"name": "a"}, {}]}, ("u", "a", "b"), {}),
        ({"preferred_username": "u", "canPay": False}, ("u",), {"u": False}),
        ({"orgs": [{"name": "a", "canPay": True}]}, ("a",), {"a": True}),
        ({}, (), {}),
    ],
)
async def test_answers_of_all_kinds(
    hub: FakeHub, answer: dict[str, object], eligible: tuple[str, ...], pays: dict[str, bool]
) -> None:
    hub.route("GET", "/api/whoami-v2", answer)
    access = await jobs_access(account_at(hub))
    assert (access.eligible_namespaces, dict(access.pays)) == (eligible, pays)
    assert access.default_namespace == (eligible[0] if eligible else None)


async def test_a_token_without_any_namespace(hub: FakeHub) -> None:
    hub.route("GET", "/api/whoami-v2", {"auth": {}})
    with pytest.raises(HubError, match="no namespace"):
        await resolve_namespace(account_at(hub))


async def test_whoami_is_asked_once(hub: FakeHub) -> None:
    account = account_at(hub)
    for _ in range(3):
        await resolve_namespace(account, "acme")
    assert [each.path for each in hub.requests] == ["/api/whoami-v2"]
