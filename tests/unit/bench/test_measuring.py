"""The machinery of the benchmark, with real processes and its real server: what it counts, and that it goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.__main__ import measured
from tests.bench.figures import Failed
from tests.bench.model_server_process import ModelServer
from tests.bench.peers import CHAT, Peer, first_request
from tests.bench.processes import RunError, clean_environment, run, running
from tests.bench.rounds import Bench
from tests.e2e.processes import wait_until

CURL_LIKE = """
import json, sys, urllib.request
request = urllib.request.Request(sys.argv[1], json.dumps({"model": "m"}).encode(), {"Content-Type": "application/json"})
print(urllib.request.urlopen(request).read().decode())
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """One round, in a home of its own."""
    with ModelServer() as server:
        yield Bench(server, tmp_path, 1, 60.0)


def test_rounds_alternate_and_the_first_pair_is_not_measured(tmp_path: Path) -> None:
    bench = Bench(ModelServer(), tmp_path, 2, 60.0)
    order: list[str] = []

    def floor() -> int:
        order.append("floor")
        return len(order)

    def ours() -> int:
        order.append("ours")
        return len(order)

    assert bench.rounds(floor, ours) == [(3, 4), (5, 6)]
    assert order == ["floor", "ours"] * 3


def test_rounds_end_when_patience_does_but_one_is_always_measured(tmp_path: Path) -> None:
    assert Bench(ModelServer(), tmp_path, 50, 0.0).rounds(lambda: 1, lambda: 2) == [(1, 2)]


def test_the_floor_reaches_the_server_with_as_many_requests_as_its_script_has_turns(bench: Bench) -> None:
    asked = bench.floor("tools-2")
    assert len(asked.requests) == 3
    assert 0 < asked.first_s < asked.run.wall_s
    sizes = [request.body_bytes for request in asked.requests]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    assert asked.run.peak_bytes > 1e6 and asked.run.cpu_s > 0


def test_runs_are_told_apart(bench: Bench) -> None:
    first, second = bench.floor(), bench.floor()
    assert len(first.requests) == len(second.requests) == 1
    assert first.requests[0].path != second.requests[0].path


def test_ml_intern_reaches_it_too(bench: Bench) -> None:
    asked = bench.ours("--max-iterations", "9", script="tools-1")
    assert len(asked.requests) == 2


def test_another_api_gets_an_error_and_is_counted(bench: Bench) -> None:
    word, base = bench.server.place("text")
    with pytest.raises(RunError, match=r"exit code 1: .*400"):
        run((sys.executable, "-c", CURL_LIKE, f"{base}/v1/responses"), bench.environment())
    assert len(bench.server.requests(word, 1, 5.0)) == 1


def test_a_command_that_fails_says_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="exit code 3: cannot go on"):
        run(("bash", "-c", "echo cannot go on >&2; exit 3"), clean_environment(tmp_path))
    with pytest.raises(RunError, match="cannot be started"):
        run((str(tmp_path / "absent"),), clean_environment(tmp_path))


def test_what_a_command_has_started_is_ended_with_it(tmp_path: Path) -> None:
    script = f"sleep 300 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait"
    with running(("bash", "-c", script), clean_environment(tmp_path)) as started:
        assert wait_until((tmp_path / "pid").exists, 30.0) and not started.is_over()
        started.end()
    status = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")

    def is_gone() -> bool:
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"

    assert wait_until(is_gone, 30.0)


def test_no_key_and_no_setting_of_ours_reaches_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    monkeypatch.setenv("ML_INTERN_MODEL_NAME", "x")
    environment = clean_environment(tmp_path)
    assert "secret" not in environment.values() and "ML_INTERN_MODEL_NAME" not in environment
    assert environment["HOME"] == str(tmp_path) and environment["PATH"] == os.environ["PATH"]


def test_a_group_that_fails_becomes_a_row_and_the_rest_goes_on(bench: Bench) -> None:
    def broken(_bench: Bench) -> list[object]:
        raise RunError("exit code 1:\n  it is broken")

    assert measured("turns", broken, bench) == [Failed("turns", "RunError: exit code 1: it is broken")]  # type: ignore[arg-type]


def test_a_peer_is_measured_to_its_first_request_and_killed(bench: Bench) -> None:
    script = f"{CURL_LIKE}\nimport time; time.sleep(600)"
    peer = Peer("sleeper", (sys.executable, "-c", script, "{base}/v1/chat/completions"), CHAT)
    [row] = first_request(peer, bench)
    assert row.at_most is None and row.ours[0] > 0 and len(row.floor) == 1


def test_a_peer_that_sends_nothing_is_not_waited_for(bench: Bench) -> None:
    peer = Peer("mute", ("bash", "-c", "echo no model >&2; exit 1"), CHAT)
    with pytest.raises(RunError, match="0 requests in place of 1: no model"):
        first_request(peer, bench)
