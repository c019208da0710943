"""Documentation that is only there as HTML: the pages named at its side, and the text of one. Blocking."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.tools.docs.llms_txt import Address, Page
from agent.web.html_depth import is_too_deep

_UNWANTED = "script, style, noscript, template, svg, nav, header, footer, button, form, [hidden], [aria-hidden=true]"
_BODIES = ("div.prose-doc", "main article", "article", "main", "body")
_BREAKS = "p, div, section, article, ul, ol, table, tr, blockquote, dt, dd, br"
_MANY_BREAKS = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_BLANKS = re.compile(r"[ \t\r\f\v]+")


def sidebar_pages(html: bytes, address: Address) -> Iterator[Page]:
    """The pages that the first `nav` with the class `flex-auto` links to, in its order."""
    from selectolax.lexbor import LexborHTMLParser

    if is_too_deep(html):
        return
    nav = LexborHTMLParser(html).css_first("nav[class*=flex-auto]")
    seen: set[str] = set()
    for link in nav.css("a[href]") if nav is not None else ():
        url = address(link.attributes.get("href") or "")
        title = _BLANKS.sub(" ", link.text().replace("\n", " ")).strip()
        if url is not None and title and url not in seen:
            seen.add(url)
            yield Page(title, url)


def text_of(html: bytes) -> str:
    """The main text of a page with its headings, lists and code as in Markdown; "" if there is none."""
    from selectolax.lexbor import LexborHTMLParser

    if is_too_deep(html):
        return ""
    tree = LexborHTMLParser(html)
    for node in tree.css(_UNWANTED):
        node.decompose()
    body = next((found for name in _BODIES if (found := tree.css_first(name)) is not None), None)
    if body is None:
        return ""
    for level in range(1, 7):
        for node in body.css(f"h{level}"):
            node.insert_before(f"\n\n{'#' * level} ")
            node.insert_after("\n\n")
    for node in body.css("pre"):
        node.insert_before("\n\n```\n")
        node.insert_after("\n```\n\n")
    for node in body.css("li"):
        node.insert_before("\n- ")
    for node in body.css(_BREAKS):
        node.insert_after("\n\n" if node.tag in ("p", "div", "section", "table") else "\n")
    return _MANY_BREAKS.sub("\n\n", body.text()).strip()
