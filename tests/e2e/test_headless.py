"""Headless runs of the installed command, over loopback models and replay scripts."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import run_headless, start_headless
from tests.fakes import reply
from tests.fakes.anthropic_server import FakeAnthropic
from tests.fakes.openai_server import FakeOpenAI
from tests.grammar import check_turn_grammar

NO_WAIT = {"retry-after": "0"}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    return path


def script(tmp_path: Path, *answers: dict[str, Any]) -> str:
    path = tmp_path / "script.jsonl"
    path.write_text("\n".join(json.dumps(answer) for answer in answers))
    return f"replay/{path}"


def bash(command: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": "bash", "arguments": {"command": command}}], **more}


def local(env: dict[str, str], server: FakeOpenAI) -> dict[str, str]:
    return env | {"VLLM_BASE_URL": server.url}


# --- the main job ----------------------------------------------------------------------------------------------------


def test_the_demo_trains_fails_mends_and_reports_the_real_metric(env: dict[str, str], work: Path) -> None:
    done = run_headless(["--model", "replay/demo", "train a small classifier"], env=env, cwd=work)
    assert done.exit_code == 0, done.stderr
    assert "accuracy" in done.stdout
    assert "(not found)" not in done.stdout
    assert "✗ bash" in done.stderr  # the first run of the script fails for real
    assert "✓ bash" in done.stderr
    assert "session" in done.stderr
    assert list(work.iterdir()) == []  # it works in a directory of its own, which it names
    workspace = Path(done.stderr.split("workspace ", 1)[1].split()[0].rstrip(";,"))
    assert (workspace / "train.py").is_file()


def test_the_answer_alone_is_on_stdout(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    model = script(tmp_path, bash("echo hello > made.txt", text="Making it."), {"text": "All done."})
    done = run_headless(["-m", model, "make a file"], env=env, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "All done.\n")
    assert "Making it." in done.stderr
    assert (work / "made.txt").read_text() == "hello\n"


def test_json_is_one_object(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    done = run_headless(
        ["-m", script(tmp_path, {"text": "42", "usage": usage}), "--output-format", "json", "?"], env=env, cwd=work
    )
    answer = done.json()
    assert (answer["result"], answer["is_error"], answer["exit_code"]) == ("42", False, 0)
    assert answer["session_id"]
    assert answer["usage"]["total_tokens"] == 15
    assert (answer["cost_usd"], answer["cost_known"]) == (0.0, True)


@pytest.mark.parametrize(
    ("answers", "args", "code"),
    [
        ([bash("echo 1"), {"text": "Summary."}], ["--max-iterations", "1"], 4),
        ([bash("rm -rf ~"), {"text": "No."}], [], 6),
        ([{"error": {"status": 401, "message": "invalid key"}}], [], 3),
        ([{"error": {"status": 400, "message": "bad"}}], [], 1),
    ],
)
def test_json_tells_the_exit_code(
    env: dict[str, str], tmp_path: Path, work: Path, answers: list[dict[str, Any]], args: list[str], code: int
) -> None:
    done = run_headless(["-m", script(tmp_path, *answers), "--output-format", "json", *args, "go"], env=env, cwd=work)
    answer = done.json()
    assert (done.exit_code, answer["exit_code"], answer["is_error"]) == (code, code, True)


def test_stream_json_is_the_event_queue(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    model = script(tmp_path, bash("echo hi"), {"text": ["a", "b"]})
    done = run_headless(["-m", model, "--output-format", "stream-json", "go"], env=env, cwd=work)
    events = done.events()
    check_turn_grammar(events)
    assert events[0]["data"]["session_id"]
    assert [e["data"]["content"] for e in events if e["event_type"] == "assistant_chunk"] == ["a", "b"]
    assert events[-1]["event_type"] == "shutdown"


def test_without_streaming_the_server_is_asked_for_whole_answers(
    env: dict[str, str], openai_server: FakeOpenAI, work: Path
) -> None:
    openai_server.script(reply.text("Hello"))
    done = run_headless(["-m", "vllm/m", "--no-stream", "hi"], env=local(env, openai_server), cwd=work)
    assert (done.exit_code, done.stdout) == (0, "Hello\n")
    assert not openai_server.chat_requests[0].get("stream")


# --- whichever model the person has ----------------------------------------------------------------------------------


def test_auto_picks_anthropic_first_and_says_so(
    env: dict[str, str], anthropic_server: FakeAnthropic, openai_server: FakeOpenAI, work: Path
) -> None:
    anthropic_server.script(reply.text("from Claude"))
    keys = {"ANTHROPIC_API_KEY": "sk-ant-key-one", "OPENAI_API_KEY": "sk-key-two", "HF_TOKEN": "hf_key_three"}
    urls = {"ANTHROPIC_BASE_URL": anthropic_server.url, "OPENAI_BASE_URL": openai_server.base_url}
    done = run_headless(["hi"], env=env | keys | urls, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "from Claude\n"), done.stderr
    assert "anthropic/claude-opus-4-8" in done.stderr
    (request,) = anthropic_server.requests
    sent = str(request.headers) + request.raw_body.decode()
    assert "sk-ant-key-one" in sent
    assert "sk-key-two" not in sent
    assert "hf_key_three" not in sent
    assert openai_server.requests == []


def test_auto_picks_openai_next(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    openai_server.script(reply.text("from GPT"))
    keys = {"OPENAI_API_KEY": "sk-key-two", "HF_TOKEN": "hf_key_three", "OPENAI_BASE_URL": openai_server.base_url}
    done = run_headless(["-m", "openai/gpt-4.1", "hi"], env=env | keys, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "from GPT\n"), done.stderr
    (request,) = [request for request in openai_server.requests if request.method == "POST"]
    assert request.headers["authorization"] == "Bearer sk-key-two"
    assert "hf_key_three" not in str(request.headers)


def test_auto_picks_the_router_with_an_hf_token_and_sends_no_other_key(
    env: dict[str, str], openai_server: FakeOpenAI, work: Path
) -> None:
    openai_server.script(reply.text("routed"))
    keys = {"HF_TOKEN": "hf_key_three", "HF_ROUTER_BASE_URL": openai_server.base_url}
    done = run_headless(["hi"], env=env | keys, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "routed\n"), done.stderr
    (request,) = [request for request in openai_server.requests if request.method == "POST"]
    assert request.headers["authorization"] == "Bearer hf_key_three"
    assert request.json["model"] == "anthropic/claude-opus-4.8:fal-ai"


def test_the_router_never_gets_the_openai_key(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    keys = {"OPENAI_API_KEY": "sk-key-two", "HF_ROUTER_BASE_URL": openai_server.base_url}
    done = run_headless(["-m", "moonshotai/Kimi-K2.6:novita", "hi"], env=env | keys, cwd=work)
    assert done.exit_code == 3
    assert "HF_TOKEN" in done.stderr
    assert openai_server.requests == []


def test_auto_finds_a_local_server_on_its_port(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    openai_server.script(reply.text("local"))
    done = run_headless(["hi"], env=local(env, openai_server), cwd=work)
    assert (done.exit_code, done.stdout) == (0, "local\n"), done.stderr
    assert "vllm/" in done.stderr


def test_without_any_model_it_explains_and_exits_3(env: dict[str, str], work: Path) -> None:
    closed = dict.fromkeys(
        ("OLLAMA_BASE_URL", "VLLM_BASE_URL", "LMSTUDIO_BASE_URL", "LLAMACPP_BASE_URL"), "http://127.0.0.1:9"
    )
    done = run_headless(["hi"], env=env | closed, cwd=work)
    assert (done.exit_code, done.stdout) == (3, "")
    for hint in ("ANTHROPIC_API_KEY", "HF_TOKEN", "ollama serve", "replay/demo"):
        assert hint in done.stderr


def test_anthropic_thinking_is_replayed_with_its_signature(
    env: dict[str, str], anthropic_server: FakeAnthropic, work: Path
) -> None:
    anthropic_server.script(
        reply.thinking("Let me look.", reply.call("bash", {"command": "echo hi"})), reply.text("done")
    )
    keys = {"ANTHROPIC_API_KEY": "sk-ant-key-one", "ANTHROPIC_BASE_URL": anthropic_server.url}
    done = run_headless(["-m", "anthropic/claude-opus-4-8", "hi"], env=env | keys, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "done\n"), done.stderr
    second = anthropic_server.chat_requests[1]
    (assistant,) = [m for m in second["messages"] if m["role"] == "assistant"]
    (thought,) = [block for block in assistant["content"] if block["type"] == "thinking"]
    assert (thought["thinking"], bool(thought["signature"])) == ("Let me look.", True)
    assert second["max_tokens"] > 8_000


# --- exit codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (reply.auth_error(), 3, "VLLM_API_KEY"),
        (reply.model_not_found("m"), 1, "m"),
        (reply.payment_required(), 1, "credit"),
        (reply.insufficient_quota(), 1, "quota"),
    ],
)
def test_model_errors_name_cause_and_remedy(
    env: dict[str, str], openai_server: FakeOpenAI, work: Path, fault: reply.Reply, code: int, said: str
) -> None:
    openai_server.script(fault)
    done = run_headless(["-m", "vllm/m", "hi"], env=local(env, openai_server), cwd=work)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert len(openai_server.chat_requests) == 1


def test_a_rate_limit_is_waited_out_as_long_as_the_server_says(
    env: dict[str, str], openai_server: FakeOpenAI, work: Path
) -> None:
    openai_server.script(reply.rate_limited(retry_after_s=0), reply.text("ok"))
    done = run_headless(["-m", "vllm/m", "hi"], env=local(env, openai_server), cwd=work)
    assert (done.exit_code, done.stdout) == (0, "ok\n")
    assert len(openai_server.chat_requests) == 2


def test_a_cut_stream_goes_on_from_where_it_was(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    openai_server.script(reply.cut_after(2, reply.text("one ", "two ", "lost")), reply.text("three"))
    done = run_headless(["-m", "vllm/m", "hi"], env=local(env, openai_server), cwd=work)
    assert (done.exit_code, done.stdout) == (0, "one two three\n"), done.stderr


def test_context_overflow_is_recovered_at_most_twice(
    env: dict[str, str], openai_server: FakeOpenAI, work: Path
) -> None:
    openai_server.script(*[reply.context_overflow(30_000, 31_000)] * 3)
    done = run_headless(["-m", "vllm/m", "hi"], env=local(env, openai_server), cwd=work)
    assert done.exit_code == 1
    assert openai_server.remaining == 0


@pytest.mark.parametrize(
    "oddity",
    [
        {"usage": None},
        {"tool_index": "zero"},
        {"tool_index": "missing"},
        {"tool_ids": "missing"},
        {"tool_ids": "duplicate"},
        {"usage_place": "last_choice"},
        {"whole_calls": True},
    ],
)
def test_odd_servers_are_understood(
    env: dict[str, str], openai_server: FakeOpenAI, work: Path, oddity: dict[str, Any]
) -> None:
    two = reply.calls(
        reply.Call("bash", {"command": "echo one > one"}), reply.Call("bash", {"command": "echo two > two"})
    )
    openai_server.script(two.but(**oddity), reply.text("ok"))
    done = run_headless(["-m", "vllm/m", "hi"], env=local(env, openai_server), cwd=work)
    assert done.exit_code == 0, done.stderr
    if oddity != {"tool_index": "zero", "tool_ids": "missing"}:
        assert sorted(path.name for path in work.iterdir()) == ["one", "two"]


def test_a_dead_local_server_fails_at_once_with_url_and_start_command(env: dict[str, str], work: Path) -> None:
    done = run_headless(["-m", "ollama/qwen3", "hi"], env=env | {"OLLAMA_BASE_URL": "http://127.0.0.1:9"}, cwd=work)
    assert done.exit_code == 1
    assert "http://127.0.0.1:9" in done.stderr
    assert "ollama serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_iteration_limit_has_its_own_code(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    model = script(tmp_path, bash("echo 1"), {"text": "Summary."})
    done = run_headless(["-m", model, "--max-iterations", "1", "hi"], env=env, cwd=work)
    assert (done.exit_code, done.stdout) == (4, "Summary.\n")
    assert "limit" in done.stderr.lower()


def test_what_needs_a_person_is_refused_and_the_code_says_so(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    model = script(tmp_path, bash("rm -rf ~"), {"text": "I could not."})
    home = Path(env["HOME"])
    (home / "precious").write_text("x")
    done = run_headless(["-m", model, "clean up"], env=env, cwd=work)
    assert (done.exit_code, done.stdout) == (6, "I could not.\n")
    assert (home / "precious").exists()


def test_a_denied_command_is_not_run(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"permissions": {"deny": ["bash(touch *)"]}}))
    model = script(tmp_path, bash("true && touch made"), {"text": "Not allowed."})
    done = run_headless(["-m", model, "--config", str(config), "make it"], env=env, cwd=work)
    assert done.exit_code == 6
    assert not (work / "made").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--nonsense", "hi"], "--nonsense"),
        (["--max-iterations", "0", "hi"], "--max-iterations"),
        (["--max-iterations", "-7", "hi"], "--max-iterations"),
        (["--max-iterations", "many", "hi"], "--max-iterations"),
        (["--output-format", "xml", "hi"], "xml"),
        (["--config", "/no/such/file", "hi"], "/no/such/file"),
        (["-m", "two words", "hi"], "two words"),
        (["-m", "gpt-5", "hi"], "openai/gpt-5"),
        (["-m", "antropic/claude-opus-4-8", "hi"], "anthropic/"),
        (["-p"], "prompt is empty"),
        (["", "  "], "empty"),
        (["config"], "ml-intern config show"),
        (["config", "shw"], "ml-intern config show"),
    ],
)
def test_usage_errors_go_to_stderr_with_code_2(env: dict[str, str], work: Path, args: list[str], said: str) -> None:
    done = run_headless(args, env=env, cwd=work)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_children_save_and_set_the_code(
    env: dict[str, str], tmp_path: Path, work: Path, number: signal.Signals, code: int
) -> None:
    model = script(tmp_path, bash("trap '' INT; echo up > up; sleep 600"), {"text": "never"})
    with start_headless(["-m", model, "--output-format", "stream-json", "wait"], env=env, cwd=work) as running:
        running.wait_for_stdout("tool_call")
        running.wait_until(lambda: (work / "up").exists())
        running.send_signal(number)
        done = running.wait(20)
        running.assert_no_children()
    assert done.exit_code == code
    kinds = [event["event_type"] for event in done.events()]
    assert kinds[-2:] == ["interrupted", "shutdown"]
    (journal,) = Path(env["XDG_STATE_HOME"]).rglob("sessions/*/*/*/*.jsonl")
    assert '"kind":"end"' in journal.read_text()


def test_a_second_signal_is_no_traceback(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    model = script(tmp_path, bash("trap '' TERM INT; echo up > up; sleep 600"), {"text": "never"})
    with start_headless(["-m", model, "wait"], env=env, cwd=work) as running:
        running.wait_until(lambda: (work / "up").exists())
        running.send_signal(signal.SIGTERM)
        running.send_signal(signal.SIGTERM)
        done = running.wait(20)
        running.assert_no_children()
    assert done.exit_code in (143, -signal.SIGTERM)
    assert "Traceback" not in done.stderr


def test_a_refused_effort_is_remembered(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    openai_server.script(reply.effort_error("high"), reply.call("bash", {"command": "ls"}), reply.text("ok"))
    keys = {"HF_TOKEN": "hf_key_three", "HF_ROUTER_BASE_URL": openai_server.base_url}
    done = run_headless(["-m", "org/model", "hi"], env=env | keys, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "ok\n"), done.stderr
    efforts = [request.get("reasoning_effort") for request in openai_server.chat_requests]
    assert efforts == ["high", "medium", "medium"]


def test_a_signal_during_a_stalled_answer_ends_it(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    openai_server.script(reply.stall_after(1, reply.text("Hel", "lo")))
    with start_headless(["-m", "vllm/m", "hi"], env=local(env, openai_server), cwd=work) as running:
        openai_server.wait_stalled(timeout_s=30)
        running.send_signal(signal.SIGINT)
        assert running.wait(20).exit_code == 130
    openai_server.wait_client_gone()


# --- input -----------------------------------------------------------------------------------------------------------


def test_piped_input_is_joined_to_the_prompt(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    openai_server.script(reply.text("ok"), reply.text("ok"))
    run_headless(["-m", "vllm/m", "explain this"], env=local(env, openai_server), cwd=work, stdin=b"a log line\n")
    run_headless(["-m", "vllm/m", "-p"], env=local(env, openai_server), cwd=work, stdin=b"do it\n")
    contents = [request["messages"][-1]["content"] for request in openai_server.chat_requests]
    assert contents == ["explain this\n\na log line\n", "do it\n"]


def test_a_pipe_that_stays_open_does_not_block(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    done = run_headless(["-m", script(tmp_path, {"text": "ok"}), "hi"], env=env, cwd=work, stdin="open")
    assert (done.exit_code, done.stdout) == (0, "ok\n")
    assert "no piped input" in done.stderr


@pytest.mark.parametrize(
    "prompt",
    ["[/usr/lib/x] [bold]", "\x1b[2J\x1b]52;c;eA==\x07 red", "日本語 🚀 עברית", "- a list", "x" * 50_000],
)
def test_odd_prompts_arrive_unchanged(env: dict[str, str], openai_server: FakeOpenAI, work: Path, prompt: str) -> None:
    openai_server.script(reply.text(f"You said: {prompt[:200]}"))
    done = run_headless(["-m", "vllm/m", "--", prompt], env=local(env, openai_server), cwd=work)
    assert done.exit_code == 0, done.stderr
    assert openai_server.chat_requests[0]["messages"][-1]["content"] == prompt
    assert "\x1b" not in done.stdout + done.stderr


def test_a_prompt_of_a_megabyte_by_pipe(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    openai_server.script(reply.text("long"))
    wide = {"ML_INTERN_CONTEXT_WINDOW": "1000000"}
    done = run_headless(
        ["-m", "vllm/m", "-p"], env=local(env, openai_server) | wide, cwd=work, stdin=b"word " * 210_000
    )
    assert (done.exit_code, done.stdout) == (0, "long\n"), done.stderr
    assert len(openai_server.chat_requests[0]["messages"][-1]["content"]) == 1_050_000


def test_invalid_utf8_is_replaced_and_said(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    openai_server.script(reply.text("ok"))
    done = run_headless(["-m", "vllm/m", "-p"], env=local(env, openai_server), cwd=work, stdin=b"caf\xe9 \xff")
    assert done.exit_code == 0
    assert "not valid UTF-8" in done.stderr
    assert openai_server.chat_requests[0]["messages"][-1]["content"] == "caf\ufffd \ufffd"


def test_endless_input_is_refused(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    command = ["bash", "-c", 'yes | ml-intern -m "$0" hi']
    done = run_headless([script(tmp_path, {"text": "no"})], env=env, cwd=work, command=command)
    assert done.exit_code == 2
    assert "more than 10 MB" in done.stderr


@pytest.mark.parametrize(("redirect", "code"), [(">&-", 0), ("2>&-", 0), (">/dev/full", 1), ("2>/dev/full", 0)])
def test_closed_and_full_streams_are_no_traceback(
    env: dict[str, str], tmp_path: Path, work: Path, redirect: str, code: int
) -> None:
    command = ["bash", "-c", f'ml-intern -m "$0" hi {redirect}']
    done = run_headless([script(tmp_path, {"text": "ok"})], env=env, cwd=work, command=command)
    assert done.exit_code == code
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.stdout == ("ok\n" if redirect.startswith("2") else "")


def test_a_directory_that_is_gone_is_said(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    command = ["bash", "-c", 'cd "$(mktemp -d -p .)" && rmdir "$PWD" && ml-intern -m replay/demo hi']
    done = run_headless([], env=env, cwd=work, command=command)
    assert done.exit_code == 2
    assert "current directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_session_that_cannot_be_saved_is_said(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("in the way")
    model = script(tmp_path, bash("echo hi"), {"text": "ok"})
    done = run_headless(["-m", model, "hi"], env=env | {"XDG_STATE_HOME": str(blocked)}, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "ok\n"), done.stderr
    assert "not being saved" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_rule_and_a_misspelt_variable_are_said(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"permissions": {"deny": ["wirte(**)"]}}))
    done = run_headless(["--config", str(config), "hi"], env=env, cwd=work)
    assert done.exit_code == 2
    assert "did you mean 'write'" in done.stderr
    model = script(tmp_path, {"text": "ok"})
    done = run_headless(["-m", model, "hi"], env=env | {"ML_INTERN_MAX_ITERATION": "3"}, cwd=work)
    assert done.exit_code == 0
    assert "ML_INTERN_MAX_ITERATIONS" in done.stderr


def test_answers_cannot_play_with_the_terminal_or_the_markup(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    nasty = "[/usr/lib/x] \x1b[2J [bold]hi"
    model = script(tmp_path, bash(f"printf '%b' '{nasty}'; exit 3", text=nasty), {"text": nasty})
    done = run_headless(["-m", model, "hi"], env=env, cwd=work)
    assert done.exit_code == 0, done.stderr
    assert "[/usr/lib/x]" in done.stdout
    assert "[bold]hi" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_a_reader_that_leaves_is_no_traceback(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    model = script(tmp_path, *[bash(f"echo {n}") for n in range(30)], {"text": "end"})
    command = ["bash", "-c", 'ml-intern -m "$0" --output-format stream-json hi | head -1']
    done = run_headless([model], env=env, cwd=work, command=command)
    assert "Traceback" not in done.stderr
    assert '"ready"' in done.stdout


# --- files -----------------------------------------------------------------------------------------------------------


def test_config_show_names_value_and_layer_and_masks_secrets(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    config = tmp_path / "config.json"
    headers = {"Authorization": "Bearer ${MY_SECRET_TOKEN}"}
    config.write_text(
        json.dumps({"max_iterations": 7, "mcpServers": {"s": {"url": "http://127.0.0.1:1/", "headers": headers}}})
    )
    done = run_headless(
        ["config", "show", "--config", str(config), "-m", "replay/demo"],
        env=env | {"MY_SECRET_TOKEN": "hush-hush-hush"},
        cwd=work,
    )
    assert done.exit_code == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "replay/demo" in lines["model_name"]
    assert "flag" in lines["model_name"]
    assert str(config) in lines["max_iterations"]
    assert "hush" not in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{oops", "line 1"),
        ("[]", "object"),
        ('{"max_iteration": 3}', "max_iterations"),
        ('{"max_iterations": "x"}', "max_iterations"),
        ('{"max_iterations": -7}', "max_iterations"),
        ('{"reasoning_effort": "hgih"}', "reasoning_effort"),
        ('{"model_name": "${NOT_SET_ANYWHERE}"}', "NOT_SET_ANYWHERE"),
    ],
)
def test_bad_configuration_is_file_key_problem(
    env: dict[str, str], tmp_path: Path, work: Path, text: str, said: str
) -> None:
    config = tmp_path / "config.json"
    config.write_text(text)
    done = run_headless(["--config", str(config), "hi"], env=env, cwd=work)
    assert (done.exit_code, done.stdout) == (2, "")
    assert str(config) in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_in_dotenv_is_used(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    openai_server.script(reply.text("ok"))
    (work / ".env").write_text(f"OPENAI_API_KEY=sk-from-dotenv\nOPENAI_BASE_URL={openai_server.base_url}\n")
    done = run_headless(["-m", "openai/gpt-4.1", "hi"], env=env, cwd=work)
    assert done.exit_code == 0, done.stderr
    assert openai_server.requests[0].headers["authorization"] == "Bearer sk-from-dotenv"


@pytest.mark.usefixtures("network_log")  # with the real address it would be tried, and is refused by the guard
def test_a_repository_cannot_turn_the_persons_key_to_another_server(
    env: dict[str, str], openai_server: FakeOpenAI, work: Path
) -> None:
    (work / ".env").write_text(f"OPENAI_BASE_URL={openai_server.base_url}\n")
    done = run_headless(
        ["-m", "openai/gpt-4.1", "hi"], env=env | {"OPENAI_API_KEY": "sk-mine"}, cwd=work, timeout_s=100
    )
    assert openai_server.requests == []
    assert "OPENAI_BASE_URL" in done.stderr


def test_tools_do_not_see_the_persons_secrets(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    model = script(tmp_path, bash("env > seen.txt"), {"text": "ok"})
    secrets = {"ANTHROPIC_API_KEY": "sk-ant-hush", "HF_TOKEN": "hf_hush"}
    done = run_headless(["-m", model, "hi"], env=env | secrets, cwd=work)
    assert done.exit_code == 0
    assert "hush" not in (work / "seen.txt").read_text()


def test_a_read_only_workspace_is_a_clear_tool_error(env: dict[str, str], tmp_path: Path, work: Path) -> None:
    write = {"tool_calls": [{"name": "write", "arguments": {"path": "/proc/nothing/x.py", "content": "x"}}]}
    done = run_headless(["-m", script(tmp_path, write, {"text": "no"}), "hi"], env=env, cwd=work)
    assert done.exit_code == 0
    assert "✗ write" in done.stderr
    assert "/proc/nothing" in done.stderr


def test_agents_md_reaches_the_model(env: dict[str, str], openai_server: FakeOpenAI, work: Path) -> None:
    (work / "AGENTS.md").write_text("Always use seed 1234.")
    openai_server.script(reply.text("ok"))
    run_headless(["-m", "vllm/m", "hi"], env=local(env, openai_server), cwd=work)
    assert "Always use seed 1234." in openai_server.chat_requests[0]["messages"][0]["content"]


# --- what is not imported --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["-m", "replay/demo", "hi"]])
def test_heavy_packages_stay_out(env: dict[str, str], work: Path, args: list[str]) -> None:
    done = run_headless(args, env=env | {"PYTHONPROFILEIMPORTTIME": "1"}, cwd=work)
    assert done.exit_code == 0
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "argparse" in imported
    assert not {"litellm", "fastmcp", "huggingface_hub"} & imported
