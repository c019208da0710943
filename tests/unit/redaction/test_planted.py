"""Planted secrets of more than thirty kinds do not survive; code and JSON are still code and JSON."""

from __future__ import annotations

import ast
import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import Redactor
from tests.unit.redaction.planted import JSON, NAMED, NAMED_PLACES, PLACES, PYTHON, SHAPED, random_parts, survives


def still_reads(place: str, text: str) -> None:
    if place in PYTHON:
        ast.parse(text)
    if place in JSON:
        json.loads(text)


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_key_with_a_shape_is_gone_wherever_it_stands(place: str, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(SHAPED)))
    if kind.endswith("_hook") and place in ("login", "url", "shell"):
        return  # an address is no password
    prefix, alphabet, length = SHAPED[kind]
    secret = data.draw(random_parts(alphabet, length))
    text = PLACES[place](prefix + secret)
    redacted = Redactor().text(text)
    assert not survives(secret, redacted)
    assert Redactor().text(redacted) == redacted
    still_reads(place, redacted)
    for whole in (Redactor().json_text(text), json.dumps(Redactor().data({"messages": [{"content": text}]}))):
        assert not survives(secret, whole)
    still_reads(place, Redactor().json_text(text))


def test_there_are_thirty_kinds() -> None:
    assert len(SHAPED) + len(NAMED) >= 40


@pytest.mark.parametrize("place", NAMED_PLACES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_secret_without_a_shape_is_gone_by_its_name(place: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMED))
    secret = data.draw(random_parts("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 40))
    text = NAMED_PLACES[place](name, secret)
    redacted = Redactor().text(text)
    assert not survives(secret, redacted)
    assert name.lower().replace("_", "-") in redacted.lower().replace("_", "-")  # the name stays
    assert Redactor().text(redacted) == redacted
    still_reads(place, redacted)
    for whole in (Redactor().json_text(text), json.dumps(Redactor().data([{"arguments": text}]))):
        assert not survives(secret, whole)


@settings(max_examples=80, deadline=None)
@given(
    lines=st.lists(
        random_parts("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/", 64), min_size=2, max_size=20
    ),
    kind=st.sampled_from(["RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]),
    cut=st.integers(0, 30),
    form=st.sampled_from(["plain", "json", "escaped", "indented", "numbered", "python"]),
    is_whole=st.booleans(),
)
def test_key_files_are_gone_whole_or_cut(lines: list[str], kind: str, cut: int, form: str, is_whole: bool) -> None:
    last = lines[-1][: 64 - cut]
    body = [f"-----BEGIN {kind}-----", *lines[:-1], last, *([f"-----END {kind}-----"] if is_whole else [])]
    text = {
        "plain": "\n".join(body) + "\n",
        "json": json.dumps({"content": "\n".join(body)}),
        "escaped": json.dumps(json.dumps({"content": "\n".join(body)})),
        "indented": "key: |\n" + "".join(f"    {line}\n" for line in body),
        "numbered": "".join(f"{number:6}\t{line}\n" for number, line in enumerate(body, 1)),
        "python": f'KEY = """{chr(10).join(body)}"""\n',
    }[form]
    redacted = Redactor().text(text)
    assert not any(survives(line, redacted) for line in (*lines[:-1], last))
    assert Redactor().text(redacted) == redacted
    if form in ("json", "escaped"):
        json.loads(redacted)
    if form == "python":
        ast.parse(redacted)


@settings(max_examples=100, deadline=None)
@given(
    secret=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=8, max_size=40).filter(
        lambda s: s.strip() == s
    ),
    before=st.text("abc:", max_size=4),
    after=st.text("abc", max_size=4),
)
def test_live_secrets_are_found_in_every_spelling(secret: str, before: str, after: str) -> None:
    redactor = Redactor(LiveSecrets({}, {"MINE": secret}))
    encoded = base64.b64encode(f"{before}{secret}{after}".encode()).decode()
    core = base64.b64encode(secret.encode()).decode().rstrip("=")[4:-4]
    for text in (
        f"x {secret} y",
        json.dumps({"a": secret}),
        f"https://h/?q={quote(secret, safe='')}",
        f"b {encoded} e",
    ):
        redacted = redactor.text(text)
        assert "[REDACTED" in redacted, text
    if len(core) >= 12:
        assert core not in redactor.text(base64.b64encode(secret.encode()).decode())


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_any_text_comes_to_an_end(text: str) -> None:
    once = Redactor().text(text)
    assert Redactor().text(once) == once


PIECES = st.sampled_from(
    [
        "token",
        "password=",
        "api_key: ",
        '"',
        "'",
        "\\",
        "\\n",
        "hf_",
        "sk-",
        "Bearer ",
        "://",
        "user:",
        "@h",
        "=",
        ":",
        " ",
        ",",
        "eyJ",
        ".",
        "A1b2C3d4E5f6G7h8",
        "-----BEGIN PRIVATE KEY-----",
        "-----END ",
        "\n",
        "{",
        "}",
        "[REDACTED]",
        "x" * 20,
        "--",
        "$",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = Redactor().text(text)
    assert Redactor().text(once) == once


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.lists(PIECES, max_size=6).map("".join),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["token", "a", "password", "env", "key"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON_LIKE, st.sampled_from([None, 2]))
def test_json_stays_json_of_the_same_shape(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    redacted = Redactor().json_text(text)
    assert json.loads(redacted) == Redactor().data(value)
    assert Redactor().json_text(redacted) == redacted
