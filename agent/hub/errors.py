"""What the Hub says when it does not do what it was asked: one kind of error, with the cause and the next step."""

from __future__ import annotations

import re
from typing import Any

from agent.protocol.compute import FailureKind

BILLING_URL = "https://huggingface.co/settings/billing"
TOKENS_URL = "https://huggingface.co/settings/tokens"

_BILLING = re.compile(
    r"\b(insufficient|out of|no|add|requires?|not enough|more) (pre-?paid )?credits?\b"
    r"|credits? (are )?(exhausted|used up)|credit limit|payment required|pre-?paid credit|\bbilling\b",
    re.IGNORECASE,
)
_PAGE = re.compile(r"<(!doctype|html|head|body)\b", re.IGNORECASE)
_QUOTA = re.compile(r"quota exceeded|insufficient_quota", re.IGNORECASE)


class HubError(Exception):
    """The Hub refused, or could not be reached. The message is for person and model: cause and next step.

    `status` is the HTTP status, None where there was no answer. `missing` tells what of a repository was not found.
    """

    def __init__(self, text: str, kind: FailureKind, *, status: int | None = None, missing: str = "") -> None:
        super().__init__(text)
        self.kind: FailureKind = kind
        self.status = status
        self.missing = missing
        """`repository`, `revision`, `entry`, `job`, or empty."""


def is_billing_text(text: str) -> bool:
    """Whether a message is about missing credit. An inference quota is something else."""
    return bool(_BILLING.search(text)) and not _QUOTA.search(text)


def translated(error: BaseException, doing: str = "") -> HubError:
    """What went wrong in huggingface_hub, in our words. `doing` says what was tried ("starting the job")."""
    from huggingface_hub import errors

    lead = f"{doing[0].upper()}{doing[1:]} failed: " if doing else ""
    if isinstance(error, errors.HfHubHTTPError):
        return _from_answer(error, lead)
    if isinstance(error, errors.LocalTokenNotFoundError):
        return HubError(f"{lead}there is no Hugging Face token. Run `hf auth login`, or set HF_TOKEN.", "no_token")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubError(f"{lead}HF_HUB_OFFLINE is set, so the Hub is not asked. Unset it to go on.", "network")
    # HTTPError is what the client's transport raises: httpx's in its 1.x, another one's from 2.x on
    if isinstance(error, (errors.LocalEntryNotFoundError, errors.HTTPError, OSError)):  # type: ignore[attr-defined]
        return HubError(
            f"{lead}the Hub cannot be reached ({_short(error)}). Try again, or check the network.", "network"
        )
    if isinstance(error, ValueError):
        return HubError(f"{lead}{_short(error)}", "bad_request")
    return HubError(f"{lead}{type(error).__name__}: {_short(error)}", "server")


def _from_answer(error: BaseException, lead: str) -> HubError:
    from huggingface_hub import errors

    response = getattr(error, "response", None)
    status: int | None = getattr(response, "status_code", None)
    said = _said(error)
    if isinstance(error, errors.GatedRepoError):
        text = "access to this repository has to be granted first: ask for it on its page on the Hub."
        return HubError(lead + text, "gated", status=status)
    for kind, what in (
        (errors.RevisionNotFoundError, "revision"),
        (errors.EntryNotFoundError, "entry"),
        (errors.RepositoryNotFoundError, "repository"),
        (getattr(errors, "JobNotFoundError", ()), "job"),
    ):
        if isinstance(error, kind):
            return HubError(f"{lead}{_NOT_FOUND[what]}", "not_found", status=status, missing=what)
    if status == 402 or (status in (400, 403) and is_billing_text(said)):
        return HubError(f"{lead}no credit ({said or 402}). Add some at {BILLING_URL}.", "payment", status=status)
    if status == 401:
        text = f"the token is not accepted ({said or 401}). Log in again (`hf auth login`), or see {TOKENS_URL}."
        return HubError(lead + text, "auth", status=status)
    if status == 403:
        text = f"the token does not allow this ({said or 403}). Its permissions are at {TOKENS_URL}."
        return HubError(lead + text, "forbidden", status=status)
    if status == 404:
        return HubError(f"{lead}not found ({said or 404}).", "not_found", status=status)
    if status == 409:
        return HubError(
            f"{lead}it exists already, or has changed meanwhile ({said or 409}).", "conflict", status=status
        )
    if status == 429:
        text = f"{lead}too many requests ({said or 429}). {_waiting(response)}"
        return HubError(text, "rate_limited", status=status)
    if status is not None and status >= 500:
        return HubError(f"{lead}the Hub has trouble ({status} {said}). Try again later.", "server", status=status)
    what = said or (f"the Hub answered {status}" if status is not None else _short(error))
    step = _NEXT_STEP.get(status or 0, "")
    text = f"{lead}{what}. {step}" if step else f"{lead}{what}"
    return HubError(text, "server" if status == 408 else "bad_request", status=status)


_NEXT_STEP = {
    400: "The Hub does not take it like this: check the names and values that were given.",
    408: "It took too long: try again, with less at once if it was much.",
    413: "It is too large for one request: send fewer or smaller files at once.",
    422: "The Hub does not take one of the values: check names, hardware and settings.",
}


def _waiting(response: Any) -> str:
    """How long to wait before the next request, as the Hub says."""
    seconds = str(getattr(response, "headers", {}).get("Retry-After") or "").strip()
    return f"Try again in {seconds} s." if re.fullmatch(r"[0-9]{1,6}", seconds) else "Wait a while."


_NOT_FOUND = {
    "repository": "there is no such repository, or this token may not see it. Check its id and its type "
    "(model, dataset or space).",
    "revision": "the repository has no such branch, tag or commit.",
    "entry": "the repository has no such file at this revision.",
    "job": "there is no such job in this namespace.",
}


def _said(error: BaseException) -> str:
    """The server's own words: its JSON `error`, else nothing (HTML pages and the client's wrapping say nothing)."""
    said = getattr(error, "server_message", None)
    return "" if said is None or _PAGE.search(str(said)) else _plain(str(said))[:500]


def _short(error: BaseException) -> str:
    text = str(error)
    return type(error).__name__ if _PAGE.search(text) else _plain(text)[:300] or type(error).__name__


def _plain(text: str) -> str:
    """On one line, without what a terminal would obey."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text[:10_000]).split()).rstrip(".")
