"""The process that uploads: how it is started, what it knows, and how several get along."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.traces.uploads.entries import Owner, account_mark
from agent.traces.uploads.process import MAX_LOG_BYTES, Order, start
from agent.traces.uploads.sharing import Tokens
from tests.e2e.processes import Process, kill_run, processes_of, wait_until, with_run_id
from tests.fakes.hub import FakeHub
from tests.unit.sessions.keeping import keep_session
from tests.unit.traces.uploads.upload_runs import ONE, ORG_REPO, REPO, TEMPLATE, TWO, Person


def until(condition: Callable[[], bool]) -> None:
    assert wait_until(condition, 30.0)


def config_of(person: Person) -> Path:
    """Their configuration file."""
    path = Path(person.env["XDG_CONFIG_HOME"]) / "ml-intern" / "cli_agent_config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def ended(process: subprocess.Popen[bytes]) -> str:
    """What a process has said, once it has ended well."""
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said.decode()
    return said.decode()


def test_an_order_is_the_same_after_the_pipe_and_shows_no_secret() -> None:
    order = Order("/s", Tokens("hf_mine_0123456789", None), {"A_KEY": "secret-value"}, "/c.json")
    assert Order.load(order.dump()) == order
    assert "secret-value" not in repr(order)
    assert "hf_mine" not in repr(order)


def test_secrets_come_by_the_pipe_alone_and_nothing_of_the_directory_is_used(
    person: Person, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect 15: the directory it is started in must not choose the code, the token or the address."""
    hostile = tmp_path / "hostile"
    (hostile / "agent" / "traces" / "uploads").mkdir(parents=True)
    for name in ("agent/__init__.py", "agent/traces/__init__.py", "agent/traces/uploads/process.py", "json.py"):
        (hostile / name).write_text(f"open({str(tmp_path / 'owned')!r}, 'w')")
    (hostile / ".env").write_text("HF_TOKEN=hf_of_somebody_else\nHF_ENDPOINT=http://127.0.0.1:1\n")
    monkeypatch.chdir(hostile)
    path = person.keeps()
    hub.fail("GET", "/api/whoami-v2", kind="hold")
    env = with_run_id({**person.env, "HF_TOKEN": hub.token, "MY_API_KEY": "a-secret-of-mine"})
    start(Order(str(person.state_dir), person.tokens, env), env)
    hub.wait_stalled()
    (child,) = processes_of(env["TEST_RUN_ID"], os.getpid())
    try:
        known = Path(f"/proc/{child.pid}/environ").read_bytes() + Path(f"/proc/{child.pid}/cmdline").read_bytes()
        assert hub.token.encode() not in known
        assert b"a-secret-of-mine" not in known
        assert child.session_id == child.pid  # a closed terminal does not end it
        assert Path(f"/proc/{child.pid}/cwd").readlink() == person.state_dir.resolve()
        assert os.getpriority(os.PRIO_PROCESS, child.pid) > os.getpriority(os.PRIO_PROCESS, 0)
        hub.resume()
        until(lambda: person.outbox.is_empty())
    finally:
        kill_run(env["TEST_RUN_ID"], child.pid)
    assert not (tmp_path / "owned").exists()
    person.assert_all_sent(path)


def test_its_log_is_private_small_and_without_secrets(person: Person, hub: FakeHub) -> None:
    """Defects 15 and 22: it used to speak to /dev/null."""
    log = person.state_dir / "logs" / "uploads.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * (MAX_LOG_BYTES + 1))
    person.keeps()
    hub.fail("POST", "/commit/main$", status=400, body={"error": f"what is {hub.token}"})
    env = with_run_id(person.env)
    start(Order(str(person.state_dir), person.tokens, env), env)
    until(lambda: bool(person.entry().targets))
    until(lambda: not left(env))
    assert "was not uploaded" in person.log
    assert hub.token not in person.log
    assert hub.token not in person.entry().delivery("personal").last_error
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert log.stat().st_size < MAX_LOG_BYTES


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links")
def test_its_log_is_no_link_to_something_else(person: Person, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("kept")
    log = person.state_dir / "logs" / "uploads.log"
    log.parent.mkdir(parents=True)
    log.symlink_to(other)
    person.keeps()
    with pytest.raises(OSError):
        start(Order(str(person.state_dir), person.tokens, {}), person.env)
    assert other.read_text() == "kept"


@pytest.mark.skipif(sys.platform != "linux", reason="pipes of any size")
def test_starting_it_does_not_wait_for_it_to_read_however_much_there_is_to_say(person: Person, tmp_path: Path) -> None:
    """It cannot read before the path of its modules is there, which is after `start` has returned."""
    gate = tmp_path / "path" / "sitecustomize.py"
    gate.parent.mkdir()
    os.mkfifo(tmp_path / "gate")
    gate.write_text(f"open({str(tmp_path / 'gate')!r}).read()")
    path = person.keeps(ONE, f"it is {'s' * 1_000}")
    secrets = {f"MY_API_KEY_{number}": str(number) * 1_000 for number in range(100, 300)} | {"ANY": "x" * 100_000}
    env = with_run_id({**person.env, "PYTHONPATH": str(gate.parent)})
    start(Order(str(person.state_dir), person.tokens, {**env, **secrets}), env)
    (tmp_path / "gate").write_text("")  # waits for the reader
    until(lambda: person.outbox.is_empty())
    person.assert_all_sent(path)


def left(env: dict[str, str]) -> list[Process]:
    """Upload processes that run."""
    return processes_of(env["TEST_RUN_ID"], os.getpid())


def test_starting_it_waits_for_nothing(person: Person, hub: FakeHub) -> None:
    person.keeps()
    hub.fail("*", ".*", kind="stall", times=100)
    env = with_run_id(person.env)
    start(Order(str(person.state_dir), person.tokens, env), env)  # returns: that is the test
    hub.wait_stalled()
    assert len(left(env)) == 1
    kill_run(env["TEST_RUN_ID"], left(env)[0].pid)


@pytest.mark.parametrize("how", ["config", "broken config"])
def test_sharing_that_is_turned_off_meanwhile_stops_what_waits(person: Person, hub: FakeHub, how: str) -> None:
    del person.env["ML_INTERN_SHARE_TRACES"]
    config = config_of(person)
    config.write_text('{"share_traces": true}')
    for session_id in (ONE, TWO):
        person.keeps(session_id)
    hub.fail("GET", "/api/datasets/[^/]+/[^/]+$", kind="hold")
    process = person.starts()
    hub.wait_stalled()
    config.write_text('{"share_traces": false}' if how == "config" else '{"share_traces": tr')
    hub.resume()
    ended(process)
    assert person.commits() == []
    assert len(person.outbox.waiting()) == 2
    config.write_text('{"share_traces": true}')
    person.uploads()
    assert len(person.commits()) == 2


@pytest.mark.parametrize("name", ["ML_INTERN_NO_UPLOAD", "DO_NOT_TRACK"])
def test_each_switch_stops_the_process_before_it_asks_anything(person: Person, hub: FakeHub, name: str) -> None:
    person.keeps()
    person.env[name] = "1"
    assert f"{name} is set" in person.uploads()
    assert hub.requests == []
    assert not person.outbox.is_empty()


def test_nothing_goes_where_the_person_was_not_told_of(person: Person, hub: FakeHub) -> None:
    path = person.keeps()
    (person.state_dir / "uploads" / "told.json").unlink()
    assert "not told" in person.uploads()
    person.outbox.remember_told(["somebody/ml-intern-sessions"])  # as whoever the token belonged to then
    person.uploads()
    assert person.commits() == []
    person.outbox.remember_told([REPO])
    person.uploads()
    person.assert_all_sent(path)


def test_what_waits_for_one_account_is_not_sent_by_another(person: Person, hub: FakeHub) -> None:
    """The person has two of them: what was said as alice, whose Hub was away, must not land in bob's dataset."""
    path = keep_session(person.state_dir, ONE, "said as tester")
    person.outbox.add(ONE, path, Owner("", account_mark(hub.token)))
    hub.fail("*", "/api/repos/create", status=500)
    person.uploads()
    assert person.entry().owner == Owner("tester", account_mark(hub.token))  # the first word of the Hub names it
    assert person.outbox.told() == {REPO, ORG_REPO}  # another one has to be told of a dataset of its own
    with FakeHub(user="bob", token="hf_" + "B" * 34) as other:
        bob = Person(other, dict(person.env), person.home, Tokens(other.token))
        bob.env |= {"HF_ENDPOINT": other.url, "OPENID_PROVIDER_URL": other.url}
        bob.outbox.remember_told([TEMPLATE])
        bob.makes_due()
        theirs = bob.keeps(TWO, "said as bob")
        said = bob.uploads()
        assert f"{ONE} waits for tester" in said
        names = [name for name in bob.files("bob/ml-intern-sessions") if name.startswith("sessions/")]
        assert names == [bob.place(TWO)]
        assert theirs.exists()
        other.check()
    person.makes_due()
    person.uploads()
    assert [name for name in person.files() if name.startswith("sessions/")] == [person.place()]


def test_several_at_once_send_everything_once(person: Person, hub: FakeHub) -> None:
    first = person.keeps(ONE)
    hub.fail("POST", "/commit/main$", kind="hold")
    one = person.starts()
    hub.wait_stalled()
    second = person.keeps(TWO)  # ends while the first process is at work
    more = [person.starts() for _ in range(3)]
    until(lambda: sum(process.poll() is not None for process in more) == 2)  # one waits, the others leave it to that
    hub.resume()
    for process in (one, *more):
        ended(process)
    person.assert_all_sent(first, second)
    assert sorted(commit.title for commit in person.commits()) == [f"Add session {ONE}", f"Add session {TWO}"]


def test_a_session_that_goes_on_while_it_is_uploaded_is_sent_again(person: Person, hub: FakeHub) -> None:
    """Defect 6: the upload of an older state must not count for the newer one."""
    from tests.unit.traces.uploads.test_uploader import goes_on

    path = person.keeps(ONE, "first")
    hub.fail("POST", "/commit/main$", kind="hold")
    process = person.starts()
    hub.wait_stalled()
    goes_on(path, "second")
    hub.resume()
    ended(process)
    person.assert_all_sent(path)
    assert b"second" in person.files()[person.place()]


def test_a_configuration_with_secrets_of_the_environment_can_be_read(person: Person) -> None:
    del person.env["ML_INTERN_SHARE_TRACES"]
    server = {"url": "http://127.0.0.1:9/mcp", "headers": {"Authorization": "Bearer ${MY_MCP_TOKEN}"}}
    config_of(person).write_text(json.dumps({"share_traces": True, "mcpServers": {"mine": server}}))
    person.env["MY_MCP_TOKEN"] = "a-token-of-the-server"
    path = person.keeps(ONE, "a-token-of-the-server is mine")
    person.uploads()
    person.assert_all_sent(path)
    assert b"a-token-of-the-server" not in person.files()[person.place()]
