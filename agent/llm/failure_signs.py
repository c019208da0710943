"""What an exception from a provider tells: collected once as `Evidence`, then asked one question after the other.

Classes are known by name (litellm, openai and httpx are never imported here), statuses by number, and text comes last;
a number in text counts only where it stands as a status. Sources: spec llm.md §9, and litellm 1.106 observed against a
recording server: it hides the real status, code and headers in `__context__`, and calls a refused connection or a
missing key "InternalServerError 500".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from agent.light_dataclass import dataclass

MAX_TEXT = 20_000
MAX_CHAIN = 12


@dataclass(frozen=True, slots=True)
class Evidence:
    """An exception and those behind it. `text` is all they say, each once; `headers` have lower-case names."""

    names: frozenset[str]
    statuses: frozenset[int]
    headers: Mapping[str, str]
    text: str
    outermost: str
    """What the exception itself says."""

    def says(self, pattern: re.Pattern[str]) -> bool:
        """Whether the text contains `pattern`."""
        return pattern.search(self.text) is not None

    def has_status(self, *statuses: int) -> bool:
        """Whether any of `statuses` was seen."""
        return not self.statuses.isdisjoint(statuses)

    def is_a(self, *names: str) -> bool:
        """Whether any exception is of a class of one of these names, or of a subclass."""
        return not self.names.isdisjoint(names)


def gather(error: BaseException) -> Evidence:
    """Everything `error` and the exceptions behind it tell."""
    names: set[str] = set()
    statuses: set[int] = set()
    headers: dict[str, str] = {}
    texts: dict[str, None] = {}
    for one in _chain(error):
        names |= {cls.__name__ for cls in type(one).__mro__}
        statuses |= set(_statuses(one))
        for source in (one, getattr(one, "response", None)):
            for attribute in ("litellm_response_headers", "headers"):
                headers = _plain_headers(getattr(source, attribute, None)) | headers
        texts |= dict.fromkeys(_texts(one))
    text = "\n".join(texts)[:MAX_TEXT]
    return Evidence(
        names=frozenset(names - _GENERIC_NAMES),
        statuses=frozenset(statuses or _statuses_in(text)),
        headers=headers,
        text=text,
        outermost=_say(error),
    )


_GENERIC_NAMES = {"object", "BaseException", "Exception", "OpenAIError", "APIError", "RuntimeError"}


_HIDING_THE_CAUSE = {"httpcore"}
"""Libraries that raise `from None` what has a cause worth knowing (httpcore 1.0: a name that cannot be looked up)."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error`, then what caused it, outermost first; each once, and not for ever."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting and len(seen) < MAX_CHAIN:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        hides = one.__suppress_context__ and type(one).__module__.split(".")[0] not in _HIDING_THE_CAUSE
        context = None if hides else one.__context__
        waiting += [getattr(one, "original_exception", None), one.__cause__, context]


_PARSER_ERROR = "HttpProcessingError"
"""aiohttp's for an answer it cannot read, such as one cut short: its `code` 400 is none that a server sent."""


def _statuses(error: BaseException) -> Iterator[int]:
    if any(cls.__name__ == _PARSER_ERROR for cls in type(error).__mro__):
        return
    for attribute in ("status_code", "status", "code"):
        value = getattr(error, attribute, None)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            yield value


def _texts(error: BaseException) -> Iterator[str]:
    yield _say(error)
    for attribute in ("message", "code", "type", "body"):
        value = getattr(error, attribute, None)
        if isinstance(value, (str, dict)):
            yield str(value)[:MAX_TEXT]


def _say(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except Exception:  # noqa: BLE001 - a foreign __str__ must not hide the failure it belongs to
        return type(error).__name__


def _plain_headers(headers: Any) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        return {}
    return {str(name).lower(): str(value) for name, value in headers.items()}


_STATUS_IN_TEXT = (
    re.compile(
        r"\b(?:http(?:/\d(?:\.\d)?)?|status(?:[ _]?code)?|error(?: code)?|code)\W{0,3}(\d{3})(?![\w.,]?\d)", re.I
    ),
    re.compile(r"\b(?:got|returned|received|responded|answered|with|by)(?: an?)? (\d{3})\b(?! \w+s\b)", re.I),
    re.compile(r"^\W*(\d{3})\s*(?:[:–-]|$)"),
    re.compile(
        r"(?<![\w.,])(\d{3}):? (?:bad request|unauthorized|payment required|forbidden|not found|request timeout|"
        r"request entity too large|payload too large|too many requests|internal server error|bad gateway|"
        r"service unavailable|gateway time-?out|overloaded|client error|server error)",
        re.I,
    ),
)


def _statuses_in(text: str) -> set[int]:
    """Statuses named in text, where no exception has one: `HTTP 429 …`, `503 service unavailable`, not `job 500`."""
    found = {int(number) for pattern in _STATUS_IN_TEXT for number in pattern.findall(text)}
    return {status for status in found if 400 <= status < 600}


# --- waiting times ---------------------------------------------------------------------------------------------------

_WAIT_IN_TEXT = re.compile(
    r"(?:retry|try again) (?:in|after) (?P<n>\d+(?:\.\d+)?) ?(?P<unit>ms|[smhd])?|"
    r"retry_?delay\W{1,5}(?P<delay>\d+(?:\.\d+)?)s",
    re.I,
)
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def retry_after_s(evidence: Evidence, now_s: float) -> float | None:
    """How long the server asks to wait, from `Retry-After` (seconds or a date), else from its text; None if silent."""
    headers = evidence.headers
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is not None:
        seconds = _number(value)
        return _until(value, now_s) if seconds is None else seconds
    match = _WAIT_IN_TEXT.search(evidence.text)
    if match is None:
        return None
    if match["delay"]:
        return float(match["delay"])
    return float(match["n"]) * _UNIT_S[(match["unit"] or "s").lower()]


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _until(date: str, now_s: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now_s)
    except (ValueError, OverflowError, TypeError):
        return None
