"""Notifications, in the installed command: a webhook, Slack and the desktop, with and without a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conversation import Talk, ask, asked, assert_calm, bash, rest, with_server
from tests.e2e.harness import run_headless
from tests.e2e.hub_runs import files_with
from tests.e2e.reading_runs import HF_TOKEN, configure, told
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.slack import FakeSlack, Said

PATH = "/hook/T0SECRETPATH"
"""Whoever knows it can send there."""
HEADER = "header-value-that-is-secret"
SLACK_TOKEN = "xoxb-" + "1" * 12 + "-" + "s" * 24
NOTICE = b"\x1b]9;ml-intern: Approval needed: 1 call waits for your answer: bash\x07"


@pytest.fixture
def place() -> Iterator[FakeSlack]:
    """Slack and the webhook's receiver."""
    with FakeSlack() as running:
        yield running
        running.check()


@pytest.fixture
def mine(env: dict[str, str], openai_server: FakeOpenAI) -> dict[str, str]:
    """The environment of a person with a local model and a token; `talk` uses it, too."""
    env |= {"VLLM_BASE_URL": openai_server.url, "HF_TOKEN": HF_TOKEN}
    return env


def hook(place: FakeSlack, **more: Any) -> dict[str, Any]:
    """The configuration of a webhook there."""
    return {"provider": "webhook", "url": place.url + PATH, "headers": {"X-Key": HEADER}, **more}


def use(env: dict[str, str], **destinations: dict[str, Any]) -> None:
    configure(env, messaging={"enabled": True, "destinations": destinations})


def log_of(env: dict[str, str]) -> str:
    """What the program has written to its log."""
    return (Path(env["XDG_STATE_HOME"]) / "ml-intern" / "logs" / "ml-intern.log").read_text()


def slack(env: dict[str, str], place: FakeSlack, **more: str) -> dict[str, str]:
    """`env` with what is enough for Slack."""
    own = {"SLACK_BOT_TOKEN": SLACK_TOKEN, "SLACK_CHANNEL_ID": "C012345", "SLACK_BASE_URL": f"{place.url}/api"}
    return env | own | more


def test_a_finished_turn_is_posted_once_without_secrets(
    mine: dict[str, str], work: Path, openai_server: FakeOpenAI, place: FakeSlack
) -> None:
    use(mine, hook=hook(place, allow_auto_events=True), quiet=hook(place))
    said = f"It is **trained**: loss 0.5. Its token is {HF_TOKEN}, its key {HEADER}, its place {place.url}{PATH}."
    openai_server.script(bash("ls"), reply.text(said))
    done = run_headless(["-m", "vllm/m", "Train it."], env=mine, cwd=work)
    assert done.exit_code == 0, done.stderr
    (request,) = place.requests
    assert (request.path, request.headers["x-key"]) == (PATH, HEADER)
    post = request.json
    assert set(post) == {"title", "message", "severity", "metadata", "event_type", "time"}
    assert (post["event_type"], post["severity"], post["title"]) == ("turn_complete", "success", "The turn is complete")
    assert post["metadata"]["model"] == "vllm/m"
    assert "It is **trained**: loss 0.5." in post["message"]
    for secret in (HF_TOKEN, HEADER, PATH):
        assert secret not in str(post), secret
        assert secret not in done.stderr, secret
    assert [path.name for path in files_with(mine, HEADER)] == ["cli_agent_config.json"]


def test_an_error_is_posted(mine: dict[str, str], work: Path, openai_server: FakeOpenAI, place: FakeSlack) -> None:
    use(mine, hook=hook(place, allow_auto_events=True))
    openai_server.script(reply.auth_error())
    done = run_headless(["-m", "vllm/m", "Train it."], env=mine, cwd=work)
    assert done.exit_code not in (0, 2)
    (post,) = place.posts
    assert (post["event_type"], post["severity"], post["title"]) == ("error", "error", "The turn ended with an error")
    assert "API key" in post["message"]


@pytest.mark.parametrize("how", ["silent", "gone"])
def test_a_receiver_that_does_not_answer_keeps_nobody(
    mine: dict[str, str], work: Path, openai_server: FakeOpenAI, place: FakeSlack, how: str
) -> None:
    use(mine, hook=hook(place, allow_auto_events=True))
    place.answers.extend([Said(stall=how == "silent", cut=how == "gone")] * 10)
    openai_server.script(reply.text("Done."))
    done = run_headless(["-m", "vllm/m", "Train it."], env=mine, cwd=work, timeout_s=30)
    if how == "silent":
        place.wait_client_gone()  # nobody has let the receiver go on: the program has left it
    place.wait_for_requests(1)
    assert (done.exit_code, done.stdout) == (0, "Done.\n"), done.stderr
    assert "Traceback" not in done.stderr
    assert PATH not in done.stderr + log_of(mine)
    assert "did not shut down by itself" not in log_of(mine)  # nor had it to be cut off, after ten seconds


def test_a_message_that_was_given_up_is_in_the_log(
    mine: dict[str, str], work: Path, openai_server: FakeOpenAI, place: FakeSlack
) -> None:
    use(mine, hook=hook(place, allow_auto_events=True))
    place.answers.append(Said(stall=True))
    openai_server.script(reply.text("Done."))
    assert run_headless(["-m", "vllm/m", "Train it."], env=mine, cwd=work).exit_code == 0
    assert "given up" in log_of(mine)


def test_a_second_turn_is_not_held_up_by_the_first_ones_message(
    mine: dict[str, str], talk: Talk, openai_server: FakeOpenAI, place: FakeSlack
) -> None:
    use(mine, hook=hook(place, allow_auto_events=True))
    place.answers.append(Said(stall=True))
    terminal = with_server(talk, openai_server, reply.text("First."), reply.text("Second."))
    ask(terminal, "one")
    terminal.wait_for("First.")
    place.wait_stalled()
    rest(terminal)
    ask(terminal, "two")
    terminal.wait_for("Second.")
    rest(terminal)
    assert_calm(terminal)
    terminal.key("ctrl-d")
    assert terminal.exit_code() == 0
    place.wait_client_gone()
    assert len(place.requests) == 1


def test_the_agent_tells_the_person_when_it_was_asked_to(
    mine: dict[str, str], work: Path, openai_server: FakeOpenAI, place: FakeSlack
) -> None:
    use(mine, hook=hook(place, allow_agent_tool=True), other=hook(place))
    arguments = {"destinations": ["hook"], "message": f"Loss **0.5**, {HF_TOKEN}", "title": "Trained"}
    wrong = arguments | {"destinations": ["other"]}
    openai_server.script(
        reply.call("notify", arguments, id="call_told"), reply.call("notify", wrong, id="call_wrong"), reply.text("Ok.")
    )
    done = run_headless(["-m", "vllm/m", "Tell me."], env=mine, cwd=work)
    assert done.exit_code == 0, done.stderr
    (tool,) = [t["function"] for t in openai_server.chat_requests[0]["tools"] if t["function"]["name"] == "notify"]
    assert tool["parameters"]["properties"]["destinations"]["items"]["enum"] == ["hook"]
    results = told(openai_server.chat_requests[-1])
    assert results["told"] == "hook: sent"
    assert "sent" not in results["wrong"].replace("not sent", "")
    (post,) = place.posts
    assert (post["title"], post["severity"], post["event_type"]) == ("Trained", "info", None)
    assert post["message"].startswith("Loss **0.5**, ")
    assert HF_TOKEN not in post["message"]


def test_slack_needs_only_its_variables(
    mine: dict[str, str], work: Path, openai_server: FakeOpenAI, place: FakeSlack
) -> None:
    place.answers.append(Said(body={"ok": False, "error": "not_in_channel"}))
    arguments = {"destinations": ["slack.default"], "message": "Loss **0.5**"}
    openai_server.script(
        reply.call("notify", arguments, id="call_refused"),
        reply.call("notify", arguments | {"title": "Again"}, id="call_sent"),
        reply.text("All is [written](https://example.org/a) down."),
    )
    done = run_headless(["-m", "vllm/m", "Tell me."], env=slack(mine, place), cwd=work)
    assert done.exit_code == 0, done.stderr
    results = told(openai_server.chat_requests[-1])
    assert "invite the bot" in results["refused"]
    assert results["sent"] == "slack.default: sent"
    assert {(r.path, r.headers["authorization"]) for r in place.requests} == {
        ("/api/chat.postMessage", f"Bearer {SLACK_TOKEN}")
    }
    assert {post["channel"] for post in place.posts} == {"C012345"}
    _, second, by_itself = place.posts
    assert "Again" in second["text"]
    assert "Loss *0.5*" in second["text"]
    assert "<https://example.org/a|written>" in by_itself["text"]
    assert SLACK_TOKEN not in str(openai_server.chat_requests) + done.stdout + done.stderr
    assert files_with(mine, SLACK_TOKEN) == []


def test_the_desktop_is_told_of_a_question_and_the_screen_stays_calm(
    mine: dict[str, str], talk: Talk, openai_server: FakeOpenAI, work: Path
) -> None:
    use(mine, desk={"provider": "desktop", "allow_auto_events": True})
    terminal = with_server(talk, openai_server, bash("touch made"), reply.text("Made."))
    ask(terminal, "go")
    asked(terminal)
    terminal.wait_until(lambda: NOTICE in terminal.raw_output())
    ask(terminal, "y")
    terminal.wait_for("Made.")
    rest(terminal)
    assert (work / "made").exists()
    assert_calm(terminal)
    assert terminal.raw_output().count(b"\x1b]9;") == 1  # a short turn is still being looked at
    assert "waits for your answer" not in "\n".join(terminal.scrollback())


def test_without_a_person_the_desktop_gets_nothing(mine: dict[str, str], work: Path, openai_server: FakeOpenAI) -> None:
    use(mine, desk={"provider": "desktop", "allow_auto_events": True, "allow_agent_tool": True})
    openai_server.script(
        reply.call("notify", {"destinations": ["desk"], "message": "Hi"}, id="call_desk"), reply.text("Done.")
    )
    done = run_headless(["-m", "vllm/m", "go"], env=mine, cwd=work)
    assert (done.exit_code, done.stdout) == (0, "Done.\n"), done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "there is no terminal" in told(openai_server.chat_requests[-1])["desk"]


@pytest.mark.parametrize(
    "command",
    [
        ("doctor", "-m", "vllm/test-model"),
        ("doctor", "--json", "-m", "vllm/test-model"),
        ("config", "show"),
        ("config", "show", "--json"),
    ],
)
def test_what_is_set_is_shown_without_what_is_secret(
    mine: dict[str, str], work: Path, openai_server: FakeOpenAI, place: FakeSlack, command: tuple[str, ...]
) -> None:
    keys = {
        "GITHUB_TOKEN": "ghp_" + "g" * 36,
        "S2_API_KEY": "s2" * 12,
        "BRAVE_API_KEY": "bsa" * 9,
        "EXA_API_KEY": "e" * 30,
    }
    remote = {"url": "https://mcp.invalid/mcp", "headers": {"Authorization": "Bearer mcp-header-secret"}}
    local = {"command": "true", "env": {"TEAM_KEY": "mcp-env-secret"}}
    openai_server.route(
        "GET", "/api/whoami-v2", {"name": "ada", "isPro": False, "auth": {"accessToken": {"role": "write"}}}
    )
    configure(
        mine,
        fetch_private_hosts=["wiki.example:8080"],
        mcpServers={"team": remote, "own": local},
        messaging={"enabled": True, "destinations": {"hook": hook(place, allow_auto_events=True)}},
    )
    online = {name: value for name, value in slack(mine, place).items() if name != "HF_HUB_OFFLINE"}
    hub = {"HF_ENDPOINT": openai_server.url, "HF_ROUTER_BASE_URL": openai_server.base_url}
    done = run_headless(command, env=online | hub | keys, cwd=work)
    shown = done.stdout + done.stderr
    assert "Traceback" not in shown
    assert done.stdout
    for secret in (HF_TOKEN, SLACK_TOKEN, HEADER, PATH, "mcp-header-secret", "mcp-env-secret", *keys.values()):
        assert secret not in shown, secret
    if command[0] == "config":
        assert "wiki.example:8080" in shown
        assert "slack.default" in shown
    assert place.requests == []
