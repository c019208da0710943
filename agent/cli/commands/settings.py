"""Commands about the model and the rules of this session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.cli.commands.registry import command
from agent.llm.params import UnknownModelError, describe_provider, describe_route, missing_credentials, resolve_route
from agent.llm.suggestions import SUGGESTED_MODELS
from agent.protocol.operations import OpType

if TYPE_CHECKING:
    from agent.cli.interactive import App


@command("model", "[id]")
async def model(app: App, argument: str) -> None:
    """Show the model and others to choose from, or change it."""
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
    """Switch automatic approval of tool calls on or off for this session."""
    if argument not in ("", "on", "off"):
        app.complain("Say /yolo, /yolo on or /yolo off.")
        return
    on = argument == "on" if argument else not app.status.yolo_mode
    await app.operate(OpType.CONFIGURE, {"yolo_mode": on})
    if on:
        app.say("  Catastrophic commands, scheduled jobs and your own 'ask' rules still ask.")


@command("status")
async def status(app: App, _argument: str) -> None:
    """Show model, session, context and cost so far."""
    s = app.status
    cost = f"${s.cost_usd:.4f}" + ("" if s.cost_known else " and calls of unknown price")
    app.say(
        f"  Model:    {s.model_name} via {describe_provider(resolve_route(s.model_name), app.environ)}\n"
        f"  Session:  {s.session_id}\n"
        f"  Approval: {'automatic (yolo)' if s.yolo_mode else 'ask'}\n"
        f"  Turns:    {s.turns}, {s.model_calls} model calls, {s.history_size} messages in context\n"
        f"  Tokens:   {s.prompt_tokens:,} in the last request, {s.total_tokens:,} in all\n"
        f"  Cost:     {cost}"
    )
