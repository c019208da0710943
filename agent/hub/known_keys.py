"""What keys and passwords look like that are not this program's own: by their beginnings, for a warning only."""

from __future__ import annotations

import re

_KEY = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{30,64}|sk-[A-Za-z0-9_-]{20,200}|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{30,255}"
    r"|github_pat_\w{30,255}|glpat-[\w-]{20,64}|AIza[\w-]{35}|xox[abprs]-[\w-]{10,200})"
    r"|-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY"
)
_LOGIN = re.compile(r"://[^\s/@:]{0,100}:[^\s/@$]{3,300}@")


def holds_key(text: str) -> bool:
    """Whether there is something in `text` that looks like a key: a token of a well-known service, a private key, or a
    password in an address."""
    return bool(_KEY.search(text) or _LOGIN.search(text))
