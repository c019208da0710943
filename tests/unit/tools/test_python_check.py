"""Warnings about Python source."""

from __future__ import annotations

import warnings

import pytest

from agent.tools.edit_utils import validate_python


def test_good_source() -> None:
    assert validate_python("print('hello')\n") == []
    assert validate_python("") == []


def test_syntax_error_has_its_line() -> None:
    (warning,) = validate_python("a = 1\nif a\n    b\n", "train.py")
    assert "train.py" in warning
    assert "line 2" in warning


@pytest.mark.parametrize("source", ["a = '\0'", "(" * 5000 + ")" * 5000])
def test_source_that_cannot_be_parsed(source: str) -> None:
    assert len(validate_python(source)) == 1


@pytest.mark.parametrize("name", ["TrainingArguments", "SFTConfig", "DPOConfig", "GRPOConfig"])
def test_trainer_without_hub(name: str) -> None:
    (warning,) = validate_python(f"import trl\nargs = trl.{name}(output_dir='x')\n")
    assert name in warning
    assert "Line 2" in warning
    assert "push_to_hub and hub_model_id" in warning


def test_trainer_without_a_repository() -> None:
    (warning,) = validate_python("SFTConfig(push_to_hub=True)")
    assert "hub_model_id" in warning
    assert "push_to_hub" not in warning


@pytest.mark.parametrize(
    "source",
    [
        "SFTConfig(push_to_hub=True, hub_model_id='me/model')",
        "SFTConfig(**settings)",
        "SFTConfig(push_to_hub=False)",
        "# SFTConfig() is for later",
        "OtherConfig()",
        "def SFTConfig(): ...",
    ],
)
def test_nothing_to_warn_of(source: str) -> None:
    assert validate_python(source) == []


def test_invalid_escapes_are_not_printed_over_the_screen() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert validate_python("a = '\\d'\n") == []
    assert caught == []


def test_huge_source_is_left_alone() -> None:
    assert validate_python("if\n" * 1_000_000) == []
