"""What is in the README's pictures: files, recorded answers, and what the person types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.terminal import Terminal
from tests.fakes.hub import FakeHub
from tests.fakes.hub_job import Job
from tests.screenshots.library import DATASET, DPO, EXAMPLE, IN_EXAMPLE, IN_PAPER, REPO, library

Answer = dict[str, Any]

PRICED = {"price": {"input_usd_per_million": 3, "output_usd_per_million": 15}, "window": 200_000}
RULES = {"permissions": {"allow": ["bash(python3 train.py *)"]}}

TRAIN = '''\
"""Fine-tune a small network on the training split."""
import argparse
import time

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--lr", type=float, default=0.1)
options = parser.parse_args()

print(f"device cpu, lr {options.lr}, 10,000 training images, 2,000 for validation", flush=True)
for epoch in range(1, options.epochs + 1):
    if epoch == 4:
        time.sleep(600)  # the picture is taken now
    print(f"epoch {epoch}/{options.epochs}  loss {1.9 / epoch + 0.2:.3f}  accuracy {1 - 0.55 / epoch:.3f}", flush=True)
'''
LOG = """\
step 100 loss 2.301 grad 1.1
step 200 loss 1.874 grad 1.6
step 300 loss 1.902 grad 9.8
step 400 loss nan grad nan
"""
FILES = {
    "train.py": TRAIN,
    "train.log": LOG,
    "evaluate.py": "print('accuracy 0.812')\n",
    "data/labels.csv": "image,label\n",
    "configs/base.yaml": "lr: 0.1\n",
}


@dataclass(frozen=True)
class Scene:
    """One picture. `act` does what the person does, and returns when the screen shows what is to be seen."""

    name: str
    act: Callable[[Terminal], None]
    answers: tuple[Answer, ...] = ()
    model: str = "replay/answers"
    args: tuple[str, ...] = ()
    rows: int = 30
    is_light: bool = False
    hub: Callable[[FakeHub], None] | None = None
    """What the Hub is like that it plays at; None: there is none."""
    sites: Callable[[], AbstractContextManager[Mapping[str, str]]] = nullcontext[Mapping[str, str]]
    """Makes what else there is on the web, and gives the variables that lead there."""
    files: Mapping[str, str] = field(default_factory=lambda: FILES)


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def says(text: str, *calls: dict[str, Any], tokens: int = 6_000) -> Answer:
    """An answer, with the tool calls at its end."""
    used = {"prompt_tokens": tokens, "completion_tokens": 40 + len(text) // 4}
    return {"text": text, "tool_calls": list(calls), "usage": used}


def ask(terminal: Terminal, text: str) -> None:
    terminal.send(text).key("enter")


# --- an answer, and a tool that is running ---------------------------------------------------------------------------

DIAGNOSIS = """\
The loss turns to `nan` at **step 400**, and the gradients say why: their norm grows from 1.1 to 9.8 before it.

| step | loss | gradient norm |
|---:|---:|---:|
| 100 | 2.301 | 1.1 |
| 300 | 1.902 | 9.8 |
| 400 | nan | nan |

1. Lower the learning rate from 0.1 to 0.01.
2. Clip the gradients at 1.0 if that is not enough.
"""


def _answer(terminal: Terminal) -> None:
    ask(terminal, "Why does the loss in @train.log diverge?")
    terminal.wait_for("if that is not enough")
    ask(terminal, "Try the lower rate for 8 epochs.")
    terminal.wait_for("epoch 3/8")


ANSWER = Scene(
    "answer",
    _answer,
    (
        says("I look at the log first.", call("read", path="train.log")),
        says(DIAGNOSIS, tokens=6_400),
        says(
            "I run it with the lower rate.",
            call("bash", command="python3 train.py --epochs 8 --lr 0.01", description="Train with a lower rate"),
            tokens=6_900,
        ),
    ),
    rows=40,
)

# --- a question: may this file be changed? ---------------------------------------------------------------------------


def _approval(terminal: Terminal) -> None:
    ask(terminal, "Make 0.01 the default learning rate, and clip the gradients.")
    terminal.wait_for(r"\[y\]es / \[n\]o")


APPROVAL = Scene(
    "approval",
    _approval,
    (
        says("I read the script.", call("read", path="train.py")),
        says(
            "Both are options of the script, so that a run can still choose others.",
            call(
                "edit",
                path="train.py",
                old_str='parser.add_argument("--lr", type=float, default=0.1)',
                new_str='parser.add_argument("--lr", type=float, default=0.01)\n'
                'parser.add_argument("--clip", type=float, default=1.0, help="largest gradient norm")',
            ),
            tokens=6_500,
        ),
    ),
)

# --- a plan to be accepted -------------------------------------------------------------------------------------------

PROPOSAL = """\
1. Split `data/labels.csv` once, seed 7: 10,000 for training, 2,000 for validation.
2. Train ranks 8 and 16 for 3 epochs each, everything else equal, on this machine (about 20 min).
3. Compare the accuracy on the validation split with the baseline of 0.812.

Stop early if the loss of a run does not fall in its first epoch.
"""


def _plan(terminal: Terminal) -> None:
    ask(terminal, "/plan Compare LoRA rank 8 with rank 16.")
    terminal.wait_for(r"\[y\]es / \[n\]o")


PLAN = Scene(
    "plan",
    _plan,
    (
        says(
            "I look at what is there.",
            call("bash", command="ls data configs", description="List the data"),
            call(
                "plan_tool",
                todos=[
                    {"id": "1", "content": "Look at the data and the baseline", "status": "completed"},
                    {"id": "2", "content": "Agree on a plan", "status": "in_progress"},
                    {"id": "3", "content": "Train rank 8 and rank 16", "status": "pending"},
                    {"id": "4", "content": "Compare both with the baseline", "status": "pending"},
                ],
            ),
        ),
        says("", call("propose_plan", plan=PROPOSAL), tokens=7_100),
    ),
    rows=38,
)

# --- what can be typed -----------------------------------------------------------------------------------------------


def _completion(terminal: Terminal) -> None:
    ask(terminal, "!tail -n 2 train.log")
    terminal.wait_for("loss nan")
    terminal.send("/re")
    terminal.wait_for("/rewind")


COMPLETION = Scene("completion", _completion, (says("Fine."),), rows=24)


def _context(terminal: Terminal) -> None:
    ask(terminal, "What does train.py do?")
    terminal.wait_for("It prints one line")
    ask(terminal, "/context")
    terminal.wait_for("Memory:")


CONTEXT = Scene(
    "context",
    _context,
    (
        says("", call("read", path="train.py")),
        says("It trains for `--epochs` rounds with rate `--lr`. It prints one line for each.", tokens=6_300),
    ),
)

# --- the demonstration, on light ground ------------------------------------------------------------------------------


def _light(terminal: Terminal) -> None:
    ask(terminal, "train a small classifier")
    terminal.wait_for("come from the run above", timeout_s=60)
    terminal.wait_for(r"(?m)^> $")


LIGHT_DEMO = Scene(
    "light", _light, model="replay/demo", args=("--mode", "yolo", "--theme", "light"), rows=44, is_light=True, files={}
)

# --- a job on the Hub ------------------------------------------------------------------------------------------------

SFT = """\
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

data = load_dataset("trl-lib/Capybara", split="train")
config = SFTConfig(push_to_hub=True, hub_model_id="ada/capybara-sft", report_to="trackio")
SFTTrainer("Qwen/Qwen3-0.6B", args=config, train_dataset=data).train()
"""
SFT_FILES = {"sft.py": SFT}
SUBMIT = says(
    "The smoke test ran through. Now the whole training, which takes about 80 minutes on an A10G.",
    call(
        "hf_jobs",
        operation="run",
        script="sft.py",
        dependencies=["trl>=0.20", "trackio"],
        hardware_flavor="a10g-large",
        timeout="2h",
    ),
)


def _at_work(hub: FakeHub) -> None:
    """Jobs begin at once, print a few lines and go on for ever."""

    def begin(job: Job) -> None:
        job.start()
        for step in range(1, 7):
            job.print(f"{{'loss': {1.9 / step + 0.2:.4f}, 'learning_rate': 2e-05, 'epoch': {step / 50:.2f}}}")

    hub.jobs.on_submit = begin


def _job_approval(terminal: Terminal) -> None:
    ask(terminal, "Fine-tune Qwen3 on Capybara, as a job.")
    terminal.wait_for(r"\[y\]es / \[n\]o")


def _job_running(terminal: Terminal) -> None:
    _job_approval(terminal)
    ask(terminal, "y")
    terminal.wait_for("'epoch': 0.12")


JOB_APPROVAL = Scene("job-approval", _job_approval, (SUBMIT,), hub=_at_work, files=SFT_FILES, rows=34)
JOB_RUNNING = Scene("job-running", _job_running, (SUBMIT,), hub=_at_work, files=SFT_FILES, rows=24)

# --- reading, and two sub-agents at work -----------------------------------------------------------------------------

BETA, RECIPE = "Which beta does DPO need", "How is DPO run with TRL"


def _research(terminal: Terminal) -> None:
    ask(terminal, f"I want to align my model with {DATASET}. How is that done today?")
    terminal.wait_for(r"(?s)research: .*\(2 tool uses.*research: .*\(1 tool use ")


def _goes_on(when: str, *calls: dict[str, Any]) -> Answer:
    """A sub-agent's answer to what it has read last. Without calls it is being waited for in the picture."""
    return says("", *calls, tokens=5_200) | {"when": when} | ({} if calls else {"delay_s": 600})


RESEARCH = Scene(
    "research",
    _research,
    (
        says(
            "I look at the data and at what there is on the method.",
            call("hf_inspect_dataset", dataset=DATASET),
        ),
        # one after the other: those of one reply would come in the order in which they end
        says("", call("hf_papers", operation="search", query="direct preference optimization", min_citations=500)),
        says("", call("github_find_examples", org="huggingface", repo="trl", keyword="dpo")),
        says(
            "The columns fit DPO. Two questions are open, and do not depend on each other.",
            call("research", task=f"{BETA}, and how was it chosen?"),
            call("research", task=f"{RECIPE}: script and learning rate?"),
            tokens=9_800,
        ),
        _goes_on(
            BETA,
            call("hf_papers", operation="read_paper", arxiv_id=DPO),
            call("hf_papers", operation="read_paper", arxiv_id=DPO, section="6"),
        ),
        _goes_on(RECIPE, call("github_read_file", repo=REPO, path=EXAMPLE)),
        _goes_on(IN_PAPER),
        _goes_on(f"import DPOConfig, {IN_EXAMPLE}"),
    ),
    sites=library,
    rows=26,
)

SCENES = (ANSWER, APPROVAL, PLAN, COMPLETION, CONTEXT, LIGHT_DEMO, JOB_APPROVAL, JOB_RUNNING, RESEARCH)
