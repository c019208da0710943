"""The `.env` files: environment > `<cwd>/.env` > `<config dir>/.env`.

The file in the current directory may have come with somebody's repository. It may bring settings and keys of its own,
but must not turn the person's keys towards another server, nor choose what program runs, nor stand in for the person's
own configuration. Values are taken literally (no `${X}`), because a value could otherwise carry a key to an address.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from io import StringIO
from pathlib import Path

from agent.config_loading import (
    PROJECT_KEYS,
    config_dir,
    is_present,
    is_trusted_only_model,
    printable,
    read_small_text,
)
from agent.light_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class DotenvResult:
    """The environment with the files applied; what was skipped and why; the file of each variable taken from one."""

    environ: dict[str, str]
    warnings: list[str]
    sources: dict[str, Path]


def load_dotenv_layers(environ: Mapping[str, str], cwd: Path) -> DotenvResult:
    """Apply `<cwd>/.env` and `<config dir>/.env` below `environ`, which is not changed. Never raises for a bad file."""
    local, own = cwd.absolute() / ".env", config_dir(environ) / ".env"
    warnings: list[str] = []
    own_values = {} if not is_present(own) else _read(own, warnings)
    is_same = local.parent.resolve() == own.parent.resolve()
    local_values = {} if is_same or not is_present(local) else _read(local, warnings)

    sources = {name: own for name in own_values if name not in environ}
    sources |= {name: local for name in local_values if name not in environ}
    merged = own_values | local_values | dict(environ)
    # Addresses come last: whether one is safe depends on which keys were taken from where.
    for name in sorted(sources, key=lambda name: (_redirected_provider(name) is not None, name)):
        path = sources[name]
        reason = _distrust(name, merged, {other for other, file in sources.items() if file == local})
        if _is_exec_changing(name):
            reason = "decides which program runs; export it in your shell"
        elif path == own or reason is None:
            continue
        else:
            reason = f"{reason}; export it, or put it in {own}"
        warnings.append(printable(f"{path}: {name} was not taken: it {reason}"))
        del sources[name], merged[name]
        # The person's own file may still speak where the repository's was turned away.
        if path == local and name in own_values and not _is_exec_changing(name):
            merged[name], sources[name] = own_values[name], own
    return DotenvResult(merged, warnings, sources)


def own_environment(dotenv: DotenvResult, cwd: Path) -> dict[str, str]:
    """The environment without what the `.env` file of `cwd` has put there: it may have come with somebody's repository,
    and must choose neither the account nor the address that sessions go to."""
    local = cwd.absolute() / ".env"
    return {name: value for name, value in dotenv.environ.items() if dotenv.sources.get(name) != local}


def _read(path: Path, warnings: list[str]) -> dict[str, str]:
    try:
        text = read_small_text(path)
    except ValueError as error:
        warnings.append(f"{printable(str(path))}: {error}; the whole file was skipped")
        return {}
    values: dict[str, str] = {}
    for name, value, problem in _parse(text):
        if problem:
            warnings.append(f"{printable(str(path))}: {problem}")
        if value is not None:
            values[name] = value
    return values


def _parse(text: str) -> Iterator[tuple[str, str | None, str]]:
    """Yield name, value (None: not usable) and problem ("": none)."""
    from dotenv.parser import parse_stream  # only where there is a file to read

    for binding in parse_stream(StringIO(text)):
        line, name, value = binding.original.line, binding.key or "", binding.value
        if binding.error:
            yield "", None, f"line {line}: cannot be read; write NAME=value"
        elif name and value is None:
            yield name, None, f"line {line}: {printable(name)} has no value; write {printable(name)}=value"
        elif not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name or "_") or "\0" in (value or ""):
            yield name, None, f"line {line}: not a usable variable; a name is letters, digits and _, a value is text"
        elif name:
            literal = value and re.search(r"\$\{\w+(:-[^}]*)?\}", value)
            yield name, value, f"line {line}: {name} is taken as written; ${{...}} is not expanded" if literal else ""


# --- what a file from a repository may set ---------------------------------------------------------------------------

_EXEC_CHANGING = re.compile(
    r"""PATH | IFS | ENV | SHELL | SHELLOPTS | BASHOPTS | BASH_.* | PROMPT_COMMAND | PS4 | CDPATH | ZDOTDIR | FPATH
    | EDITOR | VISUAL | PAGER | MANPAGER | BROWSER | LESSOPEN | LESSCLOSE | SSH_ASKPASS | SUDO_ASKPASS | SUDO_EDITOR
    | LD_.* | DYLD_.* | GCONV_PATH | LOCPATH | PYTHON.* | VIRTUAL_ENV | GIT_.* | NODE_OPTIONS | NODE_PATH | PERL5.*
    | RUBYOPT | RUBYLIB | CLASSPATH | JAVA_TOOL_OPTIONS | JDK_JAVA_OPTIONS | _JAVA_OPTIONS | R_PROFILE.* | R_ENVIRON.*
    | CC | CXX | LD | RUSTC_WRAPPER""",
    re.VERBOSE,
)
"""These make some child process, or the next Python, run something else. No `.env` file may set them."""

_PERSONAL = re.compile(
    r"""HOME | USERPROFILE | APPDATA | LOCALAPPDATA | TMPDIR | TEMP | TMP | XDG_.* | ML_INTERN_.* | LITELLM_.*
    | HF_HOME | HF_TOKEN_PATH | HF_STORED_TOKENS_PATH | HUGGINGFACE_HUB_CACHE | HF_DATASETS_TRUST_REMOTE_CODE
    | SSL_CERT_FILE | SSL_CERT_DIR | SSLKEYLOGFILE | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE | AWS_CA_BUNDLE | NO_PROXY
    | AWS_CONFIG_FILE | AWS_SHARED_CREDENTIALS_FILE | AWS_ROLE_ARN | AWS_WEB_IDENTITY_TOKEN_FILE | BOTO_CONFIG
    | GOOGLE_APPLICATION_CREDENTIALS | CLOUDSDK_CONFIG | NETRC | KUBECONFIG | DOCKER_HOST | DOCKER_CONFIG
    | SSH_AUTH_SOCK | SLACK_.* | PIP_.* | UV_.* | NPM_CONFIG_.* | CONDA_.* | CARGO_.* | OTEL_.*""",
    re.VERBOSE,
)
"""Where the person's files, trust and downloads are: theirs to say."""

_REDIRECT = re.compile(
    r"(?P<provider>.+?)_(?:BASE_URL|API_BASE|API_URL|API_HOST|PROXY|PROXY_URL|ENDPOINT(?:_URL)?(?:_\w+)?)"
)
_REDIRECT_NAMES = {"OPENID_PROVIDER_URL": "HF", "OLLAMA_HOST": "OLLAMA"}
_REGION = re.compile(r".+_(REGION|REGION_NAME|LOCATION)")

_LOCAL_KEYS = ("OLLAMA_API_KEY", "VLLM_API_KEY", "LMSTUDIO_API_KEY", "LM_STUDIO_API_KEY", "LLAMACPP_API_KEY")
_HF_KEYS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_API_KEY", "INFERENCE_TOKEN")
_AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK")
_GEMINI_KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
_AZURE_KEYS = ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_AI_API_KEY", "AZURE_AD_TOKEN", "AZURE_CLIENT_SECRET")

_KEYS_OF: dict[str, tuple[str, ...]] = {
    "OPENAI": ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"),
    "ANTHROPIC": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    "GEMINI": _GEMINI_KEYS,
    "GOOGLE": _GEMINI_KEYS,
    "GOOGLE_GEMINI": _GEMINI_KEYS,
    "AZURE": _AZURE_KEYS,
    "AZURE_AI": _AZURE_KEYS,
    "AZURE_OPENAI": _AZURE_KEYS,
    "HF": _HF_KEYS,
    "HF_ROUTER": _HF_KEYS,
    "HF_INFERENCE": _HF_KEYS,
    "HUGGINGFACE": _HF_KEYS,
    "AWS": _AWS_KEYS,
    "AWS_BEDROCK_RUNTIME": _AWS_KEYS,
    "GITHUB": ("GITHUB_TOKEN", "GH_TOKEN"),
    "OPENROUTER": ("OPENROUTER_API_KEY", "OR_API_KEY"),
    "GROQ": ("GROQ_API_KEY",),
    "MISTRAL": ("MISTRAL_API_KEY",),
    "DEEPSEEK": ("DEEPSEEK_API_KEY",),
}
"""Every key that a client may send to a provider's address. Of one that is not here, no address is taken."""

_LOCAL_KEYS_OF: dict[str, tuple[str, ...]] = {
    "OLLAMA": ("OLLAMA_API_KEY", "LOCAL_LLM_API_KEY"),
    "VLLM": ("VLLM_API_KEY", "LOCAL_LLM_API_KEY"),
    "LMSTUDIO": ("LMSTUDIO_API_KEY", "LM_STUDIO_API_KEY", "LOCAL_LLM_API_KEY"),
    "LM_STUDIO": ("LMSTUDIO_API_KEY", "LM_STUDIO_API_KEY", "LOCAL_LLM_API_KEY"),
    "LLAMACPP": ("LLAMACPP_API_KEY", "LOCAL_LLM_API_KEY"),
    "LOCAL_LLM": (*_LOCAL_KEYS, "LOCAL_LLM_API_KEY"),
}
"""The same for servers that usually want no key at all."""


def _is_exec_changing(name: str) -> bool:
    return _EXEC_CHANGING.fullmatch(name.upper()) is not None


def _redirected_provider(name: str) -> str | None:
    """Whose requests a variable sends elsewhere: `OPENAI` for OPENAI_BASE_URL. None if it is no address."""
    upper = name.upper()
    match = _REDIRECT.fullmatch(upper)
    return _REDIRECT_NAMES.get(upper, match["provider"] if match else None)


def _distrust(name: str, merged: Mapping[str, str], from_repository: Collection[str]) -> str | None:
    """Why the repository's file may not set `name`, or None if it may."""
    upper, value = name.upper(), merged[name]
    key = upper.removeprefix("ML_INTERN_").lower()
    if upper.startswith("ML_INTERN_") and key in PROJECT_KEYS - {"max_iterations"}:
        bad_model = key == "model_name" and is_trusted_only_model(value)
        return "chooses a scripted, raw litellm or addressed model" if bad_model else None
    provider = _redirected_provider(name)
    if provider is not None:
        safe = _brings_its_keys(provider, upper, merged, from_repository)
        return None if safe else "sends requests, and perhaps your keys, to another address"
    if _REGION.fullmatch(upper) and not re.fullmatch(r"[A-Za-z0-9-]+", value):
        return "is not the name of a region, so it could become part of an address"
    if _PERSONAL.fullmatch(upper) and not upper.endswith("_API_KEY"):
        return "belongs to your own configuration"
    return None


def _read_from() -> set[str]:
    """The addresses of services that the tools read: what stands there is believed, and some may be inside."""
    from agent.web.places import HUB, PLACES

    return {place.variable for place in PLACES if place is not HUB}


def _brings_its_keys(provider: str, name: str, merged: Mapping[str, str], from_repository: Collection[str]) -> bool:
    """True if no key of the person can go to the address: the keys in force for it are the repository's own.

    A local server may also have no key at all. A proxy belongs to no provider, hence to all of them.
    """
    if name.endswith(("_PROXY", "_PROXY_URL")) or name in _read_from():
        return False
    keys = _LOCAL_KEYS_OF.get(provider) or _KEYS_OF.get(provider, ())  # of others nobody knows which keys they get
    in_force = {key for key in keys if merged.get(key)}
    return in_force <= set(from_repository) and (bool(in_force) or provider in _LOCAL_KEYS_OF)
