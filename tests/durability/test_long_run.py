"""A night's work: thousands of steps through a small window, by a model that knows only what it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.protocol.events import TURN_ENDS, Compacted
from tests.durability.counting_model import CountingModel, Instrument, final_checksum, read_file, report
from tests.e2e.harness import run_headless
from tests.grammar import check_turn_grammar
from tests.unit.core.loop import running

WINDOW_TOKENS = 32_768
TASK = "Take all readings, one after the other, and tell me the checksum."


def done(steps: int) -> str:
    """The only right answer."""
    return f"Done: step {steps}, checksum {final_checksum(steps)}"


@pytest.mark.timeout(600)
async def test_two_thousand_steps_in_a_small_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the route to OpenAI-style servers for which litellm takes least time; the command below takes another."""
    steps, instrument = 2_000, Instrument()
    with CountingModel(steps, WINDOW_TOKENS) as model:
        environ = {"OPENROUTER_API_BASE": model.base_url, "OPENROUTER_API_KEY": "sk-test"}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)  # where litellm looks
        async with running(
            tmp_path,
            tools=[instrument.spec],
            environ=environ,
            model_name="openrouter/test/counter",
            context_window=WINDOW_TOKENS,
            max_iterations=-1,
        ) as loop:
            end = (await loop.turn(TASK)).payload
        model.check()
    assert end.final_response == done(steps)
    assert sum(isinstance(event.payload, TURN_ENDS) for event in loop.events) == 1
    assert len(loop.of(Compacted)) >= 36
    assert model.summaries >= 24
    assert model.refused == 0
    assert instrument.taken == dict.fromkeys(range(1, steps + 1), 1)  # nothing was forgotten, nothing done twice


def test_the_installed_command_comes_as_far_without_being_told_what_it_uses(
    env: dict[str, str], tmp_path: Path
) -> None:
    steps = 150
    for step in range(1, steps + 1):
        (tmp_path / f"{step}.txt").write_text(report(step))
    with CountingModel(steps, WINDOW_TOKENS, read_file, tells_usage=False) as model:
        run = run_headless(
            ["-m", "vllm/counter", "--max-iterations", "-1", "--output-format", "stream-json", "-p", TASK],
            env=env | {"VLLM_BASE_URL": model.url},
            cwd=tmp_path,
            timeout_s=110,
        )
        model.check()
    events = run.events()
    assert run.exit_code == 0, run.stderr
    check_turn_grammar(events)
    ends = [event["data"]["final_response"] for event in events if event["event_type"] == "turn_complete"]
    assert ends == [done(steps)]
    assert sum(event["event_type"] == "compacted" for event in events) >= 4
    assert model.summaries >= 2
    assert model.refused <= 1  # by then the real size of the window is believed
    assert model.asked == steps + 1
