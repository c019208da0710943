"""The lists of tools that models were given."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

from agent.sessions.tool_lists import keep, load

SPECS = [{"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}]


def test_a_list_is_kept_once_for_the_person_alone(tmp_path: Path) -> None:
    digest = keep(tmp_path, SPECS)
    (file,) = (tmp_path / "tools").iterdir()
    before = file.stat().st_mtime_ns
    assert keep(tmp_path, [dict(reversed(SPECS[0].items()))]) == digest
    assert load(tmp_path, digest) == SPECS
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.stat().st_mtime_ns == before
    assert list((tmp_path / "tools").iterdir()) == [file]


def test_a_list_that_does_not_fit_on_the_disk_leaves_nothing(tmp_path: Path) -> None:
    """Each turn of a session on a full disk left one more stray file."""
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from agent.sessions.tool_lists import keep\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    keep(Path(sys.argv[1]), [{'a': 'x' * 5000}])\n"
        "except OSError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "refused\n", done.stderr
    assert list((tmp_path / "tools").iterdir()) == []


def test_what_is_not_there_or_broken_is_unknown(tmp_path: Path) -> None:
    digest = keep(tmp_path, SPECS)
    (file,) = (tmp_path / "tools").iterdir()
    outside = tmp_path / "x.json"
    outside.write_text("[]")
    assert load(tmp_path, "../x") is None
    assert load(tmp_path, "0" * 64) is None
    for text in ("{", '{"a": 1}', "[1]", "[" * 100_000):
        file.write_text(text)
        assert load(tmp_path, digest) is None
