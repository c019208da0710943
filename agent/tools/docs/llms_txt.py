"""The lists and books that documentation sites publish for programs: `llms.txt` and `llms-full.txt`.

`llms.txt` is a Markdown list of pages, one link a line. `llms-full.txt`, as the Hub publishes it since November 2025,
is the same list, then for each page a line `### title`, a line with its address, a blank line and the page itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from itertools import islice

from agent.light_dataclass import dataclass
from agent.tools.docs.passages import MAX_HEADINGS, headings_of, slug_of

MAX_PAGES = 20_000
"""Of one book; links that come after so many are not looked at."""
_MAX_LINE_CHARS = 2_000
_PROSE_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a book. `text` None: it is known by its title only, and by `about`, what the list says of it."""

    title: str
    url: str
    text: str | None = None
    about: str = ""


Address = Callable[[str], str | None]
"""The address that a link means, in the one spelling used here; None if it leads out of the documentation."""


@dataclass(slots=True)
class _Reader:
    address: Address
    listed: dict[str, Page] = field(default_factory=dict)
    links: int = 0
    preface: list[str] = field(default_factory=list)
    page: Page | None = None
    lines: list[str] = field(default_factory=list)

    def take(self, line: str) -> None:
        """A line that begins no page."""
        if self.page is not None:
            self.lines.append(line)
            return
        self.preface.append(line)
        if len(line) > _MAX_LINE_CHARS or self.links >= MAX_PAGES or (found := _link(line)) is None:
            return
        self.links += 1
        title, link, about = found
        if (url := self.address(link)) is not None:
            self.listed.setdefault(url, Page(title, url, None, about))

    def begins_page(self, line: str, following: str) -> Page | None:
        """The page that these two lines begin: its title and an address from the list that has not come yet."""
        if not line.startswith("### ") or len(following) > _MAX_LINE_CHARS or not (url := following.strip()):
            return None
        return self.listed.get(self.address(url) or "")

    def finished(self) -> Page | None:
        """The page that has come to its end."""
        if self.page is None:
            return None
        page = Page(self.page.title, self.page.url, "".join(self.lines).strip("\n") + "\n", self.page.about)
        self.lines.clear()
        return page


def read_pages(
    lines: Iterable[str], address: Address, *, is_cut: bool = False, prose_url: str | None = None
) -> Iterator[Page]:
    """The pages of an `llms.txt` or `llms-full.txt`, each once: those with their text first, then those only listed.

    `is_cut`: the text ends in the middle of a page, which then counts as only listed. With `prose_url`, what stands
    around the list is worth reading itself: its sections are pages too, at that address.
    """
    reader = _Reader(address)
    held: str | None = None
    for line in lines:
        if held is not None and (page := reader.begins_page(held, line)):
            if (finished := reader.finished()) is not None:
                yield finished
            reader.page = page
            del reader.listed[page.url]
            held = None
            continue
        if held is not None:
            reader.take(held)
        held = line
    if held is not None:
        reader.take(held)
    if (finished := reader.finished()) is not None:
        yield Page(finished.title, finished.url, None, finished.about) if is_cut else finished
    if prose_url is not None:
        yield from _sections("".join(reader.preface), prose_url)
    yield from reader.listed.values()


def _link(line: str) -> tuple[str, str, str] | None:
    """Title, address and description of a line of a list: `- [title](address): description`."""
    item = line.strip()
    if not item.startswith(("- [", "* [", "+ [")):
        return None
    title, middle, rest = item[3:].partition("](")
    link, end, about = rest.partition(")")
    if not (title and middle and link and end) or " " in link:
        return None
    return title, link, about.lstrip(" :–-")


def _sections(text: str, url: str) -> Iterator[Page]:
    """The sections of a text, each as a page at the text's address with the heading's anchor."""
    starts = [heading for heading in islice(headings_of(text), MAX_HEADINGS) if heading.level <= _PROSE_LEVEL]
    ends = [*(heading.offset for heading in starts[1:]), len(text)]
    seen: set[str] = set()
    for heading, end in zip(starts, ends, strict=False):  # a text without headings has no section
        anchor = slug_of(heading.words)
        if anchor and anchor not in seen:
            seen.add(anchor)
            yield Page(heading.words, f"{url}#{anchor}", text[heading.offset : end])
