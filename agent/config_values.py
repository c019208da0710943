"""Plain data made into the frozen sections of the settings, or every reason why it cannot be.

What a value may be is said once, by the annotation of its field: `int | None`, `Literal[...]`, `dict[str, McpServer]`,
and `Annotated[float, Before(read), After(check)]` for what a type cannot say.

Why no library checks this: pydantic takes 125 ms of every start. jsonschema-rs 0.60, the lightest that was found, takes
21 ms on its own (email.utils, decimal and socket come with it), 5 ms beside asyncio and httpx, and 7 MB of memory, and
it lets pass 2.0 as a whole number and raises on half a surrogate pair. What is left to check is a dozen rules.
`configs/config.schema.json` says the same to editors; a test holds both together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

from agent.config_loading import Key, dotted, json_kind

S = TypeVar("S", bound="Section")


class InvalidValuesError(ValueError):
    """Values that make no section: the key of each with what is wrong with it. No value is quoted."""

    def __init__(self, problems: Sequence[tuple[Key, str]]) -> None:
        super().__init__("; ".join(f"{dotted(key)}: {text}".removeprefix(": ") for key, text in problems))
        self.problems = tuple(problems)


class Before:
    """Reads what people write (`"$5"`) into what is then checked. Raises ValueError with what to write instead."""

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self.read = read


class After:
    """Looks at a value of the right type, which it returns or puts in order. Raises ValueError with what is wrong."""

    def __init__(self, check: Callable[[Any], Any]) -> None:
        self.check = check


class Section:
    """A part of the settings: a frozen dataclass whose module does not postpone its annotations.

    The constructor takes values as they are; `of` is the door for what a person wrote.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @classmethod
    def of(cls: type[S], values: object) -> S:
        """The section with these values, checked; parts may be built already.

        Raises InvalidValuesError with all problems.
        """
        reading = _Reading()
        section: S = reading.value(cls, values, ())
        if reading.problems:
            raise InvalidValuesError(reading.problems)
        return section

    @classmethod
    def key_names(cls) -> tuple[str, ...]:
        """The names of the keys, in their order."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def settle(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """`given` with keys that depend on each other brought in step, before anything is checked."""
        return given

    @classmethod
    def check_together(cls, given: Mapping[str, Any]) -> None:
        """Raises ValueError where keys that are right one by one do not go together. `given` has no defaults."""


def scalar_kind(section: type[Section], key: str) -> type | None:
    """bool, int, float or str for a key whose value is one word or number (or null), else None."""
    return _scalar_kind(next(field.type for field in fields(section) if field.name == key))


def _scalar_kind(annotation: Any) -> type | None:
    origin, members = get_origin(annotation), [kind for kind in get_args(annotation) if kind is not NoneType]
    if origin is Literal:
        return str
    if origin in (Annotated, Union, UnionType):
        return _scalar_kind(members[0])
    return annotation if annotation in _EXPECTED else None


_EXPECTED = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class _Reading:
    """One pass over the data that goes on after a problem; what a value with one becomes is not looked at."""

    def __init__(self) -> None:
        self.problems: list[tuple[Key, str]] = []

    def value(self, annotation: Any, value: Any, key: Key) -> Any:
        """`value` as `annotation` wants it."""
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self._annotated(arguments[0], arguments[1:], value, key)
        if origin in (Union, UnionType):  # `X | None` is the only kind there is
            return None if value is None else self.value(arguments[0], value, key)
        if origin is Literal:
            return value if value in arguments else self._refuse(key, f"expected one of {_choice(value, arguments)}")
        if origin is list:
            if not isinstance(value, list):
                return self._refuse(key, f"expected a list, got {json_kind(value)}")
            return [self.value(arguments[0], item, (*key, i)) for i, item in enumerate(value)]
        if origin is dict or issubclass(annotation, Section):
            return self._object(annotation, value, key)
        return self._scalar(annotation, value, key)

    def _annotated(self, annotation: Any, rules: Sequence[Before | After], value: Any, key: Key) -> Any:
        before = len(self.problems)
        try:
            for rule in rules:
                value = rule.read(value) if isinstance(rule, Before) else value
            value = self.value(annotation, value, key)
            if len(self.problems) == before:
                for rule in rules:
                    value = rule.check(value) if isinstance(rule, After) else value
        except ValueError as error:
            return self._refuse(key, str(error))
        return value

    def _object(self, annotation: Any, value: Any, key: Key) -> Any:
        is_section = isinstance(annotation, type) and issubclass(annotation, Section)
        if is_section and isinstance(value, annotation):
            return value
        if not isinstance(value, Mapping):
            return self._refuse(key, f"expected an object, got {json_kind(value)}")
        if is_section:
            return self._section(annotation, value, key)
        kind = get_args(annotation)[1]
        return {name: self.value(kind, item, (*key, name)) for name, item in value.items()}

    def _section(self, section: type[Section], given: Mapping[str, Any], key: Key) -> Any:
        before, given, values = len(self.problems), section.settle(given), dict[str, Any]()
        for field in fields(section):
            if field.name in given:
                values[field.name] = self.value(field.type, given[field.name], (*key, field.name))
            elif field.default is MISSING and field.default_factory is MISSING:
                self._refuse((*key, field.name), "missing; this key is required here")
        for name in given:
            if name not in values:
                self._refuse((*key, name), _unknown_key(name, section.key_names()))
        if len(self.problems) > before:
            return None
        try:
            section.check_together(values)
        except ValueError as error:
            return self._refuse(key, str(error))
        return section(**values)

    def _scalar(self, kind: Any, value: Any, key: Key) -> Any:
        if kind is float and type(value) in (int, float):
            return float(value) if _is_finite(value) else self._refuse(key, "must be a finite number")
        if type(value) is not kind:
            return self._refuse(key, f"expected {_EXPECTED[kind]}, got {json_kind(value)}")
        if kind is str and not _is_unicode(value):
            return self._refuse(key, "expected a text in UTF-8")
        return value

    def _refuse(self, key: Key, problem: str) -> Any:
        self.problems.append((key, problem))


# --- words and small questions ---------------------------------------------------------------------------------------


def _choice(value: object, allowed: Sequence[str]) -> str:
    hint = near_miss(value, allowed) if isinstance(value, str) else f", got {json_kind(value)}"
    return ", ".join(allowed) + hint


def _unknown_key(name: str, known: Sequence[str]) -> str:
    return f"unknown key{near_miss(name, known) or '; known here: ' + ', '.join(known)}"


def near_miss(text: str, known: Sequence[str], form: str = '"{}"') -> str:
    """`; did you mean "x"?` where one of `known` is much like `text`, else nothing."""
    from difflib import get_close_matches  # for errors only

    lower = {name.lower(): name for name in known}
    matches = get_close_matches(text.lower(), lower, n=1)
    return f"; did you mean {form.format(lower[matches[0]])}?" if matches else ""


def _is_finite(number: int | float) -> bool:
    """False for infinity, which 1e999 is read as, and for whole numbers too long for a float."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _is_unicode(text: str) -> bool:
    """False for half a surrogate pair, which is how Python holds bytes of a variable that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
