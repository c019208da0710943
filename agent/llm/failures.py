"""What can go wrong with a model call: one classification for every provider, and what follows from it.

    LLMError
    ├── ProviderError     raised by our own backends, with the status and headers a server would send
    └── LLMCallError      what callers of the model layer catch; carries the typed `LLMFailure`

litellm's exceptions are not in this tree: `agent.llm.classification.classify` turns them, and any other exception, into
an `LLMFailure`.
Source: spec llm.md §9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from agent.light_dataclass import dataclass


class LLMError(Exception):
    """Anything that went wrong in the model layer."""


class ProviderError(LLMError):
    """An error answer of a backend of our own. `status_code` as in HTTP; `headers` may hold `Retry-After`.

    `body` is the whole answer, where the message is only what it says. `is_complete`: the message names cause and
    remedy, and is shown as it is.
    """

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        body: str = "",
        is_complete: bool = False,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.headers = dict(headers or {})
        self.body = body
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
        return self.kind in RETRY_DELAYS_S


class LLMCallError(LLMError):
    """A model call failed for good."""

    def __init__(self, failure: LLMFailure) -> None:
        super().__init__(failure.user_text)
        self.failure = failure


# --- trying again ----------------------------------------------------------------------------------------------------

_MAX_LLM_RETRIES = 3
"""Attempts in all."""
_LLM_RETRY_DELAYS = [5, 15]
_LLM_RATE_LIMIT_RETRY_DELAYS = [30, 60]
MAX_RETRY_AFTER_S = 300.0
"""The longest wait a server may ask for: beyond it the failure is reported at once."""
JITTER = 0.25
"""How much longer a delay of ours may get, so that many clients do not come back at once."""

RETRY_DELAYS_S = {
    FailureKind.TRANSIENT: _LLM_RETRY_DELAYS,
    FailureKind.RATE_LIMIT: _LLM_RATE_LIMIT_RETRY_DELAYS,
}


def retry_delay_s(failure: LLMFailure, attempt_index: int, jitter: Callable[[], float]) -> float | None:
    """Seconds to wait after the failed attempt number `attempt_index` (from 0); None when there is no other.

    What the server asks for is taken as it is; more than `MAX_RETRY_AFTER_S` is for the person to wait, not for us.
    `jitter` gives a number from 0 to 1.
    """
    delays_s = RETRY_DELAYS_S.get(failure.kind, [])
    if attempt_index >= len(delays_s):
        return None
    if failure.retry_after_s is not None:
        return failure.retry_after_s if failure.retry_after_s <= MAX_RETRY_AFTER_S else None
    return delays_s[attempt_index] * (1 + JITTER * jitter())
