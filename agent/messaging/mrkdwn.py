"""Markdown as Slack writes it ("mrkdwn"): `*bold*`, `_italic_`, `~struck~`, `<url|label>`; code is left as it is.

Source of the format: Slack's documentation of message text (formatting with mrkdwn, escaping of `&`, `<`, `>`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

_OWN = re.compile(r"<(?:[@#!]|https?://|mailto:)[^<>\s][^<>\n]*>")
"""What is Slack's own markup already: a person, a channel, a group, a link."""
_HELD = re.compile("\ue000(\\d+)\ue001")
_ENTITY = re.compile(r"&(?=(?:amp|lt|gt);)")
_MARKS = {"strong": ("*", "*"), "em": ("_", "_"), "s": ("~", "~")}


def to_mrkdwn(text: str) -> str:
    """`text`, Markdown, as Slack's mrkdwn. What is no markup (`2 * 3 * 4`, a lone `_`) stays as it is."""
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

    own: list[str] = []

    def hold(match: re.Match[str]) -> str:
        own.append(match.group())
        return f"\ue000{len(own) - 1}\ue001"

    plain = re.sub("[\ue000-\ue002]", "", text)
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable("entity")
    tree = SyntaxTreeNode(parser.parse(_OWN.sub(hold, plain)))
    written = _blocks(tree.children, plain)
    return _HELD.sub(lambda match: own[int(match[1])], written)


def escaped(text: str) -> str:
    """`text` with the three characters that Slack reads as markup escaped, each once."""
    return (
        _ENTITY.sub("\ue002", text)
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\ue002", "&")
    )


def _blocks(nodes: list[SyntaxTreeNode], source: str, between: str = "\n\n") -> str:
    return between.join(filter(None, (_block(node, source) for node in nodes)))


def _block(node: SyntaxTreeNode, source: str) -> str:
    match node.type:
        case "heading":
            inner = _inline(node.children).replace("*", "").strip()
            return f"*{inner}*" if inner else ""
        case "fence" | "code_block":
            return f"```\n{escaped(node.content.rstrip(chr(10)))}\n```"
        case "bullet_list" | "ordered_list":
            return _list(node, source)
        case "blockquote":
            return "\n".join(f"> {line}" for line in _blocks(node.children, source).split("\n"))
        case "hr":
            return "---"
        case "table":
            return _table(node)
        case _:
            return _inline(node.children) if node.children else escaped(node.content)


def _list(node: SyntaxTreeNode, source: str) -> str:
    first = int(node.attrs.get("start", 1))
    lines = []
    for number, item in enumerate(node.children, first):
        mark = f"{number}." if node.type == "ordered_list" else "•"
        body = _blocks(item.children, source, "\n")
        lines.append(f"{mark} " + body.replace("\n", "\n    "))
    return "\n".join(lines)


def _table(node: SyntaxTreeNode) -> str:
    """Slack has no tables: one in columns of even width, as code."""
    rows = [[_words(cell) for cell in row.children] for part in node.children for row in part.children]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "```\n" + "\n".join(lines) + "\n```"


def _words(node: SyntaxTreeNode) -> str:
    """The text of a table's cell, without its marks: in code they would be shown."""
    return "".join(map(_words, node.children)) if node.children else escaped(node.content)


def _inline(nodes: list[SyntaxTreeNode], outer: str = "") -> str:
    return "".join(_span(node, outer) for node in nodes)


def _span(node: SyntaxTreeNode, outer: str) -> str:
    if node.type in ("inline", "paragraph"):
        return _inline(node.children, outer)
    if node.type in _MARKS:
        before, after = _MARKS[node.type]
        inner = _inline(node.children, outer + before)
        return f"{before}{inner}{after}" if inner.strip() and before not in outer else inner
    if node.type == "code_inline":
        return f"`{escaped(node.content)}`"
    if node.type in ("link", "image"):
        return _link(node, outer)
    if node.type in ("softbreak", "hardbreak"):
        return "\n"
    return escaped(node.content)


def _link(node: SyntaxTreeNode, outer: str) -> str:
    address = str(node.attrs.get("href") or node.attrs.get("src") or "")
    label = (node.content if node.type == "image" else _inline(node.children, outer)).replace("|", "¦")
    if not re.match(r"https?://|mailto:", address):
        return label
    address = escaped(address).replace("|", "%7C")
    return f"<{address}|{label}>" if label and label != address else f"<{address}>"
