"""httpx without its command line: `from agent.lean_httpx import httpx`.

Where click, rich and pygments are installed, `import httpx` also imports the `httpx` command and all three of them:
50 ms of 90 (httpx 0.28). It does without where that import fails, so for a moment it is made to.
"""

from __future__ import annotations

import sys

_COMMAND = "httpx._main"

if "httpx" not in sys.modules:
    sys.modules[_COMMAND] = None  # type: ignore[assignment]  # importing it is an ImportError now
try:
    import httpx as httpx
finally:
    if sys.modules.get(_COMMAND, ...) is None:
        del sys.modules[_COMMAND]

__all__ = ["httpx"]
