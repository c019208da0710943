"""Character sets of the web: which there are, and which of them a page is in."""

from __future__ import annotations

import codecs
import re

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_IN_PAGE = re.compile(rb"<(?:meta|\?xml)[^>]{0,400}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_SNIFFED_BYTES = 4096
_CHARSETS = re.compile(
    r"utf-8|utf-16(?:-[lb]e)?|iso8859-\d+|cp125\d|cp866|cp874|cp932|cp949|koi8-[ru]|gb2312|gbk|gb18030|big5(?:hkscs)?"
    r"|shift_jis|euc_jp|euc_kr|iso2022_jp|mac-roman|tis-620"
)
"""Those of the web. Python has more, some of them quadratic (punycode) or no character sets at all."""
_AS_BROWSERS_DO = {"iso8859-1": "cp1252", "ascii": "cp1252"}


def decoded(body: bytes, declared: str) -> str:
    """A page as text: by its byte order mark, the server's word (`declared`, or ""), its own, or what fits.

    A declaration that does not fit is not believed.
    """
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body.decode(name, "replace")
    inside = _IN_PAGE.search(body[:_SNIFFED_BYTES])
    names = (declared, inside[1].decode("ascii", "replace") if inside else "", "utf-8")
    for name in filter(None, map(known_charset, names)):
        try:  # not final: a body that was cut may end within a character
            return codecs.getincrementaldecoder(name)().decode(body)
        except UnicodeDecodeError:
            continue
    return body.decode("cp1252", "replace")


def declared_charset(content_type: str) -> str:
    """The charset parameter of a Content-Type header."""
    return content_type.lower().partition("charset=")[2].split(";")[0].strip(" \"'")


def known_charset(name: str) -> str:
    """Python's name of a character set of the web; "" for anything else."""
    try:
        found = codecs.lookup(name[:40]).name
    except (LookupError, ValueError):
        return ""
    found = _AS_BROWSERS_DO.get(found, found)
    return found if _CHARSETS.fullmatch(found) else ""
