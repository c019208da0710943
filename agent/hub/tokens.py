"""Finding the person's Hugging Face token."""

from __future__ import annotations

import logging
from collections.abc import Mapping

logger = logging.getLogger(__name__)


def token_of_environment(environ: Mapping[str, str]) -> str | None:
    """The token that the environment names."""
    names = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    return next((token for name in names if (token := environ.get(name, "").strip())), None)


def resolve_hf_token(environ: Mapping[str, str]) -> str | None:
    """`HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, then what `hf auth login` has stored. Blocks: call it in a thread."""
    if token := token_of_environment(environ):
        return token
    try:
        from huggingface_hub import get_token

        return get_token()
    except Exception:  # a broken login must not keep the program from starting with another model
        logger.warning("the stored Hugging Face token cannot be read", exc_info=True)
        return None
