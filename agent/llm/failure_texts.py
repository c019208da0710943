"""What a person reads when a model call fails: the cause, then the remedy. One function per kind of failure."""

from __future__ import annotations

import ast
import difflib
import json
import math
import re
import warnings
from collections.abc import Mapping
from typing import Any

from agent.light_dataclass import dataclass
from agent.llm.credentials import env_name, key_in_use, missing_credentials, native_name, router_name
from agent.llm.failure_rules import Place, is_answered, is_overloaded, proxy_at_fault
from agent.llm.failure_signs import Evidence
from agent.llm.params import base_url, url_host
from agent.llm.providers import HF_BILLING_URL, HF_PRO_SUBSCRIBE_URL, HF_TOKENS_URL, Provider, RouteKind
from agent.llm.routes import Route
from agent.llm.suggestions import SUGGESTED_MODELS

MAX_WORDS = 300
OTHER_MODEL = "or choose another model with --model or /model"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the texts are made from. `words` is the provider's own message, `wait_s` how long it asks to wait."""

    route: Route
    environ: Mapping[str, str]
    evidence: Evidence
    words: str
    hf_plan: str
    wait_s: float | None

    @property
    def label(self) -> str:
        """Who serves the model."""
        return self.route.provider.label

    @property
    def url(self) -> str:
        """Where the request went; empty if only litellm knows."""
        return base_url(self.route.provider, self.environ)

    @property
    def quoted(self) -> str:
        """The provider's words as an addition to a sentence."""
        return f": {self.words}" if self.words else ""


def overflow(c: Circumstances) -> str:
    """The conversation is too long."""
    return (
        f"The conversation is too long for the context window of {c.route.model_id}{c.quoted}. "
        "Give it less to read, or choose a model with a larger window with --model or /model; in a chat, shorten it "
        "with /compact or start afresh with /new."
    )


def no_credentials(c: Circumstances) -> str:
    """There is no key."""
    missing = missing_credentials(c.route, c.environ, None)
    return missing or f"No key reached {c.label}{c.quoted}. Check {key_in_use(c.route.provider, c.environ)}."


def auth(c: Circumstances) -> str:
    """The key is refused."""
    provider = c.route.provider
    key = key_in_use(provider, c.environ)
    page = f" (new ones: {provider.key_url})" if provider.key_url else ""
    if provider.is_local and not env_name(c.environ, *provider.key_envs):
        return (
            f"{c.label} at {_without_userinfo(c.url)} wants a key{c.quoted}. Set {key} to the one it was started with."
        )
    if c.evidence.has_status(403) and not c.evidence.has_status(401):
        return f"{c.label} does not allow this request with the key in use ({key}){c.quoted}. Use a key that may{page}."
    return f"{c.label} does not accept the key in use ({key}){c.quoted}. Correct it{page}, {OTHER_MODEL}."


def hf_scope(c: Circumstances) -> str:
    """The HF token may not call models."""
    return (
        f"The Hugging Face token in use ({key_in_use(c.route.provider, c.environ)}) may not call Inference Providers. "
        f"Edit it at {HF_TOKENS_URL} and allow calls to Inference Providers, or use another token."
    )


def aws(c: Circumstances) -> str:
    """AWS credentials, region or model access."""
    if "on-demand throughput" in c.evidence.text.lower():
        return (
            f"{c.route.model_id} can only be called through an inference profile. Put the region group before the "
            f"model's name, e.g. bedrock/us.{c.route.name}, with AWS_REGION in that group."
        )
    return (
        f"{c.label} refused the request{c.quoted}. Check the AWS credentials (aws sts get-caller-identity), "
        "AWS_REGION, that your account has access to the model there, and the id: many models need a profile id that "
        "begins with us. or eu."
    )


def credits(c: Circumstances) -> str:
    """No money left."""
    if c.route.provider.kind is not RouteKind.ROUTER:
        page = f" at {c.route.provider.billing_url}" if c.route.provider.billing_url else ""
        return f"The credit at {c.label} is used up{c.quoted}. Top it up{page}, {OTHER_MODEL}."
    top_up = f"add credits at {HF_BILLING_URL}"
    texts = {
        "free": f"are used up. Subscribe to PRO ({HF_PRO_SUBSCRIBE_URL}) for more each month, or {top_up}.",
        "pro": f"are used up. To go on, {top_up}.",
    }
    unknown = (
        f"appear to be exhausted. If this is a free account, PRO includes more ({HF_PRO_SUBSCRIBE_URL}); "
        f"otherwise {top_up}."
    )
    return f"Your Hugging Face credits for model calls {texts.get(c.hf_plan, unknown)}"


def rate_limit(c: Circumstances) -> str:
    """Too fast."""
    return (
        f"{c.label} limits how much can be asked in a short time{c.quoted}.{_wait(c)} If it lasts, wait, {OTHER_MODEL}."
    )


def _wait(c: Circumstances) -> str:
    """How long the provider asks to wait, as a sentence; days and hours are no seconds to a reader."""
    if not c.wait_s:
        return ""
    for unit, unit_s in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if c.wait_s >= 2 * unit_s:
            return f" It asks to wait {math.ceil(10 * c.wait_s / unit_s) / 10:g} {unit}."
    return f" It asks to wait {c.wait_s:.0f} s."


def provider(c: Circumstances) -> str:
    """No provider behind the router serves the model."""
    drop = f"leave out :{c.route.tag}" if c.route.tag else "pin one that does, as in model:provider"
    return (
        f"No provider in use serves {c.route.model_id}{c.quoted}. To fix it, {drop}; enable more at "
        "https://huggingface.co/settings/inference-providers; who serves what: https://router.huggingface.co/v1/models"
    )


def model(c: Circumstances) -> str:
    """No such model."""
    hint = c.route.provider.model_hint.replace("{model}", c.route.name) or _spelling_hint(c.route)
    return f"{c.label} has no model {c.route.name}{c.quoted}. {hint or f'Check its name, {OTHER_MODEL}.'}"


def _spelling_hint(route: Route) -> str:
    other = native_name(route.name) if route.provider.kind is RouteKind.DIRECT else router_name(route.name)
    if "claude" in route.name and other != route.name and other.count("/") == route.name.count("/"):
        return f"Here its name is spelt {other}."
    others = [suggested.id for suggested in SUGGESTED_MODELS if suggested.id != route.model_id]
    close = difflib.get_close_matches(route.model_id, others, n=2, cutoff=0.7)
    return f"Did you mean {' or '.join(close)}?" if close else ""


def local_refused(c: Circumstances) -> str:
    """Nothing listens."""
    envs = c.route.provider.base_url_envs
    url = _without_userinfo(c.url)
    if not c.route.provider.is_local:
        return f"Nothing answers at {url}. Start the server there, or correct {' / '.join(envs)}."
    start = c.route.provider.start_hint.replace("{model}", c.route.name)
    return f"{c.label} does not answer at {url}. Start it with `{start}`, or set {envs[0]} to where it runs."


def effort(c: Circumstances) -> str:
    """The effort is not accepted."""
    return (
        f"{c.route.model_id} does not take this reasoning effort{c.quoted}. Try another with the setting "
        "reasoning_effort or with /effort, or /effort off."
    )


def thinking_signature(c: Circumstances) -> str:
    """Earlier thinking is not accepted."""
    return (
        f"{c.label} does not accept earlier thinking of this conversation{c.quoted}. "
        "Start afresh: with /new, or with a new run."
    )


def transient(c: Circumstances) -> str:
    """It may pass."""
    host = url_host(c.url)
    place = f"{c.label} ({host})" if host else c.label
    if is_answered(c.evidence):
        state = "is overloaded or not ready" if c.evidence.has_status(503) else "is failing at the moment"
        state = "is overloaded" if is_overloaded(c.evidence) else state
        return f"{place} {state}{c.quoted}.{_wait(c)} If it lasts, try again later, {OTHER_MODEL}."
    variable = env_name(c.environ, *c.route.provider.base_url_envs)
    check = f"the network and {variable}" if variable else "the network"
    return f"No proper answer from {place}{c.quoted}.{_wait(c)} If it lasts, check {check}, {OTHER_MODEL}."


def bad_address(c: Circumstances) -> str:
    """The variable with the address holds none."""
    variable = env_name(c.environ, *c.route.provider.base_url_envs) or "the base URL"
    return (
        f"No server can be found at {_without_userinfo(c.url)}, where {variable} sends requests for {c.label}. "
        f"Set {variable} to an address such as {_example_url(c.route.provider)}, or unset it."
    )


def _example_url(provider: Provider) -> str:
    url = provider.base_url_default
    return url if url and "{" not in url else "https://host.example/v1"


def bad_proxy(c: Circumstances) -> str:
    """The proxy cannot be reached."""
    variable = proxy_at_fault(c.evidence, Place(c.route.provider, False, c.url, c.environ)) or "HTTPS_PROXY"
    value = _without_userinfo(c.environ.get(variable, ""))
    return (
        f"The proxy {value} of {variable} cannot be reached, so nothing reaches {c.label}{c.quoted}. "
        f"Correct {variable}, or unset it if there is no proxy."
    )


def as_it_is(c: Circumstances) -> str:
    """The error's own text, which is complete."""
    return " ".join("".join(char if char.isprintable() else " " for char in c.evidence.outermost).split())


def certificate(c: Circumstances) -> str:
    """The certificate is not trusted."""
    return (
        f"The certificate of {url_host(c.url) or c.label} is not trusted on this machine. Behind a company's proxy, "
        "set SSL_CERT_FILE to its certificate file."
    )


def bad_request(c: Circumstances) -> str:
    """Refused for a reason of its own."""
    return f"{c.label} refused the request{c.quoted}. Change what it objects to, {OTHER_MODEL}."


def package(c: Circumstances) -> str:
    """A Python package is missing."""
    return f"{c.label} needs a Python package that is not installed{c.quoted}. Install it beside ml-intern."


def internal(c: Circumstances) -> str:
    """Our own fault, as far as one can tell."""
    return f"The model call failed unexpectedly{c.quoted}. Run with --debug for the details, {OTHER_MODEL}."


# --- the provider's own words ----------------------------------------------------------------------------------------

_LITELLM_PREFIX = re.compile(
    r"^(?:(?:litellm\.)?\w*(?:Error|Exception|Timeout)(?: \w*(?:Error|Exception))?(?:: | - )|Error code: \d{3} - )+"
)
_LITELLM_SUFFIX = re.compile(r"\.? ?(?:Handle with `litellm\.\w+`|LiteLLM Retried: \d+ times).*$", re.DOTALL)
_BYTES = re.compile(r"""(?<!\w)b(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
_SSL_OBJECT = re.compile(r" ssl:(?:<[^>]*>|\w+)")


def provider_words(text: str) -> str:
    """The message inside an error text: without litellm's wrapping, JSON and web pages, on one line, cut if long."""
    text = _SSL_OBJECT.sub("", _LITELLM_SUFFIX.sub("", _LITELLM_PREFIX.sub("", text.strip())))
    text = _BYTES.sub(_decoded, text)
    brace = text.find("{")
    if brace >= 0:
        text = _message_in(_parse(text[brace:])) or text
    if re.search(r"<(?:!doctype|html|head|body)\b", text, re.IGNORECASE):
        return "it sent a web page"
    text = "".join(char if char.isprintable() else " " for char in text)
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= MAX_WORDS else f"{text[:MAX_WORDS]}…"


def _decoded(match: re.Match[str]) -> str:
    """The text of a Python bytes literal: litellm prints Anthropic's answers like that."""
    try:
        value = ast.literal_eval(match[0])
    except (ValueError, SyntaxError, MemoryError):
        return match[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else match[0]


def _parse(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            with warnings.catch_warnings(action="ignore"):  # about escapes, when it is no Python after all
                return parse(text[:4_000].strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return None


def _message_in(data: Any) -> str:
    for _ in range(4):
        if isinstance(data, str):
            return data
        if not isinstance(data, Mapping):
            return ""
        data = next((data[key] for key in ("error", "message", "detail", "Message") if data.get(key)), None)
    return ""


def _without_userinfo(url: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "", url)


_WORDS_OF_CLASS = {
    "ConnectTimeout": "no connection came about in time",
    "PoolTimeout": "too many calls at once",
    "ReadError": "the connection broke",
    "ReadTimeout": "it sent nothing for too long",
    "WriteError": "the connection broke",
    "WriteTimeout": "it did not take the request in time",
}


def words_of_class(name: str) -> str:
    """Words for an exception that has none of its own: httpx's often do not."""
    return _WORDS_OF_CLASS.get(name, name)
