"""What a turn carries from step to step, and across the wait for an approval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from agent.core.approval_policy import ApprovalDecision
from agent.core.guards import CallRecord, Guard, TurnView, new_guards
from agent.light_dataclass import dataclass
from agent.protocol.events import PlanItem
from agent.protocol.messages import ToolCall
from agent.protocol.tools import CostEstimate, ToolResult


@dataclass(slots=True)
class TurnState:
    """One turn in progress. `iteration` counts its model calls and goes on after an approval."""

    max_iterations: int
    headless: bool
    iteration: int = 0
    is_closing: bool = False
    has_plan: bool = False
    text_so_far: str = ""
    """The beginning of an answer that was cut and is being continued."""
    guards: tuple[Guard, ...] = field(default_factory=new_guards)

    def view(self, plan: tuple[PlanItem, ...]) -> TurnView:
        """What guards may see."""
        return TurnView(self.iteration, self.max_iterations, plan if self.has_plan else (), self.headless)

    def saw_tools(self, calls: Sequence[CallRecord]) -> None:
        """Tell every guard of a finished batch."""
        for guard in self.guards:
            guard.after_tools(calls)


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A tool call with its arguments parsed and its fate decided.

    `problem` is set when it cannot run at all (malformed, unknown tool, denied): it is the call's result already.
    """

    call: ToolCall
    arguments: dict[str, object]
    decision: ApprovalDecision | None = None
    problem: ToolResult | None = None
    malformed: bool = False
    estimate: CostEstimate | None = None
    """What it can cost at most; None: nothing."""
    facts: tuple[tuple[str, str], ...] = ()
    """What looking ahead has found, to be shown to the person."""
    note: str = ""
    """What the model should know of how it came to run, ahead of its result."""


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """Calls that wait for the person."""

    calls: tuple[PreparedCall, ...]
