"""The model calls of a session: each is reserved in the budget, can be stopped, and is accounted for.

Main turn, sub-agents, compaction and probes all ask here, so that no call can escape the ledger.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from agent.budget.estimates import model_call_usd
from agent.budget.ledger import BudgetExceeded, Reservation, Settled
from agent.budget.money import in_usd, micro
from agent.budget.thresholds import BudgetWarning
from agent.context_manager.prompts import render
from agent.context_manager.tokens import estimate_text
from agent.core.endings import LimitReached
from agent.core.session import Session
from agent.light_dataclass import dataclass
from agent.llm.calls import CallHooks, CallRequest, Notice, OnText, complete
from agent.llm.failures import LLMCallError
from agent.llm.params import has_server, resolve_route
from agent.llm.prices import ModelPrice
from agent.llm.stream import LLMResult, Usage
from agent.protocol.events import BudgetStatus, LLMCall, ToolLog
from agent.protocol.money import format_usd

if TYPE_CHECKING:
    from agent.llm.effort_probe import ProbeOutcome

HEADLESS_PATIENCE_S = 900.0
PATIENCE_WITH_WORK_S = 7_200.0
"""How long an unattended run goes on asking a provider that is down: a while when it begins, so that a script learns of
the trouble; long once there is work to lose."""
TELL_MODEL_AT_SHARE = 80
PRICE_PATIENCE_S = 0.3
"""How long a stopped call waits for its price; without one it is charged as the dearest there is."""
PROBE_PROMPT_TOKENS = 16


def patience_s(session: Session, *, has_work: bool) -> float:
    """How long to go on asking. A person at the terminal is told soon, and decides."""
    if not session.surroundings.headless:
        return 0.0
    return PATIENCE_WITH_WORK_S if has_work else HEADLESS_PATIENCE_S


def call_hooks(session: Session, on_text: OnText, on_notice: Notice) -> CallHooks:
    """Hooks for a call of this session."""
    place = session.surroundings
    return CallHooks(on_text, on_notice, sleep=place.sleep, timeouts=place.timeouts)


async def ask(session: Session, request: CallRequest, hooks: CallHooks, kind: str, prompt_tokens: int) -> LLMResult:
    """Make the call. `prompt_tokens` is our estimate of the request; `kind` names the purpose in the accounts.

    Raises `LimitReached` when the budget is used up, `TurnCancelled`, and `LLMCallError`.
    """
    call = await _reserve(session, request.model, kind, prompt_tokens, request.max_tokens)
    try:
        reply = await session.interruption.cancellable(complete(session.llm, request, hooks))
    except BaseException as error:
        produced = hooks.assembler.everything
        stopped = bool(produced) and not isinstance(error, LLMCallError)  # an attempt that failed has been counted
        await call.account_unfinished(produced, hooks.lost_attempts + stopped)
        raise
    if hooks.lost_attempts:
        await call.account_lost(hooks.lost_attempts)
    await call.account(reply, hooks.assembler.everything)
    return reply


async def probe(session: Session, model: str, effort: str | None) -> ProbeOutcome:
    """Find out which effort `model` takes, up to `effort`, or whether a local one is there. Raises as `ask` does."""
    from agent.llm.effort_probe import PROBE_TOKENS, ProbeOutcome, probe_effort  # loads with /model and /effort

    route = resolve_route(model)
    if not has_server(route) or (effort is None and not route.provider.is_local):
        return ProbeOutcome(effort)
    call = await _reserve(session, model, "effort_probe", PROBE_PROMPT_TOKENS, PROBE_TOKENS)
    try:
        outcome = await session.interruption.cancellable(probe_effort(session.llm, model, effort))
    except BaseException:
        await call.account_unfinished("", 0)
        raise
    if not outcome.calls:
        await call.account_unfinished("", 0)
    for reply in outcome.calls[:1]:
        await call.account(reply, reply.content)
    return outcome


async def _reserve(session: Session, model: str, kind: str, prompt_tokens: int, answer_tokens: int | None) -> _Call:
    """Hold what the call can cost at most. Raises `LimitReached` and `TurnCancelled`.

    Only where there is a cap does the call wait until its price is found out, which may take the network.
    """
    price = session.llm.known_price(model)
    if price is None and (session.ledger.cap_usd is not None or session.payer.ledger.cap_usd is not None):
        price = await session.interruption.cancellable(session.llm.price_of(model))
    known_usd, worst_usd = model_call_usd(price, prompt_tokens, answer_tokens or session.llm.answer_limit_tokens(model))
    while True:
        try:
            reservation = session.ledger.reserve(kind, known_usd, worst_usd=worst_usd, must_fit=False)
        except BudgetExceeded as error:
            freed = session.ledger.freed(kind)
            if freed is None:
                raise LimitReached("budget", _used_up(session)) from error
            # Sub-agents side by side: what another one's call holds at most is far more than it will cost.
            await session.interruption.cancellable(_done(freed))
        else:
            return _Call(session, model, reservation, prompt_tokens)


async def _done(future: asyncio.Future[None]) -> None:
    await future


def _used_up(session: Session) -> str:
    ledger = session.ledger if session.ledger.is_exhausted else session.payer.ledger
    spent, cap = format_usd(ledger.spent_usd, ledger.unknown_usd == 0), format_usd(ledger.cap_usd or 0.0)
    return f"Stopped: the budget of {cap} is used up ({spent} spent). Raise it to go on."


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that has been paid for, or may have been."""

    session: Session
    model: str
    reservation: Reservation
    prompt_tokens: int

    @property
    def price(self) -> ModelPrice | None:
        """What the model costs, as far as that is known by now."""
        return self.session.llm.known_price(self.model)

    async def account(self, reply: LLMResult, produced: str) -> None:
        """Settle and report a call that was answered. `produced` is all the model wrote, for want of a usage report."""
        await self._report(reply, self._settle(reply.cost_usd, reply.usage, produced))

    async def account_unfinished(self, produced: str, attempts: int) -> None:
        """A call that failed or was stopped: attempts that the provider had begun to work on are billed, though nobody
        reports how much."""
        if not attempts:
            self.session.ledger.release(self.reservation)
            return
        with suppress(TimeoutError):  # it may not have been needed so far
            async with asyncio.timeout(PRICE_PATIENCE_S):
                await self.session.llm.price_of(self.model)
        guess = Usage(attempts * self.prompt_tokens, estimate_text(produced))
        await self._report(LLMResult("", finish_reason="interrupted"), self._settle(None, guess, produced))

    async def account_lost(self, attempts: int) -> None:
        """Charge attempts that broke before the one that was answered; they are billed all the same."""
        known_usd, worst_usd = model_call_usd(self.price, attempts * self.prompt_tokens, 0)
        lost_usd = in_usd(micro(worst_usd if known_usd is None else known_usd))  # as the ledger counts it
        if not lost_usd:
            return
        self.session.ledger.charge_lost(self.reservation.kind, lost_usd)
        await self._report(LLMResult("", finish_reason="lost"), Settled(lost_usd, known=False, warning=None))

    def _settle(self, cost_usd: float | None, usage: Usage | None, text: str) -> Settled:
        if cost_usd is not None:
            reported_zero = usage is not None and usage.cost_usd == 0
            return self.session.ledger.settle(self.reservation, cost_usd, measured_zero=reported_zero)
        prompt = usage.prompt_tokens if usage else self.prompt_tokens
        completion = usage.completion_tokens if usage else estimate_text(text)
        _, unknown_usd = model_call_usd(None, prompt, completion)
        guess_usd, _ = model_call_usd(self.price, prompt, completion)
        worst_usd = unknown_usd if guess_usd is None else guess_usd
        return self.session.ledger.settle(self.reservation, None, worst_usd=worst_usd)

    async def _report(self, reply: LLMResult, settled: Settled) -> None:
        await report_call(self.session, self.model, self.reservation.kind, reply, settled)


async def report_abandoned(session: Session, kind: str, settled: Settled) -> None:
    """Report a call that was charged without waiting for its end, which did not come in time."""
    await report_call(session, session.model_name, kind, LLMResult("", finish_reason="interrupted"), settled)


async def report_call(session: Session, model: str, kind: str, reply: LLMResult, settled: Settled) -> None:
    """Tell of a call that was paid for, or may have been, and of what is spent now."""
    counts = asdict(reply.usage) if reply.usage else {}
    counts.pop("cost_usd", None)  # the provider's own figure; reply.cost_usd is what we make of it
    # What nobody has reported the cost of, and is known all the same: a call that costs nothing.
    cost_usd = settled.charged_usd if reply.cost_usd is None and settled.known else reply.cost_usd
    await session.send_event(
        LLMCall(
            model=model,
            kind=kind,
            latency_ms=reply.latency_ms,
            finish_reason=reply.finish_reason,
            cost_usd=cost_usd,
            cost_known=settled.known,
            charged_usd=settled.charged_usd,
            window_tokens=session.history.model_max_tokens,
            context_tokens=session.history.usage_tokens,
            **counts,
        )
    )
    if settled.charged_usd:
        await report_spending(session.payer, settled.warning)


async def report_spending(session: Session, warning: BudgetWarning | None) -> None:
    """Tell what is spent now, the person of a threshold passed, and the model when little is left."""
    ledger = session.ledger
    await session.send_event(
        BudgetStatus(ledger.spent_usd, ledger.unknown_usd, ledger.reserved_usd, ledger.cap_usd, ledger.elsewhere_usd)
    )
    if warning is None:
        return
    await session.send_event(ToolLog("system", warning.text))
    if warning.share >= TELL_MODEL_AT_SHARE:
        session.inbox.note(render("guards/budget_low", share=warning.share))
