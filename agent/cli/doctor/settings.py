"""Checks of what the person has set up: configuration, `.env` files, state directory, proxies, MCP servers."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.cli.config_checks import check_rules, unknown_settings
from agent.cli.doctor.findings import Finding, Findings
from agent.cli.doctor.place import Lookups, Place
from agent.cli.sharing import sharing_words
from agent.cli.user_config import user_file
from agent.config import ConfigError, cache_dir, state_dir
from agent.config_loading import find_project_file, is_present
from agent.hub.whose import remembered_user
from agent.llm.credentials import clean_hf_token
from agent.llm.params import url_host
from agent.ui.tool_lines import counted


def configuration(place: Place) -> Findings:
    """Which layers there are, and whether what they say can be used."""
    problems = list(place.problems)
    if place.loaded is not None:
        try:
            check_rules(place.loaded.config.permissions)
        except ConfigError as error:
            problems += error.problems
    cause = "the configuration cannot be used, so ml-intern does not start"
    remedy = "Correct it there; `ml-intern config show` prints every setting and where it comes from."
    bad = [Finding("configuration", "problem", line, cause, remedy) for line in problems]
    odd = [
        Finding("configuration", "warning", line, "the variable sets nothing", "Rename it or unset it.")
        for line in unknown_settings(place.environ)
    ]
    return [Finding("configuration files", "ok", "; ".join(_layers(place))), *bad, *odd]


def _layers(place: Place) -> Iterator[str]:
    user = user_file(place.environ, place.cwd, str(place.config_file) if place.config_file else None)
    yield f"user file {user}{'' if is_present(user) else ' (none)'}"
    project = find_project_file(place.cwd)
    yield f"project file {project or '.ml-intern/config.json (none)'}"
    layers = place.loaded.layers.values() if place.loaded else ()
    variables = sorted({layer.source for layer in layers if layer.name == "environment"})
    flags = sorted({layer.source for layer in layers if layer.name == "flags"})
    if variables or flags:
        yield f"set by {', '.join(variables + flags)}"


def dotenv(place: Place) -> Findings:
    """What the `.env` files have brought, by name, and what was not taken from them."""
    if not place.dotenv_sources and not place.dotenv_warnings:
        return [Finding(".env files", "ok", "none in use")]
    files: dict[Path, list[str]] = {}
    for name, path in sorted(place.dotenv_sources.items()):
        files.setdefault(path, []).append(name)
    detail = "; ".join(f"{path}: {', '.join(names)}" for path, names in files.items())
    found = [Finding(".env files", "ok", detail)] if files else []
    for warning in place.dotenv_warnings:
        cause, _, remedy = warning.partition("; ")
        found.append(Finding(".env files", "warning", "not everything was taken", cause, remedy))
    return found


def mcp_servers(place: Place) -> Findings:
    """Which MCP servers are configured."""
    if place.loaded is None:
        return [Finding("MCP servers", "skipped", "unknown while the configuration cannot be used")]
    names = ", ".join(sorted(place.loaded.config.mcpServers))
    if not names:
        return [Finding("MCP servers", "ok", "none configured")]
    return [Finding("MCP servers", "ok", f"{names}; 'ml-intern mcp test NAME' tries one")]


def notifications(place: Place) -> Findings:
    """Where messages go, and whether a Slack bot in the environment lacks its other half."""
    if place.loaded is None:
        return [Finding("notifications", "skipped", "unknown while the configuration cannot be used")]
    messaging = place.loaded.config.messaging
    names = [f"{name} ({destination.provider})" for name, destination in sorted(messaging.destinations.items())]
    detail = ", ".join(names) or "none configured"
    if names and not messaging.enabled:
        return [Finding("notifications", "ok", f"off; configured are {detail}")]
    given = [bool(place.environ.get("SLACK_BOT_TOKEN"))]
    given.append(any(place.environ.get(name) for name in ("SLACK_CHANNEL_ID", "SLACK_CHANNEL")))
    if any(given) and not all(given):
        has, lacks = ("SLACK_BOT_TOKEN", "SLACK_CHANNEL_ID") if given[0] else ("SLACK_CHANNEL_ID", "SLACK_BOT_TOKEN")
        cause = f"{has} is set, but not {lacks}: Slack gets no messages"
        return [Finding("notifications", "warning", detail, cause, f"set {lacks} too")]
    return [Finding("notifications", "ok", detail)]


async def traces(place: Place, lookups: Lookups) -> Findings:
    """Whether sessions are uploaded, where to, and what went wrong with that last."""
    if place.loaded is None:
        return [Finding("traces", "skipped", "unknown while the configuration cannot be used")]
    token, config = clean_hf_token(await lookups.hf_token()), place.loaded.config

    def look() -> str:
        user = remembered_user(cache_dir(place.environ), token)
        return sharing_words(state_dir(place.environ), config, place.environ, hf_token=token, hf_user=user)

    said, _, error = (await asyncio.to_thread(look)).partition(", last error: ")
    if not error:
        return [Finding("traces", "ok", said)]
    log = state_dir(place.environ) / "logs" / "uploads.log"
    remedy = f"It is tried again when a session begins or ends. {log} has more; /share-traces off gives it up."
    return [Finding("traces", "warning", said, error, remedy)]


# --- state ------------------------------------------------------------------------------------------------------------


def state(place: Place) -> Findings:
    """Whether sessions can be kept and found again, and whether they are private."""
    path = state_dir(place.environ)
    if not is_present(path):
        return [_new_state(path)]
    if not path.is_dir() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        remedy = f"Let {path} be a directory of yours that you can write to, or set XDG_STATE_HOME to another one."
        return [Finding("state", "problem", str(path), "it cannot be read and written: no session is kept", remedy)]
    sessions = path / "sessions"
    try:
        kept = _journals(sessions) if is_present(sessions) else 0
    except OSError as error:
        cause = f"{error.filename or sessions} cannot be read ({error.strerror})"
        return [Finding("state", "problem", str(path), cause, "Make it a directory that you can read.")]
    detail = f"{path}: {counted(kept, 'session')}"
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        cause = "other users of this machine can look into your sessions"
        return [Finding("state", "warning", detail, cause, f"chmod 700 {path}")]
    return [Finding("state", "ok", f"{detail}, private")]


def _new_state(path: Path) -> Finding:
    parent = next((folder for folder in path.parents if is_present(folder)), Path("/"))
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
        return Finding("state", "ok", f"{path}: none yet, made at the first session")
    remedy = f"Make {parent} a directory that you can write to, or set XDG_STATE_HOME to another one."
    return Finding("state", "problem", str(path), f"it cannot be made: {parent} cannot be written", remedy)


def _journals(sessions: Path) -> int:
    def refuse(error: OSError) -> None:
        raise error

    walked = os.walk(sessions, onerror=refuse)
    return sum(name.endswith(".jsonl") for _, _, names in walked for name in names)


# --- the way to the network -------------------------------------------------------------------------------------------

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_BUNDLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def network(place: Place) -> Findings:
    """Proxies (without their passwords) and certificate bundles."""
    environ = place.environ
    proxies = {name: value for name in _PROXIES if (value := _either_case(environ, name))}
    bundles = {name: value for name in _BUNDLES if (value := environ.get(name, ""))}
    said = [f"{name} {url_host(value) or '(no address)'}" for name, value in proxies.items()]
    if exempt := _either_case(environ, "NO_PROXY"):
        said.append(f"NO_PROXY {exempt}")
    said += [f"{name} {value}" for name, value in bundles.items()]
    found = [
        Finding("proxies", "problem", name, "it holds no address", f"Write {name}=http://host:port, or unset it.")
        for name, value in proxies.items()
        if not url_host(value)
    ]
    found += [
        Finding("proxies", "problem", f"{name} {value}", "there is no such file", f"Correct {name}, or unset it.")
        for name, value in bundles.items()
        if not is_present(Path(value))
    ]
    if {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} & set(bundles) and "SSL_CERT_FILE" not in bundles:
        cause = "only SSL_CERT_FILE is read by the Hugging Face and model clients"
        remedy = "Set SSL_CERT_FILE to the same file."
        found.append(Finding("proxies", "warning", "a certificate bundle for other programs", cause, remedy))
    return [Finding("proxies", "ok", ", ".join(said) or "no proxy, no certificate bundle of your own"), *found]


def _either_case(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.lower(), "") or environ.get(name, "")
