"""`notify`: only where the person allows it, and what came of it for each place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import Config, Destination, MessagingConfig
from agent.core.services import Services
from agent.core.tools import ToolRouter, create_builtin_tools
from agent.hub.account import HubAccount
from agent.messaging.gateway import NotificationGateway
from agent.redaction.live import LiveSecrets
from agent.tools.notify_tool import notify_spec
from tests.fakes.slack import FakeSlack, Said
from tests.unit.tools.conftest import FakeSession


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as server:
        yield server


@pytest.fixture
def gateway(slack: FakeSlack) -> NotificationGateway:
    hook = f"{slack.url}/hook"
    places = {
        "mine": Destination(provider="webhook", url=hook, allow_agent_tool=True),
        "other": Destination(provider="webhook", url=hook, allow_agent_tool=True),
        "boss": Destination(provider="webhook", url=hook),
    }
    return NotificationGateway(MessagingConfig(enabled=True, destinations=places), {})


async def test_each_place_once_and_what_came_of_it(
    slack: FakeSlack, gateway: NotificationGateway, session: FakeSession
) -> None:
    session.secrets = LiveSecrets({"MY_TOKEN": "very-secret-value"})
    slack.answers.extend([Said(), Said(404, b"")])
    spec = notify_spec(gateway.destinations, lambda: gateway)
    assert spec is not None
    result = await session.call(
        spec, destinations=["mine", "other", "mine"], message=" done: very-secret-value ", severity="success"
    )
    await gateway.close()
    assert result.output == "mine: sent\nother: failed (the webhook answered with HTTP 404; check its configuration)"
    assert not result.ok
    assert len(slack.posts) == 2
    assert "very-secret-value" not in str(slack.posts)
    assert slack.posts[0]["severity"] == "success"


async def test_a_place_that_is_not_the_agents(
    slack: FakeSlack, gateway: NotificationGateway, session: FakeSession
) -> None:
    spec = notify_spec(gateway.destinations, lambda: gateway)
    assert spec is not None
    async with ToolRouter([spec]) as router:
        problem = router.problem_with("notify", {"destinations": ["boss"], "message": "x"})
    assert problem is not None
    assert "'boss' is not one of ['mine', 'other']" in problem
    assert (await session.call(spec, destinations=["mine"], message="  ")).ok is False
    assert slack.requests == []


def test_there_is_no_tool_without_a_place() -> None:
    hook = Destination(provider="webhook", url="https://a.b/c")
    mine = Destination(provider="webhook", url="https://a.b/c", allow_agent_tool=True)

    def tools(messaging: MessagingConfig) -> set[str]:
        services = Services(Config(messaging=messaging), HubAccount(None, {}), {}, Path())
        return {spec.name for spec in create_builtin_tools(services)}

    assert "notify" not in tools(MessagingConfig(enabled=True, destinations={"h": hook}))
    assert "notify" not in tools(MessagingConfig(destinations={"h": mine}))
    assert "notify" in tools(MessagingConfig(enabled=True, destinations={"h": mine}))
