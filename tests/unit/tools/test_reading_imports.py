"""Starting the program imports no work of a tool, and no service: that comes with the first call that needs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LIGHT = {
    "agent.tools.docs": {"limits"},
    "agent.tools.papers": {"limits"},
    "agent.tools.datasets": {"limits"},
    "agent.tools.github": {"limits"},
    "agent.tools.jobs": {"wording"},
    "agent.tools.mcp": {"naming"},
    "agent.tools.web_pages": set(),
    "agent.tools.sandbox": set(),
    "agent.tools.shell": set(),
    "agent.hub": {"account", "errors"},
    "agent.web": set(),
    "agent.messaging": set(),
}
"""What of each room names, descriptions and schemas need."""

HEAVY = {"pydantic", "httpx", "jsonschema", "sqlite3", "fastmcp", "huggingface_hub", "tree_sitter", "litellm"}
TOOLS = """
import json, sys
from agent.core.services import services_nowhere
from agent.core.tools import create_builtin_tools
assert all(spec.to_wire() for spec in create_builtin_tools(services_nowhere()))
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(script: str) -> set[str]:
    """What is imported in a new program that has run `script`, which prints it."""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(told.stdout))


@pytest.mark.parametrize(
    "script", [TOOLS, "import json, sys, agent.core.agent_loop; print(json.dumps([*sys.modules]))"]
)
def test_the_start_imports_names_and_schemas_alone(script: str) -> None:
    modules = modules_after(script)
    for package, light in LIGHT.items():
        found = {name.removeprefix(f"{package}.") for name in modules if name.startswith(f"{package}.")}
        assert found <= light, package
    assert not {"agent.tools.files", "agent.tools.bash_command", "agent.tools.shell_analysis"} & modules


def test_the_list_of_tools_needs_no_heavy_package() -> None:
    assert not HEAVY & modules_after(TOOLS)


def test_places_that_take_work_are_loaded_one_by_one(tmp_path: Path) -> None:
    script = f"""
import json, sys
from pathlib import Path
from agent.config import Config
from agent.core.services import Services
from agent.hub.account import HubAccount
services = Services(Config(), HubAccount(None, {{}}), {{}}, Path({str(tmp_path)!r}))
assert list(services.backends) == ["hf_jobs", "hf_sandbox", "local"]
assert "agent.compute.hf_jobs" not in sys.modules
assert services.backends["local"] is services.local
print(json.dumps(sorted(sys.modules)))
"""
    modules = modules_after(script)
    assert "agent.compute.local" in modules
    assert not {"agent.compute.hf_jobs", "agent.compute.hf_sandbox"} & modules
