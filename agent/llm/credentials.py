"""Keys: which are there, which are missing, and what to say about it. Nothing is sent and no key is ever shown.

Keys of direct providers stay in the environment, where litellm reads them; only the HF router and local servers get
theirs handed over (spec llm.md §3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from agent.llm.providers import HF_TOKENS_URL, PROVIDERS, Provider, RouteKind
from agent.llm.routes import Route

_OPENAI_FAMILY = frozenset({"openai", "text-completion-openai", "custom_openai", "aiohttp_openai"})
"""Heads of `litellm/…` for which OPENAI_API_KEY is meant."""

_KEEPING_TO_THEMSELVES = frozenset(
    {
        "chatgpt",
        "cloudflare",
        "cohere_chat",
        "databricks",
        "docker_model_runner",
        "github_copilot",
        "hosted_vllm",
        "huggingface",
        "lemonade",
        "llamafile",
        "lm_studio",
        "ollama",
        "ollama_chat",
        "oobabooga",
        "replicate",
        "snowflake",
        "vllm",
    }
)
"""Heads of `litellm/…` for which litellm (1.106, observed) never falls back to OPENAI_API_KEY."""

_ODD_KEY_NAMES = {
    "ai21_chat": ("AI21_API_KEY",),
    "apertis": ("STIMA_API_KEY",),
    "friendliai": ("FRIENDLIAI_API_KEY", "FRIENDLI_TOKEN"),
    "lambda_ai": ("LAMBDA_API_KEY",),
    "meta_llama": ("LLAMA_API_KEY",),
    "nano-gpt": ("NANOGPT_API_KEY",),
    "scaleway": ("SCW_SECRET_KEY",),
    "scx-ai": ("SCX_API_KEY",),
    "tensormesh": ("TENSORMESH_INFERENCE_API_KEY",),
    "text-completion-inception": ("INCEPTION_API_KEY",),
}
"""Providers behind `litellm/` whose key variable is not simply `<NAME>_API_KEY`."""


_TRANSLATABLE = re.compile(
    r"claude-(?:opus|sonnet|haiku)-\d+(?:\.\d+)?|claude-\d+(?:\.\d+)?-(?:opus|sonnet|haiku)|"
    r"gpt-\d+(?:\.\d+)?o?(?:-(?:mini|nano|pro|turbo|codex|chat))*|o\d(?:-(?:mini|pro))?"
)
"""Names, in the router's spelling, of models that the HF router can be expected to have."""


def env_value(environ: Mapping[str, str], *names: str) -> str | None:
    """The first of the variables that is set to more than blanks, without them. Empty counts as unset."""
    return next((value for name in names if (value := environ.get(name, "").strip())), None)


def env_name(environ: Mapping[str, str], *names: str) -> str | None:
    """The name of the variable `env_value` reads."""
    return next((name for name in names if environ.get(name, "").strip()), None)


def clean_hf_token(token: str | None) -> str | None:
    """`token` without line breaks and surrounding blanks; None when nothing is left."""
    if token is None:
        return None
    return token.replace("\r", "").replace("\n", "").strip() or None


def router_token(environ: Mapping[str, str], session_token: str | None) -> str | None:
    """The key for the HF router: `INFERENCE_TOKEN`, then the session's token, then the environment's."""
    candidates = (
        environ.get("INFERENCE_TOKEN"),
        session_token,
        environ.get("HF_TOKEN"),
        environ.get("HUGGING_FACE_HUB_TOKEN"),
    )
    return next((token for candidate in candidates if (token := clean_hf_token(candidate))), None)


def has_aws_credentials(environ: Mapping[str, str]) -> bool:
    """Whether AWS credentials are set up for certain: a region alone does not count, and roles cannot be seen."""
    names = (
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_BEARER_TOKEN_BEDROCK",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    )
    if env_value(environ, *names):
        return True
    home = _home(environ)
    if home is None:
        return False
    files = (home / ".aws" / "credentials", home / ".aws" / "config")
    return any(_names_credentials(path) for path in files)


def missing_credentials(route: Route, environ: Mapping[str, str], hf_token: str | None) -> str | None:
    """What to tell the person when `route` cannot work for lack of a key; None when there is one, or none is needed.

    This is also the guard that keeps keys apart: litellm sends OPENAI_API_KEY to several other providers when it
    finds no key of theirs, so such a call must not be made.
    """
    return _CHECKS[route.provider.kind](route, environ, hf_token)


def _nothing_missing(route: Route, environ: Mapping[str, str], hf_token: str | None) -> str | None:
    return None


def _router_missing(route: Route, environ: Mapping[str, str], hf_token: str | None) -> str | None:
    if router_token(environ, hf_token):
        return None
    head, _, model = route.name.partition("/")
    direct = next((p for p in PROVIDERS if head in p.prefixes and p.router_form and p.key_envs), None)
    other = "run a local model, e.g. --model ollama/<name>"
    if direct is not None:
        other = f"use {direct.label} directly: --model {head}/{native_name(model)} with {direct.key_envs[0]}"
    return (
        f"No Hugging Face token for {route.model_id}: set HF_TOKEN (make one at {HF_TOKENS_URL} with the permission to "
        f"call Inference Providers) or run `hf auth login`; or {other}."
    )


def _direct_missing(route: Route, environ: Mapping[str, str], hf_token: str | None) -> str | None:
    provider = route.provider
    if not _has_credentials(provider, environ):
        return f"No key for {provider.label} ({route.model_id}): {_remedies(route)}."
    absent = [name for name in provider.required_envs if not env_value(environ, name)]
    if absent:
        return f"{provider.label} needs an address too: set {' and '.join(absent)} for {route.model_id}."
    return None


def _remedies(route: Route) -> str:
    provider = route.provider
    page = f" ({provider.key_url})" if provider.key_url else ""
    fix = provider.credential_fix or f"set {' or '.join(provider.key_envs[:2])}{page}"
    form = router_form(route)
    if form:
        return f"{fix}; or go through Hugging Face: --model {form} with HF_TOKEN"
    return f"{fix}; or choose another model with --model"


def router_form(route: Route) -> str | None:
    """The id that serves the same model, or a near one, through the HF router; None when there is none.

    Only names with a family and a version can be translated: `claude`, or a fine-tuned model, has no counterpart.
    """
    model = re.sub(r"^(?:\w+\.)?anthropic\.|(?:-latest|-\d{8})?(?:-v\d+(?::\d+)?)?$", "", route.name)
    model = router_name(model)
    if not route.provider.router_form or not _TRANSLATABLE.fullmatch(model):
        return None
    return route.provider.router_form.replace("{model}", model)


def router_name(model: str) -> str:
    """`claude-opus-4-8` as the router spells it: `claude-opus-4.8`."""
    return re.sub(r"(?<=\d)-(?=\d{1,2}(?!\d))", ".", model)


def native_name(model: str) -> str:
    """`claude-opus-4.8` as Anthropic spells it: `claude-opus-4-8`. Other names are left alone."""
    return model.replace(".", "-") if model.startswith("claude") else model


def _has_credentials(provider: Provider, environ: Mapping[str, str]) -> bool:
    if env_value(environ, *provider.key_envs):
        return True
    if any(name.startswith(provider.ambient_envs) and environ[name].strip() for name in environ):
        return True
    home = _home(environ)
    return home is not None and any(_is_file(home / name) for name in provider.ambient_files)


def _passed_on_missing(route: Route, environ: Mapping[str, str], hf_token: str | None) -> str | None:
    """`litellm/<head>/…`: the row of a provider we know; else only the fall-back to OPENAI_API_KEY is to be feared."""
    head, slash, _ = route.name.partition("/")
    known = next((p for p in PROVIDERS if head in p.prefixes and p.kind is RouteKind.DIRECT), None)
    if known is not None:
        return _direct_missing(Route(known, route.model_id, route.litellm_model, route.name), environ, hf_token)
    if not slash or head in _OPENAI_FAMILY | _KEEPING_TO_THEMSELVES or not env_value(environ, "OPENAI_API_KEY"):
        return None
    names = _ODD_KEY_NAMES.get(head, (f"{head.upper().replace('-', '_')}_API_KEY",))
    if env_value(environ, *names):
        return None
    return (
        f"No key for {route.model_id}: set {' or '.join(names)}. Without it litellm could send your OPENAI_API_KEY to "
        f"{head}, so the call is not made; unset OPENAI_API_KEY if {head} needs no key."
    )


_CHECKS = {
    RouteKind.LOCAL: _nothing_missing,
    RouteKind.REPLAY: _nothing_missing,
    RouteKind.DIRECT: _direct_missing,
    RouteKind.ANYTHING: _passed_on_missing,
    RouteKind.ROUTER: _router_missing,
}


def key_in_use(provider: Provider, environ: Mapping[str, str]) -> str:
    """The name of the variable whose key is sent, for messages; the first candidate when none is set."""
    first = provider.key_envs[0] if provider.key_envs else "the API key"
    return env_name(environ, *provider.key_envs) or provider.login_hint or first


def _home(environ: Mapping[str, str]) -> Path | None:
    home = env_value(environ, "HOME", "USERPROFILE")
    return Path(home) if home else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _names_credentials(path: Path) -> bool:
    """Whether an AWS file holds more than settings such as a region."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"^\s*(?:aws_access_key_id|credential_process|role_arn|sso_)", text, re.MULTILINE) is not None
