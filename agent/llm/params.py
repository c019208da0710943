"""From a model id to the request parameters of its provider, and to one line that says where requests go.

The public door of routing: it also offers what `routes`, `credentials` and `effort` define.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from agent.llm.credentials import clean_hf_token, env_value, missing_credentials, router_token
from agent.llm.effort import UnsupportedEffortError, effort_params, effort_style
from agent.llm.providers import Provider, RouteKind
from agent.llm.routes import (
    Route,
    UnknownModelError,
    has_server,
    is_valid_model_id,
    resolve_route,
    strip_huggingface_model_prefix,
)

__all__ = [
    "LOCAL_API_KEY_DEFAULT",
    "Route",
    "UnknownModelError",
    "UnsupportedEffortError",
    "_resolve_llm_params",
    "base_url",
    "clean_hf_token",
    "describe_provider",
    "describe_route",
    "effort_levels",
    "has_own_address",
    "has_server",
    "is_loopback",
    "is_valid_model_id",
    "local_api_key",
    "missing_credentials",
    "resolve_route",
    "strip_huggingface_model_prefix",
    "url_host",
    "validate_effort",
]

LOCAL_API_KEY_DEFAULT = "sk-local-no-key-required"
"""Sent to local servers that want no key: with none at all litellm would send OPENAI_API_KEY."""


def _resolve_llm_params(
    model_name: str,
    session_hf_token: str | None = None,
    reasoning_effort: str | None = None,
    strict: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """The parameters by which a backend reaches `model_name` with this effort: a fresh dict (spec llm.md §2).

    Local: model, api_base, api_key. Router: the same, api_key None without a token (never to be called like that, see
    `missing_credentials`). An address of the person's own: the same. Others: model alone, the key stays in the
    environment. Raises `UnknownModelError`, and with `strict` `UnsupportedEffortError`.
    """
    route = resolve_route(model_name)
    effort = effort_params(
        route.provider.effort, route.name, reasoning_effort, label=route.provider.label, strict=strict
    )
    return {
        "model": route.litellm_model,
        **_CONNECTIONS[route.provider.kind](route, session_hf_token, environ),
        **effort,
    }


def effort_levels(model_name: str) -> tuple[str, ...]:
    """The levels of reasoning effort that the family of `model_name` takes, least first; empty if it takes none.

    Raises `UnknownModelError`.
    """
    route = resolve_route(model_name)
    return effort_style(route.provider.effort, route.name).levels


def validate_effort(model_name: str, level: str | None) -> None:
    """Raise `UnsupportedEffortError`, naming the levels there are, if the family of `model_name` does not take `level`.

    None (off) is always taken. Raises `UnknownModelError` too.
    """
    route = resolve_route(model_name)
    effort_params(route.provider.effort, route.name, level, label=route.provider.label, strict=True)


def _nothing_to_hand_over(route: Route, session_hf_token: str | None, environ: Mapping[str, str]) -> dict[str, Any]:
    return {}


def _direct_connection(route: Route, session_hf_token: str | None, environ: Mapping[str, str]) -> dict[str, Any]:
    """Key and address are litellm's to find, unless the address is not the provider's."""
    if not has_own_address(route.provider, environ):
        return {}
    key = env_value(environ, *route.provider.key_envs)
    return {"api_base": base_url(route.provider, environ), "api_key": key}


def _local_connection(route: Route, session_hf_token: str | None, environ: Mapping[str, str]) -> dict[str, Any]:
    return {"api_base": base_url(route.provider, environ), "api_key": local_api_key(route.provider, environ)}


def _router_connection(route: Route, session_hf_token: str | None, environ: Mapping[str, str]) -> dict[str, Any]:
    connection: dict[str, Any] = {
        "api_base": base_url(route.provider, environ),
        "api_key": router_token(environ, session_hf_token),
    }
    bill_to = env_value(environ, "HF_BILL_TO")
    if bill_to and env_value(environ, "INFERENCE_TOKEN"):
        connection["extra_headers"] = {"X-HF-Bill-To": bill_to}
    return connection


_CONNECTIONS: dict[RouteKind, Callable[[Route, str | None, Mapping[str, str]], dict[str, Any]]] = {
    RouteKind.LOCAL: _local_connection,
    RouteKind.DIRECT: _direct_connection,
    RouteKind.ANYTHING: _nothing_to_hand_over,
    RouteKind.REPLAY: _nothing_to_hand_over,
    RouteKind.ROUTER: _router_connection,
}


def local_api_key(provider: Provider, environ: Mapping[str, str]) -> str:
    """The key for a local server; a harmless word when none is set."""
    return env_value(environ, *provider.key_envs) or LOCAL_API_KEY_DEFAULT


def base_url(provider: Provider, environ: Mapping[str, str]) -> str:
    """Where requests of `provider` go; its own variable wins over the shared one, that over the default.

    For local servers and the router without trailing slash, and local ones always end in `/v1`. Empty when the
    address is not known (it is then litellm's business).
    """
    url = env_value(environ, *provider.base_url_envs) or provider.base_url_default
    url = url.rstrip("/")
    if provider.is_local:
        url = url if "://" in url else f"http://{url}"
        return url if url.endswith("/v1") else f"{url}/v1"
    if "{region}" in url:
        region = env_value(environ, "AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION")
        return url.replace("{region}", region) if region else ""
    return url


def has_own_address(provider: Provider, environ: Mapping[str, str]) -> bool:
    """Whether a variable sends the requests for `provider` to another server of its kind: a gateway, one's own."""
    if not provider.takes_own_address:
        return False
    own, theirs = (_host(url) for url in (base_url(provider, environ), provider.base_url_default))
    return own != theirs and not own.endswith(f".{theirs}")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def describe_route(route: Route, environ: Mapping[str, str]) -> str:
    """`model X via <label> at <host>`, one line, without keys: what is shown before anything is sent."""
    return f"model {route.model_id} via {describe_provider(route, environ)}"


def describe_provider(route: Route, environ: Mapping[str, str]) -> str:
    """`<label> at <host>`, without keys."""
    host = url_host(base_url(route.provider, environ))
    return route.provider.label + (f" at {host}" if host else "")


def url_host(url: str) -> str:
    """Host and port of `url`: an address may carry a password, a path may carry a key. Empty when there is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host


def is_loopback(url: str) -> bool:
    """Whether `url` points at this machine."""
    return re.match(r"(?:localhost|127(?:\.\d+){3}|\[::1\]|0\.0\.0\.0)(?::|$)", url_host(url)) is not None
