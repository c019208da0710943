"""One question asked by several at once, closing while questions are under way, and loops (defect 9)."""

from __future__ import annotations

import asyncio

import pytest

from agent.web.client import WebClient
from agent.web.errors import WebError
from tests.fakes.web_site import WebSite, redirect, reply, stall
from tests.unit.web.conftest import NewClient
from tests.unit.web.kit import to


async def test_the_same_question_at_once_is_asked_once(site: WebSite, client: WebClient) -> None:
    request = to(site.on("/", reply(b"ok")), fresh_s=60)
    answers = await asyncio.gather(*(client.ask(request) for _ in range(10)))
    assert {answer.body for answer in answers} == {b"ok"}
    assert len(site.requests) == 1


async def test_what_is_not_to_be_kept_is_asked_each_time(site: WebSite, client: WebClient) -> None:
    request = to(site.on("/", reply(b"ok")))
    await asyncio.gather(*(client.ask(request) for _ in range(3)))
    assert len(site.requests) == 3


async def test_the_second_asker_gets_its_answer_when_the_first_is_cancelled(site: WebSite, client: WebClient) -> None:
    request = to(site.on("/", stall()), fresh_s=60)
    first, second = (asyncio.create_task(client.ask(request)) for _ in range(2))
    await asyncio.to_thread(site.wait_stalled)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    site.resume()
    assert (await second).body == b"late"
    assert len(site.requests) == 1


async def test_after_the_last_asker_the_question_is_given_up(site: WebSite, client: WebClient) -> None:
    request = to(site.on("/", stall(), reply(b"anew")), fresh_s=60)
    askers = [asyncio.create_task(client.ask(request)) for _ in range(2)]
    await asyncio.to_thread(site.wait_stalled)
    for asker in askers:
        asker.cancel()
    await asyncio.gather(*askers, return_exceptions=True)
    assert (await client.ask(request)).body == b"anew"  # and nobody joins what was given up
    await asyncio.to_thread(site.wait_client_gone)


async def test_an_error_reaches_all_and_is_not_remembered(site: WebSite, client: WebClient) -> None:
    request = to(site.on("/", redirect("https://elsewhere.example/"), reply(b"ok")), fresh_s=60)
    outcomes = await asyncio.gather(*(client.ask(request) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [WebError] * 3
    assert (await client.ask(request)).body == b"ok"


async def test_all_who_wait_are_told_of_it_and_who_left_is_not(site: WebSite, client: WebClient) -> None:
    told: list[str] = []

    def listener(name: str):  # type: ignore[no-untyped-def]
        async def listen(_text: str) -> None:
            told.append(name)

        return listen

    request = to(site.on("/", stall(), reply(b"ok")), fresh_s=60, timeout_s=0.3)
    first, second = (asyncio.create_task(client.ask(request, listener(name))) for name in ("first", "second"))
    await asyncio.to_thread(site.wait_stalled)
    first.cancel()
    assert (await second).body == b"ok"
    assert told == ["second"]


@pytest.mark.parametrize("fresh_s", [None, 60.0])
async def test_closing_ends_what_is_under_way_with_an_error_not_a_cancellation(
    site: WebSite, client: WebClient, fresh_s: float | None
) -> None:
    asking = asyncio.create_task(client.ask(to(site.on("/", stall()), fresh_s=fresh_s)))
    await asyncio.to_thread(site.wait_stalled)
    await client.close()
    with pytest.raises(WebError, match="ending"):
        await asking
    await asyncio.to_thread(site.wait_client_gone)
    assert len(site.requests) == 1


async def test_a_closed_client_asks_no_more(site: WebSite, client: WebClient) -> None:
    await client.close()
    await client.close()
    with pytest.raises(WebError, match="ending"):
        await client.ask(to(site.on("/", reply(b"ok"))))
    assert site.requests == []


async def test_another_event_loop_is_an_error(site: WebSite, new_client: NewClient) -> None:
    client = new_client()
    request = to(site.on("/", reply(b"ok")))
    await client.ask(request)
    with pytest.raises(RuntimeError, match="event loop"):
        await asyncio.to_thread(lambda: asyncio.run(client.ask(request)))
    assert (await client.ask(request)).body == b"ok"
