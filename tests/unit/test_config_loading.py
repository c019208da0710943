"""Substitution and merging, by example and by property."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import ConfigError, Layer
from agent.config_loading import Tree, read_object, substitute
from tests.unit.config_place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- substitution ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "va"),
        ("x${A}y${A}", "xvayva"),
        ("${NO:-d e}", "d e"),
        ("${NO:-}/z", "/z"),
        ("${EMPTY}/z", "/z"),
        ("${EMPTY:-d}/z", "/z"),
        ("${A:x}", "va"),
        ("${A:-d}", "va"),
        ("$A {A} ${} ${1A}", "$A {A} ${} ${1A}"),
        ("${TWICE}", "${A}"),
    ],
)
def test_substitution(place: Place, text: str, expected: str) -> None:
    environ = {"A": "va", "EMPTY": "", "TWICE": "${A}"}
    assert place.load({"model_name": text}, environ=environ).config.model_name == expected


def test_substitution_reaches_lists_and_leaves_keys_and_rules_alone(place: Place) -> None:
    user = {"mcpServers": {"${A}": {"command": "c", "args": ["${A}", "b"], "env": {"${A}": "${A}"}}}}
    server = place.load(user, environ={"A": "va"}).config.mcpServers["${A}"]
    assert server.args == ["va", "b"]
    assert server.env == {"${A}": "va"}


def test_substituted_numbers_and_booleans_get_their_type(place: Place) -> None:
    config = place.load({"max_iterations": "${N:-12}", "yolo_mode": "${Y}"}, environ={"Y": "yes"}).config
    assert (config.max_iterations, config.yolo_mode) == (12, True)
    (line,) = place.problems({"max_iterations": "${N}"}, environ={"N": "many"})
    assert line == f"{place.user}: max_iterations: expected a whole number"


@pytest.mark.parametrize("text", ["${NOT_SET}", "a${NOT_SET:x}", "${NOT_SET:}"])
def test_unset_variable_names_file_key_and_variable(place: Place, text: str) -> None:
    (line,) = place.problems({"mcpServers": {"s": {"command": "c", "args": ["-v", text]}}})
    assert line.startswith(
        f"{place.user}: mcpServers.s.args[1]: the environment variable NOT_SET is not set; export it"
    )


def test_nested_default_is_refused(place: Place) -> None:
    (line,) = place.problems({"model_name": "${A:-${B}}"})
    assert "model_name: the default of ${A} contains another variable" in line


# --- properties ------------------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c"])
leaves = st.none() | st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2)
objects: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(names, leaves, max_size=3), lambda inner: st.dictionaries(names, leaves | inner, max_size=3)
)


def merge(*layers: dict[str, Any]) -> Tree:
    tree = Tree()
    for number, values in enumerate(layers):
        tree.add({"top": values}, Layer("user", str(number)))
    return tree


def shuffled(value: Any, order: Callable[[list[Any]], list[Any]]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: shuffled(value[name], order) for name in order(list(value))}


def has_null(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and any(has_null(item) for item in value.values()))


@given(objects, objects, objects)
def test_merging_is_associative_without_null(one: dict[str, Any], two: dict[str, Any], three: dict[str, Any]) -> None:
    if not any(map(has_null, (one, two, three))):
        assert merge(one, merge(two, three).data["top"]).data == merge(merge(one, two).data["top"], three).data


@given(objects, objects)
def test_merging_does_not_depend_on_the_order_of_keys(one: dict[str, Any], two: dict[str, Any]) -> None:
    turned = merge(shuffled(one, lambda keys: keys[::-1]), shuffled(two, sorted))
    assert turned.data == merge(one, two).data
    assert turned.origins == merge(one, two).origins


@given(objects, objects)
def test_later_layer_wins_for_every_leaf_and_is_its_origin(one: dict[str, Any], two: dict[str, Any]) -> None:
    tree = merge(one, two)

    def check(value: dict[str, Any], merged: dict[str, Any], key: tuple[str, ...]) -> None:
        for name, item in value.items():
            if item is None:
                assert name not in merged
            elif isinstance(item, dict):
                check(item, merged[name], (*key, name))
            else:
                assert merged[name] == item
                assert tree.setter((*key, name)).source == "1"

    check(two, tree.data["top"], ("top",))
    assert not has_null(tree.data)


@given(objects)
def test_merging_twice_changes_nothing(one: dict[str, Any]) -> None:
    assert merge(one, one).data == merge(one).data


variables = st.dictionaries(st.sampled_from(["A", "B", "C_D"]), st.text(max_size=5), max_size=3)
pieces = st.one_of(
    st.text(alphabet="ab/$-. ", max_size=4).map(lambda text: (text, None, text)),
    st.tuples(st.sampled_from(["A", "B", "C_D"]), st.none() | st.text(alphabet="xy:-", max_size=3)).map(
        lambda part: ("${" + part[0] + ("" if part[1] is None else ":-" + part[1]) + "}", part[0], part[1])
    ),
)


@given(st.lists(pieces, max_size=5), variables)
def test_substitution_is_one_pass_over_the_pieces(
    parts: list[tuple[str, str | None, str | None]], environ: dict[str, str]
) -> None:
    tree = Tree()
    tree.add({"k": {"x": "".join(text for text, _, _ in parts)}}, Layer("user", "f"))
    done = substitute(tree, environ)
    unset = [name for _, name, default in parts if name and default is None and name not in environ]
    assert [name for problem in done.problems for name in [problem.split("variable ")[1].split(" ")[0]]] == unset
    if not unset:
        expected = (environ.get(name, default or "") if name else text for text, name, default in parts)
        assert tree.data["k"]["x"] == "".join(expected)


@given(st.text(max_size=30))
def test_any_text_reads_as_an_object_or_as_a_named_problem(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.json"
        path.write_bytes(text.encode("utf-8", "replace"))
        try:
            assert isinstance(read_object(path), dict)
        except ConfigError as error:
            assert str(error).startswith(f"{path}: ")
