"""Whether a tool call may run: the mode, the person's rules and the tool's own rule, in one place.

These are the documented rules of the four modes (headless runs are in `yolo`). The first line that fits decides:

| # | what fits                                                    | ask    | auto-edit | plan   | yolo   |
|---|--------------------------------------------------------------|--------|-----------|--------|--------|
| 1 | a `deny` rule of the configuration                           | denied | denied    | denied | denied |
| 2 | the call does more than look                                 | -      | -         | denied | -      |
| 3 | the tool says only a person may decide (a catastrophic shell command, starting a schedule, a plan) | asks in all |
| 4 | an `ask` rule of the configuration                           | asks   | asks      | asks   | asks   |
| 5 | an `allow` rule of the configuration or of this session      | runs   | runs      | runs   | runs   |
| 6 | the tool's rule says free, and no file is changed            | runs   | runs      | runs   | runs   |
| 7 | the tool's rule says free: it changes the files it names (an edit in the workspace) | asks | runs* | - | runs* |
| 8 | the tool's rule says ask (or free, and any file may change)  | asks   | asks      | -      | runs*  |

`*`: and says that it would have asked. A call only looks if its tool says so (`ToolSpec.only_looks`) and its rule does
not ask, and if it costs nothing. So no `allow` rule opens plan mode, and of line 3 hardly more is left than the
question whether to leave it.

Where yolo asks and nobody is there to answer (headless), the caller takes it for a no: exit code 6.

Shell commands are matched by their parts. An `allow` rule must cover every simple command that does more than look, so
that `bash(git status *)` does not allow `git status && rm -rf x`; output into hidden files or outside the workspace, a
variable such as PATH set for the command, or `sudo` before it are not covered by a rule for the bare command. A `deny`
or `ask` rule needs one part that fits, inside `sh -c`, `xargs`, `$(...)` as well. A command that cannot be parsed for
certain is allowed by `bash` or `bash(*)` only.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.light_dataclass import dataclass
from agent.protocol.modes import Mode
from agent.protocol.permissions import PermissionRule
from agent.protocol.tools import ApprovalContext, ApprovalNeed, ToolSpec
from agent.tools.approval_rules import RULES, shell_verdict

if TYPE_CHECKING:
    from agent.tools.shell_analysis import ShellVerdict

_log = logging.getLogger(__name__)

PLAN_MODE = (
    "plan mode is on, and nothing may be changed, started or paid before the person has accepted a plan. Go on with "
    "calls that only look; when you know enough, present the plan with `propose_plan`."
)
"""Why a call is denied in plan mode, for the model to act on."""
PLAN_MODE_FOR_PERSON = "Not run: plan mode is on, and this does more than look."

SUB_AGENT_LOOKS = (
    "a research sub-agent may only look: nothing may be changed, started or paid by it. Do without this, or name it in "
    "your report as something for the main agent to do."
)
SUB_AGENT_ASKS = (
    "this needs the person's word, and a research sub-agent cannot ask. Do without it, or name it in your report as "
    "something for the main agent to do."
)
"""Why a call of a sub-agent is denied, for its model to act on."""

_WILDCARDS = frozenset("*?[]()")


@dataclass(frozen=True, slots=True)
class ApprovalDecision:
    """What happens to one tool call. `told_person` is said of a denied one where `reason` is meant for the model.

    `reason` is for the person (asked, denied) and, when denied, for the model. `auto_approved`: it would have asked,
    and the mode said yes. `needs_human`: no mode says yes by itself. `auto_approval_blocked`: the mode would approve,
    but may not approve this; `block_reason` says why. `always_rule` is what "always allow" would add, None where not
    offered. Costs are in US dollars, None where not estimated (agent/budget fills them in).
    """

    action: Literal["allow", "ask", "deny"]
    reason: str = ""
    auto_approved: bool = False
    needs_human: bool = False
    always_rule: str | None = None
    billable: bool = False
    auto_approval_blocked: bool = False
    block_reason: str | None = None
    estimated_cost_usd: float | None = None
    remaining_cap_usd: float | None = None
    hints: tuple[str, ...] = ()
    told_person: str | None = None

    @property
    def requires_approval(self) -> bool:
        """Whether the call waits for the person."""
        return self.action == "ask"


class ApprovalPolicy:
    """The rules in force in a session. `mode` may change at any time; `remember` adds what the person always allows.

    `mode_before_plan` is what an accepted plan goes back to.
    """

    def __init__(
        self,
        mode: Mode = "ask",
        *,
        context: ApprovalContext,
        allow: Iterable[str | PermissionRule] = (),
        ask: Iterable[str | PermissionRule] = (),
        deny: Iterable[str | PermissionRule] = (),
        session_rules: Iterable[str | PermissionRule] = (),
        home: Path | None = None,
    ) -> None:
        """Rules may be texts as in the configuration; ValueError for one that cannot be read.

        `home` is what `~` in path rules means, by default the person's home directory.
        """
        self._mode: Mode = mode
        self.mode_before_plan: Mode = "ask" if mode == "plan" else mode
        self.context = context
        self.allow = _rules(allow)
        self.ask = _rules(ask)
        self.deny = _rules(deny)
        self.session_rules = list(_rules(session_rules))
        self._home = home

    @property
    def mode(self) -> Mode:
        """The mode in force."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode

    def begin_turn(self) -> None:
        """Work begins in this mode: an accepted plan may go back to it, but to none that was only passed through."""
        if self._mode != "plan":
            self.mode_before_plan = self._mode

    only_looking = PLAN_MODE, PLAN_MODE_FOR_PERSON
    """Why a call that does more than look is denied, for the model and for the person."""

    def remember(self, rule_text: str) -> None:
        """Allow this for the rest of the session. Raises ValueError if the rule cannot be read."""
        rule = PermissionRule.parse(rule_text)
        if rule not in self.session_rules:
            self.session_rules.append(rule)

    def decide(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> ApprovalDecision:
        """The decision on one call. Never raises: a rule that fails makes a person decide, or in plan mode denies."""
        try:
            return self._decide(spec, arguments)
        except Exception:  # noqa: BLE001
            # The border to a tool's own code, and failing open is not an option here.
            _log.exception("the approval of %s could not be decided", spec.name)
            reason = f"whether {spec.name} may run could not be decided (an internal error; see the log)"
            if self.mode == "plan":
                return ApprovalDecision("deny", reason)
            return self._asked(ApprovalNeed("human", reason))

    def _decide(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> ApprovalDecision:
        if not isinstance(arguments, Mapping):
            return ApprovalDecision("allow")  # never runs: the arguments do not pass the schema
        subject = _subject(spec, arguments, self.context, self._home)
        if rule := next((rule for rule in self.deny if rule.is_for(spec.name) and subject.is_hit_by(rule)), None):
            return ApprovalDecision("deny", f"the rule {rule} forbids it")
        need = spec.approval(arguments, self.context)
        if self.mode == "plan" and not self._only_looks(spec, arguments, need):
            for_model, for_person = self.only_looking
            return ApprovalDecision("deny", for_model, billable=need.billable, told_person=for_person)
        if need.kind == "human":
            return self._asked(need)
        if rule := next((rule for rule in self.ask if rule.is_for(spec.name) and subject.is_hit_by(rule)), None):
            # "Always allow" would not help here, since rules that ask come before rules that allow.
            return self._asked(ApprovalNeed("human", f"the rule {rule} asks for it", billable=need.billable))
        if subject.is_covered_by([rule for rule in (*self.allow, *self.session_rules) if rule.is_for(spec.name)]):
            return ApprovalDecision("allow", "a rule allows it", billable=need.billable)
        return self._by_mode(spec, arguments, need, subject)

    def _only_looks(self, spec: ToolSpec, arguments: Mapping[str, Any], need: ApprovalNeed) -> bool:
        is_free_of_charge = not need.billable and spec.estimate_cost(arguments) is None
        return need.kind != "ask" and is_free_of_charge and spec.only_looks(arguments, self.context.workspace)

    def _changed(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> tuple[Path, ...] | None:
        """The files that the call changes; None: it may be any."""
        try:
            return spec.changes(arguments, self.context.workspace)
        except Exception:  # noqa: BLE001 - the tool's own code
            _log.exception("what %s changes could not be found out", spec.name)
            return None

    def _by_mode(
        self, spec: ToolSpec, arguments: Mapping[str, Any], need: ApprovalNeed, subject: _Subject
    ) -> ApprovalDecision:
        """Where no rule of the person decides: lines 6 to 8 of the table."""
        runs_by_itself = self.mode == "yolo"
        if need.kind == "free":
            changed = self._changed(spec, arguments)
            if changed == ():
                return ApprovalDecision("allow", billable=need.billable)
            runs_by_itself = runs_by_itself or (self.mode == "auto-edit" and changed is not None)
            reason = _names(changed, self.context.workspace)
            need = replace(need, kind="ask", reason=reason, always_rule=subject.always_rule(spec.name))
        if runs_by_itself:
            return ApprovalDecision("allow", need.reason, auto_approved=True, billable=need.billable)
        return self._asked(need)

    def _asked(self, need: ApprovalNeed) -> ApprovalDecision:
        needs_human = need.kind == "human"
        blocked = needs_human and self.mode == "yolo"
        return ApprovalDecision(
            "ask",
            need.reason,
            needs_human=needs_human,
            always_rule=None if needs_human else need.always_rule,
            billable=need.billable,
            auto_approval_blocked=blocked,
            block_reason=need.reason if blocked else None,
            hints=need.hints,
        )


class LookingPolicy(ApprovalPolicy):
    """The policy of a sub-agent: what its parent's deny and ask rules and plan mode leave, and nobody to ask.

    Its calls only look, whatever mode the parent is in; its parent's `allow` rules give it nothing. So it can never do
    more than its parent: what would ask is denied.
    """

    only_looking = SUB_AGENT_LOOKS, "Not run: a sub-agent may only look."

    def __init__(self, parent: ApprovalPolicy) -> None:
        super().__init__("plan", context=parent.context, ask=parent.ask, deny=parent.deny, home=parent._home)

    def decide(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> ApprovalDecision:
        """The decision on one call: allowed or denied."""
        decision = super().decide(spec, arguments)
        if decision.action != "ask":
            return decision
        why = f"{decision.reason}: {SUB_AGENT_ASKS}" if decision.reason else SUB_AGENT_ASKS
        return ApprovalDecision("deny", why, told_person="Not run: a sub-agent cannot ask.")


def _rules(rules: Iterable[str | PermissionRule]) -> tuple[PermissionRule, ...]:
    return tuple(PermissionRule.parse(rule) if isinstance(rule, str) else rule for rule in rules)


def _names(changed: Sequence[Path] | None, workspace: Path) -> str:
    """Why an edit asks: the files it changes, relative to the workspace where they lie inside."""
    if changed is None:
        return "may change files"
    root = Path(os.path.realpath(workspace))
    return f"changes {', '.join(str(p.relative_to(root) if p.is_relative_to(root) else p) for p in changed)}"


class _Subject:
    """What a call is about, for rules to match: any text, here."""

    def __init__(self, text: str) -> None:
        self._text = text

    def is_hit_by(self, rule: PermissionRule) -> bool:
        """Whether a rule that forbids or asks fits. The Hub takes names in any case: none is a way around it."""
        return rule.matches_words(self._text, any_case=True)

    def is_covered_by(self, rules: Sequence[PermissionRule]) -> bool:
        """Whether the rules, which allow, leave nothing of the call uncovered."""
        return any(rule.matches_words(self._text) for rule in rules)

    def always_rule(self, tool: str) -> str | None:
        """The rule that allows an edit of just this from now on; None where it cannot be written."""
        return None


class _Path(_Subject):
    def __init__(self, text: str, workspace: Path, home: Path) -> None:
        super().__init__(text)
        self._workspace = workspace
        self._home = home

    def is_hit_by(self, rule: PermissionRule) -> bool:
        return rule.matches_path(self._text, self._workspace, self._home)

    def is_covered_by(self, rules: Sequence[PermissionRule]) -> bool:
        return any(rule.covers_path(self._text, self._workspace, self._home) for rule in rules)

    def always_rule(self, tool: str) -> str | None:
        # The file alone: a directory may come to hold files that other programs run.
        path, root = Path(self._text), Path(os.path.realpath(self._workspace))
        text = f"{tool}({f'./{path.relative_to(root)}' if path.is_relative_to(root) else path})"
        is_plain = not _WILDCARDS.intersection(self._text)
        return text if is_plain and self.is_covered_by([PermissionRule.parse(text)]) else None


class _Command(_Subject):
    def __init__(self, text: str, verdict: ShellVerdict) -> None:
        super().__init__(text)
        self._verdict = verdict

    def is_hit_by(self, rule: PermissionRule) -> bool:
        texts = (self._text, *self._verdict.commands, *self._verdict.spellings)
        return any(rule.matches_words(text) for text in texts)

    def is_covered_by(self, rules: Sequence[PermissionRule]) -> bool:
        if any(rule.pattern is None for rule in rules):
            return True
        parts = self._verdict.changing
        if self._verdict.opaque or not parts:
            return False
        return all(any(rule.matches_words(part) for rule in rules) for part in parts)


def _subject(spec: ToolSpec, arguments: Mapping[str, Any], context: ApprovalContext, home: Path | None) -> _Subject:
    text = str(spec.subject(arguments, context.workspace))
    if spec.subject_kind == "command":
        return _Command(text, shell_verdict(arguments, context))
    if spec.subject_kind == "path":
        return _Path(text, context.workspace, home or Path(os.path.expanduser("~")))  # noqa: PTH111 - never raises
    return _Subject(text)


def _base_needs_approval(tool_name: str, tool_args: Any, config: Any = None) -> bool:
    """Whether a tool's own rule wants a yes, by name: the reference's function, for programs that build on it.

    `config` may be any object with `confirm_cpu_jobs` and `auto_file_upload`, or lack them.
    """
    rule = RULES.get(tool_name)
    if rule is None or not isinstance(tool_args, Mapping):
        return False
    context = ApprovalContext(
        workspace=Path.cwd(),
        confirm_cpu_jobs=bool(getattr(config, "confirm_cpu_jobs", True)),
        auto_file_upload=bool(getattr(config, "auto_file_upload", False)),
    )
    return rule(tool_args, context).kind != "free"
