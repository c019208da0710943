"""Keeping secrets out of what lasts: the exact values of live secrets are replaced wherever text leaves the program.

Part F adds patterns for secrets we do not hold; the exact values come first, because they cannot be missed and cannot
damage code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

SECRET_NAME = re.compile(
    r"TOKEN|API_?KEY|SECRET|PASSWORD|PASSWD|ACCESS_KEY|CREDENTIAL|AUTHORIZATION|(^|_)(KEY|PAT|PASS|PWD|PASSPHRASE)$",
    re.IGNORECASE,
)
NOT_SECRET_NAME = re.compile(
    r"^(OLD)?PWD$|(_FILE|_PATH|_DIR|_URL|TOKENIZERS_PARALLELISM|MAX_TOKENS|APPLICATION_CREDENTIALS)$", re.IGNORECASE
)
SHORTEST_SECRET = 8


def is_secret_name(name: str) -> bool:
    """Whether an environment variable of this name is likely to hold a secret."""
    return bool(SECRET_NAME.search(name)) and not NOT_SECRET_NAME.search(name)


def child_environment(environ: Mapping[str, str], allowed: tuple[str, ...] = ()) -> dict[str, str]:
    """`environ` without secrets, for child processes; names in `allowed` stay."""
    return {name: value for name, value in environ.items() if name in allowed or not is_secret_name(name)}


class LiveSecrets:
    """The secrets this process holds, by value."""

    def __init__(self, environ: Mapping[str, str], extra: Mapping[str, str | None] | None = None) -> None:
        """Collects values of secret-looking variables of `environ` and of `extra` (name to value)."""
        found = {value: name for name, value in environ.items() if is_secret_name(name)}
        found |= {value: name for name, value in (extra or {}).items() if value}
        self._names: dict[str, str] = {}
        for value, name in found.items():
            self._learn(name, value)
        self._pattern = self._compiled()

    def add(self, name: str, value: str | None) -> None:
        """One more secret, learned later."""
        if value:
            self._learn(name, value)
            self._pattern = self._compiled()

    def _learn(self, name: str, value: str) -> None:
        if len(value) >= SHORTEST_SECRET:
            self._names |= dict.fromkeys(_spellings(value), name)

    def _compiled(self) -> re.Pattern[str] | None:
        longest_first = sorted(self._names, key=len, reverse=True)
        return re.compile("|".join(re.escape(value) for value in longest_first)) if longest_first else None

    def scrub(self, text: str) -> str:
        """`text` with every known secret replaced by `[REDACTED:NAME]`."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: f"[REDACTED:{self._names[match.group(0)]}]", text)

    def scrub_data(self, value: Any) -> Any:
        """JSON-like `value` with every string scrubbed, dictionary keys included."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, dict):
            return {self.scrub_data(key): self.scrub_data(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.scrub_data(item) for item in value]
        return value


def _spellings(value: str) -> set[str]:
    """`value` as it is, and as it reads inside of JSON text: a key file in the arguments of a call has no line ends."""
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
