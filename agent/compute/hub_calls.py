"""Calls to the Hub from here: bounded in time, with `ComputeError` for whatever goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from agent.hub.account import HubAccount
from agent.hub.errors import HubError
from agent.protocol.compute import ComputeError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

REPLY_S = 90.0
"""So long an answer is waited for, all attempts together. The client itself would wait for ever."""


def as_compute_error(error: HubError, *, nothing_started: bool = False) -> ComputeError:
    """The same failure, as the users of a backend know it."""
    return ComputeError(str(error), error.kind, nothing_started=nothing_started)


async def hub_call(
    account: HubAccount, work: Callable[[HfApi], T], doing: str, *, again: bool, reply_s: float = REPLY_S
) -> T:
    """`work` through the account, tried again where `again` and that may help. Raises HubError, also when no answer
    came within `reply_s`: what was asked for may have happened nevertheless."""
    return await in_time((account.read if again else account.call)(work, doing), doing, reply_s)


async def in_time(answer: Awaitable[T], doing: str, reply_s: float = REPLY_S) -> T:
    """`answer`; HubError when it takes longer than `reply_s`."""
    try:
        async with asyncio.timeout(reply_s):
            return await answer
    except TimeoutError:
        text = f"{doing[0].upper()}{doing[1:]} failed: the Hub did not answer within {reply_s:.0f} s. Try again."
        raise HubError(text, "network") from None


async def require_own(account: HubAccount, namespace: str | None, what: str) -> None:
    """The Hub tells whoever may not see a thing that there is none: only for one of the token's own namespaces does
    that mean that it is gone. Raises ComputeError: `forbidden` for another's, and what asking for them raises."""
    if namespace is None:
        return
    try:
        who = await in_time(account.whoami(), "asking the Hub whose token this is")
    except HubError as error:
        raise as_compute_error(error) from error
    if namespace.casefold() in {name.casefold() for name in (who.name, *who.orgs)}:
        return
    text = (
        f"The Hub does not show {what} to {who.name or 'this token'}, who is no member of {namespace}: it may well be "
        f"there. Sign in as {namespace} or one of its members (`hf auth login`, or HF_TOKEN), then try again."
    )
    raise ComputeError(text, "forbidden")


async def account_name(account: HubAccount) -> str:
    """Whose token it is. Raises ComputeError."""
    try:
        return (await in_time(account.whoami(), "asking the Hub whose token this is")).name
    except HubError as error:
        raise as_compute_error(error, nothing_started=True) from error


async def ask(account: HubAccount, work: Callable[[HfApi], T], doing: str, *, again: bool = True) -> T:
    """Like `hub_call`, raising ComputeError. `again`: for what may be asked twice."""
    try:
        return await hub_call(account, work, doing, again=again)
    except HubError as error:
        raise as_compute_error(error) from error
