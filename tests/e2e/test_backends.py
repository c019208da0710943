"""The backends of model calls through the installed command: they do the same, and keep and give up connections."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conversation import Talk, ask, bash, rest, said, take_turn, until, with_server
from tests.e2e.harness import run_headless, start_headless
from tests.e2e.kept_alive import KeptAlive
from tests.e2e.watched_server import WatchedServer, events_of
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI

OURS = {"ML_INTERN_LLM_BACKEND": "auto"}
LITELLM = {"ML_INTERN_LLM_BACKEND": "litellm"}

each_backend = pytest.mark.parametrize(
    "backend",
    [pytest.param(OURS, id="ours"), pytest.param(LITELLM, id="litellm", marks=pytest.mark.xdist_group("litellm"))],
)


@pytest.fixture
def watched() -> Iterator[WatchedServer]:
    with WatchedServer() as server:
        yield server
        server.check()


# --- the same, whoever carries it ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """What a person sees of a run, and what the model hears of its tools, model call by model call."""

    exit_code: int
    answers: list[str]
    errors: list[tuple[str, str]]
    outcomes: list[tuple[str, bool]]
    results: list[list[str]]


def seen(env: dict[str, str], work: Path, server: FakeOpenAI, url: str) -> Seen:
    """A run with the model at `url`."""
    before = len(server.chat_requests)
    args = ["-m", "vllm/m", "--output-format", "stream-json", "hi"]
    done = run_headless(args, env=env | {"VLLM_BASE_URL": url}, cwd=work)
    assert "Traceback" not in done.stderr
    return Seen(
        done.exit_code,
        [event["final_response"] for event in events_of(done, "turn_complete")],
        [(event["kind"], event["error"]) for event in events_of(done, "error")],
        sorted((event["output"], event["success"]) for event in events_of(done, "tool_output")),
        [said(request, "tool") for request in server.chat_requests[before:]],
    )


TWO_TOOLS = reply.calls(
    reply.Call("bash", {"command": "echo one"}), reply.Call("bash", {"command": "echo two >&2; exit 3"})
)


@pytest.mark.xdist_group("litellm")
@pytest.mark.parametrize(
    ("replies", "url", "code", "shown"),
    [
        pytest.param([TWO_TOOLS, reply.text("Bo", "th")], "", 0, "Both", id="tools"),
        pytest.param([reply.error(400, "bad_thing", "the thing is bad")], "", 1, "the thing is bad", id="400"),
        pytest.param([reply.auth_error()], "", 3, "VLLM_API_KEY", id="401"),
        pytest.param([], "http://127.0.0.1:9", 1, "http://127.0.0.1:9", id="refused"),
    ],
)
def test_both_backends_do_the_same(
    env: dict[str, str],
    openai_server: FakeOpenAI,
    work: Path,
    replies: list[reply.Reply],
    url: str,
    code: int,
    shown: str,
) -> None:
    openai_server.script(*replies, *replies)
    ours, theirs = (seen(env | backend, work, openai_server, url or openai_server.url) for backend in (OURS, LITELLM))
    assert ours == theirs
    assert ours.exit_code == code
    assert ours.answers == ([shown] if code == 0 else [])
    assert code == 0 or shown in ours.errors[0][1]
    results = [["one", "two\n[exit code 3]"]]
    assert ours.results == ([[], *results] if code == 0 else [[]] * len(replies))
    chats = [request for request in openai_server.requests if request.path == openai_server.chat_path]
    is_ours = [request.headers["user-agent"].startswith("ml-intern/") for request in chats]
    assert is_ours == [True] * len(replies) + [False] * len(replies)


# --- connections -----------------------------------------------------------------------------------------------------


def tool_results(server: KeptAlive) -> list[int]:
    """How many results each model call has brought."""
    return [len(said(call.request, "tool")) for call in server.calls]


def test_one_connection_is_kept_over_the_turns_of_a_run(env: dict[str, str], work: Path) -> None:
    with KeptAlive(*[bash(f"echo {n}") for n in range(4)], reply.text("Done.")) as server:
        done = run_headless(["-m", "vllm/m", "hi"], env=env | {"VLLM_BASE_URL": server.url}, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "Done.\n"), done.stderr
    assert tool_results(server) == [0, 1, 2, 3, 4]
    assert len({call.connection for call in server.calls}) == 1


def test_a_connection_that_was_closed_while_a_tool_ran_is_replaced(env: dict[str, str], work: Path) -> None:
    with KeptAlive(bash("echo 1"), bash(until("go")), reply.text("Done.")) as server:
        there = env | {"VLLM_BASE_URL": server.url}
        with start_headless(["-m", "vllm/m", "hi"], env=there, cwd=work) as running:
            running.wait_until(lambda: server.answered == 2)
            server.hang_up()
            (work / "go").touch()
            done = running.wait()
    assert (done.exit_code, done.stdout) == (0, "Done.\n"), done.stderr
    assert "Trying again" not in done.stderr
    assert tool_results(server) == [0, 1, 2]
    first, second, third = (call.connection for call in server.calls)
    assert first == second != third


def test_a_server_that_hangs_up_behind_each_answer_gets_each_request_once(env: dict[str, str], work: Path) -> None:
    with KeptAlive(*[bash(f"echo {n}") for n in range(3)], reply.text("Done."), hangs_up=True) as server:
        done = run_headless(["-m", "vllm/m", "hi"], env=env | {"VLLM_BASE_URL": server.url}, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "Done.\n"), done.stderr
    assert "Trying again" not in done.stderr
    assert tool_results(server) == [0, 1, 2, 3]
    assert len({call.connection for call in server.calls}) == 4


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------


@each_backend
def test_ctrl_c_in_mid_answer_hangs_up_and_the_session_goes_on(
    env: dict[str, str], watched: WatchedServer, work: Path, backend: dict[str, str]
) -> None:
    watched.script(reply.stall_after(1, reply.text("Half of", " it")), reply.text("All of it"))
    there = env | backend | {"VLLM_BASE_URL": watched.url}
    with start_headless(["-m", "vllm/m", "--output-format", "stream-json", "hi"], env=there, cwd=work) as running:
        running.wait_for_stdout("Half of", 60)  # litellm takes its time
        running.signal_group(signal.SIGINT)
        assert running.wait().exit_code == 130
        running.wait_until(lambda: watched.has("left", watched.chat_path))
    done = run_headless(["--continue", "go on"], env=there | OURS, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "All of it\n"), done.stderr
    request = watched.chat_requests[-1]
    assert (said(request, "user"), said(request, "assistant")) == (["hi", "go on"], ["Half of"])


@pytest.mark.parametrize("key", ["ctrl-c", "esc"])
def test_a_key_in_mid_answer_hangs_up_and_the_next_turn_works(talk: Talk, watched: WatchedServer, key: str) -> None:
    terminal = with_server(talk, watched, reply.stall_after(1, reply.text("Half of\n\n", "it")))
    ask(terminal, "hi")
    terminal.wait_for("Half of")
    terminal.key(key)
    terminal.wait_until(lambda: watched.has("left", watched.chat_path))
    terminal.wait_for("Interrupted")
    rest(terminal)
    take_turn(terminal, watched, "again", reply.text("All of it"))
    assert said(watched.chat_requests[-1])[-1] == "again"
