"""Files that usually hold credentials: a survey of a workspace makes no copies of them."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(
    r"""/(
        \.env | \.env\.(?!example\Z)[^/]*
        | [^/]*\.(pem|p12|pfx|key)
        | id_(rsa|dsa|ecdsa|ed25519)[^/]*
        | credentials[^/]* | \.netrc | \.pgpass
        | \.huggingface/token
        | \.(aws|ssh|gnupg)/.*
    )\Z""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def holds_credentials(path: str) -> bool:
    """Whether a file of this absolute path usually does."""
    return _CREDENTIALS.search(path) is not None
