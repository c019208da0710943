"""Secrets of many kinds, made up, and the ways in which they are written down."""

from __future__ import annotations

import json
import string
from collections.abc import Callable

from hypothesis import strategies as st

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits

SHAPED: dict[str, tuple[str, str, int]] = {
    "hf": ("hf_", ALNUM, 34),
    "hf_oauth": ("hf_oauth_", ALNUM, 40),
    "hf_org": ("api_org_", ALNUM, 34),
    "anthropic": ("sk-ant-api03-", ALNUM + "-_", 93),
    "openai": ("sk-", ALNUM, 48),
    "openai_project": ("sk-proj-", ALNUM + "-_", 60),
    "deepseek": ("sk-", HEX, 32),
    "openrouter": ("sk-or-v1-", HEX, 64),
    "github": ("ghp_", ALNUM, 36),
    "github_app": ("ghs_", ALNUM, 36),
    "github_fine": ("github_pat_", ALNUM + "_", 82),
    "gitlab": ("glpat-", ALNUM, 20),
    "aws_id": ("AKIA", UPPER, 16),
    "google": ("AIza", ALNUM, 35),
    "google_oauth": ("ya29.", ALNUM, 60),
    "slack_bot": ("xoxb-", string.digits + ALNUM, 40),
    "slack_app": ("xapp-1-", ALNUM, 40),
    "slack_hook": ("https://hooks.slack.com/services/T0AB/B0CD/", ALNUM, 24),
    "discord_hook": ("https://discord.com/api/webhooks/112233445566778899/", ALNUM, 60),
    "npm": ("npm_", ALNUM, 36),
    "pypi": ("pypi-AgEIcHlwaS5vcmc", ALNUM, 80),
    "replicate": ("r8_", ALNUM, 37),
    "groq": ("gsk_", ALNUM, 52),
    "xai": ("xai-", ALNUM, 80),
    "perplexity": ("pplx-", ALNUM, 48),
    "nvidia": ("nvapi-", ALNUM, 60),
    "together": ("tgp_v1_", ALNUM, 43),
    "stripe": ("sk_live_", ALNUM, 24),
    "stripe_restricted": ("rk_live_", ALNUM, 24),
    "digitalocean": ("dop_v1_", HEX, 64),
    "databricks": ("dapi", HEX, 32),
    "twilio": ("SK", HEX, 32),
    "vault": ("hvs.", ALNUM, 40),
    "jwt": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.", ALNUM, 43),
}
"""By kind: how it begins, what the rest is made of, and how long that is."""

NAMED = (
    "WANDB_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "DB_PASSWORD",
    "api_key",
    "client_secret",
    "secret_key",
    "COHERE_API_KEY",
)
"""Names of secrets that have no shape of their own."""

PLACES: dict[str, Callable[[str], str]] = {
    "prose": "Use {} for this run, it works.".format,
    "end": "the key is {}".format,
    "python": "import os\nx = dict(a='{}', b=2)  # it\nprint(f'{{x}}')\n".format,
    "python_call": 'client = Client("{}", timeout=3)\nassert client\n'.format,
    "shell": "curl -H 'Authorization: Bearer {}' https://h/api | jq .".format,
    "export": "export MY_TOKEN={} && python train.py".format,
    "url": "GET https://h.example/v1/x?page=2&token={}&n=1 200".format,
    "login": "git clone https://user:{}@github.com/a/b".format,
    "yaml": "env:\n  MY_API_KEY: {}\n  B: 1\n".format,
    "ansi": "\x1b[32m{}\x1b[0m".format,
    "json": lambda secret: json.dumps({"a": [1.5, {"note": f"x {secret} y"}], "n": 1e5}),
    "nested": lambda secret: json.dumps({"arguments": json.dumps({"command": f'export API_KEY="{secret}"\nrun'})}),
    "cut_json": lambda secret: json.dumps({"c": json.dumps({"command": f'export API_KEY="{secret}"\nrun'})})[:-6],
    "newline": lambda secret: json.dumps(f"line\n{secret}\nline"),
}

NAMED_PLACES: dict[str, Callable[[str, str], str]] = {
    "env": "{}={}".format,
    "quoted": "{} = '{}'\n".format,
    "annotated": '{}: str = "{}"\n'.format,
    "dict": 'x = {{"{}": "{}", "b": None}}\n'.format,
    "environ": 'os.environ["{}"] = "{}"\n'.format,
    "setenv": 'monkeypatch.setenv("{}", "{}")\n'.format,
    "yaml": "a: 1\n{}: {}\nb: 2\n".format,
    "json": lambda name, secret: json.dumps({"x": [{name: secret}], "y": True}),
    "nested": lambda name, secret: json.dumps({"arguments": json.dumps({"env": {name: secret}, "n": [1, 2]})}),
    "flag": lambda name, secret: f"tool --{name.lower().replace('_', '-')} {secret} run",
    "query": "https://h.example/x?{}={}&b=1".format,
}
PYTHON = ("python", "python_call", "quoted", "annotated", "dict", "environ", "setenv")
JSON = ("json", "nested", "newline")


def random_parts(alphabet: str, length: int) -> st.SearchStrategy[str]:
    """Words with letters and digits in their first half, as random ones of that length always are."""
    body = st.text(alphabet, min_size=length - 4, max_size=length - 4)
    mark = "4B7C" if alphabet == UPPER else "4b7c" if alphabet == HEX else "4bR7"
    return body.map(lambda text: text[:2] + mark + text[2:])


def survives(secret: str, text: str, piece: int = 8) -> bool:
    """Whether so much of `secret` is still in `text`."""
    return any(secret[at : at + piece] in text for at in range(len(secret) - piece + 1))
