"""Commands whose subsystem is not there yet: each says what to do until it is."""

from __future__ import annotations

from agent.cli.commands.registry import unavailable

unavailable(
    "share-traces",
    "Sessions are not uploaded yet and nothing leaves this machine: /export writes this one to a file to pass on.",
)
