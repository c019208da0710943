"""Whether a tool call may run: the mode, the person's rules and the tool's own rule, in one place.

These are the documented rules of `ask` (interactive) and `yolo` (`--yolo`, headless). The first line that fits decides:

| # | what fits                                                    | ask       | yolo              |
|---|--------------------------------------------------------------|-----------|-------------------|
| 1 | a `deny` rule of the configuration                           | denied    | denied            |
| 2 | the tool says only a person may decide (a catastrophic shell command, starting a schedule) | asks | asks |
| 3 | an `ask` rule of the configuration                           | asks      | asks              |
| 4 | an `allow` rule of the configuration or of this session      | runs      | runs              |
| 5 | the tool's rule says free                                    | runs      | runs              |
| 6 | the tool's rule says ask                                     | asks      | runs, and says so |

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agent.protocol.permissions import PermissionRule
from agent.protocol.tools import ApprovalContext, ApprovalNeed, ToolSpec
from agent.tools.approval_rules import RULES
from agent.tools.shell_analysis import ShellVerdict, bash_verdict

_log = logging.getLogger(__name__)

Mode = Literal["ask", "yolo"]


@dataclass(frozen=True, slots=True)
class ApprovalDecision:
    """What happens to one tool call.

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

    @property
    def requires_approval(self) -> bool:
        """Whether the call waits for the person."""
        return self.action == "ask"


class ApprovalPolicy:
    """The rules in force in a session. `mode` may change at any time; `remember` adds what the person always allows."""

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
        self.mode: Mode = mode
        self.context = context
        self.allow = _rules(allow)
        self.ask = _rules(ask)
        self.deny = _rules(deny)
        self.session_rules = list(_rules(session_rules))
        self._home = home

    def remember(self, rule_text: str) -> None:
        """Allow this for the rest of the session. Raises ValueError if the rule cannot be read."""
        rule = PermissionRule.parse(rule_text)
        if rule not in self.session_rules:
            self.session_rules.append(rule)

    def decide(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> ApprovalDecision:
        """The decision on one call. Never raises: a rule that fails makes a person decide."""
        try:
            return self._decide(spec, arguments)
        except Exception:  # noqa: BLE001
            # The border to a tool's own code, and failing open is not an option here.
            _log.exception("the approval of %s could not be decided", spec.name)
            reason = f"whether {spec.name} may run could not be decided (an internal error; see the log)"
            return self._asked(ApprovalNeed("human", reason))

    def _decide(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> ApprovalDecision:
        if not isinstance(arguments, Mapping):
            return ApprovalDecision("allow")  # never runs: the arguments do not pass the schema
        subject = _subject(spec, arguments, self.context, self._home)
        if rule := next((rule for rule in self.deny if rule.is_for(spec.name) and subject.is_hit_by(rule)), None):
            return ApprovalDecision("deny", f"the rule {rule} forbids it")
        need = spec.approval(arguments, self.context)
        if need.kind == "human":
            return self._asked(need)
        if rule := next((rule for rule in self.ask if rule.is_for(spec.name) and subject.is_hit_by(rule)), None):
            # "Always allow" would not help here, since rules that ask come before rules that allow.
            return self._asked(ApprovalNeed("human", f"the rule {rule} asks for it", billable=need.billable))
        if subject.is_covered_by([rule for rule in (*self.allow, *self.session_rules) if rule.is_for(spec.name)]):
            return ApprovalDecision("allow", "a rule allows it", billable=need.billable)
        if need.kind == "free":
            return ApprovalDecision("allow", billable=need.billable)
        if self.mode == "yolo":
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


def _rules(rules: Iterable[str | PermissionRule]) -> tuple[PermissionRule, ...]:
    return tuple(PermissionRule.parse(rule) if isinstance(rule, str) else rule for rule in rules)


class _Subject:
    """What a call is about, for rules to match: any text, here."""

    def __init__(self, text: str) -> None:
        self._text = text

    def is_hit_by(self, rule: PermissionRule) -> bool:
        """Whether a rule that forbids or asks fits."""
        return rule.matches_words(self._text)

    def is_covered_by(self, rules: Sequence[PermissionRule]) -> bool:
        """Whether the rules, which allow, leave nothing of the call uncovered."""
        return any(rule.matches_words(self._text) for rule in rules)


class _Path(_Subject):
    def __init__(self, text: str, workspace: Path, home: Path) -> None:
        super().__init__(text)
        self._workspace = workspace
        self._home = home

    def is_hit_by(self, rule: PermissionRule) -> bool:
        return rule.matches_path(self._text, self._workspace, self._home)

    def is_covered_by(self, rules: Sequence[PermissionRule]) -> bool:
        return any(rule.covers_path(self._text, self._workspace, self._home) for rule in rules)


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
        return _Command(text, bash_verdict(arguments, context))
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
