"""An error status in one line for the model: who answered, what the service itself says, and what to do about it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from agent.protocol.untrusted import harmless
from agent.web.client import WebAnswer

_MAX_WORDS_CHARS = 200
_READ_BYTES = 64 << 10
"""More than this of an error's body is not looked at: it is parsed on the event loop."""
_WORD_KEYS = "error message detail errors error_description cause_exception cause_message msg title".split()
_MARKUP = re.compile(r"\s*(?:<!doctype|<html|<head|<body|<\?xml|<!--)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^<>]{0,200}>([^<]{1,1000})", re.IGNORECASE)

_RATE_LIMITED = "It limits how often it is asked"
_NEXT_STEPS = {
    400: "Check the arguments.",
    401: "It wants a valid token or key: the person can check theirs with `ml-intern doctor`.",
    403: "Access is not given: it may need a token with more rights, or terms that the person has to accept.",
    404: "Check the name: it does not exist there, or is private.",
    405: "Check the address.",
    410: "It is no longer there: look for another source.",
    413: "Ask for less.",
    414: "Ask for less.",
    422: "Check the arguments.",
    451: "It is withheld for legal reasons: look for another source.",
}


def failure_text(answer: WebAnswer, service: str, steps: Mapping[int, str] | None = None) -> str:
    """Why `service` did not give what it was asked for, with the next step: one line, to be an error result's output.
    `steps`: next steps by status that are better for this service than the usual ones.

    The service's own words are in it, at most 200 characters of them, made harmless, in quotation marks and without
    markup. Quick whatever the body's size.
    """
    next_step = (steps or {}).get(answer.status) or _next_step(answer)
    return f"{service} answered with {status_text(answer.status)}{_quoted(service_words(answer))}. {next_step}"


def odd_success_text(value: Any, service: str) -> str:
    """The same for the JSON of a success that is not what was asked for: some services put their errors there."""
    words = _quoted(_as_words(_words_of(value), _MAX_WORDS_CHARS))
    return f"{service} answered with something else than what was asked for{words}. Try again in a minute."


def service_words(answer: WebAnswer, max_chars: int = _MAX_WORDS_CHARS) -> str:
    """What the service itself says about its error, as one short harmless line; "" if it says nothing."""
    return _as_words(answer.headers.get("x-error-message", "") or _words_of_body(answer), max_chars)


def status_text(status: int) -> str:
    """`HTTP 404 (Not Found)`."""
    try:
        return f"HTTP {status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return f"HTTP {status}"


def _as_words(text: str, max_chars: int) -> str:
    line = " ".join(harmless(text[: 20 * max_chars]).split()).replace('"', "'")
    return (line if len(line) <= max_chars else f"{line[: max_chars - 1].rstrip()}…").rstrip(".")


def _quoted(words: str) -> str:
    return f'; it says: "{words}"' if words else ""


def _next_step(answer: WebAnswer) -> str:
    if answer.status == 429 or (answer.status == 403 and answer.retry_after_s is not None):
        return f"{_RATE_LIMITED}: {_when(answer.retry_after_s)}, and ask for several things at once where possible."
    if answer.status >= 500:
        return "That is a fault on its side: try again later, or look for another source."
    return _NEXT_STEPS.get(answer.status, "Check the arguments, or look for another source.")


def _when(retry_after_s: float | None) -> str:
    if retry_after_s is None:
        return "try again in a minute or later"
    if retry_after_s < 90:
        return f"try again in {max(1, round(retry_after_s))} s"
    return f"try again in {round(retry_after_s / 60)} min"


def _words_of_body(answer: WebAnswer) -> str:
    head = answer.body[:_READ_BYTES]
    try:
        return _words_of(json.loads(head))
    except (ValueError, RecursionError):
        pass
    text = head.decode("utf-8", "replace")
    if "html" in answer.content_type or _MARKUP.match(text):
        title = _TITLE.search(text)
        return html.unescape(title[1]) if title else ""
    is_text = not answer.content_type or answer.content_type.startswith("text/") or "json" in answer.content_type
    return re.sub(r"<[^<>]{0,200}>", " ", text[: 20 * _MAX_WORDS_CHARS]) if is_text else ""


def _words_of(value: Any, depth: int = 0) -> str:
    """The words in an error's JSON, in the shapes that services use: a string, an object of them, a list of those."""
    if isinstance(value, str):
        return value
    if depth < 4 and isinstance(value, list):
        return "; ".join(filter(None, (_words_of(item, depth + 1) for item in value[:5])))
    if depth < 4 and isinstance(value, dict):
        found = (_words_of(value[key], depth + 1) for key in _WORD_KEYS if key in value)
        return ": ".join(list(dict.fromkeys(filter(None, found)))[:3]) or _words_of(value.get("code"), depth + 1)
    return ""
