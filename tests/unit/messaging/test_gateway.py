"""Sending messages, over HTTP to a fake of Slack and of a webhook's receiver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent.config import Destination, MessagingConfig
from agent.core.notices import Notices
from agent.messaging.gateway import NotificationGateway
from agent.messaging.words import NotificationRequest
from agent.protocol.events import ApprovalItem, ApprovalRequired, ErrorRaised, Payload, Processing, TurnComplete
from agent.redaction.redactor import Redactor
from tests.fakes.slack import FakeSlack, Said

TOKEN = "xoxb-very-secret-token"


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as server:
        yield server
        server.check()


def destinations(slack: FakeSlack, **more: Any) -> dict[str, Destination]:
    flags = {"allow_agent_tool": True, "allow_auto_events": True, **more}
    return {
        "team": Destination(provider="slack", token=TOKEN, channel="C1", **flags),
        "hook": Destination(provider="webhook", url=f"{slack.url}/hook", headers={"X-Key": "k"}, **flags),
        "desk": Destination(provider="desktop", **flags),
    }


class Waits:
    """A sleep that only notes how long it was to be."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)


@asynccontextmanager
async def gateway(slack: FakeSlack, waits: Waits | None = None, **more: Any) -> AsyncIterator[NotificationGateway]:
    config = MessagingConfig(enabled=True, destinations=destinations(slack, **more))
    sleep = waits or Waits()
    made = NotificationGateway(config, {"SLACK_BASE_URL": f"{slack.url}/api"}, sleep=sleep)
    made.start()
    yield made
    await made.close()


def request(destination: str = "team", **more: Any) -> NotificationRequest:
    return NotificationRequest(destination, "It is **done**: 2 < 3", **more)


async def test_slack_is_sent_what_its_method_takes(slack: FakeSlack) -> None:
    async with gateway(slack) as sender:
        result = await sender.send(request(title="Run 7", severity="success", metadata={"model": "a/b"}))
    assert (result.ok, result.provider, result.external_id) == (True, "slack", "1700000000.000100")
    sent = slack.requests[0]
    assert sent.path == "/api/chat.postMessage"
    assert sent.headers["authorization"] == f"Bearer {TOKEN}"
    assert sent.json == {
        "channel": "C1",
        "text": "[SUCCESS] Run 7\nIt is *done*: 2 &lt; 3\nmodel: a/b",
        "mrkdwn": True,
        "unfurl_links": False,
        "unfurl_media": False,
    }


async def test_a_webhook_gets_json(slack: FakeSlack) -> None:
    async with gateway(slack) as sender:
        assert (await sender.send(request("hook", event_type="error", severity="error"))).ok
    sent = slack.requests[0]
    assert sent.headers["x-key"] == "k"
    body = dict(sent.json)
    assert body.pop("time").endswith("+00:00")
    assert body == {
        "title": "",
        "message": "It is **done**: 2 < 3",
        "severity": "error",
        "metadata": {},
        "event_type": "error",
    }


@pytest.mark.parametrize(
    "passing",
    [
        Said(500, b"oh"),
        Said(429, {"ok": False}, {"Retry-After": "3"}),
        Said(200, {"ok": False, "error": "ratelimited"}),
        Said(200, b"<html>"),
        Said(cut=True),
    ],
)
async def test_what_may_pass_is_tried_again(slack: FakeSlack, passing: Said) -> None:
    waits = Waits()
    slack.answers.append(passing)
    async with gateway(slack, waits) as sender:
        assert (await sender.send(request())).ok
    assert waits.waited == [3.0 if passing.headers else 1.0]  # defect 23 of cli.md: Retry-After is honoured
    assert len(slack.requests) == 2


async def test_a_wait_that_is_no_number_is_not_believed(slack: FakeSlack) -> None:
    waits = Waits()
    slack.answers.append(Said(503, b"", {"Retry-After": "nan"}))
    async with gateway(slack, waits) as sender:
        assert (await sender.send(request())).ok
    assert waits.waited == [1.0]


async def test_it_gives_up_after_three_more_tries(slack: FakeSlack) -> None:
    waits = Waits()
    slack.answers.extend([Said(503, b"")] * 4)
    async with gateway(slack, waits) as sender:
        result = await sender.send(request())
    assert (result.ok, result.error) == (False, "Slack answered with HTTP 503")
    assert waits.waited == [1.0, 2.0, 4.0]


async def test_what_will_not_pass_is_said_at_once(slack: FakeSlack) -> None:
    waits = Waits()
    slack.answers.append(Said(200, {"ok": False, "error": "channel_not_found"}))
    slack.answers.append(Said(404, b"no"))
    async with gateway(slack, waits) as sender:
        refused, missing = await sender.send(request()), await sender.send(request("hook"))
        unknown, nowhere = await sender.send(request("nobody")), await sender.send(request("desk"))
    assert "channel_not_found" in (refused.error or "")
    assert "invite the bot" in (refused.error or "")
    assert missing.error == "the webhook answered with HTTP 404; check its configuration"
    assert (unknown.ok, unknown.provider) == (False, "unknown")
    assert nowhere.error == "there is no terminal that could show it"
    assert waits.waited == []
    assert TOKEN not in repr([refused, missing, unknown, sender.config])


async def test_none_is_sent_when_they_are_off(slack: FakeSlack) -> None:
    off = NotificationGateway(MessagingConfig(destinations=destinations(slack)), {})
    assert (await off.send(request())).provider == "disabled"
    assert not off.enqueue(request())  # not started
    assert slack.requests == []


async def test_the_desktop_is_reached_through_the_terminal(slack: FakeSlack) -> None:
    shown: list[tuple[str, str]] = []

    async def show(title: str, message: str) -> bool:
        shown.append((title, message))
        return True

    async with gateway(slack) as sender:
        sender.start(show)
        assert (await sender.send(request("desk", title="Done"))).ok
    assert shown == [("Done", "It is **done**: 2 < 3")]


async def test_closing_sends_what_waits(slack: FakeSlack) -> None:
    async with gateway(slack) as sender:
        assert all(sender.enqueue(request("hook")) for _ in range(5))
    assert len(slack.requests) == 5
    assert not sender.enqueue(request("hook"))


async def test_closing_waits_no_longer_than_its_limit(slack: FakeSlack) -> None:
    """Defect 23 of cli.md: a service that does not answer kept the program from ending."""
    slack.answers.extend([Said(stall=True)] * 3)
    async with gateway(slack) as sender:
        for _ in range(3):
            sender.enqueue(request("hook"))
        await asyncio.to_thread(slack.wait_stalled)
        await sender.close(limit_s=0.05)
    slack.resume()
    assert len(slack.requests) == 1


async def test_a_slow_place_holds_up_no_other(slack: FakeSlack) -> None:
    shown = asyncio.Event()

    async def show(_title: str, _message: str) -> bool:
        shown.set()
        return True

    slack.answers.append(Said(stall=True))
    async with gateway(slack) as sender:
        sender.start(show)
        sender.enqueue(request("hook"))
        await asyncio.to_thread(slack.wait_stalled)
        sender.enqueue(request("desk"))
        async with asyncio.timeout(10):
            await shown.wait()
        await sender.close(limit_s=0.05)
    slack.resume()


async def test_the_person_is_told_once_that_nothing_arrives(slack: FakeSlack) -> None:
    told: list[str] = []

    async def tell(text: str) -> None:
        told.append(text)

    slack.answers.extend([Said(404, b"")] * 3)
    async with gateway(slack) as sender:
        sender.start(None, tell)
        for name in ("hook", "hook", "team"):
            sender.enqueue(request(name))
    reason = "answered with HTTP 404; check its configuration"
    assert sorted(told) == [
        f"The notification for hook was not sent: the webhook {reason}",
        f"The notification for team was not sent: Slack {reason}",
    ]


async def test_too_many_are_dropped_and_not_kept(slack: FakeSlack) -> None:
    slack.answers.append(Said(stall=True))
    async with gateway(slack) as sender:
        taken = [sender.enqueue(request("hook")) for _ in range(150)]
        await sender.close(limit_s=0.05)
    slack.resume()
    assert taken.count(True) == 100


# --- messages that events send by themselves -------------------------------------------------------------------------


def approval(*tools: str) -> ApprovalRequired:
    items = tuple(ApprovalItem(tool, {}, str(number)) for number, tool in enumerate(tools))
    return ApprovalRequired(items, len(items))


@pytest.mark.parametrize(
    ("payload", "severity", "said"),
    [
        (approval("bash", "bash", "hf_jobs"), "warning", "3 calls wait for your answer: bash, hf_jobs"),
        (ErrorRaised("x" * 600, "server"), "error", "x" * 499 + "…"),
        (TurnComplete(3, "All **good** [secret]"), "success", "All **good** [***]"),
        (TurnComplete(3, None, "time_limit"), "warning", "Stopped early (time limit)."),
    ],
)
async def test_events_send_messages(slack: FakeSlack, payload: Payload, severity: str, said: str) -> None:
    async with gateway(slack) as sender:
        facts = {"session_id": "s-1", "model": "m"}
        Notices(sender, lambda text: text.replace("secret", "***"), lambda: facts).see(payload)
    hooks = [post for post in slack.posts if "severity" in post]
    assert [(post["severity"], post["message"]) for post in hooks] == [(severity, said)]
    assert hooks[0]["metadata"] == {**facts, "event_type": payload.event_type}
    assert len(slack.posts) == 2  # the channel got it too


async def test_nothing_is_sent_that_is_not_wanted(slack: FakeSlack) -> None:
    async with gateway(slack) as sender:
        watching = Notices(sender, str, dict)
        for payload in (Processing(), ErrorRaised("bad value", "usage")):
            watching.see(payload)
    async with gateway(slack, allow_auto_events=False) as sender:
        Notices(sender, str, dict).see(TurnComplete(1, "done"))
    only_errors = MessagingConfig(enabled=True, auto_event_types=["error"], destinations=destinations(slack))
    sender = NotificationGateway(only_errors, {})
    sender.start()
    Notices(sender, str, dict).see(TurnComplete(1, "done"))
    await sender.close()
    assert slack.requests == []


async def test_the_desktop_is_left_alone_while_the_person_looks(slack: FakeSlack) -> None:
    shown: list[str] = []
    now = [100.0]

    async def show(_title: str, message: str) -> bool:
        shown.append(message)
        return True

    config = MessagingConfig(enabled=True, destinations={"desk": destinations(slack)["desk"]})
    sender = NotificationGateway(config, {})
    sender.start(show)
    watching = Notices(sender, str, dict, clock=lambda: now[0])
    for took_s, answer in ((2, "quick"), (40, "slow")):
        watching.see(Processing())
        now[0] += took_s
        watching.see(TurnComplete(1, answer))
    watching.see(approval("bash"))
    await sender.close()
    assert shown == ["slow", "1 call waits for your answer: bash"]


async def test_no_key_leaves_by_a_message_cut_or_not(slack: FakeSlack) -> None:
    key = "hf_" + "aB3dE5gH7j" * 4
    async with gateway(slack) as sender:
        assert (await sender.send(NotificationRequest("hook", f"made with {key}", f"Key {key}"))).ok
        watching = Notices(sender, Redactor().text, dict)
        watching.see(ErrorRaised("x" * 480 + f" {key}", "server"))  # cut before it was redacted, half of it would stay
    told = [post for post in slack.posts if "severity" in post]
    assert (told[0]["title"], told[0]["message"]) == ("Key [REDACTED_HF_TOKEN]", "made with [REDACTED_HF_TOKEN]")
    assert len(told) == 2
    assert "aB3dE5gH" not in str(slack.posts)
