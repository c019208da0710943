"""Everything goes wrong: 200 runs by their seeds, each of which can be repeated alone: `-k 'seed-17-'`."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest

from agent.core.session import Session
from agent.core.surroundings import Surroundings
from agent.llm import litellm_backend
from agent.llm.calls import Timeouts
from agent.protocol.messages import Message
from agent.protocol.operations import OpType
from agent.sessions.restore import restore
from tests.durability.chaos_model import ChaosModel
from tests.durability.chaos_run import Person, chaos_tools, check_spending
from tests.fakes.anthropic_server import FakeAnthropic
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.scripted import ScriptedModel
from tests.unit.core.loop import Loop, call, calls, running, surroundings

RUNS = 200
ACTIONS = 5
SILENCE_S = 0.5

MODELS: dict[str, type[ScriptedModel]] = {
    "vllm/test-model": FakeOpenAI,
    "openai/gpt-4o-mini": FakeOpenAI,
    "openai/gpt-of-unknown-price": FakeOpenAI,
    "anthropic/claude-sonnet-4-6": FakeAnthropic,
    "anthropic/claude-haiku-4-5": FakeAnthropic,
}


pytestmark = pytest.mark.filterwarnings("ignore:coroutine '(OpenAI|Anthropic)ChatCompletion:RuntimeWarning")
"""litellm forgets a coroutine when it is cancelled in the middle of its preparations."""


@pytest.fixture(scope="module", autouse=True)
def litellm() -> Iterator[ModuleType]:
    """Imported beforehand: that takes longer than the silence that these runs bear."""
    yield litellm_backend.load()
    gc.collect()  # what it forgot goes while its warning is expected


async def no_wait(_delay_s: float) -> None:
    """Retries at once."""
    await asyncio.sleep(0)


def chaotic_place(tmp_path: Path, server: ScriptedModel, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Surroundings:
    environ = {
        "VLLM_BASE_URL": server.url,
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "OPENAI_API_KEY": "sk-test",
        "ANTHROPIC_BASE_URL": server.url,
        "ANTHROPIC_API_KEY": "sk-ant-test",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)  # where litellm looks
    place = surroundings(tmp_path, environ=environ, **more)
    return replace(place, sleep=no_wait, timeouts=Timeouts(SILENCE_S, SILENCE_S, SILENCE_S))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided before a run begins."""

    seed: int
    model_name: str
    headless: bool
    stream: bool
    lockstep: bool
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, seed: int) -> Self:
        """The plan of the run with this seed."""
        r = random.Random(f"plan {seed}")
        headless = r.random() < 0.5
        some_usd = 10 ** r.uniform(-3, 0.5)
        settings = {
            "yolo_mode": headless,
            "reasoning_effort": r.choice([None, "high"]),
            "context_window": r.choice([12_000, 16_000, 200_000]),
            "max_cost_usd": r.choice([None, None, 0.0, some_usd, some_usd]),
            "max_iterations": r.choice([4, 12, 300]),
        }
        return cls(seed, r.choice(list(MODELS)), headless, r.random() < 0.8, r.random() < 0.5, settings)


@pytest.mark.parametrize("seed", range(RUNS), ids="seed-{}-".format)
async def test_chaos(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan.of(seed)
    print(plan)
    model = ChaosModel(seed)
    with MODELS[plan.model_name]() as server:
        server.script_function(model)
        async with running(
            tmp_path,
            tools=chaos_tools(),
            place=chaotic_place(tmp_path, server, monkeypatch, headless=plan.headless),
            stream=plan.stream,
            lockstep=plan.lockstep,
            model_name=plan.model_name,
            **plan.settings,
        ) as loop:
            person = Person(loop, seed)
            await person.take_turn()
            for _ in range(ACTIONS):
                await person.act()
            spent_micro = check_spending(loop.events, plan.settings["max_cost_usd"])
            assert loop.session.ledger.spent_usd == pytest.approx(spent_micro / 1e6)
            await check_usable(loop, model)
            journal = loop.session.record.journal
        server.check()
    assert journal is not None
    check_journal(journal.path, loop.session)


async def check_usable(loop: Loop, model: ChaosModel) -> None:
    """With a sound model and money enough, the next turn is as good as any."""
    model.calm = True
    await loop.operate(OpType.CONFIGURE, cap_usd=None)
    assert (await loop.turn("Is all well?")).payload.final_response == model.GREETING
    assert loop.session.ledger.reserved_usd == 0


def check_journal(path: Path, session: Session) -> None:
    """Another process would find all that there was."""
    restored = restore(path)
    assert (restored.unfinished, restored.dropped, restored.ended) == ((), 0, True)
    assert wire(restored.messages) == wire(session.history.items[1:])
    assert sum(charge.usd for charge in restored.charges) == pytest.approx(session.ledger.spent_usd)


def wire(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [message.to_wire(replay_thinking=True) for message in messages]


async def test_a_model_that_should_be_free_and_is_not_stops_at_the_cap_all_the_same(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 10, "cost": 0.6}
    script = [calls(call("good", {"n": number}), usage=usage) for number in range(5)]
    async with running(tmp_path, script, tools=chaos_tools(), max_cost_usd=1.0) as loop:
        assert (await loop.turn()).payload.stop_reason == "budget"
    check_spending(loop.events, 1.0)
