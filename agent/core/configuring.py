"""Changing a running session: model, effort, mode, budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.core.endings import LimitReached, TurnCancelled
from agent.core.model_calls import probe, report_spending
from agent.core.session import Session
from agent.llm.effort import EFFORT_LEVELS
from agent.llm.failures import LLMCallError
from agent.llm.params import UnknownModelError
from agent.protocol.events import ErrorRaised, Interrupted, ToolLog
from agent.protocol.modes import MODES, Mode


async def configure(session: Session, settings: Mapping[str, Any]) -> None:
    """Apply what `settings` names and report `settings_changed`; or report why not, and nothing has changed."""
    session.interruption.clear()
    model, effort = session.model_name, session.reasoning_effort
    try:
        cap_usd = _cap(settings)
        mode = _mode(settings, session.mode)
        wanted_effort = _level(settings.get("reasoning_effort", effort))
        session.update_model(settings.get("model_name", model))
        if (session.model_name, wanted_effort) != (model, effort):
            await _try_effort(session, wanted_effort)
    except (UnknownModelError, ValueError) as error:
        await session.send_event(ErrorRaised(str(error), "usage"))
        return
    except (LLMCallError, LimitReached, TurnCancelled) as error:
        session.update_model(model)
        is_stop = isinstance(error, TurnCancelled)
        await session.send_event(Interrupted() if is_stop else ErrorRaised(session.secrets.scrub(str(error)), "model"))
        return
    session.reasoning_effort = wanted_effort
    session.set_mode(mode)
    if "cap_usd" in settings:
        session.set_cap(cap_usd)
        await report_spending(session, None)
    if "share_traces" in settings:
        await _share(session, settings["share_traces"] is True)
    session.record_settings()
    await session.send_event(session.settings(tuple(settings)))


async def _share(session: Session, on: bool) -> None:
    """Share this conversation and later ones from now on, or no more."""
    session.config = replace(session.config, share_traces=on)
    if on and session.record.share is not None:
        session.record.share.insist()
    await session.record.sync()  # what is said from now on may be the end of this session


async def _try_effort(session: Session, effort: str | None) -> None:
    """Find out which effort the model takes, up to `effort`. Raises what says that it cannot be used at all."""
    outcome = await probe(session, session.model_name, effort)
    session.model_effective_effort.clear()
    if outcome.conclusive and outcome.effort != effort:
        session.model_effective_effort[session.model_name] = outcome.effort
    if outcome.note:
        await session.send_event(ToolLog("system", outcome.note))


def _level(effort: Any) -> str | None:
    if effort is not None and effort not in EFFORT_LEVELS:
        raise ValueError(f"There is no effort {effort!r}; choose one of {', '.join(EFFORT_LEVELS)}, or off.")
    return str(effort) if effort is not None else None


def _mode(settings: Mapping[str, Any], now: Mode) -> Mode:
    """The mode that is asked for; `yolo_mode` is the older word, and switching it off leaves other modes alone."""
    if "mode" in settings:
        wanted = settings["mode"]
        if (mode := next((one for one in MODES if one == wanted), None)) is None:
            raise ValueError(f"There is no mode {wanted!r}; choose one of {', '.join(MODES)}.")
        return mode
    if "yolo_mode" in settings:
        return "yolo" if settings["yolo_mode"] else "ask" if now == "yolo" else now
    return now


def _cap(settings: Mapping[str, Any]) -> float | None:
    cap_usd = settings.get("cap_usd")
    if cap_usd is not None and (isinstance(cap_usd, bool) or not isinstance(cap_usd, (int, float)) or not cap_usd >= 0):
        raise ValueError(f"{cap_usd!r} is no sum of money; give an amount in US dollars, such as 5 or 2.50.")
    return cap_usd
