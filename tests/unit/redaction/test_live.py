"""Secrets known by value, in the spellings that programs give them."""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote

import pytest

from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import Redactor

ODD = 'my"pa&ss\\wörd/1+2=3'
SPELLINGS = {
    "json twice": json.dumps(json.dumps(ODD)),
    "json thrice": json.dumps(json.dumps(json.dumps(ODD))),
    "json twice, not ascii": json.dumps(json.dumps(ODD, ensure_ascii=False), ensure_ascii=False),
    "repr": repr(ODD),
    "repr of bytes": repr(ODD.encode()),
    "html": html.escape(ODD),
    "html text": html.escape(ODD, quote=False),
    "path of an address": quote(ODD),
    "small letters": re.sub("%..", lambda match: match[0].lower(), quote(ODD, safe="")),
    "address in an address": quote(quote(ODD, safe=""), safe=""),
    "hex": ODD.encode().hex(),
    "HEX": ODD.encode().hex().upper(),
    "wrapped base64": base64.encodebytes(b"A" * 40 + ODD.encode()).decode(),
    "wrapped base64 in JSON": json.dumps(base64.encodebytes(b"A" * 41 + ODD.encode()).decode()),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_it_is_found_in_all_of_them(name: str) -> None:
    redacted = LiveSecrets({}, {"MINE": ODD}).scrub(f"x {SPELLINGS[name]} y")
    assert "[REDACTED:MINE]" in redacted
    assert redacted.startswith("x ") and redacted.endswith(" y")


def test_lines_of_a_secret_are_found_one_by_one() -> None:
    lines = ["b3BlbnNzaC1rZXktdjEA", "AAAABG5vbmUAAAAEbm9u", "ZQAAAAAAAAABAAAAMwAA"]
    live = LiveSecrets({}, {"DEPLOY_KEY": "\n".join(["-----BEGIN X-----", *lines])})
    for text in ("\n  ".join(lines), "\r\n".join(lines), "\n+".join(lines), json.dumps(lines)):
        assert not any(line in live.scrub(text) for line in lines)
    assert live.scrub("-----BEGIN X-----") == "-----BEGIN X-----"


def test_what_is_learned_later_is_found_as_well() -> None:
    live = LiveSecrets({})
    assert live.scrub("a plainSecretValue42") == "a plainSecretValue42"
    live.add("LATE", "plainSecretValue42")
    assert live.scrub("a plainSecretValue42") == "a [REDACTED:LATE]"
    assert live.scrub_data({"k": ["plainSecretValue42"]}) == {"k": ["[REDACTED:LATE]"]}


def test_what_is_shown_of_a_value_that_goes_whole_is_none_of_its_words() -> None:
    redactor = Redactor()
    words = "Blue7Horse99 hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567 more7Horse"
    assert redactor.data({"db_password": words}) == {"db_password": "[REDACTED]"}
    assert "Horse" not in repr(redactor.findings)
    assert redactor.counts == {"SECRET": 1}
