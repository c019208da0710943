"""What the Hub says of a Space, and what opens the sandbox in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from agent.light_dataclass import dataclass

AWAKE = ("RUNNING", "SLEEPING")
"""Where a request is worth trying: it also wakes what sleeps."""

FAILED_STAGES: Mapping[str, str] = {
    "BUILD_ERROR": "its image could not be built",
    "RUNTIME_ERROR": "its server ended at once",
    "CONFIG_ERROR": "its configuration was refused",
    "NO_APP_FILE": "the Hub finds nothing to run in it",
    "PAUSED": "it was paused",
    "STOPPED": "it was stopped",
    "DELETING": "it is being deleted",
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the Hub says of a Space that runs, or not: its own word, and the hardware it has or will have."""

    stage: str
    hardware: str | None
    requested: str | None
    message: str | None = None
    commit: str | None = None
    """Which commit it runs, where the Hub says so."""


@dataclass(frozen=True, slots=True)
class Key:
    """What opens a sandbox: `api_token` its server's door. `command_env` goes along with each command, and only to the
    server that tells of `build`; None: which one runs is not known, and none gets it."""

    api_token: str = field(repr=False)
    build: str | None = None
    command_env: Mapping[str, str] = field(default_factory=dict, repr=False)


def may_answer(runtime: Runtime, hardware: str | None, commit: str | None) -> bool:
    """Whether its server may be the one that is waited for."""
    is_it = None in (commit, runtime.commit) or commit == runtime.commit
    return is_it and runtime.stage in AWAKE and hardware in (None, runtime.hardware, runtime.requested)
