"""How much the agent may do without asking: four modes, from looking only to everything."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

Mode = Literal["ask", "auto-edit", "plan", "yolo"]
"""`ask`: what changes something asks. `auto-edit`: edits of files in the workspace run, the rest asks. `plan`: nothing
is changed before the person has accepted a plan. `yolo`: all runs but what only a person may decide."""

MODES: tuple[Mode, ...] = get_args(Mode)
"""In the order in which Shift-Tab goes through them."""

MEANINGS: Mapping[Mode, str] = MappingProxyType(
    {
        "ask": "looking is free, whatever changes something asks",
        "auto-edit": "edits of files in the workspace run, everything else that changes something asks",
        "plan": "looking only, nothing is changed before you have accepted a plan",
        "yolo": "runs without asking, except what only a person may decide and what your own 'ask' rules name",
    }
)
"""What each mode means, in words for the person."""
