"""Checks of models: keys, the model that a start would choose, the HF router, servers of the person's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from agent.cli.doctor.findings import Finding, Findings, Status
from agent.cli.doctor.network import UnreachableError, get
from agent.cli.doctor.place import Lookups, Place
from agent.llm.auto import AutoChoice, choose_model
from agent.llm.catalog import parse_catalog
from agent.llm.classification import classify
from agent.llm.credentials import env_name
from agent.llm.failures import FailureKind, LLMFailure
from agent.llm.local import LocalServer
from agent.llm.params import (
    Route,
    UnknownModelError,
    base_url,
    describe_route,
    missing_credentials,
    resolve_route,
    url_host,
)
from agent.llm.providers import HF_ROUTER, LOCAL_PROVIDERS, PROVIDERS, RouteKind
from agent.ui.sanitize import clip

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 30.0
SHOWN_MODELS = 5
AUTO = "auto"


def keys(place: Place) -> Findings:
    """Which keys of model providers are set, by name, and those that cannot be right."""
    known = dict.fromkeys(name for provider in PROVIDERS for name in provider.key_envs)
    present = [name for name in known if env_name(place.environ, name)]
    found = [Finding("provider keys", "ok", ", ".join(present) or "none set")]
    for name in present:
        value = place.environ[name]
        if value.strip()[0] in "\"'" or any(char.isspace() or not char.isprintable() for char in value):
            cause = "its value has quotes, blanks or line breaks around or in it"
            found.append(Finding("provider keys", "warning", name, cause, f"Set {name} to the bare key."))
    return found


# --- the model --------------------------------------------------------------------------------------------------------


async def model(place: Place, lookups: Lookups) -> Findings:
    """The model that a start would choose, where its requests go, and whether something is missing for it."""
    if place.loaded is None:
        return [Finding("model", "skipped", "unknown while the configuration cannot be used")]
    choice = await _choice(place, lookups)
    if choice is None:
        cause = "there is no key, no Hugging Face token and no local server"
        remedy = "Set ANTHROPIC_API_KEY, OPENAI_API_KEY or HF_TOKEN, run `hf auth login`, or start `ollama serve`."
        return [Finding("model", "problem", "none to work with", cause, remedy)]
    try:
        route = resolve_route(choice.model_name)
    except UnknownModelError as error:
        remedy = "Choose another with --model or model_name."
        return [Finding("model", "problem", choice.model_name, str(error).replace("\n", " "), remedy)]
    detail = describe_route(route, place.environ).removeprefix("model ")
    if choice.because:
        detail += f" (chosen as {choice.because})"
    if missing := missing_credentials(route, place.environ, await lookups.hf_token()):
        return [Finding("model", "problem", detail, "no key", missing)]
    if route.provider.is_local and (trouble := _local_trouble(route, await lookups.servers(), place, detail)):
        return [trouble]
    return [Finding("model", "ok", detail)]


async def _choice(place: Place, lookups: Lookups) -> AutoChoice | None:
    """The configured model, or for `auto` the first that can work here, as a start does it."""
    assert place.loaded is not None
    name = place.loaded.config.model_name
    if name != AUTO:
        return AutoChoice(name, "")
    token = await lookups.hf_token()
    choice = choose_model(place.environ, token, ())
    return choice or choose_model(place.environ, token, await lookups.servers())


def _local_trouble(route: Route, servers: Sequence[LocalServer], place: Place, detail: str) -> Finding | None:
    """What keeps a model on a server of the person's own from answering; None if it is there."""
    provider, url = route.provider, base_url(route.provider, place.environ)
    server = next((server for server in servers if server.base_url == url), None)
    if server is None:
        remedy = f"Start it: {provider.start_hint.format(model=route.name)}"
        return Finding("model", "problem", detail, f"{provider.label} does not answer at {url_host(url)}", remedy)
    if not {route.name, f"{route.name}:latest"} & set(server.models):
        cause = f"{provider.label} does not have {route.name}; it has {_listed(server.models)}"
        return Finding("model", "problem", detail, cause, provider.model_hint.format(model=route.name))
    return None


async def probe(place: Place, lookups: Lookups) -> Findings:
    """With `--probe`, whether the model really answers."""
    if not place.probe:
        return [Finding("probe", "skipped", "the model was not asked; --probe does, and may cost a little")]
    choice = await _choice(place, lookups) if place.loaded is not None else None
    try:
        route = resolve_route(choice.model_name) if choice else None
    except UnknownModelError:
        route = None
    if route is None:
        return [Finding("probe", "skipped", "there is no model to ask")]
    try:
        await _ask(route, await lookups.hf_token(), place)
    except Exception as error:  # the door to the provider: everything becomes a typed failure
        failure = classify(error, route=route, environ=place.environ)
        logger.info("probing %s: %s (%s)", route.model_id, failure.kind, failure.detail, exc_info=True)
        detail = f"{route.model_id} does not answer"
        return [Finding("probe", "problem", detail, _cause(failure), failure.user_text)]
    return [Finding("probe", "ok", f"{route.model_id} answers")]


async def _ask(route: Route, hf_token: str | None, place: Place) -> None:
    """One short answer. Not one token: some models refuse so few, and the cause would be ours."""
    from agent.llm.client import LLMClient
    from agent.llm.effort_probe import PROBE, PROBE_TOKENS

    client = LLMClient(hf_token, place.environ)
    deltas = client.acompletion(model=route.model_id, messages=PROBE, stream=False, max_tokens=PROBE_TOKENS)
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            async for _ in deltas:
                pass
    finally:
        await deltas.aclose()
        await client.aclose()


_CAUSES = {
    FailureKind.NO_CREDENTIALS: "no key",
    FailureKind.AUTH: "the key is refused: a bad key, or one that is not entitled to this",
    FailureKind.HF_SCOPE: "the token is not entitled to call models",
    FailureKind.AWS: "AWS refuses: credentials, region or entitlement",
    FailureKind.CREDITS: "no credit",
    FailureKind.RATE_LIMIT: "too many requests",
    FailureKind.MODEL: "unknown model",
    FailureKind.PROVIDER: "no provider for this model",
    FailureKind.TRANSIENT: "unreachable, or in trouble",
    FailureKind.LOCAL_REFUSED: "unreachable: the local server does not answer",
}


def _cause(failure: LLMFailure) -> str:
    return _CAUSES.get(failure.kind, "the request failed")


# --- who serves them --------------------------------------------------------------------------------------------------


async def router(place: Place, lookups: Lookups) -> Findings:
    """Whether the HF router can be reached. Only a problem for who uses it."""
    url = base_url(HF_ROUTER, place.environ)
    choice = await _choice(place, lookups) if place.loaded is not None else None
    status: Status = "problem" if choice is not None and _is_routed(choice.model_name) else "warning"
    remedy = "Check the network connection; HF_ROUTER_BASE_URL, if you have set it."
    cause = ""
    try:
        answer = await get(f"{url}/models")
        if answer.status == 200:
            return [Finding("HF router", "ok", f"{len(parse_catalog(answer.body))} models at {url_host(url)}")]
        cause = f"it answered {answer.status}"
    except UnreachableError as error:
        cause, remedy = str(error), error.remedy
    except (ValueError, RecursionError):
        cause = "what answers there is not the router"
    return [Finding("HF router", status, f"the catalog at {url_host(url)} cannot be had", cause, remedy)]


def _is_routed(model_name: str) -> bool:
    try:
        return resolve_route(model_name).provider.kind is RouteKind.ROUTER
    except UnknownModelError:
        return False


async def local_servers(place: Place, lookups: Lookups) -> Findings:
    """The servers of the person's own that answer, and those that were named but do not."""
    servers = await lookups.servers()
    found = [
        Finding("local server", "ok", f"{one.provider.label} at {url_host(one.base_url)}: {_listed(one.models)}")
        for one in servers
    ]
    answering = {server.base_url for server in servers}
    for provider in LOCAL_PROVIDERS:
        name, url = env_name(place.environ, *provider.base_url_envs[:1]), base_url(provider, place.environ)
        if name and url not in answering:
            detail = f"{provider.label} at {url_host(url)}"
            cause, remedy = (
                f"{name} names it, but it does not answer",
                f"Start it: {provider.start_hint}; or unset {name}.",
            )
            found.append(Finding("local server", "warning", detail, cause, remedy.format(model="MODEL")))
    labels = ", ".join(provider.label for provider in LOCAL_PROVIDERS)
    return found or [Finding("local server", "ok", f"none running (looked for {labels})")]


def _listed(models: Sequence[str]) -> str:
    if not models:
        return "no model loaded"
    more = f" and {len(models) - SHOWN_MODELS} more" if len(models) > SHOWN_MODELS else ""
    return clip(", ".join(models[:SHOWN_MODELS]), 200) + more
