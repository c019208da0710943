"""What `/model` shows: the models to choose from, and what the HF router says of a model before it is taken.

Only gathering (`ModelMenu`) talks to anybody: to local servers, and to the router where there is a token for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

from agent.light_dataclass import dataclass
from agent.llm.catalog import CatalogModel, CatalogProvider, RouterCatalog
from agent.llm.credentials import env_name, router_token
from agent.llm.local import LocalServer, detect_local_servers
from agent.llm.params import describe_route, missing_credentials, resolve_route, url_host
from agent.llm.prices import ROUTING_POLICIES
from agent.llm.providers import PROVIDERS, Provider, RouteKind
from agent.llm.routes import Route
from agent.llm.suggestions import SUGGESTED_MODELS
from agent.ui.notices import tokens_text
from agent.ui.sanitize import cell_width, clip

LIST_PATIENCE_S = 1.2
"""How long the list waits for the router's catalog; without it prices and windows are left out."""
MOST_MODELS = 12
"""Shown of one local server."""
MOST_PROVIDERS = 12
"""Shown of one router model."""

_NAME_COLUMNS = 60
_MOST_DIGITS = 6
_POLICIES = {
    "fastest": "the fastest provider first",
    "cheapest": "the cheapest provider first",
    "preferred": "the providers in the order of your settings on Hugging Face",
    None: "the router chooses (:fastest, :cheapest, :preferred or :<provider> after the id decides)",
}
_HEADINGS = ("$/1M in", "out", "context", "tools")


@dataclass(frozen=True, slots=True)
class Routing:
    """What is known of a router model: what speaks against it, and how it will be served, as lines to show."""

    warnings: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Section:
    """Models of one provider. `facts` has a row for each id, or is empty."""

    title: str
    ids: tuple[str, ...]
    facts: tuple[tuple[str, ...], ...] = ()
    remark: str = ""


@dataclass(slots=True)
class ModelMenu:
    """The list of one person at one terminal; remembers what it showed last, so that a number can stand for it."""

    environ: Mapping[str, str]
    hf_token: str | None
    catalog: RouterCatalog
    _shown: tuple[str, ...] = field(default=(), init=False)

    async def text(self, model_now: str, width: int) -> str:
        """The model in use, suggestions by provider, and local servers that answer, in lines of `width` columns.

        Takes little more than `LIST_PATIENCE_S`, whoever does not answer.
        """
        servers, catalog = await asyncio.gather(detect_local_servers(self.environ), self._known_soon())
        sections = await asyncio.to_thread(self._sections, servers, catalog)
        self._shown = tuple(model_id for section in sections for model_id in section.ids)
        lines = [f"Now: {describe_route(resolve_route(model_now), self.environ)}"]
        number = 1
        for section in sections:
            lines += _section_lines(section, number, width)
            number += len(section.ids)
        lines += _ready_elsewhere(self.environ)
        lines.append("+ ready, - needs what is named. /model NUMBER or any /model ID changes the model.")
        return "\n".join(lines)

    def picked(self, number: str) -> str:
        """The id that `number` stood for in the list shown last. Raises `ValueError` saying what to do."""
        if not self._shown:
            raise ValueError("No list was shown yet: /model shows it, /model ID takes any model.")
        if len(number) > _MOST_DIGITS or not 1 <= int(number) <= len(self._shown):
            raise ValueError(
                f"There is no number {clip(number, 20)} in the list; the numbers are 1 to {len(self._shown)}."
            )
        return self._shown[int(number) - 1]

    async def routing(self, route: Route) -> Routing:
        """What the router's catalog says of `route`; nothing for models of others. Takes 5 s at most, never raises."""
        if route.provider.kind is not RouteKind.ROUTER:
            return Routing()
        models = await self.catalog.models()
        if not models:
            return Routing(lines=("The router's catalog cannot be had now: prices and providers are not known.",))
        entry = models.get(route.name.lower())
        if entry is None:
            near = [clip(name, _NAME_COLUMNS) for name in await self.catalog.suggest(route.name)]
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            return Routing((f"The HF router does not list {route.name}.{hint}",))
        return Routing(tuple(_warnings(entry, route.tag)), tuple(_routing_lines(entry, route.tag)))

    async def _known_soon(self) -> Mapping[str, CatalogModel]:
        """The catalog, if it can be had at once. Without a token for the router nothing is asked."""
        if router_token(self.environ, self.hf_token):
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self.catalog.models(), LIST_PATIENCE_S)
        return {}

    def _sections(self, servers: Sequence[LocalServer], catalog: Mapping[str, CatalogModel]) -> list[_Section]:
        """Suggestions by provider, then local servers. Blocking: credentials can lie in files."""
        routes = [resolve_route(suggestion.id) for suggestion in SUGGESTED_MODELS]
        by_label: dict[str, list[Route]] = {}
        for route in routes:
            by_label.setdefault(route.provider.label, []).append(route)
        suggested = [self._suggested(group, catalog) for group in by_label.values()]
        return suggested + [_local_section(server) for server in servers]

    def _suggested(self, routes: Sequence[Route], catalog: Mapping[str, CatalogModel]) -> _Section:
        provider = routes[0].provider
        is_ready = missing_credentials(routes[0], self.environ, self.hf_token) is None
        title = _ready_title(provider, self.environ) if is_ready else f"- {provider.label}: needs {_needs(provider)}"
        listed = [catalog.get(route.name.lower()) for route in routes]
        facts = [_facts(entry, route.tag) for entry, route in zip(listed, routes, strict=True)] if any(listed) else []
        return _Section(title, tuple(route.model_id for route in routes), tuple(facts))


# --- the list ---------------------------------------------------------------------------------------------------------


def _ready_title(provider: Provider, environ: Mapping[str, str]) -> str:
    name = env_name(environ, *provider.key_envs)
    return f"+ {provider.label} ({f'{name} is set' if name else provider.login_hint or 'credentials found'})"


def _needs(provider: Provider) -> str:
    if provider.credential_fix:
        return f"credentials: {provider.credential_fix}"
    return " or ".join([*provider.key_envs[:2], *filter(None, [provider.login_hint])])


def _local_section(server: LocalServer) -> _Section:
    ids = server.model_ids
    more = len(ids) - MOST_MODELS
    remark = f"and {more} more" if more > 0 else "" if ids else "no chat model is loaded"
    return _Section(f"+ {server.provider.label} at {url_host(server.base_url)}", ids[:MOST_MODELS], remark=remark)


def _ready_elsewhere(environ: Mapping[str, str]) -> list[str]:
    """Providers with a key that no suggestion is for."""
    suggested = {resolve_route(suggestion.id).provider.label for suggestion in SUGGESTED_MODELS}
    keyed = (p for p in PROVIDERS if p.kind is RouteKind.DIRECT and p.label not in suggested and not p.cloud)
    ready = (p for p in keyed if env_name(environ, *p.key_envs) and all(env_name(environ, n) for n in p.required_envs))
    return [f"{_ready_title(provider, environ)}: {provider.prefixes[0]}/<model>" for provider in ready]


def _section_lines(section: _Section, first: int, width: int) -> Iterator[str]:
    """A heading, and a numbered line for each model, with its facts in columns where there is room for them."""
    heading = section.title
    first_columns = max(cell_width(heading), 4 + max(map(cell_width, section.ids), default=0))
    rows = (_HEADINGS, *section.facts)
    columns = [max(map(cell_width, column)) for column in zip(*rows, strict=True)]
    has_room = bool(section.facts) and first_columns + sum(columns) + 2 * len(columns) < width
    if has_room:
        heading += " " * (first_columns - cell_width(heading)) + _row(_HEADINGS, columns)
    yield heading
    for index, model_id in enumerate(section.ids):
        line = f"{first + index:>2}  {model_id}"
        facts = section.facts[index] if section.facts else ()
        if facts and has_room:
            yield (line.ljust(first_columns) + _row(facts, columns)).rstrip()
            continue
        yield line
        if any(facts):
            yield "    " + ", ".join(f"{name} {fact}" for name, fact in zip(_HEADINGS, facts, strict=True))
    if section.remark:
        yield f"    ({section.remark})"


def _row(cells: Sequence[str], columns: Sequence[int]) -> str:
    return "".join(f"  {' ' * (width - cell_width(cell))}{cell}" for cell, width in zip(cells, columns, strict=True))


def _facts(entry: CatalogModel | None, tag: str | None) -> tuple[str, ...]:
    """Price, window and tools of whoever serves the model; of several the dearest price and the smallest window."""
    serving = _serving(entry, tag) if entry else ()
    if not serving:
        return ("",) * len(_HEADINGS)
    worst = CatalogProvider(
        name="",
        is_live=True,
        context_tokens=min((p.context_tokens for p in serving if p.context_tokens), default=None),
        input_usd_per_million=max((p.input_usd_per_million for p in serving if p.input_usd_per_million), default=None),
        output_usd_per_million=max(
            (p.output_usd_per_million for p in serving if p.output_usd_per_million), default=None
        ),
        supports_tools=serving[0].supports_tools if len({p.supports_tools for p in serving}) == 1 else None,
    )
    return _provider_facts(worst)


def _provider_facts(provider: CatalogProvider) -> tuple[str, ...]:
    return (
        _price(provider.input_usd_per_million),
        _price(provider.output_usd_per_million),
        tokens_text(provider.context_tokens) if provider.context_tokens else "?",
        {True: "yes", False: "no", None: "?"}[provider.supports_tools],
    )


def _price(usd: float | None) -> str:
    if usd is None:
        return "?"
    return f"{usd:.2f}" if usd >= 0.1 else f"{usd:.3g}"


# --- routing ----------------------------------------------------------------------------------------------------------


def _serving(entry: CatalogModel, tag: str | None) -> tuple[CatalogProvider, ...]:
    """The live providers that requests with `tag` can go to."""
    if tag is None or tag in ROUTING_POLICIES:
        return entry.live_providers
    return tuple(provider for provider in entry.live_providers if provider.name == tag)


def _warnings(entry: CatalogModel, tag: str | None) -> Iterator[str]:
    name = clip(entry.id, _NAME_COLUMNS)
    live = entry.live_providers
    if not live:
        yield f"No provider serves {name} at the moment: requests will fail until one does."
        return
    serving = _serving(entry, tag)
    if not serving:
        others = ", ".join(clip(provider.name, 30) for provider in live[:MOST_PROVIDERS])
        state = "does not answer for it at the moment" if entry.provider(tag) else f"does not serve {name}"
        yield f"The provider {tag} {state}; {others} would: change the part after the colon, or leave it out."
    elif all(provider.supports_tools is False for provider in serving):
        who = f"{name} at {tag}" if _is_pinned(tag) else name
        yield f"{who} does not support tools: the agent will hardly be able to work with it."


def _routing_lines(entry: CatalogModel, tag: str | None) -> Iterator[str]:
    pinned = _is_pinned(tag)
    yield f"Routing: {f'only {tag}' if pinned else _POLICIES[tag]}."
    live = sorted(entry.live_providers, key=lambda provider: provider.name != tag)
    if not live:
        return
    rows: list[tuple[str, ...]] = [("provider", *_HEADINGS)]
    rows += [(clip(provider.name, 24), *_provider_facts(provider)) for provider in live[:MOST_PROVIDERS]]
    name_columns, *columns = (max(map(cell_width, column)) for column in zip(*rows, strict=True))
    for name, *facts in rows:
        yield f"{name}{' ' * (name_columns - cell_width(name))}{_row(facts, columns)}"
    if len(live) > MOST_PROVIDERS:
        yield f"and {len(live) - MOST_PROVIDERS} more"


def _is_pinned(tag: str | None) -> bool:
    return tag is not None and tag not in ROUTING_POLICIES
