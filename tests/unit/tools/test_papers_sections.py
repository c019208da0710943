"""Sections of papers: how many are read, how their numbers are told from words, and that no text takes for ever."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from agent.tools.papers.latexml import read_page
from agent.tools.papers.limits import OPERATIONS
from agent.tools.papers.markdown import read_markdown
from agent.tools.papers.operations import operations
from agent.tools.papers.paper import MAX_SECTIONS, Paper, Section, find_sections
from agent.tools.papers.reading import Shelf


def test_the_operations_of_the_schema_are_those_that_there_are() -> None:
    assert tuple(operations(Shelf())) == OPERATIONS


# --- input that is made to take long ---------------------------------------------------------------------------------

CPU_LIMIT_S = 20
"""Far more than any of these takes, import included; what grows with the square takes minutes."""
HOSTILE = {
    "digits as a section": "find_sections(paper, '1' * 150 + '!')",
    "letters and digits": "find_sections(paper, 'a1' * 75 + '!')",
    "a long section": "find_sections(paper, '1' * 100_000 + '!')",
    "hashes": "read_markdown('## a\\nx\\n## b\\ny\\n# ' + '#' * 300_000 + 'x', 'u')",
    "blanks": "read_markdown('## a\\nx\\n## b\\ny\\n# ' + ' ' * 300_000 + 'x', 'u')",
    "hashes in blanks": "read_markdown('## a\\nx\\n## b\\ny\\n# ' + ' #' * 150_000 + 'x', 'u')",
}


@pytest.mark.parametrize("work", HOSTILE.values(), ids=HOSTILE)
def test_no_text_takes_more_than_its_length_to_read(work: str) -> None:
    script = (
        "from agent.tools.papers.markdown import read_markdown\n"
        "from agent.tools.papers.paper import Paper, Section, find_sections\n"
        "paper = Paper('T', '', (Section('1', 'One', 2, 'x'),), 'u')\n"
        f"{work}\nprint('read')\n"
    )

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))

    told = subprocess.run([sys.executable, "-c", script], preexec_fn=limited, capture_output=True, text=True)
    assert (told.returncode, told.stdout, told.stderr) == (0, "read\n", "")


@pytest.mark.parametrize(
    ("wanted", "is_number"),
    [
        *((number, True) for number in ("3.1.2", "A", "b.2", "S3", "A1.b2-3", "1a2", "IV", "III-A")),
        *((words, False) for words in ("3 words", "3..1", "data", "1a")),
    ],
)
def test_what_can_only_be_a_number_is_not_looked_for_in_titles(wanted: str, is_number: bool) -> None:
    paper = Paper("T", "", (Section("9", f"On {wanted} and more", 2, "x"),), "u")
    assert bool(find_sections(paper, wanted)) == (not is_number)


def test_the_signs_that_close_a_heading_are_no_part_of_it() -> None:
    paper = read_markdown("# Title #\n\n## One ##\nx\n\n##  Two # 2 ## \ny\n\n## C#\nz", "u")
    assert paper is not None
    assert (paper.title, [section.title for section in paper.sections]) == ("Title", ["One", "Two # 2 ##", "C"])


def test_so_many_sections_are_read_and_that_is_said() -> None:
    section = '<section class="ltx_section"><h2 class="ltx_title">T</h2><p class="ltx_p">x</p></section>'
    for paper in (
        read_page(f'<article class="ltx_document">{section * (MAX_SECTIONS + 5)}</article>', "u"),
        read_markdown("## a\nx\n" * (MAX_SECTIONS + 5), "u"),
    ):
        assert paper is not None
        assert len(paper.sections) == MAX_SECTIONS
        assert f"more than {MAX_SECTIONS:,} sections" in paper.note
    whole = read_markdown("## a\nx\n" * MAX_SECTIONS, "u")
    assert whole is not None
    assert (len(whole.sections), whole.note) == (MAX_SECTIONS, "")
