"""News of work elsewhere: what the model and the person are told while they do something else.

The model is told before its next step, of work that none of its calls is waiting for: how it began and ended, figures
now and then, trouble at once. Lines of output are data, and the texts say so. The person gets one line each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from agent.compute.log_facts import AlertKind, Facts, is_broken, is_loss
from agent.context_manager.prompts import render
from agent.core.work_entry import MAX_NOTES, Entry
from agent.core.work_side import Now, SessionSide
from agent.protocol.compute import Status
from agent.protocol.events import ToolLog
from agent.protocol.money import format_usd
from agent.protocol.terminal_text import without_sequences

METRICS_EVERY: Final = timedelta(minutes=10)
LINE_CHARS: Final = 400
CONTEXT_LINES: Final = 5
END_LINES: Final = 20
EXPLODED: Final = 10.0
"""A loss that is so many times its lowest value so far has exploded."""
_MIN_LOSS: Final = 0.1
"""Below this a loss may multiply without any harm."""
_MAX_TRACEBACK_LINES: Final = 200
_MAX_ALERTS: Final = 50
_MAX_NAMES: Final = 20
"""So many figures of one piece of work may go wrong; more would flood the person."""
_LIMITS: Final = {"ended": MAX_NOTES, "metrics": MAX_NOTES // 2}
"""How many notes may have been made of one work for another of this kind; all others leave room for its end."""
_DIGITS: Final = re.compile(r"\d+")
_LINE_ENDS: Final = re.compile("[\n\u2028\u2029]+")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_WHAT: Final[dict[AlertKind, str]] = {
    "traceback": "a Python exception",
    "oom": "out of accelerator memory",
    "alert": "an alert of level ERROR",
}


def shown(lines: Sequence[str]) -> list[str]:
    """Lines of output as they may stand in a text: without control characters and line ends, of a sensible length."""
    plain = (_CONTROLS.sub("", _LINE_ENDS.sub(" ", without_sequences(line))) for line in lines)
    return [line if len(line) <= LINE_CHARS else line[: LINE_CHARS - 1] + "…" for line in plain]


def outcome(status: Status, cost_usd: float | None) -> str:
    """`failed (exit code 3), $0.12`."""
    message = f" ({shown([status.message])[0]})" if status.message else ""
    return f"{status.stage}{message}{_cost(cost_usd)}"


def _cost(cost_usd: float | None) -> str:
    return f", {format_usd(cost_usd)}" if cost_usd is not None else ", cost unknown"


class News:
    """Decides who is told what."""

    def __init__(self, side: SessionSide, now: Now) -> None:
        self._side = side
        self._now = now

    async def person(self, entry: Entry, text: str) -> None:
        """One line for the person."""
        await self._side.emit(ToolLog(entry.tool, self._side.scrub(text)))

    def model(self, entry: Entry, template: str, **facts: object) -> bool:
        """Tell the model, unless a call of its is waiting for this work, it has heard enough of it, or another
        conversation is on."""
        told = entry.told
        limit = _LIMITS.get(template, MAX_NOTES - 1)
        if entry.lease.session_id != self._side.session_id or told.notes >= limit:
            return False
        if self._is_waited_for(entry):
            if template == "alert":
                told.missed = lambda: self._catch_up(entry, facts)
            return False
        told.notes += 1
        note = render(
            f"work/{template}", label=shown([entry.label])[0], id=entry.id, is_last=told.notes == limit, **facts
        )
        self._side.note(self._side.scrub(note))
        return True

    def _catch_up(self, entry: Entry, facts: dict[str, object]) -> None:
        self.model(entry, "alert", **facts)

    def unwaited(self, entry: Entry) -> None:
        """No call waits for it any more, and it is not over: the model has missed the latest alert."""
        missed, entry.told.missed = entry.told.missed, None
        if missed is not None:
            missed()

    @staticmethod
    def _is_waited_for(entry: Entry) -> bool:
        return bool(entry.waiters)

    async def stage(self, entry: Entry) -> None:
        """It is at another stage, and not over. Where a call waits for it, that shows how it stands."""
        url = entry.handle.url if entry.handle is not None else None
        if not self._is_waited_for(entry):
            await self.person(entry, f"{entry.label}: {entry.status.stage}{f', {url}' if url else ''}")
        if entry.status.stage in ("running", "paused"):
            self.model(entry, "stage", stage=entry.status.stage)

    async def ended(self, entry: Entry) -> None:
        """It is over. Where a call waits for it, its result says so."""
        status = entry.status
        if not self._is_waited_for(entry):
            await self.person(entry, f"{entry.label}: {outcome(status, entry.cost_usd)}")
        how, message = f"{status.stage}{_cost(entry.cost_usd)}", shown([status.message or ""])[0]
        lines, count, path = shown(entry.log.last(END_LINES)), entry.log.count, str(entry.log.path)
        self.model(entry, "ended", outcome=how, message=message, lines=lines, count=count, path=path)

    async def trouble(self, entry: Entry, text: str) -> None:
        """Its place cannot be asked, or has refused; told once for each text."""
        if entry.told.trouble == text:
            return
        entry.told.trouble = text
        await self.person(entry, f"{entry.label}: {text}")
        self.model(entry, "trouble", text=shown([text])[0])

    async def not_ended(self, entry: Entry, why: str) -> None:
        """It could not be ended, and that is tried again."""
        price = entry.lease.usd_per_hour
        rate = f", still {format_usd(price)}/h" if price else ""
        what = {"job": "cancelled", "process": "stopped", "sandbox": "deleted"}[entry.lease.kind]
        entry.told.trouble = why
        await self.person(entry, f"{entry.label} could not be {what} yet ({shown([why])[0]}){rate}; trying again.")

    async def silent(self, entry: Entry, since: datetime) -> None:
        """Its place gives no answer, and a call waits for it; told once."""
        if not entry.told.is_silent:
            entry.told.is_silent = True
            at = since.astimezone().strftime("%H:%M:%S")
            await self.person(entry, f"{_who(entry)} cannot be reached since {at}; {entry.label} goes on.")

    async def heard_again(self, entry: Entry) -> None:
        """Its place has answered."""
        if entry.told.is_silent:
            entry.told.is_silent = False
            await self.person(entry, f"{_who(entry)} can be reached again.")

    def line(self, entry: Entry, text: str, facts: Facts) -> str | None:
        """One more line of output; returns what the person is to be told of it, mostly nothing."""
        if facts.metrics:
            entry.metrics = {**entry.metrics, **facts.metrics} if len(entry.metrics) < 50 else dict(facts.metrics)
            if (alarm := self._alarm(entry, facts)) is not None:
                return alarm
            self._tell_metrics(entry)
        if entry.told.traceback_lines or facts.alert is not None:
            return self._tell_alert(entry, text, facts.alert)
        return None

    def end_of_output(self, entry: Entry) -> str | None:
        """No line comes any more: a traceback that was being printed is told as far as it came."""
        if not entry.told.traceback_lines:
            return None
        entry.told.traceback_lines = 0
        return self._alert(entry, "traceback", "".join(entry.log.last(1)))

    # --- figures ----------------------------------------------------------------------------------------------------

    def _tell_metrics(self, entry: Entry) -> None:
        last = entry.told.metrics_at
        if last is not None and self._now() - last < METRICS_EVERY:
            return
        if self.model(entry, "metrics", metrics=_figures(entry.metrics)):
            entry.told.metrics_at = self._now()

    def _alarm(self, entry: Entry, facts: Facts) -> str | None:
        """What to say of figures that are no numbers any more, or far from where they were."""
        wrong = {name: value for name, value in facts.metrics.items() if self._is_wrong(entry, name, value)}
        fresh = {name: value for name, value in wrong.items() if self._is_new(entry, name)}
        if not fresh:
            return None
        figures = _figures(fresh)
        lines = shown(entry.log.last(CONTEXT_LINES))
        self.model(entry, "alert", what=f"figures that look wrong: {figures}", lines=lines)
        return f"{entry.label}: figures that look wrong: {figures}"

    def _is_wrong(self, entry: Entry, name: str, value: float) -> bool:
        if is_broken(value):
            return True
        if not is_loss(name):
            return False
        if len(entry.told.lowest) >= 10 * _MAX_NAMES and name not in entry.told.lowest:
            return False
        lowest = entry.told.lowest.get(name, math.inf)
        entry.told.lowest[name] = min(lowest, value)
        return lowest < math.inf and value > EXPLODED * max(lowest, _MIN_LOSS)

    def _is_new(self, entry: Entry, name: str) -> bool:
        """Whether this was not told of `name` in the last ten minutes."""
        last, now = entry.told.broken_at.get(name), self._now()
        if now - last < METRICS_EVERY if last is not None else len(entry.told.broken_at) >= _MAX_NAMES:
            return False
        entry.told.broken_at[name] = now
        return True

    # --- trouble ----------------------------------------------------------------------------------------------------

    def _tell_alert(self, entry: Entry, text: str, kind: AlertKind | None) -> str | None:
        """A traceback is told with its last line, which says what was wrong; all else at once."""
        told = entry.told
        if kind == "traceback":
            told.traceback_lines = 1
            return None
        if told.traceback_lines:
            told.traceback_lines += 1
            is_inside = not text.strip() or text[:1] in " \t|+" or text.startswith(("During handling", "The above"))
            if is_inside and told.traceback_lines < _MAX_TRACEBACK_LINES and kind is None:
                return None
            told.traceback_lines = 0
            return self._alert(entry, kind or "traceback", text)
        return self._alert(entry, kind, text) if kind is not None else None

    def _alert(self, entry: Entry, kind: AlertKind, text: str) -> str | None:
        key = f"{kind} {_DIGITS.sub('0', text)[:200]}"
        if key in entry.told.alerts or len(entry.told.alerts) >= _MAX_ALERTS:
            return None
        entry.told.alerts.add(key)
        what = _WHAT[kind]
        self.model(entry, "alert", what=what, lines=shown(entry.log.last(CONTEXT_LINES)))
        return f"{entry.label}: {what}: {shown([text.strip()])[0]}"


def _figures(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name[:60]} = {value:.6g}" for name, value in list(metrics.items())[:20])


def _who(entry: Entry) -> str:
    return "The Hub" if entry.lease.backend.startswith("hf_") else entry.lease.backend
