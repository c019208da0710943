"""Repetition and what only looks like it."""

from __future__ import annotations

from agent.core.doom_loop import DoomLoopDetector, detect_repeating_sequence, signature


def feed(*results: tuple[str, str, str], is_poll: bool = False) -> list[str | None]:
    detector = DoomLoopDetector()
    said = []
    for name, arguments, result in results:
        detector.add(signature(name, arguments, result, is_poll))
        said.append(detector.check())
    return said


def test_three_identical_calls_are_reported_once_per_three() -> None:
    assert feed(*[("bash", '{"c": 1}', "same")] * 6) == [None, None, "'bash'", None, None, "'bash'"]


def test_key_order_and_blanks_in_arguments_do_not_matter() -> None:
    said = feed(("t", '{"a":1,"b":2}', "x"), ("t", '{"b": 2, "a": 1}', "x"), ("t", '{ "a":1, "b":2 }', "x"))
    assert said[-1] == "'t'"


def test_a_moving_result_is_progress_but_a_clock_is_not() -> None:
    assert feed(*[("poll", "{}", f"step {n}") for n in range(9)]) == [None] * 9
    assert "'poll'" in feed(*[("poll", "{}", f"12:00:{n:02} still RUNNING after {n} s") for n in range(3)])


def test_polls_are_borne_longer() -> None:
    said = feed(*[("logs", "{}", "RUNNING")] * 8, is_poll=True)
    assert said == [None] * 7 + ["'logs'"]


def test_an_alternation_is_a_pattern() -> None:
    pair = [("read", "{}", "a"), ("edit", "{}", "b")]
    assert feed(*pair * 3)[-1] == "read → edit"
    assert feed(*pair * 2) == [None] * 4


def test_wide_batches_that_repeat_are_seen() -> None:
    batch = [signature("read", f'{{"n": {n}}}', "x") for n in range(10)]
    assert detect_repeating_sequence(batch * 2) == batch
