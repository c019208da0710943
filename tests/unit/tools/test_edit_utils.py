"""Finding and changing text: the exact way, the loose ways, and what must never be touched."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.tools.edit_utils import UNICODE_MAP, apply_edit, fuzzy_find, fuzzy_find_original_match

RTRIM = "(matched after trimming trailing whitespace)"
TRIM = "(matched after trimming whitespace)"
UNICODE = "(matched after unicode normalization)"

PYTHON = """\
class Model:
    def fit(self):
        for epoch in range(3):
            self.step(epoch)
        return self

    def step(self, epoch):
        print(epoch)
"""


# --- exact -----------------------------------------------------------------------------------------------------------


def test_exact_replacement_inside_a_line() -> None:
    assert apply_edit("a = 1\nb = 2\n", "= 2", "= 3") == ("a = 1\nb = 3\n", 1, None)


def test_exact_replacement_is_literal() -> None:
    assert apply_edit("x\ny\n", "x\n", "") == ("y\n", 1, None)
    assert apply_edit("x", "x", r"\1 \g<0>")[0] == r"\1 \g<0>"


def test_append_and_prepend_are_literal() -> None:
    assert apply_edit("import os\n", "import os", ", sys", "append_after") == ("import os, sys\n", 1, None)
    assert apply_edit("b\n", "b", "a\n", "prepend_before") == ("a\nb\n", 1, None)


def test_replace_all() -> None:
    assert apply_edit("x y x", "x", "z", replace_all=True) == ("z y z", 2, None)
    assert apply_edit("x y x", "x", "z", "append_after", True) == ("xz y xz", 2, None)
    assert apply_edit("aaa", "aa", "b", replace_all=True) == ("ba", 1, None)


@pytest.mark.parametrize("mode", ["replace", "append_after", "prepend_before"])
def test_several_places_are_an_error_with_their_lines(mode: str) -> None:
    with pytest.raises(ValueError, match=r"3 times, at lines 1, 3, 4\b"):
        apply_edit("x = 1\ny\nx = 1\nx = 1\n", "x = 1", "z", mode)


def test_overlapping_places_are_several() -> None:
    with pytest.raises(ValueError, match="2 times"):
        apply_edit("}\n}\n}\n", "}\n}", "]")


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", ["", " ", "   ", "\n", " \n\t\n", "\u200b", "\ufeff \u00a0"])
@pytest.mark.parametrize("mode", ["replace", "append_after", "prepend_before"])
@pytest.mark.parametrize("replace_all", [True, False])
def test_blank_old_str(old: str, mode: str, replace_all: bool) -> None:
    with pytest.raises(ValueError, match="blank"):
        apply_edit("def f():\n    return 1\n", old, "new", mode, replace_all)


def test_nothing_to_change() -> None:
    with pytest.raises(ValueError, match="the same"):
        apply_edit("a\n", "a", "a")
    with pytest.raises(ValueError, match="nothing to add"):
        apply_edit("a\n", "a", "", "append_after")
    with pytest.raises(ValueError, match="already"):
        apply_edit("    a = 1\n", "a = 1 ", "a = 1")


def test_the_same_text_may_be_added_again() -> None:
    assert apply_edit("a\n", "a\n", "a\n", "append_after")[0] == "a\na\n"


def test_unknown_mode() -> None:
    with pytest.raises(ValueError, match="append_after"):
        apply_edit("a", "a", "b", "insert")


# --- loose -----------------------------------------------------------------------------------------------------------


def test_trailing_whitespace() -> None:
    assert apply_edit("a  \nb\t\nc\n", "a\nb\n", "z\n") == ("z\nc\n", 1, RTRIM)


def test_every_character_of_the_map_is_matched() -> None:
    for strange, plain in UNICODE_MAP.items():
        content = f"first\nx{strange}y{strange}z = 1\nlast\n"
        assert apply_edit(content, f"x{plain}y{plain}z = 1", "done") == ("first\ndone\nlast\n", 1, UNICODE)


def test_the_right_line_is_replaced_after_indented_ones() -> None:
    """The reference counted indentation twice and hit another line."""
    changed, count, note = apply_edit(PYTHON, "print(epoch) ", "print('epoch', epoch)")
    assert (count, note) == (1, TRIM)
    assert changed == PYTHON.replace("print(epoch)", "print('epoch', epoch)")


def test_new_text_is_indented_like_the_file() -> None:
    old = "for epoch in range(3):\n    self.step(epoch)\n"
    new = "for epoch in range(9):\n    if epoch:\n        self.step(epoch)\n\nself.done = True\n"
    changed, _, note = apply_edit(PYTHON, old, new)
    assert note == TRIM
    assert changed == PYTHON.replace(
        "        for epoch in range(3):\n            self.step(epoch)\n",
        "        for epoch in range(9):\n            if epoch:\n                self.step(epoch)\n\n"
        "        self.done = True\n",
    )
    ast.parse(changed)


def test_new_text_is_moved_out_where_the_file_is() -> None:
    content = "if a:\n  b()\n"
    assert apply_edit(content, "    if a:\n      b()", "    if c:\n      d()\n      e()")[0] == (
        "if c:\n  d()\n  e()\n"
    )


def test_spaces_for_tabs() -> None:
    content = "def f():\n\tif a:\n\t\treturn 1\n"
    changed, _, _ = apply_edit(
        content, "    if a:\n        return 1", "    if b:\n        for c in b:\n            c()"
    )
    assert changed == "def f():\n\tif b:\n\t\tfor c in b:\n\t\t\tc()\n"


def test_two_spaces_for_four() -> None:
    content = "def f():\n    if a:\n        return 1\n"
    changed, _, _ = apply_edit(content, "def f():\n  if a:\n    return 1", "def f():\n  if b:\n    return 2")
    assert changed == "def f():\n    if b:\n        return 2\n"


def test_lost_indentation_is_refused_rather_than_guessed() -> None:
    with pytest.raises(ValueError, match="indentation"):
        apply_edit("def f():\n    return 1\n", "def f():\nreturn 1", "def f():\nreturn 2")


def test_loose_matches_never_cut_a_line() -> None:
    """The reference replaced the whole of a line that only contained old_str."""
    content = "value = compute(“a”) + other\n"
    with pytest.raises(ValueError, match="not in the file"):
        apply_edit(content, 'compute("a")', "b")


def test_three_spaces_do_not_replace_line_one() -> None:
    with pytest.raises(ValueError, match="blank"):
        apply_edit("import os\n\n", "   ", "x")


@pytest.mark.parametrize("mode", ["replace", "append_after", "prepend_before"])
def test_several_loose_matches(mode: str) -> None:
    content = "if a:\n    run()\nif b:\n  run()\n"
    with pytest.raises(ValueError, match=r"2 times .*trimming.*at lines 2, 4"):
        apply_edit(content, "run() ", "stop()", mode)


def test_several_loose_matches_all_wanted() -> None:
    content = "if a:\n    run()\nif b:\n  run()\n"
    expected = "if a:\n    stop()\nif b:\n  stop()\n"
    assert apply_edit(content, "run() ", "stop()", replace_all=True) == (expected, 2, TRIM)


def test_loose_append_and_prepend() -> None:
    content = "def f():\n    a()  \n    b()\n"
    assert apply_edit(content, "a()\n", "z()\n", "append_after")[0] == "def f():\n    a()  \n    z()\n    b()\n"
    assert apply_edit(content, "a()\n", "z()\n", "prepend_before")[0] == "def f():\n    z()\n    a()  \n    b()\n"
    assert apply_edit(content, "  a() \n", "  z()\n", "append_after")[0] == "def f():\n    a()  \n    z()\n    b()\n"
    assert apply_edit("def f():\n    a();\t\n", "a(); ", " b()", "append_after")[0] == "def f():\n    a();\t b()\n"


@pytest.mark.parametrize(
    ("content", "old", "new", "expected"),
    [
        ("a \nb\n", "a", "z", "z \nb\n"),  # exact
        ("a \nb\n", "a\n", "z\n", "z\nb\n"),  # the line end belongs to the match
        ("a \nb\n", "a\n", "", "b\n"),
        (" a\nb\n", "  a", "  z", " z\nb\n"),  # it does not
        ("x\na", "a\n", "z\n", "x\nz"),  # the last line has none, and gets none
        ("x\na", "a\n", "", "x\n"),
    ],
)
def test_line_ends_of_a_match(content: str, old: str, new: str, expected: str) -> None:
    assert apply_edit(content, old, new)[0] == expected


def test_append_after_a_last_line_without_line_end() -> None:
    assert apply_edit("x\na", "a\n", "z\n", "append_after")[0] == "x\na\nz"
    assert apply_edit("x\na", "a\n", "z\n", "prepend_before")[0] == "x\nz\na"


def test_crlf_stays() -> None:
    assert apply_edit("a\r\nb\r\nc\r\n", "a\nb\n", "x\ny\nz\n") == ("x\r\ny\r\nz\r\nc\r\n", 1, None)
    assert apply_edit("a\r\nb\r\n", "a\r\nb", "z")[0] == "z\r\n"


def test_mixed_line_ends_stay() -> None:
    content = "a\nb\r\nc\r\nd\n"
    assert apply_edit(content, "b\nc\n", "x\ny\n")[0] == "a\nx\r\ny\r\nd\n"
    assert apply_edit(content, "b\nc", "x\ny")[0] == "a\nx\r\ny\r\nd\n"
    assert apply_edit(content, "d", "z")[0] == "a\nb\r\nc\r\nz\n"


def test_only_line_feeds_separate_lines() -> None:
    content = "a\u2028b\x0cc\nd \n"
    assert apply_edit(content, "d\n", "z\n")[0] == "a\u2028b\x0cc\nz\n"


# --- not found -------------------------------------------------------------------------------------------------------


def test_nearest_lines_are_named() -> None:
    with pytest.raises(ValueError, match=r"line 4: .*self\.step\(epoch\)"):
        apply_edit(PYTHON, "self.stop(epoch)", "x")


def test_the_line_that_differs_is_named() -> None:
    with pytest.raises(ValueError, match=r"at line 2, but then line 4 of the file is .*self\.step\(epoch\)") as caught:
        apply_edit(PYTHON, "    def fit(self):\n        for epoch in range(3):\n            self.other()\n", "x")
    assert "first 2 line(s)" in str(caught.value)
    assert "self.other()" in str(caught.value)


def test_a_line_that_holds_it_is_named() -> None:
    with pytest.raises(ValueError, match="line 2"):
        apply_edit('a\nprint("x — y") and more\n', 'print("x - y")', "z")


def test_file_that_ends_too_early() -> None:
    with pytest.raises(ValueError, match="the file ends"):
        apply_edit("a\nb\n", "b\nc\n", "x")


def test_not_found_in_nothing() -> None:
    with pytest.raises(ValueError, match="not in the file"):
        apply_edit("", "a", "b")


# --- the finders -----------------------------------------------------------------------------------------------------


def test_fuzzy_find() -> None:
    assert fuzzy_find("ab\ncd\n", "cd") == (3, None)
    assert fuzzy_find("ab\ncd \n", "cd\n") == (3, RTRIM)
    assert fuzzy_find("ab\n  cd\n", " cd ") == (3, TRIM)
    assert fuzzy_find("ab\n‘cd’\n", "'cd'") == (3, UNICODE)
    assert fuzzy_find("ab\n", "zz") == (None, None)
    assert fuzzy_find("ab\n", "  ") == (None, None)


def test_fuzzy_find_original_match() -> None:
    assert fuzzy_find_original_match("ab\n  “cd”\nx\n", '"cd"\n') == ("  “cd”\n", UNICODE)
    assert fuzzy_find_original_match("ab\n  cd  \nx\n", "cd\nx") == ("  cd  \nx", TRIM)
    assert fuzzy_find_original_match("ab", "zz") == (None, None)


# --- properties ------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["a", "b", "f(x)", "x = “1”", "return", "", "  ", "é—"])
LINES = st.lists(
    st.builds(
        lambda indent, word, end: indent + word + end,
        *[st.sampled_from(["", "  ", "    ", "\t"]), WORDS, st.sampled_from(["", " ", "\t"])],
    ),
    min_size=1,
    max_size=12,
)
EOL = st.sampled_from(["\n", "\r\n"])


@settings(deadline=None)
@given(LINES, st.data(), EOL, st.booleans(), st.sampled_from(["replace", "append_after", "prepend_before"]))
def test_lines_outside_the_match_never_change(
    lines: list[str], data: st.DataObject, eol: str, final: bool, mode: str
) -> None:
    """A window of the file, its outer blanks and quotes changed, is edited: all else stays byte for byte."""
    first = data.draw(st.integers(0, len(lines) - 1))
    last = data.draw(st.integers(first, len(lines) - 1))
    marked = [*lines[:first], *(f"{line}#{i}" for i, line in enumerate(lines[first : last + 1])), *lines[last + 1 :]]
    marked[first] = marked[first].replace("#0", "#0 (the one and only)")
    content = eol.join(marked) + eol * final
    loosened = [line.strip().replace("“", '"').replace("—", "-") + " " for line in marked[first : last + 1]]
    new = data.draw(st.sampled_from(["new", "new\nlines", "", "new\n"]))
    try:
        changed, count, _ = apply_edit(content, "\n".join(loosened), new, mode)
    except ValueError as error:
        assert "indent" in str(error) or "nothing to add" in str(error)
        return
    assert count == 1
    before = "".join(line + eol for line in marked[:first])
    after = "".join(eol + line for line in marked[last + 1 :]) + eol * final
    assert changed.startswith(before)
    assert changed.endswith(after)
    middle = changed[len(before) : len(changed) - len(after)]
    if mode != "replace":
        assert eol.join(marked[first : last + 1]) in middle
    if "\r\n" in content:
        assert changed.count("\r\n") == changed.count("\n")


@settings(deadline=None)
@given(st.text(), st.text(), st.text(), st.booleans())
def test_exact_edits_are_str_replace(content: str, old: str, new: str, replace_all: bool) -> None:
    try:
        changed, count, note = apply_edit(content, old, new, replace_all=replace_all)
    except ValueError:
        return
    if note is None and "\r\n" not in content:
        assert changed == content.replace(old, new)
        assert count == content.count(old)


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=20))
def test_found_text_is_where_it_is_said_to_be(content: str, pattern: str) -> None:
    position, note = fuzzy_find(content, pattern)
    text, same_note = fuzzy_find_original_match(content, pattern)
    assert note == same_note
    assert (position is None) == (text is None)
    if position is not None and text is not None:
        assert content[position:].startswith(text)
