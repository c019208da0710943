"""Commands about the model and the rules of this session."""

from __future__ import annotations

import asyncio
import difflib
from typing import TYPE_CHECKING

from agent.cli.commands.money import cap_text, cost_text
from agent.cli.commands.registry import Group, command
from agent.cli.commands.sharing import traces_words
from agent.cli.model_list import ModelMenu
from agent.config_loading import cache_dir
from agent.llm.catalog import RouterCatalog
from agent.llm.effort import EFFORT_LEVELS, accepted_level, effort_cascade, effort_style
from agent.llm.failures import ProviderError
from agent.llm.params import base_url, describe_provider, missing_credentials, resolve_route
from agent.llm.providers import HF_ROUTER, RouteKind
from agent.llm.replay import ReplayScript, script_path
from agent.llm.routes import Route
from agent.llm.suggestions import SUGGESTED_MODELS
from agent.protocol.modes import Mode
from agent.protocol.operations import OpType
from agent.ui.sanitize import clip, escaped, visible

if TYPE_CHECKING:
    from agent.cli.app import App

GROUP: Group = "Model and mode"

_APPROVAL: dict[Mode, str] = {
    "ask": "ask",
    "auto-edit": "ask, but not for edits here (auto-edit)",
    "plan": "nothing is changed before you accept the plan (plan)",
    "yolo": "automatic (yolo)",
}


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
        app.say(line)
    await app.operate(OpType.CONFIGURE, {"model_name": model_id})


def _menu(app: App) -> ModelMenu:
    """The list of this terminal: a number refers to what it showed last."""
    if app.model_menu is None:
        environ = app.environ
        catalog = RouterCatalog(lambda: base_url(HF_ROUTER, environ), cache_dir(environ))
        app.model_menu = ModelMenu(environ, app.hf_token, catalog)
    return app.model_menu


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
    if level == "off":
        await app.operate(OpType.CONFIGURE, {"reasoning_effort": None})
    elif not level and style.levels:
        app.say(f"Now: {app.status.reasoning_effort or 'off'}. Levels: {', '.join(style.levels)}.")
    elif not level:
        kept = app.status.reasoning_effort
        app.say(f"{name} takes no effort level." + (f" {kept} is kept for models that do." if kept else ""))
    elif accepted_level(style, level):
        await app.operate(OpType.CONFIGURE, {"reasoning_effort": level})
    else:
        app.complain(_refused(name, style.levels, level))


def _refused(name: str, levels: tuple[str, ...], level: str) -> str:
    """Why the model called `name`, which takes `levels`, cannot have `level`, and what was probably meant."""
    if level in EFFORT_LEVELS:
        near = [lower for lower in effort_cascade(level) if lower in levels]
    else:
        near = difflib.get_close_matches(level, levels or EFFORT_LEVELS, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    if levels:
        return f"That is no level of {name}.{hint} Levels: {', '.join(levels)}. Or say /effort off."
    slip = "" if level in EFFORT_LEVELS else f"There is no level {clip(level, 20)}.{hint} "
    return f"{slip}{name} takes no effort level, so there is none to set. /model shows other models."


@command("status", group="Program", at_once=True)
async def status(app: App, _argument: str) -> None:
    """Show model, session, context and cost so far, and whether sessions are uploaded."""
    s, now = app.status, app.status.conversation
    title = f", “{visible(now.title, keep_newlines=False)}”" if now.title else ""
    app.say(
        f"Model:    {s.model_name} via {describe_provider(resolve_route(s.model_name), app.environ)}\n"
        f"Effort:   {s.reasoning_effort or 'off'}\n"
        f"Session:  {now.session_id}{title}\n"
        f"Approval: {_APPROVAL[s.mode]}\n"
        f"Turns:    {len(now.prompts)}, {now.model_calls} model calls\n"
        f"Tokens:   {now.prompt_tokens:,} in the last request, {now.total_tokens:,} in all\n"
        f"Cost:     {cost_text(now)}\n"
        f"Cap:      {cap_text(s.budget)}\n"
        f"Traces:   {visible(await traces_words(app), keep_newlines=False)}"
    )
