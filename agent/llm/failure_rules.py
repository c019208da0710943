"""The questions asked of `Evidence`, one per kind of failure. `agent.llm.failures` asks them in its order.

Class and status come before text; a text pattern counts only where the status does not contradict it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from urllib.parse import urlsplit

from agent.light_dataclass import dataclass
from agent.llm.failure_signs import Evidence, retry_after_s
from agent.llm.params import url_host
from agent.llm.providers import Provider


@dataclass(frozen=True, slots=True)
class Place:
    """Whom the failed call was for. `is_loopback`: the address is on this machine, whoever the provider is.

    `url` is empty if only litellm knows it.
    """

    provider: Provider
    is_loopback: bool
    url: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


# --- the request is too long -----------------------------------------------------------------------------------------

_OVERFLOW = _any_of(
    r"max(?:imum)?[ _]context[ _](?:length|window)",
    r"context[ _](?:length|window)(?:[ _][\w']+){0,3}[ _]exceed",
    r"exceed\w*(?: [\w'`]+){0,4} context[ _](?:length|window|limit|size)",
    r"available context size",
    r"(?:prompt|input) is too long",
    r"too many input tokens|tokens in the prompt (?:can ?not )?exceed",
    r"input (?:length|token count)[^\n]{0,80}exceed",
    r"reduce the length of (?:the|your) (?:messages|prompt|input)",
)


def is_overflow(evidence: Evidence, place: Place) -> bool:
    """The conversation does not fit into the model's context window."""
    if evidence.is_a("ContextWindowExceededError") or evidence.has_status(413):
        return True
    return evidence.says(_OVERFLOW) and not evidence.has_status(401, 402, 403, 404, 429)


# --- money -----------------------------------------------------------------------------------------------------------

_BILLING_STATUS = r"(?<![\w.,])402(?!\w|[.,]\d)"
_BILLING_PATTERNS = (
    r"\b(?:insufficient|out of|no|add|requires?)(?: [\w']+){0,2} credits?\b",
    r"payment required",
    r"\bbilling\b",
    r"\bcredits?(?: limit\b|(?: (?:is|are|have been|has been|were))? (?:exhausted|used up))",
)
_CREDIT_PATTERNS = (
    r"insufficient_quota",
    r"monthly(?: [\w']+){0,2} credits?(?: (?:is|are|have been|were))? exhausted",
    r"(?:exhausted|out of|exceeded)(?: your)? monthly(?: included)? credits",
    r"credit balance",
    r"not_enough_balance|insufficient[_ ](?:balance|funds|credits?)",
    r"requires more credits",
    r"spending[_ ]limit",
    r"\bout of credits?\b",
)
_QUOTA_PATTERNS = (
    r"quota (?:exceeded|exhausted|limit)",
    r"exceeded (?:your|the) (?:\w+ )?quota",
)
_BILLING = _any_of(_BILLING_STATUS, *_BILLING_PATTERNS)
_INFERENCE_BILLING = _any_of(_BILLING_STATUS, *_BILLING_PATTERNS, *_CREDIT_PATTERNS, *_QUOTA_PATTERNS)
_MAYBE_CREDITS = _any_of(*_BILLING_PATTERNS, *_QUOTA_PATTERNS)
_CREDITS_FOR_SURE = _any_of(*_CREDIT_PATTERNS)


def is_billing_error(error: object) -> bool:
    """Whether a text (or an exception's text) says that a job or the Hub wants money. A quota is not money."""
    return _BILLING.search(str(error)) is not None


def is_inference_billing_error(error: object) -> bool:
    """The same for model calls, where an exhausted quota is mostly money too."""
    return _INFERENCE_BILLING.search(str(error)) is not None


def is_out_of_credits(evidence: Evidence, place: Place) -> bool:
    """No credit left. Asked before the rate limit: `insufficient_quota` comes as 429 and never goes away by waiting.

    The word quota alone also means a limit per minute (Gemini); a server that says when to come back means that one.
    """
    if evidence.is_a("PaymentRequiredError") or evidence.has_status(402) or evidence.says(_CREDITS_FOR_SURE):
        return True
    if any(status >= 500 for status in evidence.statuses) or evidence.has_status(401, 404, 413):
        return False
    return evidence.says(_MAYBE_CREDITS) and retry_after_s(evidence, 0.0) is None


# --- keys ------------------------------------------------------------------------------------------------------------

_HF_SCOPE = _any_of(r"sufficient permissions to call inference providers")
_AWS_CLASSES = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "NoRegionError",
    "TokenRetrievalError",
    "SSOTokenLoadError",
    "UnauthorizedSSOTokenError",
)
_AWS_TEXT = _any_of(
    r"unable to locate credentials|partial credentials|config profile",
    r"security token|expiredtoken|unrecognizedclient|invalidsignature|accessdenied|not authorized to perform",
    r"access to the model",
    r"must specify a region",
)
_ON_DEMAND = _any_of(r"on-demand throughput")
_NO_CREDENTIALS = _any_of(
    r"missing credentials",
    r"missing (?:\w+ ){0,2}api key",
    r"api_key client option must be set",
    r"(?-i:\b[A-Z][A-Z0-9_]*(?:API_?KEY|TOKEN)\b) (?:is |was )?not set",
    r"no api[ _]key (?:was )?(?:provided|found|set|given)",
    r"did(?:n't| not) provide an api key",
)
_BAD_KEY = _any_of(
    r"(?:invalid|incorrect|expired)(?: or \w+)? (?:api|auth\w*)[ _-]?(?:key|token)",
    r"invalid_api_key|api key not valid|\bunauthorized\b",
)


def lacks_hf_permission(evidence: Evidence, place: Place) -> bool:
    """A Hugging Face token without the permission for Inference Providers."""
    return evidence.says(_HF_SCOPE)


def is_aws_trouble(evidence: Evidence, place: Place) -> bool:
    """AWS credentials, region, access to the model, or a model that needs a profile id."""
    if evidence.says(_ON_DEMAND):
        return True
    if place.provider.cloud != "aws" or evidence.has_status(429):
        return False
    refused = evidence.has_status(401, 403) or evidence.is_a("AuthenticationError", "PermissionDeniedError")
    return refused or evidence.is_a(*_AWS_CLASSES) or evidence.says(_AWS_TEXT)


def lacks_key(evidence: Evidence, place: Place) -> bool:
    """No key at all; litellm says so in an error 500, before it sends anything."""
    return evidence.says(_NO_CREDENTIALS) and not evidence.has_status(403, 429)


def has_bad_key(evidence: Evidence, place: Place) -> bool:
    """The key is refused, or may not do this."""
    if evidence.has_status(401, 403) or evidence.is_a("AuthenticationError", "PermissionDeniedError"):
        return True
    return evidence.says(_BAD_KEY) and evidence.statuses <= {400}


# --- a request the model does not take -------------------------------------------------------------------------------

_SIGNATURE = _any_of(
    r"invalid[^\n]{0,3}signature[^\n]{0,20}thinking",
    r"thinking[^\n]{0,40}signature[^\n]{0,40}(?:invalid|expired)",
    r"thinking[^\n]{0,60}blocks[^\n]{0,80}cannot be modified",
)
_EFFORT_NAME = _any_of(r"reasoning[_. ]?effort|output_config|\beffort\b|budget_tokens|adaptive thinking|\bthinking\b")
_REFUSAL = _any_of(
    r"\binvalid\b|must be (?:one of|greater|less)|supported values|unrecogni[sz]ed|unknown (?:param|field|arg|name)",
    r"not supported|unsupported|does ?n[o']t support|only supported by|not (?:permitted|allowed)|extra inputs",
    r"unexpected keyword|should be|input should|not accept",
)
_NO_EFFORT = _any_of(
    r"thinking(?: [\w`'\"]+){0,2} not supported",
    r"do(?:es)?(?: not|n['’]t) support (?:[\w`'\"]+ ){0,2}(?:thinking|effort parameter|reasoning[_ ]effort)\b",
    r"(?:unsupported|unknown) (?:parameter|argument)[^\n]{0,30}(?:reasoning|effort|thinking)",
    r"unrecogni[sz]ed request argument[^\n]{0,30}(?:reasoning|effort|thinking)",
    r"(?:thinking|output_config|reasoning_effort)\W{1,3}extra inputs are not permitted",
)
_LEVEL = _any_of(
    r"['\"`](?:minimal|low|medium|high|xhigh|max)['\"`]",
    r"only supported by|supported values|must be one of|input should be",
)


def has_bad_thinking_signature(evidence: Evidence, place: Place) -> bool:
    """The provider does not accept earlier thinking that was sent back."""
    return evidence.says(_SIGNATURE) and _is_refused_request(evidence)


def takes_no_effort(evidence: Evidence, place: Place) -> bool:
    """Thinking as such is not supported, whatever the level."""
    return _is_refused_request(evidence) and evidence.says(_NO_EFFORT) and not evidence.says(_LEVEL)


def refuses_effort(evidence: Evidence, place: Place) -> bool:
    """The level of reasoning effort is not accepted."""
    if not (_is_refused_request(evidence) and evidence.says(_EFFORT_NAME)):
        return False
    return evidence.is_a("UnsupportedParamsError") or evidence.says(_REFUSAL)


def _is_refused_request(evidence: Evidence) -> bool:
    return evidence.has_status(400, 422) or evidence.is_a("BadRequestError") or not evidence.statuses


# --- wrong model or provider -----------------------------------------------------------------------------------------

_PROVIDER = _any_of(r"model_not_supported", r"not supported by (?:any |this |the )?provider")
_MODEL = _any_of(
    r"model_not_found",
    r"\bmodel[ :=]+['\"`][\w./:@-]+['\"`] (?:does not exist|(?:is |was )?not found)",
    r"model identifier is invalid|not a valid model|invalid model (?:id|name)|unknown model\b",
)


def refuses_provider(evidence: Evidence, place: Place) -> bool:
    """The router has no (enabled) provider for this model."""
    return evidence.says(_PROVIDER)


def lacks_model(evidence: Evidence, place: Place) -> bool:
    """The provider has no such model."""
    if evidence.has_status(404) or evidence.is_a("NotFoundError"):
        return True
    return evidence.says(_MODEL) and evidence.statuses <= {400}


# --- try again -------------------------------------------------------------------------------------------------------

_RATE = _any_of(r"rate[ _-]?limit", r"too many requests", r"throttl", r"too many tokens")
_TRANSIENT_CLASSES = (
    "APIConnectionError",
    "APITimeoutError",
    "ClientPayloadError",
    "DecodingError",
    "ConnectionError",
    "IncompleteRead",
    "InternalServerError",
    "MidStreamFallbackError",
    "ServerDisconnectedError",
    "ServiceUnavailableError",
    "Timeout",
    "TimeoutError",
    "TransportError",
)
_TRANSIENT = _any_of(
    r"\btime(?:d)?[ -]?outs?\b",
    r"connection (?:error|reset|refused|aborted|closed)",
    r"service (?:is )?(?:temporarily )?unavailable|temporarily unavailable",
    r"bad gateway|gateway time-?out|internal server error",
    r"\boverloaded(?:_error)?\b",
    r"server disconnected|peer closed connection|incomplete (?:chunked )?read|unexpected eof|\beof occurred",
    r"network (?:error|is unreachable)",
)
_CONNECT_CLASSES = ("ConnectError", "ConnectTimeout", "ConnectionRefusedError", "ClientConnectorError", "gaierror")
_CONNECT = _any_of(
    r"connection refused|connect call failed|cannot connect to host|all connection attempts failed",
    r"(?m:^(?:litellm\.)?(?:\w+: )*(?:\w+ - )?connection error\.?$)",
)
_READ_CLASSES = ("ReadError", "ReadTimeout", "RemoteProtocolError", "ServerDisconnectedError", "SocketTimeoutError")
_PACKAGE = _any_of(r"no module named", r"\bpip install\b")
_CERTIFICATE = _any_of(r"certificate_verify_failed|certificate verify failed")


def is_rate_limited(evidence: Evidence, place: Place) -> bool:
    """Too many requests or tokens in a short time."""
    if evidence.has_status(429) or evidence.is_a("RateLimitError"):
        return True
    return evidence.says(_RATE) and not evidence.has_status(404, 408)


def lacks_package(evidence: Evidence, place: Place) -> bool:
    """A Python package that litellm needs for this provider is not installed; it may call that a connection error."""
    return evidence.is_a("ImportError") or evidence.says(_PACKAGE)


def has_bad_certificate(evidence: Evidence, place: Place) -> bool:
    """The server's certificate is not trusted here, mostly because of a company's proxy."""
    return evidence.is_a("SSLCertVerificationError") or evidence.says(_CERTIFICATE)


_DNS_CLASSES = ("gaierror", "ClientConnectorDNSError")
_PROXY_CLASSES = ("ClientProxyConnectionError", "ProxyError")
_PROXY_ENVS = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def has_bad_address(evidence: Evidence, place: Place) -> bool:
    """The address that a variable gives is no URL, or names no host where a server of the person's own should be."""
    if not any(place.environ.get(name, "").strip() for name in place.provider.base_url_envs):
        return False
    if not _is_http_url(place.url):
        return True
    return place.provider.is_local and evidence.is_a(*_DNS_CLASSES) and proxy_at_fault(evidence, place) is None


def is_stopped_by_proxy(evidence: Evidence, place: Place) -> bool:
    """The proxy of the environment cannot be reached."""
    return proxy_at_fault(evidence, place) is not None


def proxy_at_fault(evidence: Evidence, place: Place) -> str | None:
    """The variable whose proxy the request failed at, where the exception tells; None if it may be anything else."""
    given = {name: value for name in _PROXY_ENVS if (value := place.environ.get(name, "").strip())}
    for name, value in given.items():
        host = url_host(value if "://" in value else f"http://{value}")
        at_proxy = re.compile(rf"(?i)cannot connect to host {re.escape(host)}(?=[:\s])")
        if host and host != url_host(place.url) and evidence.says(at_proxy):
            return name
    return next(iter(given), None) if evidence.is_a(*_PROXY_CLASSES) else None


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_refused_locally(evidence: Evidence, place: Place) -> bool:
    """Nothing listens where a server of the person's own should be."""
    if not (place.provider.is_local or place.is_loopback) or evidence.is_a(*_READ_CLASSES):
        return False
    return evidence.is_a(*_CONNECT_CLASSES) or evidence.says(_CONNECT)


def is_transient(evidence: Evidence, place: Place) -> bool:
    """Trouble at the provider or on the way there, which may have passed in a moment."""
    if evidence.has_status(408, 425) or evidence.is_a("MidStreamFallbackError"):
        return True
    if any(400 <= status < 500 for status in evidence.statuses):
        return False
    return bool(evidence.statuses) or evidence.is_a(*_TRANSIENT_CLASSES) or evidence.says(_TRANSIENT)


_NO_ANSWER_CLASSES = (
    *("APIConnectionError", "ClientError", "MidStreamFallbackError", "OSError", "RequestError", "Timeout"),
    *("TimeoutError", "TransportError"),
)
_NO_ANSWER = _any_of(
    r"connection (?:error|reset|refused|aborted|closed)|server disconnected|peer closed connection|incomplete read"
)
_OVERLOADED = _any_of(r"overload|at capacity|service (?:is )?(?:temporarily )?unavailable")


def is_answered(evidence: Evidence) -> bool:
    """Whether the trouble is the provider's: it sent an error 5xx, not litellm, which calls a lost connection 500."""
    if not any(status >= 500 for status in evidence.statuses) or evidence.says(_NO_ANSWER):
        return False
    return not evidence.is_a(*_NO_ANSWER_CLASSES)


def is_overloaded(evidence: Evidence) -> bool:
    """Whether the provider says that it has too much to do."""
    return evidence.has_status(529) or evidence.says(_OVERLOADED)


# --- everything else -------------------------------------------------------------------------------------------------

_BAD_REQUEST = _any_of(r"invalid[ _]request", r"bad request")


def is_bad_request(evidence: Evidence, place: Place) -> bool:
    """The provider refuses the request for a reason of its own."""
    return bool(evidence.statuses) or evidence.is_a("BadRequestError", "APIStatusError") or evidence.says(_BAD_REQUEST)
