"""Private keys in every frame that a file gets into."""

from __future__ import annotations

import ast
import json

import pytest

from agent.redaction.redactor import Redactor

LINES = (
    "MIIEpAIBAAKCAQEA2a2rwplBQLF29amygykEMmYz0LfZ3xLx8Vq5SbyM7DoVh0p1",
    "coIaEhVmkk2GpQ1zPgyAP3oPr6anQpLeV7GxBLtoVgxJMJWZCYRUd5qH1ajBdDam",
    "XIEofQPMugfUuAluw2XXctORXh7H4fWP36ROfcFG4EnCtjBrNCKeRHp4s1fLQ8Ab",
)
BEGIN, END = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"
WHOLE, CUT = (BEGIN, *LINES, END), (BEGIN, *LINES)


def framed(lines: tuple[str, ...], before: str, after: str = "") -> str:
    return "".join(f"{before}{line}{after}\n" for line in lines)


TEXTS = {
    **{
        f"{name} {before!r}": framed(lines, before, after)
        for name, lines in (("whole", WHOLE), ("cut", CUT))
        for before, after in (("# ", ""), ("│ ", " │"), ("-", ""), ("+", ""), ("> ", ""), ("  ", ""), ("1| ", ""))
    },
    "tail": framed((*LINES, END), ""),
    "tail of a diff": framed((*LINES, END), "+"),
    "tail in JSON": json.dumps({"content": framed((*LINES, END), "")}),
    "putty": "PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 3\n" + framed(LINES, "") + "Private-MAC: 12\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_of_a_key_stays(name: str) -> None:
    redacted = Redactor().text(TEXTS[name])
    assert not any(line[at : at + 10] in redacted for line in LINES for at in range(0, 50, 5))
    assert "[REDACTED_PRIVATE_KEY]" in redacted
    assert Redactor().text(redacted) == redacted


@pytest.mark.parametrize("lines", [WHOLE, CUT], ids=["whole", "cut"])
@pytest.mark.parametrize("end", ["\n", ""])
def test_lines_that_are_strings_of_their_own(lines: tuple[str, ...], end: str) -> None:
    items = [line + end for line in lines]
    cell = {"cells": [{"source": [*items, "print(1)"], "n": 1.50}]}
    clean = ["[REDACTED_PRIVATE_KEY]" + end if line in LINES else line + end for line in lines]
    expected = {"cells": [{"source": [*clean, "print(1)"], "n": 1.50}]}
    assert Redactor().data(cell) == expected
    for text in (json.dumps(cell), json.dumps(cell, indent=1)):
        assert json.loads(Redactor().text(text)) == expected
        assert json.loads(Redactor().json_text(text)) == expected
    nested = json.loads(Redactor().text(json.dumps({"arguments": json.dumps(cell)})))
    assert json.loads(nested["arguments"]) == expected
    code = "KEY = (" + "\n  ".join(repr(item) for item in items) + ")\n"
    assert ast.literal_eval(Redactor().text(code)[6:]) == "".join(clean)
    listed = ast.literal_eval(Redactor().text(repr(items)))
    assert listed == clean


def test_a_key_for_the_web() -> None:
    text = 'x {"kty": "OKP", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapi"}'
    assert Redactor().text(text) == text.replace(
        "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "[REDACTED_PRIVATE_KEY]"
    )
    other = text.replace("kty", "kind")
    assert Redactor().text(other) == other


@pytest.mark.parametrize(
    "text",
    [
        'if "-----BEGIN PRIVATE KEY-----" in text or "internationalization" in text: pass',
        'MARKS = ["-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "something"]',
        "internationalization of a text\n-----END OF FILE-----",
    ],
)
def test_speaking_of_keys_is_no_key(text: str) -> None:
    assert Redactor().text(text) == text
