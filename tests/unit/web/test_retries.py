"""Trying again: when, after how long, and never beyond the limit of the whole question (defects 17 and 22)."""

from __future__ import annotations

import asyncio
import re
from email.utils import formatdate

import pytest

from agent.web.client import WebClient
from agent.web.errors import WebError
from agent.web.pace import Pace
from agent.web.reach import Reach, origin_of
from tests.fakes.web_site import WebSite, cut, drip, endless_headers, reply, stall
from tests.unit.web.conftest import NewClient
from tests.unit.web.kit import FakeTime, to


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_passing_error_is_tried_again(site: WebSite, client: WebClient, status: int) -> None:
    url = site.on("/", reply(status=status), reply(status=status), reply(b"here"))
    assert (await client.ask(to(url))).body == b"here"
    assert len(site.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 501])
async def test_other_errors_are_answers_at_once(site: WebSite, client: WebClient, status: int) -> None:
    answer = await client.ask(to(site.on("/", reply(b"why", status=status))))
    assert (answer.status, answer.body, answer.ok, len(site.requests)) == (status, b"why", False, 1)


async def test_an_error_with_a_final_code_is_an_answer_at_once(site: WebSite, client: WebClient) -> None:
    final = frozenset({"BrokenRows"})
    url = site.on("/", reply(b"why", status=500, headers={"X-Error-Code": "BrokenRows"}))
    answer = await client.ask(to(url, final_codes=final))
    assert (answer.status, answer.body, len(site.requests)) == (500, b"why", 1)
    busy = reply(status=500, headers={"X-Error-Code": "Busy"})
    assert (await client.ask(to(site.on("/busy", busy, reply(b"here")), final_codes=final))).body == b"here"


async def test_the_last_answer_stands_after_all_tries(site: WebSite, client: WebClient, time: FakeTime) -> None:
    answer = await client.ask(to(site.on("/", reply(b"down", status=503)), tries=3))
    assert (answer.status, answer.body, len(site.requests)) == (503, b"down", 3)
    first, second = time.slept
    assert 0.375 <= first <= 0.625
    assert 0.75 <= second <= 1.25


async def test_waits_differ_from_one_question_to_the_next(site: WebSite, client: WebClient, time: FakeTime) -> None:
    url = site.on("/", reply(status=503))
    for _ in range(3):
        await client.ask(to(url, tries=2))
    assert len(set(time.slept)) == 3


@pytest.mark.parametrize("broken", [cut(), cut(after=b"half"), endless_headers()], ids=["no answer", "half", "headers"])
async def test_a_broken_answer_is_asked_for_again(site: WebSite, client: WebClient, broken: object) -> None:
    url = site.on("/", broken, reply(b"whole"))  # type: ignore[arg-type]
    assert (await client.ask(to(url))).body == b"whole"


@pytest.mark.parametrize("after_head", [False, True])
async def test_a_stall_is_given_up_and_tried_again(site: WebSite, client: WebClient, after_head: bool) -> None:
    url = site.on("/", stall(after_head=after_head), reply(b"awake"))
    assert (await client.ask(to(url, timeout_s=0.1))).body == b"awake"


async def test_a_server_that_is_not_there_is_an_error_that_names_it(client: WebClient) -> None:
    with WebSite() as gone:
        url = gone.url
    with pytest.raises(WebError, match="the museum cannot be reached") as caught:
        await client.ask(to(url, service="the museum", tries=2))
    assert caught.value.problem == "unreachable"


@pytest.mark.parametrize("value", ["7", "7.0"])
async def test_retry_after_in_seconds_is_kept_exactly(
    site: WebSite, client: WebClient, time: FakeTime, value: str
) -> None:
    await client.ask(to(site.on("/", reply(status=429, headers={"Retry-After": value}), reply(b"ok"))))
    assert time.slept == [7]


async def test_retry_after_may_be_a_date(site: WebSite, new_client: NewClient, time: FakeTime) -> None:
    client = new_client(now=lambda: 1_800_000_000.0)
    date = formatdate(1_800_000_012, usegmt=True)
    await client.ask(to(site.on("/", reply(status=503, headers={"Retry-After": date}), reply(b"ok"))))
    assert time.slept == [12]


@pytest.mark.parametrize(
    "value", ["-5", "nan", "inf", "soon", "0", "1_0", "Thu, 99 Foo 2026", "Thu, 01 Jan 1970 00:00:00 GMT"]
)
async def test_without_a_usable_retry_after_the_usual_wait_holds(
    site: WebSite, client: WebClient, time: FakeTime, value: str
) -> None:
    await client.ask(to(site.on("/", reply(status=429, headers={"Retry-After": value}), reply(b"ok"))))
    assert len(time.slept) == 1
    assert 0.375 <= time.slept[0] <= 0.625


@pytest.mark.parametrize("value", ["31", "86400", "9" * 400])
async def test_a_pause_beyond_the_limit_is_told_and_not_waited_for(
    site: WebSite, client: WebClient, time: FakeTime, value: str
) -> None:
    answer = await client.ask(to(site.on("/", reply(status=429, headers={"Retry-After": value})), limit_s=30))
    assert (answer.status, time.slept, len(site.requests)) == (429, [], 1)
    assert answer.retry_after_s is not None
    assert 31 <= answer.retry_after_s <= 7 * 86400


async def test_the_person_is_told_of_each_wait(site: WebSite, client: WebClient) -> None:
    told: list[str] = []

    async def listen(text: str) -> None:
        told.append(text)

    url = site.on("/", reply(status=429, headers={"Retry-After": "3"}), cut(), reply(b"ok"))
    await client.ask(to(url, service="arXiv"), listen)
    first, second = told
    assert first == "arXiv answers with HTTP 429; trying again in 3 s"
    assert re.fullmatch(r"arXiv does not answer; trying again in [12] s", second)


async def test_github_says_in_its_own_headers_when_it_may_be_asked_again(
    site: WebSite, new_client: NewClient, time: FakeTime
) -> None:
    client = new_client(now=lambda: 1_800_000_000.0)
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800001500"}
    answer = await client.ask(to(site.on("/", reply(b"{}", headers, status=403))))
    assert (answer.status, answer.retry_after_s, time.slept, len(site.requests)) == (403, 1500.0, [], 1)


async def test_a_near_end_of_githubs_limit_is_waited_for(site: WebSite, new_client: NewClient, time: FakeTime) -> None:
    client = new_client(now=lambda: 1_800_000_000.0)
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000009"}
    answer = await client.ask(to(site.on("/", reply(b"{}", headers, status=403), reply(b"ok"))))
    assert (answer.body, time.slept) == (b"ok", [9])


async def test_a_slow_drip_ends_with_the_limit(site: WebSite, new_client: NewClient) -> None:
    url = site.on("/", drip())
    with pytest.raises(WebError, match=r"the fountain did not answer within 0\.3 s") as caught:
        await new_client(sleep=asyncio.sleep).ask(to(url, service="the fountain", limit_s=0.3, timeout_s=5))
    assert caught.value.problem == "timeout"
    await asyncio.to_thread(site.wait_client_gone)


async def test_the_limit_is_for_all_tries_together(site: WebSite, client: WebClient, time: FakeTime) -> None:
    started = time()
    answer = await client.ask(to(site.on("/", reply(status=503)), tries=100, limit_s=20))
    assert answer.status == 503
    assert time() - started < 20


async def test_the_limit_is_for_the_wait_in_line_too(site: WebSite, new_client: NewClient) -> None:
    client, pace = new_client(), Pace(parallel=1)
    slow = asyncio.create_task(client.ask(to(site.on("/slow", stall()), pace=pace)))
    await asyncio.to_thread(site.wait_stalled)
    with pytest.raises(WebError, match=r"within 0\.1 s"):
        await client.ask(to(site.on("/quick", reply(b"ok")), pace=pace, limit_s=0.1))
    site.resume()
    assert (await slow).body == b"late"


async def test_a_post_is_repeated_with_its_body(site: WebSite, client: WebClient) -> None:
    await client.ask(to(site.on("/", cut(), reply(b"ok")), method="POST", json={"ids": [1]}))
    assert [(request.method, request.json) for request in site.requests] == [("POST", {"ids": [1]})] * 2


async def test_params_are_added_to_the_query_that_is_there(site: WebSite, client: WebClient) -> None:
    await client.ask(to(site.on("/", reply(b"ok")) + "?kept=1", params={"q": "a b&c", "limit": 5}))
    assert site.requests[0].query == {"kept": "1", "q": "a b&c", "limit": "5"}


@pytest.mark.parametrize("token", ["hf_secretsecret\n", "hf_secret\x00secret", "hf_secretsecret–"])
async def test_a_token_that_is_no_header_value_is_refused_and_not_told(
    site: WebSite, client: WebClient, token: str
) -> None:
    request = to(site.on("/", reply(b"ok")), private_headers={"authorization": f"Bearer {token}"})
    with pytest.raises(WebError, match="authorization header") as caught:
        await client.ask(request)
    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r} {request!r}"
    assert site.requests == []


@pytest.mark.parametrize("status", [429, 503])
async def test_a_pause_that_a_host_asks_for_is_kept_by_every_question(
    site: WebSite, new_client: NewClient, status: int
) -> None:
    sleeping: asyncio.Queue[float] = asyncio.Queue()
    is_over = asyncio.Event()

    async def sleep(delay_s: float) -> None:
        sleeping.put_nowait(delay_s)
        await is_over.wait()

    client = new_client(sleep=sleep)
    first = asyncio.create_task(
        client.ask(to(site.on("/a", reply(status=status, headers={"Retry-After": "5"}), reply(b"a"))))
    )
    assert await asyncio.wait_for(sleeping.get(), 5) == 5
    second = asyncio.create_task(client.ask(to(site.on("/b", reply(b"b")))))
    assert await asyncio.wait_for(sleeping.get(), 5) == 5
    assert [request.path for request in site.requests] == ["/a"]
    is_over.set()
    assert [(await first).body, (await second).body] == [b"a", b"b"]


@pytest.mark.parametrize("named", [{"limit_s": 30}, {"tries": 1, "limit_s": 100}], ids=["limit", "last try"])
async def test_a_pause_that_is_not_waited_for_is_kept_by_the_next_questions(
    site: WebSite, client: WebClient, time: FakeTime, named: dict[str, int]
) -> None:
    url = site.on("/a", reply(b"slow", {"Retry-After": "60"}, status=429))
    assert (await client.ask(to(url, **named))).status == 429
    for _ in range(3):
        with pytest.raises(WebError, match="is not to be asked before"):
            await client.ask(to(site.on("/b", reply(b"b")), limit_s=30))
    assert [request.path for request in site.requests] == ["/a"]
    time.now_s += 61
    assert (await client.ask(to(f"{site.url}/b"))).body == b"b"


async def test_a_part_of_a_service_with_limits_of_its_own_does_not_stop_the_rest(
    site: WebSite, client: WebClient
) -> None:
    limited = reply(b"slow", {"Retry-After": "60"}, status=429)
    assert (await client.ask(to(site.on("/search", limited), lane="/search"))).status == 429
    assert (await client.ask(to(site.on("/repos", reply(b"here"))))).body == b"here"
    with pytest.raises(WebError, match="/search is not to be asked before"):
        await client.ask(to(site.on("/search", reply(b"late")), lane="/search"))


async def test_after_a_redirect_the_host_that_asks_for_a_pause_has_it(
    site: WebSite, client: WebClient, time: FakeTime
) -> None:
    with WebSite() as cdn:
        file = cdn.on("/file", reply(status=429, headers={"Retry-After": "7"}), reply(b"file"))
        home = site.on("/file", reply(status=302, headers={"Location": file}))
        reach = Reach(origins=(origin_of(site.url), origin_of(cdn.url)))
        assert (await client.ask(to(home, reach=reach, tries=1))).status == 429
        assert (await client.ask(to(site.on("/api", reply(b"api"))))).body == b"api"
        assert time.slept == []
        assert (await client.ask(to(cdn.on("/other", reply(b"other"))))).body == b"other"
        assert time.slept == [7]
        cdn.check()
