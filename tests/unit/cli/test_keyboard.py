"""Where keys and lines go, by what is going on."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from agent.cli.keyboard import Keyboard


class Desk:
    """A keyboard with what it talks to."""

    def __init__(self) -> None:
        self.stops = 0
        self.said: list[str] = []
        self.text = ""
        self.asked: list[str] = []
        self.quiet_since_s = -math.inf
        self.given_back: list[str] = []
        self.keyboard = Keyboard(say=self.said.append, give_back=self.given_back.append)
        self.keyboard.input = self

    def stop(self) -> None:
        self.stops += 1

    def clear(self) -> None:
        self.text = ""

    def begin_question(self, prompt: str, initial: str = "") -> None:
        self.asked.append(prompt)
        self.text = initial

    def end_question(self) -> None:
        self.asked.append("")

    async def open_question(self) -> asyncio.Task[str | None]:
        """A question that waits for its answer."""
        task = asyncio.create_task(self.keyboard.question("Why? "))
        while not self.asked:
            await asyncio.sleep(0)
        return task


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_lines_typed_while_nothing_runs_are_worked_off_in_order(desk: Desk) -> None:
    desk.keyboard.submitted("before all")
    assert [*desk.keyboard.typed_ahead] == ["before all"]  # in sight, as nobody takes it yet
    assert await desk.keyboard.next_line() == "before all"
    desk.keyboard.submitted("one")
    desk.keyboard.submitted("two")
    desk.keyboard.typed_ahead.append("typed before")
    desk.keyboard.next_of_ours("first of all")
    assert [await desk.keyboard.next_line() for _ in range(4)] == ["first of all", "typed before", "one", "two"]


async def test_what_runs_takes_the_lines_and_esc_stops_it(desk: Desk) -> None:
    taken: list[str] = []
    with desk.keyboard.at_work(taken.append, desk.stop):
        assert desk.keyboard.is_busy
        desk.keyboard.submitted(" hello ")
        desk.keyboard.submitted("  ")
        desk.keyboard.escaped()
        assert desk.keyboard.is_stopped
    assert (taken, desk.stops, desk.keyboard.is_busy) == (["hello"], 1, False)
    with desk.keyboard.at_work(taken.append, desk.stop):
        assert not desk.keyboard.is_stopped


async def test_stopping_gives_back_what_was_typed_to_come_after_it(desk: Desk) -> None:
    with desk.keyboard.at_work(desk.keyboard.typed_ahead.append, desk.stop):
        desk.keyboard.submitted("/status")
        desk.keyboard.submitted("/cost")
        desk.keyboard.interrupted()
        desk.keyboard.submitted("and now?")
    assert desk.given_back == ["/status\n/cost"]
    assert await desk.keyboard.next_line() == "and now?"


async def test_what_runs_inside_something_else_is_stopped_first(desk: Desk) -> None:
    stopped: list[str] = []
    with desk.keyboard.at_work(lambda _: None, lambda: stopped.append("outer")):
        with desk.keyboard.at_work(lambda _: None, lambda: stopped.append("inner")):
            desk.keyboard.escaped()
        desk.keyboard.escaped()
        assert desk.keyboard.is_busy
    desk.keyboard.escaped()
    assert stopped == ["inner", "outer"]


async def test_ctrl_c_twice_at_work_leaves_whatever_happens(desk: Desk) -> None:
    with desk.keyboard.at_work(lambda _: None, desk.stop):
        desk.keyboard.interrupted()
        assert not desk.keyboard.is_leaving
        desk.keyboard.interrupted()
    assert await desk.keyboard.next_line() is None
    assert desk.keyboard.insists


async def test_ctrl_c_at_rest_empties_first_then_warns_then_leaves(desk: Desk) -> None:
    desk.text = "half"
    desk.keyboard.interrupted()
    assert (desk.text, desk.said) == ("", [])
    desk.keyboard.interrupted()
    assert desk.said == ["Press Ctrl-C again to leave."]
    desk.keyboard.calm()
    desk.keyboard.interrupted()
    assert not desk.keyboard.is_leaving
    desk.keyboard.interrupted()
    assert await desk.keyboard.next_line() is None


async def test_an_answer_goes_to_the_question_as_it_was_typed(desk: Desk) -> None:
    question = await desk.open_question()
    desk.keyboard.submitted("  Because ")
    desk.keyboard.submitted("pressed twice")
    assert await question == "  Because "
    assert desk.asked == ["Why? ", ""]


@pytest.mark.parametrize("key", ["escaped", "interrupted", "ended"])
async def test_a_question_can_be_given_up(desk: Desk, key: str) -> None:
    question = await desk.open_question()
    getattr(desk.keyboard, key)()
    assert await question is None
    assert (desk.stops, desk.keyboard.is_leaving) == (0, False)


async def test_esc_empties_an_answer_before_it_gives_up(desk: Desk) -> None:
    question = await desk.open_question()
    desk.text = "no wait"
    desk.keyboard.escaped()
    assert (desk.text, question.done()) == ("", False)
    desk.keyboard.escaped()
    assert await question is None


async def test_a_question_waits_for_the_end_of_what_is_being_typed(desk: Desk) -> None:
    desk.quiet_since_s = time.monotonic() + 0.05
    question = asyncio.create_task(desk.keyboard.question("Why? "))
    await asyncio.sleep(0)
    desk.keyboard.submitted("the rest of my sentence")
    assert not question.done()
    assert await desk.keyboard.next_line() == "the rest of my sentence"
    while not desk.asked:
        await asyncio.sleep(0.01)
    desk.keyboard.submitted("y")
    assert await question == "y"


async def test_ctrl_d_at_work_leaves_when_it_is_done(desk: Desk) -> None:
    with desk.keyboard.at_work(lambda _: None, desk.stop):
        desk.keyboard.ended()
        assert (desk.stops, desk.said) == (0, ["Leaving when this is done. Esc or Ctrl-C stops it."])
    assert await desk.keyboard.next_line() is None
    assert not desk.keyboard.insists


async def test_esc_while_a_question_waits_for_quiet_means_that_it_is_not_asked(desk: Desk) -> None:
    desk.quiet_since_s = time.monotonic() + 0.05
    with desk.keyboard.at_work(lambda _: None, desk.stop):
        question = asyncio.create_task(desk.keyboard.question("Why? "))
        await asyncio.sleep(0)
        desk.keyboard.escaped()
        assert await question is None
    assert desk.asked == []


async def test_leaving_answers_an_open_question_with_nothing(desk: Desk) -> None:
    question = await desk.open_question()
    desk.keyboard.leave()
    assert await question is None
    assert await desk.keyboard.question("And now? ") is None
