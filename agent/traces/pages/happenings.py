"""What else happened in a session, in a line each: a table of events and their words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.protocol.counting import counted
from agent.protocol.money import format_usd
from agent.traces.pages.parts import Tone
from agent.traces.pages.wording import duration_text, shortened

Line = tuple[str, Tone, str]
"""Text, tone, and the address where more is to be seen (or nothing)."""
Data = Mapping[str, Any]


def _interrupted(_data: Data) -> Line:
    return "Stopped by the person", "warning", ""


def _error(data: Data) -> Line:
    return str(data.get("error") or data.get("user_message") or "It failed."), "bad", ""


def _complete(data: Data) -> Line | None:
    words = _STOPPED_BY.get(data.get("stop_reason", "done"))
    return (words, "warning", "") if words else None


_STOPPED_BY = {
    "iteration_limit": "Ended by the limit of steps, before the work was done",
    "budget": "Ended by the budget, before the work was done",
    "time_limit": "Ended by the time limit, before the work was done",
}


def _undone(data: Data) -> Line | None:
    turns, files, kept = data.get("removed_turns", 0), data.get("restored_files", ()), data.get("kept_files", ())
    words = [f"{counted(turns, 'turn')} taken back"] if turns else []
    words += [f"{counted(len(files), 'file')} restored: {', '.join(files)}"] if files else []
    words += [f"{counted(len(kept), 'file')} left as changed since: {', '.join(kept)}"] if kept else []
    return ("; ".join(words), "plain", "") if words else None


def _resumed(data: Data) -> Line:
    words = ["The session was taken up again"]
    words += [f"unfinished calls: {', '.join(data['unfinished'])}"] if data.get("unfinished") else []
    words += [f"still running: {', '.join(data['still_running'])}"] if data.get("still_running") else []
    return "; ".join(words), "plain", ""


def _settings(data: Data) -> Line | None:
    changed = data.get("changed") or ()
    values = {"model": data.get("model_name"), "effort": data.get("reasoning_effort"), "mode": data.get("mode")}
    told = [f"{name} {value}" for name, value in values.items() if value]
    return (f"Settings changed: {', '.join(told)}", "plain", "") if changed else None


def _job_submitted(data: Data) -> Line:
    limit = f", at most {data['timeout']}" if data.get("timeout") else ""
    return f"Job {data['job_id']} submitted on {data['flavor']}{limit}", "plain", str(data.get("job_url") or "")


def _job_over(data: Data) -> Line:
    status = str(data["final_status"])
    tone: Tone = "good" if status.casefold() in {"completed", "succeeded", "success"} else "bad"
    words = f"Job {data['job_id']} on {data['flavor']}: {status.lower()} after {duration_text(data['wall_time_s'])}"
    return f"{words}, {_estimate(data)}", tone, ""


def _sandbox_made(data: Data) -> Line:
    took = duration_text(data["create_latency_s"])
    return f"Sandbox {data['sandbox_id']} on {data['hardware']} is up, after {took}", "plain", ""


def _sandbox_gone(data: Data) -> Line:
    words = f"Sandbox {data['sandbox_id']} on {data['hardware']} is gone, after {duration_text(data['lifetime_s'])}"
    return f"{words}, {_estimate(data)}", "plain", ""


def _estimate(data: Data) -> str:
    usd = data.get("estimated_cost_usd")
    return "price unknown" if usd is None else f"about {format_usd(usd)}"


def _rated(data: Data) -> Line:
    comment = f": {data['comment']}" if data.get("comment") else ""
    return f"Rated {str(data['rating']).replace('_', ' ')}{comment}", "plain", ""


def _began(data: Data) -> Line:
    return f"Goes on from session {shortened(str(data.get('original_session_id') or data.get('path')))}", "plain", ""


NOTES: Mapping[str, Callable[[Data], Line | None]] = {
    "interrupted": _interrupted,
    "error": _error,
    "session_terminated": _error,
    "turn_complete": _complete,
    "undo_complete": _undone,
    "resume_complete": _resumed,
    "resumed_from": _began,
    "settings_changed": _settings,
    "hf_job_submit": _job_submitted,
    "hf_job_complete": _job_over,
    "sandbox_create": _sandbox_made,
    "sandbox_destroy": _sandbox_gone,
    "feedback": _rated,
}
"""By the word for the event; None where there is nothing to say. They get clean data."""

SECTION_STARTS = frozenset({"undo_complete", "resume_complete"})
"""What does not belong to the turn before it."""
