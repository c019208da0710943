from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.cli.status import Status
from agent.cli.status_facts import GitBranch, StatusCommand, facts
from agent.protocol import events as e
from agent.ui.status_line import StatusFacts, status_fragments

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_facts_are_those_of_the_session() -> None:
    status = Status(steering=["also this"])
    for payload in (
        e.Ready("", 3, "s1", "m"),
        e.SettingsChanged("m", True, "low", mode="yolo"),
        e.LLMCall("m", "main", 1, "stop", None, False, prompt_tokens=500, charged_usd=0.5),
        e.LLMCall("m", "main", 1, "stop", 0.25, True, prompt_tokens=600),
        e.BudgetStatus(0.75, 0.5, 0.0, 2.0, elsewhere_usd=1.0),
        e.Renamed("A title"),
    ):
        status.see(e.Event(payload))
    assert facts(status, window_tokens=1000, queued=1, git_branch="main") == StatusFacts(
        model="m",
        effort="low",
        mode="yolo",
        context_used=0.6,
        cost_usd=0.25,
        cost_known=False,
        unknown_usd=0.5,
        cap_usd=2.0,
        spent_usd=1.75,
        per_hour_usd=0,
        queued=2,
        git_branch="main",
        title="A title",
    )
    assert facts(status).context_used is None
    assert facts(status, window_tokens=100).context_used == 1.0


# --- git -------------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def put(path: Path, text: str) -> None:
    """As git does it: a new file in place of the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.lock")
    new.write_text(text)
    new.replace(path)


async def branch_of(workspace: Path) -> str | None:
    branch = GitBranch(workspace)
    await branch.refresh()
    return branch.name


async def test_the_branch_of_a_repository_and_of_a_directory_inside(tmp_path: Path) -> None:
    put(tmp_path / ".git/HEAD", "ref: refs/heads/feature/x\n")
    (tmp_path / "a/b").mkdir(parents=True)
    assert await branch_of(tmp_path) == "feature/x"
    assert await branch_of(tmp_path / "a/b") == "feature/x"


@pytest.mark.parametrize("link", ["{real}", "../real"])
async def test_a_worktree_has_its_own_head(tmp_path: Path, link: str) -> None:
    put(tmp_path / "real/HEAD", "ref: refs/heads/side\n")
    put(tmp_path / "tree/.git", f"gitdir: {link.format(real=tmp_path / 'real')}\n")
    assert await branch_of(tmp_path / "tree") == "side"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (f"{COMMIT}\n", "0123456"),
        ("ref: refs/remotes/origin/x\n", "remotes/origin/x"),
        ("ref: refs/heads/.invalid\n", None),
        ("rubbish", None),
        ("", None),
    ],
)
async def test_other_heads(tmp_path: Path, head: str, name: str | None) -> None:
    put(tmp_path / ".git/HEAD", head)
    assert await branch_of(tmp_path) == name


async def test_no_repository_and_broken_ones(tmp_path: Path) -> None:
    assert await branch_of(tmp_path) is None
    put(tmp_path / ".git", "gitdir: nowhere")
    assert await branch_of(tmp_path) is None
    put(tmp_path / ".git", "\x00\xff")
    assert await branch_of(tmp_path) is None


async def test_it_looks_again_after_two_seconds(tmp_path: Path) -> None:
    clock = Clock()
    branch = GitBranch(tmp_path, clock)
    put(tmp_path / ".git/HEAD", "ref: refs/heads/one\n")
    assert await branch.refresh()
    put(tmp_path / ".git/HEAD", "ref: refs/heads/two\n")
    clock.now = 1.9
    assert not await branch.refresh()
    assert branch.name == "one"
    clock.now = 2.0
    assert await branch.refresh()
    assert branch.name == "two"
    clock.now = 4.0
    assert not await branch.refresh()


# --- the person's command ---------------------------------------------------------------------------------------------

FACTS = StatusFacts("m", mode="plan", title="漢字")
OWN = status_fragments(FACTS, 80)


class Watched:
    """A command, and an event for each change of what it shows."""

    def __init__(self, text: str, cwd: Path, **options: Any) -> None:
        self.changed = asyncio.Event()
        self.clock = Clock()
        self.told: list[str] = []
        environ = dict(os.environ) | options.pop("environ", {})
        timeout_s = options.get("timeout_s", 60)
        self.command = StatusCommand(
            text,
            environ,
            cwd,
            on_change=self.changed.set,
            on_problem=self.told.append,
            clock=self.clock,
            timeout_s=timeout_s,
        )

    async def shown(self, width: int = 80) -> str:
        await self.changed.wait()
        self.changed.clear()
        return "".join(text for _, text in self.command.fragments(FACTS, width))


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


async def test_the_first_line_of_its_output_is_shown(tmp_path: Path) -> None:
    watched = Watched("printf 'a \\033[31mred\\033[0m\\tline\\nmore\\n'; pwd", tmp_path)
    assert watched.command.fragments(FACTS, 80) == OWN
    watched.command.update(FACTS)
    assert await watched.shown() == "a red line"
    assert watched.command.fragments(FACTS, 4) == [("class:status.custom", "a r…")]
    await watched.command.close()


async def test_it_gets_the_facts_and_no_secrets(tmp_path: Path) -> None:
    code = (
        "import json, os, sys; d = json.load(sys.stdin); "
        "print(json.dumps([d['mode'], d['title'], d['cwd'], os.environ.get('HF_TOKEN'), os.environ.get('PLAIN')]))"
    )
    watched = Watched(python(code), tmp_path, environ={"HF_TOKEN": "hf_secret123", "PLAIN": "x"})
    watched.command.update(FACTS)
    assert json.loads(await watched.shown(400)) == ["plan", "漢字", str(tmp_path), None, "x"]


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("echo x; exit 3", "exit code 3"),
        ("true", "it printed nothing"),
        ("definitely-not-a-command", "exit code 127"),
        ("printf '\\033[2J\\n'", "it printed nothing"),
    ],
)
async def test_a_command_that_fails_leaves_our_own_line_with_a_mark(tmp_path: Path, command: str, problem: str) -> None:
    watched = Watched(command, tmp_path)
    watched.command.update(FACTS)
    assert await watched.shown() == "plan · m · $0.00 · 漢字 !cmd"
    assert watched.command.problem == problem
    assert watched.told == [f"Your status_line_command fails ({problem}): mend it in the settings."]
    assert sum(len(text) for _, text in watched.command.fragments(FACTS, 12)) <= 12


@pytest.mark.parametrize("command", ["mkfifo f; echo x; cat f", "yes", "trap '' TERM; mkfifo f; cat f & cat f"])
async def test_a_command_that_does_not_end_is_ended(tmp_path: Path, command: str) -> None:
    watched = Watched(command, tmp_path, timeout_s=0.2)
    watched.command.update(FACTS)
    assert (await watched.shown()).endswith("!cmd")
    assert watched.command.problem == "it did not end in time"


async def test_each_way_of_failing_is_told_once(tmp_path: Path) -> None:
    watched = Watched("echo x >> runs; exit $(wc -l < runs | sed 's/[13]/7/;s/4/2/')", tmp_path)
    for codes in ([7], [7, 2], [7, 2], [7, 2]):
        watched.command.update(FACTS, turn_ended=True)
        assert (await watched.shown()).endswith("!cmd")
        assert watched.told == [
            f"Your status_line_command fails (exit code {n}): mend it in the settings." for n in codes
        ]


async def test_it_is_ended_with_the_program(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "up")
    watched = Watched("mkfifo f; echo $$ > up; cat f", tmp_path)
    watched.command.update(FACTS)
    pid = int(await asyncio.to_thread((tmp_path / "up").read_text))
    await watched.command.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await watched.command.close()


async def test_it_runs_every_two_seconds_and_at_the_end_of_a_turn(tmp_path: Path) -> None:
    watched = Watched("echo x >> runs; wc -l < runs", tmp_path)
    update, clock = watched.command.update, watched.clock
    update(FACTS)
    assert (await watched.shown()).strip() == "1"
    clock.now = 1.0
    update(FACTS)
    update(FACTS, turn_ended=True)
    assert (await watched.shown()).strip() == "2"
    clock.now = 3.0
    update(FACTS)
    update(FACTS)
    update(FACTS, turn_ended=True)  # while it runs: once more afterwards
    assert (await watched.shown()).strip() == "3"
    assert (await watched.shown()).strip() == "4"
