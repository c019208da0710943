"""What a call was found to be about when the person was asked, so that nothing else is done when it runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_REMEMBERED = 64
_NAMED = 5


class Approved:
    """The files of the last calls that were looked into, by the calls' arguments: a name and its stamp each.

    A stamp is any text that is another one when the file is another one.
    """

    def __init__(self) -> None:
        self._files: dict[str, dict[str, str]] = {}

    def keep(self, arguments: Mapping[str, Any], files: Mapping[str, str]) -> None:
        """Remember the files that the person is asked about."""
        key = _key(arguments)
        self._files.pop(key, None)
        self._files[key] = dict(files)
        while len(self._files) > _REMEMBERED:
            self._files.pop(next(iter(self._files)))

    def change(self, arguments: Mapping[str, Any], files: Mapping[str, str]) -> str:
        """What is different now from what was remembered, in words; "" if nothing is, or nothing was remembered."""
        before = self._files.get(_key(arguments))
        if before is None or before == files:
            return ""
        kinds = {
            "changed": [name for name, stamp in files.items() if name in before and before[name] != stamp],
            "new": [name for name in files if name not in before],
            "gone": [name for name in before if name not in files],
        }
        return "; ".join(f"{kind}: {_few(names)}" for kind, names in kinds.items() if names)


def _key(arguments: Mapping[str, Any]) -> str:
    text = json.dumps(arguments, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{', '.join(sorted(names)[:_NAMED])}{more}"
