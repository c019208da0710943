"""What the process tells its caller."""

from __future__ import annotations

from enum import IntEnum

CREDENTIAL_FAILURES = frozenset({"no_credentials", "auth", "hf_scope", "aws"})
"""Kinds of `ErrorRaised` that more or better credentials would mend."""


class ExitCode(IntEnum):
    """Exit codes of `ml-intern`; the README documents them."""

    OK = 0
    ERROR = 1
    USAGE = 2
    CREDENTIALS = 3
    ITERATION_LIMIT = 4
    BUDGET = 5
    APPROVAL = 6
    INTERRUPTED = 130
    TERMINATED = 143
