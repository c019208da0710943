"""What the keys of services look like: one table of their beginnings and what follows.

Every row starts with a literal, so that a text without it costs one substring search; a single alternation of all rows
was measured to be a hundred times slower. Repetitions are possessive, and take the whole of a run in which a row could
begin again: no text takes more than a look at each of its places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

from agent.light_dataclass import dataclass
from agent.redaction.found import LABEL
from agent.redaction.looks import is_mixed

Check = Callable[[str], bool]
Edge = Literal["word", "letters", "none"]
"""What a secret begins after. `word`: nothing that belongs to a word, but for marks in front of it (`-sk-…` in a diff).
`letters`: anything but a letter or digit (`my_ghp_…`), or a flag (`-kghp_…`). `none`: anything."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of secret: `begins` literally, goes on as the pattern `rest`, and `check` says yes to the secret.

    The secret is the group `secret` of `rest`, if there is one, else all. `any_case`: they are patterns for the text in
    lower case.
    """

    kind: str
    begins: str
    rest: str
    edge: Edge = "letters"
    any_case: bool = False
    check: Check | None = None

    @property
    def label(self) -> str:
        """What stands in the place of such a secret."""
        return f"[REDACTED_{self.kind}]" if self.kind else LABEL


def _keys(
    kind: str, rest: str, *beginnings: str, edge: Edge = "letters", check: Check | None = None
) -> Iterator[Shape]:
    return (Shape(kind, begins, rest, edge, check=check) for begins in beginnings)


def _is_provider_key(value: str) -> bool:
    """For `sk-`: a word of letters and digits; `sk-learn-contrib-2` is none."""
    return is_mixed(re.split(r"[-_]", value, maxsplit=1)[0]) or len(value) >= 40


_TAIL = r"[A-Za-z0-9]{20,}+[\w-]*+"
_LOOSE = r"[\w-]{20,}+"

TOKENS: tuple[Shape, ...] = (
    Shape("PRIVATE_KEY", "AGE-SECRET-KEY-1", r"[A-Z0-9]{50,60}+"),
    Shape("HF_TOKEN", "hf_", r"(?:oauth_[\w.-]{20,}+|[A-Za-z0-9]{30,}+)", "none"),
    Shape("HF_TOKEN", "api_org_", r"[A-Za-z0-9]{30,}+", "none"),
    Shape("HF_TOKEN", "hf_jwt_", r"[\w.-]{20,}+", "none"),
    # OpenAI, Anthropic, OpenRouter, DeepSeek, Moonshot, Langfuse, ...
    Shape("PROVIDER_API_KEY", "sk-", r"(?:ant|proj|or|svcacct|admin|lf|live|service)-[\w-]{16,}+"),
    Shape("PROVIDER_API_KEY", "sk-", r"[A-Za-z0-9]{16,}+[\w-]*+", "word", check=_is_provider_key),
    Shape("PROVIDER_API_KEY", "sk-", r"[\w-]{40,}+", "word", check=is_mixed),
    *_keys("PROVIDER_API_KEY", _TAIL, "gsk_", "xai-", "pplx-", "csk-", "jina_", "vck_", "esecret_", "tgp_v1_"),
    *_keys(
        "PROVIDER_API_KEY", _LOOSE, "nvapi-", "tvly-", "wandb_v1_", "pk-lf-", "lsv2_pt_", "lsv2_sk_", check=is_mixed
    ),
    *_keys("PROVIDER_API_KEY", r"[A-Za-z0-9]{20,}+", "fw_", "r8_", edge="word", check=is_mixed),
    Shape("PROVIDER_API_KEY", "fc-", r"[0-9a-f]{32}(?![\w-])", "word"),
    *_keys("GITHUB_TOKEN", r"[A-Za-z0-9]{30,}+", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    Shape("GITHUB_TOKEN", "github_pat_", r"\w{30,}+", "none"),
    *_keys("GITLAB_TOKEN", r"[\w.-]{20,}+", "glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "gloas-", "glsoat-"),
    *_keys("AWS_KEY_ID", r"[A-Z0-9]{16}(?![A-Za-z0-9])", "AKIA", "ASIA"),
    Shape("AWS_SECRET_KEY", "ABSK", r"[A-Za-z0-9+/=]{40,}+", "word"),
    Shape("GOOGLE_KEY", "AIza", r"[\w-]{35}(?![\w-])"),
    *_keys("GOOGLE_KEY", r"[\w-]{20,}+", "ya29.", "GOCSPX-", check=is_mixed),
    Shape("GOOGLE_KEY", "1//0", r"[\w-]{20,}+", "word", check=is_mixed),
    *(Shape("SLACK_TOKEN", f"xox{letter}", r"(?:\.xox[a-z])?-[\w-]{10,}+") for letter in "abceoprs"),
    Shape("SLACK_TOKEN", "xapp-", r"[\w-]{20,}+"),
    Shape("WEBHOOK_URL", "hooks.slack.com/", r"\w{1,20}/(?P<secret>[\w/-]{16,}+)"),
    Shape("WEBHOOK_URL", "/webhooks/", r"(?P<secret>\d{10,25}/[\w-]{20,}+)", "none"),
    Shape("WEBHOOK_URL", ".webhook.office.com/", r"\w{1,20}/(?P<secret>[\w@/-]{30,}+)", "none"),
    Shape("NPM_TOKEN", "npm_", r"[A-Za-z0-9]{30,}+"),
    Shape("PYPI_TOKEN", "pypi-", r"[\w-]{50,}+", check=is_mixed),
    *(
        Shape("STRIPE_KEY", f"{kind}_{place}_", r"[A-Za-z0-9]{16,}+", check=is_mixed)
        for kind in ("sk", "rk", "pk")
        for place in ("live", "test", "prod")
    ),
    Shape("STRIPE_KEY", "whsec_", r"[A-Za-z0-9+/=]{16,}+"),
    Shape("SENDGRID_KEY", "SG.", r"[\w-]{16,40}+\.[\w-]{20,}+", "word"),
    Shape("TWILIO_KEY", "SK", r"[0-9a-f]{32}(?![0-9A-Za-z])", "word"),
    Shape("TELEGRAM_TOKEN", ":AA", r"(?<=\d{8}:AA)(?P<secret>[\w-]{32,35})(?![\w-])", "none"),
    *_keys("CLOUD_TOKEN", r"[0-9a-f]{60,}+", "dop_v1_", "doo_v1_", "dor_v1_"),
    *_keys("CLOUD_TOKEN", r"[0-9a-f]{32}(?:-\d)?(?![0-9A-Za-z])", "dapi", "shpat_", "shpca_", "shppa_", "shpss_"),
    *_keys("CLOUD_TOKEN", _TAIL, "cfut_", "cfat_", "glsa_", "sntrys_", "lin_api_", "dp.pt.", "dp.st."),
    *_keys("CLOUD_TOKEN", _TAIL, "ntn_", "rnd_", "nfp_", edge="word"),
    *_keys("CLOUD_TOKEN", _LOOSE, "hvs.", "hvb.", "figd_", check=is_mixed),
    Shape("CLOUD_TOKEN", "v1.0-", r"[0-9a-f]{20,40}+-[0-9a-f]{100,}+", "word"),
    Shape("JWT", "eyJ", r"[\w-]{10,}+\.[\w-]{6,}+(?:\.[\w-]*+){0,3}", "word"),
)
"""Order counts where two find the same. The first names are those of the reference, which old readers know."""
