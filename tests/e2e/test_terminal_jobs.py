"""Jobs at a real terminal: what a person sees before, while and after they run, and how they are ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conversation import Talk, ask, asked, assert_calm, lines_of, rest
from tests.e2e.hub_runs import assert_nothing_left, at_hub, half_an_hour, job, leases_of, output_of, store_of
from tests.e2e.terminal import Terminal
from tests.fakes.hub import FakeHub
from tests.fakes.hub_jobs import Job, line, stage

Start = Callable[..., Terminal]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running
        running.check()


@pytest.fixture
def mine(env: dict[str, str], hub: FakeHub) -> dict[str, str]:
    """The environment of somebody whose Hub is `hub`; `talk` uses it, as it uses `env`."""
    own = at_hub(env, hub)
    env.clear()
    env.update(own)
    return env


@pytest.fixture
def start(mine: dict[str, str], talk: Talk) -> Start:
    """A conversation with a scripted model that may spend."""

    def begin(*answers: dict[str, Any], **more: Any) -> Terminal:
        return talk(*answers, args=("--no-budget", *more.pop("args", ())), rows=50, **more)

    return begin


def go(terminal: Terminal) -> str:
    """The model wants a job, and the person is asked; what they are shown."""
    ask(terminal, "go")
    return asked(terminal)


def running_job(hub: FakeHub) -> Job:
    """The only job, once it is there."""
    (made,) = hub.jobs.wait_for(1)
    return made


def test_a_person_sees_what_it_is_and_costs_agrees_and_follows_it_to_its_end(
    start: Start, mine: dict[str, str], hub: FakeHub
) -> None:
    terminal = start(job(dependencies=["trl>=0.20"]), {"text": "It is trained."})
    panel = go(terminal)
    for fact in ("hello from the script", "a10g-large", "$1.50", "$3.00", "2 h", "tester", "trl>=0.20"):
        assert fact in panel, fact
    assert hub.jobs.all() == []
    ask(terminal, "y")
    made = running_job(hub)
    made.start()
    made.print("epoch 1 of 3")
    terminal.wait_for("epoch 1 of 3")
    terminal.wait_for(r"1 job \$1\.50/h")
    made.print("epoch 2 of 3")
    terminal.wait_for("epoch 2 of 3")
    made.end()
    terminal.wait_for("It is trained.")
    rest(terminal)
    assert "1 job" not in terminal.screen()[-1]
    assert lines_of(terminal, r"^✓ hf_jobs") == ["✓ hf_jobs"]
    assert_calm(terminal)
    ask(terminal, "/exit")
    assert terminal.exit_code() == 0
    assert "Still running" not in "".join(terminal.scrollback())
    assert_nothing_left(mine, hub)


def test_no_is_no(start: Start, mine: dict[str, str], hub: FakeHub) -> None:
    terminal = start(job(), {"text": "As you wish."})
    go(terminal)
    ask(terminal, "n")
    terminal.wait_for("As you wish.")
    assert hub.jobs.all() == []
    assert_nothing_left(mine, hub)


def test_what_goes_on_is_listed_shown_and_ended_by_command(start: Start, mine: dict[str, str], hub: FakeHub) -> None:
    hub.jobs.script = [stage("RUNNING"), line("epoch 1 of 3"), line("{'loss': 0.25}")]
    terminal = start(job(wait=False), {"text": "It runs."})
    go(terminal)
    ask(terminal, "y")
    terminal.wait_for("It runs.")
    rest(terminal)
    terminal.wait_until(lambda: "1 job $1.50/h" in terminal.screen_text())
    (lease,), made = leases_of(mine), running_job(hub)
    ask(terminal, "/jobs")
    terminal.wait_for(rf"{lease.id}  (queued|running) .*a10g-large.*\$1\.50/h")
    rest(terminal)
    log = store_of(mine).log_path(lease.id)
    terminal.wait_until(lambda: log.exists() and "loss" in log.read_text())
    ask(terminal, f"/jobs logs {lease.id} 1")
    terminal.wait_for(r"(?m)^{'loss': 0.25}$")
    rest(terminal)
    assert "epoch 1 of 3" not in "".join(terminal.scrollback()).rpartition("/jobs logs")[2]
    ask(terminal, f"/jobs cancel {made.id}")
    terminal.wait_for(f"Job {made.id} is cancelled")
    terminal.wait_until(lambda: "1 job" not in terminal.screen_text().split("\n")[-1])
    rest(terminal)
    assert made.stage == "CANCELED"
    terminal.wait_until(lambda: leases_of(mine) == [])
    ask(terminal, "/jobs")
    terminal.wait_for(rf"{lease.id}  canceled|Nothing runs")
    rest(terminal)
    assert_calm(terminal)
    ask(terminal, "/exit")
    assert terminal.exit_code() == 0
    assert "Still running" not in "".join(terminal.scrollback())
    assert_nothing_left(mine, hub)


def test_esc_ends_the_job_that_is_waited_for(start: Start, mine: dict[str, str], hub: FakeHub) -> None:
    hub.jobs.script = [stage("RUNNING"), line("epoch 1 of 3")]
    terminal = start(job(), {"text": "Never said."}, {"text": "Still here."})
    go(terminal)
    ask(terminal, "y")
    terminal.wait_for("epoch 1 of 3")
    terminal.key("esc")
    terminal.wait_for("Interrupted")
    rest(terminal)
    assert running_job(hub).stage == "CANCELED"
    terminal.wait_until(lambda: leases_of(mine) == [])
    assert_calm(terminal)
    ask(terminal, "/exit")
    assert terminal.exit_code() == 0
    assert "Still running" not in "".join(terminal.scrollback())
    assert_nothing_left(mine, hub)


def test_who_leaves_is_told_what_goes_on(start: Start, mine: dict[str, str], hub: FakeHub) -> None:
    hub.jobs.script = [stage("RUNNING")]
    terminal = start(job(wait=False), {"text": "It runs."})
    go(terminal)
    ask(terminal, "y")
    terminal.wait_for("It runs.")
    rest(terminal)
    (lease,), made = leases_of(mine), running_job(hub)
    terminal.key("ctrl-d")
    assert terminal.exit_code() == 0
    last = "".join(terminal.scrollback()).replace(" ", "").rpartition("Stillrunning")[2]  # the window has wrapped it
    assert all(part in last for part in (made.id, "a10g-large", "$1.50/h", f"'ml-interngc{lease.id}'endsit"))
    assert not made.is_over
    assert [each.id for each in leases_of(mine)] == [lease.id]


def test_what_the_person_made_of_the_script_is_what_runs(start: Start, hub: FakeHub, tmp_path: Path) -> None:
    hub.jobs.script = half_an_hour(hub, "printed")
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/from the script/from the person/" "$1"\n')
    editor.chmod(0o755)
    terminal = start(job(), {"text": "Done."}, more_env={"EDITOR": str(editor)})
    go(terminal)
    ask(terminal, "e")
    terminal.wait_for("what you changed:")
    panel = asked(terminal)
    assert "+print('hello from the person')" in panel
    assert hub.jobs.all() == []
    ask(terminal, "y")
    terminal.wait_for("Done.")
    assert output_of(running_job(hub), tmp_path) == "hello from the person\n"
