"""The person's dataset of sessions on the Hub: who can read it, and changing that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from agent.hub.account import HubAccount, Threshold
from agent.hub.errors import HubError
from agent.light_dataclass import dataclass

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Visibility = Literal["private", "public"]

LIMIT_S = 10.0
"""How long one answer of the Hub may take: the person is waiting for it at the prompt."""
SESSIONS_DIR = "sessions/"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as the Hub has it. `visibility` None: it is not there yet; `sessions` counts the files of sessions."""

    repo_id: str
    visibility: Visibility | None
    sessions: int = 0


async def look_up(account: HubAccount, repo_id: str) -> Dataset:
    """What the Hub says of the dataset, asked once. Raises HubError."""
    try:
        info = await account.call(lambda api: api.dataset_info(repo_id), f"looking up {repo_id}", limit_s=LIMIT_S)
    except HubError as error:
        if error.kind == "not_found":
            return Dataset(repo_id, None)
        raise
    names = [sibling.rfilename for sibling in info.siblings or ()]
    sessions = sum(name.startswith(SESSIONS_DIR) and name.endswith(".jsonl") for name in names)
    return Dataset(repo_id, "private" if info.private else "public", sessions)


async def set_visibility(
    account: HubAccount, repo_id: str, visibility: Visibility, threshold: Threshold | None = None
) -> None:
    """Make the dataset private or public; where there is none, make one. Raises HubError.

    `threshold` is crossed right before its visibility is changed: whoever stops waiting before that stops the change.
    """
    edge = threshold or Threshold()

    def change(api: HfApi) -> None:
        # private in any case: `exist_ok` leaves one that is there as it is, and a new one is never public by accident
        api.create_repo(repo_id, repo_type="dataset", private=True, exist_ok=True)
        edge.cross()
        api.update_repo_settings(repo_id, repo_type="dataset", private=visibility == "private")

    await account.call(change, f"making {repo_id} {visibility}", limit_s=2 * LIMIT_S, threshold=edge)
