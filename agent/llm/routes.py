"""From a model id, as a person writes it, to who serves it: `resolve_route`, the only resolver there is.

The main call, retries, sub-agents, compaction and probes all come through here (spec llm.md §2); the table it reads is
`agent.llm.providers`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from agent.light_dataclass import dataclass
from agent.llm.providers import HF_ROUTER, PROVIDERS, Provider, RouteKind
from agent.llm.unknown_models import PREFIX_LIST, head_problem

RESERVED_PREFIXES = ("openai-compat",)
"""Prefixes that are promised to nobody yet and must not be taken for Hub organisations."""

MAX_SHOWN = 120
"""Characters of a bad id that an error message repeats."""


class UnknownModelError(ValueError):
    """A model id that routes nowhere. One or two printable lines that name cause and remedy."""


@dataclass(frozen=True, slots=True)
class Route:
    """Who serves a model. `model_id` is what the person wrote, `litellm_model` what litellm is told (or the script).

    `name` is the model as the provider knows it; for the router `org/model`, with the pinned provider or policy in
    `tag`.
    """

    provider: Provider
    model_id: str
    litellm_model: str
    name: str
    tag: str | None = None


def resolve_route(model_name: str) -> Route:
    """The route of a model id; the first matching row of the table wins. Raises `UnknownModelError`."""
    _check_text(model_name)
    rest = strip_huggingface_model_prefix(model_name) or ""
    wants_router = rest != model_name
    head, slash, name = rest.partition("/")
    if slash and head in RESERVED_PREFIXES:
        raise UnknownModelError(
            f"Unsupported local model id {model_name!r}: {head}/ is reserved. For an OpenAI-compatible server of your "
            "own use vllm/<model> with VLLM_BASE_URL, or openai/<model> with OPENAI_BASE_URL."
        )
    for provider in PROVIDERS:
        if not slash or head not in provider.prefixes or (wants_router and not provider.is_local):
            continue
        if provider.is_local and not name.strip("/"):
            raise UnknownModelError(
                f"Unsupported local model id {model_name!r}: write the model's name after {head}/, e.g. {head}/qwen3."
            )
        if re.fullmatch(provider.matches, name):
            return _BUILDERS[provider.kind](provider, model_name, name)
    return _router_route(model_name, rest, checked=not wants_router)


def is_valid_model_id(model_id: str) -> bool:
    """Whether `model_id` has a route. Says nothing about keys, or whether the model exists."""
    try:
        resolve_route(model_id)
    except UnknownModelError:
        return False
    return True


def strip_huggingface_model_prefix(model_id: str | None) -> str | None:
    """`model_id` without one leading `huggingface/`. Pure: the route may change, see `resolve_route`."""
    return None if model_id is None else model_id.removeprefix("huggingface/")


def has_server(route: Route) -> bool:
    """Whether there is somebody to ask, who may be away or refuse; a replay script just answers."""
    return route.provider.kind is not RouteKind.REPLAY


def _check_text(model_id: str) -> None:
    if not model_id:
        raise UnknownModelError("The model id is empty: give one, e.g. anthropic/claude-opus-4-8 or ollama/qwen3.")
    if any(char.isspace() or not char.isprintable() for char in model_id):
        shown = model_id if len(model_id) <= MAX_SHOWN else f"{model_id[:MAX_SHOWN]}…"
        raise UnknownModelError(f"Model id {shown!r} contains blanks or invisible characters: remove them.")
    if len(model_id) > 10 * MAX_SHOWN:
        raise UnknownModelError(f"Model id {model_id[:MAX_SHOWN]!r}… is too long to be one: check what was pasted.")


def _require_parts(model_id: str, path: str) -> None:
    if not all(path.split("/")):
        raise UnknownModelError(f"Model id {model_id!r} has an empty part between slashes: remove the extra slash.")


def _local_route(provider: Provider, model_id: str, name: str) -> Route:
    return Route(provider, model_id, f"openai/{name}", name)


def _direct_route(provider: Provider, model_id: str, name: str) -> Route:
    _require_parts(model_id, name)
    return Route(provider, model_id, model_id, name)


def _passed_on_route(provider: Provider, model_id: str, name: str) -> Route:
    _require_parts(model_id, name)
    return Route(provider, model_id, name, name)


def _replay_route(provider: Provider, model_id: str, name: str) -> Route:
    return Route(provider, model_id, name, name)


def _forced_router_route(provider: Provider, model_id: str, name: str) -> Route:
    return _router_route(model_id, name, checked=False)


_BUILDERS: dict[RouteKind, Callable[[Provider, str, str], Route]] = {
    RouteKind.LOCAL: _local_route,
    RouteKind.DIRECT: _direct_route,
    RouteKind.ANYTHING: _passed_on_route,
    RouteKind.REPLAY: _replay_route,
    RouteKind.ROUTER: _forced_router_route,
}


def _router_route(model_id: str, path: str, *, checked: bool) -> Route:
    """The HF router's route for `path` (`org/model[:tag]`); `checked` also refuses heads that look like a slip."""
    if checked and (problem := head_problem(model_id)):
        raise UnknownModelError(problem)
    name, colon, tag = path.partition(":")
    _require_parts(model_id, name)
    if name.count("/") != 1:
        raise UnknownModelError(
            f"Model id {model_id!r} has no known prefix, and a Hub model is <organisation>/<model>[:provider] with one "
            f"slash.\n{PREFIX_LIST}"
        )
    if colon and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", tag, re.ASCII):
        raise UnknownModelError(
            f"Model id {model_id!r} has a bad tag after the colon: write a provider (:novita), a policy (:fastest, "
            ":cheapest, :preferred), or leave the colon out."
        )
    return Route(HF_ROUTER, model_id, f"openai/{path}", name, tag or None)
