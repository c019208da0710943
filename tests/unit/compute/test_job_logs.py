"""Following a job's output over the fake Hub: each line once, in order, whatever happens to the streams."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.compute.job_logs import MAX_LINE_CHARS, _Pipe, follow, log_snapshot, plain_line
from agent.compute.log_replay import Place
from agent.protocol.compute import ComputeError, LogLine
from tests.fakes.hub import FakeHub
from tests.fakes.hub_job import Cut, Job, Step, line, polled, stage, streamed
from tests.unit.compute.jobs_hub import Pauses, account_at, fake_hub


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as fake:
        yield fake


@pytest.fixture
def job(hub: FakeHub) -> Job:
    return hub.jobs.add()


async def followed(hub: FakeHub, job: Job, *, skip: int = 0, pauses: Pauses | None = None) -> list[str]:
    """All lines, as a follower gives them until the end."""
    lines = follow(account_at(hub), job.namespace, job.id, skip=skip, sleep=pauses or Pauses())
    async with asyncio.timeout(30):
        return [each.text async for each in lines]


async def test_every_line_once_and_in_order_over_twenty_cuts(hub: FakeHub, job: Job) -> None:
    job.start()
    texts = [f"step {number // 3}" for number in range(70)]  # neighbours look the same
    job.print(*texts)
    job.cuts = [Cut(3 * number + 1, "cut" if number % 2 else "end") for number in range(20)]
    job.advance(streamed(20), line("done"), stage("COMPLETED"))
    assert await followed(hub, job) == [*texts, "done"]
    assert job.streams >= 21


async def test_a_stream_that_ends_before_the_job_is_opened_again(hub: FakeHub, job: Job) -> None:
    job.start()
    job.print("one")
    job.cuts = [Cut(2, "end"), Cut(2, "end")]
    job.advance(streamed(2), line("two"), stage("COMPLETED"))
    assert await followed(hub, job) == ["one", "two"]


async def test_lines_that_come_while_a_stream_is_open_are_given_at_once(hub: FakeHub, job: Job) -> None:
    job.start()
    async with aclosing(follow(account_at(hub), job.namespace, job.id, sleep=Pauses())) as lines:
        for text in ("first", "second"):
            await asyncio.to_thread(job.print, text)
            given_line = await anext(lines)
            assert (given_line.text, given_line.at is not None) == (text, True)


async def test_a_long_queue_is_waited_out_with_growing_pauses(hub: FakeHub, job: Job) -> None:
    hub.jobs.holds_open = False
    job.advance(polled(12), stage("RUNNING"), line("at last"), polled(2), stage("COMPLETED"))
    pauses = Pauses()
    assert await followed(hub, job, pauses=pauses) == ["at last"]
    assert max(pauses.taken_s) == 30.0
    assert pauses.taken_s[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    assert pauses.taken_s[-1] < 30.0, "news shorten the pauses again"


async def test_a_queued_job_without_a_log_is_no_error(hub: FakeHub, job: Job) -> None:
    hub.fail("GET", "/logs$", status=404, body={"error": "no logs yet"}, times=6)
    job.advance(polled(6), stage("RUNNING"), line("now"), stage("COMPLETED"))
    assert await followed(hub, job) == ["now"]


async def test_a_status_that_lags_behind_the_log_does_not_end_it_early(hub: FakeHub, job: Job) -> None:
    job.start()
    job.status_lag = 5
    job.print("last")
    job.end("COMPLETED")
    assert await followed(hub, job) == ["last"]
    assert job.polls >= 6


async def test_lines_that_reach_the_log_after_the_end_are_given(hub: FakeHub, job: Job) -> None:
    job.start()
    job.print("early")
    job.end("ERROR")
    job.advance(polled(1), line("late"), streamed(1), line("later"))
    assert await followed(hub, job) == ["early", "late", "later"]


async def test_trouble_of_the_hub_is_waited_out(hub: FakeHub, job: Job) -> None:
    job.start()
    job.print("one", "two")
    job.end()
    for status in (429, 500, 503):
        hub.fail("GET", "/logs$", status=status, times=4)
    hub.fail("GET", f"/{job.id}$", status=502, times=3)
    hub.fail("GET", "/logs$", kind="cut", times=2)
    assert await followed(hub, job) == ["one", "two"]


async def test_the_log_of_a_job_that_is_over_is_not_waited_for_for_ever(hub: FakeHub, job: Job) -> None:
    job.start()
    job.end()
    hub.fail("GET", "/logs$", status=503, times=10_000)
    with pytest.raises(ComputeError) as caught:
        await followed(hub, job)
    assert caught.value.kind == "server"


@pytest.mark.parametrize(("status", "kind"), [(401, "auth"), (403, "forbidden"), (404, "not_found")])
async def test_a_refusal_for_good_is_an_error_after_three_attempts(
    hub: FakeHub, job: Job, status: int, kind: str
) -> None:
    job.start()
    hub.fail("GET", "/logs$", status=status, body={"error": "no"}, times=100)
    with pytest.raises(ComputeError) as caught:
        await followed(hub, job)
    assert caught.value.kind == kind
    assert len([each for each in hub.requests if each.path.endswith("/logs")]) == 3


async def test_two_refusals_are_survived(hub: FakeHub, job: Job) -> None:
    job.start()
    job.print("here")
    job.end()
    hub.fail("GET", "/logs$", status=403, times=2)
    assert await followed(hub, job) == ["here"]


async def test_an_unknown_job_is_an_error(hub: FakeHub, job: Job) -> None:
    job.id = "0" * 24
    with pytest.raises(ComputeError) as caught:
        await followed(hub, job)
    assert caught.value.kind == "not_found"


async def test_lines_known_from_an_earlier_process_are_skipped(hub: FakeHub, job: Job) -> None:
    job.start()
    job.print(*(str(number) for number in range(10)))
    job.cuts = [Cut(3), Cut(8), None]  # the first is cut before the place is reached
    job.advance(streamed(2), stage("COMPLETED"))
    assert await followed(hub, job, skip=6) == ["6", "7", "8", "9"]


async def test_a_replay_that_has_lost_its_beginning_neither_loses_nor_doubles(hub: FakeHub, job: Job) -> None:
    job.start()
    job.print(*(f"a{number}" for number in range(30)))
    job.cuts = [Cut(31, "end")]

    def forget(job: Job) -> None:
        del job.events[:15]
        job.print("b0", "b1")

    job.advance(streamed(1), Step(forget), stage("COMPLETED"))
    assert await followed(hub, job) == [*(f"a{number}" for number in range(30)), "b0", "b1"]


async def test_a_replay_with_a_hole_is_noticed_and_read_again(hub: FakeHub, job: Job) -> None:
    job.start()
    job.print(*(f"a{number}" for number in range(30)))
    job.cuts = [Cut(31, "end")]

    def forget(job: Job) -> None:
        del job.events[10:20]
        job.print(*(f"b{number}" for number in range(40)))

    job.advance(streamed(1), Step(forget), stage("COMPLETED"))
    expected = [*(f"a{number}" for number in range(30)), *(f"b{number}" for number in range(40))]
    assert await followed(hub, job) == expected


async def test_a_stream_that_only_keeps_alive_after_the_end_is_left(hub: FakeHub, job: Job) -> None:
    class Endless(FakeHub):
        async def respond(self, exchange) -> None:  # type: ignore[no-untyped-def]
            if not exchange.request.path.endswith("/logs"):
                await super().respond(exchange)
                return
            await exchange.head(200, {"Content-Type": "text/event-stream"})
            await exchange.body(b': keep-alive\n\ndata: {"data": "all there is", "timestamp": "t"}\n\n: keep-alive\n\n')
            await exchange.stall()

    with Endless() as endless:
        over = endless.jobs.add()
        over.start()
        over.end()
        assert await followed(endless, over) == ["all there is"]


async def test_odd_separators_broken_events_and_colours(hub: FakeHub, job: Job) -> None:
    job.start()
    job.print("a\u2028b\x85c", "\x1b[31mred\x1b[0m \x1b]8;;x\x07link", " 10%\r 50%\r100%\r", "two\nlines\n")
    job.end()
    assert await followed(hub, job) == ["a\u2028b\x85c", "red link", "100%", "two", "lines"]


async def test_cancelled_it_ends_at_once_though_the_stream_is_silent(hub: FakeHub, job: Job) -> None:
    job.start()
    job.cuts = [Cut(1, "hang")]
    following = asyncio.create_task(followed(hub, job))
    await asyncio.to_thread(hub.wait_stalled)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


async def test_a_snapshot_of_a_job_that_runs_ends_when_it_is_silent(hub: FakeHub, job: Job) -> None:
    job.start()
    assert await log_snapshot(account_at(hub), job.namespace, job.id, tail=9, quiet_s=0.05) == ()
    job.print("a", "b\u2028c", "d")
    lines = await log_snapshot(account_at(hub), job.namespace, job.id, tail=2, quiet_s=1.0)
    assert [each.text for each in lines] == ["b\u2028c", "d"]


async def test_a_snapshot_of_a_job_that_never_is_silent_ends_too(hub: FakeHub, job: Job) -> None:
    class Talkative(FakeHub):
        async def respond(self, exchange) -> None:  # type: ignore[no-untyped-def]
            await exchange.head(200, {"Content-Type": "text/event-stream"})
            while True:
                await exchange.body(b'data: {"data": "x", "timestamp": "t"}\n\n')

    with Talkative() as talkative:
        lines = await log_snapshot(account_at(talkative), "tester", "1", tail=3, quiet_s=0.2)
    assert [each.text for each in lines] == ["x"] * 3


async def test_a_snapshot_that_fails_is_an_error(hub: FakeHub, job: Job) -> None:
    hub.fail("GET", "/logs$", kind="cut", times=9)
    with pytest.raises(ComputeError) as caught:
        await log_snapshot(account_at(hub), job.namespace, job.id, tail=9)
    assert caught.value.kind == "network"


async def test_the_reader_waits_for_one_who_is_slow() -> None:
    pipe = _Pipe(asyncio.get_running_loop())
    many = 5 * _Pipe.MAX_LINES

    def fill() -> int:
        return sum(pipe.put(LogLine(str(number))) for number in range(many))

    filling = asyncio.create_task(asyncio.to_thread(fill))
    taken: list[str] = []
    while len(taken) < many:
        batch = await pipe.take()
        assert len(batch) <= _Pipe.MAX_LINES
        taken += [each.text for each in batch if each is not None]
    assert taken == [str(number) for number in range(many)]
    assert await filling == many


async def test_a_closed_pipe_lets_its_thread_go() -> None:
    pipe = _Pipe(asyncio.get_running_loop())

    def fill() -> bool:
        return all(pipe.put(LogLine("x")) for _ in range(2 * _Pipe.MAX_LINES))

    filling = asyncio.create_task(asyncio.to_thread(fill))
    await pipe.take()
    pipe.close()
    assert await filling is False


def test_an_endless_line_is_cut() -> None:
    text = plain_line("x" * (MAX_LINE_CHARS + 5))
    assert len(text) < MAX_LINE_CHARS + 100
    assert text.endswith("[... 5 more characters on this line]")


@given(
    texts=st.lists(st.sampled_from("abc"), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=8),
    skip=st.integers(0, 10),
)
def test_whole_replays_give_every_line_once(texts: list[str], cuts: list[int], skip: int) -> None:
    place = Place(skip)
    lines = [LogLine(text) for text in texts]
    fresh: list[LogLine] = []
    for cut in (*cuts, len(lines)):
        replay = place.replay()
        fresh += [each for each in lines[:cut] if replay.is_new(each)]
    assert fresh == lines[skip:]


@given(count=st.integers(1, 60), steps=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=6))
def test_stamped_lines_are_never_doubled_nor_lost_when_the_beginning_goes(
    count: int, steps: list[tuple[int, int]]
) -> None:
    lines = [LogLine("same", f"{number:04}") for number in range(count)]
    place, fresh, gone = Place(), [], 0
    for lost, more in (*steps, (0, count)):
        end = min(max(place.seen + more, gone), count)
        gone = min(gone + lost, place.seen, count)  # only what was given already can be missed without loss
        replay = place.replay()
        fresh += [each for each in lines[gone:end] if replay.is_new(each)]
    assert fresh == lines
