"""Private keys as files have them: whole, cut, only the last half of one, and their lines quoted one by one.

The lines may stand in any frame: numbered, indented, commented out, in a diff, in a box, or each as a string of its own
in a notebook, a list or a program. Of such strings each is replaced by itself, so that all around them stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.redaction.found import Found
from agent.redaction.looks import is_mixed

LABEL = "[REDACTED_PRIVATE_KEY]"

ARMOUR = r"(?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?"
_BEGIN = re.compile(rf"-----BEGIN {ARMOUR}-----|Private-Lines:\s{{0,3}}\d{{1,4}}")
_MARK = r"\s|\\{1,16}[nrt]|\d{1,6}[\t→|:]|[>|│┃#*]|\+|-(?!----[^-])"
_GAP = rf"(?:{_MARK}){{1,60}}+"
"""Between the lines of a key: a line end, also written as two characters, and what stands in front of a line."""
_QUOTED = rf"(?:{_MARK}|[,\\]){{0,60}}+\\{{0,16}}[\"'`](?:{_MARK}|\\{{0,16}}[\"'`]|[,\\]){{0,80}}+"
"""The same where each line is a string."""
_WHOLE = re.compile(r"(?:[^-\"'`]|-(?!----)){16,40000}+(?=-----END )")
_HEADERS = re.compile(rf"(?:(?:{_GAP})?(?:Proc-Type|DEK-Info|Version|Comment|Hash):[^\"'\n\\]{{0,200}}+){{1,5}}+")
_LINE = re.compile(rf"(?:(?P<quoted>{_QUOTED})|{_GAP})?+(?P<run>[A-Za-z0-9+/=]{{2,}}+)")
_CLOSES = ('"', "'", "`", "\\")
_GOES_ON = re.compile(r"[\w ,.']")
_TAIL = re.compile(
    rf"(?<![A-Za-z0-9+/=])(?P<block>[A-Za-z0-9+/]{{16,}}+={{0,2}}(?:{_GAP}[A-Za-z0-9+/=]{{16,}}+)*+"
    rf"(?:{_GAP}[A-Za-z0-9+/=]{{2,15}}+)?+)(?P<end>(?:{_GAP})?-----END {ARMOUR}-----)?+"
)
JWK_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "k")
"""What is private in a JSON web key (RFC 7518), which is known by its `kty`."""
_JWK_MEMBER = re.compile(
    rf"[\"'](?:{'|'.join(JWK_MEMBERS)})\\{{0,8}}[\"']\s{{0,3}}:\s{{0,3}}\\{{0,8}}[\"'](?P<secret>[\w-]{{20,}}+)",
    re.ASCII,
)


def find_key_files(text: str) -> Iterator[Found]:
    """What is private of the private keys in `text`, in order within each way of looking for them; may overlap."""
    if "-----BEGIN " in text or "Private-Lines:" in text:
        done = 0
        for begin in _BEGIN.finditer(text):
            if begin.start() >= done:
                for one in _after(text, begin.end(), is_armoured=begin[0].startswith("-")):
                    yield one
                    done = one.end
    if "kty" in text:
        for match in _JWK_MEMBER.finditer(text):
            if is_mixed(match["secret"]):
                yield Found(*match.span("secret"), LABEL)
    if "-----END " in text and "PRIVATE KEY" in text:
        for match in _TAIL.finditer(text):
            if match["end"] and is_mixed(match["block"]):
                yield Found(*match.span("block"), LABEL)


def _after(text: str, at: int, *, is_armoured: bool) -> Iterator[Found]:
    """The key that begins at `at`."""
    whole = _WHOLE.match(text, at) if is_armoured else None
    if whole is not None:
        if not whole[0].strip().startswith("[REDACTED"):
            yield Found(*whole.span(), LABEL)
        return
    headers = _HEADERS.match(text, at)
    start, at = at, headers.end() if headers is not None else at
    is_first, plain_end = True, start
    while (line := _LINE.match(text, at)) is not None and _is_line(text, line, is_first=is_first):
        if line["quoted"]:
            if plain_end > start:
                yield Found(start, plain_end, LABEL)
            yield Found(*line.span("run"), LABEL)
            start = plain_end = line.end()
        else:
            plain_end = line.end()
        at, is_first = line.end(), False
    if plain_end > start:
        yield Found(start, plain_end, LABEL)


def _is_line(text: str, line: re.Match[str], *, is_first: bool) -> bool:
    """Whether it goes on looking like a key: long, or short and the end of something."""
    run = line["run"]
    if line["quoted"]:
        return (len(run) >= 16 and (is_mixed(run) or len(run) >= 40)) or (
            not is_first and (is_mixed(run) or run.endswith("=")) and text[line.end() : line.end() + 1] in _CLOSES
        )
    return len(run) >= (8 if is_first else 16) or (not is_first and not _GOES_ON.match(text, line.end()))
