"""Where configuration lies, and how its layers become one tree of plain data that remembers who set each leaf.

No knowledge of what the keys mean, except for the two security rules that must hold before a
value is looked at: what a project's file may set, and that permission rules can only be added to. `agent.config` is the
public door.
"""

from __future__ import annotations

import copy
import json
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from agent.light_dataclass import dataclass
from agent.redaction.names import is_secret_name

Key = tuple[str | int, ...]
"""The path of a value in the tree: `("permissions", "deny", 0)`."""

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 20

PROJECT_KEYS = frozenset({"model_name", "reasoning_effort", "context_window", "max_iterations"})
"""What the file of a cloned repository may set, besides `permissions.ask` and `permissions.deny`. All else is refused:
a key added to Config is the person's alone until it is named here."""

RETIRED_KEYS: Mapping[str, str] = {
    "auto_save_interval": "a session is kept as it happens",
    "heartbeat_interval_s": "a session is kept as it happens",
}
"""Keys that older configurations have and nothing reads any more, and why. They are taken out, not refused."""

CUMULATIVE_KEYS: frozenset[Key] = frozenset({("permissions", "ask"), ("permissions", "deny")})
"""Lists that grow from layer to layer instead of being replaced: a later layer can only tighten."""

_LITERAL_SECTIONS = frozenset({"permissions", "status_line_command"})
"""Keys whose text is taken as written: `${X}` there is part of a shell command."""

_VARIABLE = r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::(-)?([^}]*))?\}"


class ConfigError(Exception):
    """Configuration that cannot be used. One `where: key: problem` per line; no value of a setting is ever quoted."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Layer:
    """Who set a key: default, bundled, user, project, environment or flags; and by which file, variable or flag.

    Where several layers share a list, both fields name all of them, joined by " + ".
    """

    name: str
    source: str = ""

    def where(self, key: Key) -> str:
        """The beginning of an error message about `key`."""
        if self.name == "environment":
            return f"environment {self.source}"
        if self.name == "flags":
            return self.source
        return f"{printable(self.source) or 'configuration'}: {dotted(key)}"

    def joined(self, other: Layer) -> Layer:
        """This layer and another one that added to the same list."""
        return Layer(f"{self.name} + {other.name}", f"{self.source} + {other.source}")


DEFAULT = Layer("default")


def dotted(key: Key) -> str:
    """`("permissions", "deny", 0)` as `permissions.deny[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return printable(text.removeprefix("."))


def printable(text: str) -> str:
    """`text` without control characters, which a file we did not write could use to repaint the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


# --- directories -----------------------------------------------------------------------------------------------------


def home_dir(environ: Mapping[str, str]) -> Path:
    """The person's home: `$HOME`, else what the system says."""
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def _xdg_dir(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    base = Path(environ.get(variable, ""))
    # The XDG specification: a relative path is invalid and to be ignored.
    return (base if base.is_absolute() else home_dir(environ) / fallback) / "ml-intern"


def config_dir(environ: Mapping[str, str]) -> Path:
    """Directory of the person's configuration. Nothing is created."""
    return _xdg_dir(environ, "XDG_CONFIG_HOME", ".config")


def state_dir(environ: Mapping[str, str]) -> Path:
    """Directory for what must last: sessions, history, logs. Nothing is created."""
    return _xdg_dir(environ, "XDG_STATE_HOME", ".local/state")


def cache_dir(environ: Mapping[str, str]) -> Path:
    """Directory for what can be made again. Nothing is created."""
    return _xdg_dir(environ, "XDG_CACHE_HOME", ".cache")


def expand_path(path: str | Path, environ: Mapping[str, str], cwd: Path) -> Path:
    """An absolute path for one written by a person: `~/` is home, anything relative starts from `cwd`."""
    text = str(path)
    return home_dir(environ) / text[2:] if text.startswith("~/") else cwd.absolute() / text


def is_present(path: Path) -> bool:
    """True unless there is surely nothing at `path`; what cannot be examined is left to the reader to report."""
    try:
        path.lstat()
    except OSError as error:
        return not isinstance(error, (FileNotFoundError, NotADirectoryError))
    return True


def find_project_file(cwd: Path) -> Path | None:
    """The nearest `.ml-intern/config.json` from `cwd` up to the root of its git work tree; without git, in `cwd`."""
    folders = [cwd.absolute(), *cwd.absolute().parents]
    root = next((i for i, folder in enumerate(folders) if is_present(folder / ".git")), 0)
    candidates = (folder / ".ml-intern" / "config.json" for folder in folders[: root + 1])
    return next((path for path in candidates if is_present(path)), None)


# --- reading one file ------------------------------------------------------------------------------------------------


def read_small_text(path: Path) -> str:
    """The text of a settings file, without byte-order mark.

    Raises ValueError with a cause and a remedy for anything but a small, readable, regular file in UTF-8: a cloned
    repository may well contain a link to /dev/zero.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file; replace it by one")
        if status.st_size > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES} bytes; this cannot be a settings file")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start}); save the file as UTF-8") from error
    except FileNotFoundError as error:
        raise ValueError("file not found; create it or correct the path") from error
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); check its permissions") from error


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises ConfigError naming file, line and column."""
    try:
        return _parse_object(read_small_text(path))
    except ValueError as error:
        raise ConfigError([f"{printable(str(path))}: {error}"]) from error


SCHEMA_KEY = "$schema"
"""Where editors look for `configs/config.schema.json`; not a setting."""


def only_settings(values: dict[str, Any], layer: Layer) -> tuple[dict[str, Any], list[str]]:
    """The settings among the `values` of a file, and a line about each key that does nothing any more."""
    retired = [name for name in values if name in RETIRED_KEYS]
    notes = [f"{layer.where((name,))}: does nothing any more ({RETIRED_KEYS[name]}); remove it" for name in retired]
    ignored = {SCHEMA_KEY, *RETIRED_KEYS}
    return {name: value for name, value in values.items() if name not in ignored}, notes


def _parse_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_object_without_duplicates, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        problem = error.msg if text.strip() else "the file is empty; write {} for no settings"
        raise ValueError(f"line {error.lineno} column {error.colno}: not valid JSON: {problem}") from error
    except UnicodeEncodeError as error:
        raise ValueError(r"half of a surrogate pair (a lone \ud800-\udfff); write the whole character") from error
    except RecursionError as error:
        raise ValueError("nested too deeply; settings have a few levels only") from error
    if not isinstance(value, dict):
        raise ValueError(f"the top level is {json_kind(value)}; it must be an object: {{ ... }}")
    if _deeper_than(value, MAX_DEPTH):
        raise ValueError("nested too deeply; settings have a few levels only")
    return value


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{printable(twice)}: written twice in the same object; keep one")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON; write a finite number")


def _deeper_than(value: Any, levels: int) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_deeper_than(item, levels - 1) for item in items)


def json_kind(value: object) -> str:
    """What a JSON value is, in words for a person."""
    kinds = {bool: "true or false", int: "a number", float: "a decimal number", str: "a text", list: "a list"}
    return "an object" if isinstance(value, dict) else kinds.get(type(value), "null")


# --- layers ----------------------------------------------------------------------------------------------------------


class Tree:
    """Merged layers. Later wins: objects merge, other values replace, null removes an entry below the top level."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.origins: dict[Key, Layer] = {}

    def add(self, values: Mapping[str, Any], layer: Layer) -> None:
        """Put `values` on top of what is there. `values` is not kept and not changed."""
        for name, value in values.items():
            self._put(self.data, (name,), value, layer)

    def _put(self, target: dict[str, Any], key: Key, value: Any, layer: Layer) -> None:
        name, current = str(key[-1]), target.get(str(key[-1]))
        if value is None and len(key) > 1:
            target.pop(name, None)
            self._forget(key)
        elif isinstance(value, dict):
            if not isinstance(current, dict):
                self._forget(key)
                target[name] = current = {}
            self.origins.pop(key, None)
            for child, item in value.items():
                self._put(current, (*key, child), item, layer)
            if not current:
                self.origins[key] = layer
        elif key in CUMULATIVE_KEYS and isinstance(value, list):
            self._extend(target, key, value, layer)
        else:
            self._forget(key)
            target[name] = copy.deepcopy(value)
            self.origins[key] = layer

    def _extend(self, target: dict[str, Any], key: Key, items: list[Any], layer: Layer) -> None:
        name = str(key[-1])
        if not isinstance(target.get(name), list):
            self._forget(key)
            target[name] = []
        known: list[Any] = target[name]
        new = [item for i, item in enumerate(items) if item not in known and item not in items[:i]]
        self.origins.update({(*key, len(known) + i): layer for i in range(len(new))})
        if new or key not in self.origins:
            self.origins[key] = self.origins[key].joined(layer) if known else layer
        known.extend(copy.deepcopy(new))

    def _forget(self, key: Key) -> None:
        for path in [path for path in self.origins if path[: len(key)] == key]:
            del self.origins[path]

    def setter(self, key: Key) -> Layer:
        """The layer that set `key`, or the list around it."""
        paths = (key[:length] for length in range(len(key), 0, -1))
        return next((self.origins[path] for path in paths if path in self.origins), DEFAULT)

    def culprit(self, key: Key) -> Layer:
        """The layer to name when something is wrong at `key`: who set it, else the strongest that set a part of it."""
        for length in range(len(key), 0, -1):
            path = key[:length]
            if path in self.origins:
                return self.origins[path]
            below = [layer for other, layer in self.origins.items() if other[:length] == path]
            if below:
                return max(below, key=strength)
        return DEFAULT


_STRENGTH = ("default", "bundled", "user", "project", "environment", "flags")


def strength(layer: Layer) -> int:
    """The rank of a layer: what a stronger one sets counts."""
    return _STRENGTH.index(layer.name.split(" + ")[-1])


def text_leaves(value: Any, key: Key = ()) -> Iterator[tuple[Key, str]]:
    """Every text in the tree outside the sections that are taken literally, with its key."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, (dict, list)):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            if key or name not in _LITERAL_SECTIONS:
                yield from text_leaves(item, (*key, name))


# --- what a cloned repository may not do -----------------------------------------------------------------------------


def is_trusted_only_model(model_name: object) -> bool:
    """True for models that only the person may choose: scripted answers, raw litellm ids, ids with an address in them.

    A repository that could choose `replay/its-own-script` would dictate every tool call.
    """
    text = model_name.strip().lower() if isinstance(model_name, str) else ""
    return text.startswith(("replay/", "litellm/")) or "://" in text


def project_problems(
    values: Mapping[str, Any], layer: Layer, known_keys: Sequence[str], max_iterations: Any
) -> list[str]:
    """Why the values of a project's file are refused, one line each; `max_iterations` is the limit without that file.

    Keys outside `known_keys` are left to the usual check for unknown keys.
    """
    refused: dict[Key, str] = {(name,): "a project may not set this" for name in values if name in known_keys}
    for name in PROJECT_KEYS | {"permissions"}:
        refused.pop((name,), None)
    refused |= _permission_problems(values)
    if is_trusted_only_model(values.get("model_name")):
        refused[("model_name",)] = "a project may not choose scripted, raw litellm or addressed models"
    asked = values.get("max_iterations")
    limited = isinstance(max_iterations, int) and max_iterations > 0
    if limited and isinstance(asked, int) and not 0 <= asked <= max_iterations:
        refused[("max_iterations",)] = f"a project may lower the limit of {max_iterations}, not raise it"
    lines = [
        f"{layer.where(key)}: {problem}; if you want it, put it in your user file" for key, problem in refused.items()
    ]
    for key, text in text_leaves(values):
        if (match := re.search(_VARIABLE, text)) and (key[0],) not in refused:
            problem = f"a project may not read your environment (${{{match[1]}}})"
            lines.append(f"{layer.where(key)}: {problem}; write the value here, or put the key in your user file")
    return lines


def _permission_problems(values: Mapping[str, Any]) -> dict[Key, str]:
    rules = values.get("permissions", {})
    if rules is None:
        return {("permissions",): "a project may not remove permission rules"}
    if not isinstance(rules, dict):
        return {}
    refused: dict[Key, str] = {
        ("permissions", name): "a project may not remove permission rules"
        for name, rule in rules.items()
        if rule is None
    }
    if "allow" in rules:
        refused[("permissions", "allow")] = "a project may not allow itself anything"
    return refused


# --- ${VARIABLES} ----------------------------------------------------------------------------------------------------


class Substitution:
    """What `substitute` did: `expanded` keys held a variable; those in `secret` held one with a secret-looking name."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.expanded: set[Key] = set()
        self.secret: set[Key] = set()


def substitute(tree: Tree, environ: Mapping[str, str]) -> Substitution:
    """Replace `${VAR}` and `${VAR:-default}` in the texts that came from files, in place, once.

    A variable that is set but empty counts as set. `${VAR:x}` is `${VAR}`. There is no nesting and no escape. The
    default of a variable with a secret-looking name counts as secret too.
    """
    done = Substitution()
    for key, text in list(text_leaves(tree.data)):
        layer = tree.setter(key)
        matches = list(re.finditer(_VARIABLE, text)) if "${" in text else []
        if not matches or layer.name in ("environment", "flags"):
            continue
        done.problems += [f"{layer.where(key)}: {p}" for m in matches if (p := _variable_problem(m, environ))]
        done.expanded.add(key)
        if any(is_secret_name(match[1]) for match in matches):
            done.secret.add(key)
        parent: Any = tree.data
        for part in key[:-1]:
            parent = parent[part]
        parent[key[-1]] = re.sub(_VARIABLE, lambda m: environ.get(m[1], m[3] if m[2] else m[0]), text)
    return done


def _variable_problem(match: re.Match[str], environ: Mapping[str, str]) -> str | None:
    name, has_default, default = match.groups()
    if has_default and "${" in default:
        return f"the default of ${{{name}}} contains another variable, which is not supported; write plain text"
    if name in environ or has_default:
        return None
    return f"the environment variable {name} is not set; export it, or write ${{{name}:-some default}}"
