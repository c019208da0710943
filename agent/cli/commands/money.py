"""Commands about what the session costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.cells import cell_len

from agent.cli.commands.registry import command
from agent.cli.status import Conversation, KindUsage
from agent.protocol.events import BudgetStatus
from agent.protocol.money import format_usd
from agent.protocol.operations import OpType
from agent.ui.limits import spent_text
from agent.ui.sanitize import clip

if TYPE_CHECKING:
    from agent.cli.app import App

_HEADINGS = ("", "calls", "tokens in", "cached", "out", "cost")


@command("budget", "[usd|off]", group="Money")
async def budget(app: App, argument: str) -> None:
    """Show what is spent, or set the most it may be."""
    if argument:
        cap_usd = None if argument.lower() == "off" else _amount(argument)
        if cap_usd is None and argument.lower() != "off":
            app.complain("Say an amount in US dollars, such as /budget 5, or /budget off.")
            return
        await app.operate(OpType.CONFIGURE, {"cap_usd": cap_usd})
    app.say(cap_text(app.status.budget))


@command("cost", group="Money", at_once=True)
async def cost(app: App, _argument: str) -> None:
    """Show tokens and money spent, by kind of call."""
    now = app.status.conversation
    rows = [_HEADINGS, *(_row(kind, usage) for kind, usage in now.usage.items())]
    rows += [(clip(tool, 40), str(usage.calls), "", "", "", _kind_cost(usage)) for tool, usage in now.tools.items()]
    if now.earlier_cost_usd or not now.earlier_cost_known:
        unknown = "" if now.earlier_cost_known else " and calls of unknown price"
        rows.append(("before resuming", "", "", "", "", f"{format_usd(now.earlier_cost_usd)}{unknown}"))
    rows.append(("total", str(sum(usage.calls for usage in now.costs)), "", "", "", cost_text(now)))
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for name, *figures, money in rows:
        columns = [f"{text:>{width}}" for text, width in zip(figures, widths[1:], strict=False)]
        app.say("  ".join([f"{name:<{widths[0]}}", *columns, money]).rstrip())


def cost_text(conversation: Conversation) -> str:
    """The known part of the cost, and how much more the calls of unknown price can have cost; never a made-up 0."""
    known = format_usd(conversation.cost_usd)
    if conversation.cost_known:
        return known
    return f"{known} and {_unknown(conversation.unknown_usd)}"


def cap_text(budget: BudgetStatus) -> str:
    """`$1.20 of $5.00 spent, $3.80 left`."""
    if budget.cap_usd is None:
        return f"{spent_text(budget)}; no cap"
    left_usd = max(0.0, budget.cap_usd - budget.elsewhere_usd - budget.spent_usd - budget.reserved_usd)
    return f"{spent_text(budget)}; {format_usd(left_usd)} left"


def _row(kind: str, usage: KindUsage) -> tuple[str, ...]:
    tokens = (f"{number:,}" for number in (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens))
    return (kind, str(usage.calls), *tokens, _kind_cost(usage))


def _kind_cost(usage: KindUsage) -> str:
    if not usage.unknown_calls:
        return format_usd(usage.cost_usd)
    unknown = _unknown(usage.unknown_usd)
    return unknown if usage.unknown_calls == usage.calls else f"{format_usd(usage.cost_usd)} and {unknown}"


def _unknown(up_to_usd: float) -> str:
    return f"price unknown, up to {format_usd(up_to_usd)}" if up_to_usd else "price unknown"


def _amount(text: str) -> float | None:
    """US dollars, None if `text` is no amount."""
    try:
        amount_usd = float(text.removeprefix("$"))
    except ValueError:
        return None
    return amount_usd if math.isfinite(amount_usd) and amount_usd >= 0 else None
