"""Commands about the model and the rules of this session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from agent.cli.commands.money import cap_text, cost_text
from agent.cli.commands.registry import Group, command
from agent.cli.model_list import ModelMenu
from agent.config_loading import cache_dir
from agent.llm.catalog import RouterCatalog
from agent.llm.effort import EFFORT_LEVELS, accepted_level, effort_style
from agent.llm.failures import ProviderError
from agent.llm.params import base_url, describe_provider, missing_credentials, resolve_route
from agent.llm.providers import HF_ROUTER, RouteKind
from agent.llm.replay import ReplayScript, script_path
from agent.llm.routes import Route
from agent.llm.suggestions import SUGGESTED_MODELS
from agent.protocol.modes import Mode
from agent.protocol.operations import OpType
from agent.ui.sanitize import escaped, visible

if TYPE_CHECKING:
    from agent.cli.app import App

GROUP: Group = "Model and mode"

_APPROVAL: dict[Mode, str] = {
    "ask": "ask",
    "auto-edit": "ask, but not for edits here (auto-edit)",
    "plan": "nothing is changed before you accept the plan (plan)",
    "yolo": "automatic (yolo)",
}

_MENUS: WeakKeyDictionary[App, ModelMenu] = WeakKeyDictionary()
"""The list of models of each terminal: a number refers to what it showed last."""


@command("model", "[id|number]", group=GROUP, choices=tuple(one.id for one in SUGGESTED_MODELS))
async def model(app: App, argument: str) -> None:
    """Show models to choose from, or change the model.

    The list has suggestions by provider, and the models of local servers that answer; a number takes one from it. Any
    other id works, too: anthropic/<name>, ollama/<name>, <organisation>/<model>:<provider> for the HF router, and more.
    """
    menu = _menu(app)
    if not argument:
        app.say(await menu.text(app.status.model_name, app.console.width))
        return
    try:
        model_id = menu.picked(argument) if argument.isdecimal() else argument
        route = resolve_route(model_id)
        await asyncio.to_thread(_check_script, route)
    except (ValueError, ProviderError) as error:
        app.complain(escaped(str(error)))
        return
    if problem := await asyncio.to_thread(missing_credentials, route, app.environ, app.hf_token):
        app.complain(problem)
        return
    routing = await menu.routing(route)
    for warning in routing.warnings:
        app.complain(warning)
    for line in routing.lines:
        app.say(f"  {line}")
    await app.operate(OpType.CONFIGURE, {"model_name": model_id})


def _menu(app: App) -> ModelMenu:
    if app not in _MENUS:
        environ = app.environ
        catalog = RouterCatalog(lambda: base_url(HF_ROUTER, environ), cache_dir(environ))
        _MENUS[app] = ModelMenu(environ, app.hf_token, catalog)
    return _MENUS[app]


def _check_script(route: Route) -> None:
    """Raise `ProviderError` for a replay script that is missing or unreadable: that is known before the next turn."""
    if route.provider.kind is RouteKind.REPLAY:
        ReplayScript(script_path(route.litellm_model))


@command("effort", "[level|off]", group=GROUP, choices=(*EFFORT_LEVELS, "off"))
async def effort(app: App, argument: str) -> None:
    """Show or change how hard the model is asked to think."""
    name, level = app.status.model_name, argument.lower()
    route = resolve_route(name)
    style = effort_style(route.provider.effort, route.name)
    choices = f"Levels: {', '.join(style.levels)}."
    if level == "off":
        await app.operate(OpType.CONFIGURE, {"reasoning_effort": None})
    elif not level and style.levels:
        app.say(f"  Now: {app.status.reasoning_effort or 'off'}. {choices}")
    elif not level:
        kept = app.status.reasoning_effort
        app.say(f"  {name} takes no effort level." + (f" {kept} is kept for models that do." if kept else ""))
    elif accepted_level(style, level):
        await app.operate(OpType.CONFIGURE, {"reasoning_effort": level})
    elif style.levels:
        app.complain(f"That is no level of {name}. {choices} Or say /effort off.")
    else:
        app.complain(f"{name} takes no effort level, so there is none to set. /model shows other models.")


@command("status", group="Program")
async def status(app: App, _argument: str) -> None:
    """Show model, session, context and cost so far."""
    s, now = app.status, app.status.conversation
    title = f", “{visible(now.title, keep_newlines=False)}”" if now.title else ""
    app.say(
        f"  Model:    {s.model_name} via {describe_provider(resolve_route(s.model_name), app.environ)}\n"
        f"  Effort:   {s.reasoning_effort or 'off'}\n"
        f"  Session:  {now.session_id}{title}\n"
        f"  Approval: {_APPROVAL[s.mode]}\n"
        f"  Turns:    {len(now.prompts)}, {now.model_calls} model calls\n"
        f"  Tokens:   {now.prompt_tokens:,} in the last request, {now.total_tokens:,} in all\n"
        f"  Cost:     {cost_text(now)}\n"
        f"  Cap:      {cap_text(s.budget)}"
    )
