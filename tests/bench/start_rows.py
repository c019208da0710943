"""Rows about starting: to the first request, with httpx and through litellm; help; what is imported on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.bench.figures import COUNT, ITSELF, MILLISECONDS, RATIO, Row
from tests.bench.processes import OURS, PYTHON, Run, RunError, run
from tests.bench.rounds import MODEL, NOTHING_MORE, Bench

START_AT_MOST, LITELLM_AT_MOST, HELP_AT_MOST = 1.75, 1.15, 3.0
CLAUDE = "anthropic/claude-sonnet-4-6"
FORCED = {"ML_INTERN_LLM_BACKEND": "litellm"}
IMPORT = "import litellm"
IMPORT_ALONE = "import litellm, os; os._exit(0)"
"""A Python that has imported litellm takes a second to end: with it, the command is the easier floor."""
HEAVY = ("litellm", "fastmcp", "huggingface_hub")
REFUSED = (0, 1)
"""Exit codes where the server does not speak the API: the request has come, and the turn fails."""


def start(bench: Bench) -> list[Row]:
    """From the start of the process to the first request, on an OpenAI-compatible server."""
    pairs = bench.rounds(bench.floor, bench.ours)
    return [
        Row(
            "start",
            'start → first request, `ml-intern "hi"`',
            tuple(floor.first_s for floor, _ in pairs),
            tuple(ours.first_s for _, ours in pairs),
            MILLISECONDS,
            RATIO,
            START_AT_MOST,
        )
    ]


def litellm(bench: Bench) -> list[Row]:
    """The same for a provider that litellm serves. The floor is `import litellm`: as a command, and without its end."""
    return [
        _through_litellm(bench, "litellm", "the same, anthropic/…, to `import litellm`", CLAUDE),
        _through_litellm(
            bench, "litellm-alone", "the same, to that import without the exit", CLAUDE, code=IMPORT_ALONE
        ),
    ]


def forced_litellm(bench: Bench) -> list[Row]:
    """The same with `llm_backend: "litellm"`, on the OpenAI-compatible server."""
    imports = heavy_imports(bench, ("--model", MODEL, "hi"), FORCED)
    if "litellm" not in imports:
        raise RunError("ML_INTERN_LLM_BACKEND=litellm did not make it use litellm")
    return [_through_litellm(bench, "litellm-forced", 'the same, `llm_backend: "litellm"`', MODEL, more=FORCED)]


def _through_litellm(
    bench: Bench, name: str, what: str, model: str, more: Mapping[str, str] = NOTHING_MORE, code: str = IMPORT
) -> Row:
    environment = bench.environment(LITELLM_LOCAL_MODEL_COST_MAP="True")  # as ours has it: no download at import

    def floor() -> Run:
        return run((PYTHON, "-c", code), environment)

    pairs = bench.rounds(floor, lambda: bench.ours(model=model, codes=REFUSED, more=more))
    return Row(
        name,
        what,
        tuple(floor.wall_s for floor, _ in pairs),
        tuple(ours.first_s for _, ours in pairs),
        MILLISECONDS,
        RATIO,
        LITELLM_AT_MOST if code == IMPORT else None,
    )


def help_text(bench: Bench) -> list[Row]:
    """`--help` and `--version`, to the end of the process. The floor is a Python that imports two small modules."""
    return [_small(bench, flag) for flag in ("--help", "--version")]


def _small(bench: Bench, flag: str) -> Row:
    environment = bench.environment()
    pairs = bench.rounds(
        lambda: run((PYTHON, "-c", "import argparse, json"), environment), lambda: run((*OURS, flag), environment)
    )
    return Row(
        flag.strip("-"),
        f"`{flag}`, to `import argparse, json`",
        tuple(floor.wall_s for floor, _ in pairs),
        tuple(ours.wall_s for _, ours in pairs),
        MILLISECONDS,
        RATIO,
        HELP_AT_MOST,
    )


def imports(bench: Bench) -> list[Row]:
    """How many of the heavy libraries are imported by what has no need of them."""
    return [
        _imported("imports-help", "`--help`", heavy_imports(bench, ("--help",), {})),
        _imported("imports-version", "`--version`", heavy_imports(bench, ("--version",), {})),
        _imported("imports-start", '`"hi"`', heavy_imports(bench, ("--model", MODEL, "hi"), {})),
    ]


def _imported(name: str, by: str, found: set[str]) -> Row:
    named = f" ({', '.join(sorted(found))})" if found else ""
    return Row(name, f"heavy libraries imported by {by}{named}", (), (float(len(found)),), COUNT, ITSELF, 0.0)


def heavy_imports(bench: Bench, words: Sequence[str], more: dict[str, str]) -> set[str]:
    """Which of `HEAVY` one run imports, in whatever thread, by Python's own record (`-X importtime`)."""
    _, base = bench.server.place("text")
    python, script = OURS
    environment = bench.environment(VLLM_BASE_URL=f"{base}/v1") | more
    lines = run((python, "-X", "importtime", script, *words), environment).stderr.splitlines()
    modules = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    return {name for name in HEAVY if any(module.partition(".")[0] == name for module in modules)}
