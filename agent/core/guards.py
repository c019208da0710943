"""The guards: small rules that watch a turn and put in a word, or stop it.

Each is one class with up to three hooks; `new_guards` lists them in the order they are asked. They live for one turn,
so what happened in an earlier turn is never held against a new request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from agent.context_manager.prompts import render
from agent.core.doom_loop import DoomLoopDetector, signature
from agent.light_dataclass import dataclass
from agent.llm.calls import CUT
from agent.llm.stream import LLMResult
from agent.protocol.events import PlanItem

NO_CALL_WITH_OPEN_PLAN_LIMIT = 2
TRUNCATED_LIMIT = 5
EMPTY_ANSWER_LIMIT = 1
DOOM_LOOP_WARNINGS = 3
MALFORMED_STREAK = 2
GOAL_EVERY = 10
"""Model calls after which a sub-agent is told its task again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guard wants.

    `pass`: nothing. `note`: tell the model `message` (a synthetic user message) and go on. `close`: the same, but the
    next answer is the last and has no tools. `stop`: end the turn with an error. `log` is shown to the person.
    `continues`: the next answer goes on with the text of this one.
    """

    action: Literal["pass", "note", "close", "stop"] = "pass"
    message: str = ""
    log: str = ""
    continues: bool = False


PASS = Verdict()


@dataclass(frozen=True, slots=True)
class TurnView:
    """What guards may know of a turn. `plan` is empty unless the plan belongs to this turn."""

    iteration: int
    max_iterations: int
    plan: tuple[PlanItem, ...]
    headless: bool


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A finished tool call, as guards see it."""

    tool: str
    arguments: str
    output: str
    malformed: bool
    is_poll: bool


class Guard:
    """Base of all guards: passes everything."""

    def before_call(self, turn: TurnView) -> Verdict:
        """Asked before each model call."""
        return PASS

    def after_reply(self, turn: TurnView, reply: LLMResult) -> Verdict:
        """Asked about each reply, before its calls run; a `note` or `stop` drops the calls and keeps the text."""
        return PASS

    def after_tools(self, calls: Sequence[CallRecord]) -> None:
        """Told of each finished batch."""


class IterationLimitGuard(Guard):
    """At the limit, asks for a closing summary instead of ending in silence."""

    def __init__(self, template: str = "guards/iteration_limit") -> None:
        self._template = template

    def before_call(self, turn: TurnView) -> Verdict:
        if turn.max_iterations < 0 or turn.iteration < turn.max_iterations:
            return PASS
        return Verdict(
            "close",
            render(self._template, limit=turn.max_iterations),
            f"Iteration limit reached ({turn.max_iterations} model calls); asking for a closing summary.",
        )


class DoomLoopGuard(Guard):
    """Warns the model of repetition; after three warnings in one turn, stops it."""

    def __init__(self) -> None:
        self._detector = DoomLoopDetector()
        self._warnings = 0

    def after_tools(self, calls: Sequence[CallRecord]) -> None:
        for call in calls:
            self._detector.add(signature(call.tool, call.arguments, call.output, call.is_poll))

    def before_call(self, turn: TurnView) -> Verdict:
        pattern = self._detector.check()
        if pattern is None:
            return PASS
        self._warnings += 1
        if self._warnings > DOOM_LOOP_WARNINGS:
            return Verdict(
                "stop",
                log=f"Stopped: the agent kept repeating {pattern} with the same result after {DOOM_LOOP_WARNINGS} "
                "warnings. Say what to do differently, or try another model.",
            )
        return Verdict("note", render("guards/repetition", pattern=pattern, count=self._warnings))


class MalformedArgumentsGuard(Guard):
    """Two malformed calls of the same tool in a row: tells the model how to get out of it."""

    def __init__(self) -> None:
        self._streaks: Counter[str] = Counter()
        self._due: str | None = None

    def after_tools(self, calls: Sequence[CallRecord]) -> None:
        for call in calls:
            self._streaks[call.tool] = self._streaks[call.tool] + 1 if call.malformed else 0
            if self._streaks[call.tool] >= MALFORMED_STREAK:
                self._streaks[call.tool] = 0
                self._due = call.tool

    def before_call(self, turn: TurnView) -> Verdict:
        if self._due is None:
            return PASS
        tool, self._due = self._due, None
        return Verdict(
            "note",
            render("guards/malformed_arguments", tool=tool),
            f"The model sent malformed arguments for {tool} twice; telling it how to go on.",
        )


class TruncatedOutputGuard(Guard):
    """An answer cut by its length limit or by a broken connection is taken up where it ended."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def after_reply(self, turn: TurnView, reply: LLMResult) -> Verdict:
        if reply.finish_reason not in ("length", CUT):
            self._in_a_row = 0
            return PASS
        self._in_a_row += 1
        if self._in_a_row > TRUNCATED_LIMIT:
            return Verdict("stop", log=f"Stopped: {self._in_a_row} answers in a row were cut off before their end.")
        if reply.finish_reason == CUT:
            log = "The connection broke mid-answer; going on from there."
            return Verdict("note", render("guards/stream_cut"), log, continues=True)
        if reply.tool_calls:
            names = ", ".join(dict.fromkeys(call.function.name for call in reply.tool_calls))
            message = render("guards/truncated_with_calls", tools=names)
            return Verdict("note", message, f"The answer was cut at its length limit; lost calls: {names}.")
        log = "The answer was cut at its length limit; going on."
        return Verdict("note", render("guards/truncated_text"), log, continues=True)


class EmptyAnswerGuard(Guard):
    """An answer with neither text nor calls is asked for again once."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def after_reply(self, turn: TurnView, reply: LLMResult) -> Verdict:
        if reply.tool_calls or reply.content.strip():
            self._in_a_row = 0
            return PASS
        self._in_a_row += 1
        if self._in_a_row > EMPTY_ANSWER_LIMIT:
            return Verdict(
                "stop", log="The model gave an empty answer twice. Try again, or another model (--model or /model)."
            )
        return Verdict("note", render("guards/empty_answer"), "The model gave an empty answer; asking again.")


class OpenPlanGuard(Guard):
    """Text without calls while the plan of this turn is open: go on, unless the person is being asked something."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def after_reply(self, turn: TurnView, reply: LLMResult) -> Verdict:
        if reply.tool_calls:
            self._in_a_row = 0
            return PASS
        open_items = [item for item in turn.plan if item.status != "completed"]
        asks_person = not turn.headless and "?" in reply.content[-300:]
        if not open_items or asks_person or self._in_a_row >= NO_CALL_WITH_OPEN_PLAN_LIMIT:
            return PASS
        self._in_a_row += 1
        lines = [f"{item.id}. {item.content} [{item.status}]" for item in open_items[:4]]
        return Verdict(
            "note",
            render("guards/open_plan", items=lines),
            f"text-only response with {len(open_items)} open plan steps; asking the model to go on.",
        )


class LastMoneyGuard(Guard):
    """Asks for the closing answer while there is still money for it."""

    def __init__(self, is_nearly_spent: Callable[[], bool]) -> None:
        self._is_nearly_spent = is_nearly_spent

    def before_call(self, turn: TurnView) -> Verdict:
        if not turn.iteration or not self._is_nearly_spent():
            return PASS
        return Verdict(
            "close",
            render("research/closing", why="The money for this research is nearly used up."),
            "The budget is nearly used up; asking for what was found.",
        )


class GoalGuard(Guard):
    """Every so many model calls, says again what was asked: in a long search the question gets lost."""

    def __init__(self, goal: str) -> None:
        self._goal = goal
        self._told_at = 0

    def before_call(self, turn: TurnView) -> Verdict:
        if turn.iteration - self._told_at < GOAL_EVERY:
            return PASS
        self._told_at = turn.iteration
        left = turn.max_iterations - turn.iteration
        return Verdict("note", render("research/goal", task=self._goal, used=turn.iteration, left=left))


def research_guards(goal: str, is_nearly_spent: Callable[[], bool]) -> tuple[Guard, ...]:
    """Those of a research sub-agent's only turn."""
    return (
        LastMoneyGuard(is_nearly_spent),
        IterationLimitGuard("research/iteration_limit"),
        DoomLoopGuard(),
        MalformedArgumentsGuard(),
        TruncatedOutputGuard(),
        EmptyAnswerGuard(),
        GoalGuard(goal),
    )


def new_guards() -> tuple[Guard, ...]:
    """Fresh guards for a turn, in the order they are asked: the first word counts, but notes before a call all do."""
    return (
        IterationLimitGuard(),
        DoomLoopGuard(),
        MalformedArgumentsGuard(),
        TruncatedOutputGuard(),
        EmptyAnswerGuard(),
        OpenPlanGuard(),
    )
