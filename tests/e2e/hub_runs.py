"""The installed command over a fake Hub: its environment, what a scripted model asks for, and what is on disk after.

env = at_hub(env, hub)
done = run_headless([*model(tmp_path, job(SCRIPT), {"text": "Done."}), "--no-budget", "-p", "go"], env=env)
assert_nothing_left(env, hub)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.compute.leases import Lease, LeaseStore
from tests.e2e.harness import Finished, run_headless
from tests.fakes.hub import FakeHub
from tests.fakes.hub_jobs import Job, Step, line, stage

SCRIPT = "print('hello from the script')\n"
PAID = "a10g-large"
PRICE = "$1.50"
CALL = "job_1"
FIRST_JOB = "687fb701029421ae55490001"
"""The id of the first job that the fake Hub is asked for."""


def at_hub(env: Mapping[str, str], hub: FakeHub, **more: str) -> dict[str, str]:
    """The environment of a person whose Hub is `hub`."""
    own = {"HF_ENDPOINT": hub.url, "OPENID_PROVIDER_URL": hub.url, "HF_TOKEN": hub.token}
    return {name: value for name, value in env.items() if name != "HF_HUB_OFFLINE"} | own | more


def job(script: str = SCRIPT, *, call_id: str = CALL, **arguments: Any) -> dict[str, Any]:
    """The model runs a job."""
    return hf_jobs("run", call_id=call_id, script=script, **{"hardware_flavor": PAID, "timeout": "2h"} | arguments)


def hf_jobs(operation: str, *, call_id: str = CALL, **arguments: Any) -> dict[str, Any]:
    """The model calls `hf_jobs`."""
    return tool("hf_jobs", call_id=call_id, operation=operation, **arguments)


def tool(name: str, *, call_id: str, **arguments: Any) -> dict[str, Any]:
    """The model calls a tool."""
    return {"tool_calls": [{"id": call_id, "name": name, "arguments": arguments}]}


def model(tmp_path: Path, *answers: dict[str, Any]) -> list[str]:
    """The arguments that name a model with these answers."""
    path = tmp_path / "script.jsonl"
    path.write_text("\n".join(json.dumps(answer) for answer in answers))
    return ["-m", f"replay/{path}"]


class HubClock:
    """The Hub's time. It moves only when the test moves it."""

    def __init__(self, hub: FakeHub) -> None:
        self.time = datetime.now(UTC)
        hub.now = lambda: self.time

    def passes(self, **much: float) -> Step:
        """A step of a job's script that takes so long."""

        def act(_job: Job) -> None:
            self.time += timedelta(**much)

        return Step(act)


def half_an_hour(hub: FakeHub, *lines: str, ending: str = "COMPLETED") -> list[Step]:
    """What a job does that prints `lines` and runs for half an hour of the Hub's time."""
    printed = [line(text) for text in lines]
    return [stage("RUNNING"), *printed, HubClock(hub).passes(minutes=30), stage(ending)]


def output_of(made: Job, tmp_path: Path) -> str:
    """What the command of a job prints where uv is there: a stand-in that runs the script with this Python."""
    programs = tmp_path / "programs"
    programs.mkdir()
    uv = programs / "uv"
    uv.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} "$@"\n')
    uv.chmod(0o755)
    env = {"PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(programs)}
    done = subprocess.run(made.spec["command"], env=env, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


# --- what is left ----------------------------------------------------------------------------------------------------


def store_of(env: Mapping[str, str]) -> LeaseStore:
    """The leases of the person who has this environment."""
    return LeaseStore(Path(env["XDG_STATE_HOME"]) / "ml-intern")


def leases_of(env: Mapping[str, str]) -> list[Lease]:
    """Their leases."""
    return store_of(env).all()


def journal_of(env: Mapping[str, str]) -> list[dict[str, Any]]:
    """All records of the only session that was saved."""
    sessions = Path(env["XDG_STATE_HOME"]) / "ml-intern" / "sessions"
    (path,) = sessions.glob("*/*/*/*.jsonl")
    return [json.loads(record) for record in path.read_bytes().splitlines()]


def events_of(records: Iterable[Mapping[str, Any]], event_type: str) -> list[dict[str, Any]]:
    """The data of a journal's events of one type."""
    events = [record["data"] for record in records if record["kind"] == "event"]
    return [event["data"] for event in events if event["event_type"] == event_type]


def result_of(call_id: str, env: dict[str, str]) -> dict[str, Any]:
    """What came of a call: `output` as the model was told it, and whether it was a `success`."""
    records = journal_of(env)
    (done,) = [data for data in events_of(records, "tool_output") if data["tool_call_id"] == call_id]
    told = [record["data"] for record in records if record["kind"] == "message"]
    (message,) = [each for each in told if each.get("tool_call_id") == call_id]
    return {"output": message["content"], "success": done["success"]}


def listed(env: Mapping[str, str], word: str, *arguments: str) -> Finished:
    """`ml-intern ps` or `ml-intern gc`."""
    return run_headless([word, *arguments], env=env)


def assert_nothing_left(env: Mapping[str, str], hub: FakeHub) -> None:
    """Nothing runs, nothing is remembered of it."""
    assert hub.jobs.running() == []
    assert hub.spaces.of() == []
    assert leases_of(env) == []


def files_with(env: Mapping[str, str], secret: str) -> list[Path]:
    """The files below the person's home that have `secret` in them."""
    everything = (Path(directory, name) for directory, _, names in os.walk(env["HOME"]) for name in names)
    return [path for path in everything if path.is_file() and secret.encode() in path.read_bytes()]


def assert_secret(env: Mapping[str, str], secret: str, *outputs: str) -> None:
    """`secret` is neither in a file nor in what was printed."""
    assert (found := files_with(env, secret)) == [], found
    shown = [shown for text in outputs for shown in text.splitlines() if secret in shown]
    assert shown == [], shown
