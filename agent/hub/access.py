"""Under whose name work may run: the person's own namespace, and those of their organisations."""

from __future__ import annotations

from collections.abc import Mapping

from agent.hub.account import HubAccount
from agent.hub.errors import TOKENS_URL, HubError
from agent.light_dataclass import dataclass

_UNREACHABLE = ("network", "server", "rate_limited")


@dataclass(frozen=True, slots=True)
class JobsAccess:
    """Where the person's jobs may run.

    `pays` tells of a namespace whether the Hub says it can pay; absent: it does not say. Credit is what decides, not
    the plan: a free account with credit may run everything.
    """

    username: str
    org_names: tuple[str, ...]
    eligible_namespaces: tuple[str, ...]
    default_namespace: str | None
    pays: Mapping[str, bool]


async def jobs_access(account: HubAccount) -> JobsAccess:
    """What `whoami` tells of the namespaces. Raises HubError."""
    who = await account.whoami()
    eligible = tuple(dict.fromkeys(name for name in (who.name, *who.orgs) if name))
    return JobsAccess(who.name, who.orgs, eligible, eligible[0] if eligible else None, who.pays)


async def resolve_namespace(account: HubAccount, requested: str | None = None) -> tuple[str, JobsAccess | None]:
    """The namespace for a job: `requested` if the token may use it, else the person's own.

    When the Hub cannot tell whose token it is, `requested` is taken as it is, and None stands for what is not known.
    Raises HubError: `forbidden` for a namespace of somebody else, naming those that are allowed.
    """
    wanted = (requested or "").strip()
    try:
        access = await jobs_access(account)
    except HubError as error:
        if wanted and error.kind in _UNREACHABLE:
            return wanted, None
        raise
    if not wanted:
        if access.default_namespace is None:
            raise HubError(f"The Hub names no namespace for this token. See {TOKENS_URL}.", "forbidden")
        return access.default_namespace, access
    # names on the Hub differ by more than their case, so that may be wrong
    by_folded = {name.casefold(): name for name in access.eligible_namespaces}
    if (known := by_folded.get(wanted.casefold())) is not None:
        return known, access
    allowed = ", ".join(access.eligible_namespaces) or "none"
    raise HubError(f"This token may not run anything under {wanted}. Allowed: {allowed}.", "forbidden")
