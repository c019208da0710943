"""What a call of `hf_jobs` asks for, read from its arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from agent.compute.durations import DEFAULT_TIMEOUT_S, parse_timeout_s
from agent.light_dataclass import dataclass
from agent.redaction.shapes import holds_key
from agent.tools.arguments import ArgumentError, bool_argument, int_argument, utf8_argument
from agent.tools.jobs.until import LinePattern
from agent.tools.jobs.wording import DEFAULT_TAIL_LINES, PLACES, Place

DEFAULT_FLAVOR = "cpu-basic"
MAX_TAIL_LINES = 5_000

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CRON_FIELD = re.compile(r"[\w*/,\-?#]+")
SCHEDULE_WORDS = ("@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually")
_TIMES = "Give seconds, or a number with s, m, h or d: 90m, 4h, 1.5d."


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A `run` or `scheduled run`. Exactly one of `script` and `command` is given; `secrets` are as the model gave them.

    `has_own_timeout` is false where nobody gave a time limit.
    """

    place: Place
    script: str | None
    command: tuple[str, ...]
    dependencies: tuple[str, ...]
    python: str | None
    script_args: tuple[str, ...]
    image: str | None
    flavor: str
    timeout_s: float
    has_own_timeout: bool
    namespace: str | None
    trackio_space_id: str | None
    trackio_project: str | None
    schedule: str | None
    wait: bool
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def operation_of(arguments: Mapping[str, Any]) -> str:
    """The operation, blanks squeezed, in lower case; "" if there is none."""
    return " ".join(str(arguments.get("operation") or "").split()).lower()


def place_of(arguments: Mapping[str, Any], places: Sequence[Place] = PLACES) -> Place:
    """Where a `run` is to run. Raises ArgumentError for a place that there is not."""
    word = (_word(arguments, "backend") or PLACES[0]).lower()
    found = next((place for place in places if place == word), None)
    if found is None:
        raise ArgumentError(f"There is no backend {word[:40]!r}. There are: {', '.join(places)}.")
    return found


def flavor_of(arguments: Mapping[str, Any]) -> str:
    """The hardware that is asked for, in lower case, as all of its names are."""
    return str(arguments.get("hardware_flavor") or "").strip().lower() or DEFAULT_FLAVOR


def parse_run(arguments: Mapping[str, Any], *, scheduled: bool = False, places: Sequence[Place] = PLACES) -> RunRequest:
    """What is to run, in one of `places`. Raises ArgumentError, naming the argument and what is wanted."""
    place = place_of(arguments, places)
    script, command = _text(arguments, "script"), _texts(arguments, "command")
    if (script is None) == (not command):
        both = "both are given" if command else "neither is given"
        raise ArgumentError(
            f"Give either `script` (Python, run with uv) or `command` (a list of words, run in `image`): {both}."
        )
    if command and (lost := [name for name in ("dependencies", "python", "script_args") if arguments.get(name)]):
        raise ArgumentError(f"`{lost[0]}` goes with `script`; put it into `command` instead.")
    request = RunRequest(
        place=place,
        script=script,
        command=command,
        dependencies=_texts(arguments, "dependencies"),
        python=_word(arguments, "python"),
        script_args=_texts(arguments, "script_args"),
        image=_word(arguments, "image"),
        flavor=flavor_of(arguments),
        timeout_s=_timeout_s(arguments, "timeout", DEFAULT_TIMEOUT_S),
        has_own_timeout=arguments.get("timeout") not in (None, ""),
        namespace=_word(arguments, "namespace"),
        trackio_space_id=_word(arguments, "trackio_space_id"),
        trackio_project=_word(arguments, "trackio_project"),
        schedule=_schedule(arguments) if scheduled else None,
        wait=arguments.get("wait") is None or bool_argument(arguments, "wait"),
        env=_variables(arguments, "env"),
        secrets=_variables(arguments, "secrets"),
    )
    _refuse_what_has_no_effect(request, scheduled)
    return request


def _refuse_what_has_no_effect(request: RunRequest, scheduled: bool) -> None:
    """An argument that would be ignored is a misunderstanding, and may be an expensive one. So is a key where whoever
    sees the job can read it."""
    if any(holds_key(each) for each in request.dependencies):
        raise ArgumentError(
            "`dependencies` has an address with a key or password in it, which whoever sees the job could read. Take a "
            "public package, or let the script install it with a key from `secrets`."
        )
    if request.python == "3.1":  # JSON's number 3.10
        raise ArgumentError('`python`: give the version as text, such as "3.10".')
    if scheduled and request.place != "hf_jobs":
        raise ArgumentError("A schedule runs on hf_jobs only: leave `backend` out.")
    if request.place != "hf_jobs" and request.image:
        raise ArgumentError(f"`image` is for hf_jobs; {request.place} has no choice of images. Leave it out.")
    if request.place == "local" and request.flavor != DEFAULT_FLAVOR:
        raise ArgumentError(
            f"`hardware_flavor` is for remote hardware, and local is this machine as it is. Leave it out, or leave out "
            f"`backend` to run on {request.flavor}."
        )
    if request.place == "local" and request.namespace:
        raise ArgumentError("`namespace` says who pays for remote work; local costs nothing. Leave it out.")


def job_ids(arguments: Mapping[str, Any], name: str = "job_id") -> tuple[str, ...]:
    """One or several ids: a list, or text with commas or blanks between them."""
    raw = arguments.get(name)
    if isinstance(raw, str) and raw.lstrip().startswith("["):
        try:
            raw = json.loads(raw)
        except ValueError as error:
            raise ArgumentError(f"`{name}` must be an id, or several with commas between them.") from error
    entries = raw if isinstance(raw, list) else re.split(r"[\s,]+", raw) if isinstance(raw, str) else []
    ids = tuple(dict.fromkeys(str(entry).strip() for entry in entries if str(entry).strip()))
    for each in ids:
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", each):
            raise ArgumentError(f"`{name}`: {each[:80]!r} is no id of a job.")
    return ids


def one_id(arguments: Mapping[str, Any], name: str = "job_id") -> str:
    """The one id that an operation needs. Raises ArgumentError if there is none, or several."""
    ids = job_ids(arguments, name)
    if len(ids) != 1:
        found = "none is given" if not ids else f"{len(ids)} are given"
        look = "scheduled ps" if name.startswith("scheduled") else "ps"
        raise ArgumentError(f"`{name}` must be one id, and {found}. The operation `{look}` lists them.")
    return ids[0]


def tail_lines(arguments: Mapping[str, Any]) -> int:
    """How many of the last lines of output are wanted."""
    return min(int_argument(arguments, "tail", DEFAULT_TAIL_LINES, minimum=1), MAX_TAIL_LINES)


def wait_timeout_s(arguments: Mapping[str, Any]) -> float | None:
    """How long `wait` waits; None: until the end."""
    if arguments.get("wait_timeout") in (None, ""):
        return None
    return _timeout_s(arguments, "wait_timeout", 0.0)


def until_pattern(arguments: Mapping[str, Any]) -> LinePattern | None:
    """The pattern that ends a `wait`. Raises ArgumentError if it is none."""
    text = _text(arguments, "until")
    if text is None:
        return None
    try:
        return LinePattern(text)
    except ValueError as error:
        raise ArgumentError(
            f"`until` is no regular expression that can be used here: {error}. Give words to look for, such as "
            r"`loss|Error`, or a simple pattern such as `epoch \d+.*done`."
        ) from error


# --- single arguments ------------------------------------------------------------------------------------------------


def _text(arguments: Mapping[str, Any], name: str) -> str | None:
    """Text as it is; None if absent or blank."""
    if arguments.get(name) is None:
        return None
    text = utf8_argument(arguments, name)
    if "\0" in text:
        raise ArgumentError(f"`{name}` has a NUL character.")
    return text if text.strip() else None


def _word(arguments: Mapping[str, Any], name: str) -> str | None:
    text = _text(arguments, name)
    return text.strip() if text is not None else None


def _texts(arguments: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts; numbers count as their text."""
    raw = arguments.get(name)
    if raw is None:
        return ()
    if not isinstance(raw, list) or not all(isinstance(each, (str, int, float)) for each in raw):
        raise ArgumentError(f'`{name}` must be a list of texts, such as ["a", "b"].')
    return tuple(utf8_argument({name: str(each)}, name) for each in raw)


def _variables(arguments: Mapping[str, Any], name: str) -> dict[str, str]:
    """An object of names and texts. No message shows a value: it may be a secret."""
    raw = arguments.get(name)
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise ArgumentError(f"`{name}` must be an object of names and their values.")
    result = {}
    for key, value in raw.items():
        if not _ENV_NAME.fullmatch(str(key)):
            raise ArgumentError(f"`{name}` has a name that no environment variable can have: letters, digits and _.")
        if not isinstance(value, (str, int, float)) or "\0" in str(value):
            raise ArgumentError(f"`{name}`: the value of {key} must be text.")
        result[str(key)] = str(value).lower() if isinstance(value, bool) else str(value)
    return result


def _timeout_s(arguments: Mapping[str, Any], name: str, default_s: float) -> float:
    seconds = parse_timeout_s(arguments.get(name), default_s)
    if seconds is None:
        raise ArgumentError(f"`{name}` cannot be {str(arguments.get(name))[:40]!r}. {_TIMES}")
    return seconds


def _schedule(arguments: Mapping[str, Any]) -> str:
    """A cron line or one of the words. Raises ArgumentError."""
    text = " ".join((_text(arguments, "schedule") or "").split())
    is_cron = len(fields := text.split(" ")) == 5 and all(_CRON_FIELD.fullmatch(each) for each in fields)
    if not is_cron and text not in SCHEDULE_WORDS:
        raise ArgumentError(
            f"`schedule` must be one of {', '.join(SCHEDULE_WORDS)}, or a cron line of five fields such as "
            f"`0 9 * * 1` (Mondays at nine, UTC); not {text[:60]!r}."
        )
    return text
