"""A session in which nearly everything happens, as a real run leaves it; and readers of pages for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from agent.protocol.events import (
    ApprovalItem,
    ApprovalRequired,
    Compacted,
    ErrorRaised,
    Event,
    Feedback,
    HfJobComplete,
    HfJobSubmit,
    Interrupted,
    Payload,
    PlanItem,
    PlanUpdate,
    SandboxCreate,
    SandboxDestroy,
    SettingsChanged,
    ToolCallStarted,
    ToolCharge,
    ToolLog,
    ToolOutput,
    ToolStateChange,
    TurnComplete,
    UndoComplete,
)
from agent.protocol.messages import Message, ToolCall, assistant_message, tool_message, user_message
from agent.sessions.journal import Journal, journal_path
from agent.traces.timeline import Timeline, read_timeline
from tests.unit.sessions.keeping import NO_SECRETS, STARTED, call, llm_call, start

MODEL = "anthropic/claude-sonnet"
DIFF = '--- a/train.py\n+++ b/train.py\n@@ -1,3 +1,3 @@\n import torch\n-lr = 1e-2\n+lr = 2e-5\n print("<b>go</b>")'
ANSWER = """## What I found

The loss diverged because the learning rate was **too high**:

| setting | eval loss |
|---|---|
| `lr=1e-2` | 7.31 |
| `lr=2e-5` | **0.42** |

1. Lower the rate, see [the TRL docs](https://huggingface.co/docs/trl).
2. Warm up for 100 steps.

```python
trainer = SFTTrainer(model, args=SFTConfig(learning_rate=2e-5))
```

> Numbers from the run above.
"""


class Keeper:
    """Writes a session message by message."""

    def __init__(self, state_dir: Path, session_id: str = "rich", **head: object) -> None:
        self.journal = Journal.create(journal_path(state_dir, session_id, STARTED), NO_SECRETS)
        self.history: list[Message] = []
        start(self.journal, **({"cwd": "/work/llm", "id": session_id, "model": MODEL} | head))
        self.journal.append("place", {"git_branch": "main", "tools": None})
        self._calls = 0
        self._time = STARTED

    def say(self, *messages: Message) -> None:
        """Each message comes seven seconds after the one before."""
        for message in messages:
            self._time += timedelta(seconds=7)
            self.history.append(replace(message, created_at=self._time))
            self.journal.append_message(self.history[-1])

    def tell(self, *payloads: Payload) -> None:
        for payload in payloads:
            self.journal.append_event(Event(payload))

    def ask(self, prompt: str) -> None:
        self.say(user_message(prompt))

    def answer(self, text: str | None, *calls: ToolCall, cost: float | None = 0.02, **more: Any) -> None:
        paid = llm_call(cost, prompt_tokens=12_000)
        self.tell(
            replace(
                paid,
                model=MODEL,
                latency_ms=4_200,
                completion_tokens=450,
                cache_read_tokens=9_000,
                reasoning_tokens=120,
            )
        )
        self.say(assistant_message(text, calls, **more))

    def run(
        self, name: str, arguments: str, output: str, *, ok: bool = True, display: str | None = None, took: float = 2.5
    ) -> str:
        """A call with its result; returns its id."""
        tool_call = self.new_call(name, arguments)
        self.answer(None, tool_call)
        self.finish(tool_call, output, ok=ok, display=display, took=took)
        return tool_call.id

    def new_call(self, name: str, arguments: str) -> ToolCall:
        self._calls += 1
        return call(f"call_{self._calls}", name, arguments)

    def finish(
        self, tool_call: ToolCall, output: str, *, ok: bool = True, display: str | None = None, took: float = 2.5
    ) -> None:
        self.journal.append_running([tool_call])
        self.tell(ToolCallStarted(tool_call.function.name, {}, tool_call.id))
        self.say(tool_message(tool_call, output))
        self.tell(ToolOutput(tool_call.function.name, tool_call.id, output, ok, display, took))

    def undo(self, count: int, turns: int = 1) -> None:
        before, self.history = self.history, self.history[:-count]
        self.journal.append_context(before, self.history, "undo")
        self.tell(UndoComplete(removed_messages=count, removed_turns=turns, restored_files=("train.py",)))

    def compact(self, summary: str) -> None:
        before = self.history
        self.history = [user_message(summary, "summary"), *before[-1:]]
        self.tell(ToolLog("system", "The conversation is being shortened to make room."), llm_call(0.01, "compaction"))
        self.journal.append_context(before, self.history, "compaction")
        self.tell(Compacted(90_000, 12_000, len(before) - 1))

    def close(self) -> Timeline:
        self.journal.close()
        return read_timeline(self.journal.path)


def rich_session(state_dir: Path) -> tuple[Timeline, list[Timeline]]:
    """The session and its sub-agent's."""
    keeper = Keeper(state_dir)
    keeper.journal.append("title", {"title": "Why does SFT of Qwen diverge?", "by": "person"})
    _first_turn(keeper)
    _turn_taken_back(keeper)
    _turn_on_the_hub(keeper)
    _turn_that_fails(keeper)
    return keeper.close(), [research(state_dir)]


def _first_turn(keeper: Keeper) -> None:
    keeper.ask("My SFT run of Qwen3-0.6B diverges after 200 steps.\nFind out why and fix train.py.")
    plan = keeper.new_call("plan_tool", '{"todos": []}')
    keeper.answer("I look at the script first.", plan, reasoning_content="The person has a *divergence*. Probably lr.")
    keeper.tell(
        PlanUpdate(
            (
                PlanItem("1", "Read train.py", "completed"),
                PlanItem("2", "Find the cause", "in_progress"),
                PlanItem("3", "Run it again", "pending"),
            )
        )
    )
    keeper.finish(plan, "Plan updated", took=0.0)
    keeper.run("read", '{"path": "train.py", "limit": 200}', "import torch\nlr = 1e-2\n", took=0.1)
    one = keeper.new_call("bash", '{"command": "python train.py --steps 20\\necho done", "timeout": 120}')
    two = keeper.new_call("bash", '{"command": "nvidia-smi"}')
    keeper.answer("Both at once.", one, two)
    keeper.finish(one, "step 1 loss 2.1\nstep 2 loss nan\n[exit code 1]", ok=False, took=65.0)
    keeper.finish(two, "Tesla T4, 15 GB", took=0.4)
    asked = keeper.new_call("research", '{"task": "Which learning rates do people use for SFT of small models?"}')
    keeper.answer("I ask somebody to look it up.", asked, cost=None)
    keeper.tell(ToolLog("research", "▸ hf_papers", asked.id, "research: rates"))
    keeper.finish(asked, "Between 1e-5 and 5e-5 in most papers.", took=41.0)
    keeper.run(
        "edit",
        '{"path": "train.py", "old_string": "lr = 1e-2", "new_string": "lr = 2e-5"}',
        "Edited train.py: 1 place changed.",
        display=DIFF,
        took=0.1,
    )
    keeper.say(user_message("please keep the seed fixed", "steering"))
    keeper.answer(ANSWER)
    keeper.tell(TurnComplete(20, ANSWER), Feedback("up", comment="spot on"))


def _turn_taken_back(keeper: Keeper) -> None:
    keeper.ask("Rewrite everything in JAX")
    keeper.run("write", '{"path": "train_jax.py", "content": "import jax\\n"}', "Created train_jax.py")
    keeper.answer("Rewritten in JAX.")
    keeper.tell(TurnComplete(24, "Rewritten in JAX."))
    keeper.undo(4)


def _turn_on_the_hub(keeper: Keeper) -> None:
    keeper.compact("The person trains Qwen3-0.6B. The rate is now 2e-5.\n\n- seed 42")
    keeper.ask("Train it on a GPU job and push the model")
    job = keeper.new_call("hf_jobs", '{"operation": "run", "script": "train.py", "hardware_flavor": "a10g-large"}')
    rm = keeper.new_call("bash", '{"command": "rm -rf ~/.cache/huggingface"}')
    keeper.answer("I start the job and clear the cache.", job, rm)
    keeper.tell(
        ApprovalRequired(
            (
                ApprovalItem("hf_jobs", {}, job.id, "costs up to $3.00"),
                ApprovalItem("bash", {}, rm.id, "removes files outside of the workspace"),
            ),
            2,
        ),
        ToolStateChange(job.id, "hf_jobs", "approved"),
        ToolStateChange(rm.id, "bash", "rejected"),
        HfJobSubmit(
            "68f0c1", "https://huggingface.co/jobs/me/68f0c1", "a10g-large", "7200s", "uv", "uv:latest", "me", True
        ),
    )
    keeper.finish(job, "Job 68f0c1 is running.", took=12.0)
    keeper.finish(rm, "The person did not allow this call.", ok=False, display="rejected: keep my cache", took=0.0)
    keeper.tell(
        SandboxCreate("me/sandbox-1", "cpu-basic", 31.0),
        HfJobComplete("68f0c1", "a10g-large", "COMPLETED", 1850.0, 1850.0, 1.5, 0.77, "runtime_price_catalog"),
        ToolCharge("hf_jobs", job.id, 0.77, 0.77, True),
        SandboxDestroy("me/sandbox-1", "cpu-basic", 600.0, None),
    )
    keeper.answer("The model is on the Hub.")
    keeper.tell(TurnComplete(9, "x"), SettingsChanged("openai/gpt-5", False, "high", ("model_name",), "ask"))


def _turn_that_fails(keeper: Keeper) -> None:
    keeper.ask("And now evaluate it on MMLU")
    keeper.answer(None, keeper.new_call("bash", '{"command": "lm_eval --tasks mmlu"}'))
    keeper.tell(Interrupted())
    keeper.ask("go on")
    keeper.tell(ErrorRaised("The provider refused the key. Check ANTHROPIC_API_KEY.", "auth"))


def research(state_dir: Path) -> Timeline:
    """What the sub-agent did that the fourth call of the first turn has asked."""
    keeper = Keeper(state_dir, "call_5", id="rich/call_5", parent="rich", agent="research")
    keeper.ask("Which learning rates do people use for SFT of small models?")
    keeper.run("hf_papers", '{"operation": "search", "query": "sft learning rate"}', "2305.18290", took=3.0)
    keeper.answer("# Findings\nBetween 1e-5 and 5e-5.")
    return keeper.close()


def short_session(state_dir: Path, *turns: tuple[str, str], session_id: str = "short") -> Timeline:
    """A session with a prompt and an answer in each turn."""
    keeper = Keeper(state_dir, session_id)
    for prompt, answer in turns:
        keeper.ask(prompt)
        keeper.answer(answer)
    return keeper.close()


def long_session(state_dir: Path, prompts: Sequence[str], output: str) -> Timeline:
    """A session with a call in each turn that prints `output`."""
    keeper = Keeper(state_dir, "long")
    for prompt in prompts:
        keeper.ask(prompt)
        keeper.run("bash", '{"command": "ls"}', output)
        keeper.answer("Done.")
    return keeper.close()
