"""The one classification of errors, with litellm's real exceptions and with plain text."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.classification import classify
from agent.llm.failure_rules import is_billing_error, is_inference_billing_error
from agent.llm.failures import (
    _LLM_RATE_LIMIT_RETRY_DELAYS,
    _LLM_RETRY_DELAYS,
    _MAX_LLM_RETRIES,
    FailureKind,
    LLMCallError,
    LLMError,
    LLMFailure,
    ProviderError,
    retry_delay_s,
)
from agent.llm.litellm_backend import load
from agent.llm.params import resolve_route

K = FailureKind
ROUTER, OPENAI, CLAUDE = "anthropic/claude-opus-4.8:fal-ai", "openai/gpt-5.5", "anthropic/claude-opus-4-8"
BEDROCK, OLLAMA, GEMINI = "bedrock/us.anthropic.claude-opus-4-8", "ollama/qwen3", "gemini/gemini-3"
HF_CREDITS = (
    "You have exceeded your monthly included credits for Inference Providers. Subscribe to PRO to get 20x more "
    "monthly included credits."
)
HF_SCOPE = "This authentication method does not have sufficient permissions to call Inference Providers on behalf of x"


def failure_of(error: BaseException, model: str = ROUTER, **options: Any) -> LLMFailure:
    options.setdefault("environ", {})
    return classify(error, route=resolve_route(model), **options)


def litellm_error(name: str, message: str, status: int | None = None, **headers: str) -> Exception:
    """A litellm exception as litellm makes it, with the response of the server behind it."""
    exceptions = load().exceptions
    response = httpx.Response(status or 400, headers=headers, request=httpx.Request("POST", "https://x.example"))
    kwargs: dict[str, Any] = {"message": message, "model": "m", "llm_provider": "openai"}
    if name == "APIError":
        kwargs |= {"status_code": status}
    elif name not in ("APIConnectionError", "Timeout"):
        kwargs |= {"response": response}
    error: Exception = getattr(exceptions, name)(**kwargs)
    if headers:
        error.litellm_response_headers = response.headers  # type: ignore[attr-defined]
    return error


LITELLM = [
    ("ContextWindowExceededError", "ContextWindowExceededError: too long", 400, CLAUDE, K.OVERFLOW),
    (
        "BadRequestError",
        "AnthropicException - prompt is too long: 207000 tokens > 200000 maximum",
        400,
        CLAUDE,
        K.OVERFLOW,
    ),
    ("APIError", "OpenAIException - too large", 413, OPENAI, K.OVERFLOW),
    ("InternalServerError", "the request exceeds the available context size", 500, "llamacpp/x", K.OVERFLOW),
    ("BadRequestError", "ValidationException: Input is too long for requested model.", 400, BEDROCK, K.OVERFLOW),
    ("BadRequestError", "The input token count (1200000) exceeds the maximum of 1048575", 400, GEMINI, K.OVERFLOW),
    (
        "InternalServerError",
        "OpenAIException - Missing credentials. Please pass an `api_key`",
        500,
        OPENAI,
        K.NO_CREDENTIALS,
    ),
    (
        "AuthenticationError",
        "Missing Anthropic API Key - A call is being made to anthropic",
        401,
        CLAUDE,
        K.NO_CREDENTIALS,
    ),
    (
        "APIConnectionError",
        "Fireworks_aiException - FIREWORKS_API_KEY is not set",
        None,
        "fireworks_ai/x",
        K.NO_CREDENTIALS,
    ),
    ("AuthenticationError", "OpenAIException - Incorrect API key provided: sk-abcde****wxyz.", 401, OPENAI, K.AUTH),
    ("PermissionDeniedError", "OpenAIException - not allowed", 403, OPENAI, K.AUTH),
    ("BadRequestError", "GeminiException - API key not valid. Please pass a valid API key.", 400, GEMINI, K.AUTH),
    ("APIError", f"OpenAIException - Error code: 403 - {{'error': '{HF_SCOPE}'}}", 403, ROUTER, K.HF_SCOPE),
    (
        "AuthenticationError",
        "BedrockException Invalid Authentication - Unable to locate credentials",
        401,
        BEDROCK,
        K.AWS,
    ),
    ("PermissionDeniedError", "You don't have access to the model with the specified model ID.", 403, BEDROCK, K.AWS),
    (
        "BadRequestError",
        "Invocation of model ID anthropic.claude-opus-4-8 with on-demand throughput isn't supported.",
        400,
        "bedrock/anthropic.claude-opus-4-8",
        K.AWS,
    ),
    ("APIError", f"OpenAIException - Error code: 402 - {{'error': '{HF_CREDITS}'}}", 402, ROUTER, K.CREDITS),
    ("PaymentRequiredError", f"AnthropicException - {HF_CREDITS}", 402, ROUTER, K.CREDITS),
    (
        "RateLimitError",
        "You exceeded your current quota, please check your plan and billing details.",
        429,
        OPENAI,
        K.CREDITS,
    ),
    ("RateLimitError", "insufficient_quota", 429, OPENAI, K.CREDITS),
    ("BadRequestError", "Your credit balance is too low to access the Anthropic API.", 400, CLAUDE, K.CREDITS),
    ("BadRequestError", "This request requires more credits, or fewer max_tokens.", 400, "openrouter/a/b", K.CREDITS),
    ("APIConnectionError", HF_CREDITS, None, ROUTER, K.CREDITS),
    ("RateLimitError", "Rate limit reached for gpt-5.5 on tokens per min", 429, OPENAI, K.RATE_LIMIT),
    ("RateLimitError", "would exceed your rate limit of 30,000 input tokens per minute", 429, CLAUDE, K.RATE_LIMIT),
    (
        "RateLimitError",
        "BedrockException: Too many tokens, please wait before trying again.",
        429,
        BEDROCK,
        K.RATE_LIMIT,
    ),
    (
        "RateLimitError",
        "You exceeded your current quota, please check your plan and billing details. Please retry in 22.4s.",
        429,
        GEMINI,
        K.RATE_LIMIT,
    ),
    (
        "BadRequestError",
        "The requested model 'x' is not supported by any provider you have enabled.",
        400,
        ROUTER,
        K.PROVIDER,
    ),
    ("BadRequestError", "{'code': 'model_not_supported'}", 400, ROUTER, K.PROVIDER),
    ("BadRequestError", "Model x is not supported by provider novita.", 400, ROUTER, K.PROVIDER),
    ("NotFoundError", "OpenAIException - The model `gpt-9` does not exist", 404, OPENAI, K.MODEL),
    ("BadRequestError", "The provided model identifier is invalid.", 400, BEDROCK, K.MODEL),
    ("BadRequestError", "foo/bar is not a valid model ID", 400, "openrouter/foo/bar", K.MODEL),
    ("APIConnectionError", "OpenAIException - Connection error.", None, OPENAI, K.TRANSIENT),
    ("APIConnectionError", "OpenAIException - Connection error.", None, OLLAMA, K.LOCAL_REFUSED),
    ("InternalServerError", "InternalServerError: OpenAIException - Connection error.", 500, OLLAMA, K.LOCAL_REFUSED),
    ("InternalServerError", "AnthropicException - Overloaded", 500, CLAUDE, K.TRANSIENT),
    ("InternalServerError", "OpenAIException - Received: '<html>hello</html>'", 500, OPENAI, K.TRANSIENT),
    ("ServiceUnavailableError", "OpenAIException - loading model", 503, OLLAMA, K.TRANSIENT),
    ("BadGatewayError", "OpenAIException - <html>bad gateway</html>", 502, OPENAI, K.TRANSIENT),
    ("Timeout", "APITimeoutError - Request timed out.", None, OPENAI, K.TRANSIENT),
    ("Timeout", "APITimeoutError - Request timed out.", None, OLLAMA, K.TRANSIENT),
    ("MidStreamFallbackError", "stream broke", 503, CLAUDE, K.TRANSIENT),
    ("APIError", "slow down", 408, OPENAI, K.TRANSIENT),
    ("APIError", "overloaded_error", 529, CLAUDE, K.TRANSIENT),
    ("APIConnectionError", "No module named 'mcp'", None, OPENAI, K.INTERNAL),
    (
        "BadRequestError",
        "vertexai import failed please run `pip install google-cloud-aiplatform`",
        400,
        "vertex_ai/x",
        K.INTERNAL,
    ),
    (
        "UnsupportedParamsError",
        "openai does not support parameters: ['reasoning_effort'], for model=m",
        400,
        OPENAI,
        K.EFFORT,
    ),
    (
        "UnsupportedParamsError",
        "openai does not support parameters: ['tools'], for model=m",
        400,
        OPENAI,
        K.BAD_REQUEST,
    ),
    (
        "BadRequestError",
        "Unsupported value: 'reasoning_effort' does not support 'xhigh'. Supported values are: low",
        400,
        OPENAI,
        K.EFFORT,
    ),
    ("UnprocessableEntityError", "reasoning_effort: Input should be 'low', 'medium' or 'high'", 422, ROUTER, K.EFFORT),
    ("BadRequestError", "output_config.effort: must be one of low, medium, high", 400, CLAUDE, K.EFFORT),
    ("BadRequestError", "adaptive thinking is not supported on this model", 400, CLAUDE, K.NO_EFFORT),
    ("BadRequestError", "This model does not support the effort parameter.", 400, CLAUDE, K.NO_EFFORT),
    ("BadRequestError", "output_config: Extra inputs are not permitted", 400, CLAUDE, K.NO_EFFORT),
    ("BadRequestError", "Unsupported parameter: 'reasoning_effort' is not supported", 400, OPENAI, K.NO_EFFORT),
    ("BadRequestError", "Unrecognized request argument supplied: reasoning_effort", 400, OPENAI, K.NO_EFFORT),
    ("BadRequestError", "effort 'max' is not supported, only supported by Opus 4.6", 400, CLAUDE, K.EFFORT),
    ("BadRequestError", "`max_tokens` must be greater than `thinking.budget_tokens`", 400, CLAUDE, K.EFFORT),
    (
        "BadRequestError",
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        400,
        CLAUDE,
        K.THINKING_SIGNATURE,
    ),
    ("BadRequestError", "OpenAIException - tools[0]: schema is wrong", 400, OPENAI, K.BAD_REQUEST),
    ("ContentPolicyViolationError", "blocked by the content filter", 400, OPENAI, K.BAD_REQUEST),
    ("APIError", "I'm a teapot", 418, OPENAI, K.BAD_REQUEST),
]


@pytest.mark.xdist_group("litellm")
@pytest.mark.parametrize(("name", "message", "status", "model", "kind"), LITELLM)
def test_litellm_exceptions(name: str, message: str, status: int | None, model: str, kind: FailureKind) -> None:
    failure = failure_of(litellm_error(name, message, status), model)
    assert failure.kind is kind, failure
    assert failure.user_text.endswith((".", "?", "models", "#")), failure.user_text
    assert failure.retryable is (kind in (K.RATE_LIMIT, K.TRANSIENT))


PLAIN = [
    ("HTTP 429 Too Many Requests", K.RATE_LIMIT),
    ("503 service unavailable", K.TRANSIENT),
    ("502: Bad Gateway", K.TRANSIENT),
    ("Error code: 401 - no", K.AUTH),
    ("status_code=403", K.AUTH),
    ("HTTP/1.1 500", K.TRANSIENT),
    ("Request timed out after 600s", K.TRANSIENT),
    ("Connection reset by peer: connection reset", K.TRANSIENT),
    ("Too many tokens, please wait", K.RATE_LIMIT),
    ("ThrottlingException: slow down", K.RATE_LIMIT),
    ("rate limit exceeded", K.RATE_LIMIT),
    ("prompt is too long: 365407, model maximum context length: 262143", K.OVERFLOW),
    ("Requested token count exceeds the model's maximum context length of 131072 tokens", K.OVERFLOW),
    ("context_length_exceeded", K.OVERFLOW),
    ("input length and `max_tokens` exceed context limit: 199000 + 21333 > 200000", K.OVERFLOW),
    ("too many input tokens", K.OVERFLOW),
    ("invalid request: bad parameter", K.BAD_REQUEST),
    (HF_CREDITS, K.CREDITS),
    ("NOT_ENOUGH_BALANCE", K.CREDITS),
    ("monthly spending limit reached", K.CREDITS),
    ("payment required", K.CREDITS),
    # what the reference took for something else
    ("job 64029 not accepted", K.INTERNAL),
    ("14290 tokens were read", K.INTERNAL),
    ("typeof x is not a function", K.INTERNAL),
    ("8500 rows", K.INTERNAL),
    ("500 rows were processed", K.INTERNAL),
    ("job 500 was cancelled", K.INTERNAL),
    ("capacity of the vector", K.INTERNAL),
    ("the model file was not found in the cache", K.INTERNAL),
    ("two-factor authentication text", K.INTERNAL),
    ("", K.INTERNAL),
]


@pytest.mark.parametrize(("message", "kind"), PLAIN)
@pytest.mark.parametrize("model", [ROUTER, OPENAI, OLLAMA])
def test_plain_exceptions(message: str, kind: FailureKind, model: str) -> None:
    assert failure_of(Exception(message), model).kind is kind


CLASSES = [
    (TimeoutError("Request timed out: the model sent nothing for 300 s"), OPENAI, K.TRANSIENT),
    (TimeoutError(), OLLAMA, K.TRANSIENT),
    (ConnectionResetError(104, "reset"), OPENAI, K.TRANSIENT),
    (ConnectionRefusedError(111, "refused"), OPENAI, K.TRANSIENT),
    (ConnectionRefusedError(111, "refused"), OLLAMA, K.LOCAL_REFUSED),
    (httpx.ConnectError("All connection attempts failed"), OLLAMA, K.LOCAL_REFUSED),
    (httpx.ConnectTimeout("slow"), OLLAMA, K.LOCAL_REFUSED),
    (httpx.ReadTimeout("slow"), OLLAMA, K.TRANSIENT),
    (httpx.RemoteProtocolError("Server disconnected"), OLLAMA, K.TRANSIENT),
    (httpx.ReadError("broken"), CLAUDE, K.TRANSIENT),
    (ProviderError("busy", 503), "replay/demo", K.TRANSIENT),
    (ProviderError("no such script", 404), "replay/demo", K.MODEL),
    (ProviderError("used up", 400), "replay/demo", K.BAD_REQUEST),
    (ProviderError("no status"), "replay/demo", K.INTERNAL),
    (TypeError("'int' object is not iterable"), OPENAI, K.INTERNAL),
    (ModuleNotFoundError("No module named 'boto3'"), BEDROCK, K.INTERNAL),
    (FileNotFoundError(2, "No such file"), "replay/demo", K.INTERNAL),
    (asyncio.CancelledError(), OPENAI, K.INTERNAL),
]


@pytest.mark.parametrize(("error", "model", "kind"), CLASSES)
def test_classes(error: BaseException, model: str, kind: FailureKind) -> None:
    assert failure_of(error, model).kind is kind


def chained(outer: Exception, inner: Exception, how: str) -> Exception:
    if how == "original_exception":
        outer.original_exception = inner  # type: ignore[attr-defined]
        return outer
    try:
        try:
            raise inner
        except Exception as error:
            if how == "cause":
                raise outer from error
            raise outer  # noqa: B904
    except Exception as error:
        return error


@pytest.mark.parametrize("how", ["original_exception", "cause", "context"])
def test_what_is_behind_an_exception_counts(how: str) -> None:
    assert failure_of(chained(Exception("wrapped"), ProviderError("x", 413), how)).kind is K.OVERFLOW
    refused = chained(Exception("wrapped"), ConnectionRefusedError("refused"), how)
    assert failure_of(refused, OLLAMA).kind is K.LOCAL_REFUSED


def test_a_suppressed_context_does_not_count() -> None:
    try:
        try:
            raise ProviderError("x", 413)
        except ProviderError:
            raise ValueError("new") from None
    except ValueError as error:
        assert failure_of(error).kind is K.INTERNAL


def test_a_circle_of_causes_ends() -> None:
    first, second = Exception("one"), Exception("two")
    first.__cause__, second.__cause__ = second, first
    assert failure_of(first).kind is K.INTERNAL


def test_an_exception_that_cannot_be_printed() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert failure_of(Broken()).kind is K.INTERNAL


def test_a_classified_error_is_not_classified_again() -> None:
    failure = LLMFailure(K.CREDITS, "text")
    assert failure_of(LLMCallError(failure)) is failure
    assert isinstance(LLMCallError(failure), LLMError)
    assert isinstance(ProviderError("x"), LLMError)


@given(st.text(max_size=200), st.sampled_from([ROUTER, OPENAI, OLLAMA, BEDROCK, "replay/demo"]))
def test_any_text_is_classified_in_one_printable_line(text: str, model: str) -> None:
    failure = failure_of(Exception(text), model)
    assert failure.user_text.isprintable()


# --- billing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "402 Client Error",
        "status 402",
        "insufficient credits",
        "You are out of credits",
        "you have no credit left",
        "Please add more credits",
        "this hardware requires credits",
        "Payment Required",
        "see your billing page",
        "credits exhausted",
        "your credits are used up",
        "credit limit reached",
    ],
)
def test_billing(text: str) -> None:
    assert is_billing_error(text)
    assert is_inference_billing_error(Exception(text))


@pytest.mark.parametrize(
    "text",
    [
        "insufficient_quota",
        "quota exceeded",
        "quota exhausted",
        "quota limit",
        HF_CREDITS,
        "NOT_ENOUGH_BALANCE",
        "monthly credits exhausted",
        "out of monthly credits",
        "Your credit balance is too low",
        "spending limit",
    ],
)
def test_billing_of_model_calls(text: str) -> None:
    assert is_inference_billing_error(text)


@pytest.mark.parametrize("text", ["job 64029", "quota exceeded", "1402 files", "402.5 s", "accreditation", ""])
def test_not_billing(text: str) -> None:
    assert not is_billing_error(text)


@pytest.mark.parametrize("text", ["job 64029", "4020", "rate limit", "model not found"])
def test_not_billing_of_model_calls(text: str) -> None:
    assert not is_inference_billing_error(text)


PRO_URL, BILLING_URL = "https://huggingface.co/subscribe/pro", "https://huggingface.co/settings/billing"


def test_credits_texts_depend_on_the_plan() -> None:
    error = ProviderError(HF_CREDITS, 402)
    free, pro = failure_of(error, hf_plan="free").user_text, failure_of(error, hf_plan="pro").user_text
    unknown = failure_of(error).user_text
    assert PRO_URL in free and BILLING_URL in free
    assert PRO_URL not in pro and BILLING_URL in pro
    assert "appear to be exhausted" in unknown and "If this is a free account" in unknown
    assert PRO_URL in unknown and BILLING_URL in unknown


def test_credits_of_others_lead_to_their_page() -> None:
    for model, url in ((CLAUDE, "console.anthropic.com"), (OPENAI, "platform.openai.com"), ("groq/x", "groq.com")):
        text = failure_of(ProviderError("no money", 402), model).user_text
        assert url in text
        assert "huggingface.co" not in text


# --- texts -----------------------------------------------------------------------------------------------------------

TEXTS: list[tuple[Exception, str, dict[str, str], list[str]]] = [
    (ProviderError("bad key", 401), CLAUDE, {}, ["Anthropic", "ANTHROPIC_API_KEY", "bad key", "/model"]),
    (ProviderError("no", 401), CLAUDE, {"ANTHROPIC_AUTH_TOKEN": "t0ken"}, ["(ANTHROPIC_AUTH_TOKEN)"]),
    (ProviderError("no", 401), ROUTER, {}, ["hf auth login", "huggingface.co/settings/tokens"]),
    (ProviderError("no", 401), ROUTER, {"INFERENCE_TOKEN": "x"}, ["INFERENCE_TOKEN"]),
    (ProviderError("no", 401), GEMINI, {"GOOGLE_API_KEY": "x"}, ["GOOGLE_API_KEY"]),
    (ProviderError(HF_SCOPE, 403), ROUTER, {"HF_TOKEN": "x"}, ["HF_TOKEN", "Inference Providers"]),
    (ProviderError("Missing credentials", 500), OPENAI, {}, ["OPENAI_API_KEY", "huggingface/openai/gpt-5.5:fal-ai"]),
    (ProviderError("denied", 403), BEDROCK, {}, ["AWS_REGION", "us.", "access to the model"]),
    (
        ProviderError("on-demand throughput isn't supported", 400),
        "bedrock/anthropic.claude-opus-4-8",
        {},
        ["bedrock/us.anthropic.claude-opus-4-8", "AWS_REGION"],
    ),
    (
        ProviderError("x is not supported by provider novita", 400),
        "org/m:novita",
        {},
        [":novita", "inference-providers"],
    ),
    (ProviderError("x", 404), "anthropic/claude-opus-4.8", {}, ["claude-opus-4-8"]),
    (ProviderError("x", 404), "anthropic/claude-opus-4-8:fal-ai", {}, ["anthropic/claude-opus-4.8"]),
    (ProviderError("x", 404), "openai/gpt-55", {}, ["openai/gpt-5.5"]),
    (ProviderError("model not found", 404), OLLAMA, {}, ["ollama pull qwen3"]),
    (ConnectionRefusedError("x"), OLLAMA, {}, ["http://localhost:11434/v1", "`ollama serve`", "OLLAMA_BASE_URL"]),
    (ConnectionRefusedError("x"), OLLAMA, {"OLLAMA_BASE_URL": "http://u:p@box:1"}, ["http://box:1/v1"]),
    (ConnectionRefusedError("x"), "vllm/Q/m", {}, ["http://localhost:8000/v1", "vllm serve Q/m", "VLLM_BASE_URL"]),
    (ConnectionRefusedError("x"), "lm_studio/m", {}, ["http://127.0.0.1:1234/v1", "lms server start"]),
    (ConnectionRefusedError("x"), "llamacpp/m", {}, ["http://localhost:8080/v1", "llama-server"]),
    (
        ConnectionRefusedError("x"),
        OPENAI,
        {"OPENAI_BASE_URL": "http://localhost:9/v1"},
        ["http://localhost:9/v1", "OPENAI_BASE_URL"],
    ),
    (ProviderError("slow", 429, {"Retry-After": "7"}), OPENAI, {}, ["wait 7 s"]),
    (ProviderError("x" * 5000, 400), OPENAI, {}, ["refused the request"]),
    (ProviderError("<html><body>secret page</body></html>", 502), OPENAI, {}, ["a web page", "api.openai.com"]),
    (Exception("certificate verify failed: CERTIFICATE_VERIFY_FAILED"), OPENAI, {}, ["SSL_CERT_FILE"]),
    (ModuleNotFoundError("No module named 'boto3'"), BEDROCK, {}, ["boto3"]),
    (ProviderError("too long", 413), ROUTER, {}, ["/compact", "/new"]),
    (ProviderError("effort must be one of low", 400), OPENAI, {}, ["/effort off"]),
]


@pytest.mark.parametrize(("error", "model", "environ", "parts"), TEXTS)
def test_texts_name_cause_and_remedy(error: Exception, model: str, environ: dict[str, str], parts: list[str]) -> None:
    text = failure_of(error, model, environ=environ).user_text
    assert all(part in text for part in parts), text
    assert len(text) < 900


@pytest.mark.parametrize(
    "wrapped",
    [
        "litellm.RateLimitError: RateLimitError: OpenAIException - slow down, please",
        'litellm.RateLimitError: AnthropicException - {"error": {"message": "slow down, please", "type": "x"}}',
        "litellm.APIError: APIError: OpenAIException - Error code: 429 - {'error': 'slow down, please'}",
        "slow down,\n\tplease",
    ],
)
def test_the_providers_own_words_are_unwrapped(wrapped: str) -> None:
    text = failure_of(ProviderError(wrapped, 429), OPENAI).user_text
    assert ": slow down, please." in text
    assert "litellm" not in text


# --- secrets ---------------------------------------------------------------------------------------------------------

KEYS = [
    "sk-ant-api03-abcDEF123_456-xyz",
    "sk-proj-0123456789abcdef",
    "hf_AbCdEfGhIjKlMnOp",
    "AIzaSyA-0123456789abcdefghij",
    "AKIAIOSFODNN7EXAMPLE",
    "gsk_0123456789abcdefghij",
    "0123456789abcdef0123456789abcdef",
    "ghp_0123456789abcdefghij",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, None])
def test_no_text_contains_a_key(key: str, status: int | None) -> None:
    for message in (f"bad key {key}", f"Authorization: Bearer {key}", f"https://x/?key={key}&a=1", f"api_key='{key}'"):
        failure = failure_of(ProviderError(message, status), OPENAI)
        assert key not in failure.user_text + failure.detail


def test_keys_of_the_environment_are_masked_by_value() -> None:
    environ = {"MY_CUSTOM_API_KEY": "plainword-secret", "OPENAI_BASE_URL": "https://example.com/v1"}
    failure = failure_of(ProviderError("got plainword-secret from you", 400), OPENAI, environ=environ)
    assert "plainword-secret" not in failure.user_text + failure.detail
    assert "got *** from you" in failure.user_text


# --- retries ---------------------------------------------------------------------------------------------------------


def no_jitter() -> float:
    return 0.0


def test_the_schedule() -> None:
    assert len(_LLM_RETRY_DELAYS) == len(_LLM_RATE_LIMIT_RETRY_DELAYS) == _MAX_LLM_RETRIES - 1
    assert sum(_LLM_RATE_LIMIT_RETRY_DELAYS) > 60
    transient, limited = LLMFailure(K.TRANSIENT, ""), LLMFailure(K.RATE_LIMIT, "")
    assert [retry_delay_s(transient, attempt, no_jitter) for attempt in range(3)] == [5, 15, None]
    assert [retry_delay_s(limited, attempt, no_jitter) for attempt in range(3)] == [30, 60, None]
    assert retry_delay_s(transient, 0, lambda: 1.0) == 6.25


@pytest.mark.parametrize("kind", list(FailureKind))
def test_only_two_kinds_are_tried_again(kind: FailureKind) -> None:
    failure = LLMFailure(kind, "", retry_after_s=1.0)
    assert failure.retryable is (kind in (K.TRANSIENT, K.RATE_LIMIT))
    assert (retry_delay_s(failure, 0, no_jitter) is not None) is failure.retryable


NOW = datetime(2026, 10, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "headers", "message", "expected"),
    [
        (429, {"Retry-After": "7"}, "", 7.0),
        (429, {"retry-after": "0.5"}, "", 0.5),
        (503, {"Retry-After": "12"}, "", 12.0),
        (429, {"retry-after-ms": "1500"}, "", 1.5),
        (429, {"Retry-After": format_datetime(NOW.replace(minute=1), usegmt=True)}, "", 60.0),
        (429, {"Retry-After": format_datetime(NOW.replace(hour=1), usegmt=True)}, "", 0.0),
        (429, {"Retry-After": "soon"}, "", None),
        (429, {"Retry-After": "-3"}, "", None),
        (429, {"Retry-After": "nan"}, "", None),
        (429, {}, "Please retry in 22.5s", 22.5),
        (429, {}, "try again in 450ms", 0.45),
        (429, {}, "try again in 3m12s", 180.0),
        (429, {}, "{'retryDelay': '33s'}", 33.0),
        (429, {}, "slow down", None),
        (400, {"Retry-After": "7"}, "", None),
    ],
)
def test_retry_after(status: int, headers: dict[str, str], message: str, expected: float | None) -> None:
    failure = failure_of(ProviderError(message, status, headers), now_s=NOW.timestamp)
    assert failure.retry_after_s == expected
    if expected is not None:
        assert retry_delay_s(failure, 1, no_jitter) == expected
        assert retry_delay_s(failure, 2, no_jitter) is None


@pytest.mark.parametrize(("asked", "said"), [("86400", "wait 24 h"), ("301", "wait 5.1 min"), ("200000", "2.4 days")])
@pytest.mark.parametrize("status", [429, 503])
def test_a_very_long_wait_is_left_to_the_person(status: int, asked: str, said: str) -> None:
    failure = failure_of(ProviderError("x", status, {"Retry-After": asked}))
    assert retry_delay_s(failure, 0, no_jitter) is None
    assert said in failure.user_text


def test_the_longest_wait_is_still_waited() -> None:
    failure = failure_of(ProviderError("x", 429, {"Retry-After": "300"}))
    assert retry_delay_s(failure, 0, no_jitter) == 300


@pytest.mark.xdist_group("litellm")
def test_retry_after_of_a_litellm_exception() -> None:
    failure = failure_of(litellm_error("RateLimitError", "slow", 429, **{"retry-after": "9"}), OPENAI)
    assert (failure.kind, failure.retry_after_s) == (K.RATE_LIMIT, 9.0)
