"""Where the bash grammar and a real shell may read a command differently.

A tree without errors is not proof that the shell sees the same commands in the text. What is known to part them is
looked for here; a command where it occurs is never taken for harmless.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING

from agent.tools.shell.words import ESCAPED, source_text, walk

if TYPE_CHECKING:
    from tree_sitter import Node

_METACHARACTERS = re.compile(r"[;&|<>()'\"\n`]|\$[({\[]")


def odd_characters(text: str) -> str | None:
    """Characters that a shell and a person may see differently: controls, invisible ones, blanks that are no blanks."""
    for char in set(text) - {"\n", "\t", " "}:
        category = unicodedata.category(char)
        if category in {"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"}:
            return f"it contains the character U+{ord(char):04X}, which may be read in two ways"
    return None


def suspicion(root: Node, source: bytes) -> str | None:
    """The first place where grammar and shell may disagree, in words; None where the tree can be trusted."""
    if root.has_error:
        return "it could not be parsed as a shell command"
    if re.search(rb"\S\\\n", source):
        return "a line is continued in the middle of a word"
    end = 0
    for node, _ in walk(root):
        if node.type == "heredoc_body":
            end = node.end_byte  # its plain text has no nodes; `_odd_heredoc` has looked at it
        if odd := _odd_node(node, source):
            return odd
        if not node.child_count:
            gap = source[end : node.start_byte]
            # The grammar loses the `-` of `python - <<EOF`; it means the input, which the here-document is anyway.
            if not _is_blank(gap) and not (gap.strip(b" \t") == b"-" and node.type in {"<<", "<<-"}):
                return "part of it could not be parsed as a shell command"
            end = max(end, node.end_byte)
    return None if _is_blank(source[end:]) else "part of it could not be parsed as a shell command"


def _is_blank(source: bytes) -> bool:
    return not source.replace(b"\\\n", b"").strip(b" \t\n")


def _odd_node(node: Node, source: bytes) -> str | None:
    match node.type:
        case "comment":
            before = source[max(0, node.start_byte - 1) : node.start_byte]
            return None if before in b" \t\n;&|()" else "a comment begins inside a word"
        case "heredoc_redirect":
            return _odd_heredoc(node, source)
        case "concatenation":
            touching = all(left.end_byte == right.start_byte for left, right in pairwise(node.children))
            return None if touching else "the borders of a word are unclear"
        case "command" | "redirected_statement" | "declaration_command" | "unset_command" | "file_redirect":
            # A line that is only a backslash, after a comment, is no continuation to the shell.
            gaps = (source[left.end_byte : right.start_byte] for left, right in pairwise(node.children))
            whole = all(b"\n" not in gap.replace(b"\\\n", b"") for gap in gaps)
            return None if whole else "where a command ends is unclear"
        case "=~" | "regex" if node.parent is not None and node.parent.type == "command":
            # To the grammar a pattern follows `=~` everywhere, and swallows operators; to the shell only in `[[ ]]`.
            return "a word contains shell syntax"
        case _:
            return "a word contains shell syntax" if not node.child_count and _unsound(node) else None


def _odd_heredoc(node: Node, source: bytes) -> str | None:
    """Check that the here-document ends where the shell ends it: at the first line that is its delimiter."""
    start = next((child for child in node.children if child.type == "heredoc_start"), None)
    end = next((child for child in node.children if child.type == "heredoc_end"), None)
    quoted = re.fullmatch(r"(['\"]?)([A-Za-z_]\w*)\1", source_text(start)) if start else None
    if start is None or end is None or quoted is None:
        return "a here-document has an unusual delimiter"
    first_newline = source.find(b"\n", start.end_byte)
    rest = source[start.end_byte : max(0, first_newline)]
    if first_newline < 0 or rest.count(b"'") % 2 or rest.count(b'"') % 2 or re.search(rb"[\\`<]|\$\(", rest):
        return "a here-document begins on an unusual line"
    strip_tabs = node.children[0].type == "<<-"
    at = first_newline + 1
    for line in source[at:].split(b"\n"):
        if (line.lstrip(b"\t") if strip_tabs else line) == quoted[2].encode():
            break
        at += len(line) + 1
    body = source[first_newline + 1 : at]
    if not at <= end.start_byte <= end.end_byte <= at + len(line):
        return "a here-document ends at an unclear place"
    if not quoted[1] and re.search(rb"`|\$[({\[]|\\\n", body):
        return "a here-document contains substitutions"
    return None


def _unsound(node: Node) -> bool:
    """Whether a leaf holds what a shell would not take for plain text: grammar and shell read it differently."""
    text = source_text(node)
    match node.type:
        case "word" | "number" | "variable_name":
            return bool(_METACHARACTERS.search(ESCAPED.sub("", text)))
        case "ansi_c_string":
            return "\\'" in text  # a plain POSIX shell ends the string there
        case "string_content" | "regex" | "heredoc_content":
            bare = ESCAPED.sub("", text)
            return any(sign in bare for sign in ("`", "$(", "${", "$["))
        case _:
            return False
