"""Types of columns, shown to any depth, and what columns are good for."""

from __future__ import annotations

from typing import Any

import pytest

from agent.tools.datasets.columns import read_columns
from agent.tools.datasets.samples import Row
from agent.tools.datasets.shapes import read_shape
from tests.fakes.datasets_server import CHAT, value

STRUCT = {"a": value(), "b": value("int64")}


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        (value(), "string"),
        ({"dtype": "float32"}, "float32"),
        (CHAT, "list<{role: string, content: string}>"),
        ({"feature": value("int32"), "_type": "List"}, "list<int32>"),
        ({"feature": value("int32"), "length": 768, "_type": "List"}, "list<int32, 768>"),
        ({"feature": value(), "length": -1, "_type": "Sequence"}, "list<string>"),
        ({"feature": STRUCT, "_type": "Sequence"}, "{a: list<string>, b: list<int64>}"),
        ({"feature": STRUCT, "_type": "List"}, "list<{a: string, b: int64}>"),
        ({"feature": value(), "_type": "LargeList"}, "large_list<string>"),
        ([[{"x": [value("bool")]}]], "list<list<{x: list<bool>}>>"),
        ({"outer": {"inner": value()}}, "{outer: {inner: string}}"),
        ({"names": ["neg", "pos"], "_type": "ClassLabel"}, "ClassLabel(neg=0, pos=1)"),
        ({"_type": "ClassLabel"}, "ClassLabel()"),
        ({"shape": [None, 28], "dtype": "uint8", "_type": "Array2D"}, "Array2D<uint8, ?x28>"),
        ({"languages": ["en", "fr"], "_type": "Translation"}, "Translation<en, fr>"),
        ({"_type": "Json"}, "Json"),
        ({"_type": "Image"}, "Image"),
        ({"sampling_rate": 16000, "_type": "Audio"}, "Audio(16000 Hz)"),
        ({"_type": "Video"}, "Video"),
        ({"_type": "Pdf"}, "Pdf"),
        ({"_type": "Hologram"}, "Hologram"),
        ({"dtype": value(), "_type": value()}, "{dtype: string, _type: string}"),
        (None, "unknown"),
        ([], "list"),
        ({}, "{}"),
        (7, "unknown"),
    ],
)
def test_a_feature_is_shown_recursively(feature: Any, text: str) -> None:
    """Defect 5: list features crashed, structs were shown as unknown."""
    assert read_shape(feature).text == text


def test_classes_are_named_up_to_a_limit_and_counted() -> None:
    text = read_shape({"names": [f"c{i}" for i in range(1000)], "_type": "ClassLabel"}).text

    assert "c9=9" in text
    assert "c10" not in text
    assert "1,000 classes" in text


def test_a_bottomless_type_ends() -> None:
    feature: Any = value()
    for _ in range(500):
        feature = [feature]

    assert read_shape(feature).text.count("list<") < 20


def _form(feature: Any, *cells: Any, cut: bool = False) -> str:
    rows = [Row(i, {"c": cell}, frozenset("c" if cut else "")) for i, cell in enumerate(cells)]
    return read_columns({"c": feature}, rows)[0].form


MESSAGE = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("feature", "cells", "form"),
    [
        (CHAT, [], "chat"),
        ([{"from": value(), "value": value()}], [], "from_value"),
        ([{"role": value(), "text": value()}], [], "odd_chat"),
        ({"feature": {"role": value(), "content": value()}, "_type": "Sequence"}, [], "chat_of_lists"),
        ({"_type": "Json"}, [[MESSAGE]], "chat"),
        ({"_type": "Json"}, [[MESSAGE], [{"from": "human", "value": "x"}]], "odd_chat"),
        ({"_type": "Json"}, [{"a": 1}], "other"),
        ({"_type": "Json"}, [], "other"),
        (value(), ['[{"role": "user", "content": "hi"}]'], "chat_as_text"),
        (value(), ['[{"role": "user", "content": "hi"}]', "[1] a footnote"], "text"),
        (value(), ["[" * 5000], "text"),
        (value("int64"), [1], "int"),
        (value("bool"), [True], "bool"),
        ([value()], [["a"]], "other"),
    ],
)
def test_the_form_of_a_column_comes_from_type_and_rows(feature: Any, cells: list[Any], form: str) -> None:
    assert _form(feature, *cells) == form


def test_a_cut_cell_is_no_evidence() -> None:
    assert _form({"_type": "Json"}, [MESSAGE], cut=True) == "other"
