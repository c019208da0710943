"""What a value looks like: made up by a machine, a stand-in for a secret, a word of a program."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(
    r"""(?:\[REDACTED[^\]\n]{0,90}\])+
    | \$\w+ | \$\d+::\w+ | (?:\$\{\{?[^{}]*\}?\}[:/@_.-]?)+ | \$\([^\n]*\) | `[^`\n]*`             # of shells
    | <[^<>]{1,60}> | (?:\{\{?[^{}]*\}?\}[^\w{}]{0,3})+                             # of templates
    | %\w{1,60}% | %\([^)]*\)[sdr] | %[sdr]
    | (?:[\w-]{0,12}[-_ ])?[xX*•.…_-]+ | (?:[\w-]{0,12}[-_])?(?:\*{3,}|\.{3}|…|•{3,})\w{0,4}  # masked
    | (?i:none|null|nil|undefined|true|false|yes|no|on|off|todo|tbd|changeme|redacted|hidden|masked|empty|unset|missing)
    """,
    re.VERBOSE,
)
_SAYS_SO = re.compile(
    r"\byour?\b|your[_-]|my[_-]|[_-]here\b|example|placeholder|replace|insert|xxx|\.{3}|\*{3}|dummy|<[^<>]*>|[${]\{",
    re.IGNORECASE,
)
"""Words of placeholders; a key has a digit, too."""


def is_placeholder(value: str) -> bool:
    """Whether `value`, all of it, only stands where a secret would: `<your token>`, `$HF_TOKEN`, `hf_xxx`, `***`."""
    value = value.strip()
    if not value or _PLACEHOLDER.fullmatch(value[:400]) is not None:
        return True
    return len(value) <= 100 and _DIGIT.search(value) is None and _SAYS_SO.search(value) is not None


_DIGIT, _LETTER = re.compile(r"[0-9]"), re.compile(r"[A-Za-z]")


def is_mixed(value: str) -> bool:
    """Whether there are letters and digits in it, as in nearly all keys and in few words."""
    return bool(_DIGIT.search(value) and _LETTER.search(value))


_RUN = re.compile(r"[A-Za-z0-9]{10,}")
_HUMPS = re.compile(r"[a-z](?=[A-Z])")
_LONG = re.compile(r"[A-Za-z0-9+/_=~-]{24,}")


def looks_random(value: str) -> bool:
    """Whether `value` looks made up by a machine: a long run of letters and digits; not a path, version or model."""
    value = value[:200]
    runs = [run for run in _RUN.findall(value) if is_mixed(run)]
    if runs and ("/" not in value or max(map(len, runs)) >= 16 or not re.search(r"[a-z]{4}", value)):
        return True
    is_long = _LONG.search(value) is not None and not value.startswith(("/", "./", "~/"))
    return is_long and len(_HUMPS.findall(value)) >= 4


_CAMEL = re.compile(r"_?[A-Z][A-Za-z0-9]{5,80}+")
_CAMEL_WORD = re.compile(r"[A-Z]{1,6}[a-z]{2,}|[A-Z]{2,4}(?=[A-Z0-9]|$)|\d{1,4}(?:[A-Z]{1,3}(?![a-z]))?")


def is_class_name(value: str) -> bool:
    """Whether `value` is written as classes are: `Qwen3ForCausalLM`, `Float32Array1D`."""
    name = value.lstrip("_")
    if _CAMEL.fullmatch(name) is None:
        return False
    words = _CAMEL_WORD.findall(name)
    letters = sum(len(word) for word in words if len(word) > 3 and word.isalpha())
    return "".join(words) == name and letters * 2 >= len(name)
