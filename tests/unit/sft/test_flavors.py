"""Accelerators told from the names of machines."""

from __future__ import annotations

import re

import pytest

from agent.hub.hardware import TABLE
from agent.sft.flavors import Machine, machine


@pytest.mark.parametrize(
    ("flavor", "family", "chips"),
    [
        ("cpu-basic", "cpu", 0),
        ("t4-small", "t4", 1),
        ("T4-Medium", "t4", 1),
        ("l4x1", "l4", 1),
        ("l4x4", "l4", 4),
        ("l40sx8", "l40s", 8),
        ("a10g-largex4", "a10g", 4),
        ("a100-large", "a100", 1),
        ("a100x8", "a100", 8),
        ("h100", "h100", 1),
        ("h200x8", "h200", 8),
        ("b200", "b200", 1),
        ("gb300x4", "gb300", 4),
        ("rtx", "rtx", 1),
        ("rtx-pro-6000x2", "rtx-pro-6000", 2),
        ("mi300x", "mi300x", 1),
        ("inf2", "inf2", 1),
        ("inf2x6", "inf2", 6),
        ("v5e-1x1", "tpu", 1),
        ("v5e-2x4", "tpu", 8),
        ("v6e", "tpu", 1),
        ("v100", "v100", 1),
        ("nvidia-a10g", "a10g", 1),
        ("zero-a10g", "a10g", 1),
        ("8xh100", "h100", 8),
        ("intel-spr", "cpu", 0),
        ("something-else", None, 1),
        ("", None, 1),
    ],
)
def test_families_are_told_by_rule(flavor: str, family: str | None, chips: int) -> None:
    """Defect 20: l4 was called l40s, and what the list did not know was none."""
    assert machine(flavor) == Machine(family, chips)


def test_every_machine_of_the_catalogue_is_known_for_what_it_is() -> None:
    for flavor in TABLE.flavors.values():
        found = machine(flavor.name)
        assert found.family is not None, flavor.name
        assert (found.chips > 0) == flavor.is_gpu
        model = re.sub(r"^\d+x ", "", flavor.accelerator).lower().replace(" ", "-")
        assert found.family == (model or "cpu")


def test_a_hostile_name_takes_no_time() -> None:
    assert machine("rtx-" * 5000 + "!").family is None
