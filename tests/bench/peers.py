"""Other agents, run the same way against the same server, where they are installed: `python -m tests.bench --peers`.

`{prompt}`, `{base}` (the server without `/v1`) and `{home}` are filled into commands and environments. Where a program
has changed since and cannot be measured, its row says so.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.bench.figures import MEGABYTES, MILLISECONDS, RATIO, SECONDS, Row
from tests.bench.processes import RunError, clean_environment, running
from tests.bench.rounds import Bench
from tests.bench.turn_rows import TURNS

FIRST_WITHIN_S, TURNS_WITHIN_S = 60.0, 180.0
PROMPT = "hi"
CHAT, RESPONSES, MESSAGES, GEMINI = "chat completions", "responses", "Anthropic messages", "Gemini"


@dataclass(frozen=True)
class Peer:
    """A program. `api` is what it speaks: all but chat completions is answered with an error, and only the time to the
    first request is measured. `files` are written into its home before it starts. `tool` is its shell tool and the
    argument that takes the command ("bash.command"), for 300 turns; "" where it has none or does not run it unasked.
    """

    name: str
    argv: tuple[str, ...]
    api: str
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    tool: str = ""
    streams: bool = True


_PI_MODELS = json.dumps(
    {
        "providers": {
            "bench": {
                "baseUrl": "{base}/v1",
                "api": "openai-completions",
                "apiKey": "none",
                "models": [{"id": "bench"}],
            }
        }
    }
)
_GEMINI_SETTINGS = json.dumps(
    {"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": False}}
)
_LLM_MODELS = "- model_id: bench\n  model_name: bench\n  api_base: {base}/v1\n"
_CODEX = (
    "--skip-git-repo-check",
    "-c",
    "model_provider=bench",
    "-c",
    'model_providers.bench={name="bench",base_url="{base}/v1",wire_api="responses"}',
)

PEERS: tuple[Peer, ...] = (
    Peer(
        "goose",
        ("goose", "run", "--no-session", "-t", "{prompt}"),
        CHAT,
        {
            "GOOSE_PROVIDER": "openai",
            "GOOSE_MODEL": "bench",
            "OPENAI_HOST": "{base}",
            "OPENAI_API_KEY": "none",
            "GOOSE_DISABLE_KEYRING": "1",
            "GOOSE_MODE": "auto",
            "GOOSE_MAX_TURNS": "400",
        },
        tool="developer__shell.command",
    ),
    Peer("codex", ("codex", "exec", *_CODEX, "-m", "bench", "{prompt}"), RESPONSES),
    Peer(
        "claude",
        ("claude", "-p", "{prompt}"),
        MESSAGES,
        {"ANTHROPIC_BASE_URL": "{base}", "ANTHROPIC_API_KEY": "none", "DISABLE_AUTOUPDATER": "1"},
    ),
    Peer(
        "llm",
        ("llm", "-m", "bench", "{prompt}"),
        CHAT,
        {"OPENAI_API_KEY": "none", "LLM_USER_PATH": "{home}/llm"},
        {"llm/extra-openai-models.yaml": _LLM_MODELS},
    ),
    Peer(
        "pi",
        ("pi", "-p", "--provider", "bench", "--model", "bench", "{prompt}"),
        CHAT,
        {"PI_OFFLINE": "1", "PI_CODING_AGENT_DIR": "{home}/pi"},
        {"pi/models.json": _PI_MODELS},
        tool="bash.command",
    ),
    Peer(
        "gemini",
        ("gemini", "--skip-trust", "-m", "gemini-2.5-pro", "-p", "{prompt}"),
        GEMINI,
        {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": "{base}", "GEMINI_TELEMETRY_ENABLED": "false"},
        {".gemini/settings.json": _GEMINI_SETTINGS},
    ),
    Peer(
        "mini-swe-agent",
        ("mini", "-y", "-l", "0", "--exit-immediately", "-m", "openai/bench", "-t", "{prompt}"),
        CHAT,
        {
            "OPENAI_API_BASE": "{base}/v1",
            "OPENAI_API_KEY": "none",
            "MSWEA_CONFIGURED": "true",
            "MSWEA_COST_TRACKING": "ignore_errors",
            "MSWEA_SILENT_STARTUP": "1",
        },
        tool="bash.command",
        streams=False,
    ),
    Peer(
        "aider",
        (
            *("aider", "--yes-always", "--no-git", "--no-check-update", "--no-analytics", "--no-show-model-warnings"),
            *("--model", "openai/bench", "--message", "{prompt}"),
        ),
        CHAT,
        {"OPENAI_API_BASE": "{base}/v1", "OPENAI_API_KEY": "none"},
    ),
)


@dataclass(frozen=True)
class Reached:
    """How far a peer came: seconds from its start to its last request that was waited for; and its peak memory."""

    took_s: float
    peak_bytes: int


def is_there(peer: Peer) -> bool:
    """Whether its command is found on PATH."""
    return shutil.which(peer.argv[0]) is not None


def first_request(peer: Peer, bench: Bench) -> list[Row]:
    """Start -> first request, beside the floor's."""
    pairs = bench.rounds(bench.floor, lambda: _until(bench, peer, 1, "text", FIRST_WITHIN_S))
    return [
        Row(
            peer.name,
            f"{peer.name}: start → first request ({peer.api})",
            tuple(floor.first_s for floor, _ in pairs),
            tuple(own.took_s for _, own in pairs),
            MILLISECONDS,
            RATIO,
            None,
        )
    ]


def many_turns(peer: Peer, bench: Bench) -> list[Row]:
    """300 turns, once: start -> the last request, and peak memory, of the process that was started and those it waited
    for. What a program keeps in other processes is not counted.
    """
    script = f"tools-{TURNS}"
    floor = bench.floor(script)
    own_script = f"{'tools' if peer.streams else 'whole'}-{TURNS}-{peer.tool}"
    own = _until(bench, peer, TURNS + 1, own_script, TURNS_WITHIN_S)
    took_s = floor.requests[-1].at_s - floor.run.started_s
    memory = (float(floor.run.peak_bytes),), (float(own.peak_bytes),)
    return [
        Row(f"{peer.name}-turns", f"{peer.name}: {TURNS} turns", (took_s,), (own.took_s,), SECONDS, RATIO, None),
        Row(f"{peer.name}-memory", f"{peer.name}: peak memory of that", *memory, MEGABYTES, RATIO, None),
    ]


def _until(bench: Bench, peer: Peer, requests: int, script: str, within_s: float) -> Reached:
    """Start it, wait for so many requests, and kill it."""
    word, base = bench.server.place(script)
    home = bench.home / peer.name

    def filled(text: str) -> str:
        return text.replace("{base}", base).replace("{home}", str(home)).replace("{prompt}", PROMPT)

    for name, text in peer.files.items():
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(filled(text))
    home.mkdir(exist_ok=True)
    environment = clean_environment(home) | {name: filled(value) for name, value in peer.environment.items()}
    with running([filled(part) for part in peer.argv], environment) as started:
        came = bench.server.requests(word, requests, within_s, started.is_over)
        if len(came) < requests:
            raise RunError(f"{len(came)} requests in place of {requests}: {started.error_line()}")
        usage = started.end()
    return Reached(came[requests - 1].at_s - started.started_s, usage.ru_maxrss * 1024)
