"""What can go wrong with a model call: one classification for every provider, and what follows from it.

    LLMError
    ├── ProviderError     raised by our own backends, with the status and headers a server would send
    └── LLMCallError      what callers of the model layer catch; carries the typed `LLMFailure`

litellm's exceptions are not in this tree: `classify` turns them, and any other exception, into an `LLMFailure`.
Source: spec llm.md §9.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.llm import failure_rules as rules
from agent.llm import failure_texts as texts
from agent.llm.failure_rules import Place, is_billing_error, is_inference_billing_error
from agent.llm.failure_signs import Evidence, gather, retry_after_s
from agent.llm.failure_texts import Circumstances, provider_words
from agent.llm.masking import mask_secrets
from agent.llm.params import base_url, is_loopback
from agent.llm.routes import Route

__all__ = [
    "FailureKind",
    "LLMCallError",
    "LLMError",
    "LLMFailure",
    "ProviderError",
    "classify",
    "is_billing_error",
    "is_inference_billing_error",
    "retry_delay_s",
]

MAX_DETAIL = 1_000


class LLMError(Exception):
    """Anything that went wrong in the model layer."""


class ProviderError(LLMError):
    """An error answer of a backend of our own. `status_code` as in HTTP; `headers` may hold `Retry-After`.

    `is_complete`: the message names cause and remedy, and is shown as it is.
    """

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        is_complete: bool = False,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.headers = dict(headers or {})
        self.is_complete = is_complete


class FailureKind(StrEnum):
    """Why a model call failed. Only `rate_limit` and `transient` are worth another try."""

    OVERFLOW = "overflow"
    NO_CREDENTIALS = "no_credentials"
    AUTH = "auth"
    HF_SCOPE = "hf_scope"
    AWS = "aws"
    CREDITS = "credits"
    RATE_LIMIT = "rate_limit"
    PROVIDER = "provider"
    MODEL = "model"
    TRANSIENT = "transient"
    LOCAL_REFUSED = "local_refused"
    EFFORT = "effort"
    """This level is not taken; a lower one may be."""
    NO_EFFORT = "no_effort"
    """The model takes no reasoning effort at all."""
    THINKING_SIGNATURE = "thinking_signature"
    BAD_REQUEST = "bad_request"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class LLMFailure:
    """A failed call. `user_text` names cause and remedy; `detail` is for the log. Neither contains a key.

    `limit_tokens` is the model's window, where an overflow names it.
    """

    kind: FailureKind
    user_text: str
    retry_after_s: float | None = None
    detail: str = ""
    limit_tokens: int | None = None

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed in a moment."""
        return self.kind in _DELAYS_S


class LLMCallError(LLMError):
    """A model call failed for good."""

    def __init__(self, failure: LLMFailure) -> None:
        super().__init__(failure.user_text)
        self.failure = failure


Rule = tuple[FailureKind, Callable[[Evidence, Place], bool], Callable[[Circumstances], str]]

_RULES: tuple[Rule, ...] = (
    (FailureKind.OVERFLOW, rules.is_overflow, texts.overflow),
    (FailureKind.CREDITS, rules.is_out_of_credits, texts.credits),
    (FailureKind.HF_SCOPE, rules.lacks_hf_permission, texts.hf_scope),
    (FailureKind.THINKING_SIGNATURE, rules.has_bad_thinking_signature, texts.thinking_signature),
    (FailureKind.NO_EFFORT, rules.takes_no_effort, texts.effort),
    (FailureKind.EFFORT, rules.refuses_effort, texts.effort),
    (FailureKind.AWS, rules.is_aws_trouble, texts.aws),
    (FailureKind.NO_CREDENTIALS, rules.lacks_key, texts.no_credentials),
    (FailureKind.AUTH, rules.has_bad_key, texts.auth),
    (FailureKind.RATE_LIMIT, rules.is_rate_limited, texts.rate_limit),
    (FailureKind.PROVIDER, rules.refuses_provider, texts.provider),
    (FailureKind.MODEL, rules.lacks_model, texts.model),
    (FailureKind.INTERNAL, rules.lacks_package, texts.package),
    (FailureKind.BAD_REQUEST, rules.has_bad_certificate, texts.certificate),
    (FailureKind.BAD_REQUEST, rules.has_bad_address, texts.bad_address),
    (FailureKind.BAD_REQUEST, rules.is_stopped_by_proxy, texts.bad_proxy),
    (FailureKind.LOCAL_REFUSED, rules.is_refused_locally, texts.local_refused),
    (FailureKind.TRANSIENT, rules.is_transient, texts.transient),
    (FailureKind.BAD_REQUEST, rules.is_bad_request, texts.bad_request),
)
"""The first rule that applies decides."""

_UNRECOGNISED = (FailureKind.INTERNAL, texts.internal)


def classify(
    error: BaseException,
    *,
    route: Route,
    hf_plan: str = "unknown",
    environ: Mapping[str, str] = os.environ,
    now_s: Callable[[], float] = time.time,
) -> LLMFailure:
    """What `error` means for the call it ended. Never raises. `hf_plan`: `free`, `pro` or `unknown`."""
    if isinstance(error, LLMCallError):
        return error.failure
    evidence = gather(error)
    url = base_url(route.provider, environ)
    place = Place(route.provider, is_loopback(url), url, environ)
    kind, text = next(((kind, text) for kind, applies, text in _RULES if applies(evidence, place)), _UNRECOGNISED)
    if isinstance(error, ProviderError) and error.is_complete:
        text = texts.as_it_is
    wait_s = retry_after_s(evidence, now_s()) if kind in _DELAYS_S else None
    words = provider_words(evidence.outermost) or type(error).__name__
    circumstances = Circumstances(route, environ, evidence, words, hf_plan, wait_s)
    detail = f"{type(error).__name__}: {evidence.outermost}"
    return LLMFailure(
        kind=kind,
        user_text=mask_secrets(text(circumstances), environ),
        retry_after_s=wait_s,
        detail=mask_secrets(detail, environ)[:MAX_DETAIL],
        limit_tokens=overflow_limit(detail) if kind is FailureKind.OVERFLOW else None,
    )


_LIMITS = (
    r"maximum context length\D{0,20}(\d[\d,_]{3,})",
    r"max(?:imum)?\D{0,40}?(\d[\d,_]{3,}) tokens",
    r"> (\d[\d,_]{3,})",
    r"context (?:window|size|length)\D{0,20}(\d[\d,_]{3,})",
)


def overflow_limit(text: str) -> int | None:
    """The window that an overflow message names (`maximum context length is 8192 tokens`, `210000 > 200000`)."""
    for pattern in _LIMITS:
        if match := re.search(pattern, text, re.IGNORECASE):
            return int(re.sub(r"[,_]", "", match.group(1)))
    return None


# --- trying again ----------------------------------------------------------------------------------------------------

_MAX_LLM_RETRIES = 3
"""Attempts in all."""
_LLM_RETRY_DELAYS = [5, 15]
_LLM_RATE_LIMIT_RETRY_DELAYS = [30, 60]
MAX_RETRY_AFTER_S = 300.0
"""The longest wait a server may ask for: beyond it the failure is reported at once."""
JITTER = 0.25
"""How much longer a delay of ours may get, so that many clients do not come back at once."""

_DELAYS_S = {
    FailureKind.TRANSIENT: _LLM_RETRY_DELAYS,
    FailureKind.RATE_LIMIT: _LLM_RATE_LIMIT_RETRY_DELAYS,
}


def retry_delay_s(failure: LLMFailure, attempt_index: int, jitter: Callable[[], float]) -> float | None:
    """Seconds to wait after the failed attempt number `attempt_index` (from 0); None when there is no other.

    What the server asks for is taken as it is; more than `MAX_RETRY_AFTER_S` is for the person to wait, not for us.
    `jitter` gives a number from 0 to 1.
    """
    delays_s = _DELAYS_S.get(failure.kind, [])
    if attempt_index >= len(delays_s):
        return None
    if failure.retry_after_s is not None:
        return failure.retry_after_s if failure.retry_after_s <= MAX_RETRY_AFTER_S else None
    return delays_s[attempt_index] * (1 + JITTER * jitter())
