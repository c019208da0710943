"""/share-traces at a real terminal: off as shipped, on by word, public only after a look at what that shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config_loading import config_dir, state_dir
from agent.traces.uploads.outbox import Outbox
from tests.e2e.conversation import Talk, ask, assert_calm, rest
from tests.e2e.hub_runs import at_hub
from tests.fakes.hub import FakeHub
from tests.unit.sessions.keeping import keep_session

REPO = "tester/ml-intern-sessions"
SECRET = "ghp_" + "Zq7" * 12


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running
        running.check()


@pytest.fixture
def mine(env: dict[str, str], hub: FakeHub) -> dict[str, str]:
    """The environment of somebody whose Hub is `hub` and who lets sessions be uploaded; `talk` uses it."""
    own = at_hub(env, hub)
    del own["DO_NOT_TRACK"]
    env.clear()
    env.update(own)
    return env


def settings(env: dict[str, str]) -> dict[str, object]:
    path: Path = config_dir(env) / "cli_agent_config.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def test_a_person_turns_it_on_looks_before_publishing_and_turns_it_off(
    mine: dict[str, str], talk: Talk, hub: FakeHub
) -> None:
    kept = keep_session(state_dir(mine), "aaaa1111", f"push it with {SECRET}", "and now?")
    hub.repos.create(REPO, "dataset", {"README.md": "# mine"}, private=True)
    terminal = talk({"text": "Hello."}, rows=45)
    ask(terminal, "/share-traces")
    terminal.wait_for("/share-traces on")
    rest(terminal)
    assert "off" in "".join(terminal.scrollback())
    ask(terminal, "/share-traces on")
    terminal.wait_until(lambda: settings(mine).get("share_traces") is True)
    terminal.wait_for("/share-traces off")
    rest(terminal)
    Outbox(state_dir(mine)).add("aaaa1111", kept)
    ask(terminal, "/share-traces public")
    shown = terminal.wait_for(r"(?m)^Make it public\? Type yes: $")
    assert "2 prompts" in shown
    assert "REDACTED" in shown
    ask(terminal, "yes")
    terminal.wait_for("is public now")
    rest(terminal)
    repo = hub.repos.get(REPO, "dataset")
    assert repo is not None
    assert not repo.private
    ask(terminal, "/status")
    terminal.wait_for(r"(?m)^Traces: .*waiting")
    rest(terminal)
    ask(terminal, "/share-traces private")
    terminal.wait_for("is private now")
    rest(terminal)
    assert repo.private
    ask(terminal, "/share-traces off")
    terminal.wait_until(lambda: settings(mine).get("share_traces") is False)
    rest(terminal)
    assert_calm(terminal)
    ask(terminal, "/exit")
    assert terminal.exit_code() == 0
    assert SECRET not in terminal.raw_output().decode()
    assert not any(one.path.endswith("/commit/main") for one in hub.requests)


def test_a_switch_of_the_environment_counts_more(mine: dict[str, str], talk: Talk, hub: FakeHub) -> None:
    terminal = talk({"text": "Hello."}, more_env={"DO_NOT_TRACK": "1"})
    ask(terminal, "/share-traces on")
    terminal.wait_for("DO_NOT_TRACK")
    rest(terminal)
    ask(terminal, "Hi")
    terminal.wait_for("Hello.")
    rest(terminal)
    ask(terminal, "/exit")
    assert terminal.exit_code() == 0
    assert not any(one.method != "GET" for one in hub.requests)
