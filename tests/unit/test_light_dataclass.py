"""A light dataclass is to be told from a standard one by its cost only."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.light_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """Frozen, with every kind of default."""

    x: int
    y: float = 0.5
    tags: list[str] = field(default_factory=list)
    secret: str = field(default="s", repr=False, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class StandardPoint:
    """The same, by the standard decorator."""

    x: int
    y: float = 0.5
    tags: list[str] = field(default_factory=list)
    secret: str = field(default="s", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Near(Point):
    """Inherits, adds, and checks itself."""

    z: int = 0

    def __post_init__(self) -> None:
        if self.z < 0:
            raise ValueError("z")


@dataclass(slots=True)
class Counter:
    """Not frozen: may be changed, cannot be hashed."""

    n: int = 0
    seen: tuple[int, ...] = field(default=(), init=False)
    notes: list[str] = field(default_factory=list, init=False)
    later: str = field(init=False)


@dataclass(frozen=True, slots=True)
class Own:
    """Has methods of its own, which stay."""

    a: int

    def __repr__(self) -> str:
        return "mine"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 7


@dataclass(slots=True, eq=False)
class Alone:
    """Equal to nothing but itself."""

    a: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Takes keywords only."""

    a: int = 1
    b: int


values = st.builds(
    lambda x, y, tags: {"x": x, "y": y, "tags": tags}, st.integers(), st.floats(allow_nan=False), st.lists(st.text())
)


@given(values, values)
def test_it_does_what_a_standard_one_does(one: dict[str, Any], other: dict[str, Any]) -> None:
    def seen(cls: Any) -> list[Any]:
        a, b = cls(**one), cls(**other)
        return [
            repr(a).removeprefix("Standard"),
            a == b,
            a == cls(**one),
            dataclasses.asdict(a),
            dataclasses.astuple(dataclasses.replace(a, x=3)),
            a.__match_args__,
            copy.deepcopy(a) == a,
            copy.copy(a) == a,
            [f.name for f in dataclasses.fields(cls)],
        ]

    assert seen(Point) == seen(StandardPoint)


@pytest.mark.parametrize(
    "misuse",
    [
        lambda cls: cls(),
        lambda cls: cls(1, 2, 3, 4, 5),
        lambda cls: cls(x=1, nothing=2),
        lambda cls: setattr(cls(1), "x", 2),
        lambda cls: setattr(cls(1), "nothing", 2),
        lambda cls: delattr(cls(1), "x"),
        lambda cls: hash(cls(1)),  # holds a list
    ],
)
def test_it_refuses_what_a_standard_one_refuses(misuse: Callable[[Any], Any]) -> None:
    with pytest.raises((TypeError, AttributeError)) as standard:
        misuse(StandardPoint)
    with pytest.raises((TypeError, AttributeError)) as light:
        misuse(Point)
    assert light.type in (standard.type, dataclasses.FrozenInstanceError)
    if light.type is not dataclasses.FrozenInstanceError:
        assert str(light.value) == str(standard.value).replace("StandardPoint", "Point")


def test_defaults_are_not_shared_between_instances() -> None:
    Point(1).tags.append("a")
    assert Point(1).tags == []


def test_inheritance_runs_the_checks() -> None:
    assert repr(Near(1, z=2)) == "Near(x=1, y=0.5, tags=[], z=2)"
    assert Near(1) != Point(1)
    with pytest.raises(ValueError, match="z"):
        Near(1, z=-1)


def test_a_mutable_one_changes_and_has_no_hash() -> None:
    counter = Counter()
    counter.n += 1
    assert (counter.seen, counter.notes) == ((), [])
    with pytest.raises(AttributeError):
        _ = counter.later
    counter.later = "now"
    other = Counter(1)
    other.later = "now"
    assert counter == other
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter)
    with pytest.raises(AttributeError):
        counter.other = 1  # type: ignore[attr-defined]


def test_methods_of_its_own_stay() -> None:
    assert (repr(Own(1)), Own(1) == Own(2), hash(Own(1))) == ("mine", True, 7)


def test_without_equality_each_is_alone() -> None:
    one = Alone(1)
    assert one == one
    assert one != Alone(1)
    assert len({one, Alone(1)}) == 2


def test_keywords_only() -> None:
    assert Named(b=2) == Named(a=1, b=2)
    with pytest.raises(TypeError):
        Named(1, 2)  # type: ignore[misc]


def test_the_first_use_may_be_of_any_method() -> None:
    @dataclass(frozen=True, slots=True)
    class Fresh:
        a: int

    fresh = object.__new__(Fresh)
    object.__setattr__(fresh, "a", 1)
    assert hash(fresh) == hash(Fresh(1))
    assert {Fresh(1): "x"}[fresh] == "x"


def test_it_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Near(1, z=3))) == Near(1, z=3)


def test_what_it_cannot_do_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="non-frozen"):

        @dataclass(slots=True)
        class Loose(Point):
            b: int = 0

    with pytest.raises(TypeError, match="InitVar"):

        @dataclass(slots=True)
        class WithInitVar:
            b: dataclasses.InitVar[int]


def test_a_state_of_its_own_stays() -> None:
    @dataclass(frozen=True, slots=True)
    class Stated:
        a: int

        def __getstate__(self) -> list[int]:
            return [self.a + 1]

    assert copy.copy(Stated(1)) == Stated(2)
