"""Tool arguments: spelling is forgiven, meaning is not guessed."""

from __future__ import annotations

import pytest

from agent.tools.arguments import ArgumentError, bool_argument, int_argument, loosened, text_argument, utf8_argument


@pytest.mark.parametrize(("raw", "value"), [(5, 5), ("5", 5), (" 5 ", 5), (5.0, 5), (None, 7)])
def test_numbers(raw: object, value: int) -> None:
    assert int_argument({"n": raw}, "n", 7, minimum=1) == value


@pytest.mark.parametrize("raw", ["", "five", 5.5, float("nan"), float("inf"), True, [], {}, 0, -1, "-1", "9" * 5000])
def test_bad_numbers(raw: object) -> None:
    with pytest.raises(ArgumentError, match="`n`"):
        int_argument({"n": raw}, "n", 7, minimum=1)


def test_text() -> None:
    assert text_argument({"t": ""}, "t") == ""
    assert utf8_argument({"t": "é\x00"}, "t") == "é\x00"
    for bad in (None, 5, ["x"]):
        with pytest.raises(ArgumentError, match="`t`"):
            text_argument({"t": bad}, "t")
    with pytest.raises(ArgumentError, match="character 1"):
        utf8_argument({"t": "a\udc80"}, "t")


@pytest.mark.parametrize(
    ("raw", "value"), [(True, True), (False, False), ("true", True), ("False", False), (None, False)]
)
def test_booleans(raw: object, value: bool) -> None:
    assert bool_argument({"b": raw}, "b") is value


@pytest.mark.parametrize("raw", ["yes", 1, 0, []])
def test_bad_booleans(raw: object) -> None:
    with pytest.raises(ArgumentError, match="`b`"):
        bool_argument({"b": raw}, "b")


PROPERTIES = {
    "operation": {"type": "string", "enum": ["run", "scheduled run"]},
    "gated": {"type": "string", "enum": ["auto", "false"]},
    "timeout": {"type": "string"},
    "job_id": {"type": "string"},
    "hardware_flavor": {"type": "string"},
    "words": {"type": "array", "items": {"type": "string"}},
    "things": {"type": "array", "items": {"type": "object"}},
    "wait": {"type": "boolean"},
    "tail": {"type": "integer"},
    "repo_id": {"type": "string"},
}
SCHEMA = {"type": "object", "properties": PROPERTIES, "required": ["operation"]}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"operation": " Scheduled  Run "}, {"operation": "scheduled run"}),
        ({"operation": "Walk"}, {"operation": "Walk"}),
        ({"gated": False}, {"gated": "false"}),
        ({"gated": True}, {"gated": True}),
        ({"timeout": 3600}, {"timeout": "3600"}),
        ({"timeout": 3600.0}, {"timeout": "3600"}),
        ({"timeout": 3.11}, {"timeout": "3.11"}),
        ({"timeout": True}, {"timeout": True}),
        ({"timeout": ["a"]}, {"timeout": ["a"]}),
        ({"job_id": ["a", "b"]}, {"job_id": "a,b"}),
        ({"words": "*.bin"}, {"words": ["*.bin"]}),
        ({"words": '["a", 3]'}, {"words": ["a", "3"]}),
        ({"words": ["--n", 3]}, {"words": ["--n", "3"]}),
        ({"words": [None]}, {"words": [None]}),
        ({"things": "x"}, {"things": "x"}),
        ({"wait": "True", "tail": "5"}, {"wait": True, "tail": 5}),
        ({"flavor": "t4-small"}, {"hardware_flavor": "t4-small"}),
        ({"repository": "a/b"}, {"repo_id": "a/b"}),
        ({"flavor": "a", "hardware_flavor": "b"}, {"flavor": "a", "hardware_flavor": "b"}),
        ({"flavor": "a", "hardware": "b"}, {"flavor": "a", "hardware": "b"}),
        ({"path_in_repo": "a"}, {"path_in_repo": "a"}),
        ({"timeout": None}, {}),
    ],
)
def test_spelling_is_put_right(given: dict[str, object], read: dict[str, object]) -> None:
    assert loosened(given, SCHEMA) == read
