"""Names of files on the Hub, for people and model to read."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from agent.hub.errors import HubError
from agent.hub.repos import list_tree
from agent.tools.hub_operations import Call

MAX_SCANNED = 10_000
"""A listing stops after so many files and directories."""
SHOWN_NAMES = 20


async def near(call: Call, revision: str, wanted: Sequence[str]) -> str:
    """Which files there are that could have been meant."""
    try:
        found = await call.look(lambda api: list_tree(api, call.repo, revision, limit=MAX_SCANNED), "listing")
    except HubError:
        return "list shows what there is."
    folders = [each for each in wanted if any(entry.path == each.rstrip("/*") for entry in found.entries)]
    if folders:
        name = folders[0].rstrip("/*")
        return f"{name} is a directory: list shows its files, the pattern {name}/* fits all of them."
    paths = [entry.path for entry in found.files]
    alike = [name for each in wanted for name in difflib.get_close_matches(each, paths, n=5, cutoff=0.5)]
    base = {each.rpartition("/")[2].casefold() for each in wanted}
    alike += [path for path in paths if path.rpartition("/")[2].casefold() in base]
    if alike:
        return f"Similar: {names(list(dict.fromkeys(alike)))}."
    return f"There are: {names(paths)}." if paths else "There are no files."


def names(paths: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(paths) - SHOWN_NAMES:,} more" if len(paths) > SHOWN_NAMES else ""
    return f"{', '.join(paths[:SHOWN_NAMES])}{more}"
