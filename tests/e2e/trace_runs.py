"""Sessions for exports: a run in which nearly everything happens, what every trace must be, and where secrets are."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.e2e.harness import Finished, run_headless
from tests.fakes import reply
from tests.fakes.openai_server import FakeOpenAI

FORMATS = ("markdown", "html", "json", "claude-code", "hub", "legacy")

Line = dict[str, Any]

# --- secrets ----------------------------------------------------------------------------------------------------------

LIVE = "Kq81zLive4mNp07Wv29Tx"
"""The value of a variable of the person's environment."""
GITHUB = "ghp_" + "Zq7" * 12
ANTHROPIC = "sk-ant-api03-" + "b4R7xK2m" * 11 + "pQAA"
AWS = "wJ4lrXUtn7EMI8K7MDENGbPxRfiCY4kqzLe2Tv9S"
SLACK = "xoxb-" + "123456789012-" * 2 + "aB3dE5gH7jK9mN1pQ3sT5vW7"
PASSWORD = "tr0ub4dor9Kx"
KEY_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
PEM = f"-----BEGIN PRIVATE KEY-----\n{KEY_BODY}\n{KEY_BODY[::-1]}\n-----END PRIVATE KEY-----\n"
FOREIGN = (GITHUB, ANTHROPIC, AWS, SLACK, PASSWORD, KEY_BODY, KEY_BODY[::-1])
"""What others have written into files, prompts and output: known by its looks, or by its name."""

KEPT_AS_IT_WAS = ("sessions", "agents", "checkpoints")
"""The parts of the state directory in which secrets of others stay: they would not be what was said any more."""


def state_of(env: Mapping[str, str]) -> Path:
    """The state directory."""
    return Path(env["XDG_STATE_HOME"]) / "ml-intern"


def holding(secrets: Iterable[str], *places: Path, besides: Iterable[Path] = ()) -> list[tuple[str, str]]:
    """The files below `places` that have one of `secrets` in them, and its beginning. `besides` are left out."""
    skipped, found = [str(path) for path in besides], []
    for path in (Path(top, name) for place in places for top, _, names in os.walk(place) for name in names):
        if path.is_file() and not any(str(path) == each or str(path).startswith(f"{each}/") for each in skipped):
            data = path.read_bytes()
            found += [(str(path), secret[:8]) for secret in secrets if secret.encode() in data]
    return found


def assert_private(path: Path) -> None:
    """For the person alone."""
    assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


# --- a session --------------------------------------------------------------------------------------------------------


def rich_script(server: FakeOpenAI, work: Path) -> str:
    """A server that answers with parallel calls, one that fails, a sub-agent and secrets; returns the prompt for it."""
    (work / "config.py").write_text(f'AWS_SECRET_ACCESS_KEY = "{AWS}"\nREGION = "eu"\nSLACK = "{SLACK}"\n')
    (work / "notes.md").write_text(f"learning rate: 3e-4\npostgres://ada:{PASSWORD}@db.example/runs\nlive {LIVE}\n")
    server.script(
        reply.thinking(
            f"They gave me {GITHUB}.",
            reply.calls(
                reply.Call("read", {"path": "config.py"}, "c_read"),
                reply.Call("bash", {"command": "echo from the shell"}, "c_echo"),
                reply.Call("read", {"path": "missing.txt"}, "c_missing"),
                text=("I look around.",),
            ),
        ),
        reply.call(
            "bash", {"command": f"export ANTHROPIC_API_KEY={ANTHROPIC} K={LIVE}; cat notes.md; exit 3"}, id="c_bad"
        ),
        reply.call("research", {"task": f"Which rate? {GITHUB}", "context": "One GPU."}, id="c_research"),
        reply.call("read", {"path": "notes.md"}, id="s_read"),
        reply.text(f"They say 3e-4, with {SLACK}."),
        reply.call("write", {"path": "id.pem", "content": PEM}, id="c_pem"),
        reply.text(f"Use 3e-4, not {LIVE}. Café \u2028 end."),
    )
    return f"Look at it with {GITHUB} and {LIVE}, please."


def vllm(env: Mapping[str, str], server: FakeOpenAI, **more: str) -> dict[str, str]:
    """The environment of a person whose model is `server`, with a live secret."""
    return {**env, "VLLM_BASE_URL": server.url, "SERVICE_API_KEY": LIVE, **more}


def ok(done: Finished) -> Finished:
    """A command that has worked, without a traceback."""
    assert done.exit_code == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


def sessions(env: Mapping[str, str], cwd: Path) -> list[dict[str, Any]]:
    """What `sessions list` knows, latest first."""
    return list(ok(run_headless(["sessions", "list", "--json"], env=env, cwd=cwd)).json())


def exported(env: Mapping[str, str], cwd: Path, session_id: str, form: str = "claude-code") -> str:
    """An export, from stdout."""
    return ok(run_headless(["sessions", "export", session_id, "--format", form], env=env, cwd=cwd)).stdout


def trace(env: Mapping[str, str], cwd: Path, session_id: str) -> list[Line]:
    """The Claude Code trace of a session, checked."""
    lines = parsed(exported(env, cwd, session_id))
    assert_trace(lines)
    return lines


# --- Claude Code traces -----------------------------------------------------------------------------------------------

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def parsed(text: str) -> list[Line]:
    """The lines of a trace. They must be the same for those who split at every line end that Unicode has."""
    assert text.isascii()
    assert text.splitlines() == text.rstrip("\n").split("\n")
    return [json.loads(line) for line in text.splitlines()]


def framed(lines: Iterable[Line]) -> list[Line]:
    """Those with a uuid."""
    return [line for line in lines if "uuid" in line]


def assert_trace(lines: list[Line]) -> None:
    """Every line has what readers insist on, and the chain is unbroken."""
    known: set[str] = set()
    chain = framed(lines)
    assert chain, "nothing was said"
    for line in chain:
        assert _STAMP.fullmatch(line["timestamp"]), line
        assert re.match(r"\d+\.\d+\.\d+", line["version"]), line
        assert line["isSidechain"] is False
        assert line["userType"] == "external"
        assert line["uuid"] not in known
        parent = line["parentUuid"]
        assert parent in known if known else parent is None, line
        known.add(line["uuid"])
    calls = [(line["message"]["id"], line["requestId"]) for line in chain if line["type"] == "assistant"]
    assert len(set(calls)) == len(calls)
    assert len({line["sessionId"] for line in lines}) == 1


def live(lines: list[Line]) -> list[Line]:
    """The lines from the root to the last one: what a reader shows as the conversation."""
    by_uuid = {line["uuid"]: line for line in framed(lines)}
    branch, at = list[Line](), [line["uuid"] for line in framed(lines) if "was" not in line][-1]
    while at is not None:
        branch.append(by_uuid[at])
        at = by_uuid[at]["parentUuid"]
    return branch[::-1]


def prompts(lines: Iterable[Line]) -> list[str]:
    """What readers take for the person's prompts."""
    said = [line for line in lines if line["type"] == "user" and not line.get("isMeta")]
    return [line["message"]["content"] for line in said if isinstance(line["message"]["content"], str)]


def blocks(lines: Iterable[Line], block_type: str) -> list[Line]:
    """All blocks of a type."""
    contents = [line["message"]["content"] for line in lines if "message" in line]
    return [
        block for content in contents if isinstance(content, list) for block in content if block["type"] == block_type
    ]


def assert_goes_on(before: list[Line], after: list[Line]) -> None:
    """Nothing that was said is gone, or is another line now."""
    later = {line["uuid"]: line for line in framed(after)}
    order = [line["uuid"] for line in framed(after)]
    said = framed(before)
    assert [line["uuid"] for line in said] == [uuid for uuid in order if uuid in {line["uuid"] for line in said}]
    for line in said:
        assert before_undo(line) == before_undo(later[line["uuid"]])


def before_undo(line: Line) -> Line:
    """`line` as it was before it was taken back."""
    return {**line, "type": line.get("was", line["type"]), "was": None}


def tokens(lines: Iterable[Line]) -> tuple[int, int, int]:
    """Calls with usage, their input and output tokens."""
    usages = [line["message"]["usage"] for line in lines if "usage" in line.get("message", {})]
    return len(usages), sum(each["input_tokens"] for each in usages), sum(each["output_tokens"] for each in usages)
