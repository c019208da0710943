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
        self.keyboard = Keyboard(stop=self._stop, say=self.said.append)
        self.keyboard.input = self

    def _stop(self) -> None:
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
    desk.keyboard.submitted("one")
    desk.keyboard.submitted("two")
    desk.keyboard.later.append("first of all")
    assert [await desk.keyboard.next_line() for _ in range(3)] == ["first of all", "one", "two"]


async def test_what_runs_takes_the_lines_and_esc_stops_it(desk: Desk) -> None:
    taken: list[str] = []
    with desk.keyboard.at_work(taken.append):
        assert desk.keyboard.is_busy
        desk.keyboard.submitted(" hello ")
        desk.keyboard.submitted("  ")
        desk.keyboard.escaped()
        assert desk.keyboard.is_stopped
    assert (taken, desk.stops, desk.keyboard.is_busy) == (["hello"], 1, False)
    desk.keyboard.begin()
    assert not desk.keyboard.is_stopped


async def test_stopping_drops_what_stood_in_the_queue_and_says_so(desk: Desk) -> None:
    desk.keyboard.later.append("/status")
    with desk.keyboard.at_work(desk.keyboard.later.append):
        desk.keyboard.interrupted()
        desk.keyboard.submitted("and now?")
    assert desk.said == ["(dropped) /status"]
    assert await desk.keyboard.next_line() == "and now?"


async def test_ctrl_c_twice_at_work_leaves(desk: Desk) -> None:
    with desk.keyboard.at_work(lambda _: None):
        desk.keyboard.interrupted()
        assert not desk.keyboard.is_leaving
        desk.keyboard.interrupted()
    assert await desk.keyboard.next_line() is None


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


@pytest.mark.parametrize("key", ["escaped", "interrupted", "left"])
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
    with desk.keyboard.at_work(lambda _: None):
        desk.keyboard.left()
        assert (desk.stops, desk.said) == (0, ["Leaving when this is done. Esc stops it."])
    assert await desk.keyboard.next_line() is None


async def test_leaving_answers_an_open_question_with_nothing(desk: Desk) -> None:
    question = await desk.open_question()
    desk.keyboard.leave()
    assert await question is None
    assert await desk.keyboard.question("And now? ") is None
