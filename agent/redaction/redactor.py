"""Taking secrets out of what leaves the journal: exports, uploads, pages, notifications, logs.

Out of scope, since no look at a text can tell: a secret put together from several strings or cut in two by anything
but the lines of a key file, an unquoted word of a person as a password in prose or under a lower-case name, and keys
without prefix and name (old W&B keys look like git commits).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from agent.light_dataclass import dataclass
from agent.redaction.assigned import find_assigned, is_secret_value
from agent.redaction.found import LABEL, apart, replaced
from agent.redaction.key_files import JWK_MEMBERS, find_key_files
from agent.redaction.live import LiveSecrets
from agent.redaction.names import secrecy
from agent.redaction.paired import find_paired
from agent.redaction.shapes import find_shapes

MAX_DEPTH = 50
"""Data and JSON in JSON nested more deeply is treated as text."""
MAX_FINDINGS, EXCERPT_CHARS = 50, 80
_MAX_ROUNDS = 20
_LABELS = re.compile(r"\[REDACTED(?:_([A-Z_]+)|:([^\]\n]{1,80}))?\]")
_JSON_PIECE = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\],]', re.DOTALL)
_FLAG = re.compile(r"--?[A-Za-z][\w-]{0,60}")
_HEADER = re.compile(r"(?i:[a-z0-9]{1,30}(?:-[a-z0-9]{1,30}){1,6}|authorization|cookie)")
_SCHEMA_KEYS = frozenset(
    "type description title $ref format enum required name namespace algorithm alg mode kind path".split()
)
"""What is said of a secret: by a JSON schema of a field that is called like one, by settings of where one is."""

T = TypeVar("T")


class RedactionError(Exception):
    """Something could not be redacted; it must not be written or sent. Holds nothing of the text."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where something was replaced: its kind, and what is around it, redacted."""

    kind: str
    excerpt: str


class Redactor:
    """Replaces secrets: the exact values of those this program holds first, then everything that looks like one.

    `counts` says what was replaced so far, by kind, and `findings` where, for the first few.
    """

    def __init__(self, live: LiveSecrets | None = None) -> None:
        """`live`: the secrets that are known by value."""
        self._live = live
        self.counts: Counter[str] = Counter()
        self.findings: list[Finding] = []

    def text(self, text: str) -> str:
        """`text` (prose, code, logs, perhaps JSON) without secrets. What was valid Python or JSON still is.

        Raises `RedactionError`, never returns something half done.
        """
        return _closed(self._text, text)

    def data(self, value: Any) -> Any:
        """A redacted copy of JSON-like `value`: every string, and whatever lies under a key that names a secret.

        Tuples become lists. Raises `RedactionError`, also for what JSON does not have.
        """
        return _closed(lambda item: self._data(item, _Place()), value)

    def json_text(self, text: str) -> str:
        """`text` that is a JSON document, as the arguments of a tool call are: redacted by its keys, all else of it as
        it is written. A text that is none is redacted as text. Raises `RedactionError`."""
        return _closed(lambda item: self._string(item, _Place()), text)

    # --- texts -------------------------------------------------------------------------------------------------------

    def _text(self, text: str) -> str:
        return self._noted(text, self._scrubbed(text))

    def _scrubbed(self, text: str) -> str:
        result = self._live.scrub(text) if self._live is not None else text
        for _ in range(_MAX_ROUNDS):  # what is replaced may have hidden something else
            found = apart([*find_shapes(result), *find_assigned(result), *find_paired(result)])
            if not found:
                break
            result = replaced(result, found)
        else:
            raise RedactionError("a text does not come to an end of its secrets")
        return result

    def _noted(self, text: str, result: str) -> str:
        """`result`, with all counted that is in it and was not in `text`."""
        if result is text or result == text:
            return result
        before = Counter(match[0] for match in _LABELS.finditer(text)) if "[REDACTED" in text else Counter[str]()
        for match in _LABELS.finditer(result):
            if before[match[0]] > 0:
                before[match[0]] -= 1
                continue
            kind = match[1] or match[2] or "SECRET"
            self.counts[kind] += 1
            if len(self.findings) < MAX_FINDINGS:
                margin = max(10, (EXCERPT_CHARS - len(match[0])) // 2)
                around = result[max(0, match.start() - margin) : match.end() + margin]
                self.findings.append(Finding(kind, " ".join(around.split())))
        return result

    def _whole(self, name: str) -> str:
        """What stands in the place of a whole text that goes by `name`."""
        self.counts["SECRET"] += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding("SECRET", f"{name[:60]}: {LABEL}"))
        return LABEL

    # --- data --------------------------------------------------------------------------------------------------------

    def _data(self, value: Any, place: _Place) -> Any:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, str):
            return self._string(value, place)
        if place.depth >= MAX_DEPTH:
            return self._text(json.dumps(value, ensure_ascii=False))
        if isinstance(value, Mapping):
            return self._mapping(value, place)
        if isinstance(value, (list, tuple)):
            names = (place.name, *(_named_by(item, at) or place.name for at, item in enumerate(value)))
            items = self._without_key_lines(value)
            return [self._data(item, place.below(name)) for item, name in zip(items, names, strict=False)]
        raise RedactionError(f"{type(value).__name__} is nothing that JSON has")

    def _without_key_lines(self, items: Sequence[Any]) -> Sequence[Any]:
        """`items`, without the lines of a private key that are items of their own."""
        if not any(isinstance(item, str) and "PRIVATE KEY" in item for item in items):
            return items
        text = json.dumps([item if isinstance(item, str) else None for item in items])
        lines = json.loads(self._without_keys(text))
        return [line if isinstance(item, str) else item for item, line in zip(items, lines, strict=True)]

    def _without_keys(self, text: str) -> str:
        return self._noted(text, replaced(text, apart(find_key_files(text))))

    def _mapping(self, value: Mapping[Any, Any], place: _Place) -> dict[Any, Any]:
        paired = _paired_name(value)
        keys = _Keys(self._text, value)
        result = {}
        for key, item in value.items():
            name = paired if paired and key == "value" else _name_below(key, place.name)
            name = _JWK_NAME if "kty" in value and key in JWK_MEMBERS else name
            result[keys.new(key) if isinstance(key, str) else key] = self._data(item, place.below(name))
        return result

    def _string(self, text: str, place: _Place) -> str:
        """A text below the key `place.name`."""
        if text[:1] in _OPENS and (text.lstrip()[:1] in ("{", "[")) and place.depth < MAX_DEPTH and _is_json(text):
            return self._document(text, place)
        scrubbed = self._scrubbed(text)
        if place.name and is_secret_value(place.name, scrubbed):
            return self._whole(place.name)  # and nothing of what else is in it is noted
        return self._noted(text, scrubbed)

    def _document(self, text: str, place: _Place) -> str:
        """JSON with its strings replaced one by one: numbers, spaces and the order of things stay as they are."""
        whole, is_jwk = text, '"kty"' in text
        text = self._without_keys(text) if "PRIVATE KEY" in text else text
        pieces: list[str] = []
        done, level = 0, _Level(place.name)
        stack: list[_Level] = []
        keys = _Keys(self._text, ())
        for match in _JSON_PIECE.finditer(text):
            mark = match[0]
            if mark in "{[":
                stack.append(level)
                level = level.inner(is_object=mark == "{")
            elif mark in "}]":
                level = stack.pop()
            elif mark == ",":
                level.next()
            else:
                old = json.loads(mark)
                is_key = level.is_object and not level.key
                name = _JWK_NAME if is_jwk and level.is_object and level.key in JWK_MEMBERS else level.name_of(old)
                new = keys.new(old) if is_key else self._string(old, place.below(name, len(stack) + 1))
                if is_key:
                    level.key = old or " "
                if new != old:
                    pieces += (text[done : match.start()], json.dumps(new, ensure_ascii=mark.isascii()))
                    done = match.end()
        result = "".join((*pieces, text[done:]))
        if result != whole and not _is_json(result):
            raise RedactionError("a JSON document would not be one any more")
        return result


# --- where in a document ---------------------------------------------------------------------------------------------

_OPENS = ("{", "[", " ", "\n", "\t", "\r")


@dataclass(frozen=True, slots=True)
class _Place:
    """How deep something is, and the name of the secret that it is or is a part of ("" for none)."""

    name: str = ""
    depth: int = 0

    def below(self, name: str, levels: int = 1) -> _Place:
        return _Place(name, self.depth + levels)


@dataclass(slots=True)
class _Level:
    """An object or list of a document while it is read; `inherited` is the name of the secret that it belongs to."""

    inherited: str
    is_object: bool = False
    key: str = ""
    said: str = ""
    """In an object what `"name"` says of its `"value"`, in a list the flag before."""
    at: int = 0
    """Which item of a list it is."""

    def next(self) -> None:
        self.key = ""
        self.at += 1

    def name_of(self, text: str) -> str:
        """The name of the secret that `text` may be."""
        if not self.is_object:
            name, self.said = self.said or self.inherited, _named_by(text, self.at)
            return name
        if self.key in _NAMES and secrecy(text) != "no":
            self.said = text
        if self.key == "value" and self.said:
            return self.said
        return _name_below(self.key, self.inherited)

    def inner(self, *, is_object: bool) -> _Level:
        """What begins here."""
        return _Level(_name_below(self.key, self.inherited) if self.is_object else self.inherited, is_object)


def _name_below(key: Any, inherited: str) -> str:
    """The name of the secret under `key` of an object that belongs to `inherited`."""
    if isinstance(key, str) and secrecy(key) != "no":
        return key
    return "" if key in _SCHEMA_KEYS else inherited


_JWK_NAME = "private_key"
_NAMES = ("name", "key", "header", "variable")


def _paired_name(value: Mapping[Any, Any]) -> str:
    """The secret that is named in an object such as `{"name": "HF_TOKEN", "value": "..."}`; "" if there is none."""
    if "value" not in value:
        return ""
    named = (value.get(key) for key in _NAMES)
    return next((name for name in named if isinstance(name, str) and secrecy(name) != "no"), "")


class _Keys:
    """New names for the keys of objects that hold a secret: the same for the same, and different for different ones."""

    def __init__(self, redact: Callable[[str], str], taken: Any) -> None:
        self._redact, self._new = redact, dict[str, str]()
        self._taken = set(taken)

    def new(self, key: str) -> str:
        if key not in self._new:
            base = new = self._redact(key)
            number = 1
            while new != key and new in self._taken:
                number += 1
                new = f"{base} {number}"
            self._taken.add(new)
            self._new[key] = new
        return self._new[key]


def _named_by(item: Any, at: int) -> str:
    """The name of the secret that follows `item` in a list: a flag, or the name of a header that is the first of it."""
    if not isinstance(item, str) or secrecy(item) == "no":
        return ""
    if _FLAG.fullmatch(item) is not None:
        return item
    return "token" if at == 0 and _HEADER.fullmatch(item) is not None else ""  # it may be a list of headers' names


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _closed(work: Callable[[Any], T], value: Any) -> T:
    """What `work` makes of `value`; whatever goes wrong in it is a `RedactionError` that quotes nothing."""
    try:
        return work(value)
    except RedactionError:
        raise
    except Exception as error:  # noqa: BLE001 - nothing half redacted may leave, whatever it was
        raise RedactionError(f"redaction failed: {type(error).__name__}") from None
