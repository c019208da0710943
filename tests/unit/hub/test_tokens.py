"""The stored token is the one that huggingface_hub would find, found without loading it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.hub.tokens import resolve_hf_token

SCRIPT = """
import json, os, sys
from agent.hub.tokens import resolve_hf_token
ours = resolve_hf_token(os.environ)
loaded = "huggingface_hub" in sys.modules
from huggingface_hub import get_token
print(json.dumps([ours, get_token(), loaded]))
"""


def both(environ: dict[str, str]) -> tuple[str | None, str | None, bool]:
    """Our token, theirs, and whether ours needed theirs; in a process of its own, as they look once, at import."""
    kept = {name: os.environ[name] for name in ("PATH", "VIRTUAL_ENV") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=kept | environ, capture_output=True, text=True, check=True
    )
    ours, theirs, loaded = json.loads(done.stdout)
    return ours, theirs, loaded


@pytest.mark.parametrize(
    ("names", "file"),
    [
        ({}, ".cache/huggingface/token"),
        ({"XDG_CACHE_HOME": "~/xdg"}, "xdg/huggingface/token"),
        ({"HF_HOME": "~/hf"}, "hf/token"),
        ({"HF_HOME": "$PLACE/hf", "PLACE": "~"}, "hf/token"),
        ({"HF_HOME": "~/hf", "HF_TOKEN_PATH": "~/elsewhere/my-token"}, "elsewhere/my-token"),
    ],
)
def test_a_login_is_found_where_the_hub_stores_it(names: dict[str, str], file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(" hf_stored\r\n")
    (path.parent / "stored_tokens").write_text("[mine]\nhf_token = hf_stored\n")
    environ = {"HOME": str(tmp_path)} | {name: value.replace("~", str(tmp_path)) for name, value in names.items()}
    assert both(environ) == ("hf_stored", "hf_stored", False)


def test_nobody_is_logged_in(tmp_path: Path) -> None:
    assert both({"HOME": str(tmp_path)}) == (None, None, False)


def test_a_login_that_has_to_be_renewed_is_left_to_the_hub(tmp_path: Path) -> None:
    place = tmp_path / ".cache/huggingface"
    place.mkdir(parents=True)
    (place / "token").write_text("hf_oauth_now")
    soon = "[me]\nhf_token = hf_oauth_now\nrefresh_token = again\nexpires_at = 99999999999\n"
    (place / "stored_tokens").write_text(soon)
    assert both({"HOME": str(tmp_path)}) == ("hf_oauth_now", "hf_oauth_now", True)


def test_a_token_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    assert resolve_hf_token({"HF_TOKEN_PATH": str(tmp_path / "token")}) is None


def test_the_environment_comes_first(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_stored")
    environ = {"HF_TOKEN_PATH": str(tmp_path / "token"), "HUGGING_FACE_HUB_TOKEN": " hf_named "}
    assert resolve_hf_token(environ) == "hf_named"
