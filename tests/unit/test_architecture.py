"""The rules of the house that a machine can check. The rules themselves are in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORTED_LATE = {
    "agent.lean_httpx",
    "agent.llm.openai_compatible",
    "agent.llm.sse_stream",
    "agent.tools.mcp.child",
    "agent.tools.mcp.wire",
}
"""Modules made of a heavy package: only what needs it imports them, inside a function."""


def test_rooms_import_only_what_they_may() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_every_module_loads_no_heavy_package_and_prints_nothing() -> None:
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "agent").rglob("*.py")
    )
    modules = [module for module in modules if module not in IMPORTED_LATE]
    heavy = {"litellm", "fastmcp", "huggingface_hub", "jinja2", "jsonschema", "httpx", "openai"}
    code = (
        f"import importlib, sys\nfor m in {modules!r}: importlib.import_module(m)\n"
        f"print(*sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (done.stdout.strip(), done.stderr) == ("", "")
