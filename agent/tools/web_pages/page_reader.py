"""HTML to Markdown, run as a program of its own: `python -I page_reader.py`, a page on stdin, JSON on stdout.

Pages are written by anybody, and the parsers under this are C and regular expressions: a page made for it can take
hours, or all memory. A process of its own can be stopped, has limits and no secrets, and blocks nobody's event loop.
So nothing here is imported by the rest of the program, and nothing of the program is imported here.

In: a JSON line `{"url": …}`, then the page in UTF-8. Out: `{"title", "date", "text", "moves_to", "is_partial"}`;
`date` is YYYY-MM-DD or "", `moves_to` the address of a meta refresh or "", `is_partial`: nested too deeply or too long,
so that a part is left out.
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
import sys
from typing import Any
from urllib.parse import urljoin

MAX_MEMORY_BYTES = 1 << 30
MAX_CPU_S = 20
MAX_TEXT_CHARS = 4_000_000
MAX_EXTRACTED_ELEMENTS = 30_000
"""The extractor takes about 0.1 ms for each element; a page with more of them is written out as it stands."""
LITTLE_CHARS = 250
MAX_HREF_CHARS = 2_000

_NEVER_SEEN = frozenset(
    "script style noscript template iframe object embed svg canvas audio video datalist dialog".split()
)
_BLOCKS = frozenset(
    "address article aside blockquote body br caption dd details div dl dt fieldset figcaption figure footer form "
    "h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section summary table tbody tfoot thead tr ul".split()
)
_HIDDEN_STYLE = re.compile(
    r"(?:^|;)(?:display:none|visibility:(?:hidden|collapse)|content-visibility:hidden"
    r"|font-size:\+?(?:0+\.?0*|\.0+)[a-z%]*(?=[;!]|$)|font:0[a-z]*/|(?:left|top|right|text-indent):-\d{4,}px)"
)
_CSS_ESCAPE = re.compile(r"\\([0-9a-f]{1,6})\s?")
_CSS_NOISE = re.compile(r"/\*.*?\*/|\s+", re.DOTALL)
_REFRESH = re.compile(r"^\s*(\d{1,4})(?:\.\d*)?\s*[;,]\s*(?:url\s*=\s*)?['\"]?([^'\"]+)", re.IGNORECASE)
_DAY = re.compile(r"^\s*(\d{4})[-/](\d{2})[-/](\d{2})")
_DATE_NAMES = (
    "article:modified_time article:published_time datemodified datepublished citation_publication_date citation_date "
    "dc.date date last-modified"
).split()


def main() -> None:
    """Read one page."""
    _limit_self()
    head = json.loads(sys.stdin.buffer.readline())
    page = read_page(sys.stdin.buffer.read(), head["url"])
    sys.stdout.buffer.write(json.dumps(page, ensure_ascii=False).encode("utf-8", "replace"))


def read_page(body: bytes, url: str) -> dict[str, Any]:
    """The page as the module's docstring describes it. `body` is UTF-8."""
    from lxml import html  # type: ignore[import-untyped]

    parser = html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    page = {"title": "", "date": "", "text": "", "moves_to": "", "is_partial": False}
    try:
        tree = html.document_fromstring(body, parser=parser)
    except (html.etree.ParserError, html.etree.XMLSyntaxError):  # nothing in it
        return page
    page["is_partial"] = any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log)
    page["title"], page["date"], page["moves_to"] = _title(tree), _date(tree), _refresh(tree, url)
    _clean(tree, url)
    text = _markdown(tree, url)
    page["text"] = text[:MAX_TEXT_CHARS]
    page["is_partial"] = page["is_partial"] or len(text) > MAX_TEXT_CHARS
    return page


def _limit_self() -> None:
    limits = (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CPU, MAX_CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    )
    for what, limit in limits:
        with contextlib.suppress(OSError, ValueError):  # not every system has every limit
            resource.setrlimit(what, (limit, limit))


# --- what the page says of itself ------------------------------------------------------------------------------------


def _title(tree: Any) -> str:
    meta = tree.xpath("//meta[@property='og:title']/@content")
    for found in (tree.findtext(".//head/title"), *meta, *(node.text_content() for node in tree.iter("h1"))):
        if found and (title := " ".join(found.split())):
            return title[:300]
    return ""


def _date(tree: Any) -> str:
    named: dict[str, str] = {}
    for meta in tree.iter("meta"):
        name = (meta.get("property") or meta.get("itemprop") or meta.get("name") or "").lower()
        named.setdefault(name, meta.get("content") or "")
    times = [node.get("datetime") or "" for node in tree.iter("time")]
    for text in (*(named.get(name, "") for name in _DATE_NAMES), *times[:1]):
        if day := _DAY.match(text):
            return "-".join(day.groups())
    return ""


def _refresh(tree: Any, url: str) -> str:
    for meta in tree.iter("meta"):
        if (meta.get("http-equiv") or "").lower() == "refresh" and (found := _REFRESH.match(meta.get("content") or "")):
            with contextlib.suppress(ValueError):
                target = urljoin(url, found[2].strip())
                return target if target.startswith(("https://", "http://")) and target != url else ""
    return ""


# --- what nobody would see -------------------------------------------------------------------------------------------


def _clean(tree: Any, url: str) -> None:
    """Remove what a browser would not show, and make links whole: text that only a program sees is a hiding place."""
    for node in list(tree.iter()):
        if node.getparent() is None or node.tag == "body":  # hidden as a whole until a script shows it: it is shown
            continue
        if _is_unseen(node):
            node.drop_tree()
        elif node.tag == "math":
            _as_formula(node)
        elif node.tag == "a":
            _clean_link(node)
    tree.make_links_absolute(url, handle_failures="ignore")


def _is_unseen(node: Any) -> bool:
    if node.tag in _NEVER_SEEN:
        return node.tag != "dialog" or node.get("open") is None
    if node.get("hidden") is not None or (node.get("aria-hidden") or "").strip().lower() == "true":
        return True
    style = node.get("style")
    if not style:
        return False
    plain = _CSS_ESCAPE.sub(lambda found: chr(int(found[1], 16) % 0x110000), style.lower())
    return _HIDDEN_STYLE.search(_CSS_NOISE.sub("", plain).lower()) is not None


def _as_formula(node: Any) -> None:
    """MathML as TeX, where it says what that is: its own text comes out as each symbol twice."""
    source = node.get("alttext") or next((note.text_content() for note in node.iter("annotation")), "")
    if source.strip():
        tail = node.tail
        node.clear()
        node.tag, node.text, node.tail = "span", f"${source.strip()}$", tail


def _clean_link(node: Any) -> None:
    href = (node.get("href") or "").strip()
    if "headerlink" in (node.get("class") or "").split():
        node.drop_tree()
    elif href.startswith("#") or len(href) > MAX_HREF_CHARS:
        node.drop_tag()
    elif re.match(r"[a-z][a-z0-9+.-]*:", href, re.IGNORECASE) and not re.match(r"https?:|mailto:", href, re.IGNORECASE):
        node.drop_tag()  # javascript:, data:


def _walk(tree: Any) -> Any:
    from lxml import etree

    return etree.iterwalk(tree, events=("start", "end"))


# --- text ------------------------------------------------------------------------------------------------------------


def _markdown(tree: Any, url: str) -> str:
    """The page's main text; the whole of it if it is short, or the extractor finds next to nothing (lists of links)."""
    whole = _written_out(tree)
    if len(whole) < LITTLE_CHARS or sum(1 for _ in tree.iter()) > MAX_EXTRACTED_ELEMENTS:
        return whole
    text = _extracted(tree, url)
    return text if len(text) >= LITTLE_CHARS or 2 * len(text) >= len(whole) else whole


def _extracted(tree: Any, url: str) -> str:
    import logging

    import trafilatura

    logging.disable()
    try:
        found = trafilatura.extract(
            tree, url=url, output_format="markdown", favor_recall=True, include_links=True, include_tables=True
        )
    except Exception:  # noqa: BLE001  (RecursionError by deep nesting, for one) there is another way
        return ""
    return (found or "").strip()


def _written_out(tree: Any) -> str:
    """All text, with line breaks, headings, list items and links."""
    parts: list[str] = []
    in_pre = 0

    def put(text: str | None) -> None:
        if not text:
            return
        if not in_pre:
            text = re.sub(r"\s+", " ", text)
            text = text.lstrip(" ") if not parts or parts[-1].endswith(("\n", " ")) else text
        parts.append(text)

    body = tree.find(".//body")
    body = tree if body is None else body
    for event, node in _walk(body):
        tag, is_start = node.tag, event == "start"
        in_pre += (1 if is_start else -1) if tag == "pre" else 0
        if tag in _BLOCKS:
            parts.append(_break(tag, is_start))
        elif tag in ("td", "th") and not is_start:
            parts.append(" | ")
        elif tag == "a" and node.get("href"):
            parts.append("[" if is_start else f"]({node.get('href')})")
        put(node.text if is_start else node.tail if node is not body else None)
    text = re.sub(r"\[\s*\]\([^()\s]*\)", "", "".join(part for part in parts if part))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()


def _break(tag: str, is_start: bool) -> str:
    """What begins or ends a block."""
    if re.fullmatch(r"h[1-6]", tag):
        return f"\n\n{'#' * int(tag[1])} " if is_start else "\n\n"
    if tag == "pre":
        return "\n```\n"
    if tag == "li" and is_start:
        return "\n- "
    return "\n\n" if tag == "p" else "\n"


if __name__ == "__main__":
    main()
