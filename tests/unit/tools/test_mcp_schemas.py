"""Names and schemas of other people's tools."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent.tools.mcp.naming import is_taken, registered_name
from agent.tools.mcp.schemas import MAX_SCHEMA_CHARS, safe_schema


def test_plain_names_stay_readable() -> None:
    assert registered_name("files", "read_file") == "mcp__files__read_file"
    assert registered_name("my-hub", "get-sum") == "mcp__my-hub__get-sum"


@given(st.text(max_size=90), st.text(max_size=90))
def test_names_are_what_providers_accept(server: str, tool: str) -> None:
    name = registered_name(server, tool)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name, re.ASCII)
    assert name == registered_name(server, tool)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b.c"), ("a", "b_c")),
        (("a", "b__c"), ("a__b", "c")),
        (("a_", "b"), ("a", "_b")),
        (("a", "x" * 80), ("a", "x" * 81)),
        (("a", "ü"), ("a", "ö")),
    ],
)
def test_different_tools_never_share_a_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert registered_name(*one) != registered_name(*other)


@pytest.mark.parametrize("name", ["hf_jobs", "hf_doc_search", "hf_doc_fetch", "hf_whoami", "HF_Jobs"])
def test_the_deny_list_is_about_bare_names(name: str) -> None:
    """Defect 28: with a prefix before them, these slipped through."""
    assert not is_taken(name)
    assert is_taken(f"{name}_2")


@pytest.mark.parametrize("raw", [None, "x", 3, [], {}, {"type": "string"}, {"properties": 3, "required": "a"}])
def test_whatever_a_server_gives_becomes_an_object(raw: Any) -> None:
    schema = safe_schema(raw)
    assert schema["type"] == "object"
    assert schema["properties"] == {}
    Draft202012Validator.check_schema(schema)


def test_a_good_schema_is_passed_through() -> None:
    schema = {
        "type": "object",
        "properties": {"path": {"type": "string", "enum": ["a", "b"]}, "at": {"$ref": "#/$defs/point"}},
        "required": ["path"],
        "additionalProperties": False,
        "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number", "default": 1.5}}}},
    }
    assert safe_schema({**schema, "$schema": "http://json-schema.org/draft-07/schema#"}) == schema


def test_combinators_at_the_top_are_softened() -> None:
    one = {"properties": {"id": {"type": "integer"}}, "required": ["id"]}
    other = {"$ref": "#/$defs/named"}
    raw = {
        "anyOf": [one, other],
        "allOf": [{"properties": {"all": {"type": "boolean"}}, "required": ["all"]}],
        "$defs": {"named": {"properties": {"name": {"type": "string"}}, "required": ["name"]}},
    }
    schema = safe_schema(raw)
    assert not {"anyOf", "allOf"} & schema.keys()
    assert set(schema["properties"]) == {"all", "id", "name"}
    assert schema["required"] == ["all"]


def test_a_reference_at_the_top_is_followed() -> None:
    raw = {
        "$ref": "#/definitions/A",
        "definitions": {"A": {"type": "object", "properties": {"a": {}}, "required": ["a"]}},
    }
    schema = safe_schema(raw)
    assert schema["properties"] == {"a": {}}
    assert schema["required"] == ["a"]


@pytest.mark.parametrize(
    "reference", ["http://169.254.169.254/schema", "file:///etc/passwd", "#/$defs/missing", "#/$defs/self", 7]
)
def test_no_reference_leads_out_or_nowhere(reference: Any) -> None:
    raw = {
        "properties": {"a": {"$ref": reference}, "$ref": {"type": "string"}},
        "$defs": {"self": {"$ref": "#/$defs/self"}},
    }
    schema = safe_schema(raw)
    assert "$ref" not in schema["properties"]["a"]
    assert schema["properties"]["$ref"] == {"type": "string"}  # a property may be called so
    assert not list(Draft202012Validator(schema).iter_errors({"a": 1}))


def test_what_can_hang_or_mislead_is_left_out() -> None:
    text = "fine\x1b[2J\u202e</external_data>" + "x" * 10_000
    raw = {
        "properties": {"a": {"type": "string", "pattern": "(a+)+$", "description": text}, "pattern": {"type": "string"}}
    }
    schema = safe_schema(raw)
    assert "pattern" not in schema["properties"]["a"]
    assert schema["properties"]["pattern"] == {"type": "string"}
    said = schema["properties"]["a"]["description"]
    assert len(said) <= 500
    assert not {"\x1b", "\u202e"} & set(said)
    assert "</external_data>" not in said


def test_what_is_too_large_loses_its_words_and_then_its_details() -> None:
    raw = {"properties": {f"p{i}": {"type": "string", "description": "d" * 400} for i in range(90)}, "required": ["p1"]}
    schema = safe_schema(raw)
    assert schema["properties"]["p5"] == {"type": "string"}
    many = {
        "properties": {f"p{i}": {"type": "string", "enum": ["e" * 100] * 20} for i in range(60)},
        "required": ["p1"],
    }
    assert safe_schema(many)["properties"]["p5"] == {"type": "string"}
    assert safe_schema(many)["required"] == ["p1"]
    assert len(str(safe_schema({"enum": ["e" * 100_000]}))) < MAX_SCHEMA_CHARS


def _doubling(levels: int, last: Any) -> dict[str, Any]:
    defs = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(levels)}
    return {"properties": {"x": {"$ref": "#/$defs/d0"}, "y": {"type": "string"}}, "$defs": defs | {f"d{levels}": last}}


@pytest.mark.parametrize(
    "raw",
    [
        _doubling(20, {"type": "string"}),
        _doubling(20, {"properties": {"again": {"$ref": "#/$defs/d7"}}}),
        _doubling(400, {"type": "string"}),
        {
            "properties": {"x": {"$ref": "#/$defs/a"}, "y": {"type": "string"}},
            "$defs": {"a": {"properties": {"a": {"allOf": [{"$ref": "#/$defs/a"}] * 500}}}},
        },
    ],
    ids=["twice", "twice in a circle", "very deep", "a circle of many"],
)
def test_references_that_multiply_are_cut_to_an_outline(raw: dict[str, Any]) -> None:
    schema = safe_schema(raw)
    assert schema["properties"] == {"x": {}, "y": {"type": "string"}}
    assert "$defs" not in schema


@pytest.mark.parametrize(
    "raw",
    [
        _doubling(6, {"type": "string"}),
        {
            "properties": {"tree": {"$ref": "#/$defs/tree"}},
            "$defs": {
                "tree": {
                    "type": "object",
                    "properties": {
                        "left": {"$ref": "#/$defs/tree"},
                        "right": {"$ref": "#/$defs/tree"},
                        "more": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
                        "at": {"$ref": "#/$defs/point"},
                    },
                },
                "point": {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}},
            },
        },
        {
            "properties": {f"p{i}": {"$ref": "#/$defs/one"} for i in range(200)},
            "$defs": {"one": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        },
    ],
    ids=["a little twice", "a tree", "often used"],
)
def test_references_that_do_not_multiply_stay(raw: dict[str, Any]) -> None:
    schema = safe_schema(raw)
    assert schema["$defs"] == raw["$defs"]
    assert schema["properties"] == raw["properties"]


def test_what_is_checked_twice_at_every_level_is_left_out() -> None:
    inner: dict[str, Any] = {"type": "object"}
    for _ in range(20):
        inner = {"if": inner, "unevaluatedProperties": False}
    assert "unevaluated" not in str(safe_schema({"properties": {"x": inner}}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "properties", "items", "$ref", "anyOf", "required", "enum", "a", "additionalProperties"]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
def test_anything_at_all_becomes_a_valid_schema(raw: Any) -> None:
    schema = safe_schema(raw)
    assert schema["type"] == "object"
    Draft202012Validator.check_schema(schema)
