"""How logins are written down: in headers, addresses, connection strings, commands and SQL. Rows as in `tokens.py`."""

from __future__ import annotations

import base64
import binascii
import re

from agent.redaction.looks import is_mixed, is_placeholder, looks_random
from agent.redaction.tokens import Shape

_Q = r"[\"'\\]{0,8}"
_PLAIN = r"(?:(?!\$[({]|\{|<[^<>\n]{1,60}>)[^\s\"'\\])"
"""A character of an argument; where a variable or a part of a template is put in, it ends."""
_OPTIONS = r"[^\n|]{0,200}?(?:\\\n[^\n|]{0,200}?){0,6}?\s"
"""What stands between a command and an option of it, also on more lines."""
_OWN_OPTIONS = _OPTIONS.replace("|", "|&;")
_SIGNED = r"=(?P<secret>[^\s\"'<>\\&#{}$()\[\],]{8,}+)"
_SERVERS = ("postgres", "mysql", "mariadb", "mongodb", "redis", "amqp")


def _is_basic(value: str) -> bool:
    """Whether `value` is `user:password` in base64, as RFC 7617 has it."""
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False


def _is_bearer(value: str) -> bool:
    return is_mixed(value) or (len(value) >= 20 and not re.search(r"[_.-]", value))


def _is_login(value: str) -> bool:
    return not is_placeholder(value) and not re.match(r"\(|\w+\(|\d{1,5}[?#]|x-oauth-basic$", value)


def _is_password(value: str) -> bool:
    """Not what a program's help or an example has there."""
    is_word = re.fullmatch(r"(?i:pass|password|passwd|pwd|secret|token|string|text)", value)
    return is_word is None and not is_placeholder(value)


def _is_after_p(value: str) -> bool:
    """For `-p…` of mysql: no port, and no word that begins with p."""
    return re.match(r"\d{1,5}(?:[:/,]|$)|(?:ort|ath|rint|lugin|rotocol|assword|rofile|arallel|ackage)", value) is None


LOGINS: tuple[Shape, ...] = (
    Shape(
        "",
        "bearer",
        r"(?:\s{1,3}|%20|\+)(?P<secret>[A-Za-z0-9+/=._~-]{12,}+)(?![(\[])",
        "word",
        any_case=True,
        check=_is_bearer,
    ),
    Shape("", "basic", r"\s{1,3}(?P<secret>[A-Za-z0-9+/_-]{8,}+={0,2})", "word", any_case=True, check=_is_basic),
    Shape(
        "",
        "authorization",
        rf"{_Q}\s{{0,3}}[:=]\s{{0,3}}{_Q}(?:basic|token|digest|apikey|key|negotiate)\s{{1,3}}"
        r"(?P<secret>[A-Za-z0-9+/=._~:-]{8,}+)(?![(\[])",
        "none",
        any_case=True,
        check=is_mixed,
    ),
    Shape(
        "",
        "cookie",
        rf"{_Q}\s{{0,3}}:\s{{0,3}}{_Q}"
        r"(?P<secret>[\w.-]{1,80}+=[^\s\"'\\;]{4,4000}+(?:;\s?[^\s\"'\\;]{1,4000}+){0,60}+)",
        "none",
        any_case=True,
    ),
    Shape(  # up to the last @ before the path
        "",
        "://",
        r"[^\s/@:\"'<>\\?#]{0,200}+:(?P<secret>[^\s/@\"'<>\\]{1,400}+(?:@[^\s/@\"'<>\\?#]{1,200}+(?=@)){0,4}+)(?=@)",
        "none",
        check=_is_login,
    ),
    *(  # with a / in the password
        Shape(
            "",
            server,
            r"\w{0,8}(?:\+\w{1,20})?://[^\s/@:\"'<>\\?#]{0,200}+:"
            r"(?P<secret>(?!\d{1,5}/)[^\s/@\"'<>\\?#]{1,200}+/[^\s@\"'<>\\]{0,200}+)(?=@[\w.-]+(?:[:/?\s\"']|$))",
            check=_is_login,
        )
        for server in _SERVERS
    ),
    Shape("", "://", r"(?<!ssh://)(?P<secret>[\w-]{16,300}+)(?=(?::|:x-oauth-basic)?@)", "none", check=looks_random),
    *(
        Shape("AZURE_KEY", begins, r"(?P<secret>[^\s;\"'\\&]{16,}+)", "word", any_case=True)
        for begins in ("accountkey=", "sharedaccesskey=", "sharedaccesssignature=")
    ),
    *(
        Shape("", begins, rf"(?:(?<=[?&;]{begins})|(?<=0026{begins})){_SIGNED}", "none", any_case=True, check=is_mixed)
        for begins in ("sig", "signature")
    ),
    *(
        Shape("", begins, _SIGNED, "word", any_case=True, check=is_mixed)
        for begins in ("x-amz-signature", "x-amz-security-token", "x-amz-credential", "x-goog-signature")
    ),
    Shape("", "wandb login", r"\s{1,3}(?:--[\w=-]{1,40}+\s{1,3}){0,4}(?P<secret>\w{30,100}+)", "word"),
    Shape("", "sshpass", rf"\s{{1,5}}-p\s{{0,3}}{_Q}(?P<secret>{_PLAIN}{{3,200}}+)", "word"),
    Shape(
        "",
        "curl",
        rf"\b{_OPTIONS}(?:-u|--user|--proxy-user)[\s=]{{0,2}}{_Q}[\w.@+-]{{0,80}}+:(?P<secret>{_PLAIN}{{3,300}}+)",
        "word",
    ),
    Shape(
        "",
        "mysql",
        r"(?:dump|admin|show|import|check)?(?:\s{1,3}-[^\s|&;]{1,80}+(?:\s{1,3}[^\s|&;-][^\s|&;]{0,80}+)?){0,8}?"
        rf"\s{{1,3}}-p{_Q}(?P<secret>(?!-){_PLAIN}{{4,200}}+)",
        "word",
        check=_is_after_p,
    ),
    Shape(
        "",
        "docker login",
        rf"\b{_OWN_OPTIONS}(?:-p|--password)[\s=]{{1,3}}{_Q}(?P<secret>(?!-){_PLAIN}{{4,300}}+)",
        "word",
        check=_is_password,
    ),
    Shape("", "redis-cli", rf"\b{_OWN_OPTIONS}-a\s{{1,3}}{_Q}(?P<secret>(?!-){_PLAIN}{{4,300}}+)", "word"),
    Shape(
        "",
        "machine",
        r"\s{1,4}(?:\S{0,200}?[.:]\S{1,200}+|\S{1,200}+(?=\s{0,20}\n)|localhost)\s{1,20}login\s{1,4}\S{1,200}+"
        rf"\s{{1,20}}password\s{{1,4}}(?P<secret>{_PLAIN}{{1,400}}+)",
        "word",
    ),
    *(  # SQL
        Shape("", begins, r"\s{1,3}'(?P<secret>[^\s'\\]{4,200}+)'", "word", any_case=True, check=_is_password)
        for begins in ("password", "identified by")
    ),
    *(
        Shape(
            "",
            begins,
            r"(?:\s?=\s?)?\(\s{0,3}(?P<q>[\"'])[^\"'\\\n]{0,80}+(?P=q),\s{0,3}(?P<r>[\"'])"
            r"(?P<secret>[^\"'\\\n]{4,200}+)(?P=r)\s{0,3}\)",
            "letters" if begins == "auth" else "none",
            any_case=True,
            check=_is_password,
        )
        for begins in ("auth", "basicauth", "digestauth")
    ),
)
