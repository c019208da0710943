"""Commands about the model and the rules of this session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.cli.commands.money import cap_text, cost_text
from agent.cli.commands.registry import command
from agent.llm.effort import accepted_level, effort_style
from agent.llm.params import UnknownModelError, describe_provider, describe_route, missing_credentials, resolve_route
from agent.llm.suggestions import SUGGESTED_MODELS
from agent.protocol.operations import OpType
from agent.ui.sanitize import visible

if TYPE_CHECKING:
    from agent.cli.interactive import App


@command("model", "[id]")
async def model(app: App, argument: str) -> None:
    """Show models to choose from, or change the model."""
    if not argument:
        app.say(f"  Now: {describe_route(resolve_route(app.status.model_name), app.environ)}")
        for suggestion in SUGGESTED_MODELS:
            missing = missing_credentials(resolve_route(suggestion.id), app.environ, app.hf_token)
            app.say(f"  {'-' if missing else '+'} {suggestion.id:<41}{suggestion.label}")
        app.say("  + ready, - needs a key. Any other id works too, e.g. ollama/<name> for a local model.")
        return
    try:
        route = resolve_route(argument)
    except UnknownModelError as error:
        app.complain(str(error))
        return
    if problem := missing_credentials(route, app.environ, app.hf_token):
        app.complain(problem)
        return
    await app.operate(OpType.CONFIGURE, {"model_name": argument})


@command("yolo", "[on|off]")
async def yolo(app: App, argument: str) -> None:
    """Switch automatic approval of tool calls on or off."""
    if argument not in ("", "on", "off"):
        app.complain("Say /yolo, /yolo on or /yolo off.")
        return
    on = argument == "on" if argument else not app.status.yolo_mode
    await app.operate(OpType.CONFIGURE, {"yolo_mode": on})
    if on:
        app.say("  Catastrophic commands, scheduled jobs and your own 'ask' rules still ask.")


@command("effort", "[level|off]")
async def effort(app: App, argument: str) -> None:
    """Show or change how hard the model is asked to think."""
    route = resolve_route(app.status.model_name)
    style = effort_style(route.provider.effort, route.name)
    choices = f"Levels: {', '.join(style.levels)}." if style.levels else "This model takes no level."
    level = argument.lower()
    if not level:
        app.say(f"  Now: {app.status.reasoning_effort or 'off'}. {choices}")
    elif level == "off":
        await app.operate(OpType.CONFIGURE, {"reasoning_effort": None})
    elif accepted_level(style, level):
        await app.operate(OpType.CONFIGURE, {"reasoning_effort": level})
    else:
        app.complain(f"That is no level of {app.status.model_name}. {choices} Or say /effort off.")


@command("status")
async def status(app: App, _argument: str) -> None:
    """Show model, session, context and cost so far."""
    s, now = app.status, app.status.conversation
    title = f", “{visible(now.title, keep_newlines=False)}”" if now.title else ""
    app.say(
        f"  Model:    {s.model_name} via {describe_provider(resolve_route(s.model_name), app.environ)}\n"
        f"  Effort:   {s.reasoning_effort or 'off'}\n"
        f"  Session:  {now.session_id}{title}\n"
        f"  Approval: {'automatic (yolo)' if s.yolo_mode else 'ask'}\n"
        f"  Turns:    {len(now.prompts)}, {now.model_calls} model calls\n"
        f"  Tokens:   {now.prompt_tokens:,} in the last request, {now.total_tokens:,} in all\n"
        f"  Cost:     {cost_text(now)}\n"
        f"  Cap:      {cap_text(s.budget)}"
    )
