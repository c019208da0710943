"""What the snapshots show: a scene for every event, and for what several of them make together."""

from __future__ import annotations

from agent.protocol import events as e

MARKDOWN = """\
# Results

The **best** run is `lora-8` with a loss of *0.41*, see [the log](https://example.org/log). 训练完成了 🎉

1. Load the data
2. Train:
   - epochs: 3
   - batch: 16

| model | loss | note |
|---|---:|---|
| base | 1.203 | before |
| lora-8 | 0.410 | 三轮之后 |

> Keep the seed.

```python
def loss(x):

    return x.mean()  # one number
```

---
Done.
"""
DIFF = (
    "--- a/train.py\n+++ b/train.py\n@@ -1,4 +1,4 @@\n import torch\n-lr = 1e-3\n+lr = 3e-4\n epochs = 3\n seed = 0\n"
)
LONG_DIFF = "--- a/x\n+++ b/x\n@@ -1,70 +1,70 @@\n" + "".join(f"+line {n}\n" for n in range(70))
PLAN = (
    e.PlanItem("1", "Load the data", "completed"),
    e.PlanItem("2", "Train the model for three epochs", "in_progress"),
    e.PlanItem("3", "Report", "pending"),
)
LONG_COMMAND = "python train.py --model Qwen/Qwen3-0.6B --dataset stanfordnlp/imdb --epochs 3 --push-to-hub me/model"
ASKED = e.ApprovalItem("bash", {"command": "rm -r out"}, "a", reason="deletes files", always_rule="bash(rm:*)")


def started(call_id: str = "1", command: str = LONG_COMMAND) -> e.ToolCallStarted:
    return e.ToolCallStarted("bash", {"command": command}, call_id)


def log(agent: str, text: str, label: str = "Find a recipe") -> e.ToolLog:
    return e.ToolLog("research", text, agent, label)


JOB_URL = "https://hf.co/jobs/me/65f0"
RESEARCH = e.ToolCallStarted("research", {"task": "Find a recipe"}, "r")
AGENT = (
    e.Processing(),
    RESEARCH,
    log("r", "Starting"),
    *(log("r", f"▸ papers  query {n}") for n in range(5)),
    log("r", "tools:5"),
    log("r", "tokens:12345"),
)
AGENTS = (e.Processing(), RESEARCH, log("r-1", "tools:2"), log("r-2", "tokens:nonsense", "Check the licence"))

CUT = (
    "step 1\n\nstep 2\nerror: step 3 [/x]\nstep 4\nstep 5\n[98,765 bytes, 4,321 lines in all: /home/me/.local/state/"
    "ml-intern/outputs/2026-11-21/a-long-name-of-a-file-with-all-of-it.txt]"
)

EVENTS: dict[type[e.Payload], tuple[e.Payload, ...]] = {
    e.Ready: (e.Ready("15 tools ready", 15, "s1", "m"),),
    e.Shutdown: (e.Processing(), e.Interrupted(), e.Shutdown()),
    e.SessionTerminated: (e.Processing(), e.SessionTerminated("context", "The window of the model is full.")),
    e.ResumedFrom: (e.ResumedFrom("/s/1.jsonl", "s0", 12, True),),
    e.Processing: (e.Processing(),),
    e.AssistantChunk: (e.Processing(), e.AssistantChunk("Whole.\n\nNot yet **whole")),
    e.AssistantMessage: (e.Processing(), e.AssistantMessage("One.\n\nTwo.")),
    e.AssistantStreamEnd: (e.Processing(), e.AssistantChunk("One.\n\nTw"), e.AssistantStreamEnd()),
    e.LLMCall: (e.Processing(), e.LLMCall("m", "main", 900, "stop", 0.01, True)),
    e.Steered: (e.Processing(), e.AssistantChunk("I look"), e.Steered("also the tests\nplease")),
    e.ToolCallStarted: (e.Processing(), e.AssistantChunk("I train."), started()),
    e.ToolOutput: (
        e.Processing(),
        started(),
        e.ToolOutput("bash", "1", "\n".join(f"epoch {n}: loss {1 / (n + 1):.3f}" for n in range(9)), True, None, 12.3),
        started("2", "make test"),
        e.ToolOutput("bash", "2", "error: no rule\n  at line 3\n[exit code 2]", False, None, 0.4),
        e.ToolCallStarted("edit", {"path": "train.py"}, "3"),
        e.ToolOutput("edit", "3", "ok", True, DIFF, 0.1),
        e.ToolCallStarted("plan_tool", {"todos": [1]}, "4"),
        e.ToolOutput("plan_tool", "4", "ok", True),
    ),
    e.ToolLog: (
        e.Processing(),
        e.ToolLog("hf_jobs", "queued"),
        e.ToolLog("system", "The model is busy: 2nd try in 4 s"),
    ),
    e.ToolProgress: (
        e.Processing(),
        started(),
        e.ToolProgress("bash", "1", "\n".join(f"step {n} of 100 [/x]" for n in range(40))),
        e.ToolCallStarted("hub", {"repo": "org/model"}, "2"),
        e.ToolProgress("hub", "2", done=1.2e9, total=3e9, unit="bytes", label="model.safetensors"),
        e.ToolCallStarted("hub", {"repo": "org/data"}, "3"),
        e.ToolProgress("hub", "3", done=12, unit="files"),
    ),
    e.ToolStateChange: (
        e.Processing(),
        e.ToolCallStarted("hf_jobs", {"operation": "run", "script": "train.py", "timeout": "2h"}, "5"),
        *(e.ToolStateChange("5", "hf_jobs", state, jobUrl=JOB_URL) for state in ("queued", "running", "completed")),
    ),
    e.ApprovalRequired: (e.Processing(), e.AssistantChunk("May I?"), e.ApprovalRequired((ASKED,), 1)),
    e.PlanUpdate: (e.Processing(), e.PlanUpdate(PLAN)),
    e.TurnComplete: (
        e.Processing(),
        e.AssistantMessage("Done."),
        e.TurnComplete(2, "Done."),
        e.BudgetStatus(5.0, 0.0, 0.0, 5.0),
        e.TurnComplete(2, None, "budget"),
    ),
    e.Interrupted: (
        e.Processing(),
        e.AssistantChunk("I tr"),
        started(),
        started("2", "sleep 100"),
        e.ToolStateChange("1", "bash", "cancelled"),
        e.ToolOutput("bash", "1", "step 1\n[stopped]", False, None, 12.0),
        e.Interrupted(),
        e.ToolOutput("bash", "2", "late", True),
    ),
    e.ErrorRaised: (e.Processing(), e.ErrorRaised("No key for [/x].\nSet ANTHROPIC_API_KEY.", "auth")),
    e.Compacted: (e.Compacted(171_000, 62_000, 48), e.Compacted(500, 500)),
    e.UndoComplete: (e.UndoComplete(4, 1, "do", ("a.py",), ("mine.py",), "files over 2 MiB"), e.UndoComplete()),
    e.NewComplete: (e.NewComplete("s2", "s1", 1, 2, "/home/me/.local/state/ml-intern/sessions/s1.jsonl", False),),
    e.ResumeComplete: (
        e.ResumeComplete(
            "/s/1.jsonl", 12, 1, "m", None, False, False, title="Train", cost_usd=0.5, unfinished=("bash",), cwd="/x"
        ),
        e.ResumeComplete(
            *("/s/2.jsonl", 2, 0, "m", None, False, False),
            last_prompt="Train a classifier of reviews\nwith LoRA\non one GPU\nand report",
            last_answer="I did **this**:\n\n" + "".join(f"{n}. step\n" for n in range(1, 20)),
        ),
    ),
    e.Renamed: (e.Renamed("Train [/x] a classifier"),),
    e.BudgetStatus: (e.BudgetStatus(1.0, 0.0, 0.0, 5.0),),
    e.ToolCharge: (e.ToolCharge("hf_jobs", "1", 0.5, 0.5, True),),
    e.SettingsChanged: (
        e.SettingsChanged("m", False, "high", ("model_name",)),
        e.SettingsChanged("m", False, None, ("mode",), "plan"),
    ),
    e.ContextReport: (e.ContextReport(200_000, 180_000, 50_000, 3_000, 9_000, 38_000, 12),),
    e.WorkspaceDiff: (e.WorkspaceDiff(DIFF),),
    e.WorkStatus: (
        e.WorkStatus((e.WorkItem("a1", "job", "train.py", "hf_jobs", "68f", "t4-small", "running", False, "", 0.4),)),
    ),
    e.DesktopNotice: (e.DesktopNotice("Approval needed", "1 call waits for your answer: bash"),),
    e.CommandRun: (
        started("shell_1", "ls"),
        e.ToolOutput("bash", "shell_1", "a\nb\n", True, None, 0.1),
        e.CommandRun("ls", "a\nb\n", True),
        started("shell_2", "python train.py"),
    ),
    e.HfJobSubmit: (e.HfJobSubmit("j", "u", "a10g-small", "2h", "uv", "i", "me", True),),
    e.HfJobComplete: (e.HfJobComplete("j", "a10g-small", "completed", 9.0, 9.0, 1.0, 0.1, "x"),),
    e.SandboxCreate: (e.SandboxCreate("s", "cpu-basic", 3.0),),
    e.SandboxDestroy: (e.SandboxDestroy("s", "cpu-basic", 30.0, None),),
    e.Feedback: (e.Feedback("up"),),
}
"""What is played to show an event; the last one of its kind is (nearly) the last of all."""

TOGETHER: dict[str, tuple[e.Payload, ...]] = {
    "together_markdown": (e.Processing(), e.AssistantMessage(MARKDOWN)),
    "together_markdown_coming": (e.Processing(), e.AssistantChunk(MARKDOWN[: MARKDOWN.index("before |")])),
    "together_code_coming": (e.Processing(), e.AssistantChunk("Text.\n\n```python\n" + "x = 1  # one\n" * 70)),
    "together_many_calls": (e.Processing(), *(started(str(n), f"sleep {n}") for n in range(7))),
    "together_agent": AGENT,
    "together_agent_done": (*AGENT, e.ToolOutput("research", "r", "A long answer.", True, None, 9.0)),
    "together_agents": AGENTS,
    "together_agents_done": (*AGENTS, e.ToolOutput("research", "r", "A long answer.", True, None, 9.0)),
    "together_agents_stopped": (*AGENTS, e.Interrupted()),
    "together_plans": (
        e.ToolCallStarted("propose_plan", {"plan": "# Plan"}, "p"),
        e.ToolOutput("propose_plan", "p", "This call was not approved.", False, "rejected: cheaper, please"),
        e.ToolCallStarted("propose_plan", {"plan": "# Plan"}, "q"),
        e.ToolOutput("propose_plan", "q", "The person has accepted it.", True, "accepted"),
    ),
    "together_cut_output": (
        started("1", "make"),
        e.ToolOutput("bash", "1", "x\n" * 900, True, CUT, 9.0),
        started("2", "make all"),
        e.ToolOutput("bash", "2", "x\n" * 900, False, f"{CUT}\n[exit code 2]", 9.0),
    ),
    "together_long_diff": (e.ToolOutput("edit", "1", "ok", True, LONG_DIFF, 0.1),),
    "together_after_approval": (
        *(e.Processing(), e.ApprovalRequired((ASKED,), 1), e.ToolStateChange("a", "bash", "approved")),
        *(e.Processing(), e.ToolStateChange("a", "bash", "running")),
    ),
}
