"""What the model is told of `hf_jobs`: its description and its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

Place = Literal["hf_jobs", "hf_sandbox", "local"]
PLACES: tuple[Place, ...] = get_args(Place)
DEFAULT_TAIL_LINES = 200

OPERATIONS = {
    "run": "start work and wait for its end",
    "wait": "wait for work of this session: `job_id`, `wait_timeout`, `until`",
    "ps": "what is queued and running (`all`, `status` for more)",
    "logs": "the last lines of output: `job_id`, `tail`",
    "inspect": "everything known of one or several jobs: `job_id`",
    "cancel": "stop work: `job_id`",
    "scheduled run": "run it again and again: like run, with `schedule`",
    "scheduled ps": "the schedules (`all`: suspended ones, too)",
    "scheduled inspect": "everything known of a schedule: `scheduled_job_id`",
    "scheduled delete": "remove a schedule",
    "scheduled suspend": "pause a schedule",
    "scheduled resume": "let a paused schedule go on",
}

DESCRIPTION = """\
Run training and other heavy work on Hugging Face Jobs, which are billed by the second, and look after it.

`run` takes either `script` (Python: code, a URL, or the path of a file; run with uv and `dependencies`) or \
`command` (an argv in a Docker `image`). It waits for the end without using tokens and returns outcome, cost and \
output. With wait=false it returns at once; word of the end, of errors and metrics then comes by itself: do other work \
meanwhile.

Before a run:
- Build on a working, current example, and check that the dataset has the columns and format that you use.
- Try it first: a few steps on a little data, on hardware of the same kind (a sandbox or a cheap job). If you skip \
that, say why.
- The job's disk is gone at its end: save with push_to_hub=True and hub_model_id="user/name", or upload what you make.
- Set `timeout`: 30m is too short for nearly all training. 1-3B takes about 3-4h, 7-13B 6-8h, 30B and more 12-24h.
- Of a sweep start one first; the others when it trains well.
- Metrics: report_to="trackio", with `trackio_space_id` and `trackio_project` (such as user/ml-intern-1a2b3c4d).

Hardware (VRAM, about $/h): cpu-basic 0.01, cpu-upgrade 0.03; t4-small 16G 0.40, l4x1 24G 0.80, a10g-small 24G 1.00, \
a10g-large 24G 1.50, l40sx1 48G 1.80, a100-large 80G 2.50, rtx-pro-6000 96G 2.75, h200 141G 5.00; several GPUs: \
l4x4, l40sx4, a10g-largex2, a100x4, a100x8, h200x2 ... h200x8. 1-3B: a10g-large; 7-13B: a100-large; 30B: a100x4 or h200.

Out of GPU memory: smaller batch with more gradient accumulation (same effective batch), gradient checkpointing, then \
a bigger GPU. Never change the method, the sequence length, the model, the hardware or the backend without asking.

Jobs have HF_TOKEN as a secret; put other keys into `secrets`, never into `env` or the script."""


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _texts(description: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "description": description}


def _object(description: str) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": True, "description": description}


def _flag(description: str) -> dict[str, Any]:
    return {"type": "boolean", "description": description}


_TIME = "30m, 4h, 1d, or seconds"

_PLACES: dict[Place, str] = {
    "hf_jobs": "hf_jobs (default)",
    "hf_sandbox": "a fresh Space",
    "local": "this machine, free",
}


def parameters(places: Sequence[Place] = PLACES) -> dict[str, Any]:
    """The arguments, where runs can be in `places`."""
    said = "; ".join(_PLACES[place] if place == "hf_jobs" else f"{place}: {_PLACES[place]}" for place in places)
    backend = {"type": "string", "enum": list(places), "description": f"Where run runs: {said}."}
    return {**_PARAMETERS, "properties": {**_PARAMETERS["properties"], "backend": backend}}


_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["operation"],
    "properties": {
        "operation": {
            "type": "string",
            "enum": list(OPERATIONS),
            "description": "; ".join(f"{name}: {what}" for name, what in OPERATIONS.items()),
        },
        "script": _text(
            "Python: code, a URL, or the path of a file where the file tools work. Not together with command."
        ),
        "dependencies": _texts('Packages for the script, such as "trl>=0.20", "trackio".'),
        "python": _text("Python version for the script, such as 3.11."),
        "script_args": _texts("Arguments of the script."),
        "command": _texts('Words of a command for a Docker image, such as ["python", "-c", "print(1)"].'),
        "image": _text("Docker image, or the address of a Space. Default: uv's image, for a command python:3.12."),
        "hardware_flavor": _text("Default cpu-basic."),
        "timeout": _text(f"Time limit: {_TIME}. Default 30m; what is not saved by then is lost."),
        "backend": {},
        "wait": _flag("For run: wait for the end (default true), or false: return a handle at once."),
        "env": _object("Environment variables; visible to whoever sees the job."),
        "secrets": _object(
            "Variables with keys and passwords; only the work sees them. A job always has HF_TOKEN; elsewhere "
            'give {"HF_TOKEN": "$HF_TOKEN"} if it is needed.'
        ),
        "trackio_space_id": _text("Space of the metrics dashboard; it is made if need be."),
        "trackio_project": _text("Its project; the script must use the same one."),
        "namespace": _text("User or organisation that pays. Default: the person's own."),
        "job_id": _text("For wait, logs, inspect, cancel: the id that run or ps shows; several for inspect: a,b."),
        "wait_timeout": _text(f"For wait: give up waiting after this time: {_TIME}. The work goes on."),
        "until": _text(
            "For wait: return as soon as a new line of output matches: words (loss|Error) or a simple regex."
        ),
        "tail": {"type": "integer", "description": f"For logs: how many lines. Default {DEFAULT_TAIL_LINES}."},
        "all": _flag("For ps: what is over, too; for scheduled ps: what is suspended, too."),
        "status": _text("For ps: only jobs in this stage: SCHEDULING, RUNNING, COMPLETED, ERROR, CANCELED."),
        "schedule": _text("For scheduled run: @hourly, @daily, @weekly, @monthly, or a cron line (UTC)."),
        "scheduled_job_id": _text("For the other scheduled operations."),
    },
}


def usage() -> str:
    """All operations, one a line."""
    return "\n".join(["`operation` says what to do:", *(f"- {name}: {what}" for name, what in OPERATIONS.items())])
