"""The configuration: its keys, and how it is put together from layers.

    bundled < user < project < environment < flags

Every key of the result remembers the layer it came from. Whatever is wrong is reported at once, as `ConfigError`, one
`file: key: problem` per line. How files are read and merged is in `agent.config_loading`, what the keys are in
`agent.config_keys`, how their values are checked in `agent.config_values`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent.config_keys import Config, Destination, McpServer, MessagingConfig, Permissions
from agent.config_loading import (
    DEFAULT,
    ConfigError,
    Key,
    Layer,
    Substitution,
    Tree,
    cache_dir,
    config_dir,
    dotted,
    expand_path,
    find_project_file,
    is_present,
    only_settings,
    printable,
    project_problems,
    read_object,
    state_dir,
    strength,
    substitute,
)
from agent.config_values import InvalidValuesError, near_miss, scalar_kind
from agent.light_dataclass import dataclass
from agent.redaction.names import is_secret_name

__all__ = [
    "Config",
    "ConfigError",
    "Destination",
    "Layer",
    "LoadedConfig",
    "McpServer",
    "MessagingConfig",
    "Permissions",
    "bundled_config_path",
    "cache_dir",
    "config_dir",
    "describe",
    "load_config",
    "state_dir",
]


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A valid configuration and where it came from.

    `layers` has one entry per leaf of the configuration, by dotted key. `secrets` are the leaves whose text came from
    a variable with a secret-looking name. `notes` are lines for the person: what of their files has no effect any more.
    """

    config: Config
    layers: Mapping[str, Layer]
    secrets: frozenset[Key] = frozenset()
    notes: tuple[str, ...] = ()


# --- loading ---------------------------------------------------------------------------------------------------------


def bundled_config_path(name: str = "cli_agent_config.json") -> Path:
    """The shipped file: inside the package when installed from a wheel, in `configs/` of a checkout."""
    package = Path(__file__).parent
    installed = package / "configs" / name
    return installed if installed.exists() else package.parent / "configs" / name


def load_config(
    *,
    environ: Mapping[str, str],
    cwd: Path,
    config_file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
) -> LoadedConfig:
    """Read all layers and return the configuration with the layer of each key.

    `config_file` takes the place of the user's file. `flags` are keys of Config; those that are None were not given.
    Raises ConfigError with every problem found at the first stage that found any: reading, substitution, validation.
    """
    tree, problems, notes = Tree(), list[str](), list[str]()
    for layer in _file_layers(environ, cwd, config_file):
        try:
            values, retired = only_settings(read_object(Path(layer.source)), layer)
        except ConfigError as error:
            problems += error.problems
            continue
        notes += retired
        if layer.name == "project":
            limit = tree.data.get("max_iterations", Config().max_iterations)
            problems += project_problems(values, layer, Config.key_names(), limit)
        tree.add(values, layer)
    problems += _add_slack_defaults(tree, environ)
    for key, text in _environment_values(environ):
        layer = Layer("environment", f"ML_INTERN_{key.upper()}")
        try:
            tree.add({key: _scalar(key, text)}, layer)
        except ValueError as error:
            problems.append(f"{layer.where((key,))}: {error}")
    for key, value in (flags or {}).items():
        if value is not None:
            tree.add({key: value}, Layer("flags", _FLAGS.get(key, "--" + key.replace("_", "-"))))
    if problems:
        raise ConfigError(problems)
    done = substitute(tree, environ)
    done.problems += _convert_expanded(tree, done)
    if done.problems:
        raise ConfigError(done.problems)
    _settle_mode(tree)
    try:
        config = Config.of(tree.data)
    except InvalidValuesError as error:
        found = [f"{tree.culprit(key).where(key)}: {printable(text)}" for key, text in error.problems]
        raise ConfigError(found) from None
    layers = {dotted(key): tree.setter(key) for key, _ in _leaves(asdict(config))}
    return LoadedConfig(config, layers, frozenset(done.secret), tuple(notes))


_FLAGS = {
    "model_name": "--model",
    "yolo_mode": "--yolo",
    "tool_runtime": "--sandbox-tools",
    "max_wall_s": "--max-wall",
}
"""Flags that are not called like the key they set."""


def _file_layers(environ: Mapping[str, str], cwd: Path, config_file: Path | None) -> Iterator[Layer]:
    yield Layer("bundled", str(bundled_config_path()))
    named = config_file or environ.get("ML_INTERN_CLI_CONFIG")
    user = expand_path(named, environ, cwd) if named else config_dir(environ) / "cli_agent_config.json"
    if named or is_present(user):
        yield Layer("user", str(user))
    if project := find_project_file(cwd):
        yield Layer("project", str(project))


def _environment_values(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Keys set by ML_INTERN_<KEY>. An empty variable is one that is not set."""
    for key in Config.key_names():
        if text := environ.get(f"ML_INTERN_{key.upper()}", "").strip():
            yield key, text


_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def _scalar(key: str, text: str) -> str | int | bool:
    kind = scalar_kind(Config, key)
    if kind is None:
        raise ValueError(f'cannot be set by an environment variable; put "{key}" in your user file')
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise ValueError("expected true or false (also 1, 0, yes, no)")
        return _BOOLEANS[text.lower()]
    if kind is int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise ValueError("expected a whole number")
        return int(text)
    return text


SLACK_PREFIX = "ML_INTERN_SLACK_"
_SLACK_SETTINGS = ("NOTIFICATIONS", "DESTINATION", "AUTO_EVENTS", "ALLOW_AGENT_TOOL", "ALLOW_AUTO_EVENTS")


def _add_slack_defaults(tree: Tree, environ: Mapping[str, str]) -> Iterator[str]:
    """A bot token and a channel in the environment make a destination; yields what is wrong with its variables.

    The person's files come first: what they say of that destination, or of `messaging.enabled`, stays.
    """
    named = {name: environ[name].strip() for name in sorted(environ) if name.startswith(SLACK_PREFIX)}
    given = {name.removeprefix(SLACK_PREFIX): text for name, text in named.items() if text}
    for name in set(given) - set(_SLACK_SETTINGS):
        hint = near_miss(name, _SLACK_SETTINGS, SLACK_PREFIX + "{}")
        yield f"{SLACK_PREFIX}{name}: unknown variable{hint}"
    switches = dict.fromkeys(("NOTIFICATIONS", "ALLOW_AGENT_TOOL", "ALLOW_AUTO_EVENTS"), True)
    for name in switches:
        text = given.get(name, "true").lower()
        if text not in _BOOLEANS:
            yield f"{SLACK_PREFIX}{name}: expected true or false (also 1, 0, yes, no)"
        switches[name] = _BOOLEANS.get(text, False)
    token, channel = "SLACK_BOT_TOKEN", next((c for c in ("SLACK_CHANNEL_ID", "SLACK_CHANNEL") if environ.get(c)), None)
    messaging = tree.data.get("messaging") or {}
    if not environ.get(token) or channel is None or not switches["NOTIFICATIONS"] or not isinstance(messaging, dict):
        return
    name = given.get("DESTINATION", "slack.default")
    destinations = messaging.get("destinations") or {}
    if messaging.get("enabled") is False or name in destinations:
        return
    flags = {flag: switches[flag.upper()] for flag in ("allow_agent_tool", "allow_auto_events")}
    destination = {"provider": "slack", "token": environ[token].strip(), "channel": environ[channel].strip(), **flags}
    named_by = f"{SLACK_PREFIX}DESTINATION" if "DESTINATION" in given else token
    tree.add({"messaging": {"enabled": True, "destinations": {name: destination}}}, Layer("environment", named_by))
    if events := given.get("AUTO_EVENTS"):
        wanted = [event.strip() for event in events.split(",") if event.strip()]
        tree.add({"messaging": {"auto_event_types": wanted}}, Layer("environment", f"{SLACK_PREFIX}AUTO_EVENTS"))


def _convert_expanded(tree: Tree, done: Substitution) -> Iterator[str]:
    """Give numbers and booleans written as `${VAR}` their type; yields a problem for each that is none."""
    for key in done.expanded:
        name = str(key[0])
        if len(key) == 1 and name in Config.key_names() and scalar_kind(Config, name) in (bool, int):
            try:
                tree.data[name] = _scalar(name, tree.data[name].strip())
            except ValueError as error:
                yield f"{tree.setter(key).where(key)}: {error}"


def _settle_mode(tree: Tree) -> None:
    """Let the stronger of `mode` and the older `yolo_mode` decide on both; on the same layer `mode` does."""
    mode, yolo = tree.data.get("mode", "ask"), tree.data.get("yolo_mode", False)
    if not isinstance(yolo, bool):
        return  # reported when it is validated
    of_mode, of_yolo = tree.setter(("mode",)), tree.setter(("yolo_mode",))
    if strength(of_yolo) > strength(of_mode):
        if yolo != (mode == "yolo"):
            tree.add({"mode": "yolo" if yolo else "ask"}, of_yolo)
    elif yolo != (mode == "yolo"):
        tree.add({"yolo_mode": mode == "yolo"}, of_mode)


# --- showing it ------------------------------------------------------------------------------------------------------

_SECRET_TEXT = (
    r"(?i)hf_\w{8}|sk-[\w-]{8}|//[^/@\s]+@|\bBearer |^\w*(?:token|key|secret|passw)\w*="
    r"|[?&-][\w-]*(?:token|key|secret|passw)[\w-]*="
)
"""Texts of settings that hold a secret wherever they stand, beside those that look like a key: the beginning of a token
that was cut, `user@`, and what is given to a name (`?token=...`, `--api-key=...`)."""


def describe(loaded: LoadedConfig) -> list[tuple[str, str, Layer]]:
    """Each leaf of the configuration: dotted key, value as JSON, layer. Secrets are shown as `"***"`.

    Parts of a server or a destination that nobody set are left out.
    """
    rows = []
    for key, value in _leaves(asdict(loaded.config)):
        layer = loaded.layers[dotted(key)]
        if len(key) < 3 or layer != DEFAULT:
            text = json.dumps(_masked(key, value, loaded), ensure_ascii=False)
            # Still JSON afterwards, unlike with `printable`.
            text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
            rows.append((dotted(key), text, layer))
    return rows


def _leaves(value: Any, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, (*key, name))
    else:
        yield key, value


def _masked(key: Key, value: Any, loaded: LoadedConfig) -> Any:
    if isinstance(value, list):
        # `--token abc` in the arguments of a server: the flag gives its neighbour away.
        after_flag = [False, *(bool(re.match(r"-[^=]*$", str(item))) and is_secret_name(str(item)) for item in value)]
        masked = (_masked((*key, i), item, loaded) for i, item in enumerate(value))
        return ["***" if hide else item for item, hide in zip(masked, after_flag, strict=False)]
    if not isinstance(value, str) or not value or (key[-1] == "auth" and value == "oauth"):
        return value
    from agent.redaction.shapes import holds_key  # only showing needs all its patterns

    name = [str(part) for part in key[2:] if isinstance(part, str)][-1:]
    is_hook = key[0] == "messaging" and key[-1] == "url"  # whoever knows it can send
    secret = key in loaded.secrets or is_hook or any(is_secret_name(part) for part in name)
    return "***" if secret or re.search(_SECRET_TEXT, value) or holds_key(value) else value
