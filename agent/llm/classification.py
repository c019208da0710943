"""From whatever a model call raised to a typed `LLMFailure`: the rules in their order, and the words for each.

Apart from agent/llm/failures.py, because it loads with the first failure: most runs never need its hundred patterns.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping

from agent.llm import failure_rules as rules
from agent.llm import failure_texts as texts
from agent.llm.failure_rules import Place
from agent.llm.failure_signs import Evidence, gather, retry_after_s
from agent.llm.failure_texts import Circumstances, provider_words
from agent.llm.failures import RETRY_DELAYS_S, FailureKind, LLMCallError, LLMFailure, ProviderError
from agent.llm.masking import mask_secrets
from agent.llm.params import base_url, is_loopback
from agent.llm.routes import Route

MAX_DETAIL = 1_000


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
    wait_s = retry_after_s(evidence, now_s()) if kind in RETRY_DELAYS_S else None
    words = provider_words(evidence.outermost) or texts.words_of_class(type(error).__name__)
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
