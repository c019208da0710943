"""What a request to the sandbox's server has to look like. Standard library only."""

from __future__ import annotations

import json
from typing import Any


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, detail: str, kind: str = "") -> None:
        super().__init__(detail)
        self.status, self.kind = status, kind


class Fields:
    """The JSON object of a request, its values checked: 422 for what does not fit."""

    def __init__(self, body: bytes) -> None:
        try:
            value = json.loads(body)
        except ValueError as error:
            raise Refused(422, f"The body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise Refused(422, "The body must be a JSON object.")
        self._values: dict[str, Any] = {key: each for key, each in value.items() if each is not None}

    def _get(self, name: str, kind: type | tuple[type, ...], what: str, default: Any) -> Any:
        value = self._values.get(name, default)
        if value is None:
            raise Refused(422, f"`{name}` is missing.")
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise Refused(422, f"`{name}` must be {what}.")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        return str(self._get(name, str, "text", default))

    def flag(self, name: str) -> bool:
        return bool(self._get(name, bool, "true or false", False))

    def number(self, name: str, default: int) -> int:
        return int(self._get(name, int, "a whole number", default))

    def seconds(self, name: str, default: float | None) -> float | None:
        if default is None and name not in self._values:
            return None
        value = float(self._get(name, (int, float), "a number of seconds", default))
        if not value > 0:
            raise Refused(422, f"`{name}` must be more than 0.")
        return value

    def env(self, name: str) -> dict[str, str]:
        value = self._get(name, dict, "an object of texts", {})
        if not all(isinstance(each, str) for each in value.values()):
            raise Refused(422, f"`{name}` must be an object of texts.")
        return dict(value)
