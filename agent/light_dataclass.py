"""`dataclass`, with its methods written when they are first needed.

The standard decorator writes `__init__`, `__repr__`, `__eq__`, `__hash__` and the rest as source text and compiles it,
which takes 0.4-0.8 ms a class (CPython 3.11). We have some four hundred, most of which a given run never instantiates:
a quarter of a second of every start. Here a class costs 0.05 ms, and the first use of one of its methods the rest.

`fields`, `replace`, `asdict` and `match` know what comes out, and its methods are those that `dataclasses` writes. Only
`__init__`, the one that nearly every class needs, is written here: to have a class of the same fields made for it takes
seven times as long. There is no `InitVar`, and `inspect.signature` tells nothing before the first use.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["dataclass"]

T = TypeVar("T")


def _light(cls: type[T], *, frozen: bool, eq: bool, kw_only: bool) -> type[T]:
    if not frozen and cls.__setattr__ is _refuse_setting:
        raise TypeError("cannot inherit non-frozen dataclass from a frozen one")
    if "InitVar" in " ".join(map(str, vars(cls).get("__annotations__", {}).values())):
        raise TypeError("a light dataclass has no InitVar")
    own = {name for name, value in vars(cls).items() if value is not None}  # `__eq__` alone makes `__hash__` None
    names = ["__init__", "__repr__", *(["__eq__"] if eq else []), *(["__hash__"] if eq and frozen else [])]
    made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
    if eq and not frozen and "__hash__" not in own:
        made.__hash__ = None  # type: ignore[assignment]
    missing = [name for name in names if name not in own]

    def write(name: str) -> None:
        method = _init(made, frozen=frozen) if name == "__init__" else _standard(made, name, frozen=frozen)
        method.__qualname__ = f"{made.__qualname__}.{name}"
        setattr(made, name, method)

    for name in missing:
        setattr(made, name, _at_first_use(made, name, write))
    if frozen:
        for name, function in _FROZEN.items():
            if name not in own:
                setattr(made, name, function)
    return made


def _at_first_use(made: type, name: str, write: Callable[[str], None]) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        write(name)
        return getattr(made, name)(self, *args, **kwargs)

    method.__name__ = name
    method.__qualname__ = f"{made.__qualname__}.{name}"
    return method


def _standard(made: type, name: str, *, frozen: bool) -> Any:
    """The method that `dataclasses` writes for a class of the same fields."""
    fields = [(field.name, field.type, field) for field in dataclasses.fields(made)]
    wanted = {"init": False, "repr": name == "__repr__", "eq": name in ("__eq__", "__hash__"), "frozen": frozen}
    return vars(dataclasses.make_dataclass(made.__name__, fields, **wanted))[name]  # type: ignore[arg-type]


def _init(made: type, *, frozen: bool) -> Any:
    """`__init__`, as `dataclasses` would write it."""
    names: dict[str, Any] = {"_set": object.__setattr__, "_unset": dataclasses.MISSING}
    positional, by_name, lines = ["self"], ["*"], []
    for field in dataclasses.fields(made):
        name, given = field.name, ""
        value = f"_default_{name}" if field.default is not dataclasses.MISSING else ""
        if field.default_factory is not dataclasses.MISSING:
            names[f"_factory_{name}"] = field.default_factory
            value = f"_factory_{name}()"
            given = "=_unset"
        elif value:
            names[value] = field.default
            given = f"={value}"
        if field.init:
            (by_name if field.kw_only else positional).append(name + given)
            value = f"{value} if {name} is _unset else {name}" if given == "=_unset" else name
        if value:
            lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    parameters = ", ".join([*positional, *(by_name if len(by_name) > 1 else [])])
    exec(f"def __init__({parameters}):\n    " + "\n    ".join(lines or ["pass"]), names)
    return names["__init__"]


def _refuse_setting(self: Any, name: str, _value: Any) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deleting(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


_FROZEN = {
    "__setattr__": _refuse_setting,
    "__delattr__": _refuse_deleting,
    "__getstate__": _state,
    "__setstate__": _set_state,
}
"""What all frozen classes share; the last two are for `copy` and `pickle`, which would set attributes."""

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, *, slots=False, frozen=False, eq=True, kw_only=False):
        """As `dataclasses.dataclass`, with the parameters that we use; light where `slots` is asked for."""

        def decorate(cls):
            if not slots:
                return dataclasses.dataclass(frozen=frozen, eq=eq, kw_only=kw_only)(cls)
            return _light(cls, frozen=frozen, eq=eq, kw_only=kw_only)

        return decorate if cls is None else decorate(cls)
