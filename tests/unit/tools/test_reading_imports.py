"""Starting the program imports none of the work of the tools that look things up: that comes with their first call."""

from __future__ import annotations

import json
import subprocess
import sys

LIGHT = {
    "agent.tools.docs": {"libraries", "library", "limits"},
    "agent.tools.papers": {"limits"},
    "agent.tools.datasets": {"limits"},
}
SCRIPT = "import json, sys; import agent.core.agent_loop; print(json.dumps(sorted(sys.modules)))"


def test_the_start_imports_names_and_schemas_alone() -> None:
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    modules = json.loads(told.stdout)
    for package, light in LIGHT.items():
        found = {name.removeprefix(f"{package}.") for name in modules if name.startswith(f"{package}.")}
        assert found == light, package
