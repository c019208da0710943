"""Taking keys out of text that is shown or logged: servers repeat them in error messages, URLs carry them."""

from __future__ import annotations

import re
from collections.abc import Mapping

MASK = "***"
SHORTEST_SECRET = 8

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTHORIZATION", re.IGNORECASE)
_PUBLIC_NAME = re.compile(r"(?:_FILE|_PATH|_DIR|_URL|_BASE|PARALLELISM|MAX_TOKENS)$", re.IGNORECASE)

_KEY = re.compile(
    r"""\b(?:
        (?:sk|pk|rk|csk)-[\w*.-]{6,}                  # OpenAI, Anthropic, OpenRouter, DeepSeek, Stripe-like
      | hf_\w{8,} | api_org_\w{8,}                    # Hugging Face
      | gsk_\w{16,} | xai-\w{20,} | pplx-\w{16,} | nvapi-[\w-]{16,} | fw_\w{16,} | tgp_v1_[\w-]{16,} | vck_\w{16,}
      | AIza[\w-]{16,} | ya29\.[\w-]{16,}             # Google
      | (?:AKIA|ASIA)[A-Z0-9]{12,} | ABSK[\w+/=]{16,} # AWS
      | gh[pousr]_\w{16,} | github_pat_\w{16,} | r8_\w{16,}
      | eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*               # JSON web tokens
      | (?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{32,}# long words of letters and digits: keys without a prefix
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
        if len(secret) >= SHORTEST_SECRET and _SECRET_NAME.search(name) and not _PUBLIC_NAME.search(name):
            text = text.replace(secret, MASK)
    text = _USERINFO.sub(f"{MASK}@", text)
    text = _LABELLED.sub(lambda match: match["label"] + MASK, text)
    return _KEY.sub(MASK, text)
