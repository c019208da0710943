"""Finding the person's Hugging Face token."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

logger = logging.getLogger(__name__)


def token_of_environment(environ: Mapping[str, str]) -> str | None:
    """The token that the environment names."""
    names = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    return next((token for name in names if (token := environ.get(name, "").strip())), None)


def resolve_hf_token(environ: Mapping[str, str]) -> str | None:
    """`HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, then what `hf auth login` has stored. Blocks: call it in a thread.

    A quarter of a second at most, unless the login is one that has to be renewed, by the network.
    """
    if token := token_of_environment(environ):
        return token
    try:
        return _stored_token(environ)
    except Exception as error:  # a broken login must not keep the program from starting with another model
        logger.warning("the stored Hugging Face token cannot be read: %s", error)
        logger.debug("it was read here", exc_info=True)
        return None


def _stored_token(environ: Mapping[str, str]) -> str | None:
    """What `huggingface_hub.get_token` would return (1.33), without its import where that is only the text of a file.

    It is more than that for a login in a browser, whose token is renewed, and for tokens that CI providers exchange.
    Google Colab's secrets, which `get_token` asks last, are not: they can be had inside a notebook's kernel alone, and
    this program is never in one.
    """
    path = _token_path(environ)
    renewed = path.with_name("stored_tokens")
    if any(environ.get(name) for name in _EXCHANGED) or (
        renewed.is_file() and b"refresh_token" in renewed.read_bytes()
    ):
        from huggingface_hub import get_token

        return get_token()
    if not path.exists():
        return None
    if not path.is_file():  # a pipe would keep us waiting
        raise ValueError(f"{path} is no file")
    text = path.read_text()
    return text.replace("\r", "").replace("\n", "").strip() or None


_EXCHANGED = ("HF_OIDC_RESOURCE", "HUGGINGFACE_CO_STAGING")
"""Variables that make huggingface_hub look for the token elsewhere."""


def _token_path(environ: Mapping[str, str]) -> Path:
    """Where a login stores the token: huggingface_hub's `HF_TOKEN_PATH` (1.33)."""

    def place(name: str, default: Path) -> Path:
        return Path(os.path.expandvars(Path(environ.get(name) or default).expanduser()))

    cache = Path(environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return place("HF_TOKEN_PATH", place("HF_HOME", cache / "huggingface") / "token")
