"""The operations of the tools for repositories on the Hub, as a table: a call of one, and what becomes of a failure."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from agent.hub.account import HubAccount, Threshold
from agent.hub.errors import HubError
from agent.hub.repos import REPO_TYPES, Repo, types_of
from agent.light_dataclass import dataclass
from agent.protocol.compute import FailureKind
from agent.protocol.tools import Handler, ToolResult, ToolSession
from agent.tools.arguments import ArgumentError
from agent.tools.files import FileToolError
from agent.tools.hub_words import is_missing, operation_name, optional_text, read_repo, require_plain

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")


class Artifacts(Protocol):
    """Repositories that this session has made, and what is done so that they can be found again (tags, a collection).

    Both know a repository by `owner/name` and type.
    """

    def known(self, repo_id: str, repo_type: str) -> bool:
        """Whether it was made in this session."""

    async def made(
        self,
        repo_id: str,
        repo_type: str,
        *,
        session_id: str,
        card: bool = False,
        extra: Mapping[str, str] = {},
    ) -> None:
        """It is there now, or has a new commit on its main branch. `card`: its README.md was replaced. `extra` is for
        the card's metadata. Never raises."""


# --- calls -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation, its repository already read from the arguments."""

    account: HubAccount
    artifacts: Artifacts | None
    session: ToolSession
    arguments: Mapping[str, Any]
    repo: Repo
    id: str = ""

    @property
    def url(self) -> str:
        """The repository's page."""
        return self.account.url(self.repo.id, self.repo.type)

    def text(self, name: str, default: str = "") -> str:
        """A string argument without blanks around it, or `default` if it is absent or empty."""
        return optional_text(self.arguments, name) or default

    async def look(self, work: Callable[[HfApi], T], doing: str) -> T:
        """Ask the Hub; tried again where that may help. Raises HubError."""
        return await self.account.read(work, f"{doing} {self.repo}")

    async def change(
        self,
        work: Callable[[HfApi], T],
        doing: str,
        *,
        threshold: Threshold | None = None,
    ) -> T:
        """Change something on the Hub, tried once. Raises HubError.

        Stopped, it is held back if it has not begun. `threshold` is for work that crosses it by itself, later than at
        its beginning.
        """
        edge = threshold or Threshold()

        def begun(api: HfApi) -> T:
            if threshold is None:
                edge.cross()
            return work(api)

        try:
            return await self.account.call(begun, f"{doing} {self.repo}", threshold=edge)
        except asyncio.CancelledError:
            if edge.is_crossed:
                became = "It was on its way to the Hub already, and may still be done: look before you try again."
            else:
                became = "It had not begun: nothing has changed on the Hub."
            self.session.keep_partial(self.id, f"Stopped while {doing} {self.repo}. {became}")
            raise

    async def keep(self, *, card: bool = False, extra: Mapping[str, str] | None = None) -> None:
        """Tell those who look after this session's repositories that this one was made or changed."""
        if self.artifacts is not None:
            await self.artifacts.made(
                self.repo.id, self.repo.type, session_id=self.session.session_id, card=card, extra=extra or {}
            )

    @property
    def is_artifact(self) -> bool:
        """Whether this session has made the repository."""
        return self.artifacts is not None and self.artifacts.known(self.repo.id, self.repo.type)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a tool. `run` may raise HubError, ArgumentError and FileToolError.

    `needs`: arguments without which it makes no sense. `verify` raises ArgumentError for what is wrong with the others
    (no network). `looks`: it changes nothing. `takes_bare_name`: a name without owner is the person's own. `advice` is
    the next step after a failure of a kind, where the error cannot know it.
    """

    run: Callable[[Call], Awaitable[ToolResult]]
    needs: tuple[str, ...] = ()
    looks: bool = False
    verify: Callable[[Mapping[str, Any]], object] = field(default=lambda _arguments: None)
    takes_bare_name: bool = False
    advice: Mapping[FailureKind, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operations:
    """All operations of a tool, by name, and what the loop asks about a call of it."""

    tool: str
    table: Mapping[str, Operation]

    def handler(self, account: HubAccount, artifacts: Artifacts | None) -> Handler:
        """The tool's handler: whatever goes wrong becomes a failed result."""

        async def handle(arguments: dict[str, Any], session: ToolSession, tool_call_id: str) -> ToolResult:
            if not operation_name(arguments):
                return ToolResult(self.usage())
            try:
                operation, repo = self.read(arguments)
                call = Call(account, artifacts, session, arguments, await _with_owner(repo, account), tool_call_id)
            except (ArgumentError, HubError) as error:
                return ToolResult(str(error), ok=False)
            try:
                return await operation.run(call)
            except (ArgumentError, FileToolError) as error:
                return ToolResult(str(error), ok=False)
            except HubError as error:
                return ToolResult(await _explained(error, call, operation), ok=False)

        return handle

    def read(self, arguments: Mapping[str, Any]) -> tuple[Operation, Repo]:
        """The operation and the repository of a call. Raises ArgumentError for all that is wrong with it."""
        name = operation_name(arguments)
        operation = self.table.get(name)
        if operation is None:
            raise ArgumentError(f"There is no operation {name[:40]!r}. {self.tool} has: {', '.join(self.table)}.")
        missing = [need for need in ("repo_id", *operation.needs) if is_missing(arguments.get(need))]
        if missing:
            raise ArgumentError(f"{name} needs {' and '.join(f'`{each}`' for each in missing)}.")
        repo = read_repo(arguments, takes_bare_name=operation.takes_bare_name)
        require_plain(arguments)
        operation.verify(arguments)
        return operation, repo

    def check(self, arguments: Mapping[str, Any], _session: ToolSession) -> str | None:
        """Why a call would fail, as far as its arguments tell."""
        if not operation_name(arguments):
            return None
        try:
            self.read(arguments)
        except ArgumentError as error:
            return str(error)
        return None

    def only_looks(self, arguments: Mapping[str, Any], _workspace: Path) -> bool:
        """Whether a call changes nothing. One without an operation gets the usage."""
        operation = self.table.get(operation_name(arguments))
        return operation.looks if operation is not None else not operation_name(arguments)

    def subject(self, account: HubAccount) -> Callable[[Mapping[str, Any], Path], str]:
        """For permission rules: `upload dataset/org/name`. A bare name has the person's own before it, `*` as long as
        that is not known."""

        def subject(arguments: Mapping[str, Any], _workspace: Path) -> str:
            kind = " ".join(str(arguments.get("repo_type") or "model").split()).lower()
            repo_id = str(arguments.get("repo_id") or "").strip()
            owner = "" if "/" in repo_id or not repo_id else f"{account.known_name or '*'}/"
            return f"{operation_name(arguments)} {kind}/{owner}{repo_id}"

        return subject

    def usage(self) -> str:
        """What there is to do, a line each."""
        lines = [f"- {name}: {', '.join(('repo_id', *each.needs))}" for name, each in self.table.items()]
        return "\n".join([f"{self.tool} wants an `operation`. These are there, with what they need:", *lines])


async def _with_owner(repo: Repo, account: HubAccount) -> Repo:
    """A bare name is the person's own repository. Raises HubError."""
    return repo if "/" in repo.id else Repo(f"{(await account.whoami()).name}/{repo.id}", repo.type)


# --- failures --------------------------------------------------------------------------------------------------------

_ADVICE: Mapping[FailureKind, str] = {
    "gated": "Its page is {url}.",
    "conflict": "Look at what is there, then decide.",
}
_UNHEARD: frozenset[FailureKind] = frozenset({"network", "server"})
"""After these nobody knows whether a change has been made."""


async def _explained(error: HubError, call: Call, operation: Operation) -> str:
    """A failure with its cause and the next step."""
    said = str(error) if call.repo.id in str(error) else f"{call.repo}: {error}"
    advice = operation.advice.get(error.kind) or _ADVICE.get(error.kind, "")
    if error.missing == "repository":
        advice = await _other_types(call)
    elif error.missing == "revision":
        advice = "hf_repo_git list_refs shows what there is."
    elif error.kind in _UNHEARD and not operation.looks:
        advice = "It may have been done all the same: look before you try again."
    return f"{said} {advice.format(url=call.url)}".rstrip()


async def _other_types(call: Call) -> str:
    """A wrong type is the usual reason why a repository is not found."""
    others = [each for each in REPO_TYPES if each != call.repo.type]
    with contextlib.suppress(HubError):
        if found := await call.account.call(lambda api: types_of(api, call.repo.id, others)):
            return f'There is a {" and a ".join(found)} of this id: set repo_type="{found[0]}".'
    return ""
