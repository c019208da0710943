"""litellm's table of models, read without litellm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.llm.price_table import table_path, table_row

ROOT = Path(__file__).parents[3]


def test_every_row_is_found_as_it_is() -> None:
    table = json.loads(table_path().read_text("utf-8"))
    names = [name for name, row in table.items() if "litellm_provider" in row]
    assert len(names) > 2000
    for name in names[:: len(names) // 60]:
        assert table_row(name) == table[name], name


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "gpt-4o-mini"])
def test_a_model_is_found_by_its_name_with_or_without_provider(model: str) -> None:
    row = table_row(model)
    assert row is not None
    assert row["input_cost_per_token"] > 0


@pytest.mark.parametrize(
    "model", ["openai/gpt-unheard-of", "", "x/", 'openai/"', "mode", "openai/input_cost_per_token"]
)
def test_what_is_no_model_has_no_row(model: str) -> None:
    assert table_row(model) is None


def test_it_is_what_litellm_says_and_costs_no_import_of_it() -> None:
    program = (
        "import sys, json; from agent.llm.price_table import table_row; row = table_row('openai/gpt-4o-mini');"
        "assert 'litellm' not in sys.modules, 'imported';"
        "from agent.llm import litellm_backend; assert row == litellm_backend.table_row('openai/gpt-4o-mini')"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=100)
