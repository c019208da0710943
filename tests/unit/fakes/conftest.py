"""The real litellm client, for the tests of the fakes."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pytest


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The real client, imported without asking the network for prices."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    module = import_module("litellm")
    monkeypatch.setattr(module, "suppress_debug_info", True)
    return module
