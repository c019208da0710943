"""Taking keys out of text that is shown or logged: servers repeat them in error messages, URLs carry them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.redaction.live import SHORTEST_SECRET
from agent.redaction.names import is_secret_name
from agent.redaction.redactor import RedactionError, Redactor

MASK = "***"

_LABEL = re.compile(r"\[REDACTED(?:_[A-Z_]{1,40})?\]")
# Beyond what is a secret anywhere: a provider's error message is short, speaks of the key it was given, and shows a
# part of it ("sk-ab***yz"). Here a word too many may go.
_KEY = re.compile(
    r"""\b(?:
        (?:sk|pk|rk|csk)-[\w*.-]{6,}
      | hf_\w{8,} | api_org_\w{8,} | gsk_\w{8,} | (?:AKIA|ASIA)[A-Z0-9]{12,}
      | (?:AIza|ya29\.)[\w-]{16,} | fw_\w{16,} | gh[pousr]_\w{16,}
      | eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*
      | (?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{32,} # long words of letters and digits: keys without a prefix
    )""",
    re.VERBOSE,
)
_LABELLED = re.compile(
    r"""(?P<label>
        \bbearer\s+
      | \b(?:x-)?(?:api|goog-api|access|auth|subscription|secret)[_-]?(?:key|token)["']?\s*[:=]\s*["']?
      | \b(?:password|authorization|secret)["']?\s*[:=]\s*["']?
      | \bapi\skey(?:\sprovided)?:\s*["']?
      | [?&](?:key|token)=
    )(?P<value>[^\s"'&,;}]{6,})""",
    re.VERBOSE | re.IGNORECASE,
)
_USERINFO = re.compile(r"(?<=://)[^\s/@]+@")


def mask_secrets(text: str, environ: Mapping[str, str]) -> str:
    """`text` with `***` for everything that is a key in `environ` or looks like one. Idempotent."""
    for name, value in environ.items():
        secret = value.strip()
        if len(secret) >= SHORTEST_SECRET and is_secret_name(name):
            text = text.replace(secret, MASK)
    text = _USERINFO.sub(f"{MASK}@", text)
    text = _LABELLED.sub(lambda match: match["label"] + MASK, text)
    text = _KEY.sub(MASK, text)  # before the shapes, which would leave the last letters of a shortened key
    try:
        return _LABEL.sub(MASK, Redactor().text(text))
    except RedactionError:
        return MASK
