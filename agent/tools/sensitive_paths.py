"""Which paths hold credentials. Judged by the text alone: the file need not exist, and no link is followed."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

_PLACES = """
    .ssh .aws .azure .gnupg .kaggle .kube .password-store .git-credentials .netrc _netrc .pypirc .npmrc .pgpass
    .my.cnf .s3cfg .boto .databrickscfg .vault-token .env .env.* .envrc .*_history .config/gcloud .config/gh
    .config/hub .config/op .config/rclone .docker/config.json .huggingface/token huggingface/token
    huggingface/stored_tokens hf_home/token hf_home/stored_tokens credentials credentials.*
    application_default_credentials.json client_secret*.json service*account*.json kaggle.json secrets.toml
    secrets.json secrets.yaml secrets.yml id_rsa* id_dsa* id_ecdsa* id_ed25519* *.p12 *.pfx *.key *private*.pem
    *key*.pem keyrings keychains proc/*/environ proc/*/task/*/environ etc/shadow* etc/gshadow* etc/sudoers*
    run/secrets ml-intern/cli_agent_config.json
"""
"""Consecutive components of a path, case-folded; what lies below such a place is sensitive as well."""

_PATTERNS = tuple(tuple(place.split("/")) for place in _PLACES.split())
_HARMLESS = r"(?!id_\w+\.pub/|\.env\.(?:example|sample|template|dist|tmpl)/|credentials\.(?:py|md|rst)/)"
_WILDCARDS = frozenset("*?[]!{}")
_MAX_PATH_CHARS = 4096
"""No system opens a longer path."""


@cache
def _sensitive() -> re.Pattern[str]:
    choices = (
        "/".join("[^/]*".join(map(re.escape, component.split("*"))) for component in pattern) for pattern in _PATTERNS
    )
    return re.compile(f"/{_HARMLESS}(?:{'|'.join(choices)})/")


def is_sensitive_path(path: str | Path) -> bool:
    """Whether a path names credentials or a directory of them.

    `~` and `$HOME` are understood, `..` is resolved in the text. A pattern such as `~/.s*/id_*` counts if it could
    match such a place. Links are not followed: a caller that opens files asks once more with the resolved path.
    """
    text = str(path)
    if not text or len(text) > _MAX_PATH_CHARS:
        return False
    text = re.sub(r"^file://", "", text).casefold()
    text = re.sub(r"^\$\{?(\w+)\}?", r"\1", text)  # `$HF_HOME/token` is `hf_home/token`
    text = posixpath.normpath(text)
    if _sensitive().search(f"/{text}/"):
        return True
    parts = text.split("/")
    if not any(_WILDCARDS & set(part) for part in parts):
        return False
    return any(_meets_at(parts, start, pattern) for pattern in _PATTERNS for start in range(len(parts)))


def names_sensitive_path(text: str, directories: Sequence[str | None] = ()) -> bool:
    """Whether a word of a command names such a path, alone or inside (`--file=~/.netrc`, `HEAD:.env`, `@.env`).

    `directories` are those it may be relative to: after `cd ~/.cache/huggingface`, `cat token` is sensitive.
    """
    candidates = {text, *re.split(r"[=:,@\s]+", text, maxsplit=50)} - {""}
    if any(is_sensitive_path(candidate) for candidate in candidates):
        return True
    bases = [base for base in directories if base is not None]
    return any(is_sensitive_path(posixpath.join(base, candidate)) for base in bases for candidate in candidates)


def _meets_at(parts: list[str], start: int, pattern: tuple[str, ...]) -> bool:
    """Whether the shell could put a sensitive place for these components of a pattern that someone typed."""
    here = parts[start : start + len(pattern)]
    if len(here) < len(pattern):
        return False
    # `*` alone fits everything; without a dot or two letters that point there, nobody means credentials.
    specific = [part for part, wanted in zip(here, pattern, strict=True) if wanted != "*"]
    letters = sum(sign not in _WILDCARDS for part in specific for sign in part)
    pointed = letters >= 2 or any(part[:1] == "." for part in here)
    return pointed and all(_meets(part, wanted) for part, wanted in zip(here, pattern, strict=True))


def _meets(part: str, wanted: str) -> bool:
    if not _WILDCARDS & set(part):
        return fnmatchcase(part, wanted)
    samples = {wanted.replace("*", ""), wanted.replace("*", "x")}
    # A wildcard never stands for a leading dot.
    return any((sample[:1] != "." or part[0] == ".") and fnmatchcase(sample, part) for sample in samples)


def holds_secrets(path: str, home: str) -> bool:
    """Whether a directory is so high up that reading everything below it reads credentials: `/`, a home, `/proc`."""
    text = posixpath.normpath(expand_home(path.rstrip("*") or path, home))
    if text == posixpath.normpath(home) or posixpath.normpath(home).startswith(text.rstrip("/") + "/"):
        return True
    return bool(re.fullmatch(r"/+|/(proc|etc|run)(/.*)?|/(root|home|Users|var)|/(home|Users)/[^/]+|.*/\.config", text))


def home_directory() -> str:
    """The person's home, or `~` where the system knows none."""
    return os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none


def expand_home(path: str, home: str) -> str:
    """The path with a leading `~`, `$HOME` or `${HOME}` replaced; `~name` is taken to lie beside this home."""
    if match := re.match(r"(~|\$HOME|\$\{HOME\})(?=/|$)", path):
        return home + path[match.end() :]
    if match := re.match(r"~([A-Za-z_][\w.-]*)(?=/|$)", path):
        other = "/root" if match[1] == "root" else posixpath.join(posixpath.dirname(home), match[1])
        return other + path[match.end() :]
    return path
