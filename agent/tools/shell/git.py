"""Which git commands only look."""

from __future__ import annotations

import re

from agent.tools.shell.words import Word, names

SUB_COMMAND = "the sub-command "

_LOOKS = names(
    """status log diff show blame annotate ls-files ls-tree rev-parse rev-list describe shortlog cat-file merge-base
    name-rev for-each-ref show-ref show-branch grep diff-tree diff-index diff-files whatchanged count-objects
    check-ignore check-attr version var range-diff cherry"""
)
_GLOBAL_FLAGS = names("--no-pager -P --no-optional-locks --literal-pathspecs --icase-pathspecs --no-replace-objects")
_REFUSED = (
    "--output",
    "--ext-diff",
    "--exec",
    "--upload-pack",
    "--open-files-in-pager",
    "--show-signature",
    "--filters",
)
"""Options that write a file or start a program, refused in every abbreviation that git would take."""

_LISTING = re.compile(r"--(list|contains|no-contains|merged|no-merged|points-at)(=.*)?|-l")
_BRANCH_OPTIONS = re.compile(
    r"-[alrvi]+|--(all|list|remotes|verbose|show-current|contains|no-contains|merged|no-merged|points-at|column"
    r"|no-column|color|no-color|ignore-case|sort|format|abbrev)(=.*)?"
)
_TAG_OPTIONS = re.compile(
    r"-[ln]\d*|--(list|contains|no-contains|merged|no-merged|points-at|column|no-column|sort|format|color)(=.*)?"
)


def split_git(words: tuple[Word, ...]) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
    """The global options that change nothing but the directory, and the rest, which begins with the sub-command."""
    at = 0
    while at < len(words):
        if words[at].text in _GLOBAL_FLAGS:
            at += 1
        elif words[at].text == "-C" and at + 1 < len(words):
            at += 2
        else:
            break
    return words[:at], words[at:]


def git_changes(words: tuple[Word, ...]) -> str | None:
    """Which part of a git command may change something or start a program; None if it only looks."""
    _, rest = split_git(words)
    if not rest:
        return None
    name, arguments = rest[0].text, rest[1:]
    for word in arguments:
        option = word.text.split("=", 1)[0]
        if len(option) > 2 and any(refused.startswith(option) for refused in _REFUSED):
            return f"option {option}"
        if name == "grep" and word.text.startswith("-O"):
            return f"option {word.text}"
    if name in _LOOKS:
        return None
    texts = [word.text for word in arguments]
    return None if _lists(name, texts) else f"{SUB_COMMAND}{name}"


def _lists(name: str, texts: list[str]) -> bool:
    match name:
        case "branch":
            return _only_options(texts, _BRANCH_OPTIONS)
        case "tag":
            return _only_options(texts, _TAG_OPTIONS)
        case "remote":
            return texts in ([], ["-v"], ["--verbose"]) or texts[0] == "get-url"
        case "stash":
            return texts[:1] in (["list"], ["show"])
        case "reflog":
            return texts[:1] == ["show"] or all(text.startswith("-") for text in texts)
        case "worktree":
            return texts[:1] == ["list"]
        case "--version":
            return not texts
        case _:
            return False


def _only_options(texts: list[str], allowed: re.Pattern[str]) -> bool:
    """Names are patterns or commits only where an option asks for a list; otherwise they are created."""
    listing = any(_LISTING.fullmatch(text) for text in texts)
    return all(allowed.fullmatch(text) if text.startswith("-") else listing for text in texts)
